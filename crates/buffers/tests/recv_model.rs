//! Every operation of a receive buffer, in any order, against a plain vector with two marks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;

use moorline_buffers::limits::RECV_CLASS_BYTES_MAX;
use moorline_buffers::{RecvBuffer, RecvPool, RecvPoolConfig};
use proptest::prelude::*;

/// What lives in the buffer: bytes not consumed yet, and how many of them are opened.
#[derive(Default)]
struct Model {
    bytes: Vec<u8>,
    opened: usize,
    /// Reads in a row that were short.
    short_reads: usize,
}

/// Lengths are fractions of what is there, in 256ths, so that every operation is a legal one and
/// both ends of each range are met.
#[derive(Clone, Debug)]
enum Step {
    Fill(usize, u8),
    Read(usize, u8),
    Reserve(usize),
    MarkOpened(usize),
    Skip(usize),
    Take(usize),
    Consume(usize),
    FlipUnopened,
    FlipReadable,
    Wipe,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let part = || prop_oneof![Just(0), Just(256), 0..=256_usize];
    let len = || prop_oneof![0..40_usize, 200..300_usize, 0..3000_usize];
    prop_oneof![
        4 => (len(), any::<u8>()).prop_map(|(len, seed)| Step::Fill(len, seed)),
        3 => (part(), any::<u8>()).prop_map(|(part, seed)| Step::Read(part, seed)),
        3 => len().prop_map(Step::Reserve),
        4 => part().prop_map(Step::MarkOpened),
        2 => part().prop_map(Step::Skip),
        3 => part().prop_map(Step::Take),
        3 => part().prop_map(Step::Consume),
        1 => Just(Step::FlipUnopened),
        1 => Just(Step::FlipReadable),
        1 => Just(Step::Wipe),
        1 => Just(Step::Clear),
    ]
}

fn part_of(whole: usize, part: usize) -> usize {
    whole * part / 256
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    std::iter::successors(Some(seed), |byte| Some(byte.wrapping_mul(5).wrapping_add(3)))
        .take(len)
        .collect()
}

fn flip(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte ^= 0xFF);
}

impl Model {
    fn apply(&mut self, buffer: &mut RecvBuffer, step: Step) {
        match step {
            Step::Fill(len, seed) => {
                let capacity = self.capacity_after(buffer, len);
                buffer.extend_from_slice(&pattern(len, seed)).unwrap();
                assert_eq!(buffer.capacity(), capacity);
                self.bytes.extend(pattern(len, seed));
            }
            Step::Read(part, seed) => {
                let spare = buffer.spare_mut().len();
                let len = part_of(spare, part);
                let was_short = len < spare && len < buffer.capacity() / 4;
                if len > 0 {
                    self.short_reads = if was_short { self.short_reads + 1 } else { 0 };
                }
                buffer.spare_mut()[..len].copy_from_slice(&pattern(len, seed));
                buffer.commit(len);
                self.bytes.extend(pattern(len, seed));
            }
            Step::Reserve(len) => {
                let capacity = self.capacity_after(buffer, len);
                buffer.reserve(len).unwrap();
                assert_eq!(buffer.capacity(), capacity);
                assert!(buffer.spare_mut().len() >= len);
                assert!(!self.bytes.is_empty() || buffer.spare_mut().len() == capacity);
            }
            Step::MarkOpened(part) => {
                let len = part_of(buffer.unopened().len(), part);
                buffer.mark_opened(len);
                self.opened += len;
            }
            Step::Skip(part) => {
                if self.opened == 0 {
                    let len = part_of(buffer.unopened().len(), part);
                    buffer.skip_unopened(len);
                    self.bytes.drain(..len);
                }
            }
            Step::Take(part) => {
                let len = part_of(self.opened, part);
                let taken: Vec<u8> = self.bytes.drain(..len).collect();
                assert_eq!(buffer.take(len), taken);
                self.opened -= len;
            }
            Step::Consume(part) => {
                let len = part_of(self.opened, part);
                buffer.consume(len);
                self.bytes.drain(..len);
                self.opened -= len;
            }
            Step::FlipUnopened => {
                flip(buffer.unopened_mut());
                flip(&mut self.bytes[self.opened..]);
            }
            Step::FlipReadable => {
                flip(buffer.readable_mut());
                flip(&mut self.bytes[..self.opened]);
            }
            Step::Wipe => {
                buffer.wipe();
                *self = Self { short_reads: self.short_reads, ..Self::default() };
            }
            Step::Clear => {
                buffer.clear();
                *self = Self { short_reads: self.short_reads, ..Self::default() };
            }
        }
    }

