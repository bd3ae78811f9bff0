//! The clients of a service.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moorline_session::SessionId;

use super::machine::Input;
use super::shared::Shared;
use crate::tasks::Tasks;

/// Those that are not over, by id, and their tasks.
#[derive(Default)]
pub(crate) struct Clients {
    live: Mutex<BTreeMap<SessionId, Arc<Shared>>>,
    pub(crate) tasks: Arc<Tasks>,
}

impl Clients {
    pub(super) fn add(&self, shared: &Arc<Shared>) {
        self.lock().insert(shared.lasting.id(), Arc::clone(shared));
    }

    pub(super) fn forget(&self, id: SessionId) {
        // What it holds is dropped outside the lock.
        let _shared = self.lock().remove(&id);
    }

    pub(super) fn find(&self, id: SessionId) -> Option<Arc<Shared>> {
        self.lock().get(&id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Shared>> {
        self.lock().values().cloned().collect()
    }

    /// None of them dials any more; their sessions are drained with all the others.
    pub(crate) fn shut_down(&self) {
        for shared in self.all() {
            shared.apply(Input::Shutdown);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionId, Arc<Shared>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
