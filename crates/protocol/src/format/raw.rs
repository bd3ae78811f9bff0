//! Bodies that are bytes and nothing else: what the application has encoded by itself.
//!
//! A type fits if all it holds is bytes or text: `struct Packet(Vec<u8>)`, `struct Line(String)`, one
//! with `#[serde(with = "serde_bytes")]`, or a struct without fields for an empty body.

use serde::de::{self, Deserialize, Visitor, value::SeqDeserializer};
use serde::ser::{self, Impossible, Serialize};

use super::{BodyEncodeError, DecodeError, DecodeFault};

/// Appends what `value` holds.
pub(super) fn encode<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), BodyEncodeError> {
    let length_before = out.len();
    value.serialize(Writer { out }).map_err(|Refusal(why)| {
        out.truncate(length_before);
        BodyEncodeError { why }
    })
}

/// Gives `bytes` to the type.
pub(super) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    T::deserialize(Reader(bytes)).map_err(|error: DecodeError| error.at(bytes.len()))
}

const ONLY_BYTES: &str = "a raw body is bytes or text and nothing else";

#[derive(Debug)]
struct Refusal(String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl ser::Error for Refusal {
    fn custom<T: std::fmt::Display>(text: T) -> Self {
        Refusal(text.to_string())
    }
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

/// An element of a list of bytes.
struct OneByte<'a>(&'a mut Vec<u8>);

/// The methods that have nothing to do here.
macro_rules! refuse {
    ($($method:ident($($ty:ty),*) -> $result:ty;)+) => {
        $(
            fn $method(self, $(_: $ty),*) -> Result<$result, Refusal> {
                Err(Refusal(ONLY_BYTES.into()))
            }
        )+
    };
}

/// Those that both serializers refuse.
macro_rules! refuse_values {
    () => {
        refuse! {
            serialize_bool(bool) -> ();
            serialize_i8(i8) -> ();
            serialize_i16(i16) -> ();
            serialize_i32(i32) -> ();
            serialize_i64(i64) -> ();
            serialize_u16(u16) -> ();
            serialize_u32(u32) -> ();
            serialize_u64(u64) -> ();
            serialize_f32(f32) -> ();
            serialize_f64(f64) -> ();
            serialize_char(char) -> ();
            serialize_none() -> ();
            serialize_unit_variant(&'static str, u32, &'static str) -> ();
            serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
            serialize_map(Option<usize>) -> Self::SerializeMap;
            serialize_struct(&'static str, usize) -> Self::SerializeStruct;
            serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
        }

        fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), Refusal> {
            Err(Refusal(ONLY_BYTES.into()))
        }

        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<(), Refusal> {
            Err(Refusal(ONLY_BYTES.into()))
        }
    };
}

impl<'a> ser::Serializer for Writer<'a> {
    type Ok = ();
    type Error = Refusal;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Impossible<(), Refusal>;
    type SerializeTupleVariant = Impossible<(), Refusal>;
    type SerializeMap = Impossible<(), Refusal>;
    type SerializeStruct = Impossible<(), Refusal>;
    type SerializeStructVariant = Impossible<(), Refusal>;

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Refusal> {
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Result<(), Refusal> {
        self.serialize_bytes(text.as_bytes())
    }

    fn serialize_unit(self) -> Result<(), Refusal> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Refusal> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refusal> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Refusal> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Refusal> {
        Ok(self)
    }

    refuse! {
        serialize_u8(u8) -> ();
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
    }
    refuse_values!();
}

impl ser::SerializeSeq for Writer<'_> {
    type Ok = ();
    type Error = Refusal;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        value.serialize(OneByte(self.out))
    }

    fn end(self) -> Result<(), Refusal> {
        Ok(())
    }
}

impl ser::SerializeTuple for Writer<'_> {
    type Ok = ();
    type Error = Refusal;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        value.serialize(OneByte(self.out))
    }

    fn end(self) -> Result<(), Refusal> {
        Ok(())
    }
}

impl ser::Serializer for OneByte<'_> {
    type Ok = ();
    type Error = Refusal;
    type SerializeSeq = Impossible<(), Refusal>;
    type SerializeTuple = Impossible<(), Refusal>;
    type SerializeTupleStruct = Impossible<(), Refusal>;
    type SerializeTupleVariant = Impossible<(), Refusal>;
    type SerializeMap = Impossible<(), Refusal>;
    type SerializeStruct = Impossible<(), Refusal>;
    type SerializeStructVariant = Impossible<(), Refusal>;

    fn serialize_u8(self, byte: u8) -> Result<(), Refusal> {
        self.0.push(byte);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<(), Refusal> {
        Err(Refusal(ONLY_BYTES.into()))
    }

    refuse! {
        serialize_bytes(&[u8]) -> ();
        serialize_str(&str) -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
    }
    refuse_values!();
}

struct Reader<'de>(&'de [u8]);

impl<'de> Reader<'de> {
    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match std::str::from_utf8(self.0) {
            Ok(text) => visitor.visit_borrowed_str(text),
            Err(error) => Err(DecodeError::new(error.valid_up_to(), DecodeFault::Utf8)),
        }
    }

    fn list<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let mut bytes = SeqDeserializer::<_, DecodeError>::new(self.0.iter().copied());
        let value = visitor.visit_seq(&mut bytes)?;
        bytes.end().map_err(|_| DecodeError::new(self.0.len(), DecodeFault::TrailingBytes))?;
        Ok(value)
    }

    fn nothing<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        super::nothing_behind(0, self.0)?;
        visitor.visit_unit()
    }
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_bytes(self.0)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.text(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.list(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.nothing(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.nothing(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes byte_buf option tuple_struct map struct
        enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Packet(Vec<u8>);
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Line<'a>(&'a str);
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Nothing;

    #[test]
    fn bytes_text_and_nothing_go_as_they_are_and_come_back() {
        let mut out = Vec::new();
        Format::Raw.encode(&Packet(vec![1, 2, 3]), &mut out).unwrap();
        Format::Raw.encode(&Line("hé"), &mut out).unwrap();
        Format::Raw.encode(&Nothing, &mut out).unwrap();
        assert_eq!(out, [1, 2, 3, b'h', 0xc3, 0xa9]);
        assert_eq!(Format::Raw.decode(&[1, 2, 3]), Ok(Packet(vec![1, 2, 3])));
        assert_eq!(Format::Raw.decode("hé".as_bytes()), Ok(Line("hé")));
        assert_eq!(Format::Raw.decode(&[]), Ok(Nothing));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_says_why() {
        let mut out = vec![7];
        let error = Format::Raw.encode(&(1_u32, "two"), &mut out).unwrap_err();
        assert!(error.to_string().contains("bytes or text"), "{error}");
        assert_eq!(out, [7]);
        let utf8 = Format::Raw.decode::<Line<'_>>(&[b'a', 0xff]).unwrap_err();
        assert_eq!((utf8.offset(), utf8.fault()), (1, DecodeFault::Utf8));
        let more = Format::Raw.decode::<Nothing>(&[0]).unwrap_err();
        assert_eq!(more.fault(), DecodeFault::TrailingBytes);
        let fewer = Format::Raw.decode::<[u8; 2]>(&[0, 1, 2]).unwrap_err();
        assert_eq!(fewer.fault(), DecodeFault::TrailingBytes);
        assert!(Format::Raw.decode::<u32>(&[0, 0, 0, 1]).is_err());
    }
}
