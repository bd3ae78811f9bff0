//! `moorline-buffers` beside plain copies into a warm `Vec`, beside `BytesMut`, and beside the
//! allocator.

use std::hint::black_box;
use std::io::IoSlice;
use std::sync::Barrier;

use bytes::{Buf, BytesMut};
use moorline_buffers::{BlockPool, BlockPoolConfig, RecvPool, SendBuffer};

use crate::pairs::{Pair, compare};
use crate::report::{Report, Unit};

/// Bytes that one run of a row moves: they fit into the second-level cache, so that what is
/// measured is our work and not the memory's.
const TOTAL: usize = 256 * 1024;

/// One read of a driver.
const READ: usize = 64 * 1024;

/// Rounds of acquire and release in one run of a row.
const ROUNDS: u32 = 1_000;

pub(crate) fn run(report: &mut Report) {
    write_drain(report, 512);
    for (row, piece) in [("append-64", 64), ("append-1k", 1024), ("append-64k", 64 * 1024)] {
        append(report, row, piece);
    }
    recv_fill_consume(report);
    for (row, threads) in
        [("acquire-release-1t", 1), ("acquire-release-2t", 2), ("acquire-release-4t", 4)]
    {
        acquire_release(report, row, threads);
    }
}

fn append(report: &mut Report, row: &str, piece: usize) {
    let source = vec![7; piece];
    let pool = BlockPool::new(BlockPoolConfig::messages());
    let mut chain = SendBuffer::new(&pool);
    let mut ours = || {
        for _ in 0..TOTAL / piece {
            chain.extend_from_slice(black_box(&source)).expect("the pool is large enough");
        }
        black_box(&mut chain).clear();
    };
    let mut vec = Vec::with_capacity(TOTAL);
    let copy = || {
        for _ in 0..TOTAL / piece {
            vec.extend_from_slice(black_box(&source));
        }
        black_box(&mut vec).clear();
    };
    let unit = Unit::GigabytesPerSecond(TOTAL);
    report.row("buffers", row, "copy", unit, &compare(&mut ours, copy));
    let mut bytes = BytesMut::with_capacity(TOTAL);
    let bytes_mut = || {
        for _ in 0..TOTAL / piece {
            bytes.extend_from_slice(black_box(&source));
        }
        black_box(&mut bytes).clear();
    };
    report.row("buffers", row, "BytesMut", unit, &compare(&mut ours, bytes_mut));
}

/// Messages go in, I/O slices come out, and the kernel takes 10,000 bytes at a time.
fn write_drain(report: &mut Report, piece: usize) {
    const TAKEN: usize = 10_000;
    let source = vec![7; piece];
    let pool = BlockPool::new(BlockPoolConfig::messages());
    let mut chain = SendBuffer::new(&pool);
    let mut ours = || {
        for _ in 0..TOTAL / piece {
            chain.extend_from_slice(black_box(&source)).expect("the pool is large enough");
        }
        while !chain.is_empty() {
            let mut slices = [IoSlice::new(&[]); 64];
            let count = chain.io_slices(&mut slices);
            black_box(&slices[..count]);
            chain.advance(chain.len().min(TAKEN));
        }
    };
    let mut vec = Vec::with_capacity(TOTAL);
    let copy = || {
        for _ in 0..TOTAL / piece {
            vec.extend_from_slice(black_box(&source));
        }
        vec.chunks(TAKEN).for_each(|chunk| {
            black_box(chunk);
        });
        vec.clear();
    };
    let unit = Unit::GigabytesPerSecond(TOTAL);
    report.row("buffers", "write-drain-512", "copy", unit, &compare(&mut ours, copy));
    let mut bytes = BytesMut::with_capacity(TOTAL);
    let bytes_mut = || {
        bytes.reserve(TOTAL);
        for _ in 0..TOTAL / piece {
            bytes.extend_from_slice(black_box(&source));
        }
        while bytes.has_remaining() {
            black_box(bytes.chunk());
            bytes.advance(bytes.remaining().min(TAKEN));
        }
    };
    report.row("buffers", "write-drain-512", "BytesMut", unit, &compare(&mut ours, bytes_mut));
}

/// One read of 64 KiB, consumed in units of 64 bytes, block taken and returned.
fn recv_fill_consume(report: &mut Report) {
    const PIECE: usize = 64;
    let source = vec![7; READ];
    let pool = RecvPool::default();
    let mut ours = || {
        let mut buffer = pool.acquire(READ).expect("the pool is large enough");
        buffer.spare_mut()[..READ].copy_from_slice(black_box(&source));
        buffer.commit(READ);
        buffer.mark_opened(READ);
        while !buffer.is_empty() {
            black_box(buffer.take(PIECE));
        }
    };
    let mut vec = vec![0; READ];
    let copy = || {
        vec[..READ].copy_from_slice(black_box(&source));
        vec.chunks(PIECE).for_each(|unit| {
            black_box(unit);
        });
    };
    let unit = Unit::GigabytesPerSecond(READ);
    report.row("buffers", "recv-fill-consume", "copy", unit, &compare(&mut ours, copy));
    let bytes_mut = || {
        let mut bytes = BytesMut::with_capacity(READ);
        bytes.extend_from_slice(black_box(&source));
        while bytes.has_remaining() {
            black_box(bytes.split_to(PIECE));
        }
    };
    report.row("buffers", "recv-fill-consume", "BytesMut", unit, &compare(&mut ours, bytes_mut));
}

/// A block of 16 KiB, taken and returned, by so many threads at once. The time is a thread's.
fn acquire_release(report: &mut Report, row: &str, threads: u32) {
    let pool = BlockPool::new(BlockPoolConfig::messages());
    let pair = together(
        threads,
        || drop(black_box(pool.acquire().expect("the pool is large enough"))),
        || drop(black_box(Vec::<u8>::with_capacity(16 * 1024))),
    );
    report.row("buffers", row, "allocator", Unit::NanosecondsPerStep(ROUNDS), &pair);
}

/// The same comparison on `threads` threads that start together; the first one's is returned.
fn together(threads: u32, ours: impl Fn() + Sync, baseline: impl Fn() + Sync) -> Pair {
    let start = Barrier::new(threads as usize);
    let one = || {
        start.wait();
        let rounds = |work: &dyn Fn()| (0..ROUNDS).for_each(|_| work());
        compare(|| rounds(&ours), || rounds(&baseline))
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        let pair = one();
        for other in others {
            other.join().expect("a bench does not panic");
        }
        pair
    })
}
