//! Where a unit goes: whole into one block, and what it costs there.

use moorline_buffers::{PoolExhausted, SendBuffer};

use crate::limits::{BLOCK_COST_MAX, UNIT_COST};
use crate::msgpack::unit;

/// What units cost beside the payload they carry.
pub(super) struct Overhead {
    pub(super) units: usize,
    pub(super) bytes: usize,
}

/// A payload that is still in two places: ids and metadata, and the body.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a>(pub(super) [&'a [u8]; 2]);

impl Parts<'_> {
    pub(super) fn len(&self) -> usize {
        self.0[0].len() + self.0[1].len()
    }

    /// Fills `to` with the bytes from `from` on.
    pub(super) fn copy(&self, from: usize, to: &mut [u8]) {
        let [head, body] = self.0;
        let of_head = head.get(from..).unwrap_or_default();
        let (first, second) = to.split_at_mut(of_head.len().min(to.len()));
        first.copy_from_slice(&of_head[..first.len()]);
        let at = from.saturating_sub(head.len());
        second.copy_from_slice(&body[at..at + second.len()]);
    }
}

/// Appends one unit, in one block. Returns its cost.
pub(super) fn append_unit(
    ty: u8,
    takes_credit: bool,
    parts: Parts<'_>,
    out: &mut SendBuffer,
) -> Result<u64, PoolExhausted> {
    let len = parts.len();
    let bytes = begin_unit(ty, takes_credit, len, out)?;
    parts.copy(0, bytes);
    Ok(end_unit(takes_credit, len, out))
}

/// Makes room for a unit and writes its header; returns the room of its payload. Nothing counts
/// before [`end_unit`].
pub(super) fn begin_unit(
    ty: u8,
    takes_credit: bool,
    payload_len: usize,
    out: &mut SendBuffer,
) -> Result<&mut [u8], PoolExhausted> {
    let header_len = unit::header_len(payload_len);
    let weight = out.tail_weight();
    if takes_credit && weight > 0 && weight + unit_cost(payload_len) > BLOCK_COST_MAX {
        out.close_tail();
    }
    let bytes = out.reserve(header_len + payload_len)?;
    unit::write_header(bytes, ty, payload_len);
    Ok(&mut bytes[header_len..header_len + payload_len])
}

pub(super) fn end_unit(takes_credit: bool, payload_len: usize, out: &mut SendBuffer) -> u64 {
    out.commit(unit::header_len(payload_len) + payload_len);
    if !takes_credit {
        return 0;
    }
    let cost = unit_cost(payload_len);
    out.add_weight(cost);
    cost.into()
}

//= docs/PROTOCOL.md#8
/// A unit costs its length, header and all, and a surcharge.
fn unit_cost(payload_len: usize) -> u32 {
    let len = unit::header_len(payload_len) + payload_len;
    u32::try_from(len as u64 + UNIT_COST).expect("a unit is shorter than 64 KiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_join_wherever_they_are_cut() {
        let parts = Parts([b"abc", b"defg"]);
        for from in 0..=7 {
            for to in from..=7 {
                let mut copy = vec![0; to - from];
                parts.copy(from, &mut copy);
                assert_eq!(copy, b"abcdefg"[from..to]);
            }
        }
    }
}
