//! One encoding buffer a thread, so that a message allocates nothing.

use std::cell::Cell;

use crate::limits::{SCRATCH_CAPACITY_MIN, SCRATCH_KEEP_MAX};

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Runs `work` with an empty buffer that keeps its capacity from one use to the next. A use within
/// a use gets a fresh one: a user's `Serialize` may well send something itself.
pub fn with_scratch<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut buffer = take_scratch();
    buffer.reserve(SCRATCH_CAPACITY_MIN);
    let result = work(&mut buffer);
    keep_scratch(buffer);
    result
}

/// The thread's buffer, empty; another use gets a fresh one until it is [kept](keep_scratch) again.
pub(crate) fn take_scratch() -> Vec<u8> {
    // A thread that is ending has no buffer any more, and may still send.
    let mut buffer = SCRATCH.try_with(Cell::take).unwrap_or_default();
    buffer.clear();
    buffer
}

/// Gives the thread a buffer for the next use, unless it has grown too large.
pub(crate) fn keep_scratch(buffer: Vec<u8>) {
    if buffer.capacity() <= SCRATCH_KEEP_MAX {
        // What the thread had before, if anything, is freed.
        let _ = SCRATCH.try_with(|kept| kept.set(buffer));
    }
}
