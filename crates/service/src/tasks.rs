//! The tasks of a service, counted, so that its end is the end of all of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// `None` as long as it is being started, and for what cannot be stopped.
    handles: BTreeMap<u64, Option<AbortHandle>>,
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
        let guard = self.enter();
        let number = guard.number;
        // Without the lock: a runtime that is just ending drops the work at once, and with it the guard.
        let handle = runtime.spawn(Counted { work: Box::pin(work), _guard: guard }).abort_handle();
        let mut live = self.lock();
        if let Some(place) = live.handles.get_mut(&number) {
            *place = Some(handle.clone());
        }
        let stopped = live.stopped;
        drop(live);
        if stopped {
            handle.abort();
        }
        handle
    }

    /// Counts something as a task that cannot be stopped, until it is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Guard {
        let mut live = self.lock();
        let number = live.next;
        live.next += 1;
        live.handles.insert(number, None);
        Guard { tasks: Arc::clone(self), number }
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are left.
    pub(crate) fn len(&self) -> usize {
        self.lock().handles.len()
    }

    /// Waits until no task is left.
    pub(crate) async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.lock().handles.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Stops whatever is left, and whatever is started later. It does not wait.
    pub(crate) fn abort_all(&self) {
        let handles: Vec<_> = {
            let mut live = self.lock();
            live.stopped = true;
            live.handles.values().flatten().cloned().collect()
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

/// A place among the live ones.
pub(crate) struct Guard {
    tasks: Arc<Tasks>,
    number: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut live = self.tasks.lock();
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

    /// Work that a closing runtime drops where it is spawned must not find the lock taken.
    #[test]
    fn a_task_can_be_started_on_a_runtime_that_has_ended() {
        let tasks = Arc::new(Tasks::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        tasks.spawn_on(&handle, std::future::pending());
        assert_eq!(tasks.len(), 0);
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
