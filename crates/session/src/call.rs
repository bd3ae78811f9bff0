//! A request on its way: settings first, then a future.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use moorline_protocol::{ErrorCode, Meta, Request};

use crate::errors::{CallError, SendError};
use crate::hub::Hub;
use crate::in_flight::InFlight;
use crate::requests::{Outcome, Reply};
use crate::scratch::{keep_scratch, with_scratch};
use crate::session_ref::SessionRef;

/// A request that has not been sent yet. Awaiting it sends it.
#[must_use = "a request is sent when it is awaited"]
pub struct Call<Q: Request> {
    session: SessionRef,
    request: Q,
    terms: CallTerms,
}

/// How long a call may take, and what its handler is told beside the request: the settings of a
/// [`Call`] by themselves, for whoever sends a request more than once.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct CallTerms {
    timeout: Timeout,
    /// Whatever else is said, no longer than this.
    at_most: Option<Duration>,
    wants_key: bool,
    meta: Meta,
}

#[derive(Debug, Clone, Copy, Default)]
enum Timeout {
    /// What our settings told the peer: nothing needs to be said.
    #[default]
    Default,
    Own(Option<Duration>),
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*);)*) => {
        impl<Q: Request> Call<Q> {
            $($(#[$doc])* pub fn $name(mut self $(, $argument: $type)*) -> Self {
                self.terms = self.terms.$name($($argument),*);
                self
            })*
        }
    };
}

settings! {
    /// How long to wait for the answer, instead of the session's default of 30 s. The peer is told,
    /// and drops its handler when the time is over. 0 fails at the first look.
    timeout(timeout: Duration);
    /// Waits for ever, or until the session ends.
    no_timeout();
    /// Waits no longer than this, whatever else is or was said: for a call that is part of a greater
    /// one. Said twice, the shorter time counts.
    at_most(time: Duration);
    /// 0 to 7, 4 if not said. Above 7 counts as 7. The request and its answer overtake those of lower
    /// lanes: 6 and 7 go before 2 to 5, and these before 0 and 1.
    priority(priority: u8);
    /// Says that running it twice does no harm, and gives it a random key that tells this call from
    /// any other. The peer is told both; a session sends nothing again by itself, a client does.
    idempotent();
    /// As [`idempotent`](Self::idempotent), under a key of your own: for sending a call again that may
    /// have run. The first attempt is 0.
    idempotent_as(key: [u8; 16], attempt: u32);
    /// Hands a W3C trace context to the peer's handler: 16 bytes of trace, 8 of span, 1 of flags.
    trace(trace: [u8; 25]);
}

impl CallTerms {
    /// As [`Call::timeout`].
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Timeout::Own(Some(timeout));
        self
    }

    /// As [`Call::no_timeout`].
    pub const fn no_timeout(mut self) -> Self {
        self.timeout = Timeout::Own(None);
        self
    }

    /// As [`Call::at_most`].
    pub fn at_most(mut self, time: Duration) -> Self {
        self.at_most = Some(self.at_most.map_or(time, |before| before.min(time)));
        self
    }

    /// As [`Call::priority`].
    pub fn priority(mut self, priority: u8) -> Self {
        self.meta.priority = Some(priority.min(7));
        self
    }

    /// As [`Call::idempotent`].
    pub const fn idempotent(mut self) -> Self {
        self.meta.idempotent = true;
        self.wants_key = true;
        self
    }

    /// As [`Call::idempotent_as`].
    pub fn idempotent_as(mut self, key: [u8; 16], attempt: u32) -> Self {
        self.meta.idempotent = true;
        self.wants_key = false;
        self.meta.idempotency_key = Some(Box::new(key));
        self.meta.attempt = attempt;
        self
    }

    /// As [`Call::trace`].
    pub fn trace(mut self, trace: [u8; 25]) -> Self {
        self.meta.trace = Some(Box::new(trace));
        self
    }

    /// Whether running it twice does no harm.
    #[must_use]
    pub const fn is_idempotent(&self) -> bool {
        self.meta.idempotent
    }

    /// Makes the key of an idempotent call, if it has none: each attempt has the same.
    ///
    /// # Errors
    /// No randomness.
    pub fn fix_key(&mut self, hub: &Hub) -> Result<(), SendError> {
        if std::mem::take(&mut self.wants_key) {
            self.meta.idempotency_key = random_key(hub)?;
        }
        Ok(())
    }

    /// The next attempt of the same call.
    pub const fn count_attempt(&mut self) {
        self.meta.attempt = self.meta.attempt.saturating_add(1);
    }

    /// How long to wait for the answer. `None`: for ever.
    #[must_use]
    pub fn time(&self, hub: &Hub) -> Option<Duration> {
        [self.said(hub), self.at_most].into_iter().flatten().min()
    }

    fn said(&self, hub: &Hub) -> Option<Duration> {
        match self.timeout {
            Timeout::Default => hub.timeout_default,
            Timeout::Own(timeout) => timeout,
        }
    }

    /// What travels with the request. Of the time nothing where the peer knows it.
    fn into_meta(mut self, hub: &Hub) -> Meta {
        let time = self.time(hub);
        if matches!(self.timeout, Timeout::Own(_)) || time != self.said(hub) {
            // "For ever" travels as the longest time there is.
            self.meta.deadline = Some(time.unwrap_or(Duration::MAX));
        }
        self.meta
    }
}

