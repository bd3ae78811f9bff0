//! A schema as text.

use std::fmt::{self, Display, Formatter};

use super::naming::Written;
use super::shape::{Content, Definition, Field, Filled, MessageShape, NamedType, Schema, Shape};

/// First line of every schema: what it is, and the version of its form.
pub(super) const FIRST_LINE: &str = "moorline schema 1";

const EXPLANATION: &str = "\
# Each message of the program, then each type by name. Structs travel as arrays of their fields in
# this order. PROTOCOL 5 says what may change: fields are added at the end, with a default.";

impl Display for Schema {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}\n{EXPLANATION}")?;
        for (name, message) in &self.messages {
            self.write_message(f, name, message)?;
        }
        for index in self.types_in_use() {
            self.write_type(f, &self.types[index])?;
        }
        Ok(())
    }
}

impl Schema {
    fn write_message(
        &self,
        f: &mut Formatter<'_>,
        name: &str,
        message: &MessageShape,
    ) -> fmt::Result {
        writeln!(f, "\n{} {}", message.kind.word(), Written(name))?;
        for (part, shape) in &message.parts {
            writeln!(f, "  {} {}", part.word(), self.written(&shape.value))?;
        }
        Ok(())
    }

    fn write_type(&self, f: &mut Formatter<'_>, of: &NamedType) -> fmt::Result {
        let name = &of.name;
        match &of.definition {
            Definition::Alias(inside) => {
                writeln!(f, "\nnewtype {name}\n  {}", self.written(inside))
            }
            Definition::Struct(fields) => {
                writeln!(f, "\nstruct {name}")?;
                fields.iter().try_for_each(|field| writeln!(f, "  {}", self.field(field)))
            }
            Definition::Enum { variants, other } => {
                writeln!(f, "\nenum {name}")?;
                for variant in variants {
                    let content = self.content(&variant.content);
                    writeln!(f, "  {}{content}", Written(&variant.name))?;
                }
                if *other { writeln!(f, "  ..") } else { Ok(()) }
            }
        }
    }

    fn content<'a>(&'a self, content: &'a Content) -> impl Display + 'a {
        fmt::from_fn(move |f| match content {
            Content::Nothing => Ok(()),
            Content::Value(shape) => write!(f, "({})", self.written(shape)),
            Content::Fields(fields) if fields.is_empty() => f.write_str(" {}"),
            Content::Fields(fields) => {
                f.write_str(" { ")?;
                separated(f, fields.iter().map(|field| self.field(field)))?;
                f.write_str(" }")
            }
        })
    }

    fn field<'a>(&'a self, field: &'a Field) -> impl Display + 'a {
        fmt::from_fn(move |f| {
            write!(f, "{}: {}", Written(&field.name), self.written(&field.shape))?;
            f.write_str(match field.filled {
                Filled::Never => "",
                Filled::Default => " = default",
                Filled::Unknown => " = unknown",
            })
        })
    }

    /// `shape` as it is written where it is used.
    pub(super) fn written<'a>(&'a self, shape: &'a Shape) -> impl Display + 'a {
        fmt::from_fn(move |f| self.write_shape(f, shape))
    }

    fn write_shape(&self, f: &mut Formatter<'_>, shape: &Shape) -> fmt::Result {
        match shape {
            Shape::Scalar(scalar) => f.write_str(scalar.word()),
            Shape::Type(index) => f.write_str(&self.types[*index].name),
            Shape::Opaque(why) => write!(f, "opaque(\"{}\")", why.escape_default()),
            Shape::Option(inner) => self.write_wrapped(f, "option<", inner, ">"),
            Shape::List(inner) => self.write_wrapped(f, "list<", inner, ">"),
            Shape::Named(inner) => self.write_wrapped(f, "named<", inner, ">"),
            Shape::Array(inner, length) => {
                self.write_wrapped(f, "[", inner, &format!("; {length}]"))
            }
            Shape::Map(key, value) => {
                self.write_wrapped(f, "map<", key, ", ")?;
                self.write_wrapped(f, "", value, ">")
            }
            Shape::Tuple(elements) => {
                f.write_str("(")?;
                separated(f, elements.iter().map(|element| self.written(element)))?;
                f.write_str(")")
            }
        }
    }

    fn write_wrapped(
        &self,
        f: &mut Formatter<'_>,
        before: &str,
        inner: &Shape,
        after: &str,
    ) -> fmt::Result {
        f.write_str(before)?;
        self.write_shape(f, inner)?;
        f.write_str(after)
    }
}

fn separated(f: &mut Formatter<'_>, parts: impl Iterator<Item = impl Display>) -> fmt::Result {
    for (position, part) in parts.enumerate() {
        let separator = if position == 0 { "" } else { ", " };
        write!(f, "{separator}{part}")?;
    }
    Ok(())
}
