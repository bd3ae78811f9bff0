//! Bodies in CBOR (RFC 8949): written by a library, read by our own reader that believes nothing.

mod containers;
mod cursor;
mod deserializer;
mod head;
mod input;
mod read;
mod variants;
mod walk;

use serde::{Deserialize, Serialize};

use self::read::Reader;
use super::{BodyEncodeError, DecodeError};

pub(super) use self::walk::walk;

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

/// What the type borrows, it borrows from `bytes`; only strings in pieces are copied together.
pub(super) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    match T::deserialize(&mut reader) {
        Ok(value) => reader.cursor.finish().map(|()| value),
        Err(error) => Err(error.at(reader.offset())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{DecodeFault, Format};
    use crate::limits::DEPTH_MAX;

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
            assert_eq!(walk(&nested(deepest)), Ok(()));
            let fault = walk(&nested(deepest + 1)).unwrap_err().fault();
            assert_eq!(fault, DecodeFault::TooDeep);
            assert_eq!(walk(&nested(100_000)).unwrap_err().fault(), DecodeFault::TooDeep);
        }
    }

    /// A name alone has no content, so nothing behind it is taken for that: not even one level is
    /// gone into, however long the list of names is.
    #[test]
    fn names_in_a_row_are_not_taken_for_each_others_content() {
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "only read")]
        enum Term {
            Leaf,
            Not(Box<Term>),
        }
        #[derive(Debug, serde::Deserialize)]
        struct Query {
            terms: Vec<Term>,
        }
        let mut body = b"\xa1\x65terms\x9a\x00\x01\x86\xa0".to_vec();
        body.extend(b"\x63Not".repeat(100_000));
        assert_eq!(walk(&body), Ok(()));
        let refused = Format::Cbor.decode::<Query>(&body).unwrap_err();
        assert_eq!(refused.fault(), DecodeFault::WrongType { found: "variant without content" });
        let honest = b"\xbf\x65terms\x9f\xa1\x63Not\xbf\x63Not\x64Leaf\xff\x64Leaf\xff\xff";
        let read = Format::Cbor.decode::<Query>(honest).unwrap();
        assert!(matches!(&read.terms[..], [Term::Not(_), Term::Leaf]));
    }
}
