//! What a driver does beside frames: tasks, alarms, and handlers that have changed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::alarms::Ring;
use super::desk::{Desk, Task};
use crate::context::{Context, Said};
use crate::handlers::HandlerTable;

/// The driver's side of a [`Desk`], and all that its handlers are called with.
pub(crate) struct Workplace {
    desk: Arc<Desk>,
    pub(crate) table: Arc<HandlerTable>,
    version: (u64, u64),
    pub(crate) cx: Context,
    alarm_at: Option<Instant>,
    /// Empty between two looks.
    tasks: Vec<Task>,
}

impl Workplace {
    pub(crate) fn new(desk: Arc<Desk>, cx: Context) -> Self {
        let (version, table) = (desk.version(), desk.table(&cx.session));
        Self { desk, table, version, cx, alarm_at: None, tasks: Vec::new() }
    }

    /// Does what others have laid down, if there is something. It is asked before each frame, so that
    /// what one handler says counts for the next frame.
    pub(crate) fn look(&mut self) {
        if self.desk.is_stirred() {
            self.alarm_at = self.desk.collect(&mut self.tasks);
            self.run_tasks();
        }
        if self.desk.version() != self.version {
            self.version = self.desk.version();
            self.table = self.desk.table(&self.cx.session);
        }
    }

    fn run_tasks(&mut self) {
        (self.cx.due, self.cx.said) = (None, Said::default());
        for task in self.tasks.drain(..) {
            // What a panic costs is this task: the others and the session go on.
            if catch_unwind(AssertUnwindSafe(|| task(&self.cx))).is_err() {
                tracing::error!("a task of the session's owner panicked");
            }
        }
    }

    /// When [`ring`](Self::ring) has something to do.
    pub(crate) fn alarm_at(&self) -> Option<Instant> {
        self.alarm_at
    }

    /// Rings what is due.
    pub(crate) fn ring(&mut self, now: Instant) {
        if self.alarm_at.is_none_or(|at| at > now) {
            return;
        }
        (self.cx.due, self.cx.said) = (None, Said::default());
        while let Some((key, mut ring)) = self.desk.take_due(now) {
            let again = ring_once(&mut ring, &self.cx);
            // Whatever is set from now on is due later than `now`.
            drop(self.desk.put_back(key, ring, Instant::now(), again));
        }
        // Tasks may have come meanwhile: they have their turn before the next frame.
        self.alarm_at = self.desk.collect_alarm();
    }

    /// The session is over.
    pub(crate) fn close(&self) {
        self.desk.close();
    }

    /// Idle: gives back what can be had again.
    pub(crate) fn park(&mut self) {
        self.tasks = Vec::new();
        self.desk.park();
    }
}

fn ring_once(ring: &mut Ring, cx: &Context) -> Option<Duration> {
    // An alarm that panics does not ring again by itself.
    catch_unwind(AssertUnwindSafe(|| ring(cx))).unwrap_or_else(|_| {
        tracing::error!("an alarm of the session panicked");
        None
    })
}

/// A driver that is stopped leaves nothing behind.
impl Drop for Workplace {
    fn drop(&mut self) {
        self.close();
    }
}
