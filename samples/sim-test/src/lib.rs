//! A counter: whoever adds to it does so exactly once, whoever watches it hears of each change.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moorline::{SessionId, SessionRef, register_message};
use serde::{Deserialize, Serialize};

/// Adds, once for each key however often it is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Add {
    /// Chosen by the client; the same when it asks again.
    pub key: u64,
    /// How much.
    pub amount: i64,
}

/// Asks to hear of changes from now on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Watch;

/// The count after an addition, or when watching began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Total(pub i64);

/// The count has changed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Changed(pub i64);

register_message!(Add as "counter.Add" => Total);
register_message!(Watch as "counter.Watch" => Total);
register_message!(Changed as "counter.Changed");

/// The server's side. Clones are the same counter.
#[derive(Clone, Default)]
pub struct Counter(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    total: i64,
    /// What was answered to each key.
    answered: BTreeMap<u64, Total>,
    watchers: BTreeMap<SessionId, SessionRef>,
}

impl Counter {
    /// Adds, unless that was done before, and tells who watches.
    pub fn add(&self, add: &Add) -> Total {
        let mut state = self.lock();
        if let Some(total) = state.answered.get(&add.key) {
            return *total;
        }
        state.total += add.amount;
        let total = Total(state.total);
        state.answered.insert(add.key, total);
        for watcher in state.watchers.values() {
            // Who is closing or too slow misses a change, and no longer watches soon.
            let _ = watcher.send(&Changed(total.0));
        }
        total
    }

    /// This session hears of changes until it ends.
    pub fn watch(&self, session: &SessionRef) -> Total {
        let total = {
            let mut state = self.lock();
            state.watchers.insert(session.id(), session.clone());
            Total(state.total)
        };
        let counter = self.clone();
        session.on_close(move |end| {
            counter.lock().watchers.remove(&end.id);
        });
        total
    }

    /// What was counted.
    pub fn total(&self) -> i64 {
        self.lock().total
    }

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.lock().watchers.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client's side: adds whatever happens. `connect` makes a new session, after a pause if it
/// likes; `None` is tried again.
///
/// Asking again is safe even where the first request may have run, since its key is the same.
pub async fn add_surely(connect: impl AsyncFn() -> Option<SessionRef>, add: Add) -> Total {
    loop {
        let Some(session) = connect().await else { continue };
        let answer = session.request(add.clone()).await;
        session.close();
        if let Ok(total) = answer {
            return total;
        }
    }
}
