//! Subscriptions to topics of the peer: settings first, then a future, then a receiver.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use moorline_protocol::{Kind, Message, MessageIndex, Meta, NoError, Overflow};
use serde::de::DeserializeOwned;

use crate::errors::{CallError, SendError, SubscriptionError};
use crate::in_flight::InFlight;
use crate::limits::INBOX_BYTES_DEFAULT;
use crate::outbox::{Arrived, NewSubscription, Outbox};
use crate::requests::{Outcome, Reply};
use crate::session_ref::SessionRef;

/// A subscription that has not been asked for yet. Awaiting it asks.
#[must_use = "a subscription is asked for when it is awaited"]
pub struct Subscribe<M> {
    session: SessionRef,
    topic: Box<str>,
    retained: bool,
    inbox_bytes: usize,
    timeout: Option<Duration>,
    meta: Meta,
    message: PhantomData<fn() -> M>,
}

impl SessionRef {
    /// Subscribes to a topic of the peer, on which it publishes messages of type `M`:
    /// `session.subscribe::<Price>("prices").retained().await`.
    ///
    /// Who must not miss a message uses a [stream](Self::open): a subscription that is not read as
    /// fast as it is published to leaves some out, and says where and how many.
    pub fn subscribe<M: Message + DeserializeOwned>(&self, topic: &str) -> Subscribe<M> {
        Subscribe {
            session: self.clone(),
            topic: topic.into(),
            retained: false,
            inbox_bytes: INBOX_BYTES_DEFAULT,
            timeout: self.shared.hub.timeout_default,
            meta: Meta::default(),
            message: PhantomData,
        }
    }
}

impl<M: Message + DeserializeOwned> Subscribe<M> {
    /// The last value that was published as retained comes first, if there is one.
    pub fn retained(mut self) -> Self {
        self.retained = true;
        self
    }

    /// What is left out when messages come faster than they are read: the oldest unless set. Both
    /// sides go by it.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.meta.overflow = overflow;
        self
    }

    /// How much may wait for the reader, in bytes and 32 for each message; 256 KiB unless set. One
    /// message alone may always wait.
    pub fn inbox_bytes(mut self, inbox_bytes: usize) -> Self {
        self.inbox_bytes = inbox_bytes;
        self
    }

    /// 0 to 7, 4 if not said: the peer lets what it publishes to this subscription go ahead of what
    /// is ordinary (6 or 7) or behind it (0 or 1).
    pub fn priority(mut self, priority: u8) -> Self {
        self.meta.priority = Some(priority.min(7));
        self
    }

    /// How long to wait for the peer's word, instead of the session's default of 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    fn start(self) -> Result<Asked<M>, SendError> {
        let Self { session, topic, retained, inbox_bytes, timeout, meta, .. } = self;
        let index = session.shared.registry.index_of::<M>()?;
        let new = NewSubscription { topic: &topic, retained, meta: &meta, inbox_bytes, timeout };
        let (id, alias) = session.shared.append(|outbox| outbox.subscribe(&new))?;
        let slot = InFlight::new(session.clone(), id, timeout);
        let subscription =
            RemoteSubscription { session, alias, index, spare: Vec::new(), message: PhantomData };
        Ok(Asked { slot, subscription: Some(subscription) })
    }
}

impl<M: Message + DeserializeOwned> IntoFuture for Subscribe<M> {
    type Output = Result<RemoteSubscription<M>, CallError<NoError>>;
    type IntoFuture = Subscribing<M>;

    fn into_future(self) -> Subscribing<M> {
        Subscribing { state: State::New(Some(self)) }
    }
}

/// The future of a subscription that is being asked for.
///
/// # Cancel safety
/// Dropped before it is ready, the subscription is taken back: the peer hears of it.
pub struct Subscribing<M: Message> {
    state: State<M>,
}

enum State<M: Message> {
    New(Option<Subscribe<M>>),
    Sent(Asked<M>),
}

/// Nothing in here is ever pinned in place.
impl<M: Message> Unpin for Subscribing<M> {}

impl<M: Message + DeserializeOwned> Subscribing<M> {
    /// Asks now, before the first poll.
    ///
    /// # Errors
    /// It could not be asked for; it must not be polled then.
    pub fn begin(&mut self) -> Result<(), SendError> {
        if let State::New(subscribe) = &mut self.state
            && let Some(subscribe) = subscribe.take()
        {
            self.state = State::Sent(subscribe.start()?);
        }
        Ok(())
    }
}

