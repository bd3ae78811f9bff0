//! The one form everything on the wire has: a MessagePack ext value (PROTOCOL 1).

mod fields;
mod op;
mod write;

pub(crate) use self::fields::Fields;
pub(crate) use self::op::{Flags, Op};
pub(crate) use self::write::{write_bin, write_int, write_str, write_uint};

use crate::closed::Violation;

const EXT_8: u8 = 0xC7;
const EXT_16: u8 = 0xC8;
/// Ext values of 1, 2, 4, 8 and 16 bytes.
const FIX_EXT: std::ops::RangeInclusive<u8> = 0xD4..=0xD8;

/// Longest payload of a unit, in bytes: its length is sixteen bits.
const PAYLOAD_MAX: usize = u16::MAX as usize;

/// What stands before the payload of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Length of this header, in bytes.
    pub(crate) header_len: usize,
    /// Length of what follows it, in bytes.
    pub(crate) payload_len: usize,
    /// Op and flags, not looked at beyond the sign bit: see [`Op::split`].
    pub(crate) ty: u8,
}

/// Reads the header at the front of `bytes`; `None` as long as more bytes are needed to tell.
///
/// # Errors
/// No unit begins like this; said as soon as the byte is there that is wrong.
//= docs/PROTOCOL.md#1
pub(crate) fn read_header(bytes: &[u8]) -> Result<Option<Header>, Violation> {
    let (header_len, payload_len, ty) = match *bytes {
        [] => return Ok(None),
        [EXT_8, payload_len, ty, ..] => (3, usize::from(payload_len), ty),
        [EXT_16, high, low, ty, ..] => (4, usize::from(u16::from_be_bytes([high, low])), ty),
        [fixed, ty, ..] if FIX_EXT.contains(&fixed) => (2, 1 << (fixed - FIX_EXT.start()), ty),
        [first, ..] if first == EXT_8 || first == EXT_16 || FIX_EXT.contains(&first) => {
            return Ok(None);
        }
        _ => return Err(Violation::protocol(1, "no unit begins with this byte")),
    };
    if ty & 0x80 != 0 {
        return Err(Violation::protocol(1, "the type of a unit has its sign bit set"));
    }
    Ok(Some(Header { header_len, payload_len, ty }))
}

/// How long the header is that [`write_header`] writes, in bytes.
pub(crate) fn header_len(payload_len: usize) -> usize {
    if payload_len <= u8::MAX.into() { 3 } else { 4 }
}

/// Writes the header of a unit to the front of `out` and returns its length in bytes.
pub(crate) fn write_header(out: &mut [u8], ty: u8, payload_len: usize) -> usize {
    debug_assert!(ty & 0x80 == 0, "a type has no sign bit");
    if let Ok(payload_len) = u8::try_from(payload_len) {
        out[..3].copy_from_slice(&[EXT_8, payload_len, ty]);
        return 3;
    }
    assert!(payload_len <= PAYLOAD_MAX, "what is longer than a unit is fragmented before");
    let [.., high, low] = payload_len.to_be_bytes();
    out[..4].copy_from_slice(&[EXT_16, high, low, ty]);
    4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(ty: u8, payload_len: usize) -> Vec<u8> {
        let mut out = [0xEE; 8];
        let len = write_header(&mut out, ty, payload_len);
        assert_eq!(len, header_len(payload_len));
        assert!(out[len..].iter().all(|byte| *byte == 0xEE), "nothing behind the header changes");
        out[..len].to_vec()
    }

    #[test]
    fn headers_have_the_bytes_of_the_document() {
        assert_eq!(written(0x21, 11), [0xC7, 0x0B, 0x21]);
        assert_eq!(written(0x00, 255), [0xC7, 0xFF, 0x00]);
        assert_eq!(written(0x1F, 256), [0xC8, 0x01, 0x00, 0x1F]);
        assert_eq!(written(0x1F, 65_535), [0xC8, 0xFF, 0xFF, 0x1F]);
    }

    #[test]
    fn what_is_written_is_read_and_a_prefix_of_it_asks_for_more() {
        for payload_len in [0, 1, 255, 256, 4_000, 65_535] {
            let bytes = written(0x5C, payload_len);
            for end in 0..bytes.len() {
                assert_eq!(read_header(&bytes[..end]), Ok(None));
            }
            let expected = Header { header_len: bytes.len(), payload_len, ty: 0x5C };
            assert_eq!(read_header(&bytes), Ok(Some(expected)));
        }
    }

    #[test]
    fn fixed_lengths_and_long_forms_of_short_payloads_are_accepted() {
        for (first, payload_len) in [(0xD4, 1), (0xD5, 2), (0xD6, 4), (0xD7, 8), (0xD8, 16)] {
            assert_eq!(read_header(&[first]), Ok(None));
            let expected = Header { header_len: 2, payload_len, ty: 4 };
            assert_eq!(read_header(&[first, 4, 9, 9]), Ok(Some(expected)));
        }
        let expected = Header { header_len: 4, payload_len: 3, ty: 4 };
        assert_eq!(read_header(&[0xC8, 0, 3, 4]), Ok(Some(expected)));
    }

    #[test]
    fn every_other_first_byte_and_the_sign_bit_are_violations() {
        for first in 0..=u8::MAX {
            let accepted = matches!(first, 0xC7 | 0xC8 | 0xD4..=0xD8);
            assert_eq!(read_header(&[first]).is_ok(), accepted, "{first:#04x}");
            assert!(read_header(&[first, 0x80, 0x80, 0x80]).is_err(), "{first:#04x}");
        }
    }
}
