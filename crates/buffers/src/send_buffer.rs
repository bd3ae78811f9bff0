use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};

use crate::block::Block;
use crate::block_pool::BlockPool;
use crate::error::{Knob, PoolExhausted};
use crate::limits::IO_SLICES_MAX;

/// A chain of [`Block`]s: bytes are appended at its tail and leave at its front, as whole blocks or
/// as I/O slices.
///
/// An empty chain holds no block. Blocks can be taken out, sealed in place and linked into another
/// chain without a copy. Only the last block is ever empty, and only between
/// [`reserve`](Self::reserve) and [`commit`](Self::commit); it counts as not there.
///
/// As an [`io::Write`] it takes everything or, where its pool refuses, nothing.
pub struct SendBuffer {
    /// All blocks but the last; none of them is empty.
    front: VecDeque<Block>,
    /// Bytes in `front`.
    front_len: usize,
    /// The last block, or none where the chain has none. It is beside the others because appending
    /// is what happens all the time.
    tail: Block,
    /// Up to where in the memory of `tail` this chain appends; 0 where there is none.
    tail_end: usize,
    block_max: usize,
    pool: BlockPool,
}

impl SendBuffer {
    /// An empty chain that takes its blocks from `pool` and fills them.
    #[must_use]
    pub fn new(pool: &BlockPool) -> Self {
        Self::with_block_max(pool, pool.payload_capacity())
    }

    /// An empty chain that fills each block with `payload_max` bytes at most, for a peer whose
    /// records are smaller than the pool's blocks.
    #[must_use]
    pub fn with_block_max(pool: &BlockPool, payload_max: usize) -> Self {
        let mut chain = Self {
            front: VecDeque::new(),
            front_len: 0,
            tail: Block::none(),
            tail_end: 0,
            block_max: 1,
            pool: pool.clone(),
        };
        chain.set_block_max(payload_max);
        chain
    }

    /// Bytes it holds: those not yet advanced over.
    #[must_use]
    pub fn len(&self) -> usize {
        self.front_len + self.tail.len()
    }

