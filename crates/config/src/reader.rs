//! One flat table, whichever format it is written in.

use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// A name and what is set there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) value: Written,
}

/// What a value is for a format.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Written {
    Text(String),
    Number(u64),
    /// Anything else, by what it is called.
    Other(&'static str),
}

/// All entries in order; one that comes twice comes twice here.
#[derive(Debug, Default)]
pub(crate) struct Table(pub(crate) Vec<Entry>);

impl<'de> serde::Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Table;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("knobs with their values")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Table, M::Error> {
                let mut entries = Vec::new();
                while let Some((name, value)) = map.next_entry()? {
                    entries.push(Entry { name, value });
                }
                Ok(Table(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl<'de> serde::Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Written, E> {
        Ok(Written::Text(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Written, E> {
        Ok(Written::Number(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Written, E> {
        Ok(u64::try_from(number).map_or(Written::Other("a negative number"), Written::Number))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Written, E> {
        Ok(Written::Other("a fraction"))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Written, E> {
        Ok(Written::Other("true or false"))
    }

    fn visit_unit<E: Error>(self) -> Result<Written, E> {
        Ok(Written::Other("null"))
    }

    fn visit_seq<S: serde::de::SeqAccess<'de>>(self, mut all: S) -> Result<Written, S::Error> {
        while all.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(Written::Other("a list"))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Written, M::Error> {
        while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
        Ok(Written::Other("a table"))
    }
}
