//! Who is in a group, and how far each of them is. Nothing here runs anything.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use moorline_protocol::Format;

use super::row::{Encoded, Row};
use super::{Evicted, Sequenced};
use crate::errors::SendError;
use crate::id::SessionId;
use crate::outbox::Place;
use crate::session_ref::SessionRef;

/// Which session: its id, and its place in memory, which is its own as long as it is a member. Services
/// count their ids each for itself.
pub(super) type Key = (SessionId, usize);

pub(super) fn key_of(session: &SessionRef) -> Key {
    (session.id(), Arc::as_ptr(&session.shared).addr())
}

/// The members of a group and what they have not got.
pub(super) struct Members {
    row: Row,
    list: BTreeMap<Key, Member>,
    behind_max: u64,
    behind_bytes: u64,
    joined: u64,
}

/// Messages before `next` are queued for it.
pub(super) struct Member {
    session: SessionRef,
    /// Tells it from itself after leaving and joining again.
    number: u64,
    next: u64,
    /// Somebody is just sending to it. Nobody else does, so its order is that of the row.
    busy: bool,
    /// There was room meanwhile.
    again: bool,
    /// It has left meanwhile.
    gone: bool,
    /// It is full, for this reason, and waits for room.
    waits: Option<(Option<Place>, SendError)>,
}

/// A message to be sent to a member, by whoever got this and by nobody else.
pub(super) struct Turn {
    pub(super) session: SessionRef,
    pub(super) message: Arc<Encoded>,
    pub(super) member: u64,
}

/// What came of sending it.
pub(super) enum Came {
    Sent,
    /// It was full, and is not any more.
    Room,
    Full(Option<Place>, SendError),
    Failed(SendError),
}

/// What is left of a member, to be forgotten outside the lock, and what is to be told.
type Leaver = (Option<Member>, Evicted);

impl Member {
    /// It waits no more.
    pub(super) fn forget(self) {
        if let Some((Some(place), _)) = &self.waits {
            let waker = self.session.shared.lock().leave_waiters(place);
            drop(waker);
        }
    }

    fn format(&self) -> Format {
        self.session.shared.encoder.format()
    }
}

impl Members {
    pub(super) fn new(behind_max: u64, behind_bytes: u64) -> Self {
        let (row, list) = (Row::default(), BTreeMap::new());
        Self { row, list, behind_max, behind_bytes, joined: 0 }
    }

    pub(super) fn join(&mut self, session: &SessionRef) -> bool {
        self.joined += 1;
        let (number, next) = (self.joined, self.row.end());
        if let Some(member) = self.list.get_mut(&key_of(session)) {
            let is_back = std::mem::take(&mut member.gone);
            if is_back {
                (member.number, member.next) = (number, next);
            }
            return is_back;
        }
        let session = session.clone();
        let (busy, again, gone, waits) = (false, false, false, None);
        let member = Member { session, number, next, busy, again, gone, waits };
        self.list.insert(key_of(&member.session), member);
        true
    }

    /// How many messages it does not get.
    pub(super) fn leave(&mut self, key: Key) -> Option<(u64, Option<Member>)> {
        let member = self.list.get(&key).filter(|member| !member.gone)?;
        // What is just being sent to it it gets.
        let missed = self.row.end() - member.next;
        let missed = missed.saturating_sub(u64::from(member.busy));
        Some((missed, self.remove(key)))
    }

    /// A member that somebody is sending to is only marked.
    fn remove(&mut self, key: Key) -> Option<Member> {
        let member = self.list.get_mut(&key)?;
        self.row.passed(member.next, self.row.end());
        member.gone = true;
        if member.busy { None } else { self.list.remove(&key) }
    }

    pub(super) fn len(&self) -> usize {
        self.list.values().filter(|member| !member.gone).count()
    }

    pub(super) fn is_even(&self) -> bool {
        self.row.is_empty()
    }

