//! What a handler knows beside its message.

use std::fmt;
use std::time::Instant;

use moorline_protocol::{Format, PeerFacts};
use moorline_session::SessionRef;

use crate::clock::Clock;
use crate::side::Side;
use crate::tasks::Task;
use crate::world::World;

/// The surroundings of one message, as a service gives them to its handlers, and those of the
/// simulation.
#[derive(Clone)]
pub struct Context {
    pub(crate) session: SessionRef,
    pub(crate) side: Side,
    pub(crate) format: Format,
    pub(crate) due: Option<Instant>,
    pub(crate) world: World,
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

    /// Which side the handler runs on.
    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }

    /// The virtual clock: `cx.clock().sleep(..).await`.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.world.clock
    }

    /// Starts a task of this side's process: it is gone when the side crashes.
    pub fn spawn<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> Task<T> {
        self.world.tasks.spawn(Some(self.side), work)
    }

    /// Adds a line of the application's to the trace.
    pub fn note(&self, what: &str) {
        self.world.say(self.side, format_args!("notes {what}"));
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("side", &self.side)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
