use std::fmt;
use std::time::{Duration, Instant};

use crate::block::Block;
use crate::cache;
use crate::depot::{Depot, Keeper, Sizes};
use crate::error::{Knob, PoolExhausted};
use crate::limits::{
    BLOCK_HEAD_ROOM, BLOCK_TAIL_ROOM, BULK_BLOCK_PAYLOAD, BULK_BLOCKS_MAX, BULK_FREE_BLOCKS_MAX,
    IDLE_TIME, MESSAGE_BLOCK_PAYLOAD, MESSAGE_BLOCKS_MAX, MESSAGE_FREE_BLOCKS_MAX,
};
use crate::stats::PoolStats;
use crate::stock::{Refused, StockLimits};
use crate::sync::Arc;

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
    /// Most blocks kept for the next use; blocks beyond go back to the system. What threads keep in
    /// their caches, at most 320 KiB each, comes on top.
    pub free_blocks_max: usize,
    /// What [`trim_idle`](BlockPool::trim_idle) finds unused for so long goes back to the system.
    pub idle_time: Duration,
}

impl BlockPoolConfig {
    /// Blocks for messages: 16 KiB of payload, 4 bytes of head room, 16 bytes of tail room;
    /// at most 65,536 lent and 1,024 kept, idle ones for 10 s.
    #[must_use]
    pub fn messages() -> Self {
        Self {
            name: "messages",
            payload: MESSAGE_BLOCK_PAYLOAD,
            head_room: BLOCK_HEAD_ROOM,
            tail_room: BLOCK_TAIL_ROOM,
            blocks_max: MESSAGE_BLOCKS_MAX,
            free_blocks_max: MESSAGE_FREE_BLOCKS_MAX,
            idle_time: IDLE_TIME,
        }
    }

    /// Blocks for bulk data: 65,516 bytes of payload, 4 of head room and 16 of tail room, 64 KiB in
    /// all; at most 16,384 lent and 256 kept, idle ones for 10 s.
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
/// A handle: clones share one pool, and any thread may use any of them. Each thread keeps a few
/// blocks for itself, so that acquire and release meet nobody. A block finds its way back from
/// whichever thread drops it; when the last handle is dropped, what comes back goes to the system.
#[derive(Clone)]
pub struct BlockPool {
    shared: Arc<Shared>,
}

struct Shared {
    config: BlockPoolConfig,
    block_bytes: usize,
    keeper: Keeper,
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
        let limits = StockLimits {
            out_bytes_max: config.blocks_max.saturating_mul(block_bytes),
            free_bytes_max: config.free_blocks_max.saturating_mul(block_bytes),
            classes: Box::new([(block_bytes, config.free_blocks_max)]),
        };
        let sizes = (block_bytes, config.head_room..config.head_room + config.payload);
        let depot = Depot::new(config.name, Sizes::One, sizes, config.idle_time, limits);
        let keeper = Keeper(Arc::new(depot));
        Self { shared: Arc::new(Shared { config, block_bytes, keeper }) }
    }

    /// Lends an empty block.
    ///
    /// # Errors
    /// [`PoolExhausted`] where `blocks_max` are lent already; those in the caches of other threads
    /// count as lent. It never waits.
    #[inline]
    pub fn acquire(&self) -> Result<Block, PoolExhausted> {
        let Shared { config, block_bytes, keeper } = &*self.shared;
        match cache::lend(&keeper.0, *block_bytes) {
            Ok(loan) => Ok(Block::new(loan, config)),
            Err(refused) => Err(self.refusal(&refused)),
        }
    }

    #[cold]
    fn refusal(&self, refused: &Refused) -> PoolExhausted {
        let Shared { config, block_bytes, keeper } = &*self.shared;
        keeper.0.note_refused();
        PoolExhausted {
            pool: config.name,
            asked: 1,
            in_use: refused.in_use_bytes / block_bytes,
            limit: config.blocks_max,
            knob: Knob::BlocksMax,
        }
    }

    /// Takes memory for so many blocks now instead of when they are first needed, as far as the pool
    /// may keep them.
    pub fn provide(&self, blocks: usize) {
        self.shared.keeper.0.provide(self.shared.block_bytes, blocks);
    }

    /// The pool's counters now.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.shared.keeper.0.stats()
    }

    /// Gives every block that waits for its next use back to the system. Other threads give up what
    /// they keep when they use the pool next.
    pub fn trim(&self) {
        cache::forget(&self.shared.keeper.0);
        self.shared.keeper.0.trim();
    }

    /// Gives back what nobody needed for [`idle_time`](BlockPoolConfig::idle_time): the first call
    /// begins a period, and one after its end gives back the free blocks that were not touched in it,
    /// 64 in one call at most. Of no use more often than once in a while, and harmless.
    pub fn trim_idle(&self, now: Instant) {
        self.shared.keeper.0.trim_idle(now);
    }

    /// Verifies that the accounts agree with the free blocks, and that no limit was passed.
    ///
    /// # Panics
    /// If it does not hold, which is a bug of this crate.
    pub fn invariants(&self) {
        self.shared.keeper.0.invariants();
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
}

impl fmt::Debug for BlockPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("BlockPool").field(&self.stats()).finish()
    }
}
