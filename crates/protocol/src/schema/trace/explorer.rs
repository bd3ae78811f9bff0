//! A deserializer without bytes: it goes where its run goes, and gives values on the way.

use std::any::type_name;
use std::fmt::Display;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use crate::named::MARK;
use crate::schema::shape::Scalar;

use super::run::{Asked, Goal, Names, Outcome, Run, Step, TypeKey};
use super::values::{self, BYTES, NUMBERS, TEXTS};

/// Reads what is not there.
pub(super) struct Explorer<'r> {
    pub(super) run: &'r mut Run,
    pub(super) mode: Mode,
}

/// What is to be done with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is on the way of the run, so many steps from its start.
    Follow(usize),
    /// Any value will do; it stands so deep in others of that kind.
    Produce(u32),
}

impl Mode {
    const fn child(self, on_the_way: bool) -> Self {
        match self {
            Self::Follow(depth) if on_the_way => Self::Follow(depth + 1),
            Self::Follow(_) => Self::Produce(0),
            Self::Produce(depth) => Self::Produce(depth + 1),
        }
    }
}

/// The end of a run: it has found what it is for, or a value was refused.
#[derive(Debug)]
pub(super) struct Stop {
    /// The field that came twice.
    twice: Option<&'static str>,
}

const STOP: Stop = Stop { twice: None };

impl Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the type was visited and not read")
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: Display>(_: T) -> Self {
        STOP
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self { twice: Some(field) }
    }
}

/// Where a value stands on the way of a run.
enum Here {
    /// It is what the run is for.
    End(Goal),
    /// It is passed by this step.
    Way(Step),
    /// It is given.
    Value,
}

impl<'r> Explorer<'r> {
    fn here(&mut self) -> Result<Here, Stop> {
        if !self.run.goes_on() {
            return Err(STOP);
        }
        match self.mode {
            Mode::Produce(depth) if depth > self.run.value_depth_max => Err(STOP),
            Mode::Produce(_) => Ok(Here::Value),
            Mode::Follow(depth) => Ok(self
                .run
                .path
                .get(depth)
                .map_or(Here::End(self.run.goal), |step| Here::Way(*step))),
        }
    }

    /// Writes down what is asked for; the run is over.
    fn found<T>(self, asked: Asked) -> Result<T, Stop> {
        self.run.asked = Some(asked);
        Err(STOP)
    }

    /// What stands in this one, where the way goes on or a value has parts of its own.
    fn inside(self) -> Self {
        let mode = self.mode.child(true);
        self.run.pass(mode);
        Self { mode, ..self }
    }

    /// A part of this one, which is or is not where the way goes on.
    fn child(&mut self, on_the_way: bool) -> Explorer<'_> {
        let mode = self.mode.child(on_the_way);
        self.run.pass(mode);
        Explorer { mode, run: &mut *self.run }
    }

    fn scalar<V: Visitor<'static>>(
        mut self,
        scalar: Scalar,
        visitor: V,
        give: impl FnOnce(&mut Run, V) -> Result<V::Value, Stop>,
    ) -> Result<V::Value, Stop> {
        match self.here()? {
            Here::End(_) => self.found(Asked::Scalar(scalar)),
            Here::Way(_) => Err(STOP),
            Here::Value => give(self.run, visitor),
        }
    }

    fn unknown<V: Visitor<'static>>(
        mut self,
        visitor: V,
        why: &'static str,
    ) -> Result<V::Value, Stop> {
        match self.here()? {
            Here::End(_) => self.found(Asked::Unknown(why)),
            Here::Way(_) => Err(STOP),
            Here::Value => values::any(self, visitor),
        }
    }

    /// Reads fields in order, or those of a tuple.
    fn fields<V: Visitor<'static>>(
        mut self,
        asked: Asked,
        names: Names,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match self.here()? {
            Here::End(Goal::Look) => self.found(asked),
            Here::End(Goal::Give(given)) => self.give_fields(given, visitor),
            Here::End(Goal::Twice(name)) => self.give_twice(name, visitor),
            Here::Way(Step::At(place)) => match names {
                Names::Of(names) if self.run.by_name => match names.get(place) {
                    Some(name) => visitor.visit_map(Entries {
                        explorer: self,
                        keys: Keys::These(vec![name]),
                        next: 0,
                        target: Some(Step::Value),
                    }),
                    None => Err(STOP),
                },
                _ => visitor.visit_seq(Elements::towards(self, names.len(), place)),
            },
            Here::Way(_) => Err(STOP),
            Here::Value => visitor.visit_seq(Elements::new(self, names.len())),
        }
    }
}

