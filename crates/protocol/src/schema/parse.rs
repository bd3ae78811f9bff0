//! The text of a schema, read again.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::limits::{SCHEMA_ARRAY_MAX, SCHEMA_DEPTH_MAX};

use super::naming::{is_bare, unescape};
use super::shape::{
    Content, Definition, Field, Filled, Lined, MessageKind, MessageShape, NamedType, Part, Scalar,
    Schema, Shape, Variant,
};
use super::text::FIRST_LINE;

/// A text that is no schema: in which line, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    line: u32,
    what: String,
}

impl ParseError {
    /// The line, from 1.
    #[must_use]
    pub const fn line(&self) -> u32 {
        self.line
    }

    /// What is wrong with it.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl FromStr for Schema {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser::default();
        let mut lines = (1..).zip(text.lines());
        if lines.next().is_none_or(|(_, first)| first.trim_end() != FIRST_LINE) {
            let what = format!("this is no schema; its first line would be `{FIRST_LINE}`");
            return Err(ParseError { line: 1, what });
        }
        for (number, line) in lines {
            parser.line = number;
            let of_line = match line.trim() {
                "" => Ok(()),
                comment if comment.starts_with('#') => Ok(()),
                member if line.starts_with([' ', '\t']) => parser.member(number, member),
                item => parser.item(number, item),
            };
            of_line.map_err(|what| ParseError { line: number, what })?;
        }
        parser.finish()
    }
}

/// What is being written down at the moment.
#[derive(Default)]
enum Item {
    #[default]
    Nothing,
    Message(String),
    Type(usize),
}

#[derive(Default)]
struct Parser {
    schema: Schema,
    /// Where types are by name. One that was named and not defined yet has line 0.
    by_name: BTreeMap<String, usize>,
    /// The line in which each type is named first.
    first_named: Vec<u32>,
    line: u32,
    item: Item,
}

impl Parser {
    fn item(&mut self, line: u32, text: &str) -> Result<(), String> {
        let mut rest = Rest(text);
        let word = rest.word()?;
        let name = rest.name()?;
        rest.end()?;
        if let Some(kind) = MessageKind::ALL.into_iter().find(|kind| kind.word() == word) {
            let message = MessageShape { kind, parts: BTreeMap::new(), line, place: None };
            if self.schema.messages.insert(name.clone(), message).is_some() {
                return Err(format!("message `{name}` stands here for the second time"));
            }
            self.item = Item::Message(name);
            return Ok(());
        }
        let definition = match word {
            "struct" => Definition::Struct(Vec::new()),
            "enum" => Definition::Enum { variants: Vec::new(), other: false },
            "newtype" => Definition::Alias(Shape::Opaque("nothing stands for it".into())),
            _ => {
                return Err(format!(
                    "`{word}` is none of post, request, stream, struct, enum, newtype"
                ));
            }
        };
        let index = self.type_named(&name);
        let of = &mut self.schema.types[index];
        if of.line != 0 {
            return Err(format!("type `{name}` stands here for the second time"));
        }
        (of.definition, of.line) = (definition, line);
        self.item = Item::Type(index);
        Ok(())
    }

    fn type_named(&mut self, name: &str) -> usize {
        *self.by_name.entry(name.to_owned()).or_insert_with(|| {
            let definition = Definition::Struct(Vec::new());
            self.schema.types.push(NamedType { name: name.to_owned(), definition, line: 0 });
            self.first_named.push(self.line);
            self.schema.types.len() - 1
        })
    }

    fn member(&mut self, line: u32, text: &str) -> Result<(), String> {
        let mut rest = Rest(text);
        match std::mem::take(&mut self.item) {
            Item::Nothing => return Err("it belongs to no message and no type".into()),
            Item::Message(name) => {
                self.part(&name, line, &mut rest)?;
                self.item = Item::Message(name);
            }
            Item::Type(index) => {
                self.type_member(index, line, &mut rest)?;
                self.item = Item::Type(index);
            }
        }
        rest.end()
    }

    fn part(&mut self, name: &str, line: u32, rest: &mut Rest<'_>) -> Result<(), String> {
        let word = rest.word()?;
        let part = Part::ALL.into_iter().find(|part| part.word() == word);
        let part = part.ok_or_else(|| format!("`{word}` is no part of a message"))?;
        let value = self.shape(rest, 0)?;
        let message = self.schema.messages.get_mut(name).expect("the item was put there");
        match message.parts.insert(part, Lined { value, line }) {
            None => Ok(()),
            Some(_) => Err(format!("`{word}` stands here for the second time")),
        }
    }

    fn type_member(&mut self, index: usize, line: u32, rest: &mut Rest<'_>) -> Result<(), String> {
        // Taken out meanwhile: what is read may name further types.
        let mut definition =
            std::mem::replace(&mut self.schema.types[index].definition, Definition::Struct(vec![]));
        let read = match &mut definition {
            Definition::Struct(fields) => self.field(line, rest).map(|field| fields.push(field)),
            Definition::Alias(inside) => self.shape(rest, 0).map(|shape| *inside = shape),
            Definition::Enum { other, .. } if rest.take("..") => {
                *other = true;
                Ok(())
            }
            Definition::Enum { variants, .. } => {
                self.variant(line, rest).map(|variant| variants.push(variant))
            }
        };
        self.schema.types[index].definition = definition;
        read
    }

