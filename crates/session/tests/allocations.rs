//! What messages cost of memory: nothing once everything is warm, what is published once for all,
//! and an idle session next to nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::task::{Context, Poll, Waker};

use moorline_session::Hub;
use serde::{Deserialize, Serialize};
use support::{Pair, Side, Task, echo, note};

/// A request without anything in it that its answer would have to allocate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Add(u64, u64, [u8; 32]);
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sum(u64);

moorline_protocol::register_message!(Add as "test.Add" => Sum);

fn calls(pair: &mut Pair, count: u64) {
    let cx = &mut Context::from_waker(Waker::noop());
    for n in 0..count {
        let mut call = std::pin::pin!(pair.a.session.request(Add(n, 1, [7; 32])).into_future());
        assert!(call.as_mut().poll(cx).is_pending());
        pair.settle();
        assert_eq!(call.as_mut().poll(cx), Poll::Ready(Ok(Sum(n + 1))));
    }
}

fn pipelined(pair: &mut Pair, rounds: u64) {
    let cx = &mut Context::from_waker(Waker::noop());
    for n in 0..rounds {
        let request = || pair.a.session.request(Add(n, 1, [7; 32])).into_future();
        let mut calls: [_; 64] = std::array::from_fn(|_| request());
        for call in &mut calls {
            assert!(std::pin::Pin::new(call).poll(cx).is_pending());
        }
        pair.settle();
        for call in &mut calls {
            assert_eq!(std::pin::Pin::new(call).poll(cx), Poll::Ready(Ok(Sum(n + 1))));
        }
    }
}

fn posts(pair: &mut Pair, message: &support::Note, count: u64) {
    for n in 0..count {
        pair.a.session.send(message).unwrap();
        pair.b.session.send(message).unwrap();
        if n % 10 == 9 {
            pair.settle();
        }
    }
    pair.settle();
}

fn allocations_of(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

#[test]
fn nothing_is_allocated_for_a_message_and_little_for_a_session() {
    let mut pair = Pair::new();
    pair.b.on_request = Box::new(|core, ticket, body| {
        let Add(a, b, _) = moorline_protocol::Format::MessagePack.decode(body).unwrap();
        moorline_session::with_scratch(|out| {
            moorline_protocol::Format::MessagePack.encode(&Sum(a + b), out).unwrap();
            core.answer(ticket, moorline_session::Answer::Good(out))
        })
    });
    let small = note(1, 100);
    let (fragment, large) = (note(2, 15_000), note(3, 100_000));
    let warm_up = |pair: &mut Pair| {
        // A scratch that a large message was in is not kept, so these come first.
        posts(pair, &large, 30);
        calls(pair, 300);
        pipelined(pair, 30);
        posts(pair, &small, 3_000);
        posts(pair, &fragment, 300);
    };
    warm_up(&mut pair);
    assert_eq!(allocations_of(|| calls(&mut pair, 1_000)), 0, "calls one by one");
    assert_eq!(allocations_of(|| pipelined(&mut pair, 50)), 0, "calls by 64");
    assert_eq!(allocations_of(|| posts(&mut pair, &small, 5_000)), 0, "small posts");
    assert_eq!(allocations_of(|| posts(&mut pair, &fragment, 500)), 0, "posts linked as blocks");
    idle_sessions_are_small(&mut pair);
}

/// A message that is published takes one place for all, whoever hears of it.
#[test]
fn publishing_allocates_for_the_message_and_nothing_for_its_receivers() {
    for receivers in [1, 40] {
        let mut pair = Pair::new();
        pair.b.hub.offer_topic("sums", |_| true);
        let mut subscriptions = Vec::new();
        for _ in 0..receivers {
            let task = Task::start(pair.a.session.subscribe::<Add>("sums"));
            pair.settle();
            subscriptions.push(task.done().unwrap());
        }
        let registry = pair.b.link.local.registry.clone();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut publish = |count: u64| {
            for n in 0..count {
                let message = Add(n, 1, [7; 32]);
                pair.b.hub.publish_to(&registry, "sums", &message, false).unwrap();
                pair.settle();
                for subscription in &mut subscriptions {
                    let polled = subscription.poll_published(cx);
                    assert!(matches!(polled, Poll::Ready(Ok(heard)) if heard.message == message));
                }
            }
        };
        publish(300);
        // Its bytes, and the counter of who still needs them.
        assert_eq!(allocations_of(|| publish(1_000)), 2_000, "{receivers} receivers");
    }
}

fn idle_sessions_are_small(pair: &mut Pair) {
    let call = Task::start(pair.a.session.request(echo(1, 1)));
    drop(call);
    let [link, _other] = support::links([moorline_protocol::Settings::default(); 2], pair.now);
    let mut idle = None;
    let held = allocation_counter::measure(|| {
        let mut side = Side::new(link, moorline_session::Direction::Accepted, support::OUTBOX);
        side.wake(pair.now);
        side.core().park();
        idle = Some(side);
    })
    .bytes_current;
    let mut hub = None;
    let of_hub = allocation_counter::measure(|| hub = Some(Hub::new(16, None))).bytes_current;
    let held = held - of_hub;
    // An entry in each of its hub's tables is in this, and the closures of the test.
    assert!(held < 3_072, "an idle session holds {held} bytes");
    println!("an idle session holds {held} bytes, its hub {of_hub}");
}
