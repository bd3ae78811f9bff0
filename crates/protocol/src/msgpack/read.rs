//! Our reader: a serde `Deserializer` over `&[u8]` that checks every limit as it goes (PROTOCOL 5).
//!
//! It stands between hostile peers and serde, so it promises the types behind it:
//! - Nesting ends at [`DEPTH_MAX`](crate::limits::DEPTH_MAX), whatever the type.
//! - All counts declared in a body together are never more than its bytes, so a loop over declared
//!   elements ends even if its elements take no bytes or no memory.
//! - No container is told to reserve much before its elements are there (see [`RESERVE_SHARE`]).
//! - What borrows, borrows from the body: strings and binaries are never copied here.
//!
//! It is lenient where messages evolve: what the type does not read of an array, a map or a variant
//! is skipped, checked like everything else.

pub(crate) mod bin_elements;
mod containers;
pub(crate) mod cursor;
pub(crate) mod variants;

use serde::de::{Deserializer, Error as _, Unexpected, Visitor};

use crate::format::{DecodeError, DecodeFault};
use crate::limits::DEPTH_MAX;

use self::bin_elements::BinElements;
use self::containers::Elements;
use self::cursor::{Cursor, Head, Level};
use self::variants::{Named, Tagged};
use super::walk::skip;

/// serde's containers reserve memory for as many elements as they are told to expect, and an
/// element can be a thousand times larger than the byte it takes here. So all containers of a body
/// together are told to expect at most this share of its bytes, besides [`RESERVE_FREE`] and
/// [`RESERVE_SMALL`]; what they hold beyond, they find out by growing.
pub(crate) const RESERVE_SHARE: usize = 8;

/// So many elements are told in any case: containers of an ordinary small message need not grow.
pub(crate) const RESERVE_FREE: usize = 64;

/// A container this small is always told its size: there are no more of them open at once than
/// levels.
pub(crate) const RESERVE_SMALL: usize = 4;

/// Options and newtypes take no byte of the body, so a type that nests nothing else
/// (`struct N(Option<Box<N>>)`) would be read without end. Eight for each level is more than
/// anybody writes.
pub(crate) const WRAPS_MAX: u32 = 8 * DEPTH_MAX;

/// Reads one value from a body.
#[derive(Debug)]
pub(crate) struct Reader<'de> {
    cursor: Cursor<'de>,
    /// Elements that containers may still be told to expect beyond the small ones.
    reserve: usize,
    /// Options and newtypes around the value that is being read.
    wraps: u32,
}

impl<'de> Reader<'de> {
    pub(crate) fn new(bytes: &'de [u8]) -> Self {
        Self {
            cursor: Cursor::new(bytes),
            reserve: RESERVE_FREE + bytes.len() / RESERVE_SHARE,
            wraps: 0,
        }
    }

    /// Bytes read so far.
    pub(crate) fn offset(&self) -> usize {
        self.cursor.offset()
    }