    fn variant(&mut self, line: u32, rest: &mut Rest<'_>) -> Result<Variant, String> {
        let name = rest.name()?;
        let content = if rest.take("(") {
            let shape = self.shape(rest, 0)?;
            rest.expect(")")?;
            Content::Value(shape)
        } else if rest.take("{") {
            let mut fields = Vec::new();
            while !rest.take("}") {
                if !fields.is_empty() {
                    rest.expect(",")?;
                }
                fields.push(self.field(line, rest)?);
            }
            Content::Fields(fields)
        } else {
            Content::Nothing
        };
        Ok(Variant { name, content, line })
    }

    fn field(&mut self, line: u32, rest: &mut Rest<'_>) -> Result<Field, String> {
        let name = rest.name()?;
        rest.expect(":")?;
        let shape = self.shape(rest, 0)?;
        let filled = match rest.take("=") {
            false => Filled::Never,
            true => match rest.word()? {
                "default" => Filled::Default,
                "unknown" => Filled::Unknown,
                word => return Err(format!("`= {word}` is neither `= default` nor `= unknown`")),
            },
        };
        Ok(Field { name, shape, filled, line })
    }

    fn shape(&mut self, rest: &mut Rest<'_>, depth: u32) -> Result<Shape, String> {
        if depth == SCHEMA_DEPTH_MAX {
            return Err(format!("nested deeper than {SCHEMA_DEPTH_MAX}"));
        }
        let depth = depth + 1;
        if rest.take("[") {
            let element = self.shape(rest, depth)?;
            rest.expect(";")?;
            let length: usize = rest.word()?.parse().map_err(|_| "a length is a number")?;
            rest.expect("]")?;
            return match length {
                2..=SCHEMA_ARRAY_MAX => Ok(Shape::Array(Box::new(element), length)),
                _ => Err(format!("a length is 2 to {SCHEMA_ARRAY_MAX}")),
            };
        }
        if rest.take("(") {
            let mut elements = Vec::new();
            while !rest.take(")") {
                if !elements.is_empty() {
                    rest.expect(",")?;
                }
                elements.push(self.shape(rest, depth)?);
            }
            return Ok(Shape::tuple(elements));
        }
        let word = rest.word()?;
        if let Some(scalar) = Scalar::ALL.iter().find(|scalar| scalar.word() == word) {
            return Ok(Shape::Scalar(*scalar));
        }
        match word {
            "option" => Ok(Shape::Option(self.inside(rest, depth)?)),
            "list" => Ok(Shape::list(*self.inside(rest, depth)?)),
            "named" => Ok(Shape::Named(self.inside(rest, depth)?)),
            "map" => {
                rest.expect("<")?;
                let key = self.shape(rest, depth)?;
                rest.expect(",")?;
                let value = self.shape(rest, depth)?;
                rest.expect(">")?;
                Ok(Shape::Map(Box::new(key), Box::new(value)))
            }
            "opaque" => {
                rest.expect("(")?;
                let why = rest.name()?;
                rest.expect(")")?;
                Ok(Shape::Opaque(why))
            }
            name => Ok(Shape::Type(self.type_named(name))),
        }
    }

    fn inside(&mut self, rest: &mut Rest<'_>, depth: u32) -> Result<Box<Shape>, String> {
        rest.expect("<")?;
        let shape = self.shape(rest, depth)?;
        rest.expect(">")?;
        Ok(Box::new(shape))
    }

    fn finish(self) -> Result<Schema, ParseError> {
        let undefined = self.schema.types.iter().position(|of| of.line == 0);
        match undefined {
            None => Ok(self.schema),
            Some(index) => {
                let name = &self.schema.types[index].name;
                let what = format!("type `{name}` is named here and defined nowhere");
                Err(ParseError { line: self.first_named[index], what })
            }
        }
    }
}

/// What is left of a line.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// Takes `token` if it comes next, and the blanks before it.
    fn take(&mut self, token: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(token);
        rest.inspect(|rest| self.0 = rest).is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) {
            Ok(())
        } else {
            Err(format!("`{token}` is missing before `{}`", self.0))
        }
    }

    /// The next run of characters that need no quotes.
    fn word(&mut self) -> Result<&'a str, String> {
        let text = self.0.trim_start();
        let (word, rest) = text.split_at(text.find(|c| !is_bare(c)).unwrap_or(text.len()));
        if word.is_empty() {
            return Err(format!("a name is missing before `{text}`"));
        }
        self.0 = rest;
        Ok(word)
    }

    /// A word, or anything between quotes.
    fn name(&mut self) -> Result<String, String> {
        if !self.take("\"") {
            return self.word().map(str::to_owned);
        }
        let mut escaped = false;
        let end = self.0.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = end.ok_or("a quote is not closed")?;
        let (name, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        unescape(name).ok_or_else(|| format!("\"{name}\" has an escape nobody writes"))
    }

    fn end(&self) -> Result<(), String> {
        match self.0.trim() {
            "" => Ok(()),
            rest => Err(format!("`{rest}` is too much")),
        }
    }
}
