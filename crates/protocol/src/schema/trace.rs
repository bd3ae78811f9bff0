//! Finds out what types look like, by running their `Deserialize` without any bytes.
//!
//! A type cannot be asked what it consists of, but its `Deserialize` asks its deserializer for one
//! part after the other. So each part is visited by a run of its own: the run starts at the message,
//! goes down to the part, writes down what is asked for there, and stops. What stands before the part
//! gets values that fit; where a type refuses one, the run is repeated with the next. Types that have
//! a name are visited once, so recursion ends.

mod explorer;
mod run;
mod values;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::format::{DecodeError, Format};
use crate::limits::{SCHEMA_DEPTH_MAX, SCHEMA_TUPLE_MAX};
use crate::message::{MessageFamily, NoError, Request, StreamMessage};
use crate::registry::Registration;

use self::run::{Asked, Names, Run, Step, TypeKey};
use super::naming;
use super::shape::{
    Content, Definition, Field, Lined, MessageKind, MessageShape, NamedType, Part, Schema, Shape,
    Variant,
};

/// A schema in the making. [`register_message!`](crate::register_message) names the method for the
/// kind of each message; they are called when somebody asks for a schema.
#[derive(Debug, Default)]
pub struct Tracing {
    messages: BTreeMap<String, MessageShape>,
    types: Vec<(TypeKey, Definition)>,
    by_key: BTreeMap<TypeKey, usize>,
    /// What is known of the message at work.
    parts: Vec<(Part, Shape)>,
    kind: Option<MessageKind>,
    /// Parts of it that do not read what they have written.
    unread: Vec<(Part, DecodeError)>,
    /// The same of all messages, as sentences.
    faults: Vec<(&'static str, String)>,
}

/// Runs a `Deserialize`; what it makes of it is of no interest.
type Visit<'a> = &'a dyn Fn(&mut Run);

impl Tracing {
    /// A message without answer.
    pub fn post<F: MessageFamily>(&mut self) {
        self.body::<F>(MessageKind::Post);
    }

