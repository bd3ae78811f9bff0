//! Any order of publishing, reading, coming, going and blocked connections.

use std::sync::Mutex;
use std::time::Duration;

use moorline_protocol::{Overflow, Settings};
use moorline_session::{RemoteSubscription, SubscriptionError};
use proptest::prelude::*;

use super::{Subscribed, Task, heard, offer, plain, publish, reach};
use crate::support::{Note, Pair, note};

#[derive(Debug, Clone)]
enum Do {
    Publish(usize),
    Read(usize),
    Subscribe(Overflow),
    Leave(usize),
    Block(bool),
    Settle,
}

fn any_do() -> impl Strategy<Value = Do> {
    let overflow = proptest::sample::select(&[Overflow::DropOldest, Overflow::DropNewest]);
    prop_oneof![
        8 => (0_usize..40_000).prop_map(Do::Publish),
        4 => (0_usize..8).prop_map(Do::Read),
        2 => overflow.prop_map(Do::Subscribe),
        1 => (0_usize..8).prop_map(Do::Leave),
        2 => any::<bool>().prop_map(Do::Block),
        4 => Just(Do::Settle),
    ]
}

/// A subscription, and the number of the message that comes next.
struct Follower {
    subscription: RemoteSubscription<Note>,
    at: u64,
}

#[derive(Default)]
struct Crowd {
    asking: Vec<(Task<Subscribed<Note>>, u64)>,
    followers: Vec<Follower>,
    published: u64,
}

impl Crowd {
    fn act(&mut self, pair: &mut Pair, what: &Do) {
        match *what {
            Do::Publish(len) => {
                publish(&pair.b, "news", &note(self.published, len));
                self.published += 1;
            }
            Do::Read(who) => self.read(who),
            Do::Subscribe(overflow) => {
                // So that it is known where it begins.
                pair.b.unblock();
                pair.settle();
                let how = pair.a.session.subscribe("news").overflow(overflow).inbox_bytes(100_000);
                self.asking.push((Task::start(how), self.published));
                pair.settle();
                for (task, at) in self.asking.drain(..) {
                    self.followers.push(Follower { subscription: task.done().unwrap(), at });
                }
            }
            Do::Leave(who) if who < self.followers.len() => drop(self.followers.remove(who)),
            Do::Leave(_) => {}
            Do::Block(true) => pair.b.blocked = true,
            Do::Block(false) => pair.b.unblock(),
            Do::Settle => pair.settle(),
        }
    }

    fn read(&mut self, who: usize) {
        if let Some(follower) = self.followers.get_mut(who) {
            follower.at = reach(&heard(&mut follower.subscription), follower.at);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_without_a_trace(steps in proptest::collection::vec(any_do(), 0..120)) {
        let mut pair = Pair::new();
        offer(&pair.b, "news");
        let mut crowd = Crowd::default();
        steps.iter().for_each(|step| crowd.act(&mut pair, step));
        pair.b.unblock();
        pair.settle();
        for who in 0..crowd.followers.len() {
            crowd.read(who);
            prop_assert_eq!(crowd.followers[who].at, crowd.published);
        }
        let subscriptions = publish(&pair.b, "news", &note(0, 1)).subscriptions;
        prop_assert_eq!(subscriptions, crowd.followers.len());
        prop_assert!(pair.a.ended.is_none() && pair.b.ended.is_none());
    }
}

/// However publishers and subscribers meet on their threads, everybody hears the same order.
#[test]
fn publishers_on_two_threads_are_heard_in_one_order() {
    let mut pair = Pair::new();
    offer(&pair.b, "news");
    let mut subscriptions = [plain(&mut pair, "news"), plain(&mut pair, "news")];
    let (hub, registry) = (pair.b.hub.clone(), pair.b.link.local.registry.clone());
    let failed = Mutex::new(0);
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (hub, registry, failed) = (&hub, &registry, &failed);
            scope.spawn(move || {
                for n in 0..200 {
                    let done = hub.publish_to(registry, "news", &note(half * 1_000 + n, 10), false);
                    *failed.lock().unwrap() += usize::from(done.is_err());
                }
            });
        }
    });
    assert_eq!(*failed.lock().unwrap(), 0);
    pair.b.poke();
    pair.settle();
    let [first, second] = &mut subscriptions;
    let order = heard(first);
    assert_eq!(order.len(), 400);
    assert_eq!(order, heard(second));
}

/// Who is subscribed needs the session, and wants to know of a peer that has died.
#[test]
fn a_quiet_subscription_keeps_its_session_and_notices_that_the_peer_is_gone() {
    let minute = Duration::from_secs(60);
    let settings = Settings { idle_timeout: Some(minute), ..Settings::default() };
    let mut pair = Pair::with(settings, crate::support::OUTBOX);
    offer(&pair.b, "news");
    let mut subscription = plain(&mut pair, "news");
    for _ in 0..5 {
        pair.pass(minute);
    }
    assert!(pair.a.ended.is_none() && pair.b.ended.is_none(), "somebody waits");
    publish(&pair.b, "news", &note(0, 1));
    pair.settle();
    assert_eq!(heard(&mut subscription), [Ok(0)]);
    // The peer takes no more turns, and nothing comes of it.
    for _ in 0..5 {
        let later = pair.now + minute;
        pair.now = later;
        if pair.a.ended.is_none() {
            pair.a.now_is(later);
        }
    }
    assert!(pair.a.ended.is_some());
    let end = heard(&mut subscription);
    assert!(matches!(end[..], [Err(SubscriptionError::Closed(_))]), "{end:?}");
}
