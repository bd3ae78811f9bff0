//! The elements of an array, and the keys and values of a map.

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess};

use crate::format::DecodeError;

use super::Reader;

/// Values of one open container that are still to be read: elements, or keys and values in turn.
pub(super) struct Elements<'r, 'de> {
    reader: &'r mut Reader<'de>,
    left: usize,
    expected: usize,
}

impl<'r, 'de> Elements<'r, 'de> {
    pub(super) fn new(reader: &'r mut Reader<'de>, values: usize, expected: usize) -> Self {
        Self { reader, left: values, expected }
    }

    #[inline]
    fn next<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        self.left -= 1;
        self.reader.declared_value(|reader| seed.deserialize(reader))
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        if self.left == 0 { Ok(None) } else { self.next(seed).map(Some) }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(self.expected))
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        // A type that asks for two keys in a row did not want the value between them.
        if !self.left.is_multiple_of(2) {
            self.next(std::marker::PhantomData::<serde::de::IgnoredAny>)?;
        }
        if self.left == 0 { Ok(None) } else { self.next(seed).map(Some) }
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DecodeError> {
        if self.left.is_multiple_of(2) {
            return Err(DecodeError::custom("a value was asked for before its key"));
        }
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some((self.left / 2).min(self.expected))
    }
}
