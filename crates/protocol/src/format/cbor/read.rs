//! Our reader of CBOR: it promises the types behind it what the reader of MessagePack does, within
//! the same limits, and is as lenient where messages evolve (PROTOCOL 5). Of CBOR it takes all
//! forms: with and without counts, strings in pieces, floats of all widths, and tags, which it passes
//! over.

use serde::de::{Error as _, Unexpected, Visitor};

use crate::format::{DecodeError, DecodeFault};
use crate::msgpack::read::bin_elements::BinElements;
use crate::msgpack::read::{RESERVE_FREE, RESERVE_SHARE, RESERVE_SMALL, WRAPS_MAX};

use super::containers::Elements;
use super::cursor::Cursor;
use super::head::Head;
use super::input::Pieces;
use super::walk::skip;

/// Reads one value from a body.
#[derive(Debug)]
pub(super) struct Reader<'de> {
    pub(super) cursor: Cursor<'de>,
    /// Elements that containers may still be told to expect beyond the small ones.
    reserve: usize,
    /// Options and newtypes around the value that is being read.
    wraps: u32,
}

impl<'de> Reader<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self {
            cursor: Cursor::new(bytes),
            reserve: RESERVE_FREE + bytes.len() / RESERVE_SHARE,
            wraps: 0,
        }
    }

    /// Bytes read so far.
    pub(super) fn offset(&self) -> usize {
        self.cursor.offset()
    }

    pub(super) fn any<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let head = self.cursor.head()?;
        match head {
            Head::Nil => visitor.visit_unit(),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Unsigned(value) => visitor.visit_u64(value),
            Head::Signed(value) => visitor.visit_i64(value),
            Head::WideUnsigned(value) => visitor.visit_u128(value),
            Head::WideSigned(value) => visitor.visit_i128(value),
            Head::Float32(value) => visitor.visit_f32(value),
            Head::Float64(value) => visitor.visit_f64(value),
            Head::Text(value) => visitor.visit_borrowed_str(value),
            Head::Bytes(value) => visitor.visit_borrowed_bytes(value),
            Head::TextPieces(pieces) => self.text_in_pieces(pieces, visitor),
            Head::BytesPieces(pieces) => visitor.visit_byte_buf(pieces.joined()),
            Head::Array(_) => self.array(&head, visitor),
            Head::Map(_) => self.map(&head, visitor),
        }
    }

    #[inline]
    pub(super) fn number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.cursor.head()? {
            Head::Unsigned(value) => visitor.visit_u64(value),
            Head::Signed(value) => visitor.visit_i64(value),
            Head::Float32(value) => visitor.visit_f32(value),
            Head::Float64(value) => visitor.visit_f64(value),
            other => Err(self.mismatch(&other, &visitor)),
        }
    }

    pub(super) fn wide_number<V: Visitor<'de>>(
        &mut self,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.cursor.head()? {
            Head::Unsigned(value) => visitor.visit_u64(value),
            Head::Signed(value) => visitor.visit_i64(value),
            Head::WideUnsigned(value) => visitor.visit_u128(value),
            Head::WideSigned(value) => visitor.visit_i128(value),
            other => Err(self.mismatch(&other, &visitor)),
        }
    }

    #[inline]
    pub(super) fn text<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.cursor.head()? {
            Head::Text(value) => visitor.visit_borrowed_str(value),
            Head::Bytes(value) => visitor.visit_borrowed_bytes(value),
            Head::TextPieces(pieces) => self.text_in_pieces(pieces, visitor),
            Head::BytesPieces(pieces) => visitor.visit_byte_buf(pieces.joined()),
            other => Err(self.mismatch(&other, &visitor)),
        }
    }

    /// A character travels as its number; others have it as a text.
    pub(super) fn character<V: Visitor<'de>>(
        &mut self,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.cursor.head()? {
            Head::Text(value) => visitor.visit_borrowed_str(value),
            Head::TextPieces(pieces) => self.text_in_pieces(pieces, visitor),
            Head::Unsigned(value) => match u32::try_from(value).ok().and_then(char::from_u32) {
                Some(character) => visitor.visit_char(character),
                None => Err(DecodeError::invalid_value(Unexpected::Unsigned(value), &visitor)),
            },
            other => Err(self.mismatch(&other, &visitor)),
        }
    }

    pub(super) fn binary<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let head = self.cursor.head()?;
        match head {
            Head::Bytes(value) => visitor.visit_borrowed_bytes(value),
            Head::Text(value) => visitor.visit_borrowed_str(value),
            Head::BytesPieces(pieces) => visitor.visit_byte_buf(pieces.joined()),
            Head::TextPieces(pieces) => self.text_in_pieces(pieces, visitor),
            Head::Array(Some(0)) => {
                self.container(&head, |_| Ok(()))?;
                visitor.visit_borrowed_bytes(&[])
            }
            Head::Array(_) => self.array(&head, visitor),
            other => Err(self.mismatch(&other, &visitor)),
        }
    }

    /// An array, or bytes that stand for one.
    #[inline]
    pub(super) fn sequence<V: Visitor<'de>>(
        &mut self,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let head = self.cursor.head()?;
        match head {
            Head::Array(_) => self.array(&head, visitor),
            Head::Bytes(bytes) => self.bytes_as_array(bytes, visitor),
            Head::BytesPieces(pieces) => self.bytes_as_array(&pieces.joined(), visitor),
            other => Err(self.mismatch(&other, &visitor)),
        }
    }

    /// An array of the fields in order, or a map of their names.
    pub(super) fn fields<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let head = self.cursor.head()?;
        if let Head::Map(_) = head {
            return self.map(&head, visitor);
        }
        self.cursor.put_back();
        self.sequence(visitor)
    }

    /// An empty array, as it is encoded; an array that has got fields since; or null.
    pub(super) fn nothing<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, DecodeError> {
        let head = self.cursor.head()?;
        match head {
            Head::Nil => visitor.visit_unit(),
            Head::Array(_) => {
                self.container(&head, |_| Ok(()))?;
                visitor.visit_unit()
            }
            other => Err(self.mismatch(&other, &visitor)),
        }
    }

    fn text_in_pieces<V: Visitor<'de>>(
        &mut self,
        pieces: Pieces<'_>,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let text = pieces.joined_text().map_err(|fault| DecodeError::new(self.offset(), fault))?;
        visitor.visit_string(text)
    }

    fn array<V: Visitor<'de>>(
        &mut self,
        head: &Head<'_>,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.container(head, |reader| {
            let expected = reader.expected(reader.cursor.declared().unwrap_or(0));
            visitor.visit_seq(Elements::new(reader, expected))
        })
    }

    pub(super) fn map<V: Visitor<'de>>(
        &mut self,
        head: &Head<'_>,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.container(head, |reader| {
            let expected = reader.expected(reader.cursor.declared().unwrap_or(0) / 2);
            visitor.visit_map(Elements::new(reader, expected))
        })
    }

    fn bytes_as_array<V: Visitor<'de>>(
        &mut self,
        bytes: &[u8],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let expected = self.expected(bytes.len());
        visitor.visit_seq(BinElements::new(bytes, expected))
    }

    /// How many of `declared` elements a container is told to expect.
    fn expected(&mut self, declared: usize) -> usize {
        let beyond_small = declared.saturating_sub(RESERVE_SMALL).min(self.reserve);
        self.reserve -= beyond_small;
        declared.min(RESERVE_SMALL + beyond_small)
    }

    /// Goes into the array or map of `head`, reads it by `read`, and skips what `read` left, also
    /// after an error: a type may swallow that, and goes on behind the container then.
    pub(super) fn container<T>(
        &mut self,
        head: &Head<'_>,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let around = self.cursor.open(head)?;
        let value = read(self).map_err(|error| error.at(self.offset()));
        let rest = self.skip_unread();
        self.cursor.leave(around);
        value.and_then(|value| rest.map(|()| value))
    }

    fn skip_unread(&mut self) -> Result<(), DecodeError> {
        while self.cursor.more()? {
            skip(&mut self.cursor)?;
        }
        Ok(())
    }

    /// Reads by `read` the next value of the container that was opened last, if there is one more. A
    /// type that takes no byte of it leaves it to be skipped, whether it says so or refuses it.
    #[inline]
    pub(super) fn next<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if !self.cursor.more()? {
            return Ok(None);
        }
        let start = self.offset();
        let value = read(self).map_err(|error| error.at(self.offset()));
        if self.offset() == start {
            let skipped = skip(&mut self.cursor);
            return value.and_then(|value| skipped.map(|()| Some(value)));
        }
        value.map(Some)
    }

    /// Reads by `read` what an option or a newtype holds.
    pub(super) fn wrapped<T>(
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
    pub(super) fn mismatch<V: Visitor<'de>>(
        &mut self,
        found: &Head<'_>,
        visitor: &V,
    ) -> DecodeError {
        self.cursor.put_back();
        let found = match *found {
            Head::Nil => Unexpected::Unit,
            Head::Bool(value) => Unexpected::Bool(value),
            Head::Unsigned(value) => Unexpected::Unsigned(value),
            Head::Signed(value) => Unexpected::Signed(value),
            Head::WideUnsigned(_) | Head::WideSigned(_) => {
                let integer = Unexpected::Unsigned(u64::MAX);
                return DecodeError::invalid_value(integer, visitor).at(self.offset());
            }
            Head::Float32(value) => Unexpected::Float(value.into()),
            Head::Float64(value) => Unexpected::Float(value),
            Head::Text(value) => Unexpected::Str(value),
            Head::TextPieces(_) => Unexpected::Str(""),
            Head::Bytes(value) => Unexpected::Bytes(value),
            Head::BytesPieces(_) => Unexpected::Bytes(&[]),
            Head::Array(_) => Unexpected::Seq,
            Head::Map(_) => Unexpected::Map,
        };
        DecodeError::invalid_type(found, visitor).at(self.offset())
    }
}
