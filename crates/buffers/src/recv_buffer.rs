use std::{fmt, mem};

use crate::error::PoolExhausted;
use crate::free_list::Memory;
use crate::recv_pool::RecvPool;

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
    memory: Memory,
    consumed: usize,
    opened: usize,
    filled: usize,
    pool: RecvPool,
}

impl RecvBuffer {
    pub(crate) fn new(memory: Memory, pool: RecvPool) -> Self {
        Self { memory, consumed: 0, opened: 0, filled: 0, pool }
    }

    /// Bytes of the whole block.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Bytes that were filled and not consumed yet, opened or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled - self.consumed
    }

    /// Whether everything that was filled is consumed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.consumed == self.filled
    }

    /// Makes room for at least `spare_min` bytes behind what is filled.
    ///
    /// An empty buffer starts again at the front. Otherwise the bytes not yet consumed move to the
    /// front where that is enough, and to a block of the next sufficient class where it is not:
    /// they are copied once and the old block is returned. The cursors keep their meaning.
    ///
    /// # Errors
    /// [`PoolExhausted`] where the larger block is refused; for the moment of the copy both blocks
    /// count as in use. The buffer is as it was.
    pub fn reserve(&mut self, spare_min: usize) -> Result<(), PoolExhausted> {
        if self.is_empty() {
            self.clear();
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

    fn compact(&mut self) {
        self.memory.copy_within(self.consumed..self.filled, 0);
        self.opened -= self.consumed;
        self.filled -= self.consumed;
        self.consumed = 0;
    }

    fn move_to_block_of(&mut self, capacity_min: usize) -> Result<(), PoolExhausted> {
        let mut larger = self.pool.acquire(capacity_min)?;
        larger.filled = self.len();
        larger.opened = self.opened - self.consumed;
        larger.memory[..larger.filled].copy_from_slice(&self.memory[self.consumed..self.filled]);
        *self = larger;
        Ok(())
    }

    /// The room behind what is filled, to read into; [`commit`](Self::commit) says how much of it
    /// was used.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.filled..]
    }

    /// Counts the first `n` bytes of the spare room as filled.
    ///
    /// # Panics
    /// If there is less room than that.
    pub fn commit(&mut self, n: usize) {
        assert!(n <= self.capacity() - self.filled, "a commit stays within the capacity");
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
        self.commit(bytes.len());
        Ok(())
    }

    /// What was filled and not opened yet.
    #[must_use]
    pub fn unopened(&self) -> &[u8] {
        &self.memory[self.opened..self.filled]
    }

    /// What was filled and not opened yet, to open it in place.
    pub fn unopened_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.opened..self.filled]
    }

    /// Makes the first `n` unopened bytes readable.
    ///
    /// # Panics
    /// If fewer are unopened.
    pub fn mark_opened(&mut self, n: usize) {
        assert!(n <= self.filled - self.opened, "what is opened was filled before");
        self.opened += n;
        self.check();
    }

    /// Passes over the first `n` unopened bytes: headers and tags that nobody reads.
    ///
    /// # Panics
    /// If fewer are unopened, or if something readable lies before them: it would be torn in two.
    pub fn skip_unopened(&mut self, n: usize) {
        assert!(
            self.consumed == self.opened,
            "what is readable is consumed before more is skipped"
        );
        self.mark_opened(n);
        self.consume(n);
    }

    /// What was opened and not consumed yet.
    #[must_use]
    pub fn readable(&self) -> &[u8] {
        &self.memory[self.consumed..self.opened]
    }

    /// What was opened and not consumed yet, to change it in place.
    pub fn readable_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.consumed..self.opened]
    }

    /// Consumes the first `n` readable bytes and lends them until the buffer is used again.
    ///
    /// # Panics
    /// If fewer are readable.
    pub fn take(&mut self, n: usize) -> &[u8] {
        let start = self.consumed;
        self.consume(n);
        &self.memory[start..self.consumed]
    }

    /// Consumes the first `n` readable bytes.
    ///
    /// # Panics
    /// If fewer are readable.
    pub fn consume(&mut self, n: usize) {
        assert!(n <= self.opened - self.consumed, "what is consumed was opened before");
        self.consumed += n;
        self.check();
    }

    /// Zeroes everything not consumed yet, and empties the buffer.
    pub fn wipe(&mut self) {
        self.memory[self.consumed..self.filled].fill(0);
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

    fn check(&self) {
        if cfg!(not(feature = "shipping")) {
            self.invariants();
        }
    }
}

impl Drop for RecvBuffer {
    fn drop(&mut self) {
        self.pool.release(mem::take(&mut self.memory));
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
