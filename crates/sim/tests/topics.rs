//! Topics over networks that fail: whatever is cut, parted or slow, each subscriber can account for
//! every message up to the last it heard of.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use moorline_protocol::{Overflow, Settings, register_message};
use moorline_session::{Flush, RemoteSubscription, SubscriptionError};
use moorline_sim::{Link, Pair, Side};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct News(u64, Vec<u8>);
register_message!(News as "sim.News");

/// What a subscriber has heard so far, and why it heard no more.
#[derive(Debug, Default)]
struct Heard {
    at: u64,
    left_out: u64,
    end: Option<SubscriptionError>,
}

async fn follow(mut subscription: RemoteSubscription<News>, heard: Rc<RefCell<Heard>>) {
    loop {
        let next = subscription.recv().await;
        let mut heard = heard.borrow_mut();
        match next {
            Ok(News(number, _)) => {
                assert_eq!(number, heard.at, "each comes in its place");
                heard.at += 1;
            }
            Err(SubscriptionError::Lagged(count)) => {
                heard.at += count;
                heard.left_out += count;
            }
            Err(end) => {
                heard.end = Some(end);
                return;
            }
        }
    }
}

fn publish(pair: &mut Pair, number: u64, len: usize) {
    let endpoint = pair.b();
    let (Some(hub), registry) = (endpoint.hub().cloned(), endpoint.registry().clone()) else {
        return;
    };
    hub.publish_to(&registry, "news", &News(number, vec![1; len]), false).unwrap();
}

/// Two subscribers on one session, over any link; returns what they heard and the trace's hash.
fn run(seed: u64) -> (Vec<(u64, u64)>, u64) {
    let mut pair = Pair::seeded(seed);
    let link = Link::any(pair.dice());
    // Some of these links take a minute for what they hold: nobody is to be called dead for it.
    let patient = Settings { heartbeat: None, ..Settings::default() };
    let mut pair = pair.link(link).settings(Side::A, patient).settings(Side::B, patient);
    pair.b().hub().unwrap().offer_topic("news", |_| true);
    let session = pair.connect().unwrap();
    let mut followers = Vec::new();
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        let how = session.subscribe::<News>("news").overflow(overflow).inbox_bytes(20_000);
        let subscription = pair.run_until(how.timeout(Duration::from_secs(3_600))).unwrap();
        let heard = Rc::new(RefCell::new(Heard::default()));
        pair.spawn(Side::A, follow(subscription, Rc::clone(&heard)));
        followers.push(heard);
    }
    let published = 300;
    for number in 0..published {
        let len = pair.dice().below(4_000);
        publish(&mut pair, number, len);
        if pair.dice().chance(30) {
            let time = Duration::from_millis(pair.dice().between(0..=200));
            pair.run_for(time);
        }
    }
    // Who closes lets out what was accepted, so both hear of all of it, and then of the end.
    pair.run_for(Duration::from_secs(3_600));
    for heard in &followers {
        assert_eq!(heard.borrow().at, published, "seed {seed}: {heard:?}");
    }
    session.close();
    pair.run_for(Duration::from_secs(60));
    let told = followers.iter().map(|heard| {
        let heard = heard.borrow();
        assert!(matches!(heard.end, Some(SubscriptionError::Closed(_))), "seed {seed}: {heard:?}");
        (heard.at, heard.left_out)
    });
    let told = told.collect();
    let hash = pair.trace_hash();
    pair.finish();
    (told, hash)
}

#[test]
fn every_message_is_heard_or_counted_over_any_network() {
    for seed in 0..12 {
        run(seed);
    }
}

#[test]
fn a_seed_gives_the_same_run() {
    assert_eq!(run(7), run(7));
}

/// The connection is cut somewhere: what was heard before has no gap that was not told.
#[test]
fn a_connection_that_is_cut_ends_the_subscription_without_a_lie() {
    for seed in (0..50).step_by(5) {
        let mut pair = Pair::seeded(seed).link(Link::chunks(1..=2_000).delay_ms(20));
        pair.b().hub().unwrap().offer_topic("news", |_| true);
        let session = pair.connect().unwrap();
        let subscription = pair.run_until(session.subscribe::<News>("news")).unwrap();
        let heard = Rc::new(RefCell::new(Heard::default()));
        pair.spawn(Side::A, follow(subscription, Rc::clone(&heard)));
        for number in 0..50 {
            publish(&mut pair, number, 1_000);
            pair.run_for(Duration::from_millis(1));
            if number == seed {
                pair.cut();
            }
        }
        pair.run_for(Duration::from_secs(60));
        let heard = heard.borrow();
        assert!(heard.at <= seed + 2, "seed {seed}: {heard:?}");
        assert!(matches!(heard.end, Some(SubscriptionError::Closed(_))), "seed {seed}: {heard:?}");
        pair.finish();
    }
}

/// Takes what a subscription has without waiting.
fn at_hand(subscription: &mut RemoteSubscription<News>, at: &mut u64) {
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match subscription.poll_published(&mut cx) {
            Poll::Ready(Ok(published)) => {
                assert_eq!(published.message.0, *at, "each comes in its place");
                *at += 1;
            }
            Poll::Ready(Err(SubscriptionError::Lagged(count))) => {
                *at += count;
            }
            Poll::Ready(Err(end)) => panic!("{end}"),
            Poll::Pending => return,
        }
    }
}

/// A barrier of the publisher's stands for all that was published before it, whatever waits, however
/// much of it has to be left out, and whatever else is said.
#[test]
fn behind_a_barrier_everything_published_has_come_or_is_counted() {
    for seed in 0..30 {
        let mut pair = Pair::seeded(seed).plain();
        let link = Link::any(pair.dice());
        let patient = Settings { heartbeat: None, ..Settings::default() };
        let mut pair = pair.link(link).settings(Side::A, patient).settings(Side::B, patient);
        pair.b().hub().unwrap().offer_topic("news", |_| true);
        let session = pair.connect().unwrap();
        let overflow = *pair.dice().pick(&[Overflow::DropOldest, Overflow::DropNewest]);
        let how = session.subscribe::<News>("news").overflow(overflow).inbox_bytes(100_000);
        let mut subscription = pair.run_until(how.timeout(Duration::from_secs(3_600))).unwrap();
        pair.settle();
        let publisher = pair.b().session().unwrap();
        let every = Flush::Every(Duration::from_millis(50));
        publisher.set_flush(*pair.dice().pick(&[Flush::Auto, Flush::Manual, every]));
        let (mut at, mut published) = (0, 0);
        for _ in 0..5 {
            for _ in 0..pair.dice().between(0..=40) {
                let len = pair.dice().below(6_000);
                publish(&mut pair, published, len);
                published += 1;
            }
            let passed = publisher.clone();
            pair.run_until(async move { passed.barrier().await }).unwrap();
            at_hand(&mut subscription, &mut at);
            assert_eq!(at, published, "seed {seed}: it passed before some of them");
        }
        drop(subscription);
        pair.finish();
    }
}