impl Explorer<'_> {
    fn give_fields<V: Visitor<'static>>(self, given: usize, visitor: V) -> Result<V::Value, Stop> {
        let mut elements =
            Elements::new(Explorer { mode: Mode::Produce(0), run: &mut *self.run }, given);
        let enough = visitor.visit_seq(&mut elements).is_ok();
        let asked = elements.next;
        // Who has got all that was asked for and is not content does not like the values.
        let refused = elements.refused || (!enough && asked <= given);
        self.run.outcome = Some(Outcome { asked, enough, refused, twice: None });
        Err(STOP)
    }

    fn give_twice<V: Visitor<'static>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let explorer = Explorer { mode: Mode::Produce(0), run: &mut *self.run };
        let read = visitor.visit_map(Entries {
            explorer,
            keys: Keys::These(vec![name; 2]),
            next: 0,
            target: None,
        });
        let twice = read.err().and_then(|stop| stop.twice);
        let outcome = Outcome { refused: twice.is_none(), twice, ..Outcome::default() };
        self.run.outcome = Some(outcome);
        Err(STOP)
    }
}

/// Elements of a list, or fields in order.
struct Elements<'r> {
    explorer: Explorer<'r>,
    next: usize,
    given: usize,
    /// The one that is on the way of the run.
    target: Option<usize>,
    /// One of them was not read.
    refused: bool,
}

impl<'r> Elements<'r> {
    fn new(explorer: Explorer<'r>, given: usize) -> Self {
        Self { explorer, next: 0, given, target: None, refused: false }
    }

    fn towards(explorer: Explorer<'r>, given: usize, target: usize) -> Self {
        Self { target: Some(target), ..Self::new(explorer, given) }
    }
}

impl SeqAccess<'static> for Elements<'_> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'static>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Stop> {
        let place = self.next;
        self.next += 1;
        if place >= self.given {
            return Ok(None);
        }
        let element = self.explorer.child(self.target == Some(place));
        let read = seed.deserialize(element);
        self.refused |= read.is_err();
        read.map(Some)
    }
}

/// Keys of a map, or names of fields.
enum Keys {
    These(Vec<&'static str>),
    /// So many of whatever type the map has.
    Any(usize),
}

struct Entries<'r> {
    explorer: Explorer<'r>,
    keys: Keys,
    next: usize,
    /// Whether the way goes on in the key or the value of the first.
    target: Option<Step>,
}

impl MapAccess<'static> for Entries<'_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'static>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Stop> {
        let place = self.next;
        self.next += 1;
        match &self.keys {
            Keys::These(names) => match names.get(place) {
                Some(name) => seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some),
                None => Ok(None),
            },
            Keys::Any(given) if place < *given => {
                seed.deserialize(self.explorer.child(self.target == Some(Step::Key))).map(Some)
            }
            Keys::Any(_) => Ok(None),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'static>>(&mut self, seed: T) -> Result<T::Value, Stop> {
        seed.deserialize(self.explorer.child(self.target == Some(Step::Value)))
    }
}

/// An enum with one of its variants.
struct Chosen<'r> {
    explorer: Explorer<'r>,
    name: &'static str,
}

