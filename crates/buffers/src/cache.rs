//! What each thread keeps of the pools it uses, so that acquire and release are an exchange with
//! itself: no lock, no atomic addition, nothing another processor waits for.

use std::cell::RefCell;

use crate::depot::{Depot, Loan};
use crate::limits::{CACHE_BLOCKS_MAX, CACHED_POOLS_MAX, RECV_CLASSES};
use crate::stats::Tally;
use crate::stock::Refused;
use crate::sync::Arc;

thread_local! {
    static CACHES: RefCell<Vec<Cache>> = const { RefCell::new(Vec::new()) };
}

/// Lends a block of so many bytes, from this thread's cache where it can be.
#[inline]
pub(crate) fn lend(depot: &Arc<Depot>, bytes: usize) -> Result<Loan, Refused> {
    if depot.caches(bytes)
        && let Some(class) = depot.class_of(bytes)
        && let Ok(lent) =
            CACHES.try_with(|caches| cache_of(&mut caches.borrow_mut(), depot).lend(class, bytes))
    {
        return lent;
    }
    Depot::lend(depot, bytes)
}

/// Takes a block back, into this thread's cache where it can be.
#[inline]
pub(crate) fn take_back(mut loan: Loan) {
    loan.memory.poison();
    let bytes = loan.bytes;
    let home = loan.home();
    let class = home.class_of(bytes).filter(|_| home.caches(bytes));
    let mut left = Some(loan);
    if let Some(class) = class {
        // A thread that ends has no caches any more, and the loan is left.
        let _ = CACHES.try_with(|caches| {
            if let Some(loan) = left.take() {
                cache_of(&mut caches.borrow_mut(), loan.home()).take_back(class, bytes, loan);
            }
        });
    }
    if let Some(loan) = left {
        Depot::take_back(loan);
    }
}

/// Ends this thread's cache of a pool; what is in it goes home.
pub(crate) fn forget(depot: &Arc<Depot>) {
    let _ = CACHES.try_with(|caches| {
        caches.borrow_mut().retain(|cache| !Arc::ptr_eq(&cache.depot, depot));
    });
}

#[inline]
fn cache_of<'caches>(caches: &'caches mut Vec<Cache>, depot: &Arc<Depot>) -> &'caches mut Cache {
    let known = caches.iter().position(|cache| Arc::ptr_eq(&cache.depot, depot));
    let index = known.unwrap_or_else(|| open_cache(caches, depot));
    &mut caches[index]
}

#[cold]
fn open_cache(caches: &mut Vec<Cache>, depot: &Arc<Depot>) -> usize {
    caches.retain(|cache| !cache.depot.is_closed());
    if caches.len() == CACHED_POOLS_MAX {
        caches.remove(0);
    }
    caches.push(Cache::open(depot));
    caches.len() - 1
}

/// One thread's blocks of one pool. Each carries the reference to its depot that its next borrower
/// needs, so that lending counts no references.
pub(crate) struct Cache {
    depot: Arc<Depot>,
    shelves: [Vec<Loan>; RECV_CLASSES],
    bytes: usize,
    tally: Arc<Tally>,
    recalls_seen: u64,
}

impl Cache {
    pub(crate) fn open(depot: &Arc<Depot>) -> Self {
        Self {
            depot: Arc::clone(depot),
            shelves: std::array::from_fn(|_| Vec::new()),
            bytes: 0,
            tally: depot.open_tally(),
            recalls_seen: depot.recalls(),
        }
    }

    #[inline]
    pub(crate) fn lend(&mut self, class: usize, bytes: usize) -> Result<Loan, Refused> {
        let called_back = self.depot.recalls() != self.recalls_seen;
        let loan = match self.shelves[class].pop() {
            Some(loan) if !called_back => {
                self.bytes -= bytes;
                loan
            }
            popped => self.lend_from_depot(class, bytes, popped)?,
        };
        self.tally.note_lent(bytes);
        Ok(loan)
    }

    #[cold]
    fn lend_from_depot(
        &mut self,
        class: usize,
        bytes: usize,
        popped: Option<Loan>,
    ) -> Result<Loan, Refused> {
        self.shelves[class].extend(popped);
        self.obey();
        let more = (CACHE_BLOCKS_MAX / 2).min(self.depot.cache_bytes_max / 2 / bytes) - 1;
        let more = more.min((self.depot.cache_bytes_max - self.bytes) / bytes);
        let drawn = Depot::draw(&self.depot, bytes, more, &mut self.shelves[class]).or_else(|_| {
            // What waits here counts as out, and may be all that is missing.
            self.flush();
            Depot::draw(&self.depot, bytes, 0, &mut self.shelves[class])
        });
        self.bytes += bytes * self.shelves[class].len();
        drawn
    }

    #[inline]
    pub(crate) fn take_back(&mut self, class: usize, bytes: usize, loan: Loan) {
        let fits = self.bytes + bytes <= self.depot.cache_bytes_max
            && self.shelves[class].len() < CACHE_BLOCKS_MAX;
        self.tally.note_returned(bytes);
        if !fits || self.depot.recalls() != self.recalls_seen {
            self.make_room(class);
            if self.depot.is_closed() {
                return self.depot.store(std::iter::once(loan));
            }
        }
        self.bytes += bytes;
        self.shelves[class].push(loan);
    }

    /// The older half of the class goes home or, where other classes fill the cache, everything.
    #[cold]
    fn make_room(&mut self, class: usize) {
        self.obey();
        let half = self.shelves[class].len().div_ceil(2);
        if half == 0 {
            return self.flush();
        }
        let given_up = self.shelves[class].drain(..half);
        self.bytes -= given_up.as_slice().iter().map(|loan| loan.bytes).sum::<usize>();
        self.depot.store(given_up);
    }

