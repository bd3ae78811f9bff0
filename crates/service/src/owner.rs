//! The owner of a session, spoken to from any thread.

mod alarm;
mod alarms;
mod desk;
mod workplace;

use std::sync::Arc;
use std::time::{Duration, Instant};

use moorline_protocol::RegistryError;
use moorline_session::{SessionRef, Signals};

pub use self::alarm::Alarm;
pub(crate) use self::desk::Desk;
pub(crate) use self::workplace::Workplace;
use crate::context::Context;
use crate::handlers::SessionHandlers;

/// The task that owns a session of a [`Service`](crate::Service): it runs the session's handlers inline,
/// one after the other, and in between what is given to it here.
///
/// It is had by [`Owner::of`] and [`Context::owner`]. Cloning it is cheap; it does not keep the session
/// open.
#[derive(Clone, Debug)]
pub struct Owner {
    session: SessionRef,
}

/// Why the owner of a session did not take something. What was given is dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OwnerError {
    /// The session is over, or no service drives it.
    #[error("the session is over: nothing runs on it any more")]
    Over,
    /// So many tasks wait already: it does not keep up.
    #[error(
        "{limit} tasks wait for the owner of the session, the limit is {limit}: give it fewer, or \
         larger ones"
    )]
    Full {
        /// Tasks that may wait.
        limit: usize,
    },
    /// The session has so many alarms already.
    #[error("the session has {limit} alarms, the limit is {limit}: free those that are done")]
    Alarms {
        /// Alarms allowed.
        limit: usize,
    },
    /// A message type could not be registered.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Owner {
    /// Of this session. For a session that no service drives everything is [`OwnerError::Over`].
    #[must_use]
    pub fn of(session: &SessionRef) -> Self {
        Self { session: session.clone() }
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &SessionRef {
        &self.session
    }

    /// Runs `task` on the owner, in the order of the calls, soon: before the next message is handled,
    /// never while an inline handler, another task or an alarm of this session runs. So it must not
    /// block. Where nothing comes from the peer it runs all the same.
    ///
    /// What it needs from one time to the next it finds by [`Context::with_state`]. A task that
    /// panics is reported in the log and hurts nobody else. When the session ends, tasks that wait
    /// are dropped.
    ///
    /// # Errors
    /// [`OwnerError::Full`] where [`OWNER_TASKS_MAX`](crate::limits::OWNER_TASKS_MAX) tasks wait, and [`OwnerError::Over`].
    pub fn run(&self, task: impl FnOnce(&Context) + Send + 'static) -> Result<(), OwnerError> {
        self.desk()?.add_task(Box::new(task))?;
        self.stir();
        Ok(())
    }

    /// Gives this session handlers of its own, in one go: `owner.handlers(|own| own.on(..))`. They go
    /// before those of the service.
    ///
    /// Called by an inline handler, a task or an alarm of this session it counts from the next frame
    /// on, otherwise from the next one that is not in the owner's hands yet. What runs already runs
    /// on. The peer is told what is handled now (PROTOCOL 4) ahead of all that is sent after this call.
    ///
    /// # Errors
    /// [`OwnerError::Registry`] where a type cannot be registered, and [`OwnerError::Over`]. Then
    /// nothing has changed.
    pub fn handlers(
        &self,
        change: impl FnOnce(&mut SessionHandlers<'_>),
    ) -> Result<(), OwnerError> {
        let desk = self.desk()?;
        let mut handlers = SessionHandlers::new(self.session.registry());
        change(&mut handlers);
        desk.change_handlers(handlers.finish()?, &self.session)?;
        self.stir();
        Ok(())
    }

    /// An alarm that rings on the owner after this time, from now on; what it returns is the time until
    /// it rings again. It rings as [`run`](Self::run) runs tasks.
    ///
    /// It never rings early, and late by up to [`ALARM_TICK`](crate::limits::ALARM_TICK) and by what
    /// else the owner and the machine have to do. A session has one timer, however many alarms.
    ///
    /// # Errors
    /// [`OwnerError::Alarms`] where the session has [`ALARMS_MAX`](crate::limits::ALARMS_MAX), and [`OwnerError::Over`].
    pub fn alarm(
        &self,
        after: Duration,
        ring: impl FnMut(&Context) -> Option<Duration> + Send + 'static,
    ) -> Result<Alarm, OwnerError> {
        let now = Instant::now();
        let key = self.desk()?.add_alarm(Box::new(ring))?;
        let alarm = Alarm::new(self.clone(), key);
        alarm.set_from(now, after);
        Ok(alarm)
    }

    fn desk(&self) -> Result<&Arc<Desk>, OwnerError> {
        self.session.desk::<Arc<Desk>>().ok_or(OwnerError::Over)
    }

    /// Wakes the owner.
    fn stir(&self) {
        self.session.signal(Signals { desk: true, ..Signals::default() });
    }
}
