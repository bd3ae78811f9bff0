//! Topics and broadcasts: each subscriber can account for every message, and hears them in order.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use moorline_protocol::Overflow;
use moorline_session::{Hub, SendError, SessionId, SessionRef, SubscriptionError};
use moorline_sim::{Clock, Dice, Endpoint, Side};

use crate::ledger::{Key, Shared};
use crate::support::{News, Round};

const TOPIC: &str = "news";

/// A process, by its side and how often that was started before.
type Process = (u8, u32);

/// What was published and broadcast, and what became of it.
#[derive(Default)]
pub(crate) struct Publications {
    published: std::collections::BTreeMap<Process, u64>,
    followers: Vec<Follower>,
    rounds: Vec<Sent>,
    /// What each session has heard of, last.
    heard_last: std::collections::BTreeMap<Key, u64>,
    pub(crate) heard: u64,
    pub(crate) left_out: u64,
    pub(crate) rounds_heard: u64,
}

/// A broadcast.
struct Sent {
    /// The sessions that it was queued for, and how many have heard it.
    to: Vec<Key>,
    heard: usize,
}

/// A subscription, from its beginning to its end.
struct Follower {
    publisher: Process,
    /// It began when so many had been published, or a bit later, but not after so many.
    from: (u64, u64),
    /// Heard of or left out.
    counted: u64,
    /// Where it began, once that is known.
    start: Option<u64>,
    is_over: bool,
}

impl Publications {
    fn published(&self, process: Process) -> u64 {
        self.published.get(&process).copied().unwrap_or_default()
    }

    /// A publisher says how far it is; what was left out before counts.
    fn hears(&mut self, who: usize, news: &News) {
        let follower = &mut self.followers[who];
        assert_eq!(news.process, follower.publisher, "news of another process");
        let start = news.number.checked_sub(follower.counted).expect("more than was published");
        let expected = *follower.start.get_or_insert(start);
        assert_eq!(start, expected, "each comes in its place, or is counted there: {news:?}");
        follower.check_start(start);
        follower.counted += 1;
        self.heard += 1;
    }

    fn misses(&mut self, who: usize, count: u64) {
        self.followers[who].counted += count;
        self.left_out += count;
    }

    /// In good weather everybody who is still subscribed can account for everything.
    pub(crate) fn check_all_counted(&self) {
        for follower in self.followers.iter().filter(|follower| !follower.is_over) {
            let published = self.published(follower.publisher);
            let start = published.checked_sub(follower.counted).expect("more than was published");
            assert_eq!(
                start,
                follower.start.unwrap_or(start),
                "some are neither heard nor counted"
            );
            follower.check_start(start);
        }
    }

    /// A broadcast has come to a session.
    pub(crate) fn round_heard(&mut self, key: Key, round: &Round) {
        let at = usize::try_from(round.0).expect("a number of ours");
        let sent = &mut self.rounds[at];
        sent.heard += 1;
        assert!(sent.heard <= sent.to.len(), "broadcast {at} is heard more often than it was sent");
        let last = self.heard_last.insert(key, round.0);
        assert!(last < Some(round.0), "broadcasts come in order, each of them once");
        self.rounds_heard += 1;
    }

    /// In calm weather each of them has come, unless its session was closed by the other side.
    pub(crate) fn check_all_rounds(&self, cut_off: impl Fn(&Key) -> bool) {
        for sent in &self.rounds {
            let may_miss = sent.to.iter().filter(|key| cut_off(key)).count();
            assert!(sent.heard + may_miss >= sent.to.len(), "a broadcast is lost in calm weather");
        }
    }
}

impl Follower {
    fn check_start(&self, start: u64) {
        let (from, to) = self.from;
        assert!((from..=to).contains(&start), "it began at {start}, and not within {from}..={to}");
    }
}

pub(crate) fn offer(endpoint: &Endpoint) {
    endpoint.hub().expect("it has just started").offer_topic(TOPIC, |_| true);
}

/// Publishes some messages at once.
pub(crate) fn publish(endpoint: &Endpoint, process: Process, ledger: &Shared, dice: &mut Dice) {
    let Some(hub) = endpoint.hub() else { return };
    let len_max = *dice.pick(&[100, 3_000, 20_000]);
    for _ in 0..dice.between(1..=20) {
        let number = ledger.borrow().topics.published(process);
        let news = News { process, number, filler: vec![5; dice.below(len_max)] };
        let retain = dice.chance(20);
        hub.publish_to(endpoint.registry(), TOPIC, &news, retain).expect("it is offered");
        ledger.borrow_mut().topics.published.insert(process, number + 1);
    }
}

