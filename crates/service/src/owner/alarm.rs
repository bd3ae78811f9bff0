//! The handle of an alarm.

use std::fmt;
use std::time::{Duration, Instant};

use super::Owner;
use super::alarms::AlarmKey;

/// An alarm of a session, made by [`Owner::alarm`]. It is there as long as this handle is: dropped, it
/// rings no more. So it ends with whatever keeps it: with the session in
/// [`Context::with_state`](crate::Context::with_state), with a stream in
/// [`Stream::keep`](moorline_session::Stream::keep).
///
/// All of this may be called from any thread, and while it rings; what is said then counts, and not what
/// it returns.
#[must_use = "dropped, it rings no more: keep it with what it watches, or let it be by `leave`"]
pub struct Alarm {
    owner: Owner,
    key: AlarmKey,
    left: bool,
}

impl Alarm {
    pub(super) fn new(owner: Owner, key: AlarmKey) -> Self {
        Self { owner, key, left: false }
    }

    /// It rings after this time, from now on, whatever it was set to before. Less than a millisecond
    /// counts as one, more than a year as a year.
    pub fn set(&self, after: Duration) {
        self.set_from(Instant::now(), after);
    }

    pub(super) fn set_from(&self, now: Instant, after: Duration) {
        if self.owner.desk().is_ok_and(|desk| desk.set_alarm(self.key, now, after)) {
            self.owner.stir();
        }
    }

    /// It does not ring until it is set again. Whether it would have; on another thread it may just
    /// be ringing.
    pub fn stop(&self) -> bool {
        self.owner.desk().is_ok_and(|desk| desk.stop_alarm(self.key))
    }

    /// Who rings it.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Lets it be: it ends with the session, or when it rings and does not want to again.
    pub fn leave(mut self) {
        self.left = true;
        if let Ok(desk) = self.owner.desk() {
            drop(desk.leave_alarm(self.key));
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if !self.left
            && let Ok(desk) = self.owner.desk()
        {
            drop(desk.free_alarm(self.key));
        }
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("session", &self.owner.session().id()).finish_non_exhaustive()
    }
}
