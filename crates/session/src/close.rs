//! Who wants to hear of a session's end: looked up by id, told exactly once.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use moorline_protocol::CloseReason;

use crate::id::SessionId;
use crate::limits::CLOSE_SHARDS;

/// The last thing said of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEnd {
    /// Which one.
    pub id: SessionId,
    /// Why it ended; `None` if it had ended before the subscription, or never was.
    pub reason: Option<CloseReason>,
}

type Hear = Box<dyn FnOnce(&SessionEnd) + Send>;

/// Subscribers by session id. A session's entry is made when it opens and taken when it ends, under
/// the same lock that a subscription takes, so nobody can slip in between.
///
/// The entries are spread over shards, each with a lock of its own: sessions come and go on all
/// threads at once.
pub(crate) struct CloseTable {
    shards: Arc<Shards>,
}

type Shards = [Mutex<HashMap<SessionId, Entry>>; CLOSE_SHARDS];

#[derive(Default)]
struct Entry {
    next: u64,
    subscribers: Vec<(u64, Hear)>,
}

impl Default for CloseTable {
    fn default() -> Self {
        Self { shards: Arc::new(std::array::from_fn(|_| Mutex::default())) }
    }
}

/// The shard of an id. Ids walk in a large odd stride, so that their low bits spread evenly.
fn shard(shards: &Shards, id: SessionId) -> MutexGuard<'_, HashMap<SessionId, Entry>> {
    let place = id.number() as usize % CLOSE_SHARDS;
    shards[place].lock().unwrap_or_else(PoisonError::into_inner)
}

impl CloseTable {
    pub(crate) fn open(&self, id: SessionId) {
        shard(&self.shards, id).insert(id, Entry::default());
    }

    /// Tells everybody, in the order they subscribed. No lock is held while they are told.
    pub(crate) fn close(&self, id: SessionId, reason: CloseReason) {
        let entry = shard(&self.shards, id).remove(&id);
        let end = SessionEnd { id, reason: Some(reason) };
        for (_, hear) in entry.into_iter().flat_map(|entry| entry.subscribers) {
            // One that panics must not keep the others from hearing.
            let _ = catch_unwind(AssertUnwindSafe(|| hear(&end)));
        }
    }

    pub(crate) fn subscribe(
        &self,
        id: SessionId,
        hear: impl FnOnce(&SessionEnd) + Send + 'static,
    ) -> CloseSubscription {
        let mut entries = shard(&self.shards, id);
        let Some(entry) = entries.get_mut(&id) else {
            drop(entries);
            hear(&SessionEnd { id, reason: None });
            return CloseSubscription { id, number: 0, shards: Weak::new() };
        };
        let number = entry.next;
        entry.next += 1;
        entry.subscribers.push((number, Box::new(hear)));
        CloseSubscription { id, number, shards: Arc::downgrade(&self.shards) }
    }
}

/// A promise to hear of a session's end. Dropping it changes nothing; [`cancel`](Self::cancel)
/// takes it back.
pub struct CloseSubscription {
    id: SessionId,
    number: u64,
    shards: Weak<Shards>,
}

impl CloseSubscription {
    /// Takes the subscription back. `false` if it has been called already, or is just being called.
    pub fn cancel(self) -> bool {
        let Some(shards) = self.shards.upgrade() else { return false };
        let mut entries = shard(&shards, self.id);
        let Some(entry) = entries.get_mut(&self.id) else { return false };
        let place = entry.subscribers.iter().position(|(number, _)| *number == self.number);
        let taken = place.map(|place| entry.subscribers.remove(place));
        // What the closure holds is dropped outside the lock: it may be anything.
        drop(entries);
        taken.is_some()
    }
}

impl fmt::Debug for CloseSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloseSubscription").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn id(number: u32) -> SessionId {
        SessionId::new(number).unwrap()
    }

    #[test]
    fn each_subscriber_hears_once_in_order_and_none_after_cancel() {
        let table = CloseTable::default();
        table.open(id(1));
        let (tell, heard) = mpsc::channel();
        let mut subscriptions: Vec<_> = (0..3)
            .map(|n| {
                let tell = tell.clone();
                table.subscribe(id(1), move |end| tell.send((n, end.clone())).unwrap())
            })
            .collect();
        assert!(subscriptions.remove(1).cancel());
        table.close(id(1), CloseReason::Truncated);
        table.close(id(1), CloseReason::Truncated);
        let end = SessionEnd { id: id(1), reason: Some(CloseReason::Truncated) };
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [(0, end.clone()), (2, end)]);
        assert!(!subscriptions.remove(0).cancel(), "it has been called");
    }

    #[test]
    fn who_comes_too_late_hears_at_once() {
        let (tell, heard) = mpsc::channel();
        CloseTable::default().subscribe(id(7), move |end| tell.send(end.clone()).unwrap());
        assert_eq!(heard.try_recv().unwrap(), SessionEnd { id: id(7), reason: None });
    }

    #[test]
    fn a_subscriber_may_subscribe_while_it_is_called() {
        let table = Arc::new(CloseTable::default());
        table.open(id(1));
        let (tell, heard) = mpsc::channel();
        let again = Arc::clone(&table);
        table.subscribe(id(1), move |_| {
            again.subscribe(id(1), move |end| tell.send(end.reason.clone()).unwrap());
        });
        table.close(id(1), CloseReason::Truncated);
        assert_eq!(heard.try_recv().unwrap(), None);
    }
}
