//! Reading the payload of a unit field by field.

use crate::closed::Violation;
use crate::msgpack::read::cursor::{Cursor, Head};
use crate::msgpack::walk::walk;

/// A cursor over a payload. Each method takes the next field; what is not of its kind, or not
/// whole, is a violation of the sender's.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// An id or a count, of any width.
    pub(crate) fn uint(&mut self) -> Result<u64, Violation> {
        // The most common of all fields, and the shortest.
        if let [small @ 0..=0x7F, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok((*small).into());
        }
        match self.head()? {
            Head::Unsigned(value) => Ok(value),
            _ => Err(Violation::protocol(1, "a field of a unit is no unsigned integer")),
        }
    }

    /// An id of 32 bits.
    pub(crate) fn u32(&mut self) -> Result<u32, Violation> {
        u32::try_from(self.uint()?).or(Err(Violation::protocol(1, "an id is above 32 bits")))
    }

    /// A code: an integer of any width and form.
    pub(crate) fn int(&mut self) -> Result<i64, Violation> {
        let value = match self.head()? {
            Head::Unsigned(value) => i64::try_from(value).ok(),
            Head::Signed(value) => Some(value),
            _ => None,
        };
        value.ok_or(Violation::protocol(1, "a code is no integer of 64 bits"))
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, Violation> {
        match self.head()? {
            Head::Str(text) => Ok(text),
            _ => Err(Violation::protocol(1, "a field of a unit is no text")),
        }
    }

    pub(crate) fn bin(&mut self) -> Result<&'a [u8], Violation> {
        match self.head()? {
            Head::Bin(bytes) => Ok(bytes),
            _ => Err(Violation::protocol(1, "a field of a unit is no binary")),
        }
    }

    /// The head of a map: how many pairs follow, never more than the payload has room for.
    pub(crate) fn map_len(&mut self) -> Result<usize, Violation> {
        match self.head()? {
            Head::Map(pairs) if pairs <= self.rest.len() / 2 => Ok(pairs),
            Head::Map(_) => Err(Violation::protocol(1, "a map has more pairs than bytes follow")),
            _ => Err(Violation::protocol(1, "a field of a unit is no map")),
        }
    }

    /// The head of an array: how many elements follow, never more than the payload has room for.
    pub(crate) fn array_len(&mut self) -> Result<usize, Violation> {
        match self.head()? {
            Head::Array(elements) if elements <= self.rest.len() => Ok(elements),
            Head::Array(_) => {
                Err(Violation::protocol(1, "an array has more elements than bytes follow"))
            }
            _ => Err(Violation::protocol(1, "a field of a unit is no array")),
        }
    }

    /// Passes over one value of any kind.
    pub(crate) fn skip_value(&mut self) -> Result<(), Violation> {
        let len = walk(self.rest)
            .map_err(|_| Violation::protocol(1, "a field of a unit is no well-formed value"))?;
        self.rest = &self.rest[len..];
        Ok(())
    }

    /// What has not been taken yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn head(&mut self) -> Result<Head<'a>, Violation> {
        let mut cursor = Cursor::new(self.rest);
        let head = cursor
            .head()
            .map_err(|_| Violation::protocol(1, "a field of a unit is cut off or malformed"))?;
        self.rest = &self.rest[cursor.offset()..];
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsigned_integer_is_taken_in_every_width() {
        let widths: [&[u8]; 5] =
            [&[5], &[0xCC, 5], &[0xCD, 0, 5], &[0xCE, 0, 0, 0, 5], &[0xCF, 0, 0, 0, 0, 0, 0, 0, 5]];
        for bytes in widths {
            let mut fields = Fields::new(bytes);
            assert_eq!(fields.uint(), Ok(5), "{bytes:02x?}");
            assert!(fields.is_empty());
            for end in 0..bytes.len() {
                assert!(Fields::new(&bytes[..end]).uint().is_err());
            }
        }
    }

    #[test]
    fn a_signed_or_too_wide_number_is_no_id() {
        for bytes in [&[0xFF][..], &[0xD0, 5], &[0xD1, 0, 5], &[0xC0], &[0xA1, b'5'], &[0xC1]] {
            assert!(Fields::new(bytes).uint().is_err(), "{bytes:02x?}");
        }
        assert!(Fields::new(&[0xCF, 0, 0, 0, 1, 0, 0, 0, 0]).u32().is_err());
        assert_eq!(Fields::new(&[0xCF, 0, 0, 0, 0, 255, 255, 255, 255]).u32(), Ok(u32::MAX));
    }

    #[test]
    fn codes_may_be_negative() {
        assert_eq!(Fields::new(&[0xFB]).int(), Ok(-5));
        assert_eq!(Fields::new(&[0xD3, 255, 255, 255, 255, 255, 255, 255, 251]).int(), Ok(-5));
        assert_eq!(Fields::new(&[0xCC, 200]).int(), Ok(200));
        assert!(Fields::new(&[0xCF, 255, 0, 0, 0, 0, 0, 0, 0]).int().is_err());
    }

    #[test]
    fn counts_are_never_more_than_what_follows() {
        assert_eq!(Fields::new(&[0x92, 1, 2]).array_len(), Ok(2));
        assert!(Fields::new(&[0x92, 1]).array_len().is_err());
        assert!(Fields::new(&[0xDD, 255, 255, 255, 255, 1, 2]).array_len().is_err());
        assert_eq!(Fields::new(&[0x81, 1, 2]).map_len(), Ok(1));
        assert!(Fields::new(&[0x82, 1, 2, 3]).map_len().is_err());
        assert!(Fields::new(&[0xDF, 255, 255, 255, 255, 1, 2]).map_len().is_err());
    }

    #[test]
    fn fields_are_taken_one_after_the_other() {
        let mut fields = Fields::new(b"\x07\xa2ok\xc4\x01\xff\x92\x81\x01\x02\xc0\x93\x01");
        assert_eq!(fields.u32(), Ok(7));
        assert_eq!(fields.str(), Ok("ok"));
        assert_eq!(fields.bin(), Ok(&[0xFF][..]));
        assert_eq!(fields.skip_value(), Ok(()));
        assert_eq!(fields.rest(), [0x93, 1]);
        assert!(fields.skip_value().is_err());
        assert!(!fields.is_empty());
    }
}
