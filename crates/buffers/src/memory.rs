use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

use crate::limits::MAPPED_BYTES_MIN;

/// What a returned block is filled with in debug builds, so that a reader of stale contents sees
/// at once that they are nobody's.
const POISON: u8 = 0xDD;

/// Initialised memory of one block. It is zeroed once, when it comes from the system.
///
/// Large blocks are mappings of their own, because an allocator keeps what it is given back
/// wherever something younger lies above it; to end a mapping always shrinks the process.
#[derive(Default)]
pub(crate) struct Memory {
    /// From the allocator; empty where the memory is a mapping.
    heap: Box<[u8]>,
    mapped: Option<MmapMut>,
}

/// Takes memory from the allocator or, where it is large, from the operating system.
pub(crate) fn allocate(bytes: usize) -> Memory {
    // Where no mapping can be had, the allocator has the last word.
    if bytes >= MAPPED_BYTES_MIN
        && let Ok(mapped) = MmapMut::map_anon(bytes)
    {
        return Memory { heap: Box::default(), mapped: Some(mapped) };
    }
    allocate_on_heap(bytes)
}

/// Takes memory from the allocator, whatever its size.
pub(crate) fn allocate_on_heap(bytes: usize) -> Memory {
    Memory { heap: vec![0; bytes].into_boxed_slice(), mapped: None }
}

impl Memory {
    /// What `allocate_on_heap` took, without a look at where it came from.
    #[inline]
    pub(crate) fn heap(&self) -> &[u8] {
        &self.heap
    }

    /// What `allocate_on_heap` took, without a look at where it came from.
    #[inline]
    pub(crate) fn heap_mut(&mut self) -> &mut [u8] {
        &mut self.heap
    }

    /// Makes stale contents visible in debug builds; elsewhere they stay until overwritten.
    pub(crate) fn poison(&mut self) {
        if cfg!(debug_assertions) {
            self.fill(POISON);
        }
    }
}

impl Deref for Memory {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.mapped {
            None => &self.heap,
            Some(mapped) => mapped,
        }
    }
}

impl DerefMut for Memory {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.mapped {
            None => &mut self.heap,
            Some(mapped) => mapped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zero_whichever_way_it_comes() {
        for bytes in [0, 1, MAPPED_BYTES_MIN - 1, MAPPED_BYTES_MIN, MAPPED_BYTES_MIN + 1] {
            let memory = allocate(bytes);
            assert_eq!(memory.len(), bytes);
            assert!(memory.iter().all(|&byte| byte == 0));
            assert!(memory.mapped.is_none() || bytes >= MAPPED_BYTES_MIN);
            assert_eq!(allocate_on_heap(bytes).heap(), &memory[..]);
        }
    }

    #[test]
    #[cfg(debug_assertions)]
    fn debug_builds_poison() {
        let mut memory = allocate(8);
        memory.poison();
        assert_eq!(*memory, [POISON; 8]);
    }
}
