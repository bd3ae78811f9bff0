use std::{fmt, mem};

use crate::cache;
use crate::class::block_bytes;
use crate::depot::Loan;
use crate::error::PoolExhausted;
use crate::limits::{SHORT_READS_MAX, SHRINK_BYTES_MIN};
use crate::memory::Memory;
use crate::recv_pool;

/// One contiguous block that bytes are read into, opened in place, and consumed from.
///
/// Three cursors walk through it, and `consumed <= opened <= filled <= capacity`, always:
///
/// ```text
///  0        consumed       opened        filled      capacity
///  |  done  |   readable   |  unopened   |   spare   |
/// ```
///
/// What the network delivered is *unopened*. Whoever understands the layer below (a record opened
/// in place, a length checked) marks it opened, and only what is opened can be read. The memory is
/// always initialised, but `spare` holds whatever was there before.
///
/// Dropping the buffer returns its block to the pool, from any thread.
#[must_use = "a buffer that is dropped goes back to its pool"]
pub struct RecvBuffer {
    /// The loan's memory, taken out of it while the buffer lives: a unit that is consumed is then
    /// one pointer away, not two.
    memory: Memory,
    /// Where the memory goes back to; there as long as the buffer lives.
    loan: Option<Loan>,
    consumed: usize,
    opened: usize,
    filled: usize,
    /// Reads in a row that filled little of the block.
    short_reads: u8,
}

impl RecvBuffer {
    #[inline]
    pub(crate) fn new(mut loan: Loan) -> Self {
        let memory = mem::take(&mut loan.memory);
        Self { memory, loan: Some(loan), consumed: 0, opened: 0, filled: 0, short_reads: 0 }
    }

