//! What a handler knows beside its message.

use std::time::Instant;

use moorline_protocol::{Format, PeerFacts};
use moorline_session::SessionRef;

/// The surroundings of one message.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) session: SessionRef,
    pub(crate) format: Format,
    pub(crate) due: Option<Instant>,
}

impl Context {
    /// The session it came by; messages can be sent back on it.
    #[must_use]
    pub fn session(&self) -> &SessionRef {
        &self.session
    }

    /// Who sent it.
    #[must_use]
    pub fn peer(&self) -> &PeerFacts {
        self.session.peer()
    }

    /// When nobody waits for the answer any more. A handler that is still at it then is dropped.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }
}
