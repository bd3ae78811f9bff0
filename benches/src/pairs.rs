//! Ours and a baseline in turns, so that both meet the same noise.

use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Pairs of runs a row is made of; the median needs an odd number.
const PAIRS: usize = 151;

/// How long one run takes: long against the clock, and so short that most pairs of runs are over
/// before the machine does something else.
const RUN: Duration = Duration::from_micros(250);

/// Threads that begin together need time to meet: their runs are so many times longer.
const TOGETHER: u32 = 8;

/// Times of one piece of work, in nanoseconds, and how they compare.
pub(crate) struct Pair {
    /// Median time of ours.
    pub(crate) ours: f64,
    /// Median time of the baseline.
    pub(crate) baseline: f64,
    /// Median of the ratios baseline / ours: above 1, ours is faster.
    pub(crate) ratio: f64,
}

/// Runs both in turns, the order reversed every second time.
pub(crate) fn compare(mut ours: impl FnMut(), mut baseline: impl FnMut()) -> Pair {
    let counts = (calibrate(&mut ours), calibrate(&mut baseline));
    in_turns(PAIRS, counts, || (), ours, baseline)
}

/// The same comparison on `threads` threads, which do the same at the same time; the first one's is
/// returned.
pub(crate) fn compare_together(
    threads: u32,
    ours: impl Fn() + Sync,
    baseline: impl Fn() + Sync,
) -> Pair {
    if threads == 1 {
        return compare(ours, baseline);
    }
    let counts = (calibrate(&mut &ours) * TOGETHER, calibrate(&mut &baseline) * TOGETHER);
    let barrier = Barrier::new(threads as usize);
    let begin = || {
        barrier.wait();
    };
    let one = || in_turns(PAIRS, counts, begin, &ours, &baseline);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        let pair = one();
        for other in others {
            other.join().expect("a bench does not panic");
        }
        pair
    })
}

/// So many pairs of runs of so many calls, and `begin` before each run.
fn in_turns(
    pairs: usize,
    (our_count, baseline_count): (u32, u32),
    begin: impl Fn(),
    mut ours: impl FnMut(),
    mut baseline: impl FnMut(),
) -> Pair {
    let mut our_time = || {
        begin();
        time(&mut ours, our_count)
    };
    let mut baseline_time = || {
        begin();
        time(&mut baseline, baseline_count)
    };
    let mut times = Vec::with_capacity(pairs);
    for pair in 0..pairs {
        if pair % 2 == 0 {
            let ours = our_time();
            times.push((ours, baseline_time()));
        } else {
            let baseline = baseline_time();
            times.push((our_time(), baseline));
        }
    }
    Pair {
        ours: median(times.iter().map(|pair| pair.0).collect()),
        baseline: median(times.iter().map(|pair| pair.1).collect()),
        ratio: median(times.iter().map(|pair| pair.1 / pair.0).collect()),
    }
}

/// How often the work fits into one run; it also warms everything up.
fn calibrate(work: &mut impl FnMut()) -> u32 {
    let mut count = 1;
    loop {
        let start = Instant::now();
        (0..count).for_each(|_| work());
        if start.elapsed() >= RUN {
            return count;
        }
        count *= 2;
    }
}

fn time(work: &mut impl FnMut(), count: u32) -> f64 {
    let start = Instant::now();
    (0..count).for_each(|_| work());
    start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
