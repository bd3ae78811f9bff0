//! Bodies in CBOR: our reader and our walker against each other, against minicbor and minicbor-serde, and
//! against a model that is too simple to be wrong.

use std::collections::BTreeMap;
use std::fmt::Debug;

use moorline_protocol::Format;
use moorline_protocol::limits::DEPTH_MAX;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::bodies::{Any, Record, Shape, Untagged};

/// minicbor-serde nests as deep as a body is long.
const ORACLE_MAX: usize = 4_096;

/// The walker says what the model says, the reader of any value says it too, and what is whole is whole
/// for minicbor. What a type takes is well-formed and comes back when it is sent. Returns how many types
/// took it; one of them takes whatever is well-formed.
pub(crate) fn cbor_read(data: &[u8]) -> usize {
    let walked = Format::Cbor.walk(data);
    assert_eq!(walked.is_ok(), measure(data, 0) == Some(data.len()), "the walker, then the model");
    let ignored = Format::Cbor.decode::<IgnoredAny>(data).map(|_| ());
    assert_eq!(ignored, walked, "ignoring, then the walker");
    let read = Format::Cbor.decode::<Any>(data);
    assert_eq!(read.as_ref().map(|_| ()).map_err(|error| *error), walked, "reading, then walking");
    if let Ok(read) = read {
        let mut whole = minicbor::Decoder::new(data);
        whole.skip().expect("it is well-formed");
        assert_eq!(whole.position(), data.len(), "minicbor, then the walker");
        if let Some(oracle) = oracle::<Any>(data) {
            assert_eq!(oracle, read, "minicbor-serde, then the reader");
        }
    }
    let taken = [
        walked.is_ok(),
        takes::<Record>(data),
        takes::<Vec<Shape>>(data),
        agrees::<Untagged>(data),
        agrees::<(u8, i64, String)>(data),
        agrees::<BTreeMap<i16, Option<(bool, char)>>>(data),
        agrees::<Vec<u8>>(data),
        agrees::<u128>(data),
        agrees::<i128>(data),
        agrees::<()>(data),
    ];
    taken.into_iter().filter(|taken| *taken).count()
}

/// Without the oracle: variants are where it went wrong.
fn takes<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) -> bool {
    let Ok(value) = Format::Cbor.decode::<T>(data) else { return false };
    assert_eq!(Format::Cbor.walk(data), Ok(()), "what a type takes is well-formed");
    let mut bytes = Vec::new();
    Format::Cbor.encode(&value, &mut bytes).expect("it is a value like others");
    assert_eq!(Format::Cbor.decode::<T>(&bytes).as_ref(), Ok(&value), "{bytes:02x?}");
    true
}

fn agrees<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) -> bool {
    if let (Ok(value), Some(oracle)) = (Format::Cbor.decode::<T>(data), oracle::<T>(data)) {
        assert_eq!(value, oracle, "the reader, then minicbor-serde");
    }
    takes::<T>(data)
}

/// What minicbor-serde reads, if it reads all of it.
fn oracle<'de, T: Deserialize<'de>>(data: &'de [u8]) -> Option<T> {
    if data.len() > ORACLE_MAX {
        return None;
    }
    let mut reader = minicbor_serde::Deserializer::new(data);
    let value = T::deserialize(&mut reader).ok()?;
    (reader.decoder().position() == data.len()).then_some(value)
}

/// Length of the value at the front, by the book.
fn measure(bytes: &[u8], depth: u32) -> Option<usize> {
    let first = *bytes.first()?;
    let (major, low) = (first >> 5, first & 0x1f);
    if low == 31 {
        return measure_until_break(bytes, major, depth);
    }
    if major == 7 {
        let len = match low {
            20..=23 => 1,
            25..=27 => 1 + (1 << (low - 24)),
            _ => return None,
        };
        return (len <= bytes.len()).then_some(len);
    }
    let (argument, head) = argument(bytes)?;
    match major {
        0 | 1 => Some(head),
        2 | 3 => {
            let end = head.checked_add(argument.try_into().ok()?)?;
            let content = bytes.get(head..end)?;
            (major == 2 || std::str::from_utf8(content).is_ok()).then_some(end)
        }
        _ if depth == DEPTH_MAX => None,
        4 | 5 => {
            let values = argument.checked_mul(u64::from(major) - 3)?;
            (0..values).try_fold(head, |at, _| Some(at + measure(bytes.get(at..)?, depth + 1)?))
        }
        _ => {
            let inside = bytes.get(head..)?;
            if matches!(argument, 2 | 3) && !is_number(inside, argument == 3) {
                return None;
            }
            Some(head + measure(inside, depth + 1)?)
        }
    }
}

/// The number in or behind the first byte, and what they take together.
fn argument(bytes: &[u8]) -> Option<(u64, usize)> {
    let low = bytes.first()? & 0x1f;
    let len = match low {
        0..=23 => return Some((low.into(), 1)),
        24..=27 => 1 << (low - 24),
        _ => return None,
    };
    let digits = bytes.get(1..1 + len)?;
    Some((digits.iter().fold(0, |sum, digit| sum << 8 | u64::from(*digit)), 1 + len))
}

fn measure_until_break(bytes: &[u8], major: u8, depth: u32) -> Option<usize> {
    if !(2..=5).contains(&major) || major > 3 && depth == DEPTH_MAX {
        return None;
    }
    let (mut at, mut values) = (1, 0);
    while *bytes.get(at)? != 0xff {
        if major < 4 && (bytes[at] >> 5 != major || bytes[at] & 0x1f == 31) {
            return None;
        }
        at += measure(&bytes[at..], depth + 1 - u32::from(major < 4))?;
        values += 1;
    }
    (major != 5 || values % 2 == 0).then_some(at + 1)
}

/// Whether the bytes at the front are the digits of an integer of at most 128 bits.
fn is_number(bytes: &[u8], negative: bool) -> bool {
    let Some(end) = measure(bytes, 0).filter(|_| bytes[0] >> 5 == 2) else { return false };
    let mut digits = Vec::new();
    if bytes[0] == 0x5f {
        let mut at = 1;
        while at < end - 1 {
            let (len, head) = argument(&bytes[at..]).unwrap();
            let next = at + head + usize::try_from(len).unwrap();
            digits.extend_from_slice(&bytes[at + head..next]);
            at = next;
        }
    } else {
        digits.extend_from_slice(&bytes[argument(bytes).unwrap().1..end]);
    }
    let first = digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len());
    let digits = &digits[first..];
    digits.len() < 16 || digits.len() == 16 && (!negative || digits[0] < 0x80)
}
