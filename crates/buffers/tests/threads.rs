//! Pools used by many threads at once: nothing is lost, limits hold at every moment, and
//! exhaustion slows down whoever asks and stops nobody.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::mpsc::sync_channel;
use std::thread;

use moorline_buffers::limits::CACHE_BYTES_MAX;
use moorline_buffers::{
    BlockPool, BlockPoolConfig, RecvBuffer, RecvPool, RecvPoolConfig, SendBuffer,
};

const THREADS: u64 = 4;
const ROUNDS: usize = if cfg!(debug_assertions) { 25_000 } else { 250_000 };

/// Numbers that look random and are the same in every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from(mixed >> 40).unwrap() % bound
    }
}

/// A million random sizes (in release builds) on four threads, and the counters agree at the end.
/// Returns how many requests were refused.
fn use_at_random(config: RecvPoolConfig, cached_bytes_max: usize) -> u64 {
    let pool = RecvPool::new(config);
    let work = |seed| {
        let (pool, mut numbers) = (pool.clone(), Numbers(seed));
        move || {
            let mut held: Vec<RecvBuffer> = Vec::new();
            let (mut lent, mut refused) = (0_u64, 0_u64);
            for round in 0..ROUNDS {
                let bytes_max = 1 << numbers.below(18);
                match pool.acquire(numbers.below(bytes_max)) {
                    Ok(buffer) => {
                        lent += 1;
                        held.push(buffer);
                    }
                    Err(_) => refused += 1,
                }
                if held.len() > numbers.below(16) {
                    drop(held.swap_remove(numbers.below(held.len())));
                }
                if round % 1000 == 0 {
                    pool.trim();
                    let stats = pool.stats();
                    assert!(stats.in_use_bytes <= config.in_use_bytes_max);
                    assert!(stats.free_bytes <= config.free_bytes_max + cached_bytes_max);
                    pool.invariants();
                }
            }
            (lent, refused)
        }
    };
    let threads: Vec<_> = (0..THREADS).map(|seed| thread::spawn(work(seed))).collect();
    let done: Vec<(u64, u64)> = threads.into_iter().map(|t| t.join().unwrap()).collect();

    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.in_use_bytes), (0, 0));
    assert_eq!(stats.returned, done.iter().map(|(lent, _)| lent).sum::<u64>());
    assert_eq!(stats.refused, done.iter().map(|(_, refused)| refused).sum::<u64>());
    assert!(stats.high_water <= config.in_use_bytes_max);
    assert!(stats.free_bytes <= config.free_bytes_max, "threads that ended keep nothing");
    pool.trim();
    assert_eq!((pool.stats().free, pool.stats().free_bytes), (0, 0));
    stats.refused
}

#[test]
fn counters_balance_after_random_sizes_on_four_threads() {
    let caches = usize::try_from(THREADS).unwrap() * CACHE_BYTES_MAX;
    assert_eq!(use_at_random(RecvPoolConfig::default(), caches), 0);
}

#[test]
fn counters_balance_where_limits_are_met() {
    let config = RecvPoolConfig {
        in_use_bytes_max: 256 << 10,
        free_bytes_max: 64 << 10,
        ..RecvPoolConfig::default()
    };
    assert!(use_at_random(config, 0) > 0, "the limit was met, or this test shows nothing");
}

/// One thread fills, another drains and drops, and the pool has fewer blocks than would be filled
/// if nobody waited. Whoever is refused lets the other go on and asks again.
#[test]
fn exhaustion_is_back_pressure_and_no_deadlock() {
    const BLOCKS_MAX: usize = 6;
    const MESSAGE: usize = 24;
    let pool = BlockPool::new(BlockPoolConfig {
        payload: 64,
        blocks_max: BLOCKS_MAX,
        ..BlockPoolConfig::messages()
    });
    let (filled, to_drain) = sync_channel::<SendBuffer>(BLOCKS_MAX);
    let writer = {
        let pool = pool.clone();
        thread::spawn(move || {
            let (mut chain, mut refused) = (SendBuffer::new(&pool), 0_u64);
            for round in 0..ROUNDS {
                let message = [u8::try_from(round % 251).unwrap(); MESSAGE];
                while chain.extend_from_slice(&message).is_err() {
                    refused += 1;
                    // What is written already must leave, or the room never comes.
                    if !chain.is_empty() {
                        filled.send(std::mem::replace(&mut chain, SendBuffer::new(&pool))).unwrap();
                    }
                    thread::yield_now();
                }
            }
            filled.send(chain).unwrap();
            refused
        })
    };
    let mut byte = 0_usize;
    for mut chain in to_drain {
        while let Some(block) = chain.pop_block() {
            for value in block.bytes() {
                assert_eq!(usize::from(*value), byte / MESSAGE % 251);
                byte += 1;
            }
        }
    }
    let refused = writer.join().unwrap();
    assert_eq!(byte, ROUNDS * MESSAGE);
    assert!(refused > 0, "the limit was met, or this test shows nothing");
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.refused), (0, refused));
    assert!(stats.high_water <= BLOCKS_MAX * 84 && stats.allocated <= stats.returned);
}

/// Buffers filled on one thread are grown, read and dropped on another; every one comes back.
#[test]
fn buffers_filled_here_are_consumed_there() {
    let pool = RecvPool::default();
    let (sender, receiver) = sync_channel::<RecvBuffer>(16);
    let reader = thread::spawn(move || {
        let mut bytes = 0;
        for mut buffer in receiver {
            buffer.reserve(1000).unwrap();
            let len = buffer.unopened().len();
            buffer.mark_opened(len);
            assert!(buffer.take(len).iter().all(|&byte| usize::from(byte) == len % 251));
            bytes += len;
        }
        bytes
    });
    let mut numbers = Numbers(1);
    let mut sent = 0;
    for _ in 0..ROUNDS / 10 {
        let len = numbers.below(700);
        let mut buffer = pool.acquire(len).unwrap();
        buffer.extend_from_slice(&vec![u8::try_from(len % 251).unwrap(); len]).unwrap();
        sent += len;
        sender.send(buffer).unwrap();
    }
    drop(sender);
    assert_eq!(reader.join().unwrap(), sent);
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.in_use_bytes), (0, 0));
    assert!(stats.allocated < 200, "blocks are used again: {stats:?}");
}
