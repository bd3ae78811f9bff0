//! Requests of ours in flight: one slot each, from the first byte to the answer.

use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use moorline_buffers::RecvBuffer;
use moorline_protocol::{Body, CloseReason, ErrorCode, Lane, Refused, Violation};
use slab::Slab;

use crate::errors::SendError;
use crate::limits::{SCRATCH_CAPACITY_MIN, SCRATCH_KEEP_MAX, SPARE_REPLIES_MAX};

/// Bytes of requests that have left, by lane.
pub(crate) type Left = [u64; 3];

/// The slot's number is the `rid` on the wire. It is free again when two things have happened: the
/// peer has answered (`terminal`), and the caller has its outcome or has gone (`caller_gone`).
/// Timeout and cancel end only the caller's part (PROTOCOL 6).
pub(crate) struct Requests {
    slots: Slab<Slot>,
    /// Slots that the peer has not answered.
    unanswered: usize,
    /// Those among them that nobody waits for any more.
    given_up: usize,
    in_flight_max: u32,
    /// Slots whose deadline nobody has stamped yet.
    unstamped: Vec<u32>,
    /// No stamped deadline is earlier than this; it may be too early, then a scan finds nothing.
    earliest: Option<Instant>,
    /// Whether the protocol can take a request back at all.
    can_cancel: bool,
    /// Where to look for slots that are marked [`Cancel::Due`]: the mark counts, an entry that finds
    /// none is out of date.
    cancels: Vec<u32>,
    /// Requests that were answered before all of them had left: where their rest ends.
    cuts: Vec<(Lane, u64)>,
    /// Buffers that answers are copied into, lent and given back.
    spare: Vec<Vec<u8>>,
    held_bytes: u64,
    held_bytes_max: u64,
    pub(crate) late_answers: u64,
}

struct Slot {
    timeout: Option<Duration>,
    due: Option<Instant>,
    lane: Lane,
    /// Where the requests of its lane stood before and after it was appended: the peer may have
    /// seen something of it when more than the first has left, and all of it when the second has.
    /// `u64::MAX` until it is appended.
    starts_at: u64,
    left_at: u64,
    outcome: Option<Outcome>,
    terminal: bool,
    caller_gone: bool,
    /// Nobody waits any more, and the peer has not answered.
    given_up: bool,
    /// A CANCEL is to leave, once the request has and unless the answer is faster. The mark goes
    /// with the slot, so it can never hit the next call in it.
    cancel: Cancel,
    waker: Option<Waker>,
}

impl Slot {
    /// Whether all of it has left.
    const fn has_left(&self, left: Left) -> bool {
        self.left_at <= left[self.lane as usize]
    }

    /// Whether the peer may have seen something of it.
    const fn has_begun(&self, left: Left) -> bool {
        self.starts_at < left[self.lane as usize]
    }
}

/// What the peer is to hear of a call that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Word {
    Cancel(u32),
    /// The rest of a request in this lane, up to here, is not sent.
    Cut(Lane, u64),
}

/// One call, at most one CANCEL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cancel {
    No,
    Due,
    Sent,
}

/// How a request ended, for its caller.
#[derive(Debug)]
pub(crate) enum Outcome {
    Response(Reply),
    Error { code: ErrorCode, message: Box<str>, detail: Reply },
    Timeout,
    Closed { reason: CloseReason, sent: bool },
    TooLarge { size: u64, held: u64, limit: u64 },
    Malformed,
}

/// The bytes of an answer: copied into a buffer that goes round, or a reassembled message.
#[derive(Debug)]
pub(crate) enum Reply {
    Copied(Vec<u8>),
    Owned(RecvBuffer),
}

impl Reply {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Reply::Copied(bytes) => bytes,
            Reply::Owned(buffer) => buffer.readable(),
        }
    }
}

impl Requests {
    pub(crate) const fn new(in_flight_max: u32, held_bytes_max: u64, can_cancel: bool) -> Self {
        Self {
            slots: Slab::new(),
            unanswered: 0,
            given_up: 0,
            in_flight_max,
            unstamped: Vec::new(),
            earliest: None,
            can_cancel,
            cancels: Vec::new(),
            cuts: Vec::new(),
            spare: Vec::new(),
            held_bytes: 0,
            held_bytes_max,
            late_answers: 0,
        }
    }

