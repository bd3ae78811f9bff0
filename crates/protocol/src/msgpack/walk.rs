//! Checks and skips values without a type: no recursion, no allocation, and the same verdicts as
//! the reader, because both stand on one [`Cursor`].

use crate::format::DecodeError;
use crate::limits::DEPTH_MAX;

use super::read::cursor::{Cursor, Head};

/// Length in bytes of the first value in `bytes`.
///
/// # Errors
/// It is not well-formed, or above a limit.
//= docs/PROTOCOL.md#5
pub(crate) fn walk(bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    skip(&mut cursor)?;
    Ok(cursor.offset())
}

/// Moves `cursor` over one value.
pub(super) fn skip(cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
    let head = cursor.head()?;
    if head.is_container() { skip_container(cursor, head) } else { Ok(()) }
}

/// `left[..open]` says for each container opened here how many of its values are still to come;
/// the cursor refuses to open more than the array has room for.
fn skip_container(cursor: &mut Cursor<'_>, first: Head<'_>) -> Result<(), DecodeError> {
    let mut left = [0_usize; DEPTH_MAX as usize];
    let mut open = 0;
    let mut head = first;
    loop {
        if head.is_container() {
            left[open] = cursor.open(&head)?;
            open += 1;
        }
        while left[open - 1] == 0 {
            open -= 1;
            cursor.close();
            if open == 0 {
                return Ok(());
            }
        }
        left[open - 1] -= 1;
        cursor.take_value();
        head = cursor.head()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::DecodeFault;

    #[test]
    fn a_value_is_measured_and_the_rest_left_alone() {
        assert_eq!(walk(&[0x93, 1, 0x81, 0xA1, b'k', 0xC0, 0xCD, 1, 2, 0xFF]), Ok(9));
        assert_eq!(walk(&[0x90, 1]), Ok(1));
    }

    #[test]
    fn the_thirty_second_level_is_the_last() {
        let mut nested = vec![0x91; 31];
        nested.push(0x90);
        assert_eq!(walk(&nested), Ok(32));
        nested.insert(0, 0x91);
        assert_eq!(walk(&nested), Err(DecodeError::new(32, DecodeFault::TooDeep)));
    }

    #[test]
    fn every_declared_element_needs_a_byte_of_its_own() {
        assert_eq!(
            walk(&[0xDD, 0xFF, 0xFF, 0xFF, 0xFF, 1]),
            Err(DecodeError::new(0, DecodeFault::TooMany))
        );
        // The outer array still owes one value, so that the inner one can have two, not three.
        assert_eq!(walk(&[0x92, 0x92, 1, 2, 3]), Ok(5));
        assert_eq!(walk(&[0x92, 0x93, 1, 2, 3]), Err(DecodeError::new(1, DecodeFault::TooMany)));
        assert_eq!(walk(&[0xDF, 0x80, 0, 0, 0, 1]), Err(DecodeError::new(0, DecodeFault::TooMany)));
    }

    #[test]
    fn extensions_and_the_reserved_marker_have_no_place_in_a_body() {
        for marker in [0xC1, 0xC7, 0xC8, 0xC9, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8] {
            let bytes = [marker, 1, 1, 1, 1, 1];
            assert_eq!(walk(&bytes), Err(DecodeError::new(0, DecodeFault::Marker(marker))));
        }
    }

    #[test]
    fn every_prefix_of_a_value_is_truncated() {
        let whole = b"\x95\xcf\x00\x01\x02\x03\x04\x05\x06\x07\xd9\x02ab\xc5\x00\x01x\xca\x00\x00\x00\x00\x82\x01\xd2\xff\x00\x00\x00\x02\xa0";
        assert_eq!(walk(whole), Ok(whole.len()));
        for end in 0..whole.len() {
            assert!(walk(&whole[..end]).is_err(), "{end}");
        }
    }
}
