use crate::sync::{AtomicU64, Relaxed};

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
    /// Blocks that wait for their next use, in the pool or in the caches of threads.
    pub free: usize,
    /// Bytes of the blocks that wait for their next use.
    pub free_bytes: usize,
    /// Most bytes that were ever in use at once. What waited in the cache of a thread counts here:
    /// it is memory, and nobody else could have it.
    pub high_water: usize,
    /// Blocks ever given back.
    pub returned: u64,
    /// Requests refused because of a limit.
    pub refused: u64,
}

/// What one thread lent and took back. Only that thread writes, so that counting is an addition
/// and no traffic between processors; whoever adds up the tallies of all threads reads.
///
/// Everything is relaxed: the counters order nothing, the stock hands memory over.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    lent: AtomicU64,
    lent_bytes: AtomicU64,
    returned: AtomicU64,
    returned_bytes: AtomicU64,
}

/// Sums of tallies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) lent: u64,
    pub(crate) lent_bytes: u64,
    pub(crate) returned: u64,
    pub(crate) returned_bytes: u64,
}

impl Tally {
    #[inline]
    pub(crate) fn note_lent(&self, bytes: usize) {
        raise(&self.lent, 1);
        raise(&self.lent_bytes, bytes as u64);
    }

    #[inline]
    pub(crate) fn note_returned(&self, bytes: usize) {
        raise(&self.returned, 1);
        raise(&self.returned_bytes, bytes as u64);
    }
}

/// Not an atomic addition: there is one writer.
#[inline]
fn raise(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

impl Totals {
    pub(crate) fn note_lent(&mut self, bytes: usize) {
        self.lent += 1;
        self.lent_bytes = self.lent_bytes.wrapping_add(bytes as u64);
    }

    pub(crate) fn note_returned(&mut self, bytes: usize) {
        self.returned += 1;
        self.returned_bytes = self.returned_bytes.wrapping_add(bytes as u64);
    }

    /// What was returned is read for all threads before what was lent: a block that is lent and
    /// returned in between then counts as in use, never as less than nothing.
    pub(crate) fn add_all(&mut self, tallies: &[crate::sync::Arc<Tally>]) {
        for tally in tallies {
            self.returned += tally.returned.load(Relaxed);
            self.returned_bytes =
                self.returned_bytes.wrapping_add(tally.returned_bytes.load(Relaxed));
        }
        for tally in tallies {
            self.lent += tally.lent.load(Relaxed);
            self.lent_bytes = self.lent_bytes.wrapping_add(tally.lent_bytes.load(Relaxed));
        }
    }

    /// Blocks and bytes that were lent and not returned.
    pub(crate) fn in_use(&self) -> (usize, usize) {
        let blocks = self.lent.saturating_sub(self.returned);
        // Sums of bytes wrap after 16 EiB lent; their difference does not mind.
        let bytes = self.lent_bytes.wrapping_sub(self.returned_bytes);
        (
            usize::try_from(blocks).unwrap_or(usize::MAX),
            usize::try_from(bytes).unwrap_or(usize::MAX),
        )
    }
}
