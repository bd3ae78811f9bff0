//! `moorline-buffers` beside plain copies into a warm `Vec`, beside `BytesMut`, and beside the
//! allocator.
//!
//! What goes into a chain leaves it block by block: it is sealed, written and given back while the
//! next is being filled. So the `BytesMut` beside it hands its memory on as well, in records of the
//! same size. `kept` is a `BytesMut` that never does: one piece of warm memory, filled and emptied
//! in place, which is a plain copy by another name and stands there as the end of the scale.

mod baselines;

use std::hint::black_box;
use std::io::IoSlice;

use bytes::BytesMut;
use moorline_buffers::{BlockPool, BlockPoolConfig, RecvPool, SendBuffer};

use self::baselines::{Baseline, Kept, Records, Room};
use crate::pairs::{Pair, compare, compare_together};
use crate::report::{Report, Unit};

/// Bytes that one run of a row moves: they fit into the second-level cache, so that what is
/// measured is our work and not the memory's.
const TOTAL: usize = 256 * 1024;

/// One read of a driver.
const READ: usize = 64 * 1024;

/// What one unit of a read is.
const UNIT: usize = 64;

/// Rounds of acquire and release in one run of a row.
const ROUNDS: u32 = 1_000;

/// In how many places memory lies in turn, where that matters.
const PLACES: usize = 9;

/// Bytes that the kernel takes at a time.
const TAKEN: usize = 10_000;

pub(crate) fn run(report: &mut Report) {
    write_drain(report, "write-drain-512", 512);
    for (row, piece) in [("append-64", 64), ("append-1k", 1024), ("append-64k", 64 * 1024)] {
        append(report, row, piece);
    }
    recv_fill_consume(report, "recv-fill-consume");
    for (row, threads) in
        [("acquire-release-1t", 1), ("acquire-release-2t", 2), ("acquire-release-4t", 4)]
    {
        acquire_release(report, row, threads);
    }
}

/// Ours alone, for a profiler that counts instructions: messages of 1 KiB written and drained, then
/// reads of 64 KiB consumed in units of 64 bytes.
pub(crate) fn profile() {
    const CYCLES: usize = 4_000;
    let (messages, reads) = (BlockPool::new(BlockPoolConfig::messages()), RecvPool::default());
    let mut chain = SendBuffer::new(&messages);
    for _ in 0..CYCLES {
        fill_and_drain(&mut chain, &[7; 1024]);
        fill_and_consume(&reads, &[7; READ]);
    }
}

fn fill_and_drain(chain: &mut SendBuffer, piece: &[u8]) {
    for _ in 0..TOTAL / piece.len() {
        chain.extend_from_slice(black_box(piece)).expect("the pool is large enough");
    }
    while !chain.is_empty() {
        let mut slices = [IoSlice::new(&[]); 64];
        let count = chain.io_slices(&mut slices);
        black_box(&slices[..count]);
        chain.advance(chain.len().min(TAKEN));
    }
}

fn fill_and_consume(pool: &RecvPool, source: &[u8]) {
    let mut buffer = pool.acquire(source.len()).expect("the pool is large enough");
    buffer.spare_mut()[..source.len()].copy_from_slice(black_box(source));
    buffer.commit(source.len());
    buffer.mark_opened(source.len());
    while !buffer.is_empty() {
        black_box(buffer.take(UNIT));
    }
}

/// Messages go in, and everything is given up at once.
fn append(report: &mut Report, row: &str, piece: usize) {
    fn beside<B: Baseline>(piece: usize) -> Pair {
        let source = vec![7; piece];
        let pieces = || (0..TOTAL / piece).map(|_| &black_box(&source)[..]);
        let (mut chain, mut baseline) = (new_chain(), B::new(TOTAL));
        let ours = || {
            pieces().for_each(|it| chain.extend_from_slice(it).expect("the pool is large enough"));
            black_box(&mut chain).clear();
        };
        let theirs = || {
            pieces().for_each(|it| baseline.put(it));
            black_box(&mut baseline).clear();
        };
        compare(ours, theirs)
    }
    let mut row = |name, pair| {
        report.row("buffers", row, name, Unit::GigabytesPerSecond(TOTAL), &pair);
    };
    row("copy", wherever_it_lies(|| beside::<Room>(piece)));
    row("BytesMut", wherever_it_lies(|| beside::<Records>(piece)));
    row("kept", wherever_it_lies(|| beside::<Kept>(piece)));
}

