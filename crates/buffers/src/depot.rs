use std::ops::Range;
use std::time::{Duration, Instant};

use crossbeam::utils::CachePadded;

use crate::class::class_of;
use crate::limits::{CACHE_BYTES_MAX, CACHE_BYTES_MIN, CACHE_SHARE, PAYLOAD_ALIGNMENT};
use crate::memory::{Memory, allocate, allocate_on_heap};
use crate::stats::{PoolStats, Tally, Totals};
use crate::stock::{Refused, Stock, StockLimits};
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Relaxed};

/// The part of a pool that all threads share: its stock behind a short lock, and the accounts.
///
/// Threads come here for eight blocks at a time, and otherwise use their own caches (see `cache`).
pub(crate) struct Depot {
    pub(crate) name: &'static str,
    pub(crate) in_use_bytes_max: usize,
    /// Most bytes that can be asked for in one block.
    pub(crate) asked_max: usize,
    /// Where payload lies in a block that has rooms before and behind it.
    pub(crate) payload: Range<usize>,
    sizes: Sizes,
    idle_time: Duration,
    /// Bytes one thread may keep in its cache; 0 where the limits are too small to share.
    pub(crate) cache_bytes_max: usize,
    /// How often memory was called back. Caches look at it before each use; `CLOSED` is the last.
    recalls: AtomicU64,
    /// On cache lines of its own: what is written under the lock must not slow down who reads beside
    /// it.
    locked: CachePadded<Mutex<Locked>>,
}

const CLOSED: u64 = u64::MAX;

/// Which blocks a pool has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sizes {
    /// Receive classes, and larger ones that belong to none.
    PowersOfTwo,
    /// One class, always from the allocator.
    One,
}

struct Locked {
    stock: Stock,
    /// Of threads that ended, and of blocks that went past the caches.
    settled: Totals,
    tallies: Vec<Arc<Tally>>,
}

/// Memory of one block, and where it belongs.
///
/// It is boxed once, when the memory is taken from the system, and moves as one pointer from then on.
pub(crate) type Loan = Box<Lent>;

/// What a loan points to.
pub(crate) struct Lent {
    pub(crate) memory: Memory,
    /// Bytes of the block, which is what counts against limits.
    pub(crate) bytes: usize,
    /// Bytes in front of the block, so that its payload begins with a cache line.
    pub(crate) lead: usize,
    /// Where the bytes of a send block lie. They are here and not in the `Block`, so that a block
    /// moves from chain to chain as one pointer.
    pub(crate) at: Cursors,
    /// There while it is out, also in the cache of a thread; a depot that held itself would never end.
    home: Option<Arc<Depot>>,
}

/// Positions in the memory of a send block.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cursors {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Up to where payload is appended: where its room ends, or 0 when the block is closed.
    pub(crate) open_end: usize,
    pub(crate) weight: u32,
}

impl Lent {
    /// Takes a receive block from the system.
    fn received(bytes: usize) -> Loan {
        Box::new(Self {
            memory: allocate(bytes),
            bytes,
            lead: 0,
            at: Cursors::default(),
            home: None,
        })
    }

    /// Takes a send block from the allocator, whose payload begins after `head_room`.
    fn sent(bytes: usize, head_room: usize) -> Loan {
        let memory = allocate_on_heap(bytes + PAYLOAD_ALIGNMENT - 1);
        let payload = memory.split_at(head_room).1;
        let lead = payload.as_ptr().align_offset(PAYLOAD_ALIGNMENT).min(PAYLOAD_ALIGNMENT - 1);
        Box::new(Self { memory, bytes, lead, at: Cursors::default(), home: None })
    }

    #[inline]
    pub(crate) fn home(&self) -> &Arc<Depot> {
        self.home.as_ref().expect("what is out has a home")
    }

    fn of(mut self: Box<Self>, home: &Arc<Depot>) -> Loan {
        self.home = Some(Arc::clone(home));
        self
    }
}

