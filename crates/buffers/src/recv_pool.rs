use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::class::{block_bytes, class_bytes, class_of};
use crate::error::{Knob, PoolExhausted};
use crate::free_list::{FreeList, Memory, allocate};
use crate::limits::{
    RECV_BUFFER_BYTES_MAX, RECV_CLASSES, RECV_FREE_BLOCKS_PER_CLASS_MAX, RECV_FREE_BYTES_MAX,
};
use crate::recv_buffer::RecvBuffer;
use crate::stats::{Counters, PoolStats};

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
    /// Most bytes kept for the next use; blocks beyond go back to the allocator.
    /// Default: 16 MiB.
    pub free_bytes_max: usize,
}

impl Default for RecvPoolConfig {
    fn default() -> Self {
        Self {
            name: "recv",
            in_use_bytes_max: usize::MAX,
            buffer_bytes_max: RECV_BUFFER_BYTES_MAX,
            free_bytes_max: RECV_FREE_BYTES_MAX,
        }
    }
}

/// Lends [`RecvBuffer`]s of 2^8 to 2^22 bytes, and larger ones straight from the allocator.
///
/// A handle: clones share one pool, and any thread may use any of them. A buffer keeps its pool
/// alive, and finds its way back from whichever thread drops it.
#[derive(Clone)]
pub struct RecvPool {
    shared: Arc<Shared>,
}

struct Shared {
    config: RecvPoolConfig,
    counters: Counters,
    /// Bytes in `free`. Counted before a block is pushed and after it was popped, so that it is
    /// never below the truth and the limit holds at every moment.
    free_bytes: AtomicUsize,
    free: [FreeList; RECV_CLASSES],
}

impl RecvPool {
    /// Makes an empty pool; memory is taken when it is first needed.
    #[must_use]
    pub fn new(config: RecvPoolConfig) -> Self {
        let free = std::array::from_fn(|class| {
            let fitting = config.free_bytes_max / class_bytes(class);
            FreeList::new(fitting.min(RECV_FREE_BLOCKS_PER_CLASS_MAX))
        });
        let (counters, free_bytes) = (Counters::default(), AtomicUsize::new(0));
        Self { shared: Arc::new(Shared { config, counters, free_bytes, free }) }
    }

    /// Lends an empty buffer of at least `capacity_min` bytes: the smallest class that holds them.
    ///
    /// # Errors
    /// [`PoolExhausted`] where a limit of the configuration would be passed. It never waits.
    pub fn acquire(&self, capacity_min: usize) -> Result<RecvBuffer, PoolExhausted> {
        let bytes = self.admitted_block_bytes(capacity_min)?;
        let memory = self.shared.pop(bytes).unwrap_or_else(|| {
            self.shared.counters.note_allocated();
            allocate(bytes)
        });
        Ok(RecvBuffer::new(memory, self.clone()))
    }

    /// The pool's counters now.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let free_blocks = self.shared.free.iter().map(FreeList::len).sum();
        let free_bytes = self.shared.free_bytes.load(Relaxed);
        self.shared.counters.stats(self.shared.config.name, free_blocks, free_bytes)
    }

    /// Gives every block that waits for its next use back to the allocator.
    pub fn trim(&self) {
        for (class, list) in self.shared.free.iter().enumerate() {
            // As many as there are now: what others return meanwhile is theirs to use again.
            for _ in 0..list.len() {
                drop(self.shared.pop(class_bytes(class)));
            }
        }
    }

    /// Takes the block of a buffer that ends. Blocks of no class go to the allocator.
    pub(crate) fn release(&self, memory: Memory) {
        let bytes = memory.len();
        self.shared.keep(memory);
        self.shared.counters.note_returned(bytes);
    }

    fn admitted_block_bytes(&self, capacity_min: usize) -> Result<usize, PoolExhausted> {
        let config = &self.shared.config;
        let Some(bytes) = block_bytes(capacity_min).filter(|_| capacity_min <= config.buffer_max())
        else {
            let in_use = self.shared.counters.in_use_bytes();
            return Err(self.refusal(
                capacity_min,
                in_use,
                config.buffer_max(),
                Knob::BufferBytesMax,
            ));
        };
        match self.shared.counters.admit(bytes, config.in_use_bytes_max) {
            Ok(()) => Ok(bytes),
            Err(in_use) => {
                Err(self.refusal(bytes, in_use, config.in_use_bytes_max, Knob::InUseBytesMax))
            }
        }
    }

    fn refusal(&self, asked: usize, in_use: usize, limit: usize, knob: Knob) -> PoolExhausted {
        self.shared.counters.note_refused();
        PoolExhausted { pool: self.shared.config.name, asked, in_use, limit, knob }
    }
}

impl RecvPoolConfig {
    /// The limit of a single buffer. A quarter of the address space is the end in any case, so that
    /// rounding up to a block cannot pass what the allocator takes without a panic.
    fn buffer_max(&self) -> usize {
        self.buffer_bytes_max.min(usize::MAX / 4)
    }
}

impl Shared {
    fn pop(&self, bytes: usize) -> Option<Memory> {
        let memory = self.free[class_of(bytes)?].pop()?;
        self.free_bytes.fetch_sub(bytes, Relaxed);
        Some(memory)
    }

    fn keep(&self, memory: Memory) {
        let bytes = memory.len();
        let Some(class) = class_of(bytes) else { return };
        let room = self.free_bytes.fetch_update(Relaxed, Relaxed, |free| {
            free.checked_add(bytes).filter(|&after| after <= self.config.free_bytes_max)
        });
        if room.is_ok() && self.free[class].push(memory).is_err() {
            self.free_bytes.fetch_sub(bytes, Relaxed);
        }
    }
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
