//! What a service offers to its peers under a name, and what it says to many of them at once.

use moorline_protocol::Message;
use moorline_session::{
    BroadcastReport, EventQueue, PublishError, PublishReport, SessionId, SessionRef, SystemEvent,
    Topic,
};

use crate::service::Service;

/// A topic by its name: to say who may have it, and to publish.
#[derive(Debug, Clone, Copy)]
#[must_use = "a topic is there for peers once it is offered with `allow`"]
pub struct TopicOffer<'a> {
    service: &'a Service,
    name: &'a str,
}

impl Service {
    /// A topic of this service. Nobody may subscribe to it until [`allow`](TopicOffer::allow) says
    /// who: `svc.topic("prices").allow(|session| session.peer().key.is_some())`.
    ///
    /// A name has 256 bytes at most and no control characters, or no peer can ask for it.
    pub fn topic<'a>(&'a self, name: &'a str) -> TopicOffer<'a> {
        TopicOffer { service: self, name }
    }

    /// Queues a message for every subscription to a topic, of all peers, encoded once.
    ///
    /// It never waits. A subscription that does not keep up leaves messages out, as its subscriber
    /// has chosen, and is told in their place how many; the report says how many subscriptions
    /// that concerned this time. Everybody hears one topic in the same order; it has none with what
    /// else a session sends, and no `barrier` waits for it.
    ///
    /// # Errors
    /// It was published to nobody: the topic is not offered, or the message cannot be encoded.
    pub fn publish<M: Message>(
        &self,
        topic: &str,
        message: &M,
    ) -> Result<PublishReport, PublishError> {
        self.inner.hub.publish_to(&self.inner.local.registry, topic, message, false)
    }

    /// As [`publish`](Self::publish), and keeps the message: who subscribes later and asks for it
    /// gets it first. A topic has one such value, the last.
    ///
    /// # Errors
    /// As there, and where all retained values together become too large.
    pub fn publish_retained<M: Message>(
        &self,
        topic: &str,
        message: &M,
    ) -> Result<PublishReport, PublishError> {
        self.inner.hub.publish_to(&self.inner.local.registry, topic, message, true)
    }

    /// Queues a post for each of these sessions, encoded once. It never blocks and never drops in
    /// silence: the report says who did not get it, and why.
    pub fn broadcast<M: Message>(
        &self,
        ids: impl IntoIterator<Item = SessionId>,
        message: &M,
    ) -> BroadcastReport {
        self.inner.hub.broadcast(ids, message)
    }

    /// As [`subscribe`](Self::subscribe), for a task that reads the events when it gets to it:
    /// `capacity` of them are kept, then the oldest is left out and counted.
    pub fn subscribe_queue<E: SystemEvent + Clone + Send>(
        &self,
        topic: Topic<E>,
        capacity: usize,
    ) -> EventQueue<E> {
        self.inner.hub.subscribe_queue(topic, capacity)
    }
}

impl TopicOffer<'_> {
    /// Offers the topic to those sessions that `rule` says yes to. It runs inline when one asks, and
    /// must not block. Said again, the new rule counts from now on; who is subscribed stays.
    pub fn allow(self, rule: impl Fn(&SessionRef) -> bool + Send + Sync + 'static) {
        self.service.inner.hub.offer_topic(self.name, rule);
    }

    /// Offers the topic to every peer that has a session.
    pub fn allow_all(self) {
        self.allow(|_| true);
    }

    /// Offers it no more, and forgets its retained value. Who is subscribed stays, and hears nothing
    /// until it is offered again.
    pub fn withdraw(self) {
        self.service.inner.hub.withdraw_topic(self.name);
    }
}
