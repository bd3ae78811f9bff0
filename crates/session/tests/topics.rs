//! Topics between peers: who hears what, what is left out and how that is told, and what a peer
//! gets that misuses them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;

use moorline_buffers::{BlockPool, BlockPoolConfig};
use moorline_protocol::{CloseReason, ErrorCode, Message, NoError, Overflow, Settings};
use moorline_session::limits::{
    PUBLISH_AHEAD_BYTES, SUBSCRIPTION_QUEUE_BYTES, SUBSCRIPTIONS_QUEUE_BYTES,
};
use moorline_session::{
    CallError, Direction, Flush, Lagged, NewSession, PublishError, PublishReport,
    RemoteSubscription, SendError, SessionClosed, SubscriptionError, SystemMessage, group, topic,
};
use serde::de::DeserializeOwned;
use support::{Echo, Note, OUTBOX, Pair, Side, Task, echo, log, note, now};

#[path = "topics/hostile.rs"]
mod hostile;
#[path = "topics/random.rs"]
mod random;

type Subscribed<M> = Result<RemoteSubscription<M>, CallError<NoError>>;

fn offer(side: &Side, topic: &str) {
    side.hub.offer_topic(topic, |_| true);
}

fn publish<M: Message>(side: &Side, topic: &str, message: &M) -> PublishReport {
    side.hub.publish_to(&side.link.local.registry, topic, message, false).unwrap()
}

fn retain<M: Message>(
    side: &Side,
    topic: &str,
    message: &M,
) -> Result<PublishReport, PublishError> {
    side.hub.publish_to(&side.link.local.registry, topic, message, true)
}

/// Side a subscribes to a topic of side b.
fn subscribe<M: Message + DeserializeOwned + 'static>(
    pair: &mut Pair,
    how: moorline_session::Subscribe<M>,
) -> Subscribed<M> {
    let task = Task::start(how);
    pair.settle();
    task.done()
}

fn plain(pair: &mut Pair, topic: &str) -> RemoteSubscription<Note> {
    let how = pair.a.session.subscribe::<Note>(topic);
    subscribe(pair, how).unwrap()
}

/// All that is there now: numbers of notes, and how many were left out where.
fn heard(subscription: &mut RemoteSubscription<Note>) -> Vec<Result<u64, SubscriptionError>> {
    let mut heard = Vec::new();
    while let Some(next) = now(subscription.recv()) {
        let over = next.as_ref().is_err_and(SubscriptionError::is_over);
        heard.push(next.map(|note| note.0));
        if over {
            break;
        }
    }
    heard
}

fn all_of(numbers: std::ops::Range<u64>) -> Vec<Result<u64, SubscriptionError>> {
    numbers.map(Ok).collect()
}

fn lagged(count: u64) -> Result<u64, SubscriptionError> {
    Err(SubscriptionError::Lagged(count))
}

#[test]
fn what_is_published_reaches_every_subscription_in_order_and_nobody_else() {
    let mut pair = Pair::new();
    offer(&pair.b, "news");
    offer(&pair.b, "other");
    let mut first = plain(&mut pair, "news");
    let mut second = plain(&mut pair, "news");
    let mut other = plain(&mut pair, "other");
    for n in 0..50 {
        let report = publish(&pair.b, "news", &note(n, 100));
        assert_eq!((report.subscriptions, report.lagging), (2, 0));
    }
    pair.settle();
    assert_eq!(heard(&mut first), all_of(0..50));
    assert_eq!(heard(&mut second), all_of(0..50));
    assert_eq!(heard(&mut other), []);
    assert_eq!(first.left_out(), 0);
    drop(first);
    pair.settle();
    assert_eq!(publish(&pair.b, "news", &note(50, 1)).subscriptions, 1);
    drop(second);
    pair.settle();
    assert_eq!(publish(&pair.b, "news", &note(51, 1)).subscriptions, 0);
    assert_eq!(publish(&pair.b, "other", &note(52, 1)).subscriptions, 1);
}

