//! The counter against everything a network can do to it. No test here waits for real time, and
//! each does the same whenever it runs.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use moorline_sim::{Endpoint, Link, Pair, Side};
use sim_test::{Add, Changed, Counter, Total, Watch, add_surely};

/// What a service does in `main`, on a side of the simulation.
fn serve(endpoint: &mut Endpoint, counter: &Counter) {
    let (adds, watches) = (counter.clone(), counter.clone());
    endpoint.handle_now(move |_, add: Add| Ok(adds.add(&add)));
    endpoint.handle_now(move |cx, _: Watch| Ok(watches.watch(cx.session())));
}

/// The client as it is shipped, with the connections of the simulation.
fn adding(pair: &Pair, add: Add) -> impl Future<Output = Total> + use<> {
    let (dialer, clock) = (pair.dialer(Side::A), pair.clock());
    async move {
        let connect = async || match dialer.connect().await {
            Ok(session) => Some(session),
            Err(_) => {
                clock.sleep(Duration::from_millis(100)).await;
                None
            }
        };
        add_surely(connect, add).await
    }
}

#[test]
fn who_watches_hears_of_every_change_in_order() {
    let counter = Counter::default();
    let mut pair = Pair::seeded(1).link(Link::chunks(1..=20).delay_ms(30).loss(5));
    serve(pair.b(), &counter);
    let heard = Rc::new(RefCell::new(Vec::new()));
    let hears = Rc::clone(&heard);
    pair.a().on(move |_, changed: Changed| hears.borrow_mut().push(changed.0));

    let session = pair.connect().unwrap();
    assert_eq!(pair.run_until(session.request(Watch)), Ok(Total(0)));
    for key in 1..=5 {
        pair.run_until(session.request(Add { key, amount: 2 })).unwrap();
    }
    pair.settle();
    assert_eq!(*heard.borrow(), [2, 4, 6, 8, 10]);
    pair.finish();
}

/// Wherever the connection breaks, before the request, in it, or in its answer.
#[test]
fn an_addition_counts_once_wherever_the_link_is_cut() {
    let (mut tried_again, mut counted_before) = (0, 0);
    for bytes in 1..250 {
        for side in Side::BOTH {
            let counter = Counter::default();
            let mut pair = Pair::seeded(bytes).plain();
            serve(pair.b(), &counter);
            let add = adding(&pair, Add { key: 7, amount: 5 });
            let added = pair.spawn(Side::A, add);
            // It dials, and nothing has arrived yet.
            pair.run_for(Duration::ZERO);
            pair.cut_after(side, bytes);
            assert_eq!(pair.run_until(added), Total(5));
            assert_eq!(counter.total(), 5, "cut after {bytes} bytes of {side:?}");
            tried_again += usize::from(pair.trace().contains("a #1 dials"));
            counted_before += usize::from(pair.trace().matches("counter.Add").count() == 2);
            pair.finish();
        }
    }
    assert!(tried_again > 100, "only {tried_again} cuts met the conversation");
    assert!(counted_before > 0, "no cut met the answer, where the request had run");
}

#[test]
fn a_watcher_that_vanishes_is_forgotten() {
    let counter = Counter::default();
    let mut pair = Pair::seeded(2);
    serve(pair.b(), &counter);
    let session = pair.connect().unwrap();
    pair.run_until(session.request(Watch)).unwrap();
    assert_eq!(counter.watchers(), 1);
    pair.crash(Side::A);
    pair.settle();
    assert_eq!(counter.watchers(), 0);
    pair.restart(Side::A);
    assert_eq!(pair.run_until(adding(&pair, Add { key: 1, amount: 1 })), Total(1));
    pair.finish();
}

/// What was counted is kept by the server's disk, here by the test; the rest goes with the process.
#[test]
fn a_server_that_crashes_again_and_again_counts_each_addition_once() {
    for seed in 0..20 {
        let counter = Counter::default();
        let mut pair = Pair::seeded(seed).plain().link(Link::default().delay_ms(20));
        let disk = counter.clone();
        pair.program(Side::B, move |b| serve(b, &disk));
        let adds: Vec<_> = (1..=10)
            .map(|key| {
                let add = adding(&pair, Add { key, amount: 1 });
                pair.spawn(Side::A, add)
            })
            .collect();
        for _ in 0..5 {
            let uptime = pair.dice().between(10..=90);
            pair.run_for(Duration::from_millis(uptime));
            pair.crash(Side::B);
            pair.run_for(Duration::from_millis(300));
            pair.restart(Side::B);
        }
        for added in adds {
            pair.run_until(added);
        }
        assert_eq!(counter.total(), 10);
        pair.finish();
    }
}
