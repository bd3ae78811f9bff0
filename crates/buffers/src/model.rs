//! Every order in which two threads can meet at a depot, each with its cache. Run by
//! `RUSTFLAGS="--cfg loom" cargo test --release -p moorline-buffers -p moorline-session --lib model`.
//!
//! Loom also finds a depot that is never freed, which is what a cycle of references would be.

use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::thread;

use crate::cache::Cache;
use crate::depot::{Depot, Loan, Sizes};
use crate::stock::StockLimits;
use crate::sync::{Arc, Mutex};

const BLOCK: usize = 8;

fn depot(out_max: usize, free_max: usize, cached_max: usize) -> Arc<Depot> {
    let limits = StockLimits {
        out_bytes_max: out_max * BLOCK,
        free_bytes_max: free_max * BLOCK,
        classes: Box::new([(BLOCK, free_max)]),
    };
    let mut depot = Depot::new("model", Sizes::One, (BLOCK, 0..BLOCK), Duration::ZERO, limits);
    depot.cache_bytes_max = cached_max * BLOCK;
    Arc::new(depot)
}

/// Nothing is lent, the accounts agree, and what was taken from the system is free or gone.
fn all_is_home(depot: &Depot) {
    depot.invariants();
    let stats = depot.stats();
    assert_eq!((stats.in_use, stats.in_use_bytes), (0, 0));
    assert!(stats.free as u64 <= stats.allocated);
}

#[test]
fn what_is_filled_here_is_read_and_returned_there() {
    loom::model(|| {
        let depot = depot(4, 4, 2);
        let handed_over = Arc::new(Mutex::new(None::<Loan>));
        let writer = {
            let (depot, handed_over) = (Arc::clone(&depot), Arc::clone(&handed_over));
            thread::spawn(move || {
                let mut cache = Cache::open(&depot);
                let mut loan = cache.lend(0, BLOCK).unwrap();
                loan.memory.fill(7);
                *handed_over.lock().unwrap() = Some(loan);
                // Its own next one comes from wherever the other has put the first by now.
                let second = cache.lend(0, BLOCK).unwrap();
                cache.take_back(0, BLOCK, second);
                cache.invariants();
            })
        };
        let mut cache = Cache::open(&depot);
        let here = handed_over.lock().unwrap().take();
        if let Some(loan) = here {
            assert!(loan.memory.iter().all(|&byte| byte == 7));
            cache.take_back(0, BLOCK, loan);
            cache.invariants();
        }
        drop(cache);
        writer.join().unwrap();
        if let Some(loan) = handed_over.lock().unwrap().take() {
            Depot::take_back(loan);
        }
        all_is_home(&depot);
        depot.close();
    });
}

#[test]
fn the_limit_holds_at_every_moment_and_refuses_nobody_for_ever() {
    loom::model(|| {
        let depot = depot(1, 1, 2);
        let lent = Arc::new(AtomicUsize::new(0));
        let work = |depot: Arc<Depot>, lent: Arc<AtomicUsize>| {
            let mut cache = Cache::open(&depot);
            if let Ok(loan) = cache.lend(0, BLOCK) {
                assert_eq!(lent.fetch_add(1, SeqCst), 0, "one block is all there may be");
                lent.fetch_sub(1, SeqCst);
                cache.take_back(0, BLOCK, loan);
            }
        };
        let other = {
            let (depot, lent) = (Arc::clone(&depot), Arc::clone(&lent));
            thread::spawn(move || work(depot, lent))
        };
        work(Arc::clone(&depot), lent);
        other.join().unwrap();
        all_is_home(&depot);
        // Both caches are gone: what waited in them can be had.
        Depot::take_back(Depot::lend(&depot, BLOCK).unwrap());
        depot.close();
    });
}

#[test]
fn the_free_list_past_the_caches_loses_nothing() {
    loom::model(|| {
        let depot = depot(2, 1, 0);
        let work = |depot: &Arc<Depot>| Depot::take_back(Depot::lend(depot, BLOCK).unwrap());
        let other = {
            let depot = Arc::clone(&depot);
            thread::spawn(move || work(&depot))
        };
        work(&depot);
        other.join().unwrap();
        all_is_home(&depot);
        assert_eq!(depot.stats().free, 1);
        depot.close();
    });
}

#[test]
fn memory_is_called_back_and_a_closed_depot_keeps_nothing() {
    loom::model(|| {
        let depot = depot(4, 4, 2);
        let user = {
            let depot = Arc::clone(&depot);
            thread::spawn(move || {
                let mut cache = Cache::open(&depot);
                for _ in 0..2 {
                    let loan = cache.lend(0, BLOCK).unwrap();
                    cache.take_back(0, BLOCK, loan);
                    cache.invariants();
                }
            })
        };
        depot.trim();
        depot.close();
        user.join().unwrap();
        all_is_home(&depot);
        assert_eq!(depot.stats().free, 0);
    });
}