#[test]
fn a_reader_that_waits_is_woken_and_each_side_may_publish() {
    let mut pair = Pair::new();
    offer(&pair.a, "up");
    let task = Task::start(pair.b.session.subscribe::<Echo>("up").priority(7));
    pair.settle();
    let mut subscription = task.done().unwrap();
    let mut waiting = Task::start(async move { subscription.recv().await });
    pair.settle();
    assert!(!waiting.look());
    publish(&pair.a, "up", &echo(7, 9));
    pair.settle();
    assert_eq!(waiting.done(), Ok(echo(7, 9)));
}

#[test]
fn nobody_may_subscribe_unless_somebody_says_so() {
    let mut pair = Pair::new();
    let refused = |result: Subscribed<Note>| match result {
        Err(error @ CallError::Fault(code, _)) => {
            assert!(error.executed() == moorline_session::Executed::No || code.0 != -3);
            code
        }
        other => panic!("{other:?}"),
    };
    let ask = |pair: &mut Pair, topic: &str| {
        let how = pair.a.session.subscribe::<Note>(topic);
        refused(subscribe(pair, how))
    };
    assert_eq!(ask(&mut pair, "news"), ErrorCode::UNIMPLEMENTED);
    pair.b.hub.offer_topic("news", |session| session.address() == "somewhere else");
    assert_eq!(ask(&mut pair, "news"), ErrorCode::FORBIDDEN);
    pair.b.hub.offer_topic("news", |_| panic!("a rule of a test"));
    assert_eq!(ask(&mut pair, "news"), ErrorCode::INTERNAL);
    offer(&pair.b, "news");
    let mut subscription = plain(&mut pair, "news");
    pair.b.hub.withdraw_topic("news");
    assert_eq!(ask(&mut pair, "news"), ErrorCode::UNIMPLEMENTED);
    let registry = pair.b.link.local.registry.clone();
    let gone = pair.b.hub.publish_to(&registry, "news", &note(1, 1), false);
    assert_eq!(gone, Err(PublishError::NotOffered));
    offer(&pair.b, "news");
    assert_eq!(publish(&pair.b, "news", &note(2, 1)).subscriptions, 1, "who was here stays");
    pair.settle();
    assert_eq!(heard(&mut subscription), all_of(2..3));
}

#[test]
fn names_that_cannot_be_said_are_refused_here() {
    let mut pair = Pair::new();
    for name in ["x".repeat(257), "a\nb".into()] {
        let how = pair.a.session.subscribe::<Note>(&name);
        let result = subscribe(&mut pair, how);
        assert!(matches!(result, Err(CallError::NotSent(SendError::Unsupported(_)))), "{result:?}");
    }
    offer(&pair.b, "ok");
    plain(&mut pair, "ok");
}

#[test]
fn the_retained_value_comes_first_to_who_asks_for_it() {
    let mut pair = Pair::new();
    offer(&pair.b, "state");
    retain(&pair.b, "state", &note(1, 9)).unwrap();
    retain(&pair.b, "state", &note(2, 9)).unwrap();
    publish(&pair.b, "state", &note(3, 9));
    let how = pair.a.session.subscribe::<Note>("state").retained();
    let mut asked = subscribe(&mut pair, how).unwrap();
    let mut silent = plain(&mut pair, "state");
    publish(&pair.b, "state", &note(4, 9));
    pair.settle();
    let first = now(asked.recv_published()).unwrap().unwrap();
    assert_eq!((first.message.0, first.retained), (2, true));
    let next = now(asked.recv_published()).unwrap().unwrap();
    assert_eq!((next.message.0, next.retained), (4, false));
    assert_eq!(heard(&mut silent), all_of(4..5));
    pair.b.hub.withdraw_topic("state");
    offer(&pair.b, "state");
    let how = pair.a.session.subscribe::<Note>("state").retained();
    assert_eq!(heard(&mut subscribe(&mut pair, how).unwrap()), [], "it was forgotten");
}

