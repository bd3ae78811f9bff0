use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::depot::Loan;
use crate::limits::{TRIM_BLOCKS_PER_CALL_MAX, TRIM_VISITS};

/// A request would have passed the limit of what may be in use; this much is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) in_use_bytes: usize,
}

/// What bounds a stock.
#[derive(Debug)]
pub(crate) struct StockLimits {
    /// Bytes that may be out at once.
    pub(crate) out_bytes_max: usize,
    /// Bytes that may wait here, over all classes.
    pub(crate) free_bytes_max: usize,
    /// Block size of each class, and how many blocks of it may wait here.
    pub(crate) classes: Box<[(usize, usize)]>,
}

/// Blocks that wait for their next use, by class, and the account of those that are out.
///
/// One thread at a time sees it. `out` is what was handed to buffers, blocks and caches of threads;
/// `out_bytes <= out_bytes_max` and `free_bytes <= free_bytes_max`, always.
pub(crate) struct Stock {
    limits: StockLimits,
    shelves: Box<[Shelf]>,
    pub(crate) free_bytes: usize,
    pub(crate) out_blocks: usize,
    pub(crate) out_bytes: usize,
    pub(crate) high_water: usize,
    pub(crate) allocated: u64,
    pub(crate) refused: u64,
    visits: u32,
    marked: Option<Instant>,
    closed: bool,
}

/// The free blocks of one class: the last that came is the first to go, its bytes may still be in
/// a cache of the processor. So those at the front are the ones nobody needs.
#[derive(Default)]
struct Shelf {
    blocks: VecDeque<Loan>,
    /// How many at the front were not needed since somebody said what time it is.
    unused_since_mark: usize,
    /// How many at the front were not needed in this round of visits.
    unused_in_round: usize,
}

impl Stock {
    pub(crate) fn new(limits: StockLimits) -> Self {
        let shelves = limits.classes.iter().map(|_| Shelf::default()).collect();
        Self {
            limits,
            shelves,
            free_bytes: 0,
            out_blocks: 0,
            out_bytes: 0,
            high_water: 0,
            allocated: 0,
            refused: 0,
            visits: 0,
            marked: None,
            closed: false,
        }
    }

    /// Counts a block of so many bytes as out, where the limit has room for it.
    pub(crate) fn admit(&mut self, bytes: usize) -> Result<(), Refused> {
        let in_use_bytes = self.out_bytes;
        let after = in_use_bytes.checked_add(bytes).filter(|&it| it <= self.limits.out_bytes_max);
        self.out_bytes = after.ok_or(Refused { in_use_bytes })?;
        self.out_blocks += 1;
        self.high_water = self.high_water.max(self.out_bytes);
        Ok(())
    }

    /// A free block of the class, for one that was admitted.
    pub(crate) fn pick(&mut self, class: usize) -> Option<Loan> {
        let loan = self.shelves[class].pop()?;
        self.free_bytes -= loan.bytes;
        Some(loan)
    }

    pub(crate) fn has(&self, class: usize) -> bool {
        !self.shelves[class].blocks.is_empty()
    }

    /// Takes a block back that was out. One that has no place here is handed to the caller, who
    /// ends it when nobody waits any more.
    pub(crate) fn put_back(&mut self, class: Option<usize>, loan: Loan) -> Option<Loan> {
        self.out_bytes -= loan.bytes;
        self.out_blocks -= 1;
        self.put(class, loan)
    }

    /// Takes a block that was never out.
    pub(crate) fn put(&mut self, class: Option<usize>, loan: Loan) -> Option<Loan> {
        let Some(class) = class.filter(|_| !self.closed) else { return Some(loan) };
        let shelf = &mut self.shelves[class];
        let has_room = shelf.blocks.len() < self.limits.classes[class].1
            && loan.bytes <= self.limits.free_bytes_max - self.free_bytes;
        if !has_room {
            return Some(loan);
        }
        self.free_bytes += loan.bytes;
        shelf.blocks.push_back(loan);
        None
    }

    /// Free blocks of all classes.
    pub(crate) fn free(&self) -> usize {
        self.shelves.iter().map(|shelf| shelf.blocks.len()).sum()
    }

