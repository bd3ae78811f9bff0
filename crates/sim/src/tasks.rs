//! The executor: futures that are polled only when their wakers were called, so that a wake-up
//! that is lost shows as a simulation that does not get on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::side::Side;

/// All tasks of a simulation: a handle.
#[derive(Clone, Default)]
pub(crate) struct Tasks(Rc<Inner>);

#[derive(Default)]
struct Inner {
    live: RefCell<Live>,
    woken: Arc<Mutex<Vec<u64>>>,
}

#[derive(Default)]
struct Live {
    next: u64,
    slots: BTreeMap<u64, Slot>,
}

struct Slot {
    /// Whose process it lives in; `None` is the test itself.
    owner: Option<Side>,
    /// Not here while it is polled.
    work: Option<Work>,
    bell: Arc<TaskBell>,
}

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// Wakes a task, or stops it, from wherever.
pub(crate) struct TaskBell {
    number: u64,
    rung: AtomicBool,
    stopped: AtomicBool,
    woken: Arc<Mutex<Vec<u64>>>,
}

impl TaskBell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            self.woken.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
        }
    }

    /// The task is dropped when it would be polled next.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.ring();
    }
}

impl Wake for TaskBell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

impl Tasks {
    /// Starts something whose result nobody wants.
    pub(crate) fn start(
        &self,
        owner: Option<Side>,
        work: impl Future<Output = ()> + 'static,
    ) -> Arc<TaskBell> {
        let mut live = self.0.live.borrow_mut();
        let number = live.next;
        live.next += 1;
        let bell = Arc::new(TaskBell {
            number,
            rung: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            woken: Arc::clone(&self.0.woken),
        });
        bell.ring();
        let slot = Slot { owner, work: Some(Box::pin(work)), bell: Arc::clone(&bell) };
        live.slots.insert(number, slot);
        bell
    }

    /// Starts something and keeps its result.
    pub(crate) fn spawn<T: 'static>(
        &self,
        owner: Option<Side>,
        work: impl Future<Output = T> + 'static,
    ) -> Task<T> {
        let outcome = Rc::new(RefCell::new(Outcome { result: None, waiter: None }));
        let keep = Rc::clone(&outcome);
        let bell = self.start(owner, async move {
            let result = work.await;
            let waiter = {
                let mut outcome = keep.borrow_mut();
                outcome.result = Some(result);
                outcome.waiter.take()
            };
            waiter.into_iter().for_each(Waker::wake);
        });
        Task { outcome, bell }
    }

    /// How many want to be polled.
    pub(crate) fn ready(&self) -> usize {
        self.0.woken.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Polls one of those that want to be.
    pub(crate) fn poll(&self, at: usize) {
        let number = self.0.woken.lock().unwrap_or_else(PoisonError::into_inner).remove(at);
        let Some((mut work, bell)) = self.take(number) else { return };
        bell.rung.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&bell));
        let stopped = || bell.stopped.load(Ordering::SeqCst);
        let over = stopped() || {
            let polled = work.as_mut().poll(&mut Context::from_waker(&waker));
            matches!(polled, Poll::Ready(()))
        };
        let mut live = self.0.live.borrow_mut();
        if over {
            live.slots.remove(&number);
            drop(live);
            // What it holds may start or wake others when it goes.
            drop(work);
        } else if let Some(slot) = live.slots.get_mut(&number) {
            slot.work = Some(work);
        }
    }

    fn take(&self, number: u64) -> Option<(Work, Arc<TaskBell>)> {
        let mut live = self.0.live.borrow_mut();
        let slot = live.slots.get_mut(&number)?;
        Some((slot.work.take()?, Arc::clone(&slot.bell)))
    }

    /// A process is gone, and all its tasks with it.
    pub(crate) fn drop_all(&self, owner: Side) {
        let mut live = self.0.live.borrow_mut();
        let all = std::mem::take(&mut live.slots);
        let (gone, kept) = all.into_iter().partition(|(_, slot)| slot.owner == Some(owner));
        live.slots = kept;
        drop(live);
        let gone: BTreeMap<u64, Slot> = gone;
        drop(gone);
    }
}

struct Outcome<T> {
    result: Option<T>,
    waiter: Option<Waker>,
}

/// Something that runs in a simulation, and its result once it is there. It is a future itself.
/// Dropping it changes nothing: the task goes on.
pub struct Task<T> {
    outcome: Rc<RefCell<Outcome<T>>>,
    bell: Arc<TaskBell>,
}

impl<T> Task<T> {
    /// Whether its result is there, and not taken yet.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outcome.borrow().result.is_some()
    }

    /// Its result, once.
    #[must_use]
    pub fn take(&self) -> Option<T> {
        self.outcome.borrow_mut().result.take()
    }

    /// Drops what runs, as soon as the simulation goes on: requests it waits for are taken back.
    pub fn stop(&self) {
        self.bell.stop();
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut outcome = self.outcome.borrow_mut();
        match outcome.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                outcome.waiter = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
