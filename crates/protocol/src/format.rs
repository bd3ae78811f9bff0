//! How a message body becomes bytes and back, and what can be wrong with the bytes.

#[cfg(feature = "cbor")]
mod cbor;
mod raw;

use std::fmt;

use rmp_serde::config::BytesMode;
use rmp_serde::encode;
use serde::{Deserialize, Serialize};

use crate::limits::DEPTH_MAX;
use crate::msgpack::read::Reader;
use crate::msgpack::walk::walk;

/// How bodies are encoded. A value, not a type parameter: it is known once a protocol is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// MessagePack; structs are arrays of their fields (PROTOCOL 5).
    MessagePack,
    /// CBOR; structs are maps of their fields' names (PROTOCOL 11).
    #[cfg(feature = "cbor")]
    Cbor,
    /// Bytes as they are: for types that hold nothing but bytes or text, which the application has
    /// encoded by itself.
    Raw,
}

impl Format {
    /// Appends `value` to `out`. Allocates only where `out` has to grow.
    ///
    /// # Errors
    /// The value's own `Serialize` refused. Nothing is appended then.
    pub fn encode<T: Serialize + ?Sized>(
        self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), BodyEncodeError> {
        match self {
            Format::MessagePack => encode_msgpack(value, out),
            #[cfg(feature = "cbor")]
            Format::Cbor => cbor::encode(value, out),
            Format::Raw => raw::encode(value, out),
        }
    }

    /// Reads the one value that `bytes` must be. What the type borrows, it borrows from `bytes`.
    ///
    /// What containers of the type hold is bounded by what `bytes` really has: an element takes a
    /// byte at least, and no announced count is believed before its elements are there.
    ///
    /// # Errors
    /// The bytes are not well-formed, are above a limit, or do not fit the type.
    //= docs/PROTOCOL.md#5
    pub fn decode<'de, T: Deserialize<'de>>(self, bytes: &'de [u8]) -> Result<T, DecodeError> {
        match self {
            Format::MessagePack => decode_msgpack(bytes),
            #[cfg(feature = "cbor")]
            Format::Cbor => cbor::decode(bytes),
            Format::Raw => raw::decode(bytes),
        }
    }

    /// Checks that `bytes` are one value within all limits, whatever its type: no recursion, no
    /// allocation.
    ///
    /// # Errors
    /// As [`decode`](Self::decode), but for what only a type can tell.
    pub fn walk(self, bytes: &[u8]) -> Result<(), DecodeError> {
        match self {
            Format::MessagePack => nothing_behind(walk(bytes)?, bytes),
            #[cfg(feature = "cbor")]
            Format::Cbor => cbor::walk(bytes),
            Format::Raw => Ok(()),
        }
    }
}

/// A body is exactly one value, which ends at byte `length`.
fn nothing_behind(length: usize, bytes: &[u8]) -> Result<(), DecodeError> {
    if length < bytes.len() {
        return Err(DecodeError::new(length, DecodeFault::TrailingBytes));
    }
    Ok(())
}

fn decode_msgpack<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    match T::deserialize(&mut reader) {
        Ok(value) => reader.finish().map(|()| value),
        Err(error) => Err(error.at(reader.offset())),
    }
}

fn encode_msgpack<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), BodyEncodeError> {
    let length_before = out.len();
    let mut encoded = write_msgpack(value, out, BytesMode::ForceIterables);
    if let Err(encode::Error::InvalidDataModel(_)) = encoded {
        // What began like a list of bytes is a mixed list.
        out.truncate(length_before);
        encoded = write_msgpack(value, out, BytesMode::Normal);
    }
    encoded.map_err(|error| {
        out.truncate(length_before);
        BodyEncodeError { why: error.to_string() }
    })
}

/// Lists of `u8` are sent as binary, for two reasons: a field `&[u8]` can be borrowed on receive,
/// and an array of integers takes half as much again.
fn write_msgpack<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
    bytes: BytesMode,
) -> Result<(), encode::Error> {
    value.serialize(&mut rmp_serde::Serializer::new(out).with_bytes(bytes))
}

/// A value that cannot be encoded: our side's doing, always.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the message cannot be encoded: {why}")]
pub struct BodyEncodeError {
    why: String,
}

/// A body that could not be read: where, and what was wrong with it. It never holds anything the
/// peer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    /// `usize::MAX` while nobody has said where.
    offset: usize,
    fault: DecodeFault,
}

impl DecodeError {
    /// An error at a known place.
    #[must_use]
    pub const fn new(offset: usize, fault: DecodeFault) -> Self {
        Self { offset, fault }
    }

    /// Byte of the body at which reading stopped, from 0.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// What was wrong.
    #[must_use]
    pub const fn fault(&self) -> DecodeFault {
        self.fault
    }

    const fn somewhere(fault: DecodeFault) -> Self {
        Self { offset: usize::MAX, fault }
    }

    /// Fills in the place of an error that a type reported, which cannot know it.
    pub(crate) fn at(self, offset: usize) -> Self {
        Self { offset: self.offset.min(offset), ..self }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "body refused at byte {}: {}", self.offset, self.fault)
    }
}

