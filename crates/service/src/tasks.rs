//! The tasks of a service, counted, so that its end is the end of all of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
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
    /// What is started from now on is stopped as well: its starter was faster than the end.
    stopped: bool,
    handles: std::collections::BTreeMap<u64, AbortHandle>,
}

impl Tasks {
    /// Starts a task that is counted until it ends, however it ends.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        self.spawn_on(&Handle::current(), work)
    }

    /// The same on another runtime.
    pub(crate) fn spawn_on(
        self: &Arc<Self>,
        runtime: &Handle,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let number = live.next;
        live.next += 1;
        let guard = Guard { tasks: Arc::clone(self), number };
        // The lock is held until the handle is in: the task cannot take it out before.
        let work = Counted { work: Box::pin(work), _guard: guard };
        let handle = runtime.spawn(work).abort_handle();
        live.handles.insert(number, handle.clone());
        if live.stopped {
            handle.abort();
        }
        handle
    }

    /// How many are left.
    pub(crate) fn len(&self) -> usize {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).handles.len()
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

    /// Stops whatever is left, and whatever is started later. It does not wait.
    pub(crate) fn abort_all(&self) {
        let handles: Vec<_> = {
            let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.stopped = true;
            live.handles.values().cloned().collect()
        };
        for handle in handles {
            handle.abort();
        }
    }
}

/// A task with its place among the live ones. An async block that is stopped before its first poll
/// would drop what it has captured in the order of use: the place before the socket.
struct Counted {
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Dropped last: who is not counted any more holds nothing any more.
    _guard: Guard,
}

impl Future for Counted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.work.as_mut().poll(cx)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Says when dropped whether its task was still counted.
    struct Socket(Arc<Tasks>, std::sync::mpsc::Sender<bool>);

    impl Drop for Socket {
        fn drop(&mut self) {
            let counted = !self.0.live.lock().unwrap().handles.is_empty();
            self.1.send(counted).unwrap();
        }
    }

    #[tokio::test]
    async fn what_is_started_after_the_end_ends_at_once() {
        let tasks = Arc::new(Tasks::default());
        tasks.abort_all();
        tasks.spawn(std::future::pending());
        let ended = tokio::time::timeout(std::time::Duration::from_secs(5), tasks.all_ended());
        ended.await.unwrap();
    }

    #[tokio::test]
    async fn what_a_task_holds_is_gone_before_it_counts_as_ended() {
        let (tell, heard) = std::sync::mpsc::channel();
        for polled in [false, true] {
            let tasks = Arc::new(Tasks::default());
            let socket = Socket(Arc::clone(&tasks), tell.clone());
            tasks.spawn(async move {
                std::future::pending::<()>().await;
                drop(socket);
            });
            if polled {
                tokio::task::yield_now().await;
            }
            tasks.abort_all();
            tasks.all_ended().await;
            assert!(heard.try_recv().unwrap());
        }
    }
}
