//! Frames longer than a block. gofast has no fragments: a frame must stand on the wire in one piece,
//! while sessions send whichever block is next. So a long frame travels to the writer in blocks that
//! say which way they go, and there it waits until it is whole.
//!
//! ```text
//!  01 | way | part of a frame        02 | way | part of a frame, the last        03 | way | forget it
//! ```
//!
//! No frame begins with these bytes, and none of them leaves.

use moorline_buffers::{Block, PoolExhausted, SendBuffer};
use moorline_protocol::Lane;

const PART: u8 = 1;
const LAST: u8 = 2;
const FORGET: u8 = 3;

const HEAD_LEN: usize = 2;

/// Of which flow and lane a long frame is: of each, one is on its way at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way(u8);

/// The flows of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Posts,
    Requests,
    Answers,
    Data,
}

const FLOWS: u8 = 4;

/// Ways there are: the flows of three lanes, and control.
const WAYS: usize = 13;

/// Of what a frame is put together: head, body in two parts, tail.
const PARTS: usize = 4;

impl Way {
    /// What a session says before all lanes.
    pub(crate) const CONTROL: Self = Self(12);

    pub(crate) const fn of(flow: Flow, lane: Lane) -> Self {
        // In the bulk lane posts and requests are one flow.
        let flow = match (flow, lane) {
            (Flow::Posts, Lane::Bulk) => Flow::Requests,
            (flow, _) => flow,
        };
        Self(flow as u8 + FLOWS * lane as u8)
    }
}

/// Appends a frame in blocks of its own.
pub(crate) fn append(
    way: Way,
    parts: [&[u8]; PARTS],
    out: &mut SendBuffer,
) -> Result<(), PoolExhausted> {
    let mut chain = SendBuffer::with_block_max(out.pool(), out.block_max());
    let mut left: usize = parts.iter().map(|part| part.len()).sum();
    let mut parts = parts.into_iter().filter(|part| !part.is_empty());
    let mut part = parts.next().unwrap_or(&[]);
    while left > 0 {
        let room = out.block_max() - HEAD_LEN;
        let mark = if left > room { PART } else { LAST };
        chain.extend_from_slice(&[mark, way.0])?;
        for _ in 0..=PARTS {
            let (now, later) = part.split_at(part.len().min(chain.tail_spare()));
            chain.extend_from_slice(now)?;
            left -= now.len();
            part = if later.is_empty() { parts.next().unwrap_or(&[]) } else { later };
        }
        chain.close_tail();
    }
    out.close_tail();
    out.append(&mut chain);
    out.close_tail();
    Ok(())
}

/// The rest of the long frame that is on this way never comes.
pub(crate) fn append_forget(way: Way, out: &mut SendBuffer) -> Result<(), PoolExhausted> {
    out.close_tail();
    out.extend_from_slice(&[FORGET, way.0])?;
    out.close_tail();
    Ok(())
}

/// Long frames that are not whole yet, by their ways.
#[derive(Default)]
pub(crate) struct Gathering {
    ways: [Option<Box<SendBuffer>>; WAYS],
}

/// What a block turned out to be.
pub(crate) enum Gathered {
    /// Whole frames.
    Frames(Block),
    /// Part of one, which is kept.
    Kept,
    /// The last part: this frame is whole now.
    Whole(SendBuffer),
    /// The rest of this frame never comes.
    Forgotten(SendBuffer),
}

impl Gathering {
    /// Looks what a block is. What it holds of a long frame is kept.
    pub(crate) fn take(
        &mut self,
        block: Block,
        wire: &SendBuffer,
    ) -> Result<Gathered, PoolExhausted> {
        let &[mark @ (PART | LAST | FORGET), way, ref part @ ..] = block.bytes() else {
            return Ok(Gathered::Frames(block));
        };
        let slot = &mut self.ways[usize::from(way)];
        if mark == FORGET {
            return Ok(slot.take().map_or(Gathered::Kept, |frame| Gathered::Forgotten(*frame)));
        }
        let frame = slot.get_or_insert_with(|| Box::new(SendBuffer::new(wire.pool())));
        frame.extend_from_slice(part)?;
        match slot.take_if(|_| mark == LAST) {
            Some(frame) => Ok(Gathered::Whole(*frame)),
            None => Ok(Gathered::Kept),
        }
    }
}

#[cfg(test)]
mod tests {
    use moorline_buffers::{BlockPool, BlockPoolConfig};

    use super::*;

    fn bytes(chain: &mut SendBuffer) -> Vec<u8> {
        std::iter::from_fn(|| chain.pop_block()).flat_map(|b| b.bytes().to_vec()).collect()
    }

    #[test]
    fn long_frames_on_different_ways_may_cross_and_come_out_whole() {
        let pool = BlockPool::new(BlockPoolConfig::messages());
        let chain = || SendBuffer::with_block_max(&pool, 1000);
        let (a, b) = (vec![0xd9; 2500], vec![0xd8; 3001]);
        let (mut first, mut second) = (chain(), chain());
        append(Way::of(Flow::Posts, Lane::Normal), [&a[..3], &a[3..], &[], &[]], &mut first)
            .unwrap();
        append(Way::of(Flow::Data, Lane::Bulk), [&b, &[], &[], &[]], &mut second).unwrap();
        assert_eq!((first.blocks(), second.blocks()), (3, 4));
        let mut gathering = Gathering::default();
        let mut whole = Vec::new();
        for turn in 0..8 {
            let from = if turn % 2 == 0 { &mut first } else { &mut second };
            let Some(block) = from.pop_block() else { continue };
            if let Gathered::Whole(mut frame) = gathering.take(block, &chain()).unwrap() {
                whole.push(bytes(&mut frame));
            }
        }
        assert_eq!(whole, [a, b]);
    }

    #[test]
    fn what_is_forgotten_leaves_nothing_behind() {
        let pool = BlockPool::new(BlockPoolConfig::messages());
        let mut chain = SendBuffer::with_block_max(&pool, 1000);
        let way = Way::of(Flow::Requests, Lane::High);
        append(way, [&[1; 1500], &[], &[], &[]], &mut chain).unwrap();
        let begun = chain.pop_block().unwrap();
        chain.clear();
        append_forget(way, &mut chain).unwrap();
        append(way, [&[2; 1500], &[], &[], &[]], &mut chain).unwrap();
        let mut gathering = Gathering::default();
        assert!(matches!(gathering.take(begun, &chain), Ok(Gathered::Kept)));
        let forget = chain.pop_block().unwrap();
        assert!(matches!(gathering.take(forget, &chain), Ok(Gathered::Forgotten(_))));
        let mut found = None;
        while let Some(block) = chain.pop_block() {
            if let Gathered::Whole(mut frame) = gathering.take(block, &chain).unwrap() {
                found = Some(bytes(&mut frame));
            }
        }
        assert_eq!(found, Some(vec![2; 1500]));
    }
}
