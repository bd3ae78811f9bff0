//! Topics that peers may subscribe to: who offers them, who hears of them, what was said last.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use moorline_protocol::{Format, Message, MessageIndex, MessageRegistry, RegistryError};

use crate::id::SessionId;
use crate::limits::RETAINED_BYTES_MAX;
use crate::outbox::{Offered, Wanted};
use crate::scratch::with_scratch;
use crate::session_ref::{SessionRef, Shared};

/// What became of a message that was published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishReport {
    /// Subscriptions that it was queued for.
    pub subscriptions: usize,
    /// Subscriptions that something was left out of, this message or an older one. They are told.
    pub lagging: usize,
}

/// Why a message was not published, to nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Nobody may subscribe to this topic: it is not offered.
    #[error("the topic is not offered here: say who may have it first, `topic(name).allow(..)`")]
    NotOffered,
    /// The value could not be encoded.
    #[error("the message could not be encoded: {0}")]
    Encode(Box<str>),
    /// The message type could not be registered.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Retained values take up too much.
    #[error("{bytes} bytes of retained values, the limit is {limit}: retain less, or shorter ones")]
    Retained {
        /// Bytes there would be.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

/// Who may subscribe to a topic.
type Rule = Arc<dyn Fn(&SessionRef) -> bool + Send + Sync>;

/// All topics of a process that peers may subscribe to.
#[derive(Default)]
pub(crate) struct Board {
    topics: Mutex<BTreeMap<Box<str>, Arc<Audience>>>,
    /// The sum of the retained values.
    retained_bytes: AtomicUsize,
}

/// One topic. Its lock is taken before that of any outbox, and held while a message is queued for
/// everybody: so each subscriber hears the same, in the same order.
pub(crate) struct Audience {
    name: Box<str>,
    seats: Mutex<Seats>,
}

#[derive(Default)]
struct Seats {
    /// `None`: it is not offered any more.
    rule: Option<Rule>,
    /// By session and the number that the subscriber has given. A session's driver leaves its seats
    /// before it goes, so none of them is ever the last to hold a session.
    taken: BTreeMap<(SessionId, u64), Weak<Shared>>,
    retained: Option<Arc<Publication>>,
    /// Lent to whoever publishes.
    wakers: Vec<Waker>,
}

/// A message, encoded once for everybody.
pub(crate) struct Publication {
    pub(crate) index: MessageIndex,
    pub(crate) body: Box<[u8]>,
}

/// Whether somebody may subscribe.
pub(crate) enum Decision {
    Yes(Arc<Audience>),
    NotOffered,
    Forbidden,
    /// The rule panicked.
    Failed,
}

impl Board {
    pub(crate) fn offer(
        &self,
        topic: &str,
        allow: impl Fn(&SessionRef) -> bool + Send + Sync + 'static,
    ) {
        let audience = {
            let mut topics = self.lock();
            let make = || Arc::new(Audience { name: topic.into(), seats: Mutex::default() });
            let audience = Arc::clone(topics.entry(topic.into()).or_insert_with(make));
            // Under both locks, so that nobody takes it away as unused meanwhile.
            let old = audience.lock().rule.replace(Arc::new(allow));
            drop(topics);
            drop(old);
            audience
        };
        drop(audience);
    }

    pub(crate) fn withdraw(&self, topic: &str) {
        let Some(audience) = self.find(topic) else { return };
        let mut seats = audience.lock();
        let (rule, retained) = (seats.rule.take(), seats.retained.take());
        drop(seats);
        drop(rule);
        self.forget_retained(retained.as_deref());
        self.prune(topic);
    }

    /// Asks whether somebody may subscribe. No lock is held meanwhile.
    pub(crate) fn decide(&self, session: &SessionRef, topic: &str) -> Decision {
        let Some(audience) = self.find(topic) else { return Decision::NotOffered };
        let Some(rule) = audience.lock().rule.clone() else { return Decision::NotOffered };
        match catch_unwind(AssertUnwindSafe(|| rule(session))) {
            Ok(true) => Decision::Yes(audience),
            Ok(false) => Decision::Forbidden,
            Err(_) => Decision::Failed,
        }
    }

    /// Encodes once, queues for everybody.
    pub(crate) fn publish<M: Message>(
        &self,
        registry: &MessageRegistry,
        topic: &str,
        message: &M,
        retain: bool,
    ) -> Result<PublishReport, PublishError> {
        let audience = self.find(topic).ok_or(PublishError::NotOffered)?;
        let index = registry.index_of::<M>()?;
        if !retain && audience.is_nobody()? {
            return Ok(PublishReport::default());
        }
        let body = with_scratch(|body| {
            // The one format there is: what speaks another will have its own encoding here.
            let encoded = Format::MessagePack.encode(message, body);
            encoded.map(|()| Box::from(&body[..]))
        });
        let body = body.map_err(|error| PublishError::Encode(error.to_string().into()))?;
        let publication = Arc::new(Publication { index, body });
        let mut seats = audience.lock();
        if seats.rule.is_none() {
            return Err(PublishError::NotOffered);
        }
        if retain {
            self.retain(&mut seats, &publication)?;
        }
        let mut wakers = std::mem::take(&mut seats.wakers);
        let report = seats.publish(&publication, &mut wakers);
        drop(seats);
        wakers.drain(..).for_each(Waker::wake);
        audience.lock().wakers = wakers;
        Ok(report)
    }

    fn retain(
        &self,
        seats: &mut Seats,
        publication: &Arc<Publication>,
    ) -> Result<(), PublishError> {
        let more = publication.body.len();
        let bytes = self.retained_bytes.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        let less = seats.retained.as_ref().map_or(0, |old| old.body.len());
        if bytes - less > RETAINED_BYTES_MAX {
            self.retained_bytes.fetch_sub(more, Ordering::Relaxed);
            let limit = RETAINED_BYTES_MAX;
            return Err(PublishError::Retained { bytes: bytes - less, limit });
        }
        self.retained_bytes.fetch_sub(less, Ordering::Relaxed);
        seats.retained = Some(Arc::clone(publication));
        Ok(())
    }

    fn forget_retained(&self, retained: Option<&Publication>) {
        let less = retained.map_or(0, |retained| retained.body.len());
        self.retained_bytes.fetch_sub(less, Ordering::Relaxed);
    }

    /// A subscription is over.
    pub(crate) fn leave(&self, audience: &Audience, id: SessionId, alias: u64) {
        let mut seats = audience.lock();
        seats.taken.remove(&(id, alias));
        let unused = seats.is_unused();
        drop(seats);
        if unused {
            self.prune(&audience.name);
        }
    }

    /// Takes away a topic that nobody offers and nobody hears of.
    fn prune(&self, topic: &str) {
        if let Entry::Occupied(place) = self.lock().entry(topic.into())
            && place.get().lock().is_unused()
        {
            place.remove();
        }
    }

    fn find(&self, topic: &str) -> Option<Arc<Audience>> {
        self.lock().get(topic).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Arc<Audience>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Audience {
    /// Gives a subscription its seat, and the retained value if that is wanted; `false` if the topic
    /// was withdrawn meanwhile.
    pub(crate) fn admit(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        wanted: Wanted,
        retained: bool,
    ) -> bool {
        let mut seats = self.lock();
        if seats.rule.is_none() {
            return false;
        }
        seats.taken.insert((shared.id, wanted.alias), Arc::downgrade(shared));
        let mut outbox = shared.lock();
        outbox.open_outlet(wanted, Arc::clone(self));
        if let Some(last) = seats.retained.as_ref().filter(|_| retained) {
            outbox.publish(wanted.alias, last, (true, last.fits(shared)));
        }
        true
    }

    fn is_nobody(&self) -> Result<bool, PublishError> {
        let seats = self.lock();
        if seats.rule.is_none() {
            return Err(PublishError::NotOffered);
        }
        Ok(seats.taken.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    fn publish(&self, publication: &Arc<Publication>, wakers: &mut Vec<Waker>) -> PublishReport {
        let mut report = PublishReport::default();
        for (&(_, alias), shared) in &self.taken {
            let Some(shared) = shared.upgrade() else { continue };
            let fits = publication.fits(&shared);
            let mut outbox = shared.lock();
            let offered = outbox.publish(alias, publication, (false, fits));
            if offered != Offered::Gone {
                wakers.extend(outbox.rouse());
                report.subscriptions += 1;
                report.lagging += usize::from(offered == Offered::LeftOut);
            }
        }
        report
    }

    fn is_unused(&self) -> bool {
        self.rule.is_none() && self.taken.is_empty()
    }
}

impl Publication {
    /// Whether the peer takes messages of this size.
    fn fits(&self, shared: &Shared) -> bool {
        self.body.len() as u64 <= shared.limits.message_max
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("topics", &self.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(len: usize) -> Arc<Publication> {
        Arc::new(Publication { index: MessageIndex::new(0), body: vec![0; len].into() })
    }

    #[test]
    fn retained_values_have_a_limit_and_give_it_back() {
        let board = Board::default();
        let [mut a, mut b, mut c] = [Seats::default(), Seats::default(), Seats::default()];
        let half = RETAINED_BYTES_MAX / 2;
        board.retain(&mut a, &publication(half)).unwrap();
        board.retain(&mut b, &publication(half)).unwrap();
        let full = board.retain(&mut c, &publication(1)).unwrap_err();
        let (bytes, limit) = (RETAINED_BYTES_MAX + 1, RETAINED_BYTES_MAX);
        assert_eq!(full, PublishError::Retained { bytes, limit });
        assert!(c.retained.is_none());
        // One in place of another counts for what it is more.
        board.retain(&mut a, &publication(half - 1)).unwrap();
        board.retain(&mut c, &publication(1)).unwrap();
        board.forget_retained(b.retained.take().as_deref());
        assert_eq!(board.retained_bytes.load(Ordering::Relaxed), half);
    }

    #[test]
    fn a_topic_that_nobody_offers_or_hears_of_is_forgotten() {
        let board = Board::default();
        board.offer("a", |_| true);
        board.offer("b", |_| true);
        let id = SessionId::new(1).unwrap();
        let b = board.find("b").unwrap();
        b.lock().taken.insert((id, 1), Weak::new());
        board.withdraw("a");
        board.withdraw("b");
        assert!(board.find("a").is_none());
        assert!(board.find("b").is_some(), "somebody is subscribed");
        board.leave(&b, id, 1);
        assert!(board.find("b").is_none());
    }
}
