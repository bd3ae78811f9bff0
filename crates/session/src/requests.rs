//! Requests of ours in flight: one slot each, from the first byte to the answer.

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use moorline_buffers::RecvBuffer;
use moorline_protocol::{Body, CloseReason, ErrorCode, Violation};
use slab::Slab;

use crate::errors::SendError;
use crate::limits::{SCRATCH_KEEP_MAX, SPARE_REPLIES_MAX};

/// The slot's number is the `rid` on the wire. It is free again when two things have happened: the
/// peer has answered (`terminal`), and the caller has its outcome or has gone (`caller_gone`).
/// Timeout and cancel end only the caller's part (PROTOCOL 6).
pub(crate) struct Requests {
    slots: Slab<Slot>,
    in_flight_max: u32,
    /// Slots whose deadline nobody has stamped yet.
    unstamped: Vec<u32>,
    /// No stamped deadline is earlier than this; it may be too early, then a scan finds nothing.
    earliest: Option<Instant>,
    /// Slots whose CANCEL is still to be sent.
    cancels: Vec<u32>,
    /// Buffers that answers are copied into, lent and given back.
    spare: Vec<Vec<u8>>,
    held_bytes: u64,
    held_bytes_max: u64,
    pub(crate) late_answers: u64,
}

struct Slot {
    timeout: Option<Duration>,
    due: Option<Instant>,
    /// Where the call lane stood when the request was appended: it has left when that much has.
    left_at: u64,
    outcome: Option<Outcome>,
    terminal: bool,
    caller_gone: bool,
    waker: Option<Waker>,
}

/// How a request ended, for its caller.
#[derive(Debug)]
pub(crate) enum Outcome {
    Response(Reply),
    Error { code: ErrorCode, message: Box<str>, detail: Reply },
    Timeout,
    Closed { reason: CloseReason, sent: bool },
    TooLarge,
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
    pub(crate) const fn new(in_flight_max: u32, held_bytes_max: u64) -> Self {
        Self {
            slots: Slab::new(),
            in_flight_max,
            unstamped: Vec::new(),
            earliest: None,
            cancels: Vec::new(),
            spare: Vec::new(),
            held_bytes: 0,
            held_bytes_max,
            late_answers: 0,
        }
    }

    /// Whether the peer has answered everything.
    pub(crate) fn all_answered(&self) -> bool {
        self.slots.iter().all(|(_, slot)| slot.terminal)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.slots.len() < self.in_flight_max as usize
    }

    /// Takes a slot. It has not left until [`appended`](Self::appended) says where it stands.
    pub(crate) fn open(&mut self, timeout: Option<Duration>) -> Result<u32, SendError> {
        if !self.has_room() {
            return Err(SendError::InFlight { limit: self.in_flight_max });
        }
        let slot = Slot {
            timeout,
            due: None,
            left_at: u64::MAX,
            outcome: None,
            terminal: false,
            caller_gone: false,
            waker: None,
        };
        let id = u32::try_from(self.slots.insert(slot)).expect("a slot is below in_flight_max");
        if timeout.is_some() {
            self.unstamped.push(id);
        }
        Ok(id)
    }

    /// The request stands in the call lane, and has left when `left_at` bytes of it have.
    pub(crate) fn appended(&mut self, id: u32, left_at: u64) {
        if let Some(slot) = self.slots.get_mut(id as usize) {
            slot.left_at = left_at;
        }
    }

