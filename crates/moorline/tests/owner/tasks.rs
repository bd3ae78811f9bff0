//! Tasks on the owner of a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use moorline::{Context, Owner, OwnerError};

use crate::support::{
    Ask, Gate, Late, Note, Told, Wire, hear, note, run, run_on_one_thread, within,
};

/// Tasks of all threads together.
const TASKS: u64 = 1_000_000;
const THREADS: u64 = 8;

/// What only the owner touches: no lock, no atomic.
#[derive(Default)]
struct Tally {
    tasks: u64,
    notes: u64,
    last: [u64; 8],
}

/// Gives a task to the owner; waits while it has enough.
fn give(owner: &Owner, task: impl FnOnce(&Context) + Send + Clone + 'static) {
    loop {
        match owner.run(task.clone()) {
            Ok(()) => return,
            Err(OwnerError::Full { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A million tasks of eight threads, and posts in between: each runs once, those of one thread in their
/// order, and never two at a time.
#[test]
fn a_million_tasks_share_a_value_without_a_lock() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        server.on(|cx, _: Note| {
            cx.with_state(|tally: &mut Tally| tally.notes += 1).unwrap();
        });
        let pair = wire.open(&server, &client).await;
        let inside = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (owner, inside) = (Owner::of(&pair.there), Arc::clone(&inside));
                std::thread::spawn(move || {
                    for number in 1..=TASKS / THREADS {
                        let inside = Arc::clone(&inside);
                        give(&owner, move |cx| {
                            assert!(!inside.swap(true, Ordering::Relaxed), "two at a time");
                            let done = cx.with_state(|tally: &mut Tally| {
                                tally.tasks += 1;
                                let last = &mut tally.last[usize::try_from(thread).unwrap()];
                                let before = std::mem::replace(last, number);
                                (before, tally.tasks)
                            });
                            assert_eq!(done.unwrap().0 + 1, number, "in the order of its thread");
                            inside.store(false, Ordering::Relaxed);
                        });
                    }
                })
            })
            .collect();
        for number in 0..1_000 {
            pair.here.send_wait(&note(number)).await.unwrap();
            tokio::task::yield_now().await;
        }
        for thread in threads {
            within(tokio::task::spawn_blocking(move || thread.join().unwrap())).await.unwrap();
        }
        within(pair.here.barrier()).await.unwrap();
        let (tell, mut heard) = hear();
        let ask = move |cx: &Context| {
            let seen = cx.with_state(|tally: &mut Tally| (tally.tasks, tally.notes));
            tell.send(seen.unwrap()).unwrap();
        };
        Owner::of(&pair.there).run(ask).unwrap();
        assert_eq!(heard.next().await, (TASKS, 1_000));
        pair.end().await;
    });
}

#[test]
fn a_queue_that_is_full_says_so() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let pair = wire.open(&server, &client).await;
        let (owner, gate) = (Owner::of(&pair.there), Gate::default());
        let (tell, mut heard) = hear();
        let passing = gate.clone();
        owner
            .run(move |_| {
                tell.send(()).unwrap();
                passing.pass();
            })
            .unwrap();
        heard.next().await;
        let done = Arc::new(AtomicU64::new(0));
        let add = || {
            let done = Arc::clone(&done);
            owner.run(move |_| {
                done.fetch_add(1, Ordering::Relaxed);
            })
        };
        let limit = 4_096;
        for _ in 0..limit {
            add().unwrap();
        }
        assert_eq!(add(), Err(OwnerError::Full { limit }));
        gate.open();
        while done.load(Ordering::Relaxed) < limit as u64 {
            tokio::task::yield_now().await;
        }
        add().unwrap();
        pair.end().await;
    });
}

#[test]
fn a_task_that_panics_hurts_nobody_else() {
    run_on_one_thread(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        let pair = wire.open(&server, &client).await;
        let owner = Owner::of(&pair.there);
        let (tell, mut heard) = hear();
        let panics = |cx: &Context| {
            cx.with_state(|number: &mut u64| *number = 5);
            panic!("on purpose");
        };
        owner.run(panics).unwrap();
        owner.run(move |cx| tell.send(cx.with_state(|number: &mut u64| *number)).unwrap()).unwrap();
        assert_eq!(heard.next().await, Some(5));
        within(pair.here.request(Ask { number: 1 })).await.unwrap();
        pair.end().await;
    });
}

/// What runs beside the owner has no part in its state, and asks it by a task.
#[test]
fn only_the_owner_has_the_state() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        server.handle_now(|cx: &Context, ask: Ask| {
            assert!(cx.clone().with_state(|_: &mut u64| ()).is_none(), "a clone goes elsewhere");
            let number = cx.with_state(|sum: &mut u64| {
                *sum += ask.number;
                *sum
            });
            Ok(Told { number: number.unwrap() })
        });
        server.handle(|cx, _: Late| async move {
            assert!(cx.with_state(|_: &mut u64| ()).is_none());
            let (tell, mut heard) = hear();
            let task = move |cx: &Context| tell.send(cx.with_state(|sum: &mut u64| *sum)).unwrap();
            cx.owner().run(task).unwrap();
            Ok(Told { number: heard.next().await.unwrap() })
        });
        let pair = wire.open(&server, &client).await;
        let other = wire.connect(&client, &pair.acceptor).await;
        for number in [1, 2, 3] {
            within(pair.here.request(Ask { number })).await.unwrap();
        }
        let sum = async |session: &moorline::SessionRef| {
            within(session.request(Late { number: 0 })).await.unwrap().number
        };
        assert_eq!(sum(&pair.here).await, 6);
        assert_eq!(sum(&other).await, 0, "each session has its own");
        pair.end().await;
    });
}

/// Also one that has not run, and what the session kept.
#[test]
fn what_is_left_at_the_end_is_dropped() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let pair = wire.open(&server, &client).await;
        let (owner, gate, held) = (Owner::of(&pair.there), Gate::default(), Arc::new(()));
        let (passing, kept) = (gate.clone(), Arc::clone(&held));
        let (tell, mut heard) = hear();
        let first = move |cx: &Context| {
            cx.with_state(|place: &mut Option<Arc<()>>| *place = Some(kept)).unwrap();
            tell.send(()).unwrap();
            passing.pass();
        };
        owner.run(first).unwrap();
        heard.next().await;
        // Behind this one the session is closed before the next look.
        let waits = Arc::clone(&held);
        owner.run(move |_| drop(waits)).unwrap();
        assert_eq!(Arc::strong_count(&held), 3);
        gate.open();
        pair.end().await;
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(owner.run(|_| ()), Err(OwnerError::Over));
    });
}