#[test]
fn a_reader_that_does_not_keep_up_is_told_in_order() {
    let full = |overflow| {
        let mut pair = Pair::new();
        offer(&pair.b, "news");
        // Room for four.
        let how = pair.a.session.subscribe::<Note>("news").inbox_bytes(600).overflow(overflow);
        let mut subscription = subscribe(&mut pair, how).unwrap();
        for n in 0..10 {
            publish(&pair.b, "news", &note(n, 100));
        }
        pair.settle();
        let mut all = heard(&mut subscription);
        // Once it is over nobody counts any more.
        let left_out = if overflow == Overflow::Close { 1 } else { 6 };
        assert_eq!(subscription.left_out(), left_out);
        let over = all.last().unwrap().as_ref().is_err_and(SubscriptionError::is_over);
        let subscriptions = publish(&pair.b, "news", &note(10, 100)).subscriptions;
        assert_eq!(subscriptions, usize::from(!over), "the peer knows when it is over");
        pair.settle();
        if !over {
            all.extend(heard(&mut subscription));
        }
        all
    };
    let oldest = [vec![lagged(6)], all_of(6..11)].concat();
    assert_eq!(full(Overflow::DropOldest), oldest);
    let newest = [all_of(0..4), vec![lagged(6)], all_of(10..11)].concat();
    assert_eq!(full(Overflow::DropNewest), newest);
    let close = [all_of(0..4), vec![Err(SubscriptionError::Overflowed)]].concat();
    assert_eq!(full(Overflow::Close), close);
}

/// How far what was heard reaches, all that was told as left out counted.
fn reach(heard: &[Result<u64, SubscriptionError>], from: u64) -> u64 {
    heard.iter().fold(from, |at, next| match next {
        Ok(number) => {
            assert_eq!(*number, at, "each comes in its place");
            at + 1
        }
        Err(SubscriptionError::Lagged(count)) => at + count,
        Err(other) => panic!("{other}"),
    })
}

#[test]
fn a_connection_that_does_not_keep_up_loses_of_the_queue_and_is_told_in_order() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        let mut pair = Pair::new();
        offer(&pair.b, "news");
        let how = pair.a.session.subscribe::<Note>("news").inbox_bytes(1 << 20).overflow(overflow);
        let mut subscription = subscribe(&mut pair, how).unwrap();
        pair.b.blocked = true;
        let mut lagging = 0;
        for n in 0..1_000 {
            lagging += publish(&pair.b, "news", &note(n, 1_000)).lagging;
            pair.settle();
        }
        assert!(lagging > 0);
        let queued = pair.b.session.queued_bytes();
        assert!(queued <= SUBSCRIPTION_QUEUE_BYTES + 2 * PUBLISH_AHEAD_BYTES, "{queued}");
        pair.b.unblock();
        pair.settle();
        let all = heard(&mut subscription);
        assert_eq!(reach(&all, 0), 1_000);
        let told: Vec<_> = all.iter().filter(|next| next.is_err()).collect();
        assert_eq!(told.len(), 1, "one word for all of them");
        assert_eq!(subscription.left_out(), u64::try_from(lagging).unwrap());
        match overflow {
            Overflow::DropOldest => assert_eq!(all.last(), Some(&Ok(999))),
            _ => assert_eq!(all.first(), Some(&Ok(0))),
        }
    }
}

#[test]
fn a_subscription_that_must_not_lose_ends_at_both_sides() {
    let mut pair = Pair::new();
    offer(&pair.b, "news");
    let how = pair.a.session.subscribe::<Note>("news").inbox_bytes(1 << 20);
    let mut subscription = subscribe(&mut pair, how.overflow(Overflow::Close)).unwrap();
    pair.b.blocked = true;
    for n in 0..1_000 {
        publish(&pair.b, "news", &note(n, 1_000));
    }
    pair.b.unblock();
    pair.settle();
    let all = heard(&mut subscription);
    let (end, messages) = all.split_last().unwrap();
    assert_eq!(end, &Err(SubscriptionError::Overflowed));
    assert_eq!(messages, all_of(0..u64::try_from(messages.len()).unwrap()));
    assert!(messages.len() > 200, "{}", messages.len());
    assert_eq!(publish(&pair.b, "news", &note(0, 1)).subscriptions, 0);
    assert_eq!(heard(&mut subscription), [Err(SubscriptionError::Overflowed)]);
}

