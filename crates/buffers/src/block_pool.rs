use std::fmt;
use std::sync::Arc;

use crate::block::Block;
use crate::error::{Knob, PoolExhausted};
use crate::free_list::{FreeList, Memory, allocate};
use crate::limits::{
    BLOCK_HEAD_ROOM, BLOCK_TAIL_ROOM, BULK_BLOCK_PAYLOAD, BULK_BLOCKS_MAX, BULK_FREE_BLOCKS_MAX,
    MESSAGE_BLOCK_PAYLOAD, MESSAGE_BLOCKS_MAX, MESSAGE_FREE_BLOCKS_MAX,
};
use crate::stats::{Counters, PoolStats};

/// The shape of a pool's blocks, and how many it may lend and keep.
#[derive(Clone, Copy, Debug)]
pub struct BlockPoolConfig {
    /// What errors and statistics call the pool.
    pub name: &'static str,
    /// Bytes of payload in a block, at least 1.
    pub payload: usize,
    /// Bytes in front of the payload, for a header written when the payload is complete.
    pub head_room: usize,
    /// Bytes behind the payload, for a tag written when the payload is complete.
    pub tail_room: usize,
    /// Most blocks lent at once.
    pub blocks_max: usize,
    /// Most blocks kept for the next use (at most 65,536); blocks beyond go back to the allocator.
    pub free_blocks_max: usize,
}

impl BlockPoolConfig {
    /// Blocks for messages: 16 KiB of payload, 4 bytes of head room, 16 bytes of tail room;
    /// at most 65,536 lent and 1,024 kept.
    #[must_use]
    pub fn messages() -> Self {
        Self {
            name: "messages",
            payload: MESSAGE_BLOCK_PAYLOAD,
            head_room: BLOCK_HEAD_ROOM,
            tail_room: BLOCK_TAIL_ROOM,
            blocks_max: MESSAGE_BLOCKS_MAX,
            free_blocks_max: MESSAGE_FREE_BLOCKS_MAX,
        }
    }

    /// Blocks for bulk data: 65,516 bytes of payload, 4 of head room and 16 of tail room, 64 KiB in
    /// all; at most 16,384 lent and 256 kept.
    #[must_use]
    pub fn bulk() -> Self {
        Self {
            name: "bulk",
            payload: BULK_BLOCK_PAYLOAD,
            blocks_max: BULK_BLOCKS_MAX,
            free_blocks_max: BULK_FREE_BLOCKS_MAX,
            ..Self::messages()
        }
    }
}

/// Lends [`Block`]s of one size: head room, payload and tail room in one piece.
///
/// A handle: clones share one pool, and any thread may use any of them. A block keeps its pool
/// alive, and finds its way back from whichever thread drops it.
#[derive(Clone)]
pub struct BlockPool {
    shared: Arc<Shared>,
}

struct Shared {
    config: BlockPoolConfig,
    block_bytes: usize,
    counters: Counters,
    free: FreeList,
}

impl BlockPool {
    /// Makes an empty pool; memory is taken when it is first needed.
    ///
    /// # Panics
    /// If the payload is empty, or head room, payload and tail room do not fit the address space.
    #[must_use]
    pub fn new(config: BlockPoolConfig) -> Self {
        assert!(config.payload > 0, "a block holds at least one byte of payload");
        let block_bytes = config
            .payload
            .checked_add(config.head_room)
            .and_then(|bytes| bytes.checked_add(config.tail_room))
            .expect("a block fits the address space");
        let (counters, free) = (Counters::default(), FreeList::new(config.free_blocks_max));
        Self { shared: Arc::new(Shared { config, block_bytes, counters, free }) }
    }

    /// Lends an empty block.
    ///
    /// # Errors
    /// [`PoolExhausted`] where `blocks_max` are lent already. It never waits.
    pub fn acquire(&self) -> Result<Block, PoolExhausted> {
        let Shared { config, block_bytes, counters, free } = &*self.shared;
        let in_use_bytes_max = config.blocks_max.saturating_mul(*block_bytes);
        counters.admit(*block_bytes, in_use_bytes_max).map_err(|in_use_bytes| {
            counters.note_refused();
            PoolExhausted {
                pool: config.name,
                asked: 1,
                in_use: in_use_bytes / block_bytes,
                limit: config.blocks_max,
                knob: Knob::BlocksMax,
            }
        })?;
        let memory = free.pop().unwrap_or_else(|| {
            counters.note_allocated();
            allocate(*block_bytes)
        });
        Ok(Block::new(memory, self.clone()))
    }

    /// The pool's counters now.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let Shared { config, block_bytes, counters, free } = &*self.shared;
        let free_blocks = free.len();
        counters.stats(config.name, free_blocks, free_blocks * block_bytes)
    }

    /// Gives every block that waits for its next use back to the allocator.
    pub fn trim(&self) {
        // As many as there are now: what others return meanwhile is theirs to use again.
        for _ in 0..self.shared.free.len() {
            drop(self.shared.free.pop());
        }
    }

    /// What errors and statistics call the pool.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.config.name
    }

    /// Bytes of payload in each block.
    #[must_use]
    pub fn payload_capacity(&self) -> usize {
        self.shared.config.payload
    }

    /// Bytes in front of each payload.
    #[must_use]
    pub fn head_room(&self) -> usize {
        self.shared.config.head_room
    }

    /// Bytes behind each payload.
    #[must_use]
    pub fn tail_room(&self) -> usize {
        self.shared.config.tail_room
    }

    pub(crate) fn release(&self, memory: Memory) {
        let bytes = memory.len();
        // Where the list is full the block goes to the allocator.
        drop(self.shared.free.push(memory));
        self.shared.counters.note_returned(bytes);
    }
}

impl fmt::Debug for BlockPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("BlockPool").field(&self.stats()).finish()
    }
}
