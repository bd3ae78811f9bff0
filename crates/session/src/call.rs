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
    timeout: Timeout,
    /// Whatever else is said, no longer than this.
    at_most: Option<Duration>,
    wants_key: bool,
    meta: Meta,
}

enum Timeout {
    /// What our settings told the peer: nothing needs to be said.
    Default,
    Own(Option<Duration>),
}

impl<Q: Request> Call<Q> {
    pub(crate) fn new(session: SessionRef, request: Q) -> Self {
        let (timeout, meta) = (Timeout::Default, Meta::default());
        Self { session, request, timeout, at_most: None, wants_key: false, meta }
    }

    /// How long to wait for the answer, instead of the session's default of 30 s. The peer is told,
    /// and drops its handler when the time is over. 0 fails at the first look.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Timeout::Own(Some(timeout));
        self
    }

    /// Waits for ever, or until the session ends.
    pub fn no_timeout(mut self) -> Self {
        self.timeout = Timeout::Own(None);
        self
    }

    /// Waits no longer than this, whatever else is or was said: for a call that is part of a greater
    /// one. Said twice, the shorter time counts.
    pub fn at_most(mut self, time: Duration) -> Self {
        self.at_most = Some(self.at_most.map_or(time, |before| before.min(time)));
        self
    }

    /// 0 to 7, 4 if not said. Above 7 counts as 7. The request and its answer overtake those of lower
    /// lanes: 6 and 7 go before 2 to 5, and these before 0 and 1.
    pub fn priority(mut self, priority: u8) -> Self {
        self.meta.priority = Some(priority.min(7));
        self
    }

    /// Says that running it twice does no harm, and gives it a random key that tells this call from
    /// any other. The peer is told both; nothing is sent again by itself yet.
    pub fn idempotent(mut self) -> Self {
        self.meta.idempotent = true;
        self.wants_key = true;
        self
    }

    /// As [`idempotent`](Self::idempotent), under a key of your own: for sending a call again that may
    /// have run. The first attempt is 0.
    pub fn idempotent_as(mut self, key: [u8; 16], attempt: u32) -> Self {
        self.meta.idempotent = true;
        self.wants_key = false;
        self.meta.idempotency_key = Some(Box::new(key));
        self.meta.attempt = attempt;
        self
    }

    /// Hands a W3C trace context to the peer's handler: 16 bytes of trace, 8 of span, 1 of flags.
    pub fn trace(mut self, trace: [u8; 25]) -> Self {
        self.meta.trace = Some(Box::new(trace));
        self
    }

    fn start(mut self) -> Result<Answer<Q>, SendError> {
        let timeout = self.time(self.session.shared.hub.timeout_default);
        let shared = &*self.session.shared;
        let index = shared.registry.index_of::<Q>()?;
        if self.wants_key {
            self.meta.idempotency_key = random_key(&shared.hub)?;
        }
        let id = with_scratch(|body| {
            shared.encode_body(&self.request, body)?;
            shared.request(index, Q::registration().name(), self.meta, timeout, body)
        })?;
        Ok(Answer { slot: InFlight::new(self.session, id, timeout), answer: PhantomData })
    }

    /// How long to wait, and what the peer is told of it: nothing where it knows.
    fn time(&mut self, default: Option<Duration>) -> Option<Duration> {
        let said = match self.timeout {
            Timeout::Default => default,
            Timeout::Own(timeout) => timeout,
        };
        let time = [said, self.at_most].into_iter().flatten().min();
        if matches!(self.timeout, Timeout::Own(_)) || time != said {
            // "For ever" travels as the longest time there is.
            self.meta.deadline = Some(time.unwrap_or(Duration::MAX));
        }
        time
    }
}

/// `None` where nobody has said whence.
fn random_key(hub: &Hub) -> Result<Option<Box<[u8; 16]>>, SendError> {
    let Some(fill) = hub.keys.get() else { return Ok(None) };
    let mut key = Box::new([0; 16]);
    if fill(&mut key) { Ok(Some(key)) } else { Err(SendError::NoRandomness) }
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
    Sent(Answer<Q>),
}

/// Nothing in here is ever pinned in place.
impl<Q: Request> Unpin for CallFuture<Q> {}

impl<Q: Request> Future for CallFuture<Q> {
    type Output = Result<Q::Response, CallError<Q::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::New(call) = &mut self.state {
            let call = call.take().expect("a call that could not be sent is not polled again");
            match call.start() {
                Ok(answer) => self.state = State::Sent(answer),
                Err(error) => return Poll::Ready(Err(CallError::NotSent(error))),
            }
        }
        match &mut self.state {
            State::Sent(answer) => answer.poll(cx),
            State::New(_) => unreachable!("it was just sent"),
        }
    }
}

/// What is awaited, once it is sent.
struct Answer<Q> {
    slot: InFlight,
    answer: PhantomData<fn() -> Q>,
}

impl<Q: Request> Answer<Q> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Q::Response, CallError<Q::Error>>> {
        self.slot.poll(cx).map(|outcome| self.conclude(outcome))
    }

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