    /// Bytes of the whole block.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Bytes that were filled and not consumed yet, opened or not.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled - self.consumed
    }

    /// Whether everything that was filled is consumed.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.consumed == self.filled
    }

    /// Makes room for at least `spare_min` bytes behind what is filled.
    ///
    /// An empty buffer starts again at the front. Otherwise the bytes not yet consumed move to the
    /// front where that is enough, and to a block of the next sufficient class where it is not:
    /// they are copied once and the old block is returned. The cursors keep their meaning. An empty
    /// buffer above 64 KiB whose last two reads filled less than a quarter of it is changed for one
    /// of half the size, where that is enough.
    ///
    /// # Errors
    /// [`PoolExhausted`] where the larger block is refused; for the moment of the copy both blocks
    /// count as in use. The buffer is as it was.
    #[inline]
    pub fn reserve(&mut self, spare_min: usize) -> Result<(), PoolExhausted> {
        if self.is_empty() {
            self.clear();
            if self.short_reads >= SHORT_READS_MAX {
                self.shrink(spare_min);
            }
        }
        if self.capacity() - self.filled >= spare_min {
            return Ok(());
        }
        let needed = self.len().saturating_add(spare_min);
        if needed <= self.capacity() {
            self.compact();
        } else {
            self.move_to_block_of(needed)?;
        }
        self.check();
        Ok(())
    }

    #[cold]
    fn shrink(&mut self, spare_min: usize) {
        self.short_reads = 0;
        let wanted = spare_min.max(self.capacity() / 2).max(SHRINK_BYTES_MIN);
        // Where the pool refuses, the larger block serves as well.
        if block_bytes(wanted).is_some_and(|bytes| bytes < self.capacity())
            && let Ok(smaller) = self.lend(wanted)
        {
            *self = smaller;
        }
    }

    fn compact(&mut self) {
        let kept = self.consumed..self.filled;
        self.memory.copy_within(kept, 0);
        self.opened -= self.consumed;
        self.filled -= self.consumed;
        self.consumed = 0;
    }

    #[cold]
    fn move_to_block_of(&mut self, capacity_min: usize) -> Result<(), PoolExhausted> {
        let mut larger = self.lend(capacity_min)?;
        larger.filled = self.len();
        larger.opened = self.opened - self.consumed;
        let kept = &self.memory[self.consumed..self.filled];
        larger.memory[..kept.len()].copy_from_slice(kept);
        *self = larger;
        Ok(())
    }

    fn lend(&self, capacity_min: usize) -> Result<RecvBuffer, PoolExhausted> {
        let loan = self.loan.as_ref().expect("a buffer has its loan as long as it lives");
        recv_pool::lend(loan.home(), capacity_min)
    }

    /// The room behind what is filled, to read into; [`commit`](Self::commit) says how much of it
    /// was used.
    #[inline]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let part = self.filled..self.capacity();
        &mut self.memory[part]
    }

    /// Counts the first `n` bytes of the spare room as filled.
    ///
    /// # Panics
    /// If there is less room than that.
    #[inline]
    pub fn commit(&mut self, n: usize) {
        let spare = self.capacity() - self.filled;
        assert!(n <= spare, "a commit stays within the capacity");
        if n > 0 {
            let was_short = n < spare && n < self.capacity() / 4;
            self.short_reads = if was_short { self.short_reads.saturating_add(1) } else { 0 };
        }
        self.filled += n;
        self.check();
    }

    /// Appends a copy of `bytes`, making room where necessary.
    ///
    /// # Errors
    /// [`PoolExhausted`] as [`reserve`](Self::reserve); then nothing was appended.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), PoolExhausted> {
        self.reserve(bytes.len())?;
        self.spare_mut()[..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
        self.check();
        Ok(())
    }

    /// What was filled and not opened yet.
    #[inline]
    #[must_use]
    pub fn unopened(&self) -> &[u8] {
        &self.memory[self.opened..self.filled]
    }

    /// What was filled and not opened yet, to open it in place.
    #[inline]
    pub fn unopened_mut(&mut self) -> &mut [u8] {
        let part = self.opened..self.filled;
        &mut self.memory[part]
    }

    /// Makes the first `n` unopened bytes readable.
    ///
    /// # Panics
    /// If fewer are unopened.
    #[inline]
    pub fn mark_opened(&mut self, n: usize) {
        assert!(n <= self.filled - self.opened, "what is opened was filled before");
        self.opened += n;
        self.check();
    }

    /// Passes over the first `n` unopened bytes: headers and tags that nobody reads.
    ///
    /// # Panics
    /// If fewer are unopened, or if something readable lies before them: it would be torn in two.
    #[inline]
    pub fn skip_unopened(&mut self, n: usize) {
        assert!(
            self.consumed == self.opened,
            "what is readable is consumed before more is skipped"
        );
        self.mark_opened(n);
        self.consume(n);
    }

    /// What was opened and not consumed yet.
    #[inline]
    #[must_use]
    pub fn readable(&self) -> &[u8] {
        &self.memory[self.consumed..self.opened]
    }

    /// What was opened and not consumed yet, to change it in place.
    #[inline]
    pub fn readable_mut(&mut self) -> &mut [u8] {
        let part = self.consumed..self.opened;
        &mut self.memory[part]
    }

    /// Consumes the first `n` readable bytes and lends them until the buffer is used again.
    ///
    /// # Panics
    /// If fewer are readable.
    #[inline]
    pub fn take(&mut self, n: usize) -> &[u8] {
        let start = self.consumed;
        self.consume(n);
        &self.memory[start..self.consumed]
    }

    /// Consumes the first `n` readable bytes.
    ///
    /// # Panics
    /// If fewer are readable.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        // The one of the invariants that could be broken here; nothing else moves.
        assert!(n <= self.opened - self.consumed, "what is consumed was opened before");
        self.consumed += n;
    }

    /// Zeroes everything not consumed yet, and empties the buffer.
    pub fn wipe(&mut self) {
        let kept = self.consumed..self.filled;
        self.memory[kept].fill(0);
        self.clear();
    }

    /// Empties the buffer; the bytes stay where they are until they are overwritten.
    pub fn clear(&mut self) {
        self.consumed = 0;
        self.opened = 0;
        self.filled = 0;
    }

    /// Verifies `consumed <= opened <= filled <= capacity`.
    ///
    /// # Panics
    /// If it does not hold, which is a bug of this crate.
    pub fn invariants(&self) {
        assert!(self.consumed <= self.opened, "consumed <= opened");
        assert!(self.opened <= self.filled, "opened <= filled");
        assert!(self.filled <= self.memory.len(), "filled <= capacity");
    }

    #[inline]
    fn check(&self) {
        if cfg!(not(feature = "shipping")) {
            self.invariants();
        }
    }
}

impl Drop for RecvBuffer {
    #[inline]
    fn drop(&mut self) {
        if let Some(mut loan) = self.loan.take() {
            loan.memory = mem::take(&mut self.memory);
            cache::take_back(loan);
        }
    }
}

impl fmt::Debug for RecvBuffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RecvBuffer")
            .field("readable", &self.readable().len())
            .field("unopened", &self.unopened().len())
            .field("spare", &(self.capacity() - self.filled))
            .field("capacity", &self.capacity())
            .finish()
    }
}
