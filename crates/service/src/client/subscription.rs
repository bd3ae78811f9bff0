//! A subscription of a client: asked for again on each connection.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use moorline_protocol::{CloseReason, ErrorCode, Message, NoError, Overflow};
use moorline_session::{
    CallError, Published, RemoteSubscription, SendError, SessionRef, Subscribe, Subscribing,
    SubscriptionError,
};
use serde::de::DeserializeOwned;

use super::shared::{Ear, Shared};

/// A subscription that has not been asked for yet. Awaiting it asks, once there is a connection.
#[must_use = "a subscription is asked for when it is awaited"]
pub struct ClientSubscribe<M> {
    shared: Arc<Shared>,
    terms: Terms,
    timeout: Option<Duration>,
    message: std::marker::PhantomData<fn() -> M>,
}

/// What is asked for, each time.
struct Terms {
    topic: Box<str>,
    retained: bool,
    overflow: Option<Overflow>,
    inbox_bytes: Option<usize>,
    priority: Option<u8>,
}

impl<M: Message + DeserializeOwned + 'static> ClientSubscribe<M> {
    pub(super) fn new(shared: Arc<Shared>, topic: &str) -> Self {
        let terms = Terms {
            topic: topic.into(),
            retained: false,
            overflow: None,
            inbox_bytes: None,
            priority: None,
        };
        let timeout = shared.timeout;
        Self { shared, terms, timeout, message: std::marker::PhantomData }
    }

    /// The last value that was published as retained comes first, on each connection: so that a gap
    /// ends with what is true now.
    pub fn retained(mut self) -> Self {
        self.terms.retained = true;
        self
    }

    /// As that of a [`Subscribe`]. The subscription itself is never dropped for it but under
    /// [`Overflow::Close`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.terms.overflow = Some(overflow);
        self
    }

    /// As that of a [`Subscribe`].
    pub fn inbox_bytes(mut self, inbox_bytes: usize) -> Self {
        self.terms.inbox_bytes = Some(inbox_bytes);
        self
    }

    /// As that of a [`Subscribe`].
    pub fn priority(mut self, priority: u8) -> Self {
        self.terms.priority = Some(priority);
        self
    }

    /// How long to wait for a connection and the peer's first word, instead of the service's default of
    /// 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    async fn begin(self) -> Result<ClientSubscription<M>, CallError<NoError>> {
        let Self { shared, terms, timeout, .. } = self;
        let slot = Arc::new(Slot { terms, mailbox: Mutex::default() });
        let ear: Arc<dyn Ear> = Arc::<Slot<M>>::clone(&slot);
        let number = shared.attend(ear);
        let current = Current::Nothing;
        let mut subscription = ClientSubscription { shared, slot, number, current, epoch: 0 };
        let begun = poll_fn(|cx| subscription.poll_begun(cx));
        match timeout {
            None => begun.await?,
            Some(time) => tokio::time::timeout(time, begun)
                .await
                .unwrap_or(Err(CallError::NotSent(SendError::Down { waited: time })))?,
        }
        Ok(subscription)
    }
}

impl<M: Message + DeserializeOwned + 'static> IntoFuture for ClientSubscribe<M> {
    type Output = Result<ClientSubscription<M>, CallError<NoError>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// # Cancel safety
    /// Dropped before it is ready, the subscription is taken back: the peer hears of it.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.begin())
    }
}

/// What the peer publishes on a topic, over all connections of a client. Dropping it ends the
/// subscription.
pub struct ClientSubscription<M: Message + DeserializeOwned + 'static> {
    shared: Arc<Shared>,
    slot: Arc<Slot<M>>,
    number: u64,
    current: Current<M>,
    /// The connection that `current` belongs to or did last.
    epoch: u64,
}

enum Current<M: Message> {
    Nothing,
    Asking(Subscribing<M>),
    Live(RemoteSubscription<M>),
}