/// `None` where nobody has said whence.
fn random_key(hub: &Hub) -> Result<Option<Box<[u8; 16]>>, SendError> {
    let Some(fill) = hub.keys.get() else { return Ok(None) };
    let mut key = Box::new([0; 16]);
    if fill(&mut key) { Ok(Some(key)) } else { Err(SendError::NoRandomness) }
}

impl<Q: Request> Call<Q> {
    pub(crate) fn new(session: SessionRef, request: Q) -> Self {
        Self { session, request, terms: CallTerms::default() }
    }
}

impl SessionRef {
    /// Sends a request that its caller keeps, so that it can be sent again. Unlike
    /// [`request`](Self::request) it sends at once.
    ///
    /// # Errors
    /// It was not sent.
    pub fn attempt<Q: Request>(
        &self,
        request: &Q,
        mut terms: CallTerms,
    ) -> Result<Attempt<Q>, SendError> {
        let shared = &*self.shared;
        let timeout = terms.time(&shared.hub);
        let index = shared.registry.index_of::<Q>()?;
        terms.fix_key(&shared.hub)?;
        let meta = terms.into_meta(&shared.hub);
        let id = with_scratch(|body| {
            shared.encode_body(request, body)?;
            shared.request(index, Q::registration().name(), meta, timeout, body)
        })?;
        Ok(Attempt { slot: InFlight::new(self.clone(), id, timeout), answer: PhantomData })
    }
}

impl<Q: Request> IntoFuture for Call<Q> {
    type Output = Result<Q::Response, CallError<Q::Error>>;
    type IntoFuture = CallFuture<Q>;

    fn into_future(self) -> CallFuture<Q> {
        CallFuture { state: State::New(Some(self)) }
    }
}

/// The future of a request.
///
/// # Cancel safety
/// Dropped before it is ready, the request is taken back: a CANCEL goes out if the request has, and
/// the peer drops its handler. Whether the handler had run by then is not known.
pub struct CallFuture<Q: Request> {
    state: State<Q>,
}

enum State<Q: Request> {
    New(Option<Call<Q>>),
    Sent(Attempt<Q>),
}

/// Nothing in here is ever pinned in place.
impl<Q: Request> Unpin for CallFuture<Q> {}

impl<Q: Request> Future for CallFuture<Q> {
    type Output = Result<Q::Response, CallError<Q::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::New(call) = &mut self.state {
            let call = call.take().expect("a call that could not be sent is not polled again");
            match call.session.attempt(&call.request, call.terms) {
                Ok(attempt) => self.state = State::Sent(attempt),
                Err(error) => return Poll::Ready(Err(CallError::NotSent(error))),
            }
        }
        match &mut self.state {
            State::Sent(attempt) => Pin::new(attempt).poll(cx),
            State::New(_) => unreachable!("it was just sent"),
        }
    }
}

/// The future of a request that was sent: see [`CallFuture`].
#[must_use = "dropping it takes the request back"]
pub struct Attempt<Q> {
    slot: InFlight,
    answer: PhantomData<fn() -> Q>,
}

impl<Q: Request> Future for Attempt<Q> {
    type Output = Result<Q::Response, CallError<Q::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.slot.poll(cx).map(|outcome| self.conclude(outcome))
    }
}

impl<Q: Request> Attempt<Q> {
    /// Decodes outside the lock: what a user's `Deserialize` does is the user's business.
    fn conclude(&self, outcome: Outcome) -> Result<Q::Response, CallError<Q::Error>> {
        let format = self.slot.session().shared.encoder.format();
        match outcome {
            Outcome::Response(reply) => {
                let decoded = format.decode(reply.bytes());
                recycle(reply);
                decoded.map_err(|_| CallError::Decode)
            }
            Outcome::Error { code: ErrorCode::APPLICATION, detail, .. } => {
                let decoded = format.decode(detail.bytes());
                recycle(detail);
                Err(decoded.map_or(CallError::Decode, CallError::App))
            }
            other => Err(self.slot.failure(other)),
        }
    }
}

/// The buffer of this answer serves the thread's next message.
fn recycle(reply: Reply) {
    if let Reply::Copied(buffer) = reply {
        keep_scratch(buffer);
    }
}
