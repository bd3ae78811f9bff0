//! What happens to sessions, told to whoever subscribed: by protocol and by kind of event.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use moorline_protocol::{CloseReason, ErrorCode};

use crate::id::SessionId;
use crate::session_ref::Direction;

/// A session has opened: its peer is verified, the settings of both sides are known, and what is sent
/// from now on is queued for it.
///
/// It is told while the session is being made, before who dials gets hold of it and before anything of it
/// is dispatched: this is the place to [`attach`](crate::SessionRef::attach) what its handlers need.
///
/// It comes once for each id. What lasts over several connections is told of each by
/// [`struct@SessionUp`].
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Which one.
    pub id: SessionId,
    /// Who opened the connection.
    pub direction: Direction,
}

/// A session is at work: whoever heard of [`struct@NewSession`] has done what it had to, and the task
/// that drives the connection has begun. It follows that event, precedes all that the peer sends,
/// and comes once; never for a session that ends before it gets so far.
///
/// The set-up of both sides is over by then: keys, SETUP, and the lists of message types.
#[derive(Debug, Clone)]
pub struct SessionReady {
    /// Which one.
    pub id: SessionId,
    /// Who opened the connection.
    pub direction: Direction,
}

/// A session has ended. Every call of it has ended before. It comes once for each id: for one that
/// lasts over several connections at its final end, also if it never had one.
#[derive(Debug, Clone)]
pub struct SessionClosed {
    /// Which one.
    pub id: SessionId,
    /// Why.
    pub reason: CloseReason,
}

/// An id that lasts over several connections has a new one. It comes right behind
/// [`struct@NewSession`] for the first, and under the same rules: nothing of the connection has been
/// dispatched, and this is the place to [`attach`](crate::SessionRef::attach) what its handlers need.
#[derive(Debug, Clone)]
pub struct SessionUp {
    /// Which one.
    pub id: SessionId,
    /// The how-manieth connection, from 1.
    pub epoch: u64,
    /// Posts that were dropped since the last one was lost: those sent meanwhile where that is the
    /// rule, and those that waited and that this peer does not take.
    pub dropped: u64,
}

/// An id that lasts over several connections has lost the one it had. Every call of that has ended
/// before. It comes once for each [`struct@SessionUp`].
#[derive(Debug, Clone)]
pub struct SessionDown {
    /// Which one.
    pub id: SessionId,
    /// The how-manieth connection, from 1.
    pub epoch: u64,
    /// Why.
    pub reason: CloseReason,
    /// Posts accepted for sending that had not left: the peer never saw them.
    pub unsent: u64,
    /// Posts that had left, and of which nobody knows whether they arrived: no barrier, and no sign
    /// of life that was asked for, has come back since.
    pub unknown: u64,
}

/// A connection we dialed did not become a session.
#[derive(Debug, Clone)]
pub struct ConnectFailed {
    /// Where to.
    pub address: Box<str>,
    /// Why, for people.
    pub reason: Box<str>,
}

/// A connection that came in did not become a session.
#[derive(Debug, Clone)]
pub struct AcceptFailed {
    /// Where from.
    pub address: Box<str>,
    /// A short stable name of the cause.
    pub cause: &'static str,
    /// Why, for people.
    pub reason: Box<str>,
}

/// A post of the peer reached no handler. It is counted as well.
#[derive(Debug, Clone)]
pub struct PostDropped {
    /// Which session.
    pub id: SessionId,
    /// Name of the message type, if this side knows it.
    pub message: Option<&'static str>,
    /// Why.
    pub code: ErrorCode,
}

/// Any of the events of this module: what a subscriber of a whole group is called with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SystemMessage {
    /// See [`struct@NewSession`].
    NewSession(NewSession),
    /// See [`struct@SessionReady`].
    SessionReady(SessionReady),
    /// See [`struct@SessionClosed`].
    SessionClosed(SessionClosed),
    /// See [`struct@SessionUp`].
    SessionUp(SessionUp),
    /// See [`struct@SessionDown`].
    SessionDown(SessionDown),
    /// See [`struct@ConnectFailed`].
    ConnectFailed(ConnectFailed),
    /// See [`struct@AcceptFailed`].
    AcceptFailed(AcceptFailed),
    /// See [`struct@PostDropped`].
    PostDropped(PostDropped),
}

/// A kind of event that can be subscribed to.
pub trait SystemEvent: Sized + 'static {
    /// This kind out of any.
    fn of(message: &SystemMessage) -> Option<&Self>;
}

impl SystemEvent for SystemMessage {
    fn of(message: &SystemMessage) -> Option<&Self> {
        Some(message)
    }
}

/// Names a kind of event as a value: `topic("msgpack", NewSession)`.
pub struct Kind<E>(PhantomData<fn() -> E>);

macro_rules! kinds {
    ($($name:ident),*) => { $(
        impl SystemEvent for $name {
            fn of(message: &SystemMessage) -> Option<&Self> {
                match message { SystemMessage::$name(event) => Some(event), _ => None }
            }
        }

        impl From<$name> for SystemMessage {
            fn from(event: $name) -> Self {
                SystemMessage::$name(event)
            }
        }

        #[doc = concat!("The kind of [`struct@", stringify!($name), "`], for [`topic`].")]
        #[expect(non_upper_case_globals, reason = "the value is named as its type is")]
        pub const $name: Kind<$name> = Kind(PhantomData);
    )* };
}

kinds!(
    NewSession,
    SessionReady,
    SessionClosed,
    SessionUp,
    SessionDown,
    ConnectFailed,
    AcceptFailed,
    PostDropped
);