    /// Ends a round after so many visits, and gives half of what nobody needed in it back. It costs
    /// nothing worth mentioning, and needs no clock.
    pub(crate) fn count_visit(&mut self) -> Vec<Loan> {
        self.visits += 1;
        if self.visits < TRIM_VISITS {
            return Vec::new();
        }
        self.visits = 0;
        let mut surplus = Vec::new();
        for shelf in &mut self.shelves {
            let unused = shelf.unused_in_round.div_ceil(2).min(TRIM_BLOCKS_PER_CALL_MAX);
            shelf.give_up(unused, &mut surplus);
            shelf.unused_in_round = shelf.blocks.len();
        }
        self.free_bytes -= bytes_of(&surplus);
        surplus
    }

    /// Gives back what was not needed for `idle_time`, so many blocks in one call at most; the rest
    /// follows with the next. Says whether a period has ended.
    pub(crate) fn trim_idle(&mut self, now: Instant, idle_time: Duration) -> (bool, Vec<Loan>) {
        let mut surplus = Vec::new();
        let marked = *self.marked.get_or_insert_with(|| {
            self.shelves.iter_mut().for_each(Shelf::mark);
            now
        });
        if now.saturating_duration_since(marked) < idle_time {
            return (false, surplus);
        }
        for shelf in &mut self.shelves {
            let room = TRIM_BLOCKS_PER_CALL_MAX - surplus.len();
            shelf.give_up(shelf.unused_since_mark.min(room), &mut surplus);
        }
        self.free_bytes -= bytes_of(&surplus);
        let all_done = self.shelves.iter().all(|shelf| shelf.unused_since_mark == 0);
        if all_done {
            self.marked = Some(now);
            self.shelves.iter_mut().for_each(Shelf::mark);
        }
        (all_done, surplus)
    }

    /// Gives everything that waits here back.
    pub(crate) fn trim(&mut self) -> Vec<Loan> {
        let mut surplus = Vec::new();
        for shelf in &mut self.shelves {
            shelf.give_up(shelf.blocks.len(), &mut surplus);
            shelf.blocks.shrink_to_fit();
        }
        self.free_bytes -= bytes_of(&surplus);
        surplus
    }

    /// As `trim`, and from now on nothing is kept.
    pub(crate) fn close(&mut self) -> Vec<Loan> {
        self.closed = true;
        self.trim()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Verifies that the accounts agree with the blocks, and that no limit was passed.
    pub(crate) fn invariants(&self) {
        let mut free_bytes = 0;
        for (shelf, (bytes, blocks_max)) in self.shelves.iter().zip(&self.limits.classes) {
            assert!(shelf.blocks.len() <= *blocks_max, "no class keeps more than its part");
            assert!(shelf.unused_since_mark <= shelf.blocks.len(), "what is unused is there");
            assert!(shelf.unused_in_round <= shelf.blocks.len(), "what is unused is there");
            assert!(shelf.blocks.iter().all(|it| it.bytes == *bytes), "blocks of one size");
            free_bytes += bytes * shelf.blocks.len();
        }
        assert!(free_bytes == self.free_bytes, "every free byte is counted once");
        self.check();
    }

    /// The part of the invariants that does not walk the shelves.
    pub(crate) fn check(&self) {
        if cfg!(not(feature = "shipping")) {
            assert!(self.free_bytes <= self.limits.free_bytes_max, "free memory has a limit");
            assert!(self.out_bytes <= self.limits.out_bytes_max, "memory in use has a limit");
            assert!(self.out_bytes <= self.high_water, "the high-water mark is above all");
        }
    }
}

fn bytes_of(blocks: &[Loan]) -> usize {
    blocks.iter().map(|block| block.bytes).sum()
}

impl Shelf {
    fn pop(&mut self) -> Option<Loan> {
        let loan = self.blocks.pop_back()?;
        self.note_len();
        Some(loan)
    }

    fn give_up(&mut self, blocks: usize, surplus: &mut Vec<Loan>) {
        surplus.extend(self.blocks.drain(..blocks));
        self.unused_since_mark = self.unused_since_mark.saturating_sub(blocks);
        self.unused_in_round = self.unused_in_round.saturating_sub(blocks);
    }

