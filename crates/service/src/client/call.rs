//! A request of a client: it waits for a connection, and outlives one if it may.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use moorline_protocol::{CloseReason, ErrorCode, Request};
use moorline_session::{Attempt, CallError, CallTerms, Executed, SendError, SessionRef};

use super::shared::Shared;

/// A request that has not been sent yet. Awaiting it sends it, once there is a connection.
#[must_use = "a request is sent when it is awaited"]
pub struct ClientCall<Q: Request> {
    shared: Arc<Shared>,
    request: Q,
    terms: CallTerms,
}

impl<Q: Request> ClientCall<Q> {
    pub(super) fn new(shared: Arc<Shared>, request: Q) -> Self {
        Self { shared, request, terms: CallTerms::default() }
    }
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*);)*) => {
        impl<Q: Request> ClientCall<Q> {
            $($(#[$doc])* pub fn $name(mut self $(, $argument: $type)*) -> Self {
                self.terms = self.terms.$name($($argument),*);
                self
            })*
        }
    };
}

settings! {
    /// How long to wait for the answer, connections and all, instead of the service's default of 30 s.
    timeout(timeout: Duration);
    /// Waits for ever, or until the client is closed.
    no_timeout();
    /// Waits no longer than this, whatever else is or was said.
    at_most(time: Duration);
    /// As that of a [`Call`](moorline_session::Call::priority).
    priority(priority: u8);
    /// Says that running it twice does no harm: when a connection is lost it is sent again on the next,
    /// under the same random key, with the next number of attempt, and within the same time.
    idempotent();
    /// As [`idempotent`](Self::idempotent), under a key of your own. The first attempt is 0.
    idempotent_as(key: [u8; 16], attempt: u32);
    /// As that of a [`Call`](moorline_session::Call::trace).
    trace(trace: [u8; 25]);
}

impl<Q: Request> IntoFuture for ClientCall<Q> {
    type Output = Result<Q::Response, CallError<Q::Error>>;
    type IntoFuture = ClientCallFuture<Q>;

    fn into_future(self) -> ClientCallFuture<Q> {
        ClientCallFuture {
            call: self,
            from: None,
            waited: false,
            may_have_run: None,
            state: State::Down,
        }
    }
}

/// The future of a client's request.
///
/// # Cancel safety
/// As that of a [`CallFuture`](moorline_session::CallFuture): dropped, the request is taken back, and
/// not sent again.
pub struct ClientCallFuture<Q: Request> {
    call: ClientCall<Q>,
    /// When its time began.
    from: Option<Instant>,
    /// Some of its time is gone, so that the peer has to be told how much is left.
    waited: bool,
    /// It left on a connection that was lost.
    may_have_run: Option<CloseReason>,
    state: State<Q>,
}

enum State<Q: Request> {
    Down,
    Waiting(Pin<Box<Wait>>),
    Sent(SessionRef, Attempt<Q>),
}

/// For a connection, or the end of the time.
type Wait = dyn Future<Output = Waited> + Send;

enum Waited {
    Up,
    Closed(CloseReason),
    TooLong,
}

/// Nothing in here is ever pinned in place.
impl<Q: Request> Unpin for ClientCallFuture<Q> {}

impl<Q: Request> Future for ClientCallFuture<Q> {
    type Output = Result<Q::Response, CallError<Q::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.from.is_none() {
            // Each attempt has the same key.
            if let Err(error) = this.call.terms.fix_key(this.call.shared.lasting.hub()) {
                return Poll::Ready(Err(CallError::NotSent(error)));
            }
            this.from = Some(Instant::now());
        }
        loop {
            let mut is_open = false;
            let ended = match &mut this.state {
                State::Down => match this.send() {
                    Ok(state) => {
                        this.state = state;
                        continue;
                    }
                    Err(error) => Err(CallError::NotSent(error)),
                },
                State::Waiting(wait) => match ready!(wait.as_mut().poll(cx)) {
                    Waited::Up => {
                        this.state = State::Down;
                        continue;
                    }
                    Waited::Closed(reason) => return Poll::Ready(Err(this.over(reason))),
                    Waited::TooLong => return Poll::Ready(Err(this.too_late())),
                },
                State::Sent(session, attempt) => {
                    let ended = ready!(Pin::new(attempt).poll(cx));
                    is_open = session.is_open();
                    ended
                }
            };
            match this.goes_on(ended, is_open) {
                Some(ended) => return Poll::Ready(ended),
                None => this.state = this.wait(),
            }
        }
    }
}

impl<Q: Request> ClientCallFuture<Q> {
    /// Sends it if there is a connection.
    fn send(&mut self) -> Result<State<Q>, SendError> {
        let Some(session) = self.call.shared.session() else { return Ok(self.wait()) };
        let mut terms = self.call.terms.clone();
        if self.waited
            && let Some(left) = self.left()
        {
            terms = terms.at_most(left);
        }
        let attempt = session.attempt(&self.call.request, terms)?;
        Ok(State::Sent(session, attempt))
    }

    /// Whether an attempt was the last: `None` if there is to be another. `is_open`: its session takes
    /// something new.
    fn goes_on(
        &mut self,
        ended: Result<Q::Response, CallError<Q::Error>>,
        is_open: bool,
    ) -> Option<Result<Q::Response, CallError<Q::Error>>> {
        match ended {
            // What certainly has not run is as good as not sent, and there will be another session.
            Err(
                CallError::NotSent(SendError::Closed(_) | SendError::Draining)
                | CallError::Closed { sent: false, .. }
                | CallError::Fault(ErrorCode::DRAINING, _),
            ) if !is_open => None,
            Err(CallError::Closed { reason, sent: true }) if self.call.terms.is_idempotent() => {
                self.may_have_run = Some(reason);
                self.call.terms.count_attempt();
                None
            }
            // What this attempt says of itself is not true of the one before.
            Err(error) if error.executed() == Executed::No => {
                let before = self.may_have_run.take();
                let before = before.map(|reason| CallError::Closed { reason, sent: true });
                Some(Err(before.unwrap_or(error)))
            }
            ended => Some(ended),
        }
    }

    /// How much of its time is left. `None`: it has as much as it wants.
    fn left(&self) -> Option<Duration> {
        let time = self.call.terms.time(self.call.shared.lasting.hub())?;
        let gone = self.from.map_or(Duration::ZERO, |from| from.elapsed());
        Some(time.saturating_sub(gone))
    }

    fn wait(&mut self) -> State<Q> {
        self.waited = true;
        let (shared, left) = (Arc::clone(&self.call.shared), self.left());
        State::Waiting(Box::pin(async move {
            let up = shared.wait_until(|| match shared.finished().or_else(|| shared.is_over()) {
                Some(reason) => Some(Waited::Closed(reason)),
                None => shared.session().filter(SessionRef::is_open).map(|_| Waited::Up),
            });
            let Some(left) = left else { return up.await };
            tokio::time::timeout(left, up).await.unwrap_or(Waited::TooLong)
        }))
    }

    /// The client is closed while it waits.
    fn over(&mut self, reason: CloseReason) -> CallError<Q::Error> {
        match self.may_have_run.take() {
            Some(_) => CallError::Closed { reason, sent: true },
            None => CallError::NotSent(SendError::Closed(reason)),
        }
    }

    /// No connection in time.
    fn too_late(&self) -> CallError<Q::Error> {
        let limit = self.call.terms.time(self.call.shared.lasting.hub()).unwrap_or(Duration::MAX);
        match self.may_have_run {
            Some(_) => CallError::Timeout { limit },
            None => CallError::NotSent(SendError::Down { waited: limit }),
        }
    }
}
