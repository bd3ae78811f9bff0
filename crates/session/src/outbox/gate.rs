//! When what is queued may leave: at once, when somebody says so, or at intervals.

use std::time::{Duration, Instant};

use super::Outbox;
use super::lanes::{End, Flow};
use crate::limits::FLUSH_INTERVAL_MAX;

/// When posts, requests and what is said on streams leave. Answers, and what the session says for
/// itself (credit, pongs, cancels, acknowledgements), always leave at once: somebody waits for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flush {
    /// At the end of the driver's turn, all that is ready together; a sender that has filled a batch
    /// writes it by itself.
    #[default]
    Auto,
    /// When somebody calls `flush`, `flush_wait` or `barrier`; when half of what may wait does; and
    /// when the session ends in order. A call's future does not flush.
    Manual,
    /// At once if nothing has left for so long, else when the time since then is over; and whenever
    /// [`Manual`](Self::Manual) would.
    Every(Duration),
}

/// Shut, nothing passes. It is opened for what is queued at that moment, and shuts behind it; what
/// is appended while it is open may slip through.
#[derive(Default)]
pub(super) struct Gate {
    flush: Flush,
    /// What it is open for; empty while it is shut.
    open_for: Vec<End>,
    /// When it opens by itself, and last did.
    opens_at: Option<Instant>,
    opened_at: Option<Instant>,
}

impl Gate {
    fn is_shut(&self) -> bool {
        self.open_for.is_empty()
    }

    /// Whether it waits to be told the time.
    fn wants_time(&self) -> bool {
        matches!(self.flush, Flush::Every(_)) && self.opens_at.is_none()
    }

    /// Something is queued: whether it is time to open.
    fn is_time(&mut self, now: Instant) -> bool {
        let Flush::Every(interval) = self.flush else { return false };
        let interval = interval.min(FLUSH_INTERVAL_MAX);
        let next = self.opened_at.map_or(now, |last| last + interval);
        let opens_at = *self.opens_at.get_or_insert(next);
        let is_time = opens_at <= now;
        if is_time {
            self.opens_at = None;
            self.opened_at = Some(now);
        }
        is_time
    }
}

impl Outbox {
    /// When what is queued leaves, from now on. What waits already leaves as soon as it can.
    pub(crate) fn set_flush(&mut self, flush: Flush) {
        // A session that is ending lets out what it has.
        if flush == Flush::Auto || self.ends() || self.obey {
            return self.release_for_good();
        }
        let gate = self.gate.get_or_insert_default();
        (gate.flush, gate.opens_at) = (flush, None);
        self.release();
    }

    /// From now on everything leaves at once.
    pub(super) fn release_for_good(&mut self) {
        self.gate = None;
        self.lanes.hold(false);
    }

    /// What is queued now may leave.
    pub(crate) fn release(&mut self) {
        if self.gate.is_some() {
            // What was published is queued as well, all of it.
            self.pull_published(usize::MAX);
        }
        let Some(gate) = &mut self.gate else { return };
        gate.opens_at = None;
        gate.open_for.clear();
        self.lanes.ends(&mut gate.open_for);
        self.streams.ends(&mut gate.open_for);
        self.lanes.hold(gate.is_shut());
    }

    /// Half of what may wait does, or there is no slot for another request: who waits for room must
    /// not wait for ever.
    pub(crate) fn release_if_full(&mut self) {
        if self.is_shut()
            && (self.lanes.calls_len() > self.bytes_max / 2 || !self.requests.has_room())
        {
            self.release();
        }
    }

    /// Shuts the gate behind what it was opened for.
    pub(super) fn shut_gate(&mut self) {
        let Self { gate: Some(gate), lanes, streams, .. } = self else { return };
        gate.open_for.retain(|&(lane, flow, end)| match flow {
            Flow::Stream(stream) => !streams.has_left(stream, end),
            _ => !lanes.has_left(lane, flow, end),
        });
        lanes.hold(gate.is_shut());
    }

    /// Opens the gate if it is time to.
    pub(crate) fn look_at_gate(&mut self, now: Instant) {
        let holds_something = self.holds_something();
        let Some(gate) = &mut self.gate else { return };
        if !holds_something {
            // What waited for that time was given up, with its stream or its call.
            gate.opens_at = None;
        } else if gate.is_time(now) {
            self.release();
        }
    }

    /// Whether something is queued whose time to leave is not known yet.
    pub(super) fn has_untimed(&self) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.wants_time()) && self.holds_something()
    }

    fn holds_something(&self) -> bool {
        self.is_shut() && (self.lanes.calls_len() > 0 || self.streams.queued() > 0)
    }

    /// When the gate opens by itself.
    pub(crate) fn gate_opens_at(&self) -> Option<Instant> {
        self.gate.as_ref()?.opens_at
    }

    /// Whether a flush makes a difference.
    pub(crate) const fn uses_gate(&self) -> bool {
        self.gate.is_some()
    }

    /// Whether posts and requests wait at the gate, so that writing is no use.
    pub(crate) fn is_shut(&self) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.is_shut())
    }

    /// Idle: gives back what can be had again.
    pub(super) fn park_gate(&mut self) {
        self.gate.iter_mut().for_each(|gate| gate.open_for.shrink_to_fit());
    }
}
