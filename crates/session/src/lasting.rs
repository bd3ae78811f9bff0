//! Ids that outlive their connections: what a client that reconnects is known by.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use moorline_protocol::{CloseReason, ErrorCode, Farewell, Lane, MessageIndex};

use crate::errors::SendError;
use crate::hub::Hub;
use crate::id::SessionId;
use crate::session_ref::{SessionParts, SessionRef};
use crate::topic::{NewSession, SessionDown, SessionUp};

/// An id that has one session after the other. [`acquire`](Hub::acquire) finds the one of now; who
/// has subscribed to its close hears of [`end`](Self::end), once, and not of lost connections.
pub struct LastingId {
    hub: Arc<Hub>,
    id: SessionId,
    protocol: &'static str,
    epoch: AtomicU64,
    ended: AtomicBool,
}

/// Whoever keeps such an id. It is called with no lock held, and before everybody else is told.
pub trait Keeper: Send + Sync {
    /// A session has the id from now on. Nothing of it is dispatched yet. Returns how many posts were
    /// dropped since the last one.
    fn up(&self, session: &SessionRef, epoch: u64) -> u64;

    /// The session of the id has ended.
    fn down(&self, down: &SessionDown);

    /// Everybody has been told of that.
    fn told(&self);
}

/// One connection of such an id.
pub(crate) struct Connection {
    keeper: Arc<dyn Keeper>,
    epoch: u64,
}

impl LastingId {
    pub(crate) fn new(hub: Arc<Hub>, id: SessionId, protocol: &'static str) -> Self {
        let (epoch, ended) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { hub, id, protocol, epoch, ended }
    }

    /// The id.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// All sessions of the process.
    #[must_use]
    pub const fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Makes the next session of this id, and tells [`struct@SessionUp`] before anything of it is
    /// dispatched; `prepare` sees the session before anybody else does. `None` if it has one, or has
    /// ended.
    pub fn open_with(
        &self,
        keeper: Arc<dyn Keeper>,
        parts: SessionParts<'_>,
        prepare: impl FnOnce(&SessionRef),
    ) -> Option<SessionRef> {
        let epoch = self.epoch.load(Ordering::Relaxed) + 1;
        let connection = Connection { keeper: Arc::clone(&keeper), epoch };
        let (id, hub) = (self.id, &self.hub);
        let session = SessionRef::new(id, Arc::clone(hub), parts, Some(connection));
        prepare(&session);
        if !hub.fill(&session) {
            return None;
        }
        self.epoch.store(epoch, Ordering::Relaxed);
        let dropped = keeper.up(&session, epoch);
        if epoch == 1 {
            hub.publish(self.protocol, NewSession { id, direction: session.direction() });
        }
        hub.publish(self.protocol, SessionUp { id, epoch, dropped });
        Some(session)
    }

    /// The final end: the id is found no more, and everybody hears of it. A second call does nothing.
    pub fn end(&self, reason: &CloseReason) {
        if !self.ended.swap(true, Ordering::AcqRel) {
            self.hub.release(self.id, self.protocol, reason);
        }
    }
}

/// What a keeper does with a session.
impl SessionRef {
    /// Ends it now, with a code of the application (from 1 up, or 0) and a text that the peer gets to
    /// see if it is still there: what is queued is lost, and nothing is waited for.
    pub fn close_now(&self, code: ErrorCode, text: &str) {
        let farewell = Farewell::new(code, text);
        let _ = self.shared.append(|outbox| {
            outbox.quit(farewell);
            Ok::<_, SendError>(())
        });
    }

    /// Queues a post that was encoded before, in the format of this session: for whoever keeps posts
    /// until there is a session.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_encoded(
        &self,
        (index, name): (MessageIndex, &'static str),
        lane: Lane,
        body: &[u8],
    ) -> Result<(), SendError> {
        let (size, limit) = (body.len() as u64, self.shared.limits.message_max);
        if size > limit {
            return Err(SendError::TooLarge { size, limit });
        }
        self.shared.post(index, name, lane, body)
    }
}

/// A keeper that is torn down with its runtime still owes everybody an end.
impl Drop for LastingId {
    fn drop(&mut self) {
        let text = "whoever kept the session connected was stopped";
        self.end(&CloseReason::ByUs(Farewell::new(ErrorCode::INTERNAL, text)));
    }
}

impl fmt::Debug for LastingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LastingId").field(&self.id).finish()
    }
}

impl Connection {
    pub(crate) const fn is_first(&self) -> bool {
        self.epoch == 1
    }

    /// The keeper knows first, so that whoever is told finds it in its new state.
    pub(crate) fn lost(&self, session: &SessionRef, reason: &CloseReason) {
        let (id, epoch, reason) = (session.id(), self.epoch, reason.clone());
        let (unsent, unknown) = session.shared.lock().posts_in_doubt();
        let down = SessionDown { id, epoch, reason, unsent, unknown };
        self.keeper.down(&down);
        session.shared.hub.publish(session.protocol(), down);
        self.keeper.told();
    }
}