impl<M: Message + DeserializeOwned> Future for Subscribing<M> {
    type Output = Result<RemoteSubscription<M>, CallError<NoError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::New(subscribe) = &mut self.state {
            let subscribe = subscribe.take().expect("what could not be sent is not polled again");
            match subscribe.start() {
                Ok(asked) => self.state = State::Sent(asked),
                Err(error) => return Poll::Ready(Err(CallError::NotSent(error))),
            }
        }
        match &mut self.state {
            State::Sent(asked) => asked.poll(cx),
            State::New(_) => unreachable!("it was just sent"),
        }
    }
}

/// What is awaited, once it is asked for, and what it is to become.
struct Asked<M: Message> {
    slot: InFlight,
    /// Gone once the answer is here. Dropped before, it tells the peer, which may have taken it.
    subscription: Option<RemoteSubscription<M>>,
}

impl<M: Message> Asked<M> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RemoteSubscription<M>, CallError<NoError>>> {
        self.slot.poll(cx).map(|outcome| {
            let subscription = self.subscription.take().expect("it waits for one answer");
            if let Outcome::Response(_) = outcome {
                return Ok(subscription);
            }
            if let Outcome::Error { .. } = outcome {
                let shared = &*subscription.session.shared;
                let remains = shared.lock().forget_subscription(subscription.alias);
                drop(remains);
            }
            Err(self.slot.failure(outcome))
        })
    }
}

/// What the peer publishes on a topic. Dropping it ends the subscription.
pub struct RemoteSubscription<M: Message> {
    session: SessionRef,
    alias: u64,
    index: MessageIndex,
    /// A buffer that goes back to the inbox.
    spare: Vec<u8>,
    message: PhantomData<fn() -> M>,
}

/// A message that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published<M> {
    /// What it says.
    pub message: M,
    /// It had been published before the subscription began.
    pub retained: bool,
}

impl<M: Message + DeserializeOwned> RemoteSubscription<M> {
    /// The next message.
    ///
    /// # Errors
    /// [`SubscriptionError::Lagged`]: so many were left out here, on either side; the next call goes
    /// on behind them. [`SubscriptionError::Decode`]: one message is not an `M`; those behind it
    /// still come. All other errors are the end.
    ///
    /// # Cancel safety
    /// No message is lost.
    pub async fn recv(&mut self) -> Result<M, SubscriptionError> {
        self.recv_published().await.map(|published| published.message)
    }

    /// As [`recv`](Self::recv), and says whether it is a retained value.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn recv_published(&mut self) -> Result<Published<M>, SubscriptionError> {
        poll_fn(|cx| self.poll_published(cx)).await
    }

    /// As [`recv_published`](Self::recv_published), for whoever writes a future by hand.
    pub fn poll_published(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Published<M>, SubscriptionError>> {
        let shared = &*self.session.shared;
        let mut waker = Some(cx.waker().clone());
        let spare = std::mem::take(&mut self.spare);
        let polled = shared.lock().poll_subscription(self.alias, &mut waker, spare);
        drop(waker);
        polled.map(|arrived| self.decode(arrived?))
    }

    /// Outside the lock: what a user's `Deserialize` does is the user's business.
    fn decode(&mut self, arrived: Arrived) -> Result<Published<M>, SubscriptionError> {
        let Arrived { kind, body, retained } = arrived;
        let format = self.session.shared.encoder.format();
        let decoded = if kind == Kind::Known(self.index) {
            format.decode(body.bytes()).map_err(|_| SubscriptionError::Decode)
        } else {
            Err(SubscriptionError::Decode)
        };
        if let Reply::Copied(buffer) = body {
            self.spare = buffer;
        }
        Ok(Published { message: decoded?, retained })
    }
}

impl<M: Message> RemoteSubscription<M> {
    /// How many messages have been left out in all, on either side, as far as this side knows.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.session.shared.lock().left_out(self.alias)
    }

    /// The session it belongs to.
    #[must_use]
    pub fn session(&self) -> &SessionRef {
        &self.session
    }
}

impl<M: Message> Drop for RemoteSubscription<M> {
    fn drop(&mut self) {
        let unsubscribe = |outbox: &mut Outbox| Ok::<_, SendError>(outbox.unsubscribe(self.alias));
        // What waits is dropped when the lock is released.
        let _ = self.session.shared.append(unsubscribe);
    }
}

impl<M: Message> fmt::Debug for RemoteSubscription<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteSubscription").field(&self.alias).finish()
    }
}
