//! What any thread may append to, behind one short lock: encoded frames by lane, requests awaiting
//! answers, credit, and the driver's waker.
//!
//! Nothing of a user's runs or is dropped under that lock. Wakers are cloned before it is taken and
//! woken, or dropped, after it is released: an executor may do anything in either.

mod driver;
mod pings;
mod waiters;

use std::sync::Arc;
use std::task::{Poll, Waker};

use moorline_buffers::{BlockPool, SendBuffer};
use moorline_protocol::limits::WINDOW_MIN;
use moorline_protocol::{
    Body, CloseReason, EncodeError, Encoder, ErrorCode, Farewell, Frame, HandledTypes,
    MessageIndex, Opened, PeerTypes, Violation,
};

use self::pings::Pings;
use self::waiters::Waiters;
pub(crate) use self::waiters::{Need, Place};
use crate::credit::SendCredit;
use crate::errors::{SendError, our_fault};
use crate::limits::HELD_MESSAGES;
use crate::requests::Requests;

/// Lanes, in the order they are emptied: control before all, answers and calls in turns, calls only
/// as far as credit goes. Within a lane nothing overtakes.
pub(crate) struct Outbox {
    encoder: Arc<dyn Encoder>,
    control: SendBuffer,
    answers: SendBuffer,
    calls: SendBuffer,
    answers_next: bool,
    /// Lent to a sender that encodes outside the lock.
    spare: Option<SendBuffer>,
    /// Answers that end in the answer lane: the sum of its blocks' weights.
    answers_unread: u64,
    credit: SendCredit,
    /// Bytes of the call lane: `left <= appended`, always.
    calls_appended: u64,
    calls_left: u64,
    bytes_max: usize,
    pub(crate) requests: Requests,
    phase: Phase,
    /// This side has asked the peer to start nothing new.
    drains: bool,
    /// Message types: how many of ours the peer knows, and what it has told of its own.
    told: u32,
    types: Arc<PeerTypes>,
    handled: HandledTypes,
    /// Control replies: only the youngest counts, so none of them can pile up.
    pong: Option<u64>,
    credit_total: Option<u64>,
    obey: bool,
    pings: Pings,
    finished: Vec<Finished>,
    waiters: Waiters,
    /// What another thread met that the session cannot go on with.
    failed: Option<CloseReason>,
    signals: Signals,
    driver: Option<Waker>,
    awake: bool,
    /// Woken by a sender since the driver last looked.
    roused: bool,
}

/// A request of the peer that a task has answered: the driver frees its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) id: u32,
    /// It got an answer of its handler, and not only a reason why there is none.
    pub(crate) well: bool,
}

/// What others ask of the driver, apart from sending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signals {
    /// Finish what runs, then close.
    pub drain: bool,
    /// The time for finishing is over.
    pub cut: bool,
    /// The peer may not be here any more.
    pub revoke: bool,
    /// What this side handles has changed.
    pub handlers: bool,
    /// Sealed bytes wait for the kernel.
    pub wire: bool,
}

/// How far the session is from its end, as far as new messages are concerned.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    Open,
    /// The peer takes nothing new; answers still go both ways.
    PeerDrains,
    /// This side is closing: what was accepted goes out, then the farewell.
    Closing(Farewell),
    /// The farewell is in the control lane or has left; nothing follows it.
    Farewell(Farewell),
    Closed(CloseReason),
}

impl Outbox {
    pub(crate) fn new(
        opened: &Opened,
        pool: &BlockPool,
        handled: HandledTypes,
        bytes_max: usize,
        message_max: u64,
    ) -> Self {
        let lane = || SendBuffer::with_block_max(pool, opened.block_max);
        let abilities = opened.encoder.abilities();
        let window = opened.limits.initiation_window;
        let held_max = message_max.saturating_mul(HELD_MESSAGES);
        Self {
            encoder: Arc::clone(&opened.encoder),
            control: lane(),
            answers: lane(),
            calls: lane(),
            answers_next: false,
            spare: None,
            answers_unread: 0,
            credit: if abilities.credit {
                SendCredit::new(window)
            } else {
                SendCredit::unlimited()
            },
            calls_appended: 0,
            calls_left: 0,
            bytes_max,
            requests: Requests::new(opened.limits.in_flight_max, held_max, abilities.cancel),
            phase: Phase::Open,
            drains: false,
            told: opened.told,
            types: Arc::clone(&opened.types),
            handled,
            pong: None,
            credit_total: None,
            obey: false,
            pings: Pings::default(),
            finished: Vec::new(),
            waiters: Waiters::default(),
            failed: window_fault(abilities.credit, window),
            signals: Signals::default(),
            driver: None,
            awake: true,
            roused: false,
        }
    }

