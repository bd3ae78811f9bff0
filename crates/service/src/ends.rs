//! What a driver knows of the end of its session: when it must come, how far it has, and what is not
//! done by then.

use std::time::{Duration, Instant};

use moorline_session::{Direction, SessionRef, Unfinished};

use crate::drain::LeftBehind;
use crate::lifetime::{Aged, Lifetime};
use crate::limits::CUT_WAIT;
use crate::service::Patience;

pub(crate) struct Ends {
    pub(crate) close_wait: Duration,
    /// When closing must be done, once it has begun.
    close_by: Option<Instant>,
    /// The time for closing is over: the peer has been waited for.
    pub(crate) late: bool,
    /// Nothing more is written.
    pub(crate) shut_down: bool,
    /// The peer was asked to start nothing new.
    pub(crate) draining: bool,
    lifetime: Option<Lifetime>,
    pub(crate) left: LeftBehind,
    /// The service was asked to stop before anything of this was cut: its report tells of it.
    pub(crate) of_shutdown: bool,
}

impl Ends {
    pub(crate) fn new(now: Instant, session: &SessionRef, patience: &Patience) -> Self {
        let age = patience.age.filter(|_| session.direction() == Direction::Accepted);
        Self {
            close_wait: patience.close,
            close_by: None,
            late: false,
            shut_down: false,
            draining: false,
            lifetime: age.map(|age| Lifetime::new(now, session.id(), age, patience.drain)),
            left: LeftBehind::default(),
            of_shutdown: false,
        }
    }

    /// The service is asked to stop.
    pub(crate) fn shuts_down(&mut self) {
        self.of_shutdown |= self.close_by.is_none();
    }

    /// What its age asks for now.
    pub(crate) fn aged(&mut self, now: Instant) -> Option<Aged> {
        self.lifetime.as_mut().and_then(|life| life.look(now))
    }

    /// When to look again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let age = self.lifetime.as_ref().and_then(Lifetime::deadline);
        [self.close_by, age].into_iter().flatten().min()
    }

    /// Closing has begun; when it must be done.
    pub(crate) fn closes(&mut self, now: Instant) -> Instant {
        // Its age does not matter any more.
        self.lifetime = None;
        *self.close_by.get_or_insert(now + self.close_wait)
    }

    /// It is cut short: what is not done stays so.
    pub(crate) fn cut(&mut self, now: Instant, unfinished: Unfinished) {
        self.close_by = Some(now + CUT_WAIT);
        let Unfinished { handlers, calls, streams } = unfinished;
        self.left += LeftBehind { bytes: 0, handlers, calls, streams };
    }
}
