//! Posts that arrive in one order at every member, also at one that was full for a while.
//!
//! Messages stand encoded in one row; each member has a place in it. A member whose outbox is full waits
//! for room like any sender does, and its waker goes on from where it stands: there is no task.

mod members;
mod row;

use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Wake, Waker};

use moorline_protocol::{ErrorCode, Format, Message};

use self::members::{Came, Key, Members, Turn, key_of};
use self::row::{Bodies, Encoded};
use crate::errors::SendError;
use crate::limits::{BROADCAST_BEHIND_BYTES, BROADCAST_BEHIND_MAX};
use crate::outbox::Need;
use crate::scratch::with_scratch;
use crate::session_ref::SessionRef;

/// A group of sessions that all get the same posts in the same order: whatever is sent, by any number of
/// threads, has one order, and a member gets all of it from its joining on, or is evicted. There is
/// never a gap.
///
/// Cloning it is cheap, all clones are the same group. A member whose outbox is full falls behind, and
/// catches up by itself when there is room; the others do not wait for it. Dropped, whoever is behind
/// stays behind: await [`is_even`](Self::is_even) first.
#[derive(Clone)]
pub struct Broadcaster {
    inner: Arc<Inner>,
}

/// What became of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sequenced {
    /// Its place in the order, from 0.
    pub number: u64,
    /// Members that it is for.
    pub members: usize,
    /// Those of them that are full, and get it later.
    pub behind: usize,
}

/// A member that is none any more, and what it has not got.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Evicted {
    /// Who.
    pub session: SessionRef,
    /// The first message that it does not get.
    pub number: u64,
    /// Messages that it does not get, of those sent so far.
    pub missed: u64,
    /// `Full` for one that was too far behind; otherwise why a message could not be sent to it.
    pub reason: SendError,
}

type Hear = Box<dyn Fn(&Evicted) + Send + Sync>;

struct Inner {
    members: Mutex<Members>,
    evicted: Hear,
}

/// Goes on with a member when there is room again.
struct Wakes {
    inner: Weak<Inner>,
    key: Key,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        if let Some(inner) = self.inner.upgrade() {
            let turn = inner.lock().wake(self.key);
            inner.go_on(self.key, turn);
        }
    }
}

impl Default for Broadcaster {
    fn default() -> Self {
        Self::new()
    }
}

impl Broadcaster {
    /// A group without members. Who falls behind by more than 1,024 messages or 4 MiB is evicted, and so
    /// is who cannot take a message; its session is closed, so that its peer knows.
    #[must_use]
    pub fn new() -> Self {
        Self::with(BROADCAST_BEHIND_MAX, BROADCAST_BEHIND_BYTES, |evicted| {
            let (code, text) = match &evicted.reason {
                SendError::Closed(_) | SendError::Draining => return,
                SendError::NotHandledByPeer(_) => {
                    (ErrorCode::UNIMPLEMENTED, "you do not handle what is broadcast")
                }
                SendError::TooLarge { .. } => (ErrorCode::TOO_LARGE, "too large for you"),
                _ => (ErrorCode::OVERLOADED, "too far behind a broadcast"),
            };
            evicted.session.close_with(code, text);
        })
    }

    /// As [`new`](Self::new), with other bounds in messages and bytes, and something else to be done about
    /// who is evicted: `evicted` is called once for each, on any thread, and must not block. It may send
    /// to that session, as the last the peer hears of this group.
    pub fn with(
        behind_max: u64,
        behind_bytes: u64,
        evicted: impl Fn(&Evicted) + Send + Sync + 'static,
    ) -> Self {
        let members = Mutex::new(Members::new(behind_max, behind_bytes));
        Self { inner: Arc::new(Inner { members, evicted: Box::new(evicted) }) }
    }

    /// This session gets everything that is sent from now on. `false`: it is a member already.
    pub fn join(&self, session: &SessionRef) -> bool {
        self.inner.lock().join(session)
    }

    /// This session gets nothing more; how many messages it does not get, of those sent so far. `None`: it
    /// is no member.
    pub fn leave(&self, session: &SessionRef) -> Option<u64> {
        let (missed, member) = self.inner.lock().leave(key_of(session))?;
        // What it waited with is dropped outside the lock.
        member.into_iter().for_each(members::Member::forget);
        Some(missed)
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.lock().len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether everything that was sent is queued for every member.
    #[must_use]
    pub fn is_even(&self) -> bool {
        self.inner.lock().is_even()
    }

    /// Queues a post for every member, encoded once. It never waits: who is full gets it later.
    ///
    /// # Errors
    /// The message cannot be encoded: nobody gets it.
    pub fn send<M: Message>(&self, message: &M) -> Result<Sequenced, SendError> {
        let mut bodies = Bodies::new();
        let sequenced = loop {
            let mut formats = self.inner.lock().formats();
            formats.retain(|format| !bodies.iter().any(|(known, _)| known == format));
            for format in formats {
                bodies.push((format, encode(format, message)?));
            }
            // A member may come meanwhile whose protocol has a format of its own.
            let (pushed, slow) = self.inner.lock().push(Encoded::of::<M>(&bodies));
            slow.into_iter().for_each(|leaver| self.inner.tell(leaver));
            if let Some(sequenced) = pushed {
                break sequenced;
            }
        };
        Ok(Sequenced { behind: self.inner.go_on_with_all(), ..sequenced })
    }
}

fn encode<M: Message>(format: Format, message: &M) -> Result<Arc<[u8]>, SendError> {
    with_scratch(|body| {
        let encoded = format.encode(message, body);
        encoded.map_err(|error| SendError::Encode(error.to_string().into()))?;
        Ok(body.as_slice().into())
    })
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends to every member that does not wait for room; how many do.
    fn go_on_with_all(self: &Arc<Self>) -> usize {
        let mut from = Unbounded;
        loop {
            let ready = self.lock().next_ready((from, Unbounded));
            let Some(key) = ready else { return self.lock().behind() };
            let turn = self.lock().begin(key);
            self.go_on(key, turn);
            from = Excluded(key);
        }
    }

    /// Sends to a member what it has not got, until it is full.
    fn go_on(self: &Arc<Self>, key: Key, mut turn: Option<Turn>) {
        while let Some(Turn { session, message, member }) = turn {
            let came = self.send_to(&session, &message);
            let (next, gone) = self.lock().came(key, member, came);
            gone.into_iter().for_each(|leaver| self.tell(leaver));
            turn = next;
        }
    }

    fn send_to(self: &Arc<Self>, session: &SessionRef, message: &Encoded) -> Came {
        match message.post(session) {
            Ok(()) => Came::Sent,
            Err(full @ SendError::Full { .. }) => {
                let wakes = Wakes { inner: Arc::downgrade(self), key: key_of(session) };
                let mut waker = Some(Waker::from(Arc::new(wakes)));
                let mut place = None;
                let room = session.shared.lock().poll_room(Need::Bytes, &mut place, &mut waker);
                drop(waker);
                match room {
                    Poll::Ready(()) => Came::Room,
                    Poll::Pending => Came::Full(place, full),
                }
            }
            Err(reason) => Came::Failed(reason),
        }
    }

    /// Says who is evicted, without a lock.
    fn tell(&self, (member, evicted): (Option<members::Member>, Evicted)) {
        member.into_iter().for_each(members::Member::forget);
        // It is the user's, and this may be a waker's call: others behind it must get theirs.
        let _ = catch_unwind(AssertUnwindSafe(|| (self.evicted)(&evicted)));
    }
}

impl fmt::Debug for Broadcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcaster").field("members", &self.len()).finish_non_exhaustive()
    }
}