    /// Members that wait for room.
    pub(super) fn behind(&self) -> usize {
        self.list.values().filter(|member| member.waits.is_some()).count()
    }

    /// Formats that the members need: for most groups it is one.
    pub(super) fn formats(&self) -> Vec<Format> {
        let mut formats = Vec::new();
        for member in self.list.values() {
            if !formats.contains(&member.format()) {
                formats.push(member.format());
            }
        }
        formats
    }

    /// A message for all members, if it is in the formats they need; who is too far behind is evicted.
    pub(super) fn push(&mut self, message: Arc<Encoded>) -> (Option<Sequenced>, Vec<Leaver>) {
        if !self.list.values().all(|member| message.is_in(member.format())) {
            return (None, Vec::new());
        }
        let number = self.row.push(message, self.len());
        let slow: Vec<_> = self.list.values().filter_map(|member| self.is_slow(member)).collect();
        let leavers: Vec<_> =
            slow.into_iter().filter_map(|(key, reason)| self.evict(key, reason)).collect();
        (Some(Sequenced { number, members: self.len(), behind: 0 }), leavers)
    }

    /// Whether it is too far behind, and what it waits for.
    fn is_slow(&self, member: &Member) -> Option<(Key, SendError)> {
        let (_, reason) = member.waits.as_ref()?;
        let (messages, bytes) = self.row.behind(member.next);
        let is_slow = messages > self.behind_max || bytes > self.behind_bytes;
        is_slow.then(|| (key_of(&member.session), reason.clone()))
    }

    fn evict(&mut self, key: Key, reason: SendError) -> Option<Leaver> {
        let member = self.list.get(&key)?;
        let (number, session) = (member.next, member.session.clone());
        let missed = self.row.end() - number;
        Some((self.remove(key), Evicted { session, number, missed, reason }))
    }

    /// The first of these members that does not wait for room.
    pub(super) fn next_ready(&self, range: (Bound<Key>, Bound<Key>)) -> Option<Key> {
        let mut members = self.list.range(range);
        members.find(|(_, member)| member.waits.is_none()).map(|(key, _)| *key)
    }

    /// A member's next message, unless it waits or somebody is sending to it already.
    pub(super) fn begin(&mut self, key: Key) -> Option<Turn> {
        let member = self.list.get(&key)?;
        if member.busy || member.waits.is_some() { None } else { self.next_turn(key) }
    }

    /// The same when there is room again.
    pub(super) fn wake(&mut self, key: Key) -> Option<Turn> {
        let member = self.list.get_mut(&key)?;
        member.again |= member.busy;
        member.waits = None;
        if member.busy { None } else { self.next_turn(key) }
    }

    fn next_turn(&mut self, key: Key) -> Option<Turn> {
        let member = self.list.get_mut(&key)?;
        let message = self.row.message(member.next);
        (member.busy, member.again) = (message.is_some(), false);
        let (session, number) = (member.session.clone(), member.number);
        message.map(|message| Turn { session, message, member: number })
    }

    /// What came of sending to a member, and what is to be sent next.
    pub(super) fn came(
        &mut self,
        key: Key,
        number: u64,
        came: Came,
    ) -> (Option<Turn>, Option<Leaver>) {
        let Some(member) = self.list.get_mut(&key) else { return (None, None) };
        if member.gone {
            self.list.remove(&key);
            return (None, None);
        }
        if member.number == number {
            match came {
                Came::Sent => {
                    member.next += 1;
                    self.row.passed(member.next - 1, member.next);
                }
                Came::Full(place, reason) if !member.again => {
                    (member.waits, member.busy) = (Some((place, reason)), false);
                    return (None, None);
                }
                Came::Room | Came::Full(..) => {}
                Came::Failed(reason) => {
                    member.busy = false;
                    return (None, self.evict(key, reason));
                }
            }
        }
        (self.next_turn(key), None)
    }
}