    /// A message with an answer.
    pub fn request<F: MessageFamily<View<'static>: Request>>(&mut self) {
        self.body::<F>(MessageKind::Request);
        self.owned::<<F::View<'static> as Request>::Response>(Part::Answer);
        if !is_no_error::<<F::View<'static> as Request>::Error>() {
            self.owned::<<F::View<'static> as Request>::Error>(Part::Error);
        }
    }

    /// A message that opens a stream.
    pub fn stream<F: MessageFamily<View<'static>: StreamMessage>>(&mut self) {
        self.body::<F>(MessageKind::Stream);
        self.owned::<<F::View<'static> as StreamMessage>::Up>(Part::Up);
        self.owned::<<F::View<'static> as StreamMessage>::Down>(Part::Down);
    }

    fn body<F: MessageFamily>(&mut self, kind: MessageKind) {
        self.kind = Some(kind);
        self.part::<F::View<'static>>(Part::Body, |bytes| {
            Format::MessagePack.decode::<F::View<'_>>(bytes).err()
        });
    }

    fn owned<T: Serialize + DeserializeOwned>(&mut self, part: Part) {
        self.part::<T>(part, |bytes| Format::MessagePack.decode::<T>(bytes).err());
    }

    fn part<T: Serialize + Deserialize<'static>>(
        &mut self,
        part: Part,
        read: impl Fn(&[u8]) -> Option<DecodeError>,
    ) {
        let shape = self.shape_of::<T>();
        self.parts.push((part, shape));
        // A type that cannot be encoded says so whenever it is sent; here it is of no interest.
        let mut bytes = Vec::new();
        let encoded = run::any_value::<T>()
            .is_some_and(|value| Format::MessagePack.encode(&value, &mut bytes).is_ok());
        if encoded && let Some(error) = read(&bytes) {
            self.unread.push((part, error));
        }
    }

    pub(super) fn message(&mut self, registration: &'static Registration) {
        let unknown = || (Part::Body, Shape::Opaque("it was registered by hand".into()));
        match registration.describe() {
            Some(describe) => describe(self),
            None => self.parts.push(unknown()),
        }
        let parts = self.parts.drain(..);
        let parts = parts.map(|(part, value)| (part, Lined { value, line: 0 })).collect();
        let kind = self.kind.take().unwrap_or(MessageKind::Post);
        let place = Some(registration.place());
        for (part, error) in self.unread.drain(..) {
            let name = registration.name();
            let what = format!(
                "{}: error: {name}: its {} does not read what it writes itself: {error}; in an array \
                 no field can be left out, so `skip_serializing` and its like belong into structs \
                 with named fields (PROTOCOL 5)",
                registration.place(),
                part.word()
            );
            self.faults.push((name, what));
        }
        self.messages
            .insert(registration.name().to_owned(), MessageShape { kind, parts, line: 0, place });
    }

    pub(super) fn into_schema(self) -> Schema {
        let names: Vec<_> = self.types.iter().map(|(key, _)| (key.name, key.path)).collect();
        let names = naming::choose(&names);
        let types = names.into_iter().zip(self.types);
        let types = types.map(|(name, (_, definition))| NamedType { name, definition, line: 0 });
        Schema { messages: self.messages, types: types.collect(), faults: self.faults }
    }

    fn shape_of<T: Deserialize<'static>>(&mut self) -> Shape {
        self.shape(&|run| run.visit::<T>(), &mut Vec::new())
    }

    /// What stands at the end of `path`.
    fn shape(&mut self, visit: Visit<'_>, path: &mut Vec<Step>) -> Shape {
        if path.len() >= SCHEMA_DEPTH_MAX as usize {
            return Shape::Opaque("nested too deep".into());
        }
        match run::look(visit, path) {
            Asked::Scalar(scalar) => Shape::Scalar(scalar),
            Asked::Unknown(why) => Shape::Opaque(why.into()),
            Asked::Option => Shape::Option(self.boxed(visit, path, Step::Inside)),
            Asked::List => Shape::list(*self.boxed(visit, path, Step::Inside)),
            Asked::Named => Shape::Named(self.boxed(visit, path, Step::Inside)),
            Asked::Map if matches!(self.look(visit, path, Step::Key), Asked::Flattened) => {
                Shape::Opaque("a struct with `#[serde(flatten)]`, which travels as a map".into())
            }
            Asked::Map => {
                let key = self.boxed(visit, path, Step::Key);
                Shape::Map(key, self.boxed(visit, path, Step::Value))
            }
            Asked::Flattened => Shape::Opaque("a name of a field".into()),
            Asked::Tag => Shape::Opaque("a tag of an enum".into()),
            Asked::Tuple(length) if length > SCHEMA_TUPLE_MAX => {
                Shape::Array(self.boxed(visit, path, Step::At(0)), length)
            }
            Asked::Tuple(length) => Shape::tuple(
                (0..length).map(|place| self.step(visit, path, Step::At(place))).collect(),
            ),
            Asked::Newtype(key) => self
                .named(key, |tracing| Definition::Alias(tracing.step(visit, path, Step::Inside))),
            // What its second part is depends on the first, which no array of fields can say.
            Asked::Struct(..) if matches!(self.look(visit, path, Step::At(0)), Asked::Tag) => {
                Shape::Opaque("an adjacently tagged enum".into())
            }
            Asked::Struct(key, names) => {
                self.named(key, |tracing| Definition::Struct(tracing.fields(visit, path, names)))
            }
            Asked::Enum(key, variants) => {
                self.named(key, |tracing| tracing.variants(visit, path, variants))
            }
            Asked::Variant | Asked::VariantValue | Asked::VariantFields(_) => {
                Shape::Opaque("a variant outside of an enum".into())
            }
        }
    }

    /// What is asked for one step further than `path`.
    fn look(&self, visit: Visit<'_>, path: &mut Vec<Step>, step: Step) -> Asked {
        path.push(step);
        let asked = run::look(visit, path);
        path.pop();
        asked
    }

    fn step(&mut self, visit: Visit<'_>, path: &mut Vec<Step>, step: Step) -> Shape {
        path.push(step);
        let shape = self.shape(visit, path);
        path.pop();
        shape
    }

    fn boxed(&mut self, visit: Visit<'_>, path: &mut Vec<Step>, step: Step) -> Box<Shape> {
        Box::new(self.step(visit, path, step))
    }

    /// A type that has a name: defined the first time, told by its place from then on.
    fn named(&mut self, key: TypeKey, define: impl FnOnce(&mut Self) -> Definition) -> Shape {
        if let Some(index) = self.by_key.get(&key) {
            return Shape::Type(*index);
        }
        let index = self.types.len();
        self.by_key.insert(key, index);
        // It may come again inside itself, so it has its place before it is known.
        self.types.push((key, Definition::Struct(Vec::new())));
        self.types[index].1 = define(self);
        Shape::Type(index)
    }

    fn fields(&mut self, visit: Visit<'_>, path: &mut Vec<Step>, names: Names) -> Vec<Field> {
        let known = run::probe_fields(visit, path, names);
        let mut fields = Vec::with_capacity(known.len());
        for (place, (name, filled)) in known.into_iter().enumerate() {
            let shape = self.step(visit, path, Step::At(place));
            fields.push(Field { name, shape, filled, line: 0 });
        }
        fields
    }

    fn variants(
        &mut self,
        visit: Visit<'_>,
        path: &mut Vec<Step>,
        names: &'static [&'static str],
    ) -> Definition {
        let mut variants = Vec::with_capacity(names.len());
        for name in names {
            path.push(Step::Variant(name));
            let content = self.content(visit, path);
            path.pop();
            variants.push(Variant { name: (*name).to_owned(), content, line: 0 });
        }
        let no_variant = self.look(visit, path, Step::Variant(run::NO_VARIANT));
        let other = matches!(no_variant, Asked::Variant);
        Definition::Enum { variants, other }
    }

    fn content(&mut self, visit: Visit<'_>, path: &mut Vec<Step>) -> Content {
        match run::look(visit, path) {
            Asked::Variant => Content::Nothing,
            Asked::VariantValue => Content::Value(self.step(visit, path, Step::Inside)),
            Asked::VariantFields(names) => Content::Fields(self.fields(visit, path, names)),
            Asked::Unknown(why) => Content::Value(Shape::Opaque(why.into())),
            _ => Content::Value(Shape::Opaque("it is no variant".into())),
        }
    }
}

fn is_no_error<T: 'static>() -> bool {
    std::any::TypeId::of::<T>() == std::any::TypeId::of::<NoError>()
}
