//! Received bytes: records opened in place, and the units inside, one after the other.

use std::time::{Duration, Instant};

use moorline_buffers::{PoolExhausted, RecvBuffer};
use moorline_noise::Opener;

use super::unit::{self, Op};
use crate::closed::{CloseReason, Violation};
use crate::limits::{FIRST_RECORD_MAX, KEY_RECORDS_TOLERATED, KEY_UPDATES_PER_MINUTE_MAX};

/// Bytes in front of the ciphertext.
pub(super) const HEADER_LEN: usize = 4;

/// Bytes behind it.
pub(super) const TAG_LEN: usize = 16;

/// The first byte of a record: an ext value with a length of two bytes.
pub(super) const EXT_16: u8 = 0xc8;

/// Finds one whole unit after the other in what was received.
pub(super) struct Units {
    channel: Channel,
    /// Bytes of plaintext that one record, or one unit where there are no records, may have.
    capacity: usize,
    /// Before the peer is confirmed even less is taken.
    first: bool,
    /// Nothing may come before SETUP, not even what is not shown to the caller.
    setup_due: bool,
}

enum Channel {
    Sealed(Records),
    Plain,
}

struct Records {
    opener: Opener,
    /// A record is open, and its tag still lies behind its plaintext.
    tag_pending: bool,
    /// A unit of this record has been seen.
    unit_seen: bool,
    updates: Updates,
    records_max: u64,
}

/// Where a unit lies: at the front of what is readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) ty: u8,
    pub(super) header_len: usize,
    /// Header and payload.
    pub(super) len: usize,
}

/// Why there is no further unit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// What comes is no record.
    NoRecord,
    /// A record of a length that cannot be.
    Length,
    /// A record that does not verify.
    Forged,
    /// A rule about what is inside.
    Violation(Violation),
    /// No memory for it.
    Exhausted(PoolExhausted),
}

impl From<Broken> for CloseReason {
    //= docs/PROTOCOL.md#3
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::NoRecord | Broken::Length | Broken::Forged => CloseReason::Tampered,
            Broken::Violation(violation) => violation.into(),
            Broken::Exhausted(exhausted) => exhausted.into(),
        }
    }
}

impl From<PoolExhausted> for Broken {
    fn from(exhausted: PoolExhausted) -> Self {
        Broken::Exhausted(exhausted)
    }
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Self {
        Broken::Violation(violation)
    }
}

impl Units {
    /// Of a peer that seals records of at most `capacity` bytes of plaintext.
    pub(super) fn sealed(opener: Opener, capacity: usize) -> Self {
        let records = Records {
            opener,
            tag_pending: false,
            unit_seen: false,
            updates: Updates { since: None, count: 0 },
            records_max: KEY_RECORDS_TOLERATED,
        };
        Self { channel: Channel::Sealed(records), capacity, first: true, setup_due: true }
    }

    /// Of a peer without records, whose units are at most `capacity` bytes long.
    pub(super) fn plain(capacity: usize) -> Self {
        Self { channel: Channel::Plain, capacity, first: true, setup_due: true }
    }

    /// The peer is confirmed: records may be as long as we said.
    pub(super) fn lift_first_limit(&mut self) {
        self.first = false;
    }

    /// From here on keys change, and records of padding are skipped.
    pub(super) fn setup_came(&mut self) {
        self.setup_due = false;
    }

    pub(super) fn is_sealed(&self) -> bool {
        matches!(self.channel, Channel::Sealed(_))
    }

    /// Whether a record is open of which something is left beside padding.
    pub(super) fn has_more_in_record(&self, input: &RecvBuffer) -> bool {
        self.is_sealed() && input.readable().iter().any(|byte| *byte != 0)
    }

    /// Takes what belongs to the record that is open and is no unit: padding, and the tag if nothing
    /// else is left.
    pub(super) fn leave_record(&mut self, input: &mut RecvBuffer) {
        if let Channel::Sealed(records) = &mut self.channel {
            skip_padding(input);
            if input.readable().is_empty() {
                records.skip_tag(input);
            }
        }
    }

    pub(super) fn park(&mut self) {
        if let Channel::Sealed(records) = &mut self.channel {
            records.opener.park();
        }
    }

    /// The next unit, once it is whole. It is for the caller to consume it.
    pub(super) fn next(
        &mut self,
        now: Instant,
        input: &mut RecvBuffer,
    ) -> Result<Option<Unit>, Broken> {
        let Self { capacity, first, setup_due, .. } = *self;
        match &mut self.channel {
            Channel::Plain => {
                let (max, beyond) = if first {
                    (capacity.min(FIRST_RECORD_MAX), Broken::Length)
                } else {
                    (capacity, Broken::Violation(TOO_LONG))
                };
                plain_unit(input, max, beyond)
            }
            Channel::Sealed(records) => {
                let max = HEADER_LEN + capacity + TAG_LEN;
                let max = if first { max.min(FIRST_RECORD_MAX) } else { max };
                records.next(now, input, max, setup_due)
            }
        }
    }
}

//= docs/PROTOCOL.md#9
const TOO_LONG: Violation = Violation::protocol(9, "a unit is longer than a record may be");

