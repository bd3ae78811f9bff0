//! Bodies in CBOR (RFC 8949): a walk that believes nothing, then the library's reader.

use serde::{Deserialize, Serialize};

use super::{BodyEncodeError, DecodeError, DecodeFault};
use crate::limits::DEPTH_MAX;

/// Structs are maps of their fields' names, as CBOR libraries of other languages have them; lists of
/// `u8` are arrays unless the type says bytes.
pub(super) fn encode<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), BodyEncodeError> {
    let length_before = out.len();
    let mut serializer = minicbor_serde::Serializer::new(&mut *out);
    value.serialize(&mut serializer).map_err(|error| {
        out.truncate(length_before);
        BodyEncodeError { why: error.to_string() }
    })
}

/// Nothing is read before [`walk`] has found it well-formed and within all limits.
pub(super) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    super::nothing_behind(walk(bytes)?, bytes)?;
    let mut reader = minicbor_serde::Deserializer::new(bytes);
    T::deserialize(&mut reader)
        .map_err(|_| DecodeError::new(reader.decoder().position(), DecodeFault::Mismatch))
}

/// What an array or map of the path still holds; `None`: until its break.
type Left = Option<u64>;

/// Length of the one value at the front of `bytes`: no recursion, no allocation, no count believed
/// that the bytes cannot hold.
pub(super) fn walk(bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut path: [Left; DEPTH_MAX as usize] = [None; DEPTH_MAX as usize];
    let mut depth = 0;
    let mut at = 0;
    loop {
        let began = at;
        let item = Item::read(bytes, &mut at)?;
        let opened = match item {
            Item::Break => {
                if depth == 0 || path[depth - 1].is_some() {
                    return Err(DecodeError::new(began, DecodeFault::Marker(0xff)));
                }
                depth -= 1;
                None
            }
            Item::Whole => None,
            Item::Holds(left) => Some(left),
        };
        if let Some(left) = opened.filter(|left| *left != Some(0)) {
            if depth == path.len() {
                return Err(DecodeError::new(began, DecodeFault::TooDeep));
            }
            if left.is_some_and(|left| left > (bytes.len() - at) as u64) {
                return Err(DecodeError::new(began, DecodeFault::TooMany));
            }
            path[depth] = left;
            depth += 1;
            continue;
        }
        // A value is whole, and with it whatever it was the last one of.
        while depth > 0 {
            let Some(left) = &mut path[depth - 1] else { break };
            *left -= 1;
            if *left > 0 {
                break;
            }
            depth -= 1;
        }
        if depth == 0 {
            return Ok(at);
        }
    }
}

enum Item {
    /// Nothing is inside.
    Whole,
    /// So many values follow inside, or as many as come before a break.
    Holds(Left),
    Break,
}

impl Item {
    fn read(bytes: &[u8], at: &mut usize) -> Result<Self, DecodeError> {
        let began = *at;
        let fault = |fault| DecodeError::new(began, fault);
        let first = *bytes.get(began).ok_or(fault(DecodeFault::Truncated))?;
        *at += 1;
        let (major, low) = (first >> 5, first & 0x1f);
        let argument = match low {
            0..=23 => Some(u64::from(low)),
            24..=27 => {
                let len = 1 << (low - 24);
                let read = bytes.get(*at..*at + len).ok_or(fault(DecodeFault::Truncated))?;
                *at += len;
                Some(read.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
            }
            31 if matches!(major, 2..=5 | 7) => None,
            _ => return Err(fault(DecodeFault::Marker(first))),
        };
        match (major, argument) {
            (0 | 1, _) | (7, Some(_)) => Ok(Item::Whole),
            (2 | 3, Some(len)) => {
                let end = usize::try_from(len).ok().and_then(|len| at.checked_add(len));
                *at = end.filter(|end| *end <= bytes.len()).ok_or(fault(DecodeFault::Truncated))?;
                Ok(Item::Whole)
            }
            (4, count) => Ok(Item::Holds(count)),
            (5, Some(pairs)) => {
                let values = pairs.checked_mul(2).ok_or(fault(DecodeFault::TooMany))?;
                Ok(Item::Holds(Some(values)))
            }
            (6, _) => Ok(Item::Holds(Some(1))),
            (7, None) => Ok(Item::Break),
            // Text and bytes in pieces, and maps without a count.
            (_, _) => Ok(Item::Holds(None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Move<'a> {
        unit: u32,
        name: &'a str,
        path: Vec<(i32, i32)>,
    }

    #[test]
    fn a_struct_is_a_map_of_its_fields_and_comes_back() {
        let value = Move { unit: 7, name: "ada", path: vec![(1, -1)] };
        let mut out = vec![0xAA];
        Format::Cbor.encode(&value, &mut out).unwrap();
        assert_eq!(&out[..3], [0xAA, 0xA3, 0x64]);
        assert_eq!(Format::Cbor.decode::<Move<'_>>(&out[1..]), Ok(value));
        assert_eq!(Format::Cbor.walk(&out[1..]), Ok(()));
    }

    #[test]
    fn every_shortened_body_is_refused() {
        let mut out = Vec::new();
        let value = Move { unit: 70_000, name: "ada", path: vec![(1, -1), (300, 5)] };
        Format::Cbor.encode(&value, &mut out).unwrap();
        for len in 0..out.len() {
            assert!(Format::Cbor.decode::<Move<'_>>(&out[..len]).is_err(), "{len} bytes");
        }
        out.push(0);
        let behind = Format::Cbor.decode::<Move<'_>>(&out).unwrap_err();
        assert_eq!(behind.fault(), DecodeFault::TrailingBytes);
    }

    #[test]
    fn what_announces_more_than_it_has_is_refused() {
        let bad: [(&[u8], DecodeFault); 9] = [
            (&[], DecodeFault::Truncated),
            (&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], DecodeFault::TooMany),
            (&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], DecodeFault::TooMany),
            (&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], DecodeFault::Truncated),
            (&[0x9a, 0x00, 0x00, 0x00, 0x02, 0x01], DecodeFault::TooMany),
            (&[0x9f, 0x01], DecodeFault::Truncated),
            (&[0xff], DecodeFault::Marker(0xff)),
            (&[0x81, 0xff], DecodeFault::Marker(0xff)),
            (&[0x1c], DecodeFault::Marker(0x1c)),
        ];
        for (bytes, fault) in bad {
            assert_eq!(walk(bytes).map_err(|error| error.fault()), Err(fault), "{bytes:02x?}");
        }
    }

    #[test]
    fn nesting_ends_at_the_limit_whatever_nests() {
        let deepest = DEPTH_MAX as usize;
        for (opener, closer) in [(0x81, None), (0xc1, None), (0x9f, Some(0xff))] {
            let nested = |depth: usize| {
                let mut bytes = vec![opener; depth];
                bytes.push(0);
                bytes.extend(closer.into_iter().cycle().take(if closer.is_some() {
                    depth
                } else {
                    0
                }));
                bytes
            };
            assert_eq!(walk(&nested(deepest)), Ok(nested(deepest).len()));
            let fault = walk(&nested(deepest + 1)).unwrap_err().fault();
            assert_eq!(fault, DecodeFault::TooDeep);
            assert_eq!(walk(&nested(100_000)).unwrap_err().fault(), DecodeFault::TooDeep);
        }
    }
}