    /// Sends everything home where it was called back since the last time. A depot that is closed
    /// calls for ever.
    fn obey(&mut self) {
        if self.depot.recalls() != self.recalls_seen {
            if !self.depot.is_closed() {
                self.recalls_seen = self.depot.recalls();
            }
            self.flush();
        }
    }

    /// Sends everything home.
    pub(crate) fn flush(&mut self) {
        self.bytes = 0;
        self.depot.store(self.shelves.iter_mut().flat_map(|shelf| shelf.drain(..)));
    }

    /// Verifies that what the cache holds is counted and within its bounds.
    #[cfg(test)]
    pub(crate) fn invariants(&self) {
        let loans = self.shelves.iter().flatten();
        assert_eq!(loans.map(|loan| loan.bytes).sum::<usize>(), self.bytes);
        assert!(self.bytes <= self.depot.cache_bytes_max);
        assert!(self.shelves.iter().all(|shelf| shelf.len() <= CACHE_BLOCKS_MAX));
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.flush();
        self.depot.settle(&self.tally);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::depot::Sizes;
    use crate::stock::StockLimits;

    const BLOCK: usize = 1 << 10;

    fn depot(blocks: usize) -> Arc<Depot> {
        let limits = StockLimits {
            out_bytes_max: blocks * BLOCK,
            free_bytes_max: blocks * BLOCK,
            classes: Box::new([(BLOCK, blocks)]),
        };
        let sizes = (BLOCK, 0..BLOCK);
        Arc::new(Depot::new("cached", Sizes::One, sizes, Duration::ZERO, limits))
    }

    fn lend_all(cache: &mut Cache, blocks: usize) -> Vec<Loan> {
        (0..blocks).map(|_| cache.lend(0, BLOCK).expect("there is room")).collect()
    }

    #[test]
    fn a_cache_holds_what_was_just_returned_and_sends_the_older_half_home() {
        let depot = depot(1 << 12);
        let mut cache = Cache::open(&depot);
        for loan in lend_all(&mut cache, CACHE_BLOCKS_MAX + 1) {
            cache.take_back(0, BLOCK, loan);
            cache.invariants();
        }
        let stats = depot.stats();
        assert_eq!((stats.in_use, stats.free), (0, CACHE_BLOCKS_MAX + 1));
        assert_eq!(cache.shelves[0].len(), CACHE_BLOCKS_MAX / 2 + 1);
        // Half a cache comes in one visit, and what is there is used before the system is asked.
        lend_all(&mut cache, CACHE_BLOCKS_MAX + 1).into_iter().for_each(Depot::take_back);
        assert_eq!(depot.stats().allocated, stats.allocated);
    }

    #[test]
    fn a_pool_with_small_limits_has_no_caches() {
        assert!(!depot(CACHE_BLOCKS_MAX).caches(BLOCK));
        assert!(depot(1 << 12).caches(BLOCK));
    }

    #[test]
    fn what_a_cache_holds_is_given_up_before_its_thread_is_refused() {
        let depot = depot(1 << 11);
        let (mut cache, mut other) = (Cache::open(&depot), Cache::open(&depot));
        let waiting = lend_all(&mut other, 4);
        let held = lend_all(&mut cache, (1 << 11) - 4);
        waiting.into_iter().for_each(|loan| other.take_back(0, BLOCK, loan));
        assert!(cache.lend(0, BLOCK).is_err(), "the cache of another thread counts as in use");
        assert!(other.lend(0, BLOCK).map(Depot::take_back).is_ok());
        drop(other);
        assert!(cache.lend(0, BLOCK).map(Depot::take_back).is_ok());
        held.into_iter().for_each(Depot::take_back);
        assert_eq!((depot.stats().in_use, depot.stats().high_water), (0, BLOCK << 11));
    }

    #[test]
    fn a_recall_empties_a_cache_at_its_next_use() {
        let depot = depot(1 << 12);
        let mut cache = Cache::open(&depot);
        for loan in lend_all(&mut cache, 4) {
            cache.take_back(0, BLOCK, loan);
        }
        depot.trim();
        assert_eq!(depot.stats().free, 4);
        let loan = cache.lend(0, BLOCK).unwrap();
        assert_eq!(cache.shelves[0].len(), 3, "they came home, and are there for everybody");
        depot.close();
        cache.take_back(0, BLOCK, loan);
        assert_eq!((cache.shelves[0].len(), depot.stats().free, depot.stats().in_use), (0, 0, 0));
    }

    #[test]
    fn a_thread_has_a_few_caches_and_forgets_pools_that_ended() {
        let depots: Vec<_> = (0..2 * CACHED_POOLS_MAX).map(|_| depot(1 << 12)).collect();
        for depot in &depots {
            take_back(lend(depot, BLOCK).unwrap());
        }
        CACHES.with_borrow(|caches| assert_eq!(caches.len(), CACHED_POOLS_MAX));
        depots
            .iter()
            .for_each(|depot| assert_eq!((depot.stats().in_use, depot.stats().free), (0, 1)));
        depots.iter().for_each(|depot| depot.close());
        let last = self::depot(1 << 12);
        take_back(lend(&last, BLOCK).unwrap());
        CACHES.with_borrow(|caches| assert_eq!(caches.len(), 1));
        forget(&last);
        CACHES.with_borrow(|caches| assert!(caches.is_empty()));
    }
}