/// Which events: those of one protocol, of one kind or of all.
pub struct Topic<E> {
    group: Box<str>,
    kind: PhantomData<fn() -> E>,
}

/// One kind of event of one protocol.
#[must_use]
pub fn topic<E: SystemEvent>(group: &str, _kind: Kind<E>) -> Topic<E> {
    Topic { group: group.into(), kind: PhantomData }
}

/// All events of one protocol.
#[must_use]
pub fn group(group: &str) -> Topic<SystemMessage> {
    Topic { group: group.into(), kind: PhantomData }
}

type Call = dyn Fn(&SystemMessage) + Send + Sync;

struct Subscriber {
    number: u64,
    group: Box<str>,
    call: Box<Call>,
}

#[derive(Default)]
struct Subscribers {
    next: u64,
    list: Arc<Vec<Arc<Subscriber>>>,
}

/// Subscribers of a process, in the order they came.
#[derive(Default)]
pub(crate) struct Topics {
    subscribers: Arc<Mutex<Subscribers>>,
}

impl Topics {
    pub(crate) fn subscribe<E: SystemEvent>(
        &self,
        topic: Topic<E>,
        condition: impl Fn(&E) -> bool + Send + Sync + 'static,
        hear: impl Fn(&E) + Send + Sync + 'static,
    ) -> Subscription {
        let call = move |message: &SystemMessage| {
            if let Some(event) = E::of(message).filter(|event| condition(event)) {
                hear(event);
            }
        };
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = subscribers.next;
        subscribers.next += 1;
        let subscriber = Subscriber { number, group: topic.group, call: Box::new(call) };
        let mut list = Vec::clone(&subscribers.list);
        list.push(Arc::new(subscriber));
        subscribers.list = Arc::new(list);
        Subscription { number, subscribers: Arc::downgrade(&self.subscribers) }
    }

    /// Nobody hears anything any more.
    pub(crate) fn clear(&self) {
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        let list = std::mem::take(&mut subscribers.list);
        drop(subscribers);
        // What is dropped with it is the user's, and may do anything.
        drop(list);
    }

    /// Calls a snapshot of the list, without a lock: subscribers may come and go meanwhile.
    pub(crate) fn publish(&self, group: &str, message: &SystemMessage) {
        let list = {
            let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&subscribers.list)
        };
        for subscriber in list.iter().filter(|subscriber| *subscriber.group == *group) {
            // A subscriber that panics must not take the session down with it.
            let _ = catch_unwind(AssertUnwindSafe(|| (subscriber.call)(message)));
        }
    }
}

/// A subscription to a topic. Dropping it changes nothing.
pub struct Subscription {
    number: u64,
    subscribers: Weak<Mutex<Subscribers>>,
}

impl Subscription {
    /// Ends it, also while it is being called. A call on another thread may still be running.
    pub fn unsubscribe(self) {
        let Some(subscribers) = self.subscribers.upgrade() else { return };
        let mut subscribers = subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = Vec::clone(&subscribers.list);
        list.retain(|subscriber| subscriber.number != self.number);
        // The old list, and with it what the closure holds, is dropped outside the lock.
        let old = std::mem::replace(&mut subscribers.list, Arc::new(list));
        drop(subscribers);
        drop(old);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").field(&self.number).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn new_session(number: u32) -> SystemMessage {
        NewSession { id: SessionId::new(number).unwrap(), direction: Direction::Accepted }.into()
    }

    fn counter() -> (Arc<AtomicUsize>, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        (Arc::clone(&count), count)
    }

    #[test]
    fn a_topic_is_a_group_and_a_kind_and_a_group_is_all_its_kinds() {
        let topics = Topics::default();
        let (one, one_count) = counter();
        let (all, all_count) = counter();
        topics.subscribe(
            topic("a", NewSession),
            |_| true,
            move |_| {
                one.fetch_add(1, Ordering::Relaxed);
            },
        );
        topics.subscribe(
            group("a"),
            |_| true,
            move |_| {
                all.fetch_add(1, Ordering::Relaxed);
            },
        );
        topics.publish("a", &new_session(1));
        topics.publish("b", &new_session(2));
        let failed = ConnectFailed { address: "x".into(), reason: "y".into() };
        topics.publish("a", &failed.into());
        assert_eq!(one_count.load(Ordering::Relaxed), 1);
        assert_eq!(all_count.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_condition_picks_and_unsubscribing_ends_it() {
        let topics = Topics::default();
        let (tell, count) = counter();
        let subscription = topics.subscribe(
            topic("a", NewSession),
            |event| event.id.number() == 2,
            move |_| {
                tell.fetch_add(1, Ordering::Relaxed);
            },
        );
        topics.publish("a", &new_session(1));
        topics.publish("a", &new_session(2));
        subscription.unsubscribe();
        topics.publish("a", &new_session(2));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn unsubscribing_while_being_called_is_fine() {
        let topics = Arc::new(Topics::default());
        let own: Arc<Mutex<Option<Subscription>>> = Arc::default();
        let taken = Arc::clone(&own);
        let (tell, count) = counter();
        let subscription = topics.subscribe(
            topic("a", NewSession),
            |_| true,
            move |_| {
                tell.fetch_add(1, Ordering::Relaxed);
                taken.lock().unwrap().take().expect("called once").unsubscribe();
            },
        );
        *own.lock().unwrap() = Some(subscription);
        topics.publish("a", &new_session(1));
        topics.publish("a", &new_session(2));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