    // ---- what senders do -------------------------------------------------------------------

    /// Whether a new message of this size and type may be appended now.
    pub(crate) fn admit(
        &self,
        index: MessageIndex,
        name: &'static str,
        size: usize,
    ) -> Result<(), SendError> {
        self.takes_new()?;
        if self.types.handled(index) == Some(false) {
            return Err(SendError::NotHandledByPeer(name));
        }
        let queued = self.calls.len();
        // One message always fits, however large: otherwise it could never be sent.
        if queued > 0 && queued.saturating_add(size) > self.bytes_max {
            return Err(SendError::Full { queued, limit: self.bytes_max });
        }
        Ok(())
    }

    /// Whether anything new may be appended to the call lane.
    pub(crate) fn takes_new(&self) -> Result<(), SendError> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::PeerDrains => Err(SendError::Draining),
            Phase::Closing(farewell) | Phase::Farewell(farewell) => {
                Err(SendError::Closed(CloseReason::ByUs(farewell.clone())))
            }
            Phase::Closed(reason) => Err(SendError::Closed(reason.clone())),
        }
    }

    /// Appends a post or request that was admitted. Its type is told to the peer first, if need be,
    /// by the control lane, which nothing overtakes.
    pub(crate) fn append_call(
        &mut self,
        index: MessageIndex,
        frame: &Frame<'_>,
    ) -> Result<(), EncodeError> {
        self.tell(index)?;
        let before = self.calls.len();
        self.encoder.encode(frame, &mut self.calls)?;
        let request = if let Frame::Request { id, .. } = frame { Some(*id) } else { None };
        self.count_call(request, self.calls.len() - before);
        Ok(())
    }

    /// The same for a message that was encoded outside the lock. Whether it may still be appended
    /// is to be asked anew, under this lock.
    pub(crate) fn link_call(
        &mut self,
        index: MessageIndex,
        request: Option<u32>,
        encoded: &mut SendBuffer,
    ) -> Result<(), EncodeError> {
        self.tell(index)?;
        let len = encoded.len();
        self.calls.append(encoded);
        self.count_call(request, len);
        Ok(())
    }

    /// An empty chain for [`link_call`](Self::link_call), if one is here ...
    pub(crate) fn lend_chain(&mut self) -> Option<SendBuffer> {
        self.spare.take()
    }

    /// ... and back, emptied.
    pub(crate) fn keep_chain(&mut self, chain: SendBuffer) {
        debug_assert!(chain.is_empty(), "it was linked");
        self.spare = Some(chain);
    }

    fn tell(&mut self, index: MessageIndex) -> Result<(), EncodeError> {
        if index.tid() > self.told {
            self.told = self.encoder.announce(self.told, &self.handled, &mut self.control)?;
        }
        Ok(())
    }

    fn count_call(&mut self, request: Option<u32>, len: usize) {
        let starts_at = self.calls_appended;
        self.calls_appended += len as u64;
        if let Some(id) = request {
            self.requests.appended(id, starts_at, self.calls_appended);
        }
    }

    /// An answer from another thread than the driver's. One that cannot be encoded ends the
    /// session: a peer that waits for ever for its answer is worse.
    pub(crate) fn append_answer(&mut self, frame: &Frame<'_>, well: bool) {
        let (Frame::Response { id, .. } | Frame::Error { id, .. }) = frame else { return };
        self.finished.push(Finished { id: *id, well });
        if self.speaks() {
            match encode_answer(&*self.encoder, frame, &mut self.answers) {
                Ok(count) => self.answers_unread += count,
                Err(error) => self.fail(our_fault(error)),
            }
        }
    }

    /// The same for an answer that was encoded outside the lock, with its
    /// [count](encode_answer).
    pub(crate) fn link_answer(
        &mut self,
        id: u32,
        well: bool,
        (encoded, count): (&mut SendBuffer, Result<u64, EncodeError>),
    ) {
        self.finished.push(Finished { id, well });
        match count {
            Ok(count) => self.link_answers(encoded, count),
            Err(error) => self.fail(our_fault(error)),
        }
    }

    /// The session cannot go on: the driver hears of it when it takes the next block.
    pub(crate) fn fail(&mut self, reason: CloseReason) {
        self.failed.get_or_insert(reason);
    }

    /// A ping behind everything queued so far; its number.
    pub(crate) fn append_ping(&mut self) -> Result<u64, SendError> {
        self.takes_new()?;
        let nonce = self.pings.next()?;
        let before = self.calls.len();
        self.encoder.encode(&Frame::Ping { nonce }, &mut self.calls)?;
        self.count_call(None, self.calls.len() - before);
        self.pings.sent(nonce);
        Ok(nonce)
    }

    pub(crate) fn poll_pong(
        &mut self,
        nonce: u64,
        waker: &mut Option<Waker>,
    ) -> Poll<Result<(), CloseReason>> {
        match (self.pings.poll(nonce, waker), &self.phase) {
            (Poll::Pending, Phase::Closed(reason)) => Poll::Ready(Err(reason.clone())),
            (polled, _) => polled.map(Ok),
        }
    }

    /// Ready when there is what is needed, or when waiting for it is no use.
    pub(crate) fn poll_room(
        &mut self,
        need: Need,
        place: &mut Option<Place>,
        waker: &mut Option<Waker>,
    ) -> Poll<()> {
        let (bytes, slot) = self.room();
        if bytes && (slot || need == Need::Bytes) {
            return Poll::Ready(());
        }
        self.waiters.wait(place, need, waker);
        Poll::Pending
    }

    /// Who waited for room does so no more; its waker is to be dropped outside the lock.
    #[must_use]
    pub(crate) fn leave_waiters(&mut self, place: &Place) -> Option<Waker> {
        self.waiters.leave(place)
    }

    /// Those who wait for room, if there is some now: to be woken once the lock is released.
    #[must_use]
    pub(crate) fn take_waiters(&mut self) -> Vec<Waker> {
        if self.waiters.is_empty() {
            return Vec::new();
        }
        let (bytes, slot) = self.room();
        self.waiters.take(bytes, slot)
    }

    /// Whether there is room for bytes, and for a request.
    fn room(&self) -> (bool, bool) {
        let over = !matches!(self.phase, Phase::Open);
        (over || self.calls.len() <= self.bytes_max / 2, over || self.requests.has_room())
    }

    /// The driver's waker, if it sleeps: to be woken once the lock is released.
    #[must_use]
    pub(crate) fn rouse(&mut self) -> Option<Waker> {
        if self.awake {
            return None;
        }
        self.awake = true;
        self.roused = true;
        self.driver.take()
    }

    pub(crate) fn signal(&mut self, signals: Signals) {
        self.signals.drain |= signals.drain;
        self.signals.cut |= signals.cut;
        self.signals.handlers |= signals.handlers;
        self.signals.wire |= signals.wire;
        self.signals.revoke |= signals.revoke;
    }

    pub(crate) fn calls_len(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn answers_len(&self) -> usize {
        self.answers.len()
    }

    pub(crate) fn queued(&self) -> usize {
        self.control.len() + self.answers.len() + self.calls.len()
    }

    pub(crate) const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Whether this side has not said its farewell yet.
    //= docs/PROTOCOL.md#10
    pub(crate) const fn speaks(&self) -> bool {
        !matches!(self.phase, Phase::Farewell(_) | Phase::Closed(_))
    }

    /// Starts closing, unless that has begun already.
    pub(crate) fn begin_close(&mut self, farewell: Farewell) -> bool {
        let first = matches!(self.phase, Phase::Open | Phase::PeerDrains);
        if first {
            self.phase = Phase::Closing(farewell);
        }
        first
    }
}

