//! What a handler knows beside its message.

use std::any::Any;
use std::time::{Duration, Instant};

use moorline_protocol::{Format, Meta, PeerFacts, Request};
use moorline_session::{Call, SessionRef};

use crate::client::Client;
use crate::owner::Owner;
use crate::state::State;

/// The surroundings of one message.
#[derive(Debug)]
pub struct Context {
    pub(crate) session: SessionRef,
    pub(crate) client: Option<Client>,
    pub(crate) format: Format,
    pub(crate) due: Option<Instant>,
    pub(crate) said: Said,
    /// Where the owner of the session calls with it.
    state: Option<Box<State>>,
}

/// What a handler takes with it elsewhere is not the owner's any more.
impl Clone for Context {
    fn clone(&self) -> Self {
        let Self { session, client, format, due, said, state: _ } = self;
        let (session, client, said) = (session.clone(), client.clone(), said.clone());
        Self { session, client, format: *format, due: *due, said, state: None }
    }
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
    pub(crate) fn of_owner(session: SessionRef, client: Option<Client>, format: Format) -> Self {
        let (said, state) = (Said::default(), Some(Box::default()));
        Self { session, client, format, due: None, said, state }
    }

    /// The session it came by; messages can be sent back on it. It may be kept for longer than the
    /// handler runs, so calls made on it have a time of their own: [`request`](Self::request) hands on
    /// what is left of this one's.
    #[must_use]
    pub fn session(&self) -> &SessionRef {
        &self.session
    }

    /// The client whose connection it came by, if it is one that connects again.
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// Who sent it.
    #[must_use]
    pub fn peer(&self) -> &PeerFacts {
        self.session.peer()
    }

    // ---- the owner of the session ------------------------------------------------------------

    /// The owner of the session: it runs inline handlers, tasks and alarms one after the other, and
    /// can be given more of them.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::of(&self.session)
    }

    /// Works with the session's value of type `T`, made by `Default` the first time and dropped with
    /// the session. Inline handlers, tasks and alarms of a session share it, and need no lock, since
    /// only one of them runs at a time: `cx.with_state(|game: &mut Game| game.moves += 1)`.
    ///
    /// `None` where that is not so: in an async handler and a stream's, which run beside the others
    /// (they ask by [`Owner::run`]), and within itself for the same type.
    pub fn with_state<T: Any + Send + Default, R>(
        &self,
        work: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        self.state.as_ref()?.with(work)
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