    /// Requests of ours that the peer has not answered.
    pub(crate) const fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Whether the peer has answered everything. Where it cannot be told that nobody waits any more it
    /// may never answer what it failed at: then those who wait count alone.
    pub(crate) const fn all_answered(&self) -> bool {
        self.unanswered == if self.can_cancel { 0 } else { self.given_up }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.slots.len() < self.in_flight_max as usize
    }

    /// Takes a slot. It has not left until [`appended`](Self::appended) says where it stands.
    pub(crate) fn open(&mut self, timeout: Option<Duration>, lane: Lane) -> Result<u32, SendError> {
        if !self.has_room() {
            return Err(SendError::InFlight { limit: self.in_flight_max });
        }
        let slot = Slot {
            timeout,
            due: None,
            lane,
            starts_at: u64::MAX,
            left_at: u64::MAX,
            outcome: None,
            terminal: false,
            caller_gone: false,
            given_up: false,
            cancel: Cancel::No,
            waker: None,
        };
        let id = u32::try_from(self.slots.insert(slot)).expect("a slot is below in_flight_max");
        self.unanswered += 1;
        if timeout.is_some() {
            self.unstamped.push(id);
        }
        Ok(id)
    }

    /// The request stands among those of its lane from byte `starts_at` to byte `left_at`.
    pub(crate) fn appended(&mut self, id: u32, starts_at: u64, left_at: u64) {
        if let Some(slot) = self.slots.get_mut(id as usize) {
            slot.starts_at = starts_at;
            slot.left_at = left_at;
        }
    }

    /// It could not be appended after all: nobody has heard of it.
    pub(crate) fn withdraw(&mut self, id: u32) {
        self.unstamped.retain(|&unstamped| unstamped != id);
        if let Some(slot) = self.slots.try_remove(id as usize).filter(|slot| !slot.terminal) {
            self.unanswered -= 1;
            self.given_up -= usize::from(slot.given_up);
        }
    }