#[test]
fn all_queues_of_a_peer_together_are_bounded_too() {
    let mut pair = Pair::new();
    offer(&pair.b, "news");
    let mut subscriptions: Vec<_> = (0..50).map(|_| plain(&mut pair, "news")).collect();
    pair.b.blocked = true;
    for n in 0..300 {
        publish(&pair.b, "news", &note(n, 1_000));
    }
    let queued = pair.b.session.queued_bytes();
    let most = SUBSCRIPTIONS_QUEUE_BYTES + 2 * PUBLISH_AHEAD_BYTES;
    assert!((most / 2..most).contains(&queued), "{queued}");
    pair.b.unblock();
    pair.settle();
    for subscription in &mut subscriptions {
        assert_eq!(reach(&heard(subscription), 0), 300);
    }
    drop(subscriptions);
    pair.settle();
    assert_eq!(pair.b.session.queued_bytes(), 0);
}

#[test]
fn one_large_message_may_wait_but_not_one_for_each_subscription() {
    let mut pair = Pair::new();
    let topics = ["a", "b", "c"];
    topics.iter().for_each(|topic| offer(&pair.b, topic));
    let large = 6 << 20;
    let mut subscriptions = topics.map(|topic| {
        let how = pair.a.session.subscribe::<Note>(topic).inbox_bytes(2 * large);
        subscribe(&mut pair, how).unwrap()
    });
    pair.b.blocked = true;
    let lagging = topics.map(|topic| publish(&pair.b, topic, &note(0, large)).lagging);
    assert_eq!(lagging, [0, 1, 1]);
    pair.b.unblock();
    pair.settle();
    let heard = subscriptions.each_mut().map(heard);
    assert_eq!(heard, [vec![Ok(0)], vec![lagged(1)], vec![lagged(1)]]);
    // What was told in place of the others took no room from what follows.
    publish(&pair.b, "b", &note(1, 10));
    pair.settle();
    assert_eq!(now(subscriptions[1].recv()).unwrap().unwrap(), note(1, 10));
}

#[test]
fn long_messages_go_in_pieces_and_what_the_peer_does_not_take_is_counted() {
    let settings = Settings { message_max: 1 << 20, ..Settings::default() };
    let mut pair = Pair::with(settings, OUTBOX);
    offer(&pair.b, "news");
    let how = pair.a.session.subscribe::<Note>("news").inbox_bytes(4 << 20);
    let mut subscription = subscribe(&mut pair, how).unwrap();
    for (n, len) in [(0, 100_000), (1, 2 << 20), (2, 10), (3, 900_000)] {
        publish(&pair.b, "news", &note(n, len));
        pair.settle();
    }
    assert_eq!(heard(&mut subscription), [Ok(0), lagged(1), Ok(2), Ok(3)]);
}

/// Side b has few blocks of its own.
fn short_of_memory() -> (Pair, BlockPool) {
    let blocks = BlockPool::new(BlockPoolConfig { blocks_max: 8, ..BlockPoolConfig::messages() });
    let now = std::time::Instant::now();
    let [a, mut b] = support::links([Settings::default(); 2], now);
    let mut local = support::local(Settings::default());
    Arc::get_mut(&mut local).unwrap().blocks = blocks.clone();
    b.local = local;
    let [a, b] = [(a, Direction::Connected), (b, Direction::Accepted)]
        .map(|(link, direction)| Side::new(link, direction, OUTBOX));
    (Pair { a, b, now }, blocks)
}

#[test]
fn for_want_of_memory_messages_wait_or_are_counted_and_the_session_goes_on() {
    let (mut pair, blocks) = short_of_memory();
    offer(&pair.b, "news");
    let mut subscription = plain(&mut pair, "news");
    let mut published = 0;
    for round in 0..5 {
        let held: Vec<_> = std::iter::from_fn(|| blocks.acquire().ok()).collect();
        assert!(round > 0 || !held.is_empty());
        for _ in 0..20 {
            publish(&pair.b, "news", &note(published, 1_000));
            published += 1;
            pair.settle();
        }
        drop(held);
        // The next message finds memory, and takes the others along.
        publish(&pair.b, "news", &note(published, 10));
        published += 1;
        pair.settle();
    }
    let all = heard(&mut subscription);
    assert_eq!(reach(&all, 0), published);
    assert!(all.iter().any(Result::is_err), "some were left out");
    assert!(pair.a.ended.is_none() && pair.b.ended.is_none());
}