impl std::error::Error for DecodeError {}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeFault {
    /// The bytes end within a value.
    #[error("it ends within a value")]
    Truncated,
    /// Something follows the value.
    #[error("something follows the value; a body is exactly one")]
    TrailingBytes,
    /// Nested deeper than [`DEPTH_MAX`]; where there are tags, they count.
    #[error("nested deeper than {DEPTH_MAX} arrays and maps; send it flatter")]
    TooDeep,
    /// Options or newtypes nested without end in the type, not in the bytes.
    #[error("the type nests options or newtypes without end; give it an array or a struct between")]
    TooWrapped,
    /// An array or map declares more elements than bytes remain for them.
    #[error("an array or map declares more elements than bytes remain")]
    TooMany,
    /// An extension or a reserved marker.
    #[error("a marker with no meaning in a body: {0:#04x}")]
    Marker(u8),
    /// An integer above 128 bits.
    #[error("an integer above 128 bits; send it as bytes")]
    BigNumber,
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// A value of another type than the reader's.
    #[error("a {found} stands where the type has something else; do both sides have one version?")]
    WrongType {
        /// What stands there.
        found: &'static str,
    },
    /// A value the type does not take, such as an integer out of its range.
    #[error("a {found} is out of the range of its type")]
    WrongValue {
        /// What stands there.
        found: &'static str,
    },
    /// An array has fewer elements than the type.
    #[error("only {0} elements, the type has more; fields added later need `#[serde(default)]`")]
    TooShort(usize),
    /// An enum is neither a name nor a map with one entry.
    #[error("a map of more or less than one entry stands for an enum")]
    VariantMap,
    /// A variant the reader does not have.
    #[error("unknown variant, known are {}; unknown ones are taken by `#[serde(other)]`", .0.join(", "))]
    UnknownVariant(&'static [&'static str]),
    /// A field the reader does not have and does not tolerate.
    #[error("unknown field, known are {}", .0.join(", "))]
    UnknownField(&'static [&'static str]),
    /// A field is missing.
    #[error("field `{0}` is missing; fields added later need `#[serde(default)]`")]
    MissingField(&'static str),
    /// A field stands there twice.
    #[error("field `{0}` stands there twice")]
    DuplicateField(&'static str),
    /// The type's own `Deserialize` refused; its text is not kept, it may quote the peer.
    #[error("the type's own check refused the value")]
    Refused,
}

impl serde::de::Error for DecodeError {
    fn custom<T: fmt::Display>(_text: T) -> Self {
        Self::somewhere(DecodeFault::Refused)
    }

    fn invalid_type(found: serde::de::Unexpected<'_>, _: &dyn serde::de::Expected) -> Self {
        Self::somewhere(DecodeFault::WrongType { found: kind_of(&found) })
    }

    fn invalid_value(found: serde::de::Unexpected<'_>, _: &dyn serde::de::Expected) -> Self {
        Self::somewhere(DecodeFault::WrongValue { found: kind_of(&found) })
    }

    fn invalid_length(length: usize, _: &dyn serde::de::Expected) -> Self {
        Self::somewhere(DecodeFault::TooShort(length))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::somewhere(DecodeFault::UnknownVariant(expected))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::somewhere(DecodeFault::UnknownField(expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::somewhere(DecodeFault::MissingField(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::somewhere(DecodeFault::DuplicateField(field))
    }
}

fn kind_of(found: &serde::de::Unexpected<'_>) -> &'static str {
    use serde::de::Unexpected;
    match found {
        Unexpected::Bool(_) => "boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "integer",
        Unexpected::Float(_) => "float",
        Unexpected::Char(_) | Unexpected::Str(_) => "string",
        Unexpected::Bytes(_) => "binary",
        Unexpected::Unit | Unexpected::Option => "nil",
        Unexpected::Seq => "array",
        Unexpected::Map => "map",
        Unexpected::Enum | Unexpected::UnitVariant => "variant without content",
        Unexpected::NewtypeVariant | Unexpected::TupleVariant | Unexpected::StructVariant => {
            "variant with content"
        }
        _ => "value",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Three(u8, u8, u8);

    #[test]
    fn the_struct_of_the_protocol_document_has_its_bytes() {
        let mut out = vec![0xAA];
        Format::MessagePack.encode(&Three(1, 2, 3), &mut out).unwrap();
        assert_eq!(out, [0xAA, 0x93, 1, 2, 3]);
        assert_eq!(Format::MessagePack.decode::<Three>(&out[1..]), Ok(Three(1, 2, 3)));
    }

    #[test]
    fn a_value_that_refuses_leaves_nothing_behind() {
        struct Refuses;
        impl Serialize for Refuses {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("not today"))
            }
        }
        let mut out = vec![7];
        let error = Format::MessagePack.encode(&(1, "two", Refuses), &mut out).unwrap_err();
        assert_eq!(error.to_string(), "the message cannot be encoded: not today");
        assert_eq!(out, [7]);
    }

    #[test]
    fn nothing_may_follow_the_value() {
        let expected = DecodeError::new(1, DecodeFault::TrailingBytes);
        assert_eq!(Format::MessagePack.decode::<u8>(&[1, 2]), Err(expected));
        assert_eq!(Format::MessagePack.walk(&[1, 2]), Err(expected));
        assert_eq!(Format::MessagePack.walk(&[1]), Ok(()));
    }

    #[test]
    fn an_error_says_where_and_what_but_never_quotes_the_peer() {
        let short = Format::MessagePack.decode::<Three>(&[0x92, 1, 2]).unwrap_err();
        assert_eq!(
            short.to_string(),
            "body refused at byte 3: only 2 elements, the type has more; fields added later need \
             `#[serde(default)]`"
        );
        let text = b"\xa8<script>";
        let wrong = Format::MessagePack.decode::<u8>(text).unwrap_err().to_string();
        assert!(!wrong.contains("script"), "{wrong}");
        let refused = Format::MessagePack.decode::<std::net::IpAddr>(text).unwrap_err();
        assert!(!refused.to_string().contains("script"), "{refused}");
    }

    #[test]
    fn an_error_is_small() {
        assert!(size_of::<DecodeError>() <= 32);
    }
}
