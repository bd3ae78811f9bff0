use std::sync::OnceLock;

use crossbeam::queue::ArrayQueue;

use crate::limits::FREE_LIST_SLOTS_MAX;

/// What a returned block is filled with in debug builds, so that a reader of stale contents sees
/// at once that they are nobody's.
const POISON: u8 = 0xDD;

/// Initialised memory of one block. It is zeroed once, when it comes from the allocator.
pub(crate) type Memory = Box<[u8]>;

/// Takes a block from the allocator. The zeros cost nothing for large blocks: fresh pages are zero.
pub(crate) fn allocate(bytes: usize) -> Memory {
    vec![0; bytes].into_boxed_slice()
}

/// Blocks of one size that wait for their next use, at most so many. Any thread may push and pop.
///
/// The slots are allocated when the first block returns and never again, so that neither direction
/// allocates in steady state, and a class nobody uses costs nothing.
#[derive(Debug)]
pub(crate) struct FreeList {
    slots: OnceLock<ArrayQueue<Memory>>,
    slots_max: usize,
}

impl FreeList {
    pub(crate) fn new(blocks_max: usize) -> Self {
        Self { slots: OnceLock::new(), slots_max: blocks_max.min(FREE_LIST_SLOTS_MAX) }
    }

    pub(crate) fn pop(&self) -> Option<Memory> {
        self.slots.get()?.pop()
    }

    /// Keeps the block, or hands it back to the caller where the list is full.
    pub(crate) fn push(&self, mut memory: Memory) -> Result<(), Memory> {
        if self.slots_max == 0 {
            return Err(memory);
        }
        if cfg!(debug_assertions) {
            memory.fill(POISON);
        }
        self.slots.get_or_init(|| ArrayQueue::new(self.slots_max)).push(memory)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.get().map_or(0, ArrayQueue::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_at_most_its_bound_and_hands_the_rest_back() {
        let list = FreeList::new(2);
        assert!(list.pop().is_none());
        assert!(list.push(allocate(8)).is_ok());
        assert!(list.push(allocate(8)).is_ok());
        assert_eq!(list.push(allocate(8)).unwrap_err().len(), 8);
        assert_eq!(list.len(), 2);
        assert!(FreeList::new(0).push(allocate(8)).is_err());
    }

    #[test]
    fn a_bound_without_measure_does_not_make_a_list_without_measure() {
        assert!(FreeList::new(usize::MAX).push(allocate(8)).is_ok());
    }

    #[test]
    #[cfg(debug_assertions)]
    fn debug_builds_poison_what_returns() {
        let list = FreeList::new(1);
        list.push(allocate(8)).unwrap();
        assert_eq!(*list.pop().unwrap(), [POISON; 8]);
    }
}
