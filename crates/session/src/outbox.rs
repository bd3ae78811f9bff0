//! What any thread may append to, behind one short lock: encoded frames by lane, requests awaiting
//! answers, credit, and the driver's waker.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use moorline_buffers::{Block, BlockPool, SendBuffer};
use moorline_protocol::{
    CloseReason, EncodeError, Encoder, ErrorCode, Farewell, Frame, HandledTypes, MessageIndex,
    Opened, PeerTypes,
};

use crate::credit::SendCredit;
use crate::errors::SendError;
use crate::limits::{HELD_MESSAGES, PINGS_MAX};
use crate::requests::Requests;

/// Lanes, in the order they are emptied: control before all, answers and calls in turns, calls only
/// as far as credit goes. Within a lane nothing overtakes.
pub(crate) struct Outbox {
    encoder: Arc<dyn Encoder>,
    control: SendBuffer,
    answers: SendBuffer,
    calls: SendBuffer,
    answers_next: bool,
    credit: SendCredit,
    /// Bytes of the call lane: `left <= appended`, always.
    calls_appended: u64,
    calls_left: u64,
    bytes_max: usize,
    pub(crate) requests: Requests,
    phase: Phase,
    /// Message types: how many of ours the peer knows, and what it has told of its own.
    told: u32,
    types: Arc<PeerTypes>,
    handled: HandledTypes,
    /// Control replies: only the youngest counts, so none of them can pile up.
    pong: Option<u64>,
    credit_total: Option<u64>,
    obey: bool,
    /// Pings of ours without an answer, oldest first.
    pings: VecDeque<(u64, Option<Waker>)>,
    pings_sent: u64,
    pings_answered: u64,
    /// Requests of the peer that a task has answered; the driver frees their numbers.
    pub(crate) finished: Vec<u32>,
    waiters: Vec<Waker>,
    signals: Signals,
    driver: Option<Waker>,
    awake: bool,
    /// Woken by a sender since the driver last looked.
    roused: bool,
}

