//! Session ids: unique over time, with a big stride.

use std::fmt;

use crate::limits::ID_STRIDE;

/// Names a session within its process: 32 bits, never 0, and not seen again for 2^32 sessions
/// however often its slot in the table is used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u32);

impl SessionId {
    /// The number, to be kept outside; 0 is no id.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Which of `slots` (a power of two) the id stands in.
    pub(crate) const fn slot(self, slots: usize) -> usize {
        self.0 as usize & (slots - 1)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Walks all 2^32 numbers once before it repeats.
#[derive(Debug)]
pub(crate) struct IdSequence {
    next: u32,
}

impl IdSequence {
    /// `start` need not be secret: an id is checked, never trusted.
    pub(crate) const fn starting_at(start: u32) -> Self {
        Self { next: start }
    }

    pub(crate) fn next_id(&mut self) -> SessionId {
        loop {
            self.next = self.next.wrapping_add(ID_STRIDE);
            if let Some(id) = SessionId::new(self.next) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_skipped_and_the_walk_goes_on() {
        let mut sequence = IdSequence::starting_at(0u32.wrapping_sub(ID_STRIDE));
        assert_eq!(sequence.next_id().number(), ID_STRIDE);
    }

    #[test]
    fn the_stride_is_odd_so_no_number_comes_twice_within_a_round() {
        assert_eq!(ID_STRIDE % 2, 1);
        let mut sequence = IdSequence::starting_at(0);
        let mut seen: Vec<u32> = (0..100_000).map(|_| sequence.next_id().number()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 100_000);
    }

    /// Only the lowest bits say which slot: in every small table, wherever the walk begins, a round
    /// of as many ids as there are slots comes to each of them once, and so to a free one.
    #[test]
    fn every_slot_of_every_small_table_comes_once_a_round() {
        for slots in (0..=10).map(|width| 1_usize << width) {
            for start in 0..2 * u32::try_from(slots).unwrap() {
                let mut sequence = IdSequence::starting_at(start.wrapping_sub(7) << 16 | start);
                let mut seen = vec![0_u32; slots];
                // Zero is no id, so that the round where it would be due has one step more.
                let before = sequence.next;
                for _ in 0..slots {
                    seen[sequence.next_id().slot(slots)] += 1;
                }
                let steps = sequence.next.wrapping_sub(before);
                let skipped = steps != ID_STRIDE.wrapping_mul(u32::try_from(slots).unwrap());
                assert!(skipped || seen.iter().all(|&count| count == 1), "{slots} from {start}");
            }
        }
    }
}
