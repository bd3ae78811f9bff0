//! A binary read as if it were an array of bytes, so that a `Vec<u8>` takes both.

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::format::DecodeError;

/// The bytes that are still to be read.
pub(crate) struct BinElements<'b> {
    bytes: std::slice::Iter<'b, u8>,
    expected: usize,
}

impl<'b> BinElements<'b> {
    pub(crate) fn new(bytes: &'b [u8], expected: usize) -> Self {
        Self { bytes: bytes.iter(), expected }
    }
}

impl<'de> SeqAccess<'de> for BinElements<'_> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        self.bytes.next().map(|byte| seed.deserialize(BinElement(*byte))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes.len().min(self.expected))
    }
}

/// One byte as an integer. It is neither an option nor a newtype: whoever sends those sends an
/// array.
struct BinElement(u8);

impl<'de> Deserializer<'de> for BinElement {
    type Error = DecodeError;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_u8(self.0)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}