impl<M: Message + DeserializeOwned + 'static> ClientSubscription<M> {
    /// The next message.
    ///
    /// # Errors
    /// [`Interrupted`](SubscriptionError::Interrupted): a connection was lost here; the next call goes
    /// on with the next one. [`Refused`](SubscriptionError::Refused): that one does not give the topic.
    /// [`Closed`](SubscriptionError::Closed): the client is over. The others as those of a
    /// [`RemoteSubscription`].
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
        loop {
            if let Current::Live(live) = &mut self.current {
                let published = ready!(live.poll_published(cx));
                if !matches!(published, Err(SubscriptionError::Closed(_))) {
                    return Poll::Ready(published);
                }
                self.current = Current::Nothing;
                if self.shared.is_over().is_none() {
                    let epoch = self.epoch;
                    return Poll::Ready(Err(SubscriptionError::Interrupted { epoch }));
                }
            }
            match ready!(self.poll_next(cx)) {
                Ok(()) => {}
                Err(CallError::Fault(code, _)) => {
                    return Poll::Ready(Err(SubscriptionError::Refused(code)));
                }
                Err(CallError::Closed { reason, .. }) => {
                    return Poll::Ready(Err(SubscriptionError::Closed(reason)));
                }
                Err(CallError::NotSent(SendError::InFlight { .. })) => {
                    return Poll::Ready(Err(SubscriptionError::Refused(ErrorCode::OVERLOADED)));
                }
                Err(_) => {
                    return Poll::Ready(Err(SubscriptionError::Refused(ErrorCode::UNSUPPORTED)));
                }
            }
        }
    }

    /// Ready when it is live for the first time, or cannot be.
    fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError<NoError>>> {
        while !matches!(self.current, Current::Live(_)) {
            match ready!(self.poll_next(cx)) {
                // Who drains has a successor.
                Ok(()) | Err(CallError::Fault(ErrorCode::DRAINING, _)) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// One step towards being live. The end of the client is `Closed`.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError<NoError>>> {
        let Current::Asking(asking) = &mut self.current else {
            let (epoch, asked) = ready!(self.slot.poll_next(cx))
                .map_err(|reason| CallError::Closed { reason, sent: false })?;
            self.epoch = epoch;
            self.current = Current::Asking(asked.map_err(CallError::NotSent)?);
            return Poll::Ready(Ok(()));
        };
        let answer = ready!(Pin::new(asking).poll(cx));
        self.current = Current::Nothing;
        match answer {
            Ok(live) => self.current = Current::Live(live),
            // The connection was lost meanwhile: the next one is awaited.
            Err(CallError::Closed { .. }) => {}
            Err(refused) => return Poll::Ready(Err(refused)),
        }
        Poll::Ready(Ok(()))
    }
}

impl<M: Message + DeserializeOwned + 'static> Drop for ClientSubscription<M> {
    fn drop(&mut self) {
        self.shared.leave(self.number);
    }
}

impl<M: Message + DeserializeOwned + 'static> fmt::Debug for ClientSubscription<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientSubscription").field(&self.slot.terms.topic).finish()
    }
}

/// Where the client leaves what it has asked for on the newest connection.
struct Slot<M: Message> {
    terms: Terms,
    mailbox: Mutex<Mailbox<M>>,
}

/// Asked for, or why not.
type Asked<M> = Result<Subscribing<M>, SendError>;

struct Mailbox<M: Message> {
    next: Option<(u64, Asked<M>)>,
    /// The newest connection heard of.
    epoch: u64,
    over: Option<CloseReason>,
    waker: Option<Waker>,
}

impl<M: Message> Default for Mailbox<M> {
    fn default() -> Self {
        Self { next: None, epoch: 0, over: None, waker: None }
    }
}

impl<M: Message + DeserializeOwned + 'static> Slot<M> {
    fn lock(&self) -> MutexGuard<'_, Mailbox<M>> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(&self, session: &SessionRef) -> Subscribe<M> {
        let Terms { topic, retained, overflow, inbox_bytes, priority } = &self.terms;
        // It waits as long as the connection lives: nothing is won by asking once more.
        let mut subscribe = session.subscribe::<M>(topic).timeout(Duration::MAX);
        if *retained {
            subscribe = subscribe.retained();
        }
        if let Some(overflow) = overflow {
            subscribe = subscribe.overflow(*overflow);
        }
        if let Some(inbox_bytes) = inbox_bytes {
            subscribe = subscribe.inbox_bytes(*inbox_bytes);
        }
        if let Some(priority) = priority {
            subscribe = subscribe.priority(*priority);
        }
        subscribe
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<(u64, Asked<M>), CloseReason>> {
        let mut waker = Some(cx.waker().clone());
        let mut mailbox = self.lock();
        let found = match (mailbox.next.take(), &mailbox.over) {
            (Some(next), _) => Poll::Ready(Ok(next)),
            (None, Some(reason)) => Poll::Ready(Err(reason.clone())),
            (None, None) => {
                std::mem::swap(&mut mailbox.waker, &mut waker);
                Poll::Pending
            }
        };
        drop(mailbox);
        found
    }
}

impl<M: Message + DeserializeOwned + 'static> Ear for Slot<M> {
    /// Asks at once, whether anybody waits for messages now or not.
    fn up(&self, session: &SessionRef, epoch: u64) {
        let mut asking = self.subscribe(session).into_future();
        let asked = match asking.begin() {
            Ok(()) => Ok(asking),
            // Lost again already: there will be another.
            Err(SendError::Closed(_) | SendError::Draining) => return,
            Err(error) => Err(error),
        };
        let mut mailbox = self.lock();
        if mailbox.epoch >= epoch {
            return;
        }
        mailbox.epoch = epoch;
        // What is replaced is dropped outside the lock.
        let _before = mailbox.next.replace((epoch, asked));
        let waker = mailbox.waker.take();
        drop(mailbox);
        waker.into_iter().for_each(Waker::wake);
    }

    fn over(&self, reason: &CloseReason) {
        let mut mailbox = self.lock();
        mailbox.over = Some(reason.clone());
        let waker = mailbox.waker.take();
        drop(mailbox);
        waker.into_iter().for_each(Waker::wake);
    }
}
