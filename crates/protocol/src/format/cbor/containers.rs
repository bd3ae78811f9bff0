//! The elements of an array, and the keys and values of a map.

use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess};

use crate::format::DecodeError;

use super::read::Reader;

/// What is still to be read of the container that was opened last.
pub(super) struct Elements<'r, 'de> {
    reader: &'r mut Reader<'de>,
    /// So many elements or pairs may be reserved for.
    expected: usize,
}

impl<'r, 'de> Elements<'r, 'de> {
    pub(super) fn new(reader: &'r mut Reader<'de>, expected: usize) -> Self {
        Self { reader, expected }
    }

    #[inline]
    fn next<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        self.reader.next(|reader| seed.deserialize(reader))
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.reader.cursor.declared().map(|values| values.min(self.expected))
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
        if self.reader.cursor.is_between_key_and_value() {
            self.next(PhantomData::<IgnoredAny>)?;
        }
        self.next(seed)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DecodeError> {
        let asked_early = || DecodeError::custom("a value was asked for before its key");
        if !self.reader.cursor.is_between_key_and_value() {
            return Err(asked_early());
        }
        self.next(seed)?.ok_or_else(asked_early)
    }

    fn size_hint(&self) -> Option<usize> {
        self.reader.cursor.declared().map(|values| (values / 2).min(self.expected))
    }
}
