//! A schema as a value: messages by name, and the types they are made of.

use std::collections::BTreeMap;

use crate::registry::{MessageRegistry, Place, RegistryError};

use super::trace::Tracing;

/// All message types of a program and what they look like on the wire. Its text, by `Display` and
/// `FromStr`, is made to be committed: sorted, a line for each field, the same whenever the
/// messages are the same.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    pub(super) messages: BTreeMap<String, MessageShape>,
    /// In no order that means anything; [`Shape::Type`] is an index of it.
    pub(super) types: Vec<NamedType>,
    /// Names of messages, and what is wrong with them; not part of the text.
    pub(super) faults: Vec<(&'static str, String)>,
}

impl Schema {
    /// What is linked into this process. Takes some microseconds for each type.
    ///
    /// # Errors
    /// Two types have one name, as when a service starts.
    pub fn of_process() -> Result<Self, RegistryError> {
        Ok(Self::of(&MessageRegistry::process()?))
    }

    /// The types of `registry`.
    #[must_use]
    pub fn of(registry: &MessageRegistry) -> Self {
        let mut tracing = Tracing::default();
        for registration in registry.registrations() {
            tracing.message(registration);
        }
        tracing.into_schema()
    }

    /// Only the messages whose wire name `chosen` likes, and the types these need.
    #[must_use]
    pub fn only(mut self, chosen: impl Fn(&str) -> bool) -> Self {
        self.messages.retain(|name, _| chosen(name));
        self
    }

    /// What could not be found out: the place in the schema and the reason, sorted. A change there
    /// goes unnoticed.
    #[must_use]
    pub fn unchecked(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, message) in &self.messages {
            for (part, shape) in &message.parts {
                shape.value.opaque_parts(&format!("{name}, {}", part.word()), &mut found);
            }
        }
        for index in self.types_in_use() {
            let of = &self.types[index];
            of.definition.each_shape(|member, shape| {
                shape.opaque_parts(&format!("{}, {member}", of.name), &mut found);
            });
        }
        found.sort();
        found
    }

    /// Messages of this process that do not read what they write themselves, as `file:line: error: ..`.
    /// Found by a value made up for each, so not all are found; a type that leaves out fields of an
    /// array is.
    #[must_use]
    pub fn faults(&self) -> Vec<&str> {
        let faults = self.faults.iter().filter(|(name, _)| self.messages.contains_key(*name));
        faults.map(|(_, what)| what.as_str()).collect()
    }

    /// The types that messages are made of, by name.
    pub(super) fn types_in_use(&self) -> Vec<usize> {
        let mut used = vec![false; self.types.len()];
        let mut open = Vec::new();
        for message in self.messages.values() {
            message.parts.values().for_each(|shape| shape.value.named_types(&mut open));
        }
        while let Some(index) = open.pop() {
            if !std::mem::replace(&mut used[index], true) {
                self.types[index].definition.each_shape(|_, shape| shape.named_types(&mut open));
            }
        }
        let mut used: Vec<_> = (0..used.len()).filter(|index| used[*index]).collect();
        used.sort_by(|one, two| self.types[*one].name.cmp(&self.types[*two].name));
        used
    }
}

/// A message of a schema.
#[derive(Debug, Clone)]
pub(super) struct MessageShape {
    pub(super) kind: MessageKind,
    pub(super) parts: BTreeMap<Part, Lined<Shape>>,
    /// Line of the schema's text, 0 where there is none.
    pub(super) line: u32,
    /// Where it is registered, if it is in this process.
    pub(super) place: Option<Place>,
}

/// What kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageKind {
    Post,
    Request,
    Stream,
}

impl MessageKind {
    pub(super) const ALL: [Self; 3] = [Self::Post, Self::Request, Self::Stream];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Request => "request",
            Self::Stream => "stream",
        }
    }
}

/// What a message consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Body,
    Answer,
    Error,
    Up,
    Down,
}

