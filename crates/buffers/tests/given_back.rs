//! Memory goes back to the operating system by configuration: the resident set of this process says
//! so. One test in a file of its own, because nothing else may allocate beside it.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use moorline_buffers::{RecvBuffer, RecvPool, RecvPoolConfig};

const MIB: usize = 1 << 20;
const IDLE: Duration = Duration::from_secs(10);

/// Bytes of this process that are in memory now.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    // The page size of every Linux this is tested on; a larger one only makes the figure smaller.
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Uses `count` buffers of `bytes` at once, and returns them.
fn use_at_once(pool: &RecvPool, count: usize, bytes: usize) {
    let mut held: Vec<RecvBuffer> = (0..count).map(|_| pool.acquire(bytes).unwrap()).collect();
    held.iter_mut().for_each(|buffer| buffer.spare_mut().fill(1));
    black_box(&held);
}

#[test]
fn the_resident_set_falls_to_the_limit_and_then_to_nothing() {
    let config = RecvPoolConfig {
        free_bytes_max: 32 * MIB,
        class_free_bytes_max: 24 * MIB,
        idle_time: IDLE,
        ..RecvPoolConfig::default()
    };
    let pool = RecvPool::new(config);
    let before = resident();
    let above = || resident().saturating_sub(before) / MIB;
    let (mut pinned, mut now) = (Vec::new(), Instant::now());
    pool.trim_idle(now);
    // More than once: an allocator that was fooled the first time has learned by the second.
    for wave in 0..3_u32 {
        use_at_once(&pool, 64, MIB);
        // What stays behind, younger than the blocks, must not keep them.
        pinned.push(Box::new(wave));
        assert!((20..=28).contains(&above()), "most free bytes per class: {} MiB", above());
        use_at_once(&pool, 16, 4 * MIB);
        pinned.push(Box::new(wave));
        assert!((28..=36).contains(&above()), "most free bytes in all: {} MiB", above());

        // What is used goes on, what nobody needed goes back.
        now += IDLE;
        pool.trim_idle(now);
        pool.trim_idle(now + IDLE - Duration::from_millis(1));
        assert_eq!(pool.stats().free_bytes, 32 * MIB, "all of it came in the last period");
        use_at_once(&pool, 4, MIB);
        now += IDLE;
        pool.trim_idle(now);
        assert_eq!(pool.stats().free_bytes, 4 * MIB, "the most that the period needed");
        assert!(above() <= 8, "{} MiB", above());
        now += IDLE;
        pool.trim_idle(now);
        assert_eq!(pool.stats().free_bytes, 0);
        assert!(above() <= 4, "{} MiB", above());
    }
    use_at_once(&pool, 8, MIB);
    pool.trim();
    assert!(above() <= 4, "{} MiB", above());
    black_box(pinned);

    // A buffer beyond the classes is never kept, and a pool that ended keeps nothing.
    use_at_once(&pool, 2, 16 * MIB);
    assert!(above() <= 4, "{} MiB", above());
    use_at_once(&pool, 8, MIB);
    let held = pool.acquire(MIB).unwrap();
    drop(pool);
    drop(held);
    assert!(above() <= 4, "{} MiB", above());
}
