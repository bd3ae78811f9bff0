//! The tasks of a service, counted, so that its end is the end of all of them.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Live tasks by number.
#[derive(Default)]
pub(crate) struct Tasks {
    live: Mutex<Live>,
    ended: Notify,
}

#[derive(Default)]
struct Live {
    next: u64,
    handles: std::collections::BTreeMap<u64, AbortHandle>,
}

impl Tasks {
    /// Starts a task that is counted until it ends, however it ends.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let number = live.next;
        live.next += 1;
        let guard = Guard { tasks: Arc::clone(self), number };
        // The lock is held until the handle is in: the task cannot take it out before.
        let handle = tokio::spawn(async move {
            let _guard = guard;
            work.await;
        })
        .abort_handle();
        live.handles.insert(number, handle.clone());
        handle
    }

    /// Waits until no task is left.
    pub(crate) async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.live.lock().unwrap_or_else(PoisonError::into_inner).handles.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Stops whatever is left. It does not wait.
    pub(crate) fn abort_all(&self) {
        let handles: Vec<_> = {
            let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.handles.values().cloned().collect()
        };
        for handle in handles {
            handle.abort();
        }
    }
}

struct Guard {
    tasks: Arc<Tasks>,
    number: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut live = self.tasks.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.handles.remove(&self.number);
        drop(live);
        self.tasks.ended.notify_waiters();
    }
}
