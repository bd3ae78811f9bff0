//! Enums: the name of a variant alone, or a map of one entry from its name to its content.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IgnoredAny, Unexpected, VariantAccess,
    Visitor,
};

use crate::format::DecodeError;

use super::Reader;

/// A variant that stands there by its name alone.
pub(super) struct Named<'r, 'de> {
    reader: &'r mut Reader<'de>,
}

impl<'r, 'de> Named<'r, 'de> {
    pub(super) fn new(reader: &'r mut Reader<'de>) -> Self {
        Self { reader }
    }
}

impl<'de> EnumAccess<'de> for Named<'_, 'de> {
    type Error = DecodeError;
    type Variant = WithoutContent;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, WithoutContent), DecodeError> {
        Ok((seed.deserialize(self.reader)?, WithoutContent))
    }
}

/// What a variant has that stands there by its name alone.
pub(crate) struct WithoutContent;

impl WithoutContent {
    fn refuse<T>(expected: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError::invalid_type(Unexpected::UnitVariant, &expected))
    }
}

impl<'de> VariantAccess<'de> for WithoutContent {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, DecodeError> {
        Self::refuse("newtype variant")
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, DecodeError> {
        Self::refuse("tuple variant")
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, DecodeError> {
        Self::refuse("struct variant")
    }
}

/// A variant that stands in an open map of one entry. What is not read of the entry, the reader
/// skips when it leaves the map.
pub(super) struct Tagged<'r, 'de> {
    reader: &'r mut Reader<'de>,
}

impl<'r, 'de> Tagged<'r, 'de> {
    pub(super) fn new(reader: &'r mut Reader<'de>) -> Self {
        Self { reader }
    }
}

impl<'de> EnumAccess<'de> for Tagged<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), DecodeError> {
        let name = self.reader.declared_value(|reader| seed.deserialize(reader))?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Tagged<'_, 'de> {
    type Error = DecodeError;

    /// Content is tolerated here, so that `#[serde(other)]` takes variants of a newer peer whatever
    /// they hold.
    fn unit_variant(self) -> Result<(), DecodeError> {
        self.newtype_variant_seed(std::marker::PhantomData::<IgnoredAny>).map(|_| ())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        self.reader.declared_value(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.reader.declared_value(|reader| reader.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.reader.declared_value(|reader| reader.deserialize_struct("", fields, visitor))
    }
}