/// A block of messages may cost half of the smallest window; with less than that window it could
/// wait for ever, so a protocol that lets such a peer in is told at once.
//= docs/PROTOCOL.md#8
fn window_fault(credit: bool, window: u64) -> Option<CloseReason> {
    let rule = "an initiation window below 64 KiB";
    (credit && window < WINDOW_MIN).then(|| Violation::with_code(8, rule, ErrorCode::FLOW).into())
}

/// Encodes an answer, or says that there is no memory for it, and marks the block it ends in, so
/// that answers are counted until they leave. Returns by how much the count rises.
pub(crate) fn encode_answer(
    encoder: &dyn Encoder,
    frame: &Frame<'_>,
    out: &mut SendBuffer,
) -> Result<u64, EncodeError> {
    if let Err(error) = encoder.encode(frame, out) {
        let &(Frame::Response { id, .. } | Frame::Error { id, .. }) = frame else {
            return Err(error);
        };
        // Not OVERLOADED, which says that the handler has not run.
        let (code, message) = (ErrorCode::INTERNAL, "no memory for the answer".into());
        encoder.encode(&Frame::Error { id, code, message, detail: Body::EMPTY }, out)?;
    }
    if out.is_empty() {
        return Ok(0);
    }
    out.add_weight(1);
    Ok(1)
}
