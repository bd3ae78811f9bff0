//! What any thread lays down for the owner of a session: tasks, alarms, a change of its handlers.
//!
//! Nothing of a user's runs or is dropped under its lock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use moorline_session::SessionRef;

use super::OwnerError;
use super::alarms::{AlarmKey, Alarms, Ring};
use crate::context::Context;
use crate::handlers::{HandlerTable, Handlers, OwnHandlers};
use crate::limits::{ALARMS_MAX, OWNER_TASKS_MAX};

/// Runs once, on the owner.
pub(crate) type Task = Box<dyn FnOnce(&Context) + Send>;

/// One for each session, found through its [`SessionRef`](moorline_session::SessionRef). A session that
/// nobody lays anything down for has the two counters and an empty place.
pub(crate) struct Desk {
    handlers: Arc<Handlers>,
    /// There are tasks, or an alarm that is earlier than the owner knows.
    stirred: AtomicBool,
    /// Changes when the session's own handlers do.
    version: AtomicU64,
    drawer: Mutex<Drawer>,
}

/// What lies on it.
enum Drawer {
    Empty,
    InUse(Box<Contents>),
    /// The session is over.
    Closed,
}

#[derive(Default)]
struct Contents {
    tasks: Vec<Task>,
    alarms: Alarms,
    /// When the owner will look at the alarms by itself.
    watched: Option<Instant>,
    own: Option<OwnHandlers>,
}

