//! One timer a connection, made when first needed and dropped when idle.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

/// Wakes at the earliest time asked for. It may wake too early, never too late: setting it back is
/// dearer than looking once for nothing.
#[derive(Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// It will wake the task. One that has rung is kept, to be set again without allocating.
    set: bool,
}

impl Timer {
    /// Ready when `deadline`, or an earlier one asked for before, has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        if let Some(deadline) = deadline {
            let deadline = tokio::time::Instant::from(deadline);
            match &mut self.sleep {
                None => self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
                Some(sleep) if !self.set || sleep.deadline() > deadline => {
                    sleep.as_mut().reset(deadline);
                }
                Some(_) => {}
            }
            self.set = true;
        }
        let Some(sleep) = self.sleep.as_mut().filter(|_| self.set) else { return Poll::Pending };
        let polled = sleep.as_mut().poll(cx);
        self.set = polled.is_pending();
        polled
    }

    /// Whether it will wake the task by itself until then.
    pub(crate) fn rings_by(&self, time: Instant) -> bool {
        let sleep = self.sleep.as_ref().filter(|_| self.set);
        sleep.is_some_and(|sleep| sleep.deadline().into_std() <= time)
    }

    /// Idle: a timer that is not set is given back.
    pub(crate) fn park(&mut self) {
        if !self.set {
            self.sleep = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    async fn rings(timer: &mut Timer, deadline: Option<Instant>) -> Instant {
        poll_fn(|cx| timer.poll(cx, deadline)).await;
        Instant::now()
    }

    #[tokio::test]
    async fn it_rings_once_for_each_time_it_is_set() {
        let mut timer = Timer::default();
        let start = Instant::now();
        let near = start + Duration::from_millis(10);
        let far = start + Duration::from_secs(60);
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx, None))).await.is_pending());
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx, Some(far)))).await.is_pending());
        assert!(rings(&mut timer, Some(near)).await >= near, "an earlier time sets it forward");
        assert!(!timer.rings_by(far));
        assert!(poll_fn(|cx| Poll::Ready(timer.poll(cx, None))).await.is_pending());
        assert!(!timer.rings_by(far), "it is not set");
        let again = Instant::now() + Duration::from_millis(10);
        assert!(rings(&mut timer, Some(again)).await >= again);
        timer.park();
        assert!(timer.sleep.is_none());
        assert!(rings(&mut timer, Some(start)).await >= start, "a time that has passed");
    }
}