/// How a subscriber subscribes, and how long it takes for each message.
pub(crate) struct Reader {
    overflow: Overflow,
    inbox_bytes: usize,
    priority: u8,
    retained: bool,
    pause: Duration,
}

impl Reader {
    pub(crate) fn any(dice: &mut Dice) -> Self {
        Self {
            overflow: *dice.pick(&[Overflow::DropOldest, Overflow::DropNewest, Overflow::Close]),
            inbox_bytes: *dice.pick(&[1_000, 30_000, 1 << 20]),
            priority: *dice.pick(&[0, 4, 4, 7]),
            retained: dice.chance(30),
            pause: Duration::from_millis(*dice.pick(&[0, 0, 5, 100])),
        }
    }
}

/// Follows what `publisher` publishes, until it is dropped or the subscription ends.
pub(crate) async fn follow(
    session: SessionRef,
    reader: Reader,
    publisher: Process,
    clock: Clock,
    ledger: Shared,
) {
    let earliest = ledger.borrow().topics.published(publisher);
    let mut subscribe = session.subscribe::<News>(TOPIC).overflow(reader.overflow);
    subscribe = subscribe.inbox_bytes(reader.inbox_bytes).priority(reader.priority);
    if reader.retained {
        subscribe = subscribe.retained();
    }
    let Ok(mut subscription) = subscribe.await else { return };
    let following = Following::begin(&ledger, publisher, earliest, reader.retained);
    loop {
        if !reader.pause.is_zero() {
            clock.sleep(reader.pause).await;
        }
        let next = subscription.recv_published().await;
        let topics = &mut ledger.borrow_mut().topics;
        match next {
            Ok(published) if published.retained => {
                assert!(reader.retained, "it has not asked for one");
                assert_eq!(topics.followers[following.who].start, None, "it comes first");
            }
            Ok(published) => topics.hears(following.who, &published.message),
            Err(SubscriptionError::Lagged(count)) => topics.misses(following.who, count),
            Err(_) => break,
        }
    }
}

/// Tells when a subscription is over, however.
struct Following {
    ledger: Shared,
    who: usize,
}

impl Following {
    fn begin(ledger: &Shared, publisher: Process, earliest: u64, retained: bool) -> Self {
        let topics = &mut ledger.borrow_mut().topics;
        // A retained value that was left out is counted like any other.
        let from = (earliest - u64::from(retained).min(earliest), topics.published(publisher));
        let follower = Follower { publisher, from, counted: 0, start: None, is_over: false };
        topics.followers.push(follower);
        Self { ledger: Rc::clone(ledger), who: topics.followers.len() - 1 }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.ledger.borrow_mut().topics.followers[self.who].is_over = true;
    }
}

/// One message to some sessions of a side, and to one that is not there.
pub(crate) fn broadcast(hub: &Hub, sessions: &[(Key, SessionId)], ledger: &Shared, len: usize) {
    let nobody = SessionId::new(u32::MAX).expect("it is not 0");
    let ids = sessions.iter().map(|(_, id)| *id).chain([nobody]);
    let number = ledger.borrow().topics.rounds.len() as u64;
    let report = hub.broadcast(ids, &Round(number, vec![9; len]));
    assert_eq!(report.sent + report.failed.len(), sessions.len() + 1, "nobody is forgotten");
    assert!(report.failed.contains(&(nobody, SendError::NoSession)));
    let failed = |id: &SessionId| report.failed.iter().any(|(failed, _)| failed == id);
    let to = sessions.iter().filter(|(_, id)| !failed(id)).map(|(key, _)| key.clone());
    let sent = Sent { to: to.collect(), heard: 0 };
    ledger.borrow_mut().topics.rounds.push(sent);
}

/// Which process a side runs now.
pub(crate) fn process(ledger: &RefCell<crate::ledger::Ledger>, side: Side) -> Process {
    let at = usize::from(side == Side::B);
    (u8::from(side == Side::B), ledger.borrow().boots[at])
}
