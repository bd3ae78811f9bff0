//! Enums: the name of a variant alone, or a map of one entry from its name to its content.
//!
//! A name alone has no content, ever. A reader that lets the type look for some takes it from what
//! stands behind the name, and a list of names becomes a value as deep as the list is long.

use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, VariantAccess, Visitor};

use crate::format::{DecodeError, DecodeFault};
use crate::msgpack::read::variants::WithoutContent;

use super::read::Reader;

/// A variant that stands there by its name alone.
pub(super) struct Named<'r, 'de>(pub(super) &'r mut Reader<'de>);

impl<'de> EnumAccess<'de> for Named<'_, 'de> {
    type Error = DecodeError;
    type Variant = WithoutContent;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, WithoutContent), DecodeError> {
        Ok((seed.deserialize(self.0)?, WithoutContent))
    }
}

/// A variant that stands in an open map. What is not read of its entry, the reader skips when it
/// leaves the map.
pub(super) struct Tagged<'r, 'de>(pub(super) &'r mut Reader<'de>);

impl<'de> Tagged<'_, 'de> {
    fn next<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'de>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let missing = DecodeError::new(self.0.offset(), DecodeFault::VariantMap);
        self.0.next(read)?.ok_or(missing)
    }
}

impl<'de> EnumAccess<'de> for Tagged<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        mut self,
        seed: V,
    ) -> Result<(V::Value, Self), DecodeError> {
        let name = self.next(|reader| seed.deserialize(reader))?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Tagged<'_, 'de> {
    type Error = DecodeError;

    /// Content is tolerated here, so that `#[serde(other)]` takes variants of a newer peer whatever
    /// they hold.
    fn unit_variant(self) -> Result<(), DecodeError> {
        self.newtype_variant_seed(PhantomData::<IgnoredAny>).map(|_| ())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        mut self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        self.next(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(
        mut self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.next(|reader| reader.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        mut self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.next(|reader| reader.deserialize_struct("", fields, visitor))
    }
}