#[test]
fn other_messages_do_not_wait_behind_what_is_published() {
    let mut pair = Pair::new();
    offer(&pair.b, "news");
    let mut subscription = plain(&mut pair, "news");
    let (tell, told) = log();
    pair.a.on_post = Box::new(move |body| tell.lock().unwrap().push(body.len()));
    pair.b.blocked = true;
    for n in 0..200 {
        publish(&pair.b, "news", &note(n, 1_000));
    }
    pair.b.session.send(&note(0, 5)).unwrap();
    let ahead = pair.b.writer.take_block().unwrap().map_or(0, |block| block.len());
    assert!(ahead > 0);
    assert!(pair.b.session.queued_bytes() > 100_000, "they wait in their queue");
    // That block was taken from the connection on purpose: this pair goes no further.
    drop((told, now(subscription.recv())));
}

/// What is held back by hand leaves by hand: all of it, however much waits.
#[test]
fn a_flush_by_hand_lets_out_all_that_was_published() {
    let mut pair = Pair::new();
    offer(&pair.b, "news");
    let mut subscription = plain(&mut pair, "news");
    pair.b.session.set_flush(Flush::Manual);
    for n in 0..100 {
        publish(&pair.b, "news", &note(n, 1_000));
    }
    pair.settle();
    assert_eq!(heard(&mut subscription), []);
    pair.b.session.flush();
    pair.settle();
    assert_eq!(heard(&mut subscription), all_of(0..100));
}

#[test]
fn subscriptions_take_turns() {
    let mut pair = Pair::new();
    for topic in ["many", "few"] {
        offer(&pair.b, topic);
    }
    let mut many = plain(&mut pair, "many");
    let mut few = plain(&mut pair, "few");
    pair.b.blocked = true;
    for n in 0..200 {
        publish(&pair.b, "many", &note(n, 1_000));
    }
    publish(&pair.b, "few", &note(0, 10));
    let mut blocks = 0;
    pair.b.blocked = false;
    while now(few.recv()).is_none() {
        let block = pair.b.writer.take_block().unwrap().expect("it comes");
        blocks += 1;
        let opened = pair.b.link.opened.as_mut().unwrap();
        opened.sealing.seal(block, &mut pair.b.link.wire).unwrap();
        support::carry(&mut pair.b.link.wire, &mut pair.a.link.input);
        pair.a.poke();
        pair.a.wake(pair.now);
    }
    assert!(blocks <= 3, "{blocks} blocks");
    pair.settle();
    assert_eq!(reach(&heard(&mut many), 0), 200);
}

//= docs/PROTOCOL.md#6
#[test]
fn numbers_ascend_on_the_wire_whatever_the_priority() {
    let mut pair = Pair::new();
    offer(&pair.b, "news");
    pair.a.blocked = true;
    let ask = |priority| Task::start(pair.a.session.subscribe::<Note>("news").priority(priority));
    let asked: Vec<_> = [0, 4, 7, 0, 7].map(ask).into_iter().collect();
    pair.settle();
    pair.a.unblock();
    pair.settle();
    let mut subscriptions: Vec<_> = asked.into_iter().map(|task| task.done().unwrap()).collect();
    publish(&pair.b, "news", &note(0, 1));
    pair.settle();
    for subscription in &mut subscriptions {
        assert_eq!(heard(subscription), all_of(0..1));
    }
}

#[test]
fn a_subscription_given_up_before_it_began_is_taken_back() {
    let mut pair = Pair::new();
    offer(&pair.b, "news");
    pair.a.blocked = true;
    let task = Task::start(pair.a.session.subscribe::<Note>("news"));
    pair.settle();
    drop(task);
    pair.a.unblock();
    pair.settle();
    assert_eq!(publish(&pair.b, "news", &note(0, 1)).subscriptions, 0);
    // Given up while the answer is on its way.
    let task = Task::start(pair.a.session.subscribe::<Note>("news"));
    pair.a.wake(pair.now);
    drop(task);
    pair.settle();
    assert_eq!(publish(&pair.b, "news", &note(0, 1)).subscriptions, 0);
    assert!(pair.a.ended.is_none() && pair.b.ended.is_none());
}

