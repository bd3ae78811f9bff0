//! A message that is longer than a unit may be, as several.

use moorline_buffers::{PoolExhausted, SendBuffer};

use super::flow::Flow;
use super::place::{Overhead, Parts, begin_unit, end_unit};
use super::{HEADER_LEN_MAX, UINT_LEN_MAX};
use crate::msgpack::put::Put;
use crate::msgpack::unit::{Flags, Op};
use crate::seam::Lane;

/// The number of the fragmented message, always one byte.
const FID_LEN: usize = 1;

/// What the first fragment says beside that: type and total.
const FIRST_LEN_MAX: usize = 1 + UINT_LEN_MAX;

//= docs/PROTOCOL.md#8
/// Appends a message in fragments, each of them a unit that fits a block. One message at a time
/// goes out in each flow of a lane, which so needs one number and no more.
pub(super) fn append(
    ty: u8,
    (flow, lane): (Flow, Lane),
    parts: Parts<'_>,
    unit_max: usize,
    out: &mut SendBuffer,
) -> Result<u64, PoolExhausted> {
    let (fid, takes_credit) = (flow.fragment_id(lane), flow.takes_credit());
    let total = parts.len();
    // A chain of its own, so that want of memory in the middle leaves nothing behind.
    let mut chain = SendBuffer::with_block_max(out.pool(), out.block_max());
    let (mut at, mut cost) = (0, 0);
    while at < total {
        let mut head = [0; FID_LEN + FIRST_LEN_MAX];
        let mut put = Put::new(&mut head);
        put.byte(fid);
        let mut frag = Op::Frag.ty();
        if at == 0 {
            frag |= Flags::X;
            put.byte(ty);
            put.uint(total as u64);
        }
        let head_len = put.len();
        let chunk = (total - at).min(unit_max - HEADER_LEN_MAX - head_len);
        let payload = begin_unit(frag, takes_credit, head_len + chunk, &mut chain)?;
        payload[..head_len].copy_from_slice(&head[..head_len]);
        parts.copy(at, &mut payload[head_len..]);
        cost += end_unit(takes_credit, head_len + chunk, &mut chain);
        at += chunk;
    }
    out.append(&mut chain);
    Ok(cost)
}

/// No less than what [`append`] puts around a payload of so many bytes.
pub(super) fn overhead(payload_len: usize, unit_max: usize) -> Overhead {
    let around = HEADER_LEN_MAX + FID_LEN;
    let units = 1 + (payload_len + FIRST_LEN_MAX).div_ceil(unit_max - around);
    Overhead { units, bytes: units * around + FIRST_LEN_MAX }
}
