use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};

use crate::block::Block;
use crate::block_pool::BlockPool;
use crate::error::{Knob, PoolExhausted};

/// A chain of [`Block`]s: bytes are appended at its tail and leave at its front, as whole blocks or
/// as I/O slices.
///
/// An empty chain holds no block. Blocks can be taken out, sealed in place and linked into another
/// chain without a copy. Only the last block is ever empty, and only between
/// [`reserve`](Self::reserve) and [`commit`](Self::commit); it counts as not there.
///
/// As an [`io::Write`] it takes everything or, where its pool refuses, nothing.
pub struct SendBuffer {
    blocks: VecDeque<Block>,
    len: usize,
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
        let mut chain = Self { blocks: VecDeque::new(), len: 0, block_max: 1, pool: pool.clone() };
        chain.set_block_max(payload_max);
        chain
    }

    /// Bytes it holds: those not yet advanced over.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of blocks that hold something.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks.len() - usize::from(self.tail_is_vacant())
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
    }

    /// Appends a copy of `bytes`, over as many blocks as it takes.
    ///
    /// # Errors
    /// [`PoolExhausted`] where the pool has no block left; then nothing was appended.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), PoolExhausted> {
        match self.blocks.back_mut() {
            Some(tail) if bytes.len() <= tail.spare_within(self.block_max) => {
                tail.put(bytes);
                self.len += bytes.len();
                self.check();
                Ok(())
            }
            _ => self.extend_over_blocks(bytes),
        }
    }

    fn extend_over_blocks(&mut self, bytes: &[u8]) -> Result<(), PoolExhausted> {
        let blocks_before = self.blocks.len();
        let tail_len_before = self.blocks.back().map_or(0, Block::len);
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.tail_spare() == 0 {
                match self.pool.acquire() {
                    Ok(block) => self.blocks.push_back(block),
                    Err(exhausted) => {
                        self.cut_back_to(blocks_before, tail_len_before);
                        return Err(exhausted);
                    }
                }
            }
            let (now, later) = rest.split_at(rest.len().min(self.tail_spare()));
            self.blocks.back_mut().expect("a block was opened above").put(now);
            rest = later;
        }
        self.len += bytes.len();
        self.check();
        Ok(())
    }

    fn cut_back_to(&mut self, blocks: usize, tail_len: usize) {
        self.blocks.truncate(blocks);
        if let Some(tail) = self.blocks.back_mut() {
            tail.truncate(tail_len);
        }
    }

    /// Lends at least `n` contiguous bytes of room at the end of the chain, in one block: the tail
    /// where they fit, else a new one. [`commit`](Self::commit) says how much of it was used.
    ///
    /// # Errors
    /// [`PoolExhausted`] where the pool has no block left, or `n` is more than
    /// [`block_max`](Self::block_max), which no block would ever satisfy.
    pub fn reserve(&mut self, n: usize) -> Result<&mut [u8], PoolExhausted> {
        if n > self.block_max {
            return Err(PoolExhausted {
                pool: self.pool.name(),
                asked: n,
                in_use: 0,
                limit: self.block_max,
                knob: Knob::BlockMax,
            });
        }
        // Without a block even zero bytes need one: the slice must come from somewhere.
        if self.tail_spare() < n || self.blocks.is_empty() {
            // The tail is not vacant then: a vacant one has room for `block_max` bytes.
            self.blocks.push_back(self.pool.acquire()?);
        }
        let spare = self.tail_spare();
        let tail = self.blocks.back_mut().expect("a block was opened above");
        Ok(tail.spare_mut().split_at_mut(spare).0)
    }

    /// Keeps the first `n` bytes of what [`reserve`](Self::reserve) lent.
    ///
    /// # Panics
    /// If less was lent.
    pub fn commit(&mut self, n: usize) {
        assert!(n <= self.tail_spare(), "a commit stays within what was reserved");
        if let Some(tail) = self.blocks.back_mut() {
            tail.commit(n);
        }
        self.len += n;
        self.drop_vacant_tail();
        self.check();
    }

    /// Adds to the weight of the last block, where what was appended last ends.
    ///
    /// # Panics
    /// If the chain is empty: the weight would be lost.
    pub fn add_weight(&mut self, weight: u32) {
        let tail = self.blocks.back_mut().expect("weight is added to bytes that are there");
        tail.add_weight(weight);
    }

    /// Weight of the last block; 0 if there is none.
    #[must_use]
    pub fn tail_weight(&self) -> u32 {
        self.blocks.back().map_or(0, Block::weight)
    }

    /// Bytes that can be appended without a new block; 0 if there is none or it is closed.
    #[must_use]
    pub fn tail_spare(&self) -> usize {
        self.blocks.back().map_or(0, |tail| tail.spare_within(self.block_max))
    }

    /// Ends the last block: what is appended next begins a new one.
    pub fn close_tail(&mut self) {
        self.drop_vacant_tail();
        if let Some(tail) = self.blocks.back_mut() {
            tail.close();
        }
    }

    /// Links a block behind the last one, without a copy. An empty one returns to its pool at once.
    ///
    /// What is appended next goes into it where it has room; one that was wrapped has none.
    pub fn push_block(&mut self, block: Block) {
        self.drop_vacant_tail();
        if !block.is_empty() {
            self.len += block.len();
            self.blocks.push_back(block);
        }
        self.check();
    }

    /// Takes the first block out, with what is left in it.
    pub fn pop_block(&mut self) -> Option<Block> {
        self.drop_vacant_tail();
        let block = self.blocks.pop_front()?;
        self.len -= block.len();
        self.check();
        Some(block)
    }

    /// The first block, with what is left in it.
    #[must_use]
    pub fn front(&self) -> Option<&Block> {
        self.blocks.front().filter(|block| !block.is_empty())
    }

    /// Links all blocks of `other` behind the last one, without a copy, and leaves `other` empty.
    pub fn append(&mut self, other: &mut SendBuffer) {
        self.drop_vacant_tail();
        other.drop_vacant_tail();
        self.blocks.append(&mut other.blocks);
        self.len += std::mem::take(&mut other.len);
        self.check();
    }

    /// Fills `slices` with the blocks from the front on, for one vectored write, and says how many
    /// it filled.
    pub fn io_slices<'chain>(&'chain self, slices: &mut [IoSlice<'chain>]) -> usize {
        let filled = slices.len().min(self.blocks());
        for (slice, block) in slices.iter_mut().zip(&self.blocks).take(filled) {
            *slice = IoSlice::new(block.bytes());
        }
        filled
    }

    /// Passes over the first `n` bytes, which were written; emptied blocks return to their pool.
    ///
    /// # Panics
    /// If the chain holds fewer.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.len, "what is advanced over is there");
        self.len -= n;
        let mut rest = n;
        while rest > 0 {
            let front = self.blocks.front_mut().expect("as many bytes as were counted are there");
            let step = rest.min(front.len());
            front.advance(step);
            rest -= step;
            if front.is_empty() {
                self.blocks.pop_front();
            }
        }
        self.check();
    }

    /// Returns all blocks.
    pub fn clear(&mut self) {
        self.blocks.clear();
        self.len = 0;
    }

    /// Frees the list of blocks of an idle chain; it grows again with the next block.
    pub fn park(&mut self) {
        self.drop_vacant_tail();
        self.blocks.shrink_to_fit();
    }

    /// Whether the last block is one that was reserved in and not committed to.
    fn tail_is_vacant(&self) -> bool {
        self.blocks.back().is_some_and(Block::is_empty)
    }

    fn drop_vacant_tail(&mut self) {
        if self.tail_is_vacant() {
            self.blocks.pop_back();
        }
    }

    /// Verifies that the length is that of the blocks, and that only the last may be empty.
    ///
    /// # Panics
    /// If it does not hold, which is a bug of this crate.
    pub fn invariants(&self) {
        self.blocks.iter().for_each(Block::invariants);
        assert!(self.blocks.iter().map(Block::len).sum::<usize>() == self.len, "no byte is lost");
        let vacant = self.blocks.iter().filter(|block| block.is_empty()).count();
        assert!(vacant == usize::from(self.tail_is_vacant()), "only the last block may be empty");
    }

    /// The part of the invariants that does not walk the chain.
    fn check(&self) {
        if cfg!(not(feature = "shipping")) {
            assert!((self.len == 0) == self.front().is_none(), "a byte is in a block");
            assert!(self.block_max > 0, "a block takes at least a byte");
        }
    }
}

impl io::Write for SendBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes)?;
        Ok(bytes.len())
    }

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
            .field("len", &self.len)
            .field("blocks", &self.blocks())
            .finish()
    }
}
