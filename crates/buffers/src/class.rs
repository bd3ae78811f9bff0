use crate::limits::{RECV_CLASS_BYTES_MAX, RECV_CLASS_BYTES_MIN};

/// Steps from one power of two to the next, above the largest class.
///
/// Fixed steps would make growing quadratic, whole powers of two would waste up to half; with four
/// steps a quarter is wasted at most and a byte is copied about five times while a buffer grows.
const LARGE_STEPS_PER_DOUBLING: usize = 4;

/// Bytes of the block that serves a request, or `None` where no block could be that large.
pub(crate) fn block_bytes(capacity_min: usize) -> Option<usize> {
    if capacity_min <= RECV_CLASS_BYTES_MAX {
        return Some(capacity_min.max(RECV_CLASS_BYTES_MIN).next_power_of_two());
    }
    let power_below = 1_usize << (capacity_min - 1).ilog2();
    capacity_min.checked_next_multiple_of(power_below / LARGE_STEPS_PER_DOUBLING)
}

/// Which free list a block of this many bytes belongs to; `None` for the large ones.
pub(crate) fn class_of(block_bytes: usize) -> Option<usize> {
    (block_bytes <= RECV_CLASS_BYTES_MAX)
        .then(|| (block_bytes.ilog2() - RECV_CLASS_BYTES_MIN.ilog2()) as usize)
}

/// Bytes of the blocks of a class.
pub(crate) fn class_bytes(class: usize) -> usize {
    RECV_CLASS_BYTES_MIN << class
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RECV_CLASSES;

    #[test]
    fn every_power_of_two_serves_itself_and_one_more_takes_the_next() {
        assert_eq!(block_bytes(0), Some(256));
        for class in 0..RECV_CLASSES {
            let bytes = class_bytes(class);
            assert_eq!(block_bytes(bytes), Some(bytes));
            assert_eq!(class_of(bytes), Some(class));
            if class + 1 < RECV_CLASSES {
                assert_eq!(block_bytes(bytes + 1), Some(2 * bytes));
            }
        }
        assert_eq!(class_bytes(RECV_CLASSES - 1), RECV_CLASS_BYTES_MAX);
    }

    #[test]
    fn above_the_classes_at_most_a_quarter_is_wasted() {
        assert_eq!(block_bytes(RECV_CLASS_BYTES_MAX + 1), Some(5 << 20));
        assert_eq!(block_bytes(5 << 20), Some(5 << 20));
        assert_eq!(block_bytes((5 << 20) + 1), Some(6 << 20));
        assert_eq!(block_bytes(8 << 20), Some(8 << 20));
        assert_eq!(block_bytes((8 << 20) + 1), Some(10 << 20));
        assert_eq!(class_of(5 << 20), None);
    }

    #[test]
    fn absurd_sizes_are_refused_and_do_not_overflow() {
        assert_eq!(block_bytes(usize::MAX), None);
        assert_eq!(block_bytes(usize::MAX / 2 + 1), Some(usize::MAX / 2 + 1));
    }
}