impl<'r> EnumAccess<'static> for Chosen<'r> {
    type Error = Stop;
    type Variant = Explorer<'r>;

    fn variant_seed<T: DeserializeSeed<'static>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Self::Variant), Stop> {
        let name = seed.deserialize(BorrowedStrDeserializer::new(self.name))?;
        Ok((name, self.explorer))
    }
}

impl VariantAccess<'static> for Explorer<'_> {
    type Error = Stop;

    fn unit_variant(mut self) -> Result<(), Stop> {
        match self.here()? {
            Here::End(_) => self.found(Asked::Variant),
            Here::Way(_) => Err(STOP),
            Here::Value => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'static>>(
        mut self,
        seed: T,
    ) -> Result<T::Value, Stop> {
        match self.here()? {
            Here::End(_) => self.found(Asked::VariantValue),
            Here::Way(Step::Inside) | Here::Value => seed.deserialize(self.inside()),
            Here::Way(_) => Err(STOP),
        }
    }

    fn tuple_variant<V: Visitor<'static>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let names = Names::None(length);
        self.fields(Asked::VariantFields(names), names, visitor)
    }

    fn struct_variant<V: Visitor<'static>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let names = Names::Of(fields);
        self.fields(Asked::VariantFields(names), names, visitor)
    }
}

/// Methods for types without parts, each with what it gives.
macro_rules! scalars {
    ($($method:ident $scalar:ident $give:expr;)+) => {
        $(
            fn $method<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
                self.scalar(Scalar::$scalar, visitor, $give)
            }
        )+
    };
}

impl Run {
    fn number<T: From<u8>>(&mut self) -> T {
        T::from(NUMBERS[self.choices.choose(NUMBERS.len())])
    }

    fn small_number(&mut self) -> i8 {
        i8::try_from(self.number::<u8>()).expect("the numbers are below 128")
    }

    fn text(&mut self) -> &'static str {
        TEXTS[self.choices.choose(TEXTS.len())]
    }

    fn bytes(&mut self) -> &'static [u8] {
        BYTES[self.choices.choose(BYTES.len())]
    }
}

impl Deserializer<'static> for Explorer<'_> {
    type Error = Stop;

    fn is_human_readable(&self) -> bool {
        false
    }

    scalars! {
        deserialize_bool Bool |run, visitor| visitor.visit_bool(run.choices.choose(2) == 1);
        deserialize_u8 U8 |run, visitor| visitor.visit_u8(run.number());
        deserialize_u16 U16 |run, visitor| visitor.visit_u16(run.number());
        deserialize_u32 U32 |run, visitor| visitor.visit_u32(run.number());
        deserialize_u64 U64 |run, visitor| visitor.visit_u64(run.number());
        deserialize_u128 U128 |run, visitor| visitor.visit_u128(run.number());
        deserialize_i8 I8 |run, visitor| visitor.visit_i8(run.small_number());
        deserialize_i16 I16 |run, visitor| visitor.visit_i16(run.number());
        deserialize_i32 I32 |run, visitor| visitor.visit_i32(run.number());
        deserialize_i64 I64 |run, visitor| visitor.visit_i64(run.number());
        deserialize_i128 I128 |run, visitor| visitor.visit_i128(run.number());
        deserialize_f32 F32 |run, visitor| visitor.visit_f32(run.number());
        deserialize_f64 F64 |run, visitor| visitor.visit_f64(run.number());
        deserialize_char Char |_, visitor| visitor.visit_char('a');
        deserialize_str Text |run, visitor| visitor.visit_borrowed_str(run.text());
        deserialize_string Text |run, visitor| visitor.visit_borrowed_str(run.text());
        deserialize_bytes Bytes |run, visitor| visitor.visit_borrowed_bytes(run.bytes());
        deserialize_byte_buf Bytes |run, visitor| visitor.visit_borrowed_bytes(run.bytes());
        deserialize_unit Unit |_, visitor| visitor.visit_unit();
    }