impl Depot {
    pub(crate) fn new(
        name: &'static str,
        sizes: Sizes,
        (asked_max, payload): (usize, Range<usize>),
        idle_time: Duration,
        limits: StockLimits,
    ) -> Self {
        let share = limits.out_bytes_max.min(limits.free_bytes_max) / CACHE_SHARE;
        let cache_bytes_max = if share < CACHE_BYTES_MIN { 0 } else { share.min(CACHE_BYTES_MAX) };
        let in_use_bytes_max = limits.out_bytes_max;
        let (settled, tallies) = (Totals::default(), Vec::new());
        let locked =
            CachePadded::new(Mutex::new(Locked { stock: Stock::new(limits), settled, tallies }));
        let recalls = AtomicU64::new(0);
        Self {
            name,
            in_use_bytes_max,
            asked_max,
            payload,
            sizes,
            idle_time,
            cache_bytes_max,
            recalls,
            locked,
        }
    }

    /// The class of a block of so many bytes, where it has one.
    #[inline]
    pub(crate) fn class_of(&self, bytes: usize) -> Option<usize> {
        match self.sizes {
            Sizes::One => Some(0),
            Sizes::PowersOfTwo => class_of(bytes),
        }
    }

    /// Whether blocks of so many bytes wait in the caches of threads: two at least must fit.
    #[inline]
    pub(crate) fn caches(&self, bytes: usize) -> bool {
        bytes <= self.cache_bytes_max / 2
    }

    #[inline]
    pub(crate) fn recalls(&self) -> u64 {
        self.recalls.load(Relaxed)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.recalls() == CLOSED
    }

    /// Lends one block past the caches.
    pub(crate) fn lend(home: &Arc<Self>, bytes: usize) -> Result<Loan, Refused> {
        let mut locked = home.lock();
        let Locked { stock, settled, .. } = &mut *locked;
        let picked = home.admit_and_pick(stock, bytes)?;
        settled.note_lent(bytes);
        drop(locked);
        // The lock is not held while the system looks for memory.
        Ok(picked.unwrap_or_else(|| home.allocate(bytes)).of(home))
    }

    /// Takes one block past the caches.
    pub(crate) fn take_back(mut loan: Loan) {
        let Some(home) = loan.home.take() else { return };
        let mut locked = home.lock();
        locked.settled.note_returned(loan.bytes);
        let class = home.class_of(loan.bytes);
        let surplus = locked.stock.put_back(class, loan);
        let trimmed = locked.stock.count_visit();
        locked.stock.check();
        drop(locked);
        drop((surplus, trimmed));
    }

    /// Hands out one block and, as far as there are some, `more` for the shelf of a cache.
    pub(crate) fn draw(
        home: &Arc<Self>,
        bytes: usize,
        more: usize,
        shelf: &mut Vec<Loan>,
    ) -> Result<Loan, Refused> {
        let mut locked = home.lock();
        let stock = &mut locked.stock;
        let first = home.admit_and_pick(stock, bytes)?;
        if let Some(class) = home.class_of(bytes) {
            for _ in 0..more {
                if !stock.has(class) || stock.admit(bytes).is_err() {
                    break;
                }
                let loan = stock.pick(class).expect("there is one, it was looked for");
                shelf.push(loan.of(home));
            }
        }
        stock.check();
        drop(locked);
        Ok(first.unwrap_or_else(|| home.allocate(bytes)).of(home))
    }

    fn allocate(&self, bytes: usize) -> Loan {
        match self.sizes {
            Sizes::One => Lent::sent(bytes, self.payload.start),
            Sizes::PowersOfTwo => Lent::received(bytes),
        }
    }

    fn admit_and_pick(&self, stock: &mut Stock, bytes: usize) -> Result<Option<Loan>, Refused> {
        stock.admit(bytes)?;
        let picked = self.class_of(bytes).and_then(|class| stock.pick(class));
        stock.allocated += u64::from(picked.is_none());
        Ok(picked)
    }

