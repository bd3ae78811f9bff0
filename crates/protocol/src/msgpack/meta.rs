//! The map of metadata between the ids of a call and its body.

use std::time::Duration;

use super::put::Put;
use super::setup::milliseconds;
use super::unit::Fields;
use crate::closed::Violation;
use crate::frame::{Meta, Overflow};

mod key {
    pub(super) const DEADLINE: u64 = 0;
    pub(super) const TRACE: u64 = 1;
    pub(super) const PRIORITY: u64 = 2;
    pub(super) const CODEC: u64 = 4;
    pub(super) const IDEMPOTENCY: u64 = 5;
    pub(super) const ATTEMPT: u64 = 6;
    pub(super) const OVERFLOW: u64 = 8;
    /// From here on a receiver must know a key, or refuse the call.
    pub(super) const CRITICAL: u64 = 64;
}

/// The most bytes that [`write`] takes: head, deadline, trace, priority, codec, key, attempt
/// and overflow.
pub(crate) const META_LEN_MAX: usize = 1 + 10 + 28 + 2 + 3 + 19 + 6 + 2;

//= docs/PROTOCOL.md#1
/// Writes what `meta` says. The caller asks [`Meta::is_empty`] first.
pub(crate) fn write(meta: &Meta, put: &mut Put<'_>) {
    let said = [
        meta.deadline.is_some(),
        meta.trace.is_some(),
        meta.priority.is_some(),
        meta.codec != 0,
        meta.idempotency_key.is_some(),
        meta.attempt != 0,
        meta.overflow != Overflow::DropOldest,
    ];
    put.map(said.into_iter().map(u8::from).sum());
    if let Some(deadline) = meta.deadline {
        put.uint(key::DEADLINE);
        put.uint(milliseconds(deadline));
    }
    if let Some(trace) = &meta.trace {
        put.uint(key::TRACE);
        put.bin(&trace[..]);
    }
    if let Some(priority) = meta.priority {
        put.uint(key::PRIORITY);
        put.uint(priority.into());
    }
    if meta.codec != 0 {
        put.uint(key::CODEC);
        put.uint(meta.codec.into());
    }
    if let Some(idempotency_key) = &meta.idempotency_key {
        put.uint(key::IDEMPOTENCY);
        put.bin(&idempotency_key[..]);
    }
    if meta.attempt != 0 {
        put.uint(key::ATTEMPT);
        put.uint(meta.attempt.into());
    }
    if meta.overflow != Overflow::DropOldest {
        put.uint(key::OVERFLOW);
        put.uint(if meta.overflow == Overflow::DropNewest { 1 } else { 2 });
    }
}

//= docs/PROTOCOL.md#1
/// Reads a map of metadata. Keys this version does not use are skipped; an unknown one from 64 up
/// is remembered, because the call cannot be taken then.
pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Meta, Violation> {
    let mut meta = Meta::default();
    for _ in 0..fields.map_len()? {
        match fields.uint()? {
            key::DEADLINE => meta.deadline = Some(Duration::from_millis(fields.uint()?)),
            key::TRACE => meta.trace = Some(Box::new(exactly(fields)?)),
            key::PRIORITY => meta.priority = Some(priority(fields.uint()?)?),
            key::CODEC => meta.codec = number(fields)?,
            key::IDEMPOTENCY => meta.idempotency_key = Some(Box::new(exactly(fields)?)),
            key::ATTEMPT => meta.attempt = number(fields)?,
            key::OVERFLOW => meta.overflow = overflow(fields.uint()?),
            unknown => {
                if unknown >= key::CRITICAL {
                    meta.unsupported.get_or_insert(unknown);
                }
                fields.skip_value()?;
            }
        }
    }
    Ok(meta)
}

fn exactly<const N: usize>(fields: &mut Fields<'_>) -> Result<[u8; N], Violation> {
    let bytes = fields.bin()?;
    bytes.try_into().map_err(|_| Violation::protocol(1, "a metadata value of the wrong length"))
}

fn priority(value: u64) -> Result<u8, Violation> {
    match u8::try_from(value) {
        Ok(priority) if priority <= 7 => Ok(priority),
        _ => Err(Violation::protocol(1, "a priority above 7")),
    }
}

/// A way that this version does not have counts as the default: what it loses is told anyway.
fn overflow(value: u64) -> Overflow {
    match value {
        1 => Overflow::DropNewest,
        2 => Overflow::Close,
        _ => Overflow::DropOldest,
    }
}

fn number<T: TryFrom<u64>>(fields: &mut Fields<'_>) -> Result<T, Violation> {
    let value = fields.uint()?;
    T::try_from(value).map_err(|_| Violation::protocol(1, "a metadata value out of its range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(meta: &Meta) -> Meta {
        let mut out = [0; META_LEN_MAX];
        let mut put = Put::new(&mut out);
        write(meta, &mut put);
        let len = put.len();
        let mut fields = Fields::new(&out[..len]);
        let read = read(&mut fields).unwrap();
        assert!(fields.is_empty());
        read
    }

    #[test]
    fn all_that_can_be_said_goes_there_and_back_within_its_bound() {
        let meta = Meta {
            deadline: Some(Duration::from_millis(u64::MAX)),
            priority: Some(7),
            idempotent: false,
            attempt: u32::MAX,
            trace: Some(Box::new([7; 25])),
            idempotency_key: Some(Box::new([9; 16])),
            codec: u8::MAX,
            overflow: Overflow::Close,
            unsupported: None,
        };
        assert_eq!(round_trip(&meta), meta);
    }

    #[test]
    fn an_overflow_of_a_later_version_is_the_default() {
        for (value, overflow) in [
            (0, Overflow::DropOldest),
            (1, Overflow::DropNewest),
            (2, Overflow::Close),
            (3, Overflow::DropOldest),
        ] {
            let read = read(&mut Fields::new(&[0x81, 8, value])).unwrap();
            assert_eq!(read.overflow, overflow);
            let meta = Meta { overflow, ..Meta::default() };
            assert_eq!(round_trip(&meta), meta);
        }
    }

    #[test]
    fn a_deadline_is_rounded_up() {
        let meta = Meta { deadline: Some(Duration::from_micros(1)), ..Meta::default() };
        assert_eq!(round_trip(&meta).deadline, Some(Duration::from_millis(1)));
    }

    //= docs/PROTOCOL.md#1
    #[test]
    fn unknown_keys_are_ignored_below_64_and_remembered_from_there() {
        let bytes = [0x84, 0x3f, 0x92, 1, 2, 0x40, 0xc0, 0x41, 0xc3, 0x02, 0x06];
        let mut fields = Fields::new(&bytes);
        let meta = read(&mut fields).unwrap();
        assert_eq!((meta.unsupported, meta.priority), (Some(64), Some(6)));
        assert!(fields.is_empty());
    }

    #[test]
    fn values_that_cannot_be_are_violations() {
        let bad: [&[u8]; 7] = [
            &[0x81, 0x02, 0x08],
            &[0x81, 0x05, 0xc4, 0x01, 0x00],
            &[0x81, 0x00, 0xa1, b'x'],
            &[0x81, 0xa1, b'x', 0x00],
            &[0x82, 0x02, 0x01],
            &[0xdf, 0xff, 0xff, 0xff, 0xff, 0x02, 0x01],
            &[0x90],
        ];
        for bytes in bad {
            assert!(read(&mut Fields::new(bytes)).is_err(), "{bytes:02x?}");
        }
    }
}