    fn deserialize_any<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.unknown(visitor, "it takes what it finds: an untagged or tagged enum, or any value")
    }

    fn deserialize_ignored_any<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.unknown(visitor, "its reader skips it")
    }

    /// Somebody reads a map whose keys are names of fields.
    fn deserialize_identifier<V: Visitor<'static>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        match self.here()? {
            Here::End(_) => self.found(Asked::Flattened),
            Here::Way(_) => Err(STOP),
            Here::Value => visitor.visit_borrowed_str(self.run.text()),
        }
    }

    fn deserialize_option<V: Visitor<'static>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        match self.here()? {
            Here::End(_) => self.found(Asked::Option),
            Here::Way(Step::Inside) => visitor.visit_some(self.inside()),
            Here::Way(_) => Err(STOP),
            Here::Value if self.run.choices.choose(2) == 0 => visitor.visit_none(),
            Here::Value => visitor.visit_some(self.inside()),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'static>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match self.here()? {
            Here::End(_) => self.found(Asked::Struct(key::<V>(name), Names::None(0))),
            Here::Way(_) => Err(STOP),
            Here::Value => visitor.visit_unit(),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'static>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match self.here()? {
            Here::End(_) if name == MARK => self.found(Asked::Named),
            Here::End(_) => self.found(Asked::Newtype(key::<V>(name))),
            Here::Way(Step::Inside) | Here::Value => visitor.visit_newtype_struct(self.inside()),
            Here::Way(_) => Err(STOP),
        }
    }

    fn deserialize_seq<V: Visitor<'static>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        match self.here()? {
            Here::End(_) => self.found(Asked::List),
            Here::Way(Step::Inside) => visitor.visit_seq(Elements::towards(self, 1, 0)),
            Here::Way(_) => Err(STOP),
            Here::Value => {
                let given = self.run.choices.choose(2);
                visitor.visit_seq(Elements::new(self, given))
            }
        }
    }

    fn deserialize_map<V: Visitor<'static>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        let (given, target) = match self.here()? {
            Here::End(_) => return self.found(Asked::Map),
            Here::Way(step @ (Step::Key | Step::Value)) => (1, Some(step)),
            Here::Way(_) => return Err(STOP),
            Here::Value => (self.run.choices.choose(2), None),
        };
        visitor.visit_map(Entries { explorer: self, keys: Keys::Any(given), next: 0, target })
    }

    fn deserialize_tuple<V: Visitor<'static>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.fields(Asked::Tuple(length), Names::None(length), visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'static>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let names = Names::None(length);
        self.fields(Asked::Struct(key::<V>(name), names), names, visitor)
    }

    fn deserialize_struct<V: Visitor<'static>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let names = Names::Of(fields);
        self.fields(Asked::Struct(key::<V>(name), names), names, visitor)
    }

    fn deserialize_enum<V: Visitor<'static>>(
        mut self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let name = match self.here()? {
            Here::End(_) if is_tag::<V>() => return self.found(Asked::Tag),
            Here::End(_) => return self.found(Asked::Enum(key::<V>(name), variants)),
            Here::Way(Step::Variant(name)) => name,
            Here::Value if !variants.is_empty() => {
                variants[self.run.choices.choose(variants.len())]
            }
            Here::Way(_) | Here::Value => return Err(STOP),
        };
        visitor.visit_enum(Chosen { explorer: self.inside(), name })
    }
}

fn key<V: Visitor<'static>>(name: &'static str) -> TypeKey {
    TypeKey { name, path: type_name::<V::Value>(), reader: type_name::<V>() }
}

/// Whether `V` reads the tag of an adjacently tagged enum. Nothing but the name of what serde has for
/// that tells it from any other enum.
fn is_tag<V: Visitor<'static>>() -> bool {
    type_name::<V>().contains("AdjacentlyTagged")
}
