use std::ops::Range;
use std::{fmt, mem};

use crate::block_pool::BlockPoolConfig;
use crate::cache;
use crate::depot::{Cursors, Lent, Loan};

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
    /// Its memory and cursors; there as long as the block lives, but in `none`.
    loan: Option<Loan>,
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
    #[inline]
    pub(crate) fn new(mut loan: Loan, config: &BlockPoolConfig) -> Self {
        let start = loan.lead + config.head_room;
        loan.at = Cursors { start, end: start, open_end: start + config.payload, weight: 0 };
        Self { loan: Some(loan) }
    }

    /// No block: what stands in a chain where there is none. It holds nothing and has no room.
    #[inline]
    pub(crate) fn none() -> Self {
        Self { loan: None }
    }

    #[inline]
    fn at(&self) -> Cursors {
        self.loan.as_ref().map_or_else(Cursors::default, |loan| loan.at)
    }

    #[inline]
    fn lent(&mut self) -> &mut Lent {
        self.loan.as_mut().expect("a block that is changed is there")
    }

    pub(crate) fn is_none(&self) -> bool {
        self.loan.is_none()
    }

    /// This block, and none in its place.
    pub(crate) fn take(&mut self) -> Option<Self> {
        Some(mem::replace(self, Self::none())).filter(|block| !block.is_none())
    }

    /// The bytes it holds: the payload, and head and tail once it was wrapped.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.loan.as_ref().map_or(&[], |loan| &loan.memory.heap()[loan.at.start..loan.at.end])
    }

    /// The bytes it holds, to change them in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let at = self.at();
        self.loan.as_mut().map_or(&mut [], |loan| &mut loan.memory.heap_mut()[at.start..at.end])
    }

    /// Number of bytes it holds.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        let at = self.at();
        at.end - at.start
    }

    /// Whether it holds no bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Payload bytes that can still be appended; 0 once it was wrapped or closed.
    #[must_use]
    pub fn spare(&self) -> usize {
        let at = self.at();
        at.open_end.saturating_sub(at.end)
    }

    /// Up to where somebody appends who fills blocks with `payload_max` bytes only.
    pub(crate) fn end_within(&self, payload_max: usize) -> usize {
        self.at().open_end.min(self.payload().start.saturating_add(payload_max))
    }

    /// As `spare`, for somebody who appends up to `end_max` only.
    #[inline]
    pub(crate) fn spare_before(&self, end_max: usize) -> usize {
        end_max.saturating_sub(self.at().end)
    }

    /// Where the whole block lies in its memory, rooms included.
    fn whole(&self) -> Range<usize> {
        self.loan.as_ref().map_or(0..0, |loan| loan.lead..loan.lead + loan.bytes)
    }

    /// Where payload goes.
    fn payload(&self) -> Range<usize> {
        let within = |loan: &Loan| {
            let Range { start, end } = loan.home().payload;
            loan.lead + start..loan.lead + end
        };
        self.loan.as_ref().map_or(0..0, within)
    }

    /// The room for more payload; [`commit`](Self::commit) says how much of it was used.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let end_max = self.at().open_end;
        self.spare_mut_before(end_max)
    }

    /// The room for more payload up to `end_max`, which is where it ends or before.
    #[inline]
    pub(crate) fn spare_mut_before(&mut self, end_max: usize) -> &mut [u8] {
        let Some(loan) = &mut self.loan else { return &mut [] };
        let end = loan.at.end;
        loan.memory.heap_mut().get_mut(end..end_max).unwrap_or_default()
    }

    /// Counts the first `n` bytes of the spare room as payload.
    ///
    /// # Panics
    /// If there is less room than that.
    pub fn commit(&mut self, n: usize) {
        assert!(n <= self.spare(), "a commit stays within the payload room");
        if let Some(loan) = &mut self.loan {
            loan.at.end += n;
        }
        self.check();
    }

    /// Extends the bytes by `head` in front and `tail` behind, out of the two rooms, and lends all
    /// three parts, so that the body can be sealed where it lies. Nothing is appended afterwards.
    ///
    /// # Panics
    /// If the rooms are smaller than that.
    pub fn wrap(&mut self, head: usize, tail: usize) -> Wrapped<'_> {
        let (whole, at) = (self.whole(), self.at());
        assert!(head <= at.start - whole.start, "the head fits into the head room");
        assert!(tail <= whole.end - at.end, "the tail fits into the tail room");
        let body_len = self.len();
        let (start, end) = (at.start - head, at.end + tail);
        self.lent().at = Cursors { start, end, open_end: 0, weight: at.weight };
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
        let payload = self.payload();
        assert!(plain.len() <= payload.len(), "the copy fits into the payload room");
        let (start, end) = (payload.start, payload.start + plain.len());
        let weight = self.weight();
        self.lent().at = Cursors { start, end, open_end: payload.end, weight };
        self.bytes_mut().copy_from_slice(plain.bytes());
        self.check();
    }

    /// A sum the owner keeps with the block; its meaning is the owner's.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.at().weight
    }

    /// Adds to the weight, which stops at its largest value.
    pub fn add_weight(&mut self, weight: u32) {
        let before = self.weight();
        self.lent().at.weight = before.saturating_add(weight);
    }

    /// Appends `bytes` where they end before `end_max`, and says whether they did.
    ///
    /// This is the hot loop of whoever writes: the bounds are looked at once, by the slicing, and
    /// hold as the invariants that other operations check.
    #[inline]
    pub(crate) fn put_before(&mut self, end_max: usize, bytes: &[u8]) -> bool {
        let Some(loan) = &mut self.loan else { return false };
        let loan = &mut **loan;
        let end = loan.at.end;
        if bytes.len() > end_max.saturating_sub(end) {
            return false;
        }
        loan.memory.heap_mut()[end..][..bytes.len()].copy_from_slice(bytes);
        loan.at.end = end + bytes.len();
        true
    }

    /// Forgets the first `n` bytes.
    pub(crate) fn advance(&mut self, n: usize) {
        assert!(n <= self.len(), "what is passed over is there");
        self.lent().at.start += n;
    }

    /// Forgets the last bytes, down to `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        assert!(len <= self.len(), "truncating does not add bytes");
        if let Some(loan) = &mut self.loan {
            loan.at.end = loan.at.start + len;
        }
    }

    pub(crate) fn close(&mut self) {
        if let Some(loan) = &mut self.loan {
            loan.at.open_end = 0;
        }
    }

    /// Verifies `start <= end <= size`, and that an open block has not grown into the tail room.
    ///
    /// # Panics
    /// If it does not hold, which is a bug of this crate.
    pub fn invariants(&self) {
        let (whole, at) = (self.whole(), self.at());
        assert!(whole.start <= at.start, "bytes begin within the block");
        assert!(at.start <= at.end, "start <= end");
        assert!(at.end <= whole.end, "bytes end within the block");
        let in_payload = at.end <= at.open_end;
        assert!(at.open_end == 0 || in_payload, "payload stays out of the tail room");
    }

    fn check(&self) {
        if cfg!(not(feature = "shipping")) {
            self.invariants();
        }
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        if let Some(loan) = self.loan.take() {
            cache::take_back(loan);
        }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Block")
            .field("len", &self.len())
            .field("spare", &self.spare())
            .field("weight", &self.weight())
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
