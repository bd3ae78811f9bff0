//! Time that passes only when nothing else can happen.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The clock of a simulation: a handle, all clones show the same time.
#[derive(Clone)]
pub struct Clock(Rc<Inner>);

struct Inner {
    base: Instant,
    passed: Cell<Duration>,
    alarms: RefCell<BTreeMap<Alarm, Waker>>,
    next: Cell<u64>,
}

/// When, and a number that keeps apart who wakes at the same time.
type Alarm = (Duration, u64);

impl Clock {
    /// The one look at a real clock: an `Instant` cannot be made from nothing. What it says is
    /// never shown, only differences to it are.
    pub(crate) fn new() -> Self {
        Self(Rc::new(Inner {
            base: Instant::now(),
            passed: Cell::default(),
            alarms: RefCell::default(),
            next: Cell::default(),
        }))
    }

    /// The virtual time, as layers below take it.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.base + self.passed()
    }

    /// Virtual time since the simulation began.
    #[must_use]
    pub fn passed(&self) -> Duration {
        self.0.passed.get()
    }

    /// Ready when so much virtual time has passed.
    ///
    /// # Cancel safety
    /// It only waits.
    pub fn sleep(&self, time: Duration) -> Sleep {
        let number = self.0.next.replace(self.0.next.get() + 1);
        Sleep { clock: self.clone(), alarm: (self.passed().saturating_add(time), number) }
    }

    /// The same instant as time since the simulation began.
    pub(crate) fn offset(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.0.base)
    }

    pub(crate) fn next_alarm(&self) -> Option<Duration> {
        self.0.alarms.borrow().keys().next().map(|(at, _)| *at)
    }

    /// It is later now. Time never goes back.
    pub(crate) fn advance(&self, to: Duration) {
        self.0.passed.set(self.passed().max(to));
        let mut alarms = self.0.alarms.borrow_mut();
        let later = alarms.split_off(&(self.passed() + Duration::from_nanos(1), 0));
        let due = std::mem::replace(&mut *alarms, later);
        drop(alarms);
        due.into_values().for_each(Waker::wake);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?})", self.passed())
    }
}

/// Waits for virtual time to pass.
#[must_use = "it waits when it is awaited"]
#[derive(Debug)]
pub struct Sleep {
    clock: Clock,
    alarm: Alarm,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let alarms = &self.clock.0.alarms;
        if self.clock.passed() >= self.alarm.0 {
            return Poll::Ready(());
        }
        alarms.borrow_mut().insert(self.alarm, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let waker = self.clock.0.alarms.borrow_mut().remove(&self.alarm);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_is_ready_at_its_time_and_not_before() {
        let clock = Clock::new();
        let mut sleep = Box::pin(clock.sleep(Duration::from_secs(2)));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(sleep.as_mut().poll(cx).is_pending());
        assert_eq!(clock.next_alarm(), Some(Duration::from_secs(2)));
        clock.advance(Duration::from_millis(1_999));
        assert!(sleep.as_mut().poll(cx).is_pending());
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.next_alarm(), None, "it was woken");
        assert!(sleep.as_mut().poll(cx).is_ready());
    }

    #[test]
    fn a_dropped_sleeper_keeps_no_place() {
        let clock = Clock::new();
        let mut sleep = Box::pin(clock.sleep(Duration::from_secs(2)));
        assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(sleep);
        assert_eq!(clock.next_alarm(), None);
    }
}
