use std::{fmt, mem};

use crate::block_pool::BlockPool;
use crate::free_list::Memory;

/// One block of send memory: a run of bytes with room in front and behind.
///
/// ```text
///  0            start                  end                          size
///  |  head room |  bytes               |  spare      |  tail room   |
/// ```
///
/// It begins empty, with `start` and `end` at the head room. Payload is appended at `end`; when it
/// is complete, [`wrap`](Self::wrap) takes header and tag out of the rooms so that it can be sealed
/// where it lies. Dropping the block returns it to its pool, from any thread.
#[must_use = "a block that is dropped goes back to its pool"]
pub struct Block {
    memory: Memory,
    start: usize,
    end: usize,
    /// Where the payload begins and where its room ends, beside the bytes they bound: appending
    /// asks for them each time.
    payload_start: usize,
    payload_end: usize,
    /// Nothing is appended any more.
    closed: bool,
    weight: u32,
    pool: BlockPool,
}

/// A block opened for sealing in place: see [`Block::wrap`].
pub struct Wrapped<'block> {
    /// The bytes in front, to be written.
    pub head: &'block mut [u8],
    /// What the block held before.
    pub body: &'block mut [u8],
    /// The bytes behind, to be written.
    pub tail: &'block mut [u8],
}

impl Block {
    pub(crate) fn new(memory: Memory, pool: BlockPool) -> Self {
        let payload_start = pool.head_room();
        Self {
            memory,
            start: payload_start,
            end: payload_start,
            payload_start,
            payload_end: payload_start + pool.payload_capacity(),
            closed: false,
            weight: 0,
            pool,
        }
    }

    /// The bytes it holds: the payload, and head and tail once it was wrapped.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// The bytes it holds, to change them in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.end]
    }

    /// Number of bytes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether it holds no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Payload bytes that can still be appended; 0 once it was wrapped or closed.
    #[must_use]
    pub fn spare(&self) -> usize {
        self.spare_within(self.payload_capacity())
    }

    /// As `spare`, for somebody who fills blocks with `payload_max` bytes only.
    pub(crate) fn spare_within(&self, payload_max: usize) -> usize {
        if self.closed {
            return 0;
        }
        let payload_max = payload_max.min(self.payload_capacity());
        (self.payload_start + payload_max).saturating_sub(self.end)
    }

    fn payload_capacity(&self) -> usize {
        self.payload_end - self.payload_start
    }

    /// The room for more payload; [`commit`](Self::commit) says how much of it was used.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let spare = self.spare();
        &mut self.memory[self.end..][..spare]
    }

    /// Counts the first `n` bytes of the spare room as payload.
    ///
    /// # Panics
    /// If there is less room than that.
    pub fn commit(&mut self, n: usize) {
        assert!(n <= self.spare(), "a commit stays within the payload room");
        self.end += n;
        self.check();
    }

    /// Extends the bytes by `head` in front and `tail` behind, out of the two rooms, and lends all
    /// three parts, so that the body can be sealed where it lies. Nothing is appended afterwards.
    ///
    /// # Panics
    /// If the rooms are smaller than that.
    pub fn wrap(&mut self, head: usize, tail: usize) -> Wrapped<'_> {
        assert!(head <= self.start, "the head fits into the head room");
        assert!(tail <= self.memory.len() - self.end, "the tail fits into the tail room");
        let body_len = self.len();
        self.start -= head;
        self.end += tail;
        self.closed = true;
        self.check();
        let (head, rest) = self.bytes_mut().split_at_mut(head);
        let (body, tail) = rest.split_at_mut(body_len);
        Wrapped { head, body, tail }
    }

    /// Replaces what this block holds by a copy of the other's bytes, open again for appending.
    ///
    /// This is for what may have to be sent again: the plain block is kept, the copy is sealed.
    /// The weight stays with the plain one.
    ///
    /// # Panics
    /// If the other holds more than the payload room of this one.
    pub fn copy_payload_from(&mut self, plain: &Block) {
        assert!(plain.len() <= self.payload_capacity(), "the copy fits into the payload room");
        self.start = self.payload_start;
        self.end = self.start + plain.len();
        self.closed = false;
        self.bytes_mut().copy_from_slice(plain.bytes());
        self.check();
    }

    /// A sum the owner keeps with the block; its meaning is the owner's.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// Adds to the weight, which stops at its largest value.
    pub fn add_weight(&mut self, weight: u32) {
        self.weight = self.weight.saturating_add(weight);
    }

    /// Appends `bytes`, for which there is room.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.memory[self.end..][..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
        self.check();
    }

    /// Forgets the first `n` bytes.
    pub(crate) fn advance(&mut self, n: usize) {
        assert!(n <= self.len(), "what is passed over is there");
        self.start += n;
    }

    /// Forgets the last bytes, down to `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        assert!(len <= self.len(), "truncating does not add bytes");
        self.end = self.start + len;
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Verifies `start <= end <= size`, and that an open block has not grown into the tail room.
    ///
    /// # Panics
    /// If it does not hold, which is a bug of this crate.
    pub fn invariants(&self) {
        assert!(self.start <= self.end, "start <= end");
        assert!(self.end <= self.memory.len(), "end <= size");
        let in_payload = self.end <= self.payload_end;
        assert!(self.closed || in_payload, "payload stays out of the tail room");
    }

    fn check(&self) {
        if cfg!(not(feature = "shipping")) {
            self.invariants();
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool.release(mem::take(&mut self.memory));
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Block")
            .field("len", &self.len())
            .field("spare", &self.spare())
            .field("weight", &self.weight)
            .finish()
    }
}

impl fmt::Debug for Wrapped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Wrapped")
            .field("head", &self.head.len())
            .field("body", &self.body.len())
            .field("tail", &self.tail.len())
            .finish()
    }
}