impl Desk {
    pub(crate) fn new(handlers: Arc<Handlers>) -> Self {
        Self {
            handlers,
            stirred: AtomicBool::new(false),
            version: AtomicU64::new(0),
            drawer: Mutex::new(Drawer::Empty),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Drawer> {
        self.drawer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- from any thread -------------------------------------------------------------------

    // What is refused is dropped with the arguments, after the lock was released.

    pub(crate) fn add_task(&self, task: Task) -> Result<(), OwnerError> {
        let mut drawer = self.lock();
        let contents = drawer.contents()?;
        if contents.tasks.len() >= OWNER_TASKS_MAX {
            return Err(OwnerError::Full { limit: OWNER_TASKS_MAX });
        }
        contents.tasks.push(task);
        drop(drawer);
        self.stirred.store(true, Ordering::Release);
        Ok(())
    }

    pub(crate) fn add_alarm(&self, ring: Ring) -> Result<AlarmKey, OwnerError> {
        let mut drawer = self.lock();
        let added = drawer.contents()?.alarms.add(ring);
        drop(drawer);
        added.map_err(|_ring| OwnerError::Alarms { limit: ALARMS_MAX })
    }

    /// Whether the owner has to hear of it.
    pub(crate) fn set_alarm(&self, key: AlarmKey, now: Instant, after: Duration) -> bool {
        let mut drawer = self.lock();
        let Drawer::InUse(contents) = &mut *drawer else { return false };
        contents.alarms.set(key, now, after);
        let (next, watched) = (contents.alarms.next_due(), contents.watched);
        drop(drawer);
        let earlier = next.is_some_and(|next| watched.is_none_or(|watched| next < watched));
        if earlier {
            self.stirred.store(true, Ordering::Release);
        }
        earlier
    }

    pub(crate) fn stop_alarm(&self, key: AlarmKey) -> bool {
        match &mut *self.lock() {
            Drawer::InUse(contents) => contents.alarms.stop(key),
            _ => false,
        }
    }

    /// What it would have done is dropped by the caller.
    #[must_use]
    pub(crate) fn free_alarm(&self, key: AlarmKey) -> Option<Ring> {
        match &mut *self.lock() {
            Drawer::InUse(contents) => contents.alarms.free(key),
            _ => None,
        }
    }

    #[must_use]
    pub(crate) fn leave_alarm(&self, key: AlarmKey) -> Option<Ring> {
        match &mut *self.lock() {
            Drawer::InUse(contents) => contents.alarms.leave(key),
            _ => None,
        }
    }

    /// Changes the handlers of the session, and tells its peer, both under the lock: so what the peer
    /// was told last is how it is.
    pub(crate) fn change_handlers(
        &self,
        change: OwnHandlers,
        session: &SessionRef,
    ) -> Result<(), OwnerError> {
        let mut drawer = self.lock();
        let contents = drawer.contents()?;
        let before = contents.own.take();
        let own = match &before {
            Some(own) => own.changed(change),
            None => OwnHandlers::default().changed(change),
        };
        let table = own.over(&self.handlers.snapshot());
        contents.own = Some(own);
        session.set_handled(table.handled.clone());
        self.version.fetch_add(1, Ordering::Release);
        drop(drawer);
        // What was replaced is dropped here, outside the lock.
        drop((before, table));
        Ok(())
    }

    // ---- the owner -------------------------------------------------------------------------

    /// Changes when the handlers do, of the service or of the session.
    pub(crate) fn version(&self) -> (u64, u64) {
        (self.handlers.version(), self.version.load(Ordering::Acquire))
    }

    /// All handlers of the session, and tells its peer: for one without its own those of its service,
    /// not copied.
    pub(crate) fn table(&self, session: &SessionRef) -> Arc<HandlerTable> {
        let drawer = self.lock();
        let table = self.handlers.snapshot();
        let table = match &*drawer {
            Drawer::InUse(contents) => match &contents.own {
                Some(own) => Arc::new(own.over(&table)),
                None => table,
            },
            _ => table,
        };
        session.set_handled(table.handled.clone());
        table
    }

    pub(crate) fn is_stirred(&self) -> bool {
        self.stirred.load(Ordering::Acquire)
    }

    /// Takes the tasks that wait into `tasks`, an empty list; when the next alarm rings.
    pub(crate) fn collect(&self, tasks: &mut Vec<Task>) -> Option<Instant> {
        self.stirred.store(false, Ordering::Release);
        let mut drawer = self.lock();
        let Drawer::InUse(contents) = &mut *drawer else { return None };
        std::mem::swap(&mut contents.tasks, tasks);
        contents.watched = contents.alarms.next_due();
        contents.watched
    }

    /// When the next alarm rings.
    pub(crate) fn collect_alarm(&self) -> Option<Instant> {
        let mut drawer = self.lock();
        let Drawer::InUse(contents) = &mut *drawer else { return None };
        contents.watched = contents.alarms.next_due();
        contents.watched
    }

    pub(crate) fn take_due(&self, now: Instant) -> Option<(AlarmKey, Ring)> {
        match &mut *self.lock() {
            Drawer::InUse(contents) => contents.alarms.take_due(now),
            _ => None,
        }
    }

    #[must_use]
    pub(crate) fn put_back(
        &self,
        key: AlarmKey,
        ring: Ring,
        now: Instant,
        again: Option<Duration>,
    ) -> Option<Ring> {
        match &mut *self.lock() {
            Drawer::InUse(contents) => contents.alarms.put_back(key, ring, now, again),
            _ => Some(ring),
        }
    }

    /// Idle: gives back what can be had again.
    pub(crate) fn park(&self) {
        if let Drawer::InUse(contents) = &mut *self.lock() {
            contents.tasks.shrink_to_fit();
        }
    }

    /// The session is over: nothing of what lies here runs, and nothing more is taken.
    pub(crate) fn close(&self) {
        let contents = std::mem::replace(&mut *self.lock(), Drawer::Closed);
        drop(contents);
    }
}

impl Drawer {
    fn contents(&mut self) -> Result<&mut Contents, OwnerError> {
        if let Drawer::Empty = self {
            *self = Drawer::InUse(Box::default());
        }
        match self {
            Drawer::InUse(contents) => Ok(contents),
            Drawer::Empty | Drawer::Closed => Err(OwnerError::Over),
        }
    }
}
