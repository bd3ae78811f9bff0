//! What a handler knows beside its message.

use std::time::{Duration, Instant};

use moorline_protocol::{Format, Meta, PeerFacts, Request};
use moorline_session::{Call, SessionRef};

/// The surroundings of one message.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) session: SessionRef,
    pub(crate) format: Format,
    pub(crate) due: Option<Instant>,
    pub(crate) said: Said,
}

/// What the sender said beside the body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    trace: Option<Box<[u8; 25]>>,
    idempotency_key: Option<Box<[u8; 16]>>,
    idempotent: bool,
    attempt: u32,
}

impl From<Meta> for Said {
    fn from(meta: Meta) -> Self {
        let Meta { trace, idempotency_key, idempotent, attempt, .. } = meta;
        Self { trace, idempotency_key, idempotent, attempt }
    }
}

impl Context {
    pub(crate) fn new(session: SessionRef, format: Format) -> Self {
        Self { session, format, due: None, said: Said::default() }
    }

    /// The session it came by; messages can be sent back on it. It may be kept for longer than the
    /// handler runs, so calls made on it have a time of their own: [`request`](Self::request) hands on
    /// what is left of this one's.
    #[must_use]
    pub fn session(&self) -> &SessionRef {
        &self.session
    }

    /// Who sent it.
    #[must_use]
    pub fn peer(&self) -> &PeerFacts {
        self.session.peer()
    }

    // ---- time ------------------------------------------------------------------------------

    /// When nobody waits for the answer any more. A handler that is still at it then is dropped.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// The time until [`deadline`](Self::deadline). `None`: for ever.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Asks the sender back, within the time that remains for the answer to this message and under
    /// the same trace context. Whoever handles it knows how little time there is.
    pub fn request<Q: Request>(&self, request: Q) -> Call<Q> {
        self.request_to(&self.session, request)
    }

    /// As [`request`](Self::request), asks somebody else.
    pub fn request_to<Q: Request>(&self, session: &SessionRef, request: Q) -> Call<Q> {
        let mut call = session.request(request);
        if let Some(remaining) = self.remaining() {
            call = call.at_most(remaining);
        }
        if let Some(trace) = self.trace() {
            call = call.trace(trace);
        }
        call
    }

    // ---- what the sender said --------------------------------------------------------------

    /// Whether the caller says that running it twice does no harm.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.said.idempotent
    }

    /// Tells a call from any other, and is the same in each attempt of it. The caller makes it: two
    /// callers may use the same, so remember it together with who they are.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<[u8; 16]> {
        self.said.idempotency_key.as_deref().copied()
    }

    /// Which attempt of the call this is; the first is 0.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.said.attempt
    }

    /// W3C trace context of the sender: 16 bytes of trace, 8 of span, 1 of flags.
    #[must_use]
    pub fn trace(&self) -> Option<[u8; 25]> {
        self.said.trace.as_deref().copied()
    }
}
