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
}

impl Timer {
    /// Ready when `deadline`, or an earlier one asked for before, has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        match (&mut self.sleep, deadline) {
            (None, None) => return Poll::Pending,
            (None, Some(deadline)) => {
                self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline.into())));
            }
            (Some(sleep), Some(deadline)) if sleep.deadline() > deadline.into() => {
                sleep.as_mut().reset(deadline.into());
            }
            (Some(_), _) => {}
        }
        let sleep = self.sleep.as_mut().expect("it was just made");
        let polled = sleep.as_mut().poll(cx);
        if polled.is_ready() {
            self.sleep = None;
        }
        polled
    }

    /// Whether it will wake the task by itself.
    pub(crate) const fn is_set(&self) -> bool {
        self.sleep.is_some()
    }
}