    /// Takes what a cache gives up.
    pub(crate) fn store(&self, loans: impl Iterator<Item = Loan>) {
        let mut surplus = Vec::new();
        let mut locked = self.lock();
        for mut loan in loans {
            // Never the last one: whoever calls holds another.
            loan.home = None;
            let class = self.class_of(loan.bytes);
            surplus.extend(locked.stock.put_back(class, loan));
        }
        let trimmed = locked.stock.count_visit();
        locked.stock.check();
        drop(locked);
        drop((surplus, trimmed));
    }

    pub(crate) fn note_refused(&self) {
        self.lock().stock.refused += 1;
    }

    pub(crate) fn open_tally(&self) -> Arc<Tally> {
        let tally = Arc::new(Tally::default());
        self.lock().tallies.push(Arc::clone(&tally));
        tally
    }

    /// Keeps what a thread counted when its cache ends.
    pub(crate) fn settle(&self, tally: &Arc<Tally>) {
        let mut locked = self.lock();
        let Locked { settled, tallies, .. } = &mut *locked;
        tallies.retain(|other| !Arc::ptr_eq(other, tally));
        settled.add_all(std::slice::from_ref(tally));
    }

    /// Puts free blocks into stock, as many as there is room for.
    pub(crate) fn provide(&self, bytes: usize, blocks: usize) {
        for _ in 0..blocks {
            let loan = self.allocate(bytes);
            let mut locked = self.lock();
            if let Some(surplus) = locked.stock.put(self.class_of(bytes), loan) {
                drop(locked);
                drop(surplus);
                return;
            }
            locked.stock.allocated += 1;
        }
    }

    /// Gives everything that waits here back, and calls back what waits in the caches.
    pub(crate) fn trim(&self) {
        self.call_back();
        let surplus = self.lock().stock.trim();
        drop(surplus);
    }

    /// Gives back what was not needed for the idle time.
    pub(crate) fn trim_idle(&self, now: Instant) {
        // Who finds the lock taken leaves the work to the next call.
        let Ok(mut locked) = self.locked.try_lock() else { return };
        let (period_ended, surplus) = locked.stock.trim_idle(now, self.idle_time);
        locked.stock.check();
        drop(locked);
        if period_ended {
            self.call_back();
        }
        drop(surplus);
    }

    /// Threads find out when they use their cache next. Nothing can call back a thread that sleeps,
    /// which is why a cache is small.
    fn call_back(&self) {
        // A closed depot stays closed.
        let _ = self
            .recalls
            .fetch_update(Relaxed, Relaxed, |recalls| (recalls < CLOSED - 1).then(|| recalls + 1));
    }

    /// Nobody acquires any more: what comes back from now on goes to the system.
    pub(crate) fn close(&self) {
        let surplus = self.lock().stock.close();
        self.recalls.store(CLOSED, Relaxed);
        drop(surplus);
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let locked = self.lock();
        let Locked { stock, settled, tallies } = &*locked;
        let mut totals = *settled;
        totals.add_all(tallies);
        let (in_use, in_use_bytes) = totals.in_use();
        // What is out is lent, or waits in a cache.
        let in_use = in_use.min(stock.out_blocks);
        let in_use_bytes = in_use_bytes.min(stock.out_bytes);
        PoolStats {
            name: self.name,
            allocated: stock.allocated,
            in_use,
            in_use_bytes,
            free: stock.free() + stock.out_blocks - in_use,
            free_bytes: stock.free_bytes + stock.out_bytes - in_use_bytes,
            high_water: stock.high_water,
            returned: totals.returned,
            refused: stock.refused,
        }
    }

    pub(crate) fn invariants(&self) {
        let locked = self.lock();
        locked.stock.invariants();
        assert!(self.is_closed() || !locked.stock.is_closed(), "who is closed says so");
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().expect("nothing panics while it holds the stock")
    }
}

/// The pool's own hold on its depot: when it ends, nothing is kept for later any more.
///
/// Buffers and blocks hold the depot itself, so that they find home as long as they live.
pub(crate) struct Keeper(pub(crate) Arc<Depot>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.close();
        crate::cache::forget(&self.0);
    }
}

#[cfg(test)]
impl Lent {
    /// A block that belongs nowhere.
    pub(crate) fn stray(bytes: usize) -> Loan {
        Self::received(bytes)
    }
}