    /// It could not be appended after all: nobody has heard of it.
    pub(crate) fn withdraw(&mut self, id: u32) {
        self.unstamped.retain(|&unstamped| unstamped != id);
        self.slots.try_remove(id as usize);
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
                wakers.extend(slot.waker.take());
                self.cancels.push(u32::try_from(id).expect("a slot is below in_flight_max"));
            }
        }
    }

    /// A good answer. `Ok(None)` where its caller has gone.
    pub(crate) fn respond(
        &mut self,
        id: u32,
        body: Body<'_>,
    ) -> Result<Option<Waker>, CloseReason> {
        let size = body.len() as u64;
        if self.held_bytes + size > self.held_bytes_max {
            return self.finish(id, |_| Outcome::TooLarge);
        }
        self.finish(id, |requests| Outcome::Response(requests.keep(body)))
    }

    /// A bad answer.
    pub(crate) fn fail(
        &mut self,
        id: u32,
        code: ErrorCode,
        message: &str,
        detail: Body<'_>,
    ) -> Result<Option<Waker>, CloseReason> {
        let detail_fits = self.held_bytes + detail.len() as u64 <= self.held_bytes_max;
        self.finish(id, |requests| Outcome::Error {
            code,
            message: moorline_protocol::printable(message),
            detail: requests.keep(if detail_fits { detail } else { Body::EMPTY }),
        })
    }

    /// An answer that the protocol could not take.
    pub(crate) fn refuse(&mut self, id: u32) -> Result<Option<Waker>, CloseReason> {
        self.finish(id, |_| Outcome::TooLarge)
    }

    /// The peer's last word on a slot.
    //= docs/PROTOCOL.md#6
    fn finish(
        &mut self,
        id: u32,
        outcome: impl FnOnce(&mut Self) -> Outcome,
    ) -> Result<Option<Waker>, CloseReason> {
        let slot = self.slots.get(id as usize).filter(|slot| !slot.terminal);
        let Some(slot) = slot else {
            return Err(Violation::protocol(6, "an answer to a request never asked").into());
        };
        if slot.left_at == u64::MAX {
            return Err(Violation::protocol(6, "an answer to a request not yet sent").into());
        }
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
                copy.extend_from_slice(bytes);
                Reply::Copied(copy)
            }
        }
    }

    /// The caller looks for its outcome and gives a buffer back for the one it gets.
    pub(crate) fn poll(
        &mut self,
        id: u32,
        cx: &mut Context<'_>,
        give_back: impl FnOnce() -> Vec<u8>,
    ) -> Poll<Outcome> {
        let slot = self.slots.get_mut(id as usize).expect("a caller's slot is kept for it");
        let Some(outcome) = slot.outcome.take() else {
            if slot.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                slot.waker = Some(cx.waker().clone());
            }
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

    /// The caller has dropped its future.
    pub(crate) fn abandon(&mut self, id: u32) {
        let Some(slot) = self.slots.get_mut(id as usize) else { return };
        slot.caller_gone = true;
        slot.waker = None;
        slot.due = None;
        if let Some(Outcome::Response(reply) | Outcome::Error { detail: reply, .. }) =
            slot.outcome.take()
        {
            self.held_bytes -= reply.bytes().len() as u64;
        }
        if slot.terminal {
            self.slots.remove(id as usize);
        } else if !self.cancels.contains(&id) {
            self.cancels.push(id);
        }
    }

    /// Hands out the CANCELs that may leave: their request has, and no answer is here.
    pub(crate) fn cancels(&mut self, left: u64, mut send: impl FnMut(u32)) {
        let slots = &self.slots;
        self.cancels.retain(|&id| match slots.get(id as usize) {
            Some(slot) if slot.terminal => false,
            Some(slot) if slot.left_at <= left => {
                send(id);
                false
            }
            Some(_) => true,
            None => false,
        });
    }

    pub(crate) fn has_cancels(&self) -> bool {
        !self.cancels.is_empty()
    }

    /// The session ends: every call ends, once, and knows whether it may have run.
    pub(crate) fn close(&mut self, reason: &CloseReason, left: u64, wakers: &mut Vec<Waker>) {
        self.unstamped.clear();
        self.cancels.clear();
        self.earliest = None;
        self.slots.retain(|_, slot| {
            if !slot.terminal && slot.outcome.is_none() {
                let sent = slot.left_at <= left;
                slot.outcome = Some(Outcome::Closed { reason: reason.clone(), sent });
            }
            slot.terminal = true;
            wakers.extend(slot.waker.take());
            !slot.caller_gone
        });
    }

    /// Idle: gives back what can be had again.
    pub(crate) fn park(&mut self) {
        self.spare = Vec::new();
        self.unstamped.shrink_to_fit();
        self.cancels.shrink_to_fit();
        if self.slots.is_empty() {
            self.slots = Slab::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noop() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn requests() -> Requests {
        Requests::new(2, 1_000)
    }

    #[test]
    fn a_slot_is_free_only_when_answered_and_taken() {
        let mut requests = requests();
        let id = requests.open(None).unwrap();
        requests.appended(id, 10);
        assert!(requests.poll(id, &mut noop(), Vec::new).is_pending());
        requests.respond(id, Body::Borrowed(b"x")).unwrap();
        assert_eq!(requests.slots.len(), 1);
        let Poll::Ready(Outcome::Response(reply)) = requests.poll(id, &mut noop(), Vec::new) else {
            panic!("the answer is there");
        };
        assert_eq!(reply.bytes(), b"x");
        assert_eq!(requests.slots.len(), 0);
    }

    #[test]
    fn two_answers_are_a_violation_and_so_is_one_never_asked_for() {
        let mut requests = requests();
        assert!(requests.respond(0, Body::EMPTY).is_err());
        let id = requests.open(None).unwrap();
        assert!(requests.respond(id, Body::EMPTY).is_err(), "not sent yet");
        requests.appended(id, 0);
        requests.respond(id, Body::EMPTY).unwrap();
        assert!(requests.respond(id, Body::EMPTY).is_err());
    }

    #[test]
    fn the_peers_limit_holds() {
        let mut requests = requests();
        requests.open(None).unwrap();
        requests.open(None).unwrap();
        assert_eq!(requests.open(None), Err(SendError::InFlight { limit: 2 }));
    }

    #[test]
    fn a_timeout_frees_the_caller_but_not_the_slot() {
        let start = Instant::now();
        let mut requests = requests();
        let id = requests.open(Some(Duration::from_secs(1))).unwrap();
        requests.appended(id, 5);
        requests.stamp(start);
        assert_eq!(requests.deadline(), Some(start + Duration::from_secs(1)));
        let mut wakers = Vec::new();
        requests.expire(start + Duration::from_millis(999), &mut wakers);
        assert!(requests.poll(id, &mut noop(), Vec::new).is_pending());
        requests.expire(start + Duration::from_secs(1), &mut wakers);
        assert!(matches!(requests.poll(id, &mut noop(), Vec::new), Poll::Ready(Outcome::Timeout)));
        assert_eq!(requests.slots.len(), 1, "the peer has not answered");
        let mut sent = Vec::new();
        requests.cancels(5, |id| sent.push(id));
        assert_eq!(sent, [id]);
        requests.respond(id, Body::EMPTY).unwrap();
        assert_eq!((requests.slots.len(), requests.late_answers), (0, 1));
    }

    #[test]
    fn a_cancel_waits_for_its_request_and_gives_way_to_an_answer() {
        let mut requests = requests();
        let id = requests.open(None).unwrap();
        requests.appended(id, 100);
        requests.abandon(id);
        requests.cancels(99, |_| panic!("the request has not left"));
        assert!(requests.has_cancels());
        requests.respond(id, Body::EMPTY).unwrap();
        requests.cancels(100, |_| panic!("the answer is here"));
        assert_eq!(requests.slots.len(), 0);
    }

    #[test]
    fn the_end_of_the_session_says_which_calls_may_have_run() {
        let mut requests = requests();
        let left = requests.open(None).unwrap();
        let queued = requests.open(None).unwrap();
        requests.appended(left, 10);
        requests.appended(queued, 20);
        requests.close(&CloseReason::Truncated, 10, &mut Vec::new());
        for (id, expected) in [(left, true), (queued, false)] {
            match requests.poll(id, &mut noop(), Vec::new) {
                Poll::Ready(Outcome::Closed { sent, .. }) => assert_eq!(sent, expected),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(requests.slots.len(), 0);
    }
}