    /// Starts the clock of all requests made since the last turn.
    pub(crate) fn stamp(&mut self, now: Instant) {
        for id in self.unstamped.drain(..) {
            let Some(slot) = self.slots.get_mut(id as usize) else { continue };
            // A slot may have been freed and taken again between two turns; its own entry follows.
            let Some(due) = slot.timeout.and_then(|timeout| now.checked_add(timeout)) else {
                continue;
            };
            slot.due = Some(due);
            self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
        }
    }

    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.earliest
    }

    /// Ends what is due. Seldom called: only when the earliest deadline known has passed.
    pub(crate) fn expire(&mut self, now: Instant, wakers: &mut Vec<Waker>) {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return;
        }
        self.earliest = None;
        for (id, slot) in &mut self.slots {
            let Some(due) = slot.due else { continue };
            if due > now {
                self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
                continue;
            }
            slot.due = None;
            if slot.outcome.is_none() && !slot.caller_gone {
                slot.outcome = Some(Outcome::Timeout);
                slot.given_up = true;
                self.given_up += 1;
                wakers.extend(slot.waker.take());
                if self.can_cancel {
                    slot.cancel = Cancel::Due;
                    self.cancels.push(u32::try_from(id).expect("a slot is below in_flight_max"));
                }
            }
        }
    }

    /// A good answer, when so many bytes of requests have left. `Ok(None)` where its caller has
    /// gone.
    pub(crate) fn respond(
        &mut self,
        id: u32,
        left: Left,
        body: Body<'_>,
    ) -> Result<Option<Waker>, CloseReason> {
        let size = body.len() as u64;
        if self.held_bytes + size > self.held_bytes_max {
            return self.finish(id, left, |requests| Outcome::TooLarge {
                size,
                held: requests.held_bytes,
                limit: requests.held_bytes_max,
            });
        }
        self.finish(id, left, |requests| Outcome::Response(requests.keep(body)))
    }

    /// A bad answer.
    pub(crate) fn fail(
        &mut self,
        id: u32,
        left: Left,
        (code, message): (ErrorCode, Box<str>),
        detail: Body<'_>,
    ) -> Result<Option<Waker>, CloseReason> {
        // Both sides keep the time that the caller has set: whose word comes first is no news to it.
        // A handler whose own time is over says how much that was.
        let timed = |slot: &Slot| slot.timeout.is_some() && message.is_empty();
        if code == ErrorCode::DEADLINE && self.slots.get(id as usize).is_some_and(timed) {
            return self.finish(id, left, |_| Outcome::Timeout);
        }
        let detail_fits = self.held_bytes + detail.len() as u64 <= self.held_bytes_max;
        self.finish(id, left, |requests| Outcome::Error {
            code,
            message,
            detail: requests.keep(if detail_fits { detail } else { Body::EMPTY }),
        })
    }

    /// An answer that the protocol could not take.
    pub(crate) fn refuse(
        &mut self,
        id: u32,
        left: Left,
        refused: &Refused,
    ) -> Result<Option<Waker>, CloseReason> {
        self.finish(id, left, |_| {
            if refused.code == ErrorCode::TOO_LARGE {
                Outcome::TooLarge { size: refused.size, held: 0, limit: refused.limit }
            } else {
                Outcome::Malformed
            }
        })
    }

    /// The peer's last word on a slot.
    //= docs/PROTOCOL.md#6
    fn finish(
        &mut self,
        id: u32,
        left: Left,
        outcome: impl FnOnce(&mut Self) -> Outcome,
    ) -> Result<Option<Waker>, CloseReason> {
        let slot = self.slots.get(id as usize).filter(|slot| !slot.terminal);
        let Some(slot) = slot else {
            return Err(Violation::protocol(6, "an answer to a request never asked").into());
        };
        // An ERROR may come after the first fragment, so part of a request is enough.
        if !slot.has_begun(left) {
            return Err(Violation::protocol(6, "an answer to a request not yet sent").into());
        }
        // The rest of it would be in the way of the next request with this number.
        if !slot.has_left(left) {
            self.cuts.push((slot.lane, slot.left_at));
        }
        self.unanswered -= 1;
        self.given_up -= usize::from(slot.given_up);
        if slot.caller_gone {
            self.late_answers += 1;
            self.slots.remove(id as usize);
            return Ok(None);
        }
        let late = slot.outcome.is_some();
        let outcome = if late { None } else { Some(outcome(self)) };
        let slot = &mut self.slots[id as usize];
        slot.terminal = true;
        match outcome {
            Some(outcome) => slot.outcome = Some(outcome),
            None => self.late_answers += 1,
        }
        Ok(self.slots[id as usize].waker.take())
    }

    fn keep(&mut self, body: Body<'_>) -> Reply {
        self.held_bytes += body.len() as u64;
        match body {
            Body::Owned(buffer) => Reply::Owned(buffer),
            Body::Borrowed(bytes) => {
                let mut copy = self.spare.pop().unwrap_or_default();
                copy.clear();
                // It will serve as a scratch as well, and is to grow once and not in steps.
                copy.reserve(bytes.len().max(SCRATCH_CAPACITY_MIN));
                copy.extend_from_slice(bytes);
                Reply::Copied(copy)
            }
        }
    }

    /// The caller looks for its outcome and gives a buffer back for the one it gets. If there is
    /// none yet, `waker` is kept, and replaced by the one kept before, to be dropped elsewhere.
    pub(crate) fn poll(
        &mut self,
        id: u32,
        waker: &mut Option<Waker>,
        give_back: impl FnOnce() -> Vec<u8>,
    ) -> Poll<Outcome> {
        let slot = self.slots.get_mut(id as usize).expect("a caller's slot is kept for it");
        let Some(outcome) = slot.outcome.take() else {
            keep_waker(&mut slot.waker, waker);
            return Poll::Pending;
        };
        slot.caller_gone = true;
        if slot.terminal {
            self.slots.remove(id as usize);
        }
        match &outcome {
            Outcome::Response(reply) | Outcome::Error { detail: reply, .. } => {
                self.held_bytes -= reply.bytes().len() as u64;
                if matches!(reply, Reply::Copied(_)) && self.spare.len() < SPARE_REPLIES_MAX {
                    let buffer = give_back();
                    if buffer.capacity() > 0 && buffer.capacity() <= SCRATCH_KEEP_MAX {
                        self.spare.push(buffer);
                    }
                }
            }
            _ => {}
        }
        Poll::Ready(outcome)
    }

    /// The caller has dropped its future. Returns the waker it had left, to be dropped elsewhere.
    #[must_use]
    pub(crate) fn abandon(&mut self, id: u32) -> Option<Waker> {
        let slot = self.slots.get_mut(id as usize)?;
        slot.caller_gone = true;
        slot.due = None;
        let waker = slot.waker.take();
        if let Some(Outcome::Response(reply) | Outcome::Error { detail: reply, .. }) =
            slot.outcome.take()
        {
            self.held_bytes -= reply.bytes().len() as u64;
        }
        if slot.terminal {
            self.slots.remove(id as usize);
            return waker;
        }
        self.given_up += usize::from(!std::mem::replace(&mut slot.given_up, true));
        if self.can_cancel && slot.cancel == Cancel::No {
            slot.cancel = Cancel::Due;
            self.cancels.push(id);
        }
        waker
    }

    /// Hands out what the peer is to hear of calls that are given up: once their request has begun
    /// to leave, and while no answer is here.
    //= docs/PROTOCOL.md#6
    pub(crate) fn cancels(&mut self, left: Left, mut say: impl FnMut(Word)) {
        let Self { slots, cancels, cuts, .. } = self;
        cuts.drain(..).for_each(|(lane, end)| say(Word::Cut(lane, end)));
        cancels.retain(|&id| match slots.get_mut(id as usize) {
            Some(slot) if slot.cancel == Cancel::Due && !slot.terminal => {
                if slot.has_left(left) {
                    slot.cancel = Cancel::Sent;
                    say(Word::Cancel(id));
                } else if slot.has_begun(left) {
                    slot.cancel = Cancel::Sent;
                    say(Word::Cut(slot.lane, slot.left_at));
                }
                slot.cancel == Cancel::Due
            }
            _ => false,
        });
    }

    /// Whether one of these words may be said now.
    pub(crate) fn has_cancels(&self, left: Left) -> bool {
        let may_leave =
            |slot: &Slot| slot.cancel == Cancel::Due && !slot.terminal && slot.has_begun(left);
        !self.cuts.is_empty()
            || self.cancels.iter().any(|&id| self.slots.get(id as usize).is_some_and(may_leave))
    }

    /// Whether there are requests whose clock still has to be started.
    pub(crate) const fn has_unstamped(&self) -> bool {
        !self.unstamped.is_empty()
    }

    /// The session ends: every call ends, once, and knows whether it may have run.
    pub(crate) fn close(&mut self, reason: &CloseReason, left: Left, wakers: &mut Vec<Waker>) {
        self.unstamped.clear();
        self.cancels.clear();
        self.cuts.clear();
        self.earliest = None;
        self.unanswered = 0;
        self.given_up = 0;
        self.slots.retain(|_, slot| {
            if !slot.terminal && slot.outcome.is_none() {
                let sent = slot.has_left(left);
                slot.outcome = Some(Outcome::Closed { reason: reason.clone(), sent });
            }
            slot.terminal = true;
            wakers.extend(slot.waker.take());
            !slot.caller_gone
        });
        self.spare = Vec::new();
    }

    /// Idle: gives back what can be had again.
    pub(crate) fn park(&mut self) {
        self.spare = Vec::new();
        self.unstamped.shrink_to_fit();
        self.cancels.shrink_to_fit();
        self.cuts.shrink_to_fit();
        if self.slots.is_empty() {
            self.slots = Slab::new();
        }
    }
}

/// Puts `waker` where `kept` is, unless that wakes the same task. What is not kept stays in `waker`:
/// dropping a waker may run anything, so it is not done under a lock.
pub(crate) fn keep_waker(kept: &mut Option<Waker>, waker: &mut Option<Waker>) {
    let same = matches!((&*kept, &*waker), (Some(old), Some(new)) if old.will_wake(new));
    if !same {
        std::mem::swap(kept, waker);
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
