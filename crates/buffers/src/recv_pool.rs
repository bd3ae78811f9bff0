use std::fmt;
use std::time::{Duration, Instant};

use crate::cache;
use crate::class::{block_bytes, class_bytes};
use crate::depot::{Depot, Keeper, Sizes};
use crate::error::{Knob, PoolExhausted};
use crate::limits::{
    IDLE_TIME, RECV_BUFFER_BYTES_MAX, RECV_CLASS_FREE_BYTES_MAX, RECV_CLASSES,
    RECV_FREE_BLOCKS_PER_CLASS_MAX, RECV_FREE_BYTES_MAX,
};
use crate::recv_buffer::RecvBuffer;
use crate::stats::PoolStats;
use crate::stock::{Refused, StockLimits};
use crate::sync::Arc;

/// How much memory a [`RecvPool`] may lend and keep.
#[derive(Clone, Copy, Debug)]
pub struct RecvPoolConfig {
    /// What errors and statistics call the pool. Default: `recv`.
    pub name: &'static str,
    /// Most bytes lent at once, in whole blocks. Default: no limit; then whoever acquires must
    /// bound how often and how much.
    pub in_use_bytes_max: usize,
    /// Most bytes that can be asked for in one buffer. Default: 1 GiB.
    pub buffer_bytes_max: usize,
    /// Most bytes kept for the next use; blocks beyond go back to the system. What threads keep in
    /// their caches, at most 320 KiB each, comes on top. Default: 16 MiB.
    pub free_bytes_max: usize,
    /// Most bytes kept in blocks of one size. Default: 8 MiB.
    pub class_free_bytes_max: usize,
    /// What [`trim_idle`](RecvPool::trim_idle) finds unused for so long goes back to the system.
    /// Default: 10 s.
    pub idle_time: Duration,
}

impl Default for RecvPoolConfig {
    fn default() -> Self {
        Self {
            name: "recv",
            in_use_bytes_max: usize::MAX,
            buffer_bytes_max: RECV_BUFFER_BYTES_MAX,
            free_bytes_max: RECV_FREE_BYTES_MAX,
            class_free_bytes_max: RECV_CLASS_FREE_BYTES_MAX,
            idle_time: IDLE_TIME,
        }
    }
}

/// Lends [`RecvBuffer`]s of 2^8 to 2^22 bytes, and larger ones that are not kept.
///
/// A handle: clones share one pool, and any thread may use any of them. Each thread keeps a few
/// blocks for itself, so that acquire and release meet nobody. A buffer finds its way back from
/// whichever thread drops it; when the last handle is dropped, what comes back goes to the system.
#[derive(Clone)]
pub struct RecvPool {
    keeper: Arc<Keeper>,
}

impl RecvPool {
    /// Makes an empty pool; memory is taken when it is first needed.
    #[must_use]
    pub fn new(config: RecvPoolConfig) -> Self {
        let class_bytes_max = config.class_free_bytes_max.min(config.free_bytes_max);
        let class = |class| {
            let bytes = class_bytes(class);
            (bytes, (class_bytes_max / bytes).min(RECV_FREE_BLOCKS_PER_CLASS_MAX))
        };
        let limits = StockLimits {
            out_bytes_max: config.in_use_bytes_max,
            free_bytes_max: config.free_bytes_max,
            classes: (0..RECV_CLASSES).map(class).collect(),
        };
        // A quarter of the address space is the end in any case, so that rounding up to a block
        // cannot pass what the allocator takes without a panic.
        let asked_max = config.buffer_bytes_max.min(usize::MAX / 4);
        let depot = Depot::new(
            config.name,
            Sizes::PowersOfTwo,
            (asked_max, 0..0),
            config.idle_time,
            limits,
        );
        Self { keeper: Arc::new(Keeper(Arc::new(depot))) }
    }

    /// Lends an empty buffer of at least `capacity_min` bytes: the smallest class that holds them.
    ///
    /// # Errors
    /// [`PoolExhausted`] where a limit of the configuration would be passed. It never waits.
    #[inline]
    pub fn acquire(&self, capacity_min: usize) -> Result<RecvBuffer, PoolExhausted> {
        lend(self.depot(), capacity_min)
    }

    /// Takes memory for so many buffers of at least `capacity_min` bytes now instead of when they
    /// are first needed, as far as the pool may keep them.
    pub fn provide(&self, capacity_min: usize, buffers: usize) {
        if let Some(bytes) = block_bytes_within(self.depot(), capacity_min) {
            self.depot().provide(bytes, buffers);
        }
    }

    /// The pool's counters now.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.depot().stats()
    }

    /// Gives every block that waits for its next use back to the system. Other threads give up what
    /// they keep when they use the pool next.
    pub fn trim(&self) {
        cache::forget(self.depot());
        self.depot().trim();
    }

    /// Gives back what nobody needed for [`idle_time`](RecvPoolConfig::idle_time): the first call
    /// begins a period, and one after its end gives back the free blocks that were not touched in it,
    /// 64 in one call at most. Of no use more often than once in a while, and harmless.
    pub fn trim_idle(&self, now: Instant) {
        self.depot().trim_idle(now);
    }

    /// What errors and statistics call the pool.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.depot().name
    }

    /// Verifies that the accounts agree with the free blocks, and that no limit was passed.
    ///
    /// # Panics
    /// If it does not hold, which is a bug of this crate.
    pub fn invariants(&self) {
        self.depot().invariants();
    }

    fn depot(&self) -> &Arc<Depot> {
        &self.keeper.0
    }
}

/// As [`RecvPool::acquire`], for a buffer that grows and knows its depot only.
#[inline]
pub(crate) fn lend(depot: &Arc<Depot>, capacity_min: usize) -> Result<RecvBuffer, PoolExhausted> {
    let Some(bytes) = block_bytes_within(depot, capacity_min) else {
        return Err(refusal(depot, capacity_min, None));
    };
    match cache::lend(depot, bytes) {
        Ok(loan) => Ok(RecvBuffer::new(loan)),
        Err(refused) => Err(refusal(depot, bytes, Some(refused))),
    }
}

#[inline]
fn block_bytes_within(depot: &Depot, capacity_min: usize) -> Option<usize> {
    block_bytes(capacity_min).filter(|_| capacity_min <= depot.asked_max)
}

#[cold]
fn refusal(depot: &Depot, asked: usize, refused: Option<Refused>) -> PoolExhausted {
    depot.note_refused();
    let (in_use, limit, knob) = match refused {
        Some(refused) => (refused.in_use_bytes, depot.in_use_bytes_max, Knob::InUseBytesMax),
        None => (depot.stats().in_use_bytes, depot.asked_max, Knob::BufferBytesMax),
    };
    PoolExhausted { pool: depot.name, asked, in_use, limit, knob }
}

impl Default for RecvPool {
    fn default() -> Self {
        Self::new(RecvPoolConfig::default())
    }
}

impl fmt::Debug for RecvPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("RecvPool").field(&self.stats()).finish()
    }
}