/// Messages go in, I/O slices come out, and the kernel takes some bytes at a time.
fn write_drain(report: &mut Report, row: &str, piece: usize) {
    fn beside<B: Baseline>(piece: usize) -> Pair {
        let source = vec![7; piece];
        let (mut chain, mut baseline) = (new_chain(), B::new(TOTAL));
        let theirs = || {
            (0..TOTAL / piece).for_each(|_| baseline.put(black_box(&source)));
            baseline.drain(TAKEN);
        };
        compare(|| fill_and_drain(&mut chain, &source), theirs)
    }
    let mut row = |name, pair| {
        report.row("buffers", row, name, Unit::GigabytesPerSecond(TOTAL), &pair);
    };
    row("copy", wherever_it_lies(|| beside::<Room>(piece)));
    row("BytesMut", wherever_it_lies(|| beside::<Records>(piece)));
    row("kept", wherever_it_lies(|| beside::<Kept>(piece)));
}

fn new_chain() -> SendBuffer {
    SendBuffer::new(&BlockPool::new(BlockPoolConfig::messages()))
}

/// The comparison in the middle of some, each with its memory somewhere else: where source and
/// destination lie to each other makes more of a difference than anything that is measured here.
fn wherever_it_lies(comparison: impl Fn() -> Pair) -> Pair {
    let mut pairs: Vec<Pair> = (0..PLACES)
        .map(|place| {
            let _shift = black_box(vec![0_u8; 10_000 + place * 1_104]);
            comparison()
        })
        .collect();
    pairs.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    pairs.swap_remove(PLACES / 2)
}

/// One read, consumed unit by unit where it lies; the block is taken for it and returned.
fn recv_fill_consume(report: &mut Report, row: &str) {
    let source = vec![7; READ];
    let pool = RecvPool::default();
    let mut ours = || fill_and_consume(&pool, &source);
    let unit = Unit::GigabytesPerSecond(READ);
    let mut room = Room::new(READ);
    let copy = || {
        room.put(black_box(&source));
        room.drain(UNIT);
    };
    report.row("buffers", row, "copy", unit, &compare(&mut ours, copy));
    let bytes_mut = || {
        let mut bytes = Kept::new(READ);
        bytes.put(black_box(&source));
        bytes.consume(UNIT);
    };
    report.row("buffers", row, "BytesMut", unit, &compare(&mut ours, bytes_mut));
    let mut bytes = Kept::new(READ);
    let kept = || {
        bytes.put(black_box(&source));
        bytes.consume(UNIT);
    };
    report.row("buffers", row, "kept", unit, &compare(&mut ours, kept));
}

/// A block of 16 KiB, taken and returned, by so many threads at once. The time is a thread's.
fn acquire_release(report: &mut Report, row: &str, threads: u32) {
    const BLOCK: usize = 16 * 1024;
    let pool = BlockPool::new(BlockPoolConfig::messages());
    let ours = || many(|| drop(black_box(pool.acquire().expect("the pool is large enough"))));
    let unit = Unit::NanosecondsPerStep(ROUNDS);
    let vec = || many(|| drop(black_box(Vec::<u8>::with_capacity(BLOCK))));
    report.row("buffers", row, "allocator", unit, &compare_together(threads, ours, vec));
    let bytes_mut = || many(|| drop(black_box(BytesMut::with_capacity(BLOCK))));
    report.row("buffers", row, "BytesMut", unit, &compare_together(threads, ours, bytes_mut));
}

fn many(step: impl Fn()) {
    (0..ROUNDS).for_each(|_| step());
}
