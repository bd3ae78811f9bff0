//! The live sessions of a process, found by id in one load and one compare.

use std::sync::{Mutex, PoisonError, RwLock};

use crate::id::{IdSequence, SessionId};
use crate::limits::TABLE_SLOTS_MIN;
use crate::session_ref::SessionRef;

/// Live sessions by id. A stale id finds nothing, never a stranger. An id can also be reserved: then
/// its slot stays taken while session after session has it.
///
/// The number of slots is a power of two, at least twice the number of sessions; an id whose slot
/// is taken is skipped by the sequence. Doubling keeps all ids: their slots only get one bit more.
pub struct SessionTable {
    slots: RwLock<Vec<Slot>>,
    birth: Mutex<Birth>,
    sessions_max: usize,
}

#[derive(Clone)]
enum Slot {
    Free,
    /// An id that has no session now, and will have one again.
    Reserved(SessionId),
    Open(SessionRef),
}

impl Slot {
    fn id(&self) -> Option<SessionId> {
        match self {
            Slot::Free => None,
            Slot::Reserved(id) => Some(*id),
            Slot::Open(session) => Some(session.id()),
        }
    }

    fn session(&self) -> Option<&SessionRef> {
        match self {
            Slot::Open(session) => Some(session),
            Slot::Free | Slot::Reserved(_) => None,
        }
    }
}

/// `open <= taken`, always: reserved ids take a slot without being open.
struct Birth {
    sequence: IdSequence,
    taken: usize,
    open: usize,
}

impl Birth {
    fn check_room(&self, limit: usize) -> Result<(), TableFull> {
        if self.taken < limit { Ok(()) } else { Err(TableFull { limit }) }
    }
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
            slots: RwLock::new(vec![Slot::Free; TABLE_SLOTS_MIN]),
            birth: Mutex::new(Birth { sequence: IdSequence::starting_at(0), taken: 0, open: 0 }),
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
        let mut session = None;
        self.take(|id| Slot::Open(session.insert(make(id)).clone()))?;
        Ok(session.expect("its slot has just been taken"))
    }

    /// Why there would be no session now: all slots are taken. It may be otherwise a moment later.
    ///
    /// # Errors
    /// The table is full.
    pub fn check_room(&self) -> Result<(), TableFull> {
        let birth = self.birth.lock().unwrap_or_else(PoisonError::into_inner);
        birth.check_room(self.sessions_max)
    }

    /// Takes a slot for an id whose sessions come and go.
    ///
    /// # Errors
    /// The table is full.
    pub(crate) fn reserve(&self) -> Result<SessionId, TableFull> {
        self.take(Slot::Reserved)
    }

    fn take(&self, fill: impl FnOnce(SessionId) -> Slot) -> Result<SessionId, TableFull> {
        let mut birth = self.birth.lock().unwrap_or_else(PoisonError::into_inner);
        birth.check_room(self.sessions_max)?;
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if (birth.taken + 1) * 2 > slots.len() {
            grow(&mut slots);
        }
        // At most half of the slots are taken, so a free one comes after two steps on average.
        let id = loop {
            let id = birth.sequence.next_id();
            if slots[id.slot(slots.len())].id().is_none() {
                break id;
            }
        };
        let filled = fill(id);
        birth.taken += 1;
        birth.open += usize::from(filled.session().is_some());
        let slot = id.slot(slots.len());
        slots[slot] = filled;
        Ok(id)
    }

    /// Gives a reserved id its next session; `false` if it is not reserved or has one.
    pub(crate) fn fill(&self, id: SessionId, session: SessionRef) -> bool {
        self.exchange(id, |slot| match slot {
            Slot::Reserved(_) => Some(Slot::Open(session)),
            Slot::Free | Slot::Open(_) => None,
        })
        .is_some()
    }

    /// Takes the session of a reserved id out; the id stays reserved.
    pub(crate) fn vacate(&self, id: SessionId) {
        let _session = self.exchange(id, |_| Some(Slot::Reserved(id)));
    }

    /// The session of this id, if it is still open.
    #[must_use]
    pub fn acquire(&self, id: SessionId) -> Option<SessionRef> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots[id.slot(slots.len())].session().filter(|session| session.id() == id).cloned()
    }

    /// Takes a session out, or a reservation; a second call finds nothing.
    pub(crate) fn remove(&self, id: SessionId) {
        let _session = self.exchange(id, |_| Some(Slot::Free));
    }

    /// Puts something else into the slot of an id; returns what was there, to be dropped outside the
    /// locks.
    fn exchange(&self, id: SessionId, next: impl FnOnce(&Slot) -> Option<Slot>) -> Option<Slot> {
        let mut birth = self.birth.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let slot = id.slot(slots.len());
        let next = next(&slots[slot]).filter(|_| slots[slot].id() == Some(id))?;
        birth.taken -= usize::from(next.id().is_none());
        birth.open += usize::from(next.session().is_some());
        let before = std::mem::replace(&mut slots[slot], next);
        birth.open -= usize::from(before.session().is_some());
        Some(before)
    }

    /// How many there can be.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.sessions_max
    }

    /// How many sessions are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.birth.lock().unwrap_or_else(PoisonError::into_inner).open
    }

    /// Whether no session is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All open sessions, in no particular order.
    #[must_use]
    pub fn all(&self) -> Vec<SessionRef> {
        let mut all = Vec::new();
        self.all_into(&mut all);
        all
    }

    /// The same, behind what is in a list that is there already.
    pub fn all_into(&self, all: &mut Vec<SessionRef>) {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        all.extend(slots.iter().filter_map(Slot::session).cloned());
    }
}

fn grow(slots: &mut Vec<Slot>) {
    let mut larger = vec![Slot::Free; slots.len() * 2];
    for slot in slots.drain(..) {
        if let Some(id) = slot.id() {
            let place = id.slot(larger.len());
            larger[place] = slot;
        }
    }
    *slots = larger;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_id_keeps_its_slot_and_counts_towards_the_limit() {
        let table = SessionTable::new(TABLE_SLOTS_MIN);
        let ids: Vec<_> = (0..TABLE_SLOTS_MIN).map(|_| table.reserve().unwrap()).collect();
        assert_eq!(table.reserve(), Err(TableFull { limit: TABLE_SLOTS_MIN }));
        assert!(table.is_empty(), "none of them is open");
        assert!(ids.iter().all(|id| table.acquire(*id).is_none()));
        table.vacate(ids[0]);
        assert!(table.reserve().is_err(), "vacant, it is reserved all the same");
        table.remove(ids[0]);
        table.remove(ids[0]);
        assert!(!ids.contains(&table.reserve().unwrap()));
    }
}