    /// A block is changed for a larger one only where it cannot hold what is there and what comes,
    /// and for a smaller one only when it is empty and was too large twice.
    fn capacity_after(&mut self, buffer: &RecvBuffer, coming: usize) -> usize {
        let mut capacity = buffer.capacity();
        if self.bytes.is_empty() && self.short_reads >= 2 {
            self.short_reads = 0;
            capacity = capacity.min(coming.max(capacity / 2).max(1 << 16).next_power_of_two());
        }
        let needed = self.bytes.len() + coming;
        if needed <= capacity {
            return capacity;
        }
        self.short_reads = 0;
        needed.next_power_of_two()
    }

    fn compare(&self, buffer: &RecvBuffer) {
        buffer.invariants();
        assert_eq!(buffer.readable(), &self.bytes[..self.opened]);
        assert_eq!(buffer.unopened(), &self.bytes[self.opened..]);
        assert_eq!(buffer.len(), self.bytes.len());
        assert_eq!(buffer.is_empty(), self.bytes.is_empty());
        assert!(buffer.capacity().is_power_of_two());
    }
}

proptest! {
    #![proptest_config(cases::config())]

    #[test]
    fn behaves_as_a_vector_with_two_marks(
        capacity in 0..2000_usize,
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let pool = RecvPool::default();
        let mut buffer = pool.acquire(capacity).unwrap();
        let mut model = Model::default();
        for step in steps {
            model.apply(&mut buffer, step);
            model.compare(&buffer);
            let stats = pool.stats();
            prop_assert_eq!((stats.in_use, stats.in_use_bytes), (1, buffer.capacity()));
        }
        drop(buffer);
        let stats = pool.stats();
        prop_assert_eq!((stats.in_use, stats.in_use_bytes), (0, 0));
        // Nothing here is near a limit, so every block that ever was is in the free lists.
        prop_assert_eq!((stats.allocated, stats.refused), (stats.free as u64, 0));
    }

    #[test]
    fn a_block_is_the_smallest_that_is_large_enough(
        asked in prop_oneof![
            0..5000_usize,
            (8..23_u32, 0..3_usize).prop_map(|(power, near)| (1 << power) + near - 1),
        ],
    ) {
        let pool = RecvPool::default();
        let buffer = pool.acquire(asked).unwrap();
        let capacity = buffer.capacity();
        prop_assert!(capacity >= asked.max(256));
        if capacity <= RECV_CLASS_BYTES_MAX {
            prop_assert!(capacity.is_power_of_two());
            prop_assert!(capacity == 256 || capacity / 2 < asked);
        } else {
            prop_assert!(capacity - asked <= asked / 4);
        }
    }

    #[test]
    fn a_refused_growth_leaves_everything_as_it_was(len in 1..257_usize, more in 257..5000_usize) {
        let pool = RecvPool::new(RecvPoolConfig { in_use_bytes_max: 300, ..Default::default() });
        let mut buffer = pool.acquire(256).unwrap();
        buffer.extend_from_slice(&pattern(len, 1)).unwrap();
        buffer.mark_opened(len / 2);
        prop_assert!(buffer.extend_from_slice(&pattern(more, 2)).is_err());
        prop_assert_eq!(buffer.readable(), &pattern(len, 1)[..len / 2]);
        prop_assert_eq!(buffer.unopened(), &pattern(len, 1)[len / 2..]);
        prop_assert_eq!(pool.stats().in_use, 1);
    }
}
