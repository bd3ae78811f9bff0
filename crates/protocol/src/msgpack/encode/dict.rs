//! Telling the peer our message types.

use moorline_buffers::{PoolExhausted, SendBuffer};

use super::place::{Parts, append_unit};
use super::{HEADER_LEN_MAX, UINT_LEN_MAX};
use crate::dictionary::HandledTypes;
use crate::msgpack::put::Put;
use crate::msgpack::unit::Op;

/// Head of an array or bitmap.
const HEAD_LEN: usize = 3;

//= docs/PROTOCOL.md#4
/// Appends DICT units that tell `hashes`, numbered from `told` + 1, and all that is handled:
/// several where they do not fit one, and one even where there is nothing new but what is handled.
/// Returns how many types the peer then knows.
pub(super) fn append(
    told: u32,
    hashes: &[u64],
    handled: &HandledTypes,
    unit_max: usize,
    out: &mut SendBuffer,
) -> Result<u32, PoolExhausted> {
    let handles = (!handled.any()).then(|| handled.to_bitmap());
    let around = UINT_LEN_MAX + 2 * HEAD_LEN + handles.as_ref().map_or(0, Vec::len);
    let payload_max = unit_max - HEADER_LEN_MAX;
    let a_unit = (payload_max.saturating_sub(around) / UINT_LEN_MAX).max(1);
    // A chain of its own, so that want of memory in the middle leaves nothing behind.
    let mut chain = SendBuffer::with_block_max(out.pool(), out.block_max());
    let mut payload = vec![0; around + UINT_LEN_MAX * a_unit.min(hashes.len())];
    let (mut told, mut rest) = (told, hashes);
    loop {
        let (now, later) = rest.split_at(a_unit.min(rest.len()));
        let mut put = Put::new(&mut payload);
        put.uint(u64::from(told) + 1);
        put.array(u16::try_from(now.len()).expect("a unit has no room for more"));
        now.iter().for_each(|hash| put.uint(*hash));
        match &handles {
            Some(bitmap) => put.bin(bitmap),
            None => put.nil(),
        }
        let len = put.len();
        append_unit(Op::Dict.ty(), false, Parts([&payload[..len], &[]]), &mut chain)?;
        told += u32::try_from(now.len()).expect("a unit has no room for more");
        rest = later;
        if rest.is_empty() {
            out.append(&mut chain);
            return Ok(told);
        }
    }
}
