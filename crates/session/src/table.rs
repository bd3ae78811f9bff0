//! The live sessions of a process, found by id in one load and one compare.

use std::sync::{Mutex, PoisonError, RwLock};

use crate::id::{IdSequence, SessionId};
use crate::limits::TABLE_SLOTS_MIN;
use crate::session_ref::SessionRef;

/// Live sessions by id. A stale id finds nothing, never a stranger.
///
/// The number of slots is a power of two, at least twice the number of sessions; an id whose slot
/// is taken is skipped by the sequence. Doubling keeps all ids: their slots only get one bit more.
pub struct SessionTable {
    slots: RwLock<Vec<Option<SessionRef>>>,
    birth: Mutex<Birth>,
    sessions_max: usize,
}

struct Birth {
    sequence: IdSequence,
    live: usize,
}

/// No room for one more session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{limit} sessions are open, the limit is {limit} (knob: `sessions_max`)")]
pub struct TableFull {
    /// The limit in force.
    pub limit: usize,
}

impl SessionTable {
    /// An empty table for at most `sessions_max` sessions.
    #[must_use]
    pub(crate) fn new(sessions_max: usize) -> Self {
        Self {
            slots: RwLock::new(vec![None; TABLE_SLOTS_MIN]),
            birth: Mutex::new(Birth { sequence: IdSequence::starting_at(0), live: 0 }),
            sessions_max,
        }
    }

    /// Gives a new session its id and its slot.
    ///
    /// # Errors
    /// The table is full; `make` has not been called.
    pub(crate) fn insert(
        &self,
        make: impl FnOnce(SessionId) -> SessionRef,
    ) -> Result<SessionRef, TableFull> {
        let mut birth = self.birth.lock().unwrap_or_else(PoisonError::into_inner);
        if birth.live >= self.sessions_max {
            return Err(TableFull { limit: self.sessions_max });
        }
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if (birth.live + 1) * 2 > slots.len() {
            grow(&mut slots);
        }
        // At most half of the slots are taken, so a free one comes after two steps on average.
        let id = loop {
            let id = birth.sequence.next_id();
            if slots[id.slot(slots.len())].is_none() {
                break id;
            }
        };
        let session = make(id);
        let slot = id.slot(slots.len());
        slots[slot] = Some(session.clone());
        birth.live += 1;
        Ok(session)
    }

    /// The session of this id, if it is still open.
    #[must_use]
    pub fn acquire(&self, id: SessionId) -> Option<SessionRef> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots[id.slot(slots.len())].as_ref().filter(|session| session.id() == id).cloned()
    }

    /// Takes a session out; a second call finds nothing.
    pub(crate) fn remove(&self, id: SessionId) -> Option<SessionRef> {
        let mut birth = self.birth.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let slot = id.slot(slots.len());
        if slots[slot].as_ref().is_some_and(|session| session.id() == id) {
            birth.live -= 1;
            slots[slot].take()
        } else {
            None
        }
    }

    /// How many sessions are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.birth.lock().unwrap_or_else(PoisonError::into_inner).live
    }

    /// Whether no session is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All open sessions, in no particular order.
    #[must_use]
    pub fn all(&self) -> Vec<SessionRef> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.iter().flatten().cloned().collect()
    }
}

fn grow(slots: &mut Vec<Option<SessionRef>>) {
    let mut larger = vec![None; slots.len() * 2];
    for session in slots.drain(..).flatten() {
        let slot = session.id().slot(larger.len());
        larger[slot] = Some(session);
    }
    *slots = larger;
}
