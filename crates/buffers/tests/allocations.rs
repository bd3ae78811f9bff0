//! Nothing is allocated once a pool is warm. A counting allocator knows.

use std::io::{IoSlice, Write};

use allocation_counter::measure;
use moorline_buffers::{BlockPool, BlockPoolConfig, RecvPool, SendBuffer};

const ROUNDS: usize = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };

/// Calls before counting begins: more than one cycle of whatever a round does now and then.
const WARM_UP: usize = 4_096;

/// Allocations of `rounds` calls, once everything is warm.
fn allocations_of(rounds: usize, mut round: impl FnMut(usize)) -> u64 {
    (0..WARM_UP).for_each(&mut round);
    measure(|| (0..rounds).for_each(&mut round)).count_total
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(10, |round| drop(std::hint::black_box(Box::new(round)))), 10);
}

#[test]
fn acquire_and_release_allocate_nothing() {
    let recv = RecvPool::default();
    let blocks = BlockPool::new(BlockPoolConfig { payload: 200, ..BlockPoolConfig::messages() });
    let allocations = allocations_of(ROUNDS, |round| {
        let small = recv.acquire(256).unwrap();
        let other = recv.acquire(257 + round % 256).unwrap();
        let first = blocks.acquire().unwrap();
        let second = blocks.acquire().unwrap();
        drop((second, small, first, other));
    });
    assert_eq!(allocations, 0);
    assert_eq!((recv.stats().in_use, blocks.stats().in_use), (0, 0));
}

#[test]
fn growing_between_warm_classes_allocates_nothing() {
    let recv = RecvPool::default();
    let allocations = allocations_of(ROUNDS / 10, |_| {
        let mut buffer = recv.acquire(256).unwrap();
        buffer.extend_from_slice(&[1; 200]).unwrap();
        buffer.extend_from_slice(&[2; 800]).unwrap();
        buffer.mark_opened(1000);
        assert_eq!(buffer.take(1000)[999], 2);
    });
    assert_eq!(allocations, 0);
}

#[test]
fn messages_written_sealed_and_drained_allocate_nothing() {
    let pool = BlockPool::new(BlockPoolConfig::messages());
    let (mut outbox, mut wire) = (SendBuffer::new(&pool), SendBuffer::new(&pool));
    let allocations = allocations_of(ROUNDS, |round| {
        outbox.write_all(&[7; 64]).unwrap();
        outbox.reserve(16).unwrap()[..8].fill(8);
        outbox.commit(8);
        outbox.add_weight(1);
        if round % 1024 == 0 {
            drain(&mut outbox, &mut wire);
        }
    });
    assert_eq!(allocations, 0);
    drop((outbox, wire));
    assert_eq!(pool.stats().in_use, 0);
}

/// What a driver does at the end of its turn, with a socket that takes odd amounts.
fn drain(outbox: &mut SendBuffer, wire: &mut SendBuffer) {
    while let Some(mut block) = outbox.pop_block() {
        block.wrap(4, 16).tail.fill(9);
        wire.push_block(block);
    }
    while !wire.is_empty() {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = wire.io_slices(&mut slices);
        let ready: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
        wire.advance(ready.min(10_007));
    }
}

#[test]
fn an_idle_chain_holds_no_memory_after_it_was_parked() {
    let pool = BlockPool::new(BlockPoolConfig::messages());
    let mut chain = SendBuffer::new(&pool);
    assert_eq!(allocations_of(1, |_| chain.park()), 0);
    // A chain that was never used, and one that was parked, allocate the same with their second block.
    let allocations = allocations_of(1, |_| {
        chain.extend_from_slice(&[1; (16 << 10) + 1]).unwrap();
        chain.clear();
        chain.park();
    });
    assert_eq!(allocations, 1, "the list of blocks, given back by `park`");
    let allocations = allocations_of(1, |_| {
        chain.extend_from_slice(b"a").unwrap();
        chain.clear();
    });
    assert_eq!(allocations, 0, "one block needs no list");
}
