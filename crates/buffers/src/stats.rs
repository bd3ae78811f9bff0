use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What a pool has done and holds, at one moment.
///
/// The numbers are read one after the other while other threads go on, so they agree with each
/// other exactly only while nobody acquires or returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Name of the pool, as configured.
    pub name: &'static str,
    /// Blocks ever taken from the allocator.
    pub allocated: u64,
    /// Blocks held by somebody now.
    pub in_use: usize,
    /// Bytes of the blocks held by somebody now, head and tail room included.
    pub in_use_bytes: usize,
    /// Blocks that wait in the pool for their next use.
    pub free: usize,
    /// Bytes of the blocks that wait in the pool.
    pub free_bytes: usize,
    /// Most bytes that were ever in use at once.
    pub high_water: usize,
    /// Blocks ever given back.
    pub returned: u64,
    /// Requests refused because of a limit.
    pub refused: u64,
}

/// The counters behind [`PoolStats`], and the gate that keeps bytes in use below their limit.
///
/// Everything is relaxed: the counters order nothing, the free lists hand memory over.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    in_use_bytes: AtomicUsize,
    high_water: AtomicUsize,
    allocated: AtomicU64,
    lent: AtomicU64,
    returned: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    /// Counts `bytes` as in use, or says how many were in use when that would pass the limit.
    pub(crate) fn admit(&self, bytes: usize, in_use_bytes_max: usize) -> Result<(), usize> {
        let before = self.in_use_bytes.fetch_update(Relaxed, Relaxed, |in_use| {
            in_use.checked_add(bytes).filter(|&after| after <= in_use_bytes_max)
        })?;
        self.lent.fetch_add(1, Relaxed);
        let after = before + bytes;
        if after > self.high_water.load(Relaxed) {
            self.high_water.fetch_max(after, Relaxed);
        }
        Ok(())
    }

    pub(crate) fn note_allocated(&self) {
        self.allocated.fetch_add(1, Relaxed);
    }

    pub(crate) fn note_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn note_returned(&self, bytes: usize) {
        self.in_use_bytes.fetch_sub(bytes, Relaxed);
        self.returned.fetch_add(1, Relaxed);
    }

    pub(crate) fn in_use_bytes(&self) -> usize {
        self.in_use_bytes.load(Relaxed)
    }

    pub(crate) fn stats(&self, name: &'static str, free: usize, free_bytes: usize) -> PoolStats {
        // Returned first: what is lent and returned in between then counts as in use, never as less
        // than nothing.
        let returned = self.returned.load(Relaxed);
        let in_use = self.lent.load(Relaxed).saturating_sub(returned);
        PoolStats {
            name,
            allocated: self.allocated.load(Relaxed),
            in_use: usize::try_from(in_use).unwrap_or(usize::MAX),
            in_use_bytes: self.in_use_bytes(),
            free,
            free_bytes,
            high_water: self.high_water.load(Relaxed),
            returned,
            refused: self.refused.load(Relaxed),
        }
    }
}