impl Part {
    pub(super) const ALL: [Self; 5] = [Self::Body, Self::Answer, Self::Error, Self::Up, Self::Down];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Answer => "answer",
            Self::Error => "error",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Something with its line in the text, 0 where there is none.
#[derive(Debug, Clone)]
pub(super) struct Lined<T> {
    pub(super) value: T,
    pub(super) line: u32,
}

/// A type that has a name in the schema. The name is for people; it is not on the wire.
#[derive(Debug, Clone)]
pub(super) struct NamedType {
    pub(super) name: String,
    pub(super) definition: Definition,
    pub(super) line: u32,
}

#[derive(Debug, Clone)]
pub(super) enum Definition {
    /// An array of its fields.
    Struct(Vec<Field>),
    /// One of its variants, by name.
    Enum {
        variants: Vec<Variant>,
        /// It takes variants it does not know: `#[serde(other)]`.
        other: bool,
    },
    /// Nothing else than the type inside: a newtype.
    Alias(Shape),
}

impl Definition {
    /// Calls `visit` for each type named inside, with where that is.
    fn each_shape<'a>(&'a self, mut visit: impl FnMut(&str, &'a Shape)) {
        match self {
            Self::Struct(fields) => {
                fields.iter().for_each(|field| visit(&field.name, &field.shape));
            }
            Self::Alias(shape) => visit("inside", shape),
            Self::Enum { variants, .. } => {
                for variant in variants {
                    match &variant.content {
                        Content::Nothing => {}
                        Content::Value(shape) => visit(&variant.name, shape),
                        Content::Fields(fields) => {
                            fields.iter().for_each(|field| visit(&variant.name, &field.shape));
                        }
                    }
                }
            }
        }
    }
}

/// A field of a struct or of a variant.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Its name, or its number where it has none.
    pub(super) name: String,
    pub(super) shape: Shape,
    pub(super) filled: Filled,
    pub(super) line: u32,
}

/// Whether a reader does without a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    /// It has to be there.
    Never,
    /// `#[serde(default)]`.
    Default,
    /// It could not be found out.
    Unknown,
}

#[derive(Debug, Clone)]
pub(super) struct Variant {
    pub(super) name: String,
    pub(super) content: Content,
    pub(super) line: u32,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    Nothing,
    Value(Shape),
    Fields(Vec<Field>),
}

/// A type where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Scalar(Scalar),
    Option(Box<Shape>),
    List(Box<Shape>),
    Map(Box<Shape>, Box<Shape>),
    /// At least two of one type.
    Array(Box<Shape>, usize),
    Tuple(Vec<Shape>),
    /// A struct as a map of its fields' names.
    Named(Box<Shape>),
    /// Index of [`Schema::types`].
    Type(usize),
    /// Nobody knows, and why.
    Opaque(String),
}

impl Shape {
    /// A tuple in the form that is shortest to write.
    pub(super) fn tuple(elements: Vec<Shape>) -> Self {
        match elements.as_slice() {
            [first, rest @ ..] if !rest.is_empty() && rest.iter().all(|shape| shape == first) => {
                Self::Array(Box::new(first.clone()), elements.len())
            }
            _ => Self::Tuple(elements),
        }
    }

    /// A list; one of `u8` is bytes, since both are written alike and read alike.
    //= docs/PROTOCOL.md#5
    pub(super) fn list(element: Shape) -> Self {
        match element {
            Self::Scalar(Scalar::U8) => Self::Scalar(Scalar::Bytes),
            element => Self::List(Box::new(element)),
        }
    }

    fn each_inside<'a>(&'a self, mut visit: impl FnMut(&'a Shape)) {
        match self {
            Self::Scalar(_) | Self::Type(_) | Self::Opaque(_) => {}
            Self::Option(inner)
            | Self::List(inner)
            | Self::Array(inner, _)
            | Self::Named(inner) => visit(inner),
            Self::Map(key, value) => {
                visit(key);
                visit(value);
            }
            Self::Tuple(elements) => elements.iter().for_each(visit),
        }
    }

    fn named_types(&self, found: &mut Vec<usize>) {
        if let Self::Type(index) = self {
            found.push(*index);
        }
        self.each_inside(|shape| shape.named_types(found));
    }

    fn opaque_parts(&self, place: &str, found: &mut Vec<String>) {
        if let Self::Opaque(why) = self {
            found.push(format!("{place}: {why}"));
        }
        self.each_inside(|shape| shape.opaque_parts(place, found));
    }
}

macro_rules! scalars {
    ($($name:ident $word:literal)+) => {
        /// A type without parts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Scalar {
            $($name,)+
        }

        impl Scalar {
            pub(super) const ALL: &[Self] = &[$(Self::$name,)+];

            pub(super) const fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

scalars! {
    Bool "bool" U8 "u8" U16 "u16" U32 "u32" U64 "u64" U128 "u128" I8 "i8" I16 "i16" I32 "i32"
    I64 "i64" I128 "i128" F32 "f32" F64 "f64" Char "char" Text "string" Bytes "bytes" Unit "unit"
}