    /// Whether it holds no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of blocks that hold something.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.front.len() + usize::from(!self.tail.is_empty())
    }

    /// Where its blocks come from.
    #[must_use]
    pub fn pool(&self) -> &BlockPool {
        &self.pool
    }

    /// Most payload bytes it puts into a block.
    #[must_use]
    pub fn block_max(&self) -> usize {
        self.block_max
    }

    /// Sets how many payload bytes it puts into a block from now on: at least 1, at most what the
    /// pool's blocks hold. What is in the chain already stays as it is.
    pub fn set_block_max(&mut self, payload_max: usize) {
        self.block_max = payload_max.clamp(1, self.pool.payload_capacity());
        self.note_tail();
    }

    /// Appends a copy of `bytes`, over as many blocks as it takes.
    ///
    /// # Errors
    /// [`PoolExhausted`] where the pool has no block left; then nothing was appended.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), PoolExhausted> {
        if self.tail.put_before(self.tail_end, bytes) {
            return Ok(());
        }
        self.extend_over_blocks(bytes)
    }

    #[inline(never)]
    fn extend_over_blocks(&mut self, bytes: &[u8]) -> Result<(), PoolExhausted> {
        let blocks_before = self.front.len() + usize::from(!self.tail.is_none());
        let tail_len_before = self.tail.len();
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.tail_spare() == 0 {
                match self.pool.acquire() {
                    Ok(block) => self.push_tail(block),
                    Err(exhausted) => {
                        self.cut_back_to(blocks_before, tail_len_before);
                        return Err(exhausted);
                    }
                }
            }
            let (now, later) = rest.split_at(rest.len().min(self.tail_spare()));
            assert!(self.tail.put_before(self.tail_end, now), "what is put was cut to the room");
            rest = later;
        }
        self.check();
        Ok(())
    }

    fn cut_back_to(&mut self, blocks: usize, tail_len: usize) {
        while self.front.len() + usize::from(!self.tail.is_none()) > blocks {
            self.drop_tail();
        }
        self.tail.truncate(tail_len);
        self.check();
    }

    /// Lends at least `n` contiguous bytes of room at the end of the chain, in one block: the tail
    /// where they fit, else a new one. [`commit`](Self::commit) says how much of it was used.
    ///
    /// # Errors
    /// [`PoolExhausted`] where the pool has no block left, or `n` is more than
    /// [`block_max`](Self::block_max), which no block would ever satisfy.
    #[inline]
    pub fn reserve(&mut self, n: usize) -> Result<&mut [u8], PoolExhausted> {
        if self.tail_spare() < n || self.tail.is_none() {
            self.open_block_for(n)?;
        }
        Ok(self.tail.spare_mut_before(self.tail_end))
    }

    /// Even zero bytes need a block, where there is none: the slice must come from somewhere.
    #[cold]
    fn open_block_for(&mut self, n: usize) -> Result<(), PoolExhausted> {
        if n > self.block_max {
            return Err(PoolExhausted {
                pool: self.pool.name(),
                asked: n,
                in_use: 0,
                limit: self.block_max,
                knob: Knob::BlockMax,
            });
        }
        // The tail is not vacant then: a vacant one has room for `block_max` bytes.
        let block = self.pool.acquire()?;
        self.push_tail(block);
        Ok(())
    }

    /// Keeps the first `n` bytes of what [`reserve`](Self::reserve) lent.
    ///
    /// # Panics
    /// If less was lent.
    #[inline]
    pub fn commit(&mut self, n: usize) {
        assert!(n <= self.tail_spare(), "a commit stays within what was reserved");
        self.tail.commit(n);
        self.drop_vacant_tail();
    }

    /// Adds to the weight of the last block, where what was appended last ends.
    ///
    /// # Panics
    /// If the chain is empty: the weight would be lost.
    pub fn add_weight(&mut self, weight: u32) {
        assert!(!self.tail.is_none(), "weight is added to bytes that are there");
        self.tail.add_weight(weight);
    }

    /// Weight of the last block; 0 if there is none.
    #[must_use]
    pub fn tail_weight(&self) -> u32 {
        self.tail.weight()
    }

    /// Bytes that can be appended without a new block; 0 if there is none or it is closed.
    #[must_use]
    #[inline]
    pub fn tail_spare(&self) -> usize {
        self.tail.spare_before(self.tail_end)
    }

    /// Ends the last block: what is appended next begins a new one.
    pub fn close_tail(&mut self) {
        self.drop_vacant_tail();
        self.tail.close();
        self.note_tail();
    }

    /// Links a block behind the last one, without a copy. An empty one returns to its pool at once.
    ///
    /// What is appended next goes into it where it has room; one that was wrapped has none.
    pub fn push_block(&mut self, block: Block) {
        self.drop_vacant_tail();
        if !block.is_empty() {
            self.push_tail(block);
        }
        self.check();
    }

    /// Takes the first block out, with what is left in it.
    pub fn pop_block(&mut self) -> Option<Block> {
        self.drop_vacant_tail();
        if let Some(block) = self.front.pop_front() {
            self.front_len -= block.len();
            self.check();
            return Some(block);
        }
        self.tail_end = 0;
        self.tail.take()
    }

    /// The first block, with what is left in it.
    #[must_use]
    pub fn front(&self) -> Option<&Block> {
        Some(self.front.front().unwrap_or(&self.tail)).filter(|block| !block.is_empty())
    }

    /// Links all blocks of `other` behind the last one, without a copy, and leaves `other` empty.
    pub fn append(&mut self, other: &mut SendBuffer) {
        self.drop_vacant_tail();
        other.drop_vacant_tail();
        let Some(last) = other.tail.take() else { return };
        other.tail_end = 0;
        if let Some(tail) = self.tail.take() {
            self.push_front_part(tail);
        }
        self.front.append(&mut other.front);
        self.front_len += std::mem::take(&mut other.front_len);
        self.push_tail(last);
        self.check();
    }

    /// Fills `slices` with the blocks from the front on, for one vectored write, and says how many
    /// it filled: never more than [`IO_SLICES_MAX`], which is what a system takes.
    pub fn io_slices<'chain>(&'chain self, slices: &mut [IoSlice<'chain>]) -> usize {
        let slices_max = slices.len().min(IO_SLICES_MAX);
        let (first, second) = self.front.as_slices();
        let mut filled = 0;
        for blocks in [first, second, std::slice::from_ref(&self.tail)] {
            for (slice, block) in slices[filled..slices_max].iter_mut().zip(blocks) {
                *slice = IoSlice::new(block.bytes());
            }
            filled = slices_max.min(filled + blocks.len());
        }
        filled.min(self.blocks())
    }

    /// Passes over the first `n` bytes, which were written; emptied blocks return to their pool.
    ///
    /// # Panics
    /// If the chain holds fewer.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.len(), "what is advanced over is there");
        let mut rest = n;
        while let Some(front) = self.front.front_mut() {
            if rest < front.len() {
                front.advance(rest);
                self.front_len -= rest;
                return self.check();
            }
            rest -= front.len();
            self.front_len -= front.len();
            self.front.pop_front();
        }
        if rest > 0 {
            self.tail.advance(rest);
            self.drop_vacant_tail();
        }
        self.check();
    }

    /// Returns all blocks.
    pub fn clear(&mut self) {
        self.front.clear();
        self.front_len = 0;
        self.tail = Block::none();
        self.tail_end = 0;
    }

    /// Frees the list of blocks of an idle chain; it grows again with the second block.
    pub fn park(&mut self) {
        self.drop_vacant_tail();
        self.front.shrink_to_fit();
    }

    fn push_tail(&mut self, block: Block) {
        let before = std::mem::replace(&mut self.tail, block);
        if !before.is_none() {
            self.push_front_part(before);
        }
        self.note_tail();
    }

    fn push_front_part(&mut self, block: Block) {
        self.front_len += block.len();
        self.front.push_back(block);
    }

    fn drop_tail(&mut self) {
        self.tail = self.front.pop_back().unwrap_or_else(Block::none);
        self.front_len -= self.tail.len();
        self.note_tail();
    }

    /// Drops the last block if it is one that was reserved in and not committed to.
    #[inline]
    fn drop_vacant_tail(&mut self) {
        if self.tail.is_empty() {
            self.drop_vacant();
        }
    }

    #[inline(never)]
    fn drop_vacant(&mut self) {
        if !self.tail.is_none() {
            self.drop_tail();
        }
    }

    fn note_tail(&mut self) {
        self.tail_end = self.tail.end_within(self.block_max);
    }

    /// Verifies that no byte is lost, that only the last block may be empty, and that the chain
    /// appends where its last block has room.
    ///
    /// # Panics
    /// If it does not hold, which is a bug of this crate.
    pub fn invariants(&self) {
        self.front.iter().chain([&self.tail]).for_each(Block::invariants);
        let front_len: usize = self.front.iter().map(Block::len).sum();
        assert!(front_len == self.front_len, "no byte is lost");
        assert!(self.front.iter().all(|it| !it.is_empty()), "only the last block may be empty");
        assert!(
            self.tail.end_within(self.block_max) == self.tail_end,
            "a chain appends where its tail has room"
        );
        self.check();
    }

    /// The part of the invariants that does not walk the chain.
    #[inline]
    fn check(&self) {
        if cfg!(not(feature = "shipping")) {
            assert!((self.front_len == 0) == self.front.is_empty(), "a byte is in a block");
            assert!(!self.tail.is_none() || self.front.is_empty(), "who has blocks has a last one");
            assert!(self.block_max > 0, "a block takes at least a byte");
        }
    }
}

impl io::Write for SendBuffer {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes)?;
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Ok(self.extend_from_slice(bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for SendBuffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SendBuffer")
            .field("len", &self.len())
            .field("blocks", &self.blocks())
            .finish()
    }
}
