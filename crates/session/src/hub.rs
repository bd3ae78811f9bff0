//! All sessions of a process: the table, who hears of their ends, and who hears of everything.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use moorline_protocol::{CloseReason, Message, MessageRegistry};

use crate::board::{Board, PublishError, PublishReport};
use crate::close::{CloseSubscription, CloseTable, SessionEnd};
use crate::id::SessionId;
use crate::lasting::LastingId;
use crate::outbox::Flush;
use crate::session_ref::{SessionParts, SessionRef};
use crate::table::{SessionTable, TableFull};
use crate::topic::{
    NewSession, SessionClosed, Subscription, SystemEvent, SystemMessage, Topic, Topics,
};

/// One for a service; its sessions keep it alive.
pub struct Hub {
    table: SessionTable,
    closes: CloseTable,
    topics: Topics,
    pub(crate) board: Board,
    pub(crate) timeout_default: Option<Duration>,
    flush_default: OnceLock<Flush>,
    pub(crate) keys: OnceLock<KeySource>,
}

/// Fills an idempotency key with random bytes; `false` if there are none.
pub(crate) type KeySource = Box<dyn Fn(&mut [u8; 16]) -> bool + Send + Sync>;

impl Hub {
    /// For at most `sessions_max` sessions, whose calls wait `timeout_default` unless they say
    /// otherwise.
    #[must_use]
    pub fn new(sessions_max: usize, timeout_default: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            table: SessionTable::new(sessions_max),
            closes: CloseTable::default(),
            topics: Topics::default(),
            board: Board::default(),
            timeout_default,
            flush_default: OnceLock::new(),
            keys: OnceLock::new(),
        })
    }

    /// When what sessions queue leaves, unless they say otherwise. Set once, before the first of
    /// them; default is [`Flush::Auto`].
    pub fn set_flush_default(&self, flush: Flush) {
        let _ = self.flush_default.set(flush);
    }

    pub(crate) fn flush_default(&self) -> Flush {
        self.flush_default.get().copied().unwrap_or_default()
    }

    /// Where the keys of idempotent requests come from: `fill` fills one with unpredictable bytes, or
    /// says `false`. Set once; without it such requests carry no key.
    pub fn set_key_source(&self, fill: impl Fn(&mut [u8; 16]) -> bool + Send + Sync + 'static) {
        let _ = self.keys.set(Box::new(fill));
    }

    /// Drops everybody who subscribed to topics of this process: for its end, since what they hold may
    /// hold the hub.
    pub fn forget_subscribers(&self) {
        self.topics.clear();
    }

    /// Gives a new session its id and tells [`struct@NewSession`] before anything of it is dispatched.
    ///
    /// # Errors
    /// The table is full.
    pub fn open(self: &Arc<Self>, parts: SessionParts<'_>) -> Result<SessionRef, TableFull> {
        self.open_with(parts, |_| {})
    }

    /// As [`open`](Self::open); `prepare` sees the session before anybody else does.
    ///
    /// # Errors
    /// The table is full.
    pub fn open_with(
        self: &Arc<Self>,
        parts: SessionParts<'_>,
        prepare: impl FnOnce(&SessionRef),
    ) -> Result<SessionRef, TableFull> {
        let session = self.table.insert(|id| {
            self.closes.open(id);
            let session = SessionRef::new(id, Arc::clone(self), parts, None);
            prepare(&session);
            session
        })?;
        let event = NewSession { id: session.id(), direction: session.direction() };
        self.publish(session.protocol(), event);
        Ok(session)
    }

    /// Takes an id that outlives the sessions which will have it, one after the other. It counts as
    /// one of the sessions there can be, whether it has one or not.
    ///
    /// # Errors
    /// The table is full.
    pub fn reserve(self: &Arc<Self>, protocol: &'static str) -> Result<LastingId, TableFull> {
        let id = self.table.reserve()?;
        self.closes.open(id);
        Ok(LastingId::new(Arc::clone(self), id, protocol))
    }

    /// A reserved id has its next session.
    pub(crate) fn fill(&self, session: &SessionRef) -> bool {
        self.table.fill(session.id(), session.clone())
    }

    /// The session of this id, if it is still open.
    #[must_use]
    pub fn acquire(&self, id: SessionId) -> Option<SessionRef> {
        self.table.acquire(id)
    }

    /// All live sessions.
    #[must_use]
    pub fn sessions(&self) -> &SessionTable {
        &self.table
    }

    /// Calls `hear` exactly once when the session ends, at once if there is none of this id.
    pub fn subscribe_close(
        &self,
        id: SessionId,
        hear: impl FnOnce(&SessionEnd) + Send + 'static,
    ) -> CloseSubscription {
        self.closes.subscribe(id, hear)
    }

    /// Calls `hear` for each event of a topic that meets the condition.
    pub fn subscribe<E: SystemEvent>(
        &self,
        topic: Topic<E>,
        condition: impl Fn(&E) -> bool + Send + Sync + 'static,
        hear: impl Fn(&E) + Send + Sync + 'static,
    ) -> Subscription {
        self.topics.subscribe(topic, condition, hear)
    }

    /// Tells an event of a protocol.
    pub fn publish(&self, protocol: &str, event: impl Into<SystemMessage>) {
        self.topics.publish(protocol, &event.into());
    }

    /// Offers a topic to peers: `allow` says of each session that asks whether it may subscribe. It
    /// runs inline and must not block. Offered before, it goes by the new rule from now on; who is
    /// subscribed stays.
    pub fn offer_topic(
        &self,
        topic: &str,
        allow: impl Fn(&SessionRef) -> bool + Send + Sync + 'static,
    ) {
        self.board.offer(topic, allow);
    }

    /// Offers a topic no more, and forgets its retained value. Who is subscribed stays, and hears
    /// nothing until it is offered again.
    pub fn withdraw_topic(&self, topic: &str) {
        self.board.withdraw(topic);
    }

    /// Queues a message for every subscription to a topic, encoded once. `retain` keeps it for those
    /// who come later and ask for it, in place of the one before.
    ///
    /// Messages of one topic reach everybody in the same order, less what is left out of
    /// subscriptions that do not keep up. They have no order with what else a session sends, and no
    /// barrier waits for them.
    ///
    /// # Errors
    /// It was published to nobody, for the reason given.
    pub fn publish_to<M: Message>(
        &self,
        registry: &MessageRegistry,
        topic: &str,
        message: &M,
        retain: bool,
    ) -> Result<PublishReport, PublishError> {
        self.board.publish(registry, topic, message, retain)
    }

    /// A session has ended: it is found no more, then its subscribers hear of it, then everybody. An
    /// id that lasts has only lost a connection.
    pub(crate) fn close(&self, session: &SessionRef, reason: &CloseReason) {
        let id = session.id();
        if let Some(connection) = &session.shared.lasting {
            self.table.vacate(id);
            return connection.lost(session, reason);
        }
        self.table.remove(id);
        self.end(id, session.protocol(), reason);
    }

    /// A reserved id is used no more.
    pub(crate) fn release(&self, id: SessionId, protocol: &str, reason: &CloseReason) {
        self.table.remove(id);
        self.end(id, protocol, reason);
    }

    fn end(&self, id: SessionId, protocol: &str, reason: &CloseReason) {
        self.closes.close(id, reason.clone());
        self.publish(protocol, SessionClosed { id, reason: reason.clone() });
    }
}