/// A unit that stands for itself.
fn plain_unit(
    input: &mut RecvBuffer,
    len_max: usize,
    beyond: Broken,
) -> Result<Option<Unit>, Broken> {
    let arrived = input.unopened().len();
    input.mark_opened(arrived);
    let Some(header) = unit::read_header(input.readable())? else {
        return Ok(None);
    };
    let len = header.header_len + header.payload_len;
    if len > len_max {
        return Err(beyond);
    }
    let have = input.readable().len();
    if have < len {
        input.reserve(len - have)?;
        return Ok(None);
    }
    Ok(Some(Unit { ty: header.ty, header_len: header.header_len, len }))
}

impl Records {
    fn next(
        &mut self,
        now: Instant,
        input: &mut RecvBuffer,
        len_max: usize,
        setup_due: bool,
    ) -> Result<Option<Unit>, Broken> {
        loop {
            skip_padding(input);
            if !input.readable().is_empty() {
                let unit = unit_in_record(input.readable())?;
                if setup_due || !is_key_update(unit.ty) {
                    self.unit_seen = true;
                    return Ok(Some(unit));
                }
                self.update_key(now, unit, input)?;
            } else if setup_due && self.tag_pending && !self.unit_seen {
                return Err(Violation::protocol(2, "the first record is SETUP").into());
            }
            if !self.open(input, len_max)? {
                return Ok(None);
            }
        }
    }

    //= docs/PROTOCOL.md#3
    /// Opens the next record in place; `false` if it is not whole.
    fn open(&mut self, input: &mut RecvBuffer, len_max: usize) -> Result<bool, Broken> {
        self.skip_tag(input);
        let Some(sealed_len) = sealed_len(input.unopened())? else {
            return Ok(false);
        };
        let len = HEADER_LEN + sealed_len;
        if sealed_len <= TAG_LEN || len > len_max {
            return Err(Broken::Length);
        }
        let have = input.unopened().len();
        if have < len {
            input.reserve(len - have)?;
            return Ok(false);
        }
        if self.opener.records() >= self.records_max {
            let rule = "too many records under one key";
            return Err(Violation::protocol(3, rule).into());
        }
        let header: [u8; HEADER_LEN] =
            input.unopened()[..HEADER_LEN].try_into().expect("four bytes were asked for");
        input.skip_unopened(HEADER_LEN);
        let sealed = &mut input.unopened_mut()[..sealed_len];
        let plain_len = self.opener.open(&header, sealed).map_err(|_| Broken::Forged)?;
        input.mark_opened(plain_len);
        self.tag_pending = true;
        self.unit_seen = false;
        Ok(true)
    }

    fn skip_tag(&mut self, input: &mut RecvBuffer) {
        if std::mem::take(&mut self.tag_pending) {
            input.skip_unopened(TAG_LEN);
        }
    }

    //= docs/PROTOCOL.md#3
    fn update_key(
        &mut self,
        now: Instant,
        unit: Unit,
        input: &mut RecvBuffer,
    ) -> Result<(), Violation> {
        if unit.ty != Op::KeyUpdate.ty() || unit.len != unit.header_len {
            return Err(Violation::protocol(3, "KEY_UPDATE is empty and has no flags"));
        }
        input.consume(unit.len);
        skip_padding(input);
        if self.unit_seen || !input.readable().is_empty() {
            return Err(Violation::protocol(3, "KEY_UPDATE is alone in its record"));
        }
        self.updates.count(now)?;
        self.opener.rekey();
        Ok(())
    }
}

/// Zeros between and behind units.
fn skip_padding(input: &mut RecvBuffer) {
    let padding = input.readable().iter().take_while(|byte| **byte == 0).count();
    input.consume(padding);
}

/// What the header of a record says about ciphertext and tag, once it is whole.
fn sealed_len(bytes: &[u8]) -> Result<Option<usize>, Broken> {
    // Byte by byte, so that what is no record is seen as early as possible, however it comes.
    if bytes.first().is_some_and(|first| *first != EXT_16) {
        return Err(Broken::NoRecord);
    }
    let Some(&[_, high, low, ty]) = bytes.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    if ty != Op::Record.ty() {
        return Err(Broken::NoRecord);
    }
    Ok(Some(usize::from(u16::from_be_bytes([high, low]))))
}

/// The unit at the front of a record's plaintext.
fn unit_in_record(plain: &[u8]) -> Result<Unit, Violation> {
    let torn = Violation::protocol(3, "a unit goes beyond its record");
    let header = unit::read_header(plain)?.ok_or(torn)?;
    let len = header.header_len + header.payload_len;
    if len > plain.len() {
        return Err(torn);
    }
    Ok(Unit { ty: header.ty, header_len: header.header_len, len })
}

fn is_key_update(ty: u8) -> bool {
    ty & 0x1f == Op::KeyUpdate.ty()
}

/// How often the peer has changed its key within a minute.
struct Updates {
    since: Option<Instant>,
    count: u32,
}

impl Updates {
    //= docs/PROTOCOL.md#3
    fn count(&mut self, now: Instant) -> Result<(), Violation> {
        let over = |since| now.saturating_duration_since(since) >= Duration::from_secs(60);
        if self.since.is_none_or(over) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count += 1;
        if self.count > KEY_UPDATES_PER_MINUTE_MAX {
            return Err(Violation::protocol(3, "too many changes of keys a minute"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
