//! What serde asks of the reader, by the names that serde has for it.

use serde::de::{Deserializer, Visitor};

use crate::format::{DecodeError, DecodeFault};

use super::head::{Head, is_map, is_nil};
use super::read::Reader;
use super::variants::{Named, Tagged};
use super::walk::skip;

/// Forwards the methods of `Deserializer` that differ in nothing but their names.
macro_rules! forward {
    ($($to:ident: $($method:ident)+;)+) => {
        $($(
            #[inline]
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
                self.$to(visitor)
            }
        )+)+
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = DecodeError;

    fn is_human_readable(&self) -> bool {
        false
    }

    forward! {
        any: deserialize_any deserialize_bool deserialize_map deserialize_identifier;
        number: deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
            deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
            deserialize_f32 deserialize_f64;
        wide_number: deserialize_u128 deserialize_i128;
        character: deserialize_char;
        text: deserialize_str deserialize_string;
        binary: deserialize_bytes deserialize_byte_buf;
        sequence: deserialize_seq;
        nothing: deserialize_unit;
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if is_nil(self.cursor.peek()?) {
            self.cursor.head()?;
            return visitor.visit_none();
        }
        self.wrapped(|reader| visitor.visit_some(reader))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.wrapped(|reader| visitor.visit_newtype_struct(reader))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.nothing(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.sequence(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.sequence(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.fields(visitor)
    }

    /// The name of a variant alone, or a map of one entry from its name to its content.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if !is_map(self.cursor.peek()?) {
            return visitor.visit_enum(Named(self));
        }
        let head = self.cursor.head()?;
        if !matches!(head, Head::Map(None | Some(1))) {
            self.cursor.put_back();
            return Err(DecodeError::new(self.offset(), DecodeFault::VariantMap));
        }
        let start = self.offset();
        self.container(&head, |reader| {
            let value = visitor.visit_enum(Tagged(&mut *reader))?;
            reader.end_of_entry(start)?;
            Ok(value)
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        skip(&mut self.cursor)?;
        visitor.visit_unit()
    }
}

impl Reader<'_> {
    /// Skips what a type left of the entry that began at `start`, and looks that it is the only one.
    fn end_of_entry(&mut self, start: usize) -> Result<(), DecodeError> {
        while self.offset() == start || self.cursor.is_between_key_and_value() {
            if self.next(|_| Ok(()))?.is_none() {
                break;
            }
        }
        match self.next(|_| Ok(()))? {
            None => Ok(()),
            Some(()) => Err(DecodeError::new(start, DecodeFault::VariantMap)),
        }
    }
}