    /// Nothing may follow the value.
    ///
    /// # Errors
    /// Something does, or a type swallowed that the bytes are not well-formed.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        self.cursor.finish()
    }

    fn any<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let head = self.cursor.head()?;
        match head {
            Head::Nil => visitor.visit_unit(),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Unsigned(value) => visitor.visit_u64(value),
            Head::Signed(value) => visitor.visit_i64(value),
            Head::Float32(value) => visitor.visit_f32(value),
            Head::Float64(value) => visitor.visit_f64(value),
            Head::Str(value) => visitor.visit_borrowed_str(value),
            Head::Bin(value) => visitor.visit_borrowed_bytes(value),
            Head::Array(_) => self.array(&head, visitor),
            Head::Map(_) => self.map(&head, visitor),
        }
    }

    #[inline]
    fn number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        if let Some(value) = self.cursor.short_integer() {
            return visitor.visit_u64(value);
        }
        match self.cursor.head()? {
            Head::Unsigned(value) => visitor.visit_u64(value),
            Head::Signed(value) => visitor.visit_i64(value),
            Head::Float32(value) => visitor.visit_f32(value),
            Head::Float64(value) => visitor.visit_f64(value),
            other => Err(self.mismatch(&other, &visitor)),
        }
    }

    #[inline]
    fn text<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        if let Some(text) = self.cursor.short_str() {
            return visitor.visit_borrowed_str(text);
        }
        match self.cursor.head()? {
            Head::Str(value) => visitor.visit_borrowed_str(value),
            Head::Bin(value) => visitor.visit_borrowed_bytes(value),
            other => Err(self.mismatch(&other, &visitor)),
        }
    }

    fn binary<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let head = self.cursor.head()?;
        match head {
            Head::Bin(value) => visitor.visit_borrowed_bytes(value),
            Head::Str(value) => visitor.visit_borrowed_str(value),
            // A list without elements is sent as this: nobody sees that they would be bytes.
            Head::Array(0) => {
                self.container(&head, |_, _| Ok(()))?;
                visitor.visit_borrowed_bytes(&[])
            }
            Head::Array(_) => self.array(&head, visitor),
            other => Err(self.mismatch(&other, &visitor)),
        }
    }

    /// An array, or a binary that stands for an array of bytes.
    #[inline]
    fn sequence<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let head = self.cursor.head()?;
        match head {
            Head::Array(_) => self.array(&head, visitor),
            Head::Bin(bytes) => self.bin_as_array(bytes, visitor),
            other => Err(self.mismatch(&other, &visitor)),
        }
    }

    #[inline]
    fn array<V: Visitor<'de>>(
        &mut self,
        head: &Head<'_>,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.container(head, |reader, values| {
            let expected = reader.expected(values);
            visitor.visit_seq(Elements::new(reader, values, expected))
        })
    }

    fn map<V: Visitor<'de>>(
        &mut self,
        head: &Head<'_>,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.container(head, |reader, values| {
            let expected = reader.expected(values / 2);
            visitor.visit_map(Elements::new(reader, values, expected))
        })
    }

    fn bin_as_array<V: Visitor<'de>>(
        &mut self,
        bytes: &'de [u8],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let expected = self.expected(bytes.len());
        visitor.visit_seq(BinElements::new(bytes, expected))
    }

    /// How many of `declared` elements a container is told to expect.
    #[inline]
    fn expected(&mut self, declared: usize) -> usize {
        let beyond_small = declared.saturating_sub(RESERVE_SMALL).min(self.reserve);
        self.reserve -= beyond_small;
        declared.min(RESERVE_SMALL + beyond_small)
    }

    /// Goes into the array or map of `head`, reads it by `read`, and skips what `read` left, also
    /// after an error: a type may swallow that, and goes on behind the container then.
    #[inline]
    fn container<T>(
        &mut self,
        head: &Head<'_>,
        read: impl FnOnce(&mut Self, usize) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let around = self.cursor.level();
        let values = self.cursor.open(head)?;
        let value = read(self, values).map_err(|error| error.at(self.offset()));
        let rest = self.skip_unread(around);
        value.and_then(|value| rest.map(|()| value))
    }

    #[inline]
    fn skip_unread(&mut self, around: Level) -> Result<(), DecodeError> {
        while self.cursor.owes_within(around) {
            self.cursor.take_value();
            skip(&mut self.cursor)?;
        }
        self.cursor.leave(around);
        Ok(())
    }

    /// Reads one declared value by `read`. A type that takes no byte of it leaves it to be skipped.
    #[inline]
    fn declared_value<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        self.cursor.take_value();
        let start = self.cursor.offset();
        let value = read(self)?;
        if self.cursor.offset() == start {
            skip(&mut self.cursor)?;
        }
        Ok(value)
    }

    /// Reads by `read` what an option or a newtype holds.
    fn wrapped<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        if self.wraps == WRAPS_MAX {
            return Err(DecodeError::new(self.offset(), DecodeFault::TooWrapped));
        }
        self.wraps += 1;
        let value = read(self);
        self.wraps -= 1;
        value
    }

    #[cold]
    fn mismatch<V: Visitor<'de>>(&mut self, found: &Head<'_>, visitor: &V) -> DecodeError {
        self.cursor.put_back();
        let found = match *found {
            Head::Nil => Unexpected::Unit,
            Head::Bool(value) => Unexpected::Bool(value),
            Head::Unsigned(value) => Unexpected::Unsigned(value),
            Head::Signed(value) => Unexpected::Signed(value),
            Head::Float32(value) => Unexpected::Float(value.into()),
            Head::Float64(value) => Unexpected::Float(value),
            Head::Str(value) => Unexpected::Str(value),
            Head::Bin(value) => Unexpected::Bytes(value),
            Head::Array(_) => Unexpected::Seq,
            Head::Map(_) => Unexpected::Map,
        };
        DecodeError::invalid_type(found, visitor).at(self.offset())
    }
}

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
        any: deserialize_any deserialize_bool deserialize_unit deserialize_map deserialize_identifier;
        number: deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
            deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
            deserialize_f32 deserialize_f64;
        text: deserialize_str deserialize_string deserialize_char;
        binary: deserialize_bytes deserialize_byte_buf;
        sequence: deserialize_seq;
    }

    /// Integers above 64 bits travel as 16 bytes of binary.
    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.cursor.head()? {
            Head::Unsigned(value) => visitor.visit_u64(value),
            Head::Signed(value) => visitor.visit_i64(value),
            Head::Bin(value) if value.len() == 16 => {
                visitor.visit_u128(value.iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte)))
            }
            other => Err(self.mismatch(&other, &visitor)),
        }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.cursor.head()? {
            Head::Unsigned(value) => visitor.visit_u64(value),
            Head::Signed(value) => visitor.visit_i64(value),
            Head::Bin(value) if value.len() == 16 => {
                visitor.visit_i128(value.iter().fold(0, |sum, byte| sum << 8 | i128::from(*byte)))
            }
            other => Err(self.mismatch(&other, &visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.cursor.peek()? == cursor::NIL {
            self.cursor.skip_marker();
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

    /// An empty array, as it is encoded; an array that has got fields since; or nil.
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let head = self.cursor.head()?;
        match head {
            Head::Nil => visitor.visit_unit(),
            Head::Array(_) => {
                self.container(&head, |_, _| Ok(()))?;
                visitor.visit_unit()
            }
            other => Err(self.mismatch(&other, &visitor)),
        }
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

    /// An array of the fields in order, or a map of their names.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let head = self.cursor.head()?;
        match head {
            Head::Array(_) => self.array(&head, visitor),
            Head::Map(_) => self.map(&head, visitor),
            Head::Bin(bytes) => self.bin_as_array(bytes, visitor),
            other => Err(self.mismatch(&other, &visitor)),
        }
    }

    /// The name of a variant alone, or a map of one entry from its name to its content.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if !cursor::is_map(self.cursor.peek()?) {
            return visitor.visit_enum(Named::new(self));
        }
        let head = self.cursor.head()?;
        if head != Head::Map(1) {
            self.cursor.put_back();
            return Err(DecodeError::new(self.offset(), DecodeFault::VariantMap));
        }
        self.container(&head, |reader, _| visitor.visit_enum(Tagged::new(reader)))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        skip(&mut self.cursor)?;
        visitor.visit_unit()
    }
}
