//! Bodies: our reader and our walker against each other, against rmp-serde, and against a model that
//! is too simple to be wrong.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};

use moorline_protocol::Format;
use moorline_protocol::limits::DEPTH_MAX;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The walker says what the model says; the reader of any value says it too, and what it reads is what
/// rmp-serde reads. Returns whether it was one value.
pub(crate) fn msgpack_walk(data: &[u8]) -> bool {
    let walked = Format::MessagePack.walk(data);
    assert_eq!(walked.is_ok(), measure(data, 0) == Some(data.len()), "the walker, then the model");
    let ignored = Format::MessagePack.decode::<IgnoredAny>(data).map(|_| ());
    assert_eq!(ignored, walked, "ignoring, then the walker");
    let read = Format::MessagePack.decode::<Any>(data);
    assert_eq!(read.as_ref().map(|_| ()).map_err(|error| *error), walked, "reading, then walking");
    if let Ok(read) = read {
        assert_eq!(rmp_serde::from_slice::<Any>(data).expect("it is well-formed"), read);
    }
    walked.is_ok()
}

/// What a type takes is well-formed, is what rmp-serde takes it for, and comes back when it is sent.
/// Returns whether any type took it.
pub(crate) fn msgpack_read(data: &[u8]) -> bool {
    let taken = [
        read::<Record>(data),
        read::<Vec<Shape>>(data),
        read::<Untagged>(data),
        read::<(u8, i64, String)>(data),
        read::<BTreeMap<i16, Option<(bool, char)>>>(data),
        read::<Vec<u8>>(data),
        read::<u128>(data),
        read::<()>(data),
    ];
    taken.contains(&true)
}

fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) -> bool {
    let Ok(value) = Format::MessagePack.decode::<T>(data) else { return false };
    assert_eq!(Format::MessagePack.walk(data), Ok(()), "what a type takes is well-formed");
    if let Ok(oracle) = rmp_serde::from_slice::<T>(data) {
        assert_eq!(value, oracle, "the reader, then rmp-serde");
    }
    let mut bytes = Vec::new();
    Format::MessagePack.encode(&value, &mut bytes).expect("it was encoded before");
    assert_eq!(Format::MessagePack.decode::<T>(&bytes).as_ref(), Ok(&value), "{bytes:02x?}");
    true
}

/// Length of the value at the front, by the book.
fn measure(bytes: &[u8], depth: u32) -> Option<usize> {
    let number = |at: usize, len: usize| {
        let digits = bytes.get(at..at + len)?;
        Some(digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)))
    };
    let end = |len: usize| (len <= bytes.len()).then_some(len);
    let text = |head: usize, len: usize| {
        let len = end(head.checked_add(len)?)?;
        std::str::from_utf8(&bytes[head..len]).ok().map(|_| len)
    };
    let values = |head: usize, count: usize| {
        if depth == DEPTH_MAX {
            return None;
        }
        (0..count).try_fold(head, |at, _| Some(at + measure(bytes.get(at..)?, depth + 1)?))
    };
    let first = *bytes.first()?;
    let low = |mask: u8| usize::from(first & mask);
    match first {
        0x00..=0x7F | 0xE0..=0xFF | 0xC0 | 0xC2 | 0xC3 => Some(1),
        0x80..=0x8F => values(1, 2 * low(0x0F)),
        0x90..=0x9F => values(1, low(0x0F)),
        0xA0..=0xBF => text(1, low(0x1F)),
        0xC4 => end(number(1, 1)?.checked_add(2)?),
        0xC5 => end(number(1, 2)?.checked_add(3)?),
        0xC6 => end(number(1, 4)?.checked_add(5)?),
        0xCC | 0xD0 => end(2),
        0xCD | 0xD1 => end(3),
        0xCA | 0xCE | 0xD2 => end(5),
        0xCB | 0xCF | 0xD3 => end(9),
        0xD9 => text(2, number(1, 1)?),
        0xDA => text(3, number(1, 2)?),
        0xDB => text(5, number(1, 4)?),
        0xDC => values(3, number(1, 2)?),
        0xDD => values(5, number(1, 4)?),
        0xDE => values(3, 2 * number(1, 2)?),
        0xDF => values(5, number(1, 4)?.checked_mul(2)?),
        0xC1 | 0xC7..=0xC9 | 0xD4..=0xD8 => None,
    }
}

/// Whatever stands there.
#[derive(Debug, PartialEq)]
pub(crate) enum Any {
    Nil,
    Bool(bool),
    /// Of any width and form.
    Integer(i128),
    /// One that is too large for that.
    Huge(u128),
    /// Its bits; all that are no number are one.
    Float(u64),
    Text(String),
    Binary(Vec<u8>),
    Array(Vec<Any>),
    Map(Vec<(Any, Any)>),
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Taken;
        impl<'de> Visitor<'de> for Taken {
            type Value = Any;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_unit<E>(self) -> Result<Any, E> {
                Ok(Any::Nil)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Any, E> {
                Ok(Any::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Any, E> {
                Ok(Any::Integer(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Any, E> {
                Ok(Any::Integer(value.into()))
            }
            fn visit_i128<E>(self, value: i128) -> Result<Any, E> {
                Ok(Any::Integer(value))
            }
            fn visit_u128<E>(self, value: u128) -> Result<Any, E> {
                Ok(i128::try_from(value).map_or(Any::Huge(value), Any::Integer))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Any, E> {
                let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
                Ok(Any::Float(bits))
            }
            fn visit_str<E>(self, text: &str) -> Result<Any, E> {
                Ok(Any::Text(text.to_owned()))
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Any, E> {
                Ok(Any::Binary(bytes.to_vec()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Any, A::Error> {
                let mut all = Vec::new();
                while let Some(element) = elements.next_element()? {
                    all.push(element);
                }
                Ok(Any::Array(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Any, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    all.push(entry);
                }
                Ok(Any::Map(all))
            }
        }
        deserializer.deserialize_any(Taken)
    }
}

/// All kinds of variants.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Shape {
    Unit,
    Newtype(Box<Shape>),
    Tuple(i64, String, Vec<Shape>),
    Struct { maybe: Option<u16>, inner: BTreeMap<String, Shape> },
}

/// Buffered by serde before its variant is known.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Untagged {
    Number(i64),
    Text(String),
    List(Vec<Untagged>),
    Map(BTreeMap<String, Untagged>),
}

/// A message as users write them, with a field that was added later.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) flag: bool,
    pub(crate) unsigned: (u8, u16, u32, u64),
    pub(crate) signed: (i8, i16, i32, i64),
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) maybe: Option<Vec<Option<i8>>>,
    pub(crate) map: BTreeMap<i32, String>,
    #[serde(default)]
    pub(crate) shapes: Vec<Shape>,
    #[serde(default)]
    pub(crate) later: Option<Box<Record>>,
}
