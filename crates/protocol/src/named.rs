//! Structs that travel as maps of their fields' names, where a message asks for it.
//!
//! For what has many optional fields of which few are set, or whose fields come and go:
//!
//! ```
//! use moorline_protocol::Format;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Search {
//!     #[serde(with = "moorline_protocol::named")]
//!     filter: Filter, // a map
//!     page: u32,      // beside it, in the array of `Search`
//! }
//! #[derive(Serialize, Deserialize)]
//! struct Filter {
//!     #[serde(skip_serializing_if = "Option::is_none")]
//!     name: Option<String>,
//!     #[serde(skip_serializing_if = "Option::is_none")]
//!     age: Option<u8>,
//! }
//!
//! let search = Search { filter: Filter { name: None, age: Some(7) }, page: 1 };
//! let mut out = Vec::new();
//! Format::MessagePack.encode(&search, &mut out).unwrap();
//! assert_eq!(out, b"\x92\x81\xa3age\x07\x01");
//! let back: Search = Format::MessagePack.decode(&out).unwrap();
//! assert!(back.filter.name.is_none() && back.filter.age == Some(7));
//! ```
//!
//! The body of a message is named as a whole by a newtype around it:
//! `struct Search(#[serde(with = "moorline_protocol::named")] Filter);`.
//!
//! It holds for the struct that it stands at, within options and newtypes too, and not for those inside
//! that struct. What is no struct is encoded as ever. `skip_serializing_if` belongs here alone: in an array it would move all fields that follow.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Visitor};
use serde::ser::{SerializeMap, SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};

/// Tells whoever traces a type that a map is meant; readers of bytes see which it is.
pub(crate) const MARK: &str = "$moorline::named";

/// Encodes a struct as a map of its fields' names: for `#[serde(with = ..)]`.
///
/// # Errors
/// Those of `serializer`.
pub fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    value.serialize(AsMap(serializer))
}

/// Reads a struct that was encoded as a map, or as an array: for `#[serde(with = ..)]`.
///
/// # Errors
/// Those of `deserializer`.
//= docs/PROTOCOL.md#5
pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_newtype_struct(MARK, Inside(PhantomData))
}

struct Inside<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Inside<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a struct with named fields")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

/// What an option or a newtype holds that is to be named.
struct Within<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for Within<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(AsMap(serializer))
    }
}

/// A serializer that is told of a struct and makes a map of it.
struct AsMap<S>(S);

/// The fields of that struct.
struct Entries<M>(M);

impl<M: SerializeMap> SerializeStruct for Entries<M> {
    type Ok = M::Ok;
    type Error = M::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), M::Error> {
        self.0.serialize_entry(name, value)
    }

    fn end(self) -> Result<M::Ok, M::Error> {
        self.0.end()
    }
}

/// Methods that hand over what they were given.
macro_rules! forward {
    ($($method:ident($($argument:ident: $ty:ty),*) -> $result:ident;)+) => {
        $(
            fn $method(self, $($argument: $ty),*) -> Result<S::$result, S::Error> {
                self.0.$method($($argument),*)
            }
        )+
    };
}

impl<S: Serializer> Serializer for AsMap<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = S::SerializeSeq;
    type SerializeTuple = S::SerializeTuple;
    type SerializeTupleStruct = S::SerializeTupleStruct;
    type SerializeTupleVariant = S::SerializeTupleVariant;
    type SerializeMap = S::SerializeMap;
    type SerializeStruct = Entries<S::SerializeMap>;
    type SerializeStructVariant = S::SerializeStructVariant;

    fn serialize_struct(
        self,
        _: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_map(Some(length)).map(Entries)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Within(value))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &Within(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_variant(name, index, variant, value)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }

    forward! {
        serialize_bool(value: bool) -> Ok;
        serialize_i8(value: i8) -> Ok;
        serialize_i16(value: i16) -> Ok;
        serialize_i32(value: i32) -> Ok;
        serialize_i64(value: i64) -> Ok;
        serialize_i128(value: i128) -> Ok;
        serialize_u8(value: u8) -> Ok;
        serialize_u16(value: u16) -> Ok;
        serialize_u32(value: u32) -> Ok;
        serialize_u64(value: u64) -> Ok;
        serialize_u128(value: u128) -> Ok;
        serialize_f32(value: f32) -> Ok;
        serialize_f64(value: f64) -> Ok;
        serialize_char(value: char) -> Ok;
        serialize_str(value: &str) -> Ok;
        serialize_bytes(value: &[u8]) -> Ok;
        serialize_none() -> Ok;
        serialize_unit() -> Ok;
        serialize_unit_struct(name: &'static str) -> Ok;
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str) -> Ok;
        serialize_seq(length: Option<usize>) -> SerializeSeq;
        serialize_tuple(length: usize) -> SerializeTuple;
        serialize_tuple_struct(name: &'static str, length: usize) -> SerializeTupleStruct;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, length: usize) -> SerializeTupleVariant;
        serialize_map(length: Option<usize>) -> SerializeMap;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, length: usize) -> SerializeStructVariant;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair {
        a: u8,
        inner: Option<Box<Pair>>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder<T>(#[serde(with = "crate::named", bound(deserialize = "T: Deserialize<'de>"))] T)
    where
        T: Serialize;

    fn encoded<T: Serialize + for<'de> Deserialize<'de> + PartialEq + fmt::Debug>(
        value: T,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let holder = Holder(value);
        Format::MessagePack.encode(&holder, &mut out).unwrap();
        assert_eq!(Format::MessagePack.decode(&out).as_ref(), Ok(&holder));
        out
    }

    #[test]
    fn a_struct_is_named_within_options_and_newtypes_and_not_inside() {
        let pair = || Pair { a: 7, inner: Some(Box::new(Pair { a: 8, inner: None })) };
        let named = b"\x82\xa1a\x07\xa5inner\x92\x08\xc0";
        assert_eq!(encoded(pair()), named);
        assert_eq!(encoded(Some(pair())), named);
        assert_eq!(encoded(Some(Holder(pair()))), named);
        assert_eq!(encoded(None::<Pair>), b"\xc0");
    }

    #[test]
    fn what_is_no_struct_is_encoded_as_ever() {
        assert_eq!(encoded(300_u16), b"\xcd\x01\x2c");
        assert_eq!(encoded(vec![1_u16, 2]), b"\x92\x01\x02");
        assert_eq!(encoded((true, 'x', "y".to_owned())), b"\x93\xc3\xa1x\xa1y");
        assert_eq!(encoded(Err::<(), _>(5_i8)), b"\x81\xa3Err\x05");
        assert_eq!(encoded(std::collections::BTreeMap::from([(1, ())])), b"\x81\x01\xc0");
    }
}