/// What others ask of the driver, apart from sending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signals {
    /// Finish what runs, then close.
    pub drain: bool,
    /// The time for finishing is over.
    pub cut: bool,
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
        Self {
            encoder: Arc::clone(&opened.encoder),
            control: lane(),
            answers: lane(),
            calls: lane(),
            answers_next: false,
            credit: SendCredit::new(opened.limits.initiation_window),
            calls_appended: 0,
            calls_left: 0,
            bytes_max,
            requests: Requests::new(
                opened.limits.in_flight_max,
                message_max.saturating_mul(HELD_MESSAGES),
            ),
            phase: Phase::Open,
            told: opened.told,
            types: Arc::clone(&opened.types),
            handled,
            pong: None,
            credit_total: None,
            obey: false,
            pings: VecDeque::new(),
            pings_sent: 0,
            pings_answered: 0,
            finished: Vec::new(),
            waiters: Vec::new(),
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
        match &self.phase {
            Phase::Open => {}
            Phase::PeerDrains => return Err(SendError::Draining),
            Phase::Closing(farewell) | Phase::Farewell(farewell) => {
                return Err(SendError::Closed(CloseReason::ByUs(farewell.clone())));
            }
            Phase::Closed(reason) => return Err(SendError::Closed(reason.clone())),
        }
        if self.types.handled(index) == Some(false) {
            return Err(SendError::NotHandledByPeer(name));
        }
        let queued = self.calls.len();
        // One message always fits, however large: otherwise it could never be sent.
        if queued > 0 && queued + size > self.bytes_max {
            return Err(SendError::Full { queued, limit: self.bytes_max });
        }
        Ok(())
    }

    /// Appends a post or request. Its type is told to the peer first, if need be, by the control
    /// lane, which nothing overtakes.
    pub(crate) fn append_call(
        &mut self,
        index: MessageIndex,
        frame: &Frame<'_>,
    ) -> Result<(), EncodeError> {
        self.tell(index)?;
        let before = self.calls.len();
        self.encoder.encode(frame, &mut self.calls)?;
        self.calls_appended += (self.calls.len() - before) as u64;
        if let Frame::Request { id, .. } = frame {
            self.requests.appended(*id, self.calls_appended);
        }
        Ok(())
    }

    /// The same for a message that was encoded outside the lock.
    pub(crate) fn link_call(
        &mut self,
        index: MessageIndex,
        request: Option<u32>,
        encoded: &mut SendBuffer,
    ) -> Result<(), EncodeError> {
        self.tell(index)?;
        self.calls_appended += encoded.len() as u64;
        self.calls.append(encoded);
        if let Some(id) = request {
            self.requests.appended(id, self.calls_appended);
        }
        Ok(())
    }

    fn tell(&mut self, index: MessageIndex) -> Result<(), EncodeError> {
        if index.tid() > self.told {
            self.told = self.encoder.announce(self.told, &self.handled, &mut self.control)?;
        }
        Ok(())
    }

    /// An answer from another thread than the driver's.
    pub(crate) fn append_answer(&mut self, frame: &Frame<'_>) -> Result<(), EncodeError> {
        if !matches!(self.phase, Phase::Closed(_) | Phase::Farewell(_)) {
            self.encoder.encode(frame, &mut self.answers)?;
        }
        Ok(())
    }

    /// A ping behind everything queued so far; its number.
    pub(crate) fn append_ping(&mut self) -> Result<u64, SendError> {
        if let Phase::Closed(reason) = &self.phase {
            return Err(SendError::Closed(reason.clone()));
        }
        if self.pings.len() >= PINGS_MAX {
            return Err(SendError::Full { queued: self.pings.len(), limit: PINGS_MAX });
        }
        let nonce = self.pings_sent + 1;
        let before = self.calls.len();
        self.encoder.encode(&Frame::Ping { nonce }, &mut self.calls)?;
        self.calls_appended += (self.calls.len() - before) as u64;
        self.pings_sent = nonce;
        self.pings.push_back((nonce, None));
        Ok(nonce)
    }

    pub(crate) fn poll_pong(
        &mut self,
        nonce: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CloseReason>> {
        if nonce <= self.pings_answered {
            return Poll::Ready(Ok(()));
        }
        if let Phase::Closed(reason) = &self.phase {
            return Poll::Ready(Err(reason.clone()));
        }
        if let Some((_, waker)) = self.pings.iter_mut().find(|(number, _)| *number == nonce) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Ready when the call lane is at most half full and a request has a slot.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let open = matches!(self.phase, Phase::Open);
        if !open || self.has_room() {
            return Poll::Ready(());
        }
        if !self.waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn has_room(&self) -> bool {
        self.calls.len() <= self.bytes_max / 2 && self.requests.has_room()
    }

    /// Those who wait for room, if there is some now.
    pub(crate) fn wake_waiters(&mut self, wakers: &mut Vec<Waker>) {
        if !self.waiters.is_empty() && self.has_room() {
            wakers.append(&mut self.waiters);
        }
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

    /// Starts closing, unless that has begun already.
    pub(crate) fn begin_close(&mut self, farewell: Farewell) -> bool {
        let first = matches!(self.phase, Phase::Open | Phase::PeerDrains);
        if first {
            self.phase = Phase::Closing(farewell);
        }
        first
    }

    // ---- what the driver does --------------------------------------------------------------

    /// Whether there is work for the driver; if not, its waker is kept.
    pub(crate) fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_work() {
            self.awake = true;
            return Poll::Ready(());
        }
        self.sleep(cx);
        Poll::Pending
    }

    /// The same where nothing can be written anyway: only a signal is work then.
    pub(crate) fn poll_signals(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.signals != Signals::default() {
            self.awake = true;
            return Poll::Ready(());
        }
        self.sleep(cx);
        Poll::Pending
    }

    fn sleep(&mut self, cx: &Context<'_>) {
        self.awake = false;
        if self.driver.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.driver = Some(cx.waker().clone());
        }
    }

    /// While a driver does its turn nobody needs to wake it.
    pub(crate) fn driver_is_awake(&mut self) {
        self.awake = true;
    }

    pub(crate) fn take_signals(&mut self) -> Signals {
        std::mem::take(&mut self.signals)
    }

    pub(crate) fn take_roused(&mut self) -> bool {
        std::mem::take(&mut self.roused)
    }

    fn has_work(&self) -> bool {
        let calls = self.calls.front().is_some_and(|block| self.affordable(block));
        calls
            || !self.control.is_empty()
            || !self.answers.is_empty()
            || self.pong.is_some()
            || self.credit_total.is_some()
            || (self.obey && self.calls.is_empty())
            || matches!(self.phase, Phase::Closing(_)) && self.calls.is_empty()
            || self.signals != Signals::default()
    }

    fn affordable(&self, block: &Block) -> bool {
        u64::from(block.weight()) <= self.credit.available()
    }

    /// Links the driver's own answers behind those of other threads.
    pub(crate) fn link_answers(&mut self, answers: &mut SendBuffer) {
        self.answers.append(answers);
    }

    pub(crate) fn set_pong(&mut self, nonce: u64) {
        self.pong = Some(nonce);
    }

    pub(crate) fn set_credit(&mut self, total: u64) {
        self.credit_total = Some(total);
    }

    pub(crate) fn raise_credit(&mut self, total: u64) -> Result<(), CloseReason> {
        self.credit.raise(total)
    }

    pub(crate) fn set_types(&mut self, types: Arc<PeerTypes>) {
        self.types = types;
    }

    /// What this side handles has changed, or types were registered: the peer is told.
    pub(crate) fn set_handled(&mut self, handled: HandledTypes) -> Result<(), EncodeError> {
        if handled != self.handled {
            self.handled = handled;
            self.told = self.encoder.announce(self.told, &self.handled, &mut self.control)?;
        }
        Ok(())
    }

    /// All pings up to `nonce` are answered; `false` if it was never sent.
    pub(crate) fn pong_received(&mut self, nonce: u64, wakers: &mut Vec<Waker>) -> bool {
        if nonce > self.pings_sent {
            return false;
        }
        self.pings_answered = self.pings_answered.max(nonce);
        while self.pings.front().is_some_and(|(number, _)| *number <= nonce) {
            wakers.extend(self.pings.pop_front().and_then(|(_, waker)| waker));
        }
        true
    }

    /// The peer takes nothing new. What is queued still goes, then it is told so.
    pub(crate) fn peer_drains(&mut self, wakers: &mut Vec<Waker>) {
        if matches!(self.phase, Phase::Open) {
            self.phase = Phase::PeerDrains;
        }
        self.obey = true;
        wakers.append(&mut self.waiters);
    }

    /// Asks the peer to start nothing new.
    pub(crate) fn append_goaway(&mut self, message: &str) -> Result<(), EncodeError> {
        if !self.encoder.abilities().farewell {
            return Ok(());
        }
        let frame = Frame::GoAway { code: ErrorCode(0), message: message.into(), obeyed: false };
        self.encoder.encode(&frame, &mut self.control).map(drop)
    }

    /// The next block for the wire, and whether one more may follow at once.
    ///
    /// # Errors
    /// Memory for a control frame could not be had.
    pub(crate) fn take_block(&mut self) -> Result<Option<Block>, EncodeError> {
        self.render_control()?;
        if let Some(block) = self.control.pop_block() {
            return Ok(Some(block));
        }
        self.answers_next = !self.answers_next;
        let taken = if self.answers_next {
            self.answers.pop_block().or_else(|| self.take_calls())
        } else {
            self.take_calls().or_else(|| self.answers.pop_block())
        };
        if taken.is_some() {
            return Ok(taken);
        }
        self.render_farewell()?;
        Ok(self.control.pop_block())
    }

    fn take_calls(&mut self) -> Option<Block> {
        let weight = u64::from(self.calls.front()?.weight());
        if !self.credit.spend(weight) {
            return None;
        }
        let block = self.calls.pop_block()?;
        self.calls_left += block.len() as u64;
        Some(block)
    }

    fn render_control(&mut self) -> Result<(), EncodeError> {
        let Self { encoder, control, requests, .. } = self;
        if let Some(total) = self.credit_total.take() {
            encoder.encode(&Frame::Credit { stream: 0, total }, control)?;
        }
        if let Some(nonce) = self.pong.take() {
            encoder.encode(&Frame::Pong { nonce }, control)?;
        }
        if requests.has_cancels() && encoder.abilities().cancel {
            let mut result = Ok(());
            requests.cancels(self.calls_left, |id| {
                if let Err(error) = encoder.encode(&Frame::Cancel { id }, control) {
                    result = Err(error);
                }
            });
            result?;
        }
        Ok(())
    }

    /// What overtakes nothing queued before it: GOAWAY X and CLOSE.
    //= docs/PROTOCOL.md#8
    fn render_farewell(&mut self) -> Result<(), EncodeError> {
        if !self.calls.is_empty() || !self.answers.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.obey) && self.encoder.abilities().farewell {
            let frame = Frame::GoAway { code: ErrorCode(0), message: "".into(), obeyed: true };
            self.encoder.encode(&frame, &mut self.control)?;
        }
        if let Phase::Closing(farewell) = &self.phase {
            let farewell = farewell.clone();
            self.encode_close(&farewell)?;
            self.phase = Phase::Farewell(farewell);
        }
        Ok(())
    }

    fn encode_close(&mut self, farewell: &Farewell) -> Result<(), EncodeError> {
        if !self.encoder.abilities().farewell {
            return Ok(());
        }
        let message = std::borrow::Cow::Borrowed(&*farewell.text);
        self.encoder.encode(&Frame::Close { code: farewell.code, message }, &mut self.control)?;
        Ok(())
    }

    /// Says goodbye now: what is queued is dropped and its size returned.
    pub(crate) fn cut_short(&mut self, farewell: Farewell) -> Result<usize, EncodeError> {
        if matches!(self.phase, Phase::Farewell(_) | Phase::Closed(_)) {
            return Ok(0);
        }
        let lost = self.calls.len() + self.answers.len();
        self.calls.clear();
        self.answers.clear();
        self.encode_close(&farewell)?;
        self.phase = Phase::Farewell(farewell);
        Ok(lost)
    }

    /// The end: every call ends, everybody who waits is woken, all blocks go back.
    pub(crate) fn close(&mut self, reason: &CloseReason, wakers: &mut Vec<Waker>) {
        if matches!(self.phase, Phase::Closed(_)) {
            return;
        }
        self.requests.close(reason, self.calls_left, wakers);
        wakers.append(&mut self.waiters);
        wakers.extend(self.pings.drain(..).filter_map(|(_, waker)| waker));
        self.control.clear();
        self.answers.clear();
        self.calls.clear();
        self.phase = Phase::Closed(reason.clone());
        self.driver = None;
    }

    /// Idle: gives back what can be had again.
    pub(crate) fn park(&mut self) {
        self.requests.park();
        self.control.park();
        self.answers.park();
        self.calls.park();
        self.pings.shrink_to_fit();
        self.finished.shrink_to_fit();
        self.waiters.shrink_to_fit();
    }
}