    fn mark(&mut self) {
        self.unused_since_mark = self.blocks.len();
    }

    fn note_len(&mut self) {
        self.unused_since_mark = self.unused_since_mark.min(self.blocks.len());
        self.unused_in_round = self.unused_in_round.min(self.blocks.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depot::Lent;

    const IDLE: Duration = Duration::from_secs(10);

    fn stock(blocks: usize) -> Stock {
        let mut stock = Stock::new(StockLimits {
            out_bytes_max: 1 << 20,
            free_bytes_max: 1 << 20,
            classes: Box::new([(8, 1 << 10)]),
        });
        (0..blocks).for_each(|_| assert!(stock.put(Some(0), Lent::stray(8)).is_none()));
        stock
    }

    /// Takes `blocks` out and puts them back: that many were needed at once.
    fn use_at_once(stock: &mut Stock, blocks: usize) {
        let out: Vec<Loan> = (0..blocks).filter_map(|_| stock.pick(0)).collect();
        assert_eq!(out.len(), blocks);
        out.into_iter().for_each(|loan| assert!(stock.put(Some(0), loan).is_none()));
        stock.invariants();
    }

    #[test]
    fn what_a_period_did_not_need_goes_when_it_ends() {
        let (mut stock, start) = (stock(20), Instant::now());
        assert!(stock.trim_idle(start, IDLE).1.is_empty(), "the first call begins the period");
        use_at_once(&mut stock, 5);
        use_at_once(&mut stock, 12);
        assert!(stock.trim_idle(start + IDLE / 2, IDLE).1.is_empty());
        assert_eq!(stock.trim_idle(start + IDLE, IDLE).1.len(), 8);
        use_at_once(&mut stock, 3);
        assert_eq!(stock.trim_idle(start + 2 * IDLE, IDLE).1.len(), 9);
        assert_eq!(stock.trim_idle(start + 3 * IDLE, IDLE).1.len(), 3);
        assert_eq!((stock.free(), stock.free_bytes), (0, 0));
    }

    #[test]
    fn one_call_gives_back_a_few_and_the_next_the_rest() {
        let (mut stock, start) = (stock(100), Instant::now());
        stock.trim_idle(start, IDLE);
        assert_eq!(stock.trim_idle(start + IDLE, IDLE).1.len(), TRIM_BLOCKS_PER_CALL_MAX);
        let (all_done, surplus) = stock.trim_idle(start + IDLE, IDLE);
        assert_eq!((all_done, surplus.len()), (true, 100 - TRIM_BLOCKS_PER_CALL_MAX));
        stock.invariants();
    }

    #[test]
    fn without_a_clock_half_of_the_unused_goes_after_each_round() {
        let mut stock = stock(20);
        let mut round = |needed| {
            let mut surplus = 0;
            for _ in 0..TRIM_VISITS {
                use_at_once(&mut stock, needed);
                surplus += stock.count_visit().len();
            }
            surplus
        };
        // The first round begins when the pool does, with nothing on its shelves.
        assert_eq!((round(4), round(4), round(4), round(4)), (0, 8, 4, 2));
    }

    #[test]
    fn a_closed_stock_keeps_nothing() {
        let mut stock = stock(3);
        assert_eq!(stock.close().len(), 3);
        assert!(stock.put(Some(0), Lent::stray(8)).is_some());
        assert_eq!(stock.free(), 0);
    }

    #[test]
    fn admission_stops_at_the_limit_and_counts_the_most() {
        let mut stock = stock(0);
        stock.admit(1 << 20).unwrap();
        assert_eq!(stock.admit(1), Err(Refused { in_use_bytes: 1 << 20 }));
        assert_eq!(stock.admit(usize::MAX), Err(Refused { in_use_bytes: 1 << 20 }));
        assert!(stock.put_back(None, Lent::stray(1 << 20)).is_some());
        stock.admit(1).unwrap();
        assert_eq!((stock.out_bytes, stock.high_water), (1, 1 << 20));
    }
}
