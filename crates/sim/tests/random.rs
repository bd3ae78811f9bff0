//! Random operations on two sides and their network, under a model that knows what was accepted,
//! what ran, and what came of it.
//!
//! 500 seeds run with every `cargo test`; many more, before a release or after a change of
//! `session` or `protocol`, by
//!
//! ```text
//! cargo test --release -p moorline-sim --test random -- --ignored --nocapture
//! ```
//!
//! A seed that fails is run alone by
//!
//! ```text
//! MOORLINE_SIM_SEED=123 cargo test -p moorline-sim --test random one_seed -- --nocapture
//! ```

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "random/ledger.rs"]
mod ledger;
#[path = "random/streams.rs"]
mod streams;
mod support;
#[path = "random/topics.rs"]
mod topics;
#[path = "random/workload.rs"]
mod workload;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::Totals;
use moorline_sim::Summary;
use workload::Workload;

const OPERATIONS: usize = 200;

/// Says how to see a failure again.
struct Rerun(u64);

impl Drop for Rerun {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!(
                "seed {seed} failed; run it alone by\n  MOORLINE_SIM_SEED={seed} cargo test -p \
                 moorline-sim --test random one_seed -- --nocapture"
            );
        }
    }
}

fn run(seed: u64) -> (Summary, Totals) {
    let _rerun = Rerun(seed);
    let mut workload = Workload::seeded(seed);
    (0..OPERATIONS).for_each(|_| workload.operate());
    workload.finish()
}

/// All of them, on all processors.
fn run_all(seeds: std::ops::Range<u64>) {
    let next = AtomicU64::new(seeds.start);
    let sums = Mutex::new((0, 0, 0, Totals::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let (summary, totals) = run(seed);
                    let mut sums = sums.lock().unwrap();
                    sums.0 += summary.steps;
                    sums.1 += summary.lines;
                    sums.2 += summary.connections;
                    sums.3.add(&totals);
                }
            });
        }
    });
    let (steps, lines, connections, totals) = sums.into_inner().unwrap();
    println!("seeds {seeds:?}: {steps} steps, {lines} events, {connections} connections; {totals}");
    assert!(totals.is_everything(), "something was never tried: {totals}");
}

#[test]
fn five_hundred_seeds() {
    run_all(0..500);
}

#[test]
#[ignore = "takes minutes: before a release, and after a change of session or protocol"]
fn twenty_thousand_seeds() {
    run_all(0..20_000);
}

#[test]
fn one_seed() {
    if let Ok(seed) = std::env::var("MOORLINE_SIM_SEED") {
        println!("{:?}", run(seed.parse().expect("MOORLINE_SIM_SEED is a number")));
    }
}

#[test]
fn a_workload_repeats_bit_for_bit() {
    for seed in [1, 2, 3, workload::SEALED_EACH] {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(1).0.trace_hash, run(2).0.trace_hash);
}