#[test]
fn a_subscription_ends_with_its_session_behind_what_has_arrived() {
    let mut pair = Pair::new();
    offer(&pair.b, "news");
    let mut subscription = plain(&mut pair, "news");
    publish(&pair.b, "news", &note(0, 1));
    pair.b.session.close();
    assert_eq!(publish(&pair.b, "news", &note(1, 1)).subscriptions, 0, "nothing new follows");
    pair.settle();
    let all = heard(&mut subscription);
    assert_eq!(all[0], Ok(0), "what was accepted still comes");
    assert!(matches!(all[1], Err(SubscriptionError::Closed(CloseReason::ByPeer(_)))), "{all:?}");
    assert_eq!(publish(&pair.b, "news", &note(2, 1)).subscriptions, 0);
    drop(subscription);
    let how = pair.a.session.subscribe::<Note>("news");
    assert!(matches!(subscribe(&mut pair, how), Err(CallError::NotSent(SendError::Closed(_)))));
}

#[test]
fn a_drain_ends_with_subscriptions_open() {
    let mut pair = Pair::new();
    offer(&pair.b, "news");
    let mut subscription = plain(&mut pair, "news");
    publish(&pair.b, "news", &note(0, 1));
    let drain = moorline_session::Signals { drain: true, ..Default::default() };
    pair.b.session.signal(drain);
    pair.settle();
    assert!(pair.a.ended.is_some());
    assert_eq!(heard(&mut subscription)[0], Ok(0));
}

#[test]
fn a_message_of_another_type_is_an_error_and_the_next_one_comes() {
    let mut pair = Pair::new();
    offer(&pair.b, "news");
    let mut subscription = plain(&mut pair, "news");
    publish(&pair.b, "news", &echo(0, 1));
    publish(&pair.b, "news", &note(1, 1));
    pair.settle();
    assert_eq!(heard(&mut subscription), [Err(SubscriptionError::Decode), Ok(1)]);
}

#[test]
fn a_broadcast_reaches_who_it_can_and_names_the_others() {
    let mut pair = Pair::new();
    let (tell, told) = log();
    pair.a.on_post = Box::new(move |body| tell.lock().unwrap().push(body.len()));
    let nobody = moorline_session::SessionId::new(12_345).unwrap();
    let id = pair.b.session.id();
    let report = pair.b.hub.broadcast([id, nobody, id], &note(1, 10));
    assert_eq!((report.sent, report.is_complete()), (2, false));
    assert_eq!(report.failed, [(nobody, SendError::NoSession)]);
    pair.settle();
    assert_eq!(told.lock().unwrap().len(), 2);
    let large = usize::try_from(Settings::default().message_max).unwrap() + 1;
    let report = pair.b.hub.broadcast([id], &note(1, large));
    assert!(matches!(report.failed[..], [(_, SendError::TooLarge { .. })]), "{report:?}");
    pair.b.session.close();
    let report = pair.b.hub.broadcast([id], &note(1, 1));
    assert!(matches!(report.failed[..], [(_, SendError::Closed(_))]), "{report:?}");
}

#[test]
fn events_can_be_read_from_a_queue_that_counts_what_it_leaves_out() {
    let mut pair = Pair::new();
    let hub = &pair.a.hub;
    let mut queue = hub.subscribe_queue(topic("msgpack-plain", SessionClosed), 4);
    let mut all = hub.subscribe_queue(group("msgpack-plain"), 2);
    let id = pair.a.session.id();
    for _ in 0..3 {
        hub.publish("msgpack-plain", NewSession { id, direction: pair.a.session.direction() });
    }
    assert_eq!(now(all.recv()).unwrap().unwrap_err(), Lagged(1));
    assert!(matches!(now(all.recv()), Some(Ok(SystemMessage::NewSession(_)))));
    assert!(now(queue.recv()).is_none());
    let waiting = Task::start(async move { queue.recv().await });
    pair.a.session.close();
    pair.settle();
    assert_eq!(waiting.done().unwrap().id, id);
    // Ready and closed came to one that waited.
    assert_eq!(all.left_out(), 2);
    drop(all);
}
