//! The part of a session that its driver owns: what a received frame means.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use moorline_buffers::{Block, SendBuffer};
use moorline_protocol::{
    Body, CloseReason, EncodeError, ErrorCode, Farewell, Frame, HandledTypes, Kind, Meta, Refused,
    RefusedKind, Settings, Violation,
};

use crate::calm::Calm;
use crate::credit::ReceiveCredit;
use crate::incoming::{Answer, Incoming, Responder, Ticket};
use crate::limits::{ANSWERS_BYTES_MAX, HELD_MESSAGES};
use crate::outbox::{Phase, Signals};
use crate::session_ref::{Flusher, SessionRef, Shared};
use crate::topic::PostDropped;

/// One for each open connection, owned by its driver. It does no I/O and reads no clock.
///
/// A turn of the driver: [`begin_turn`](Self::begin_turn); [`handle_frame`](Self::handle_frame) for
/// each frame, answering what is delivered; [`end_turn`](Self::end_turn); then blocks are taken
/// with [`SessionWriter::take_block`] until there is none.
pub struct Core {
    session: SessionRef,
    settings: Settings,
    credit: ReceiveCredit,
    incoming: Incoming,
    calm: Calm,
    /// Answers of inline handlers, linked into the outbox once a turn.
    answers: SendBuffer,
    answers_queued: usize,
    wakers: Vec<Waker>,
    draining: bool,
    peer_obeyed: bool,
    counters: Counters,
    ended: bool,
}

/// How far this side's closing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndPhase {
    /// It has not begun.
    No,
    /// What was accepted for sending still goes out.
    Closing,
    /// The farewell has been handed out: only the peer's is awaited.
    Farewell,
}

/// What came of received frames, since the session opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Posts received.
    pub posts: u64,
    /// Requests received.
    pub requests: u64,
    /// Good answers received.
    pub responses: u64,
    /// Bad answers received.
    pub errors: u64,
    /// Posts that reached no handler.
    pub posts_dropped: u64,
    /// Requests answered by the framework with an error.
    pub requests_refused: u64,
    /// Cancels received.
    pub cancels: u64,
}

/// What the driver is to do with a frame.
#[derive(Debug)]
pub enum Delivery<'b> {
    /// Nothing: it concerned the session alone.
    Nothing,
    /// Hand it to a handler.
    Post {
        /// Which message.
        kind: Kind,
        /// What travels beside the body.
        meta: Meta,
        /// Encoded.
        body: Body<'b>,
    },
    /// Hand it to a handler and answer.
    Request {
        /// To be used up by an answer.
        ticket: Ticket,
        /// Which message.
        kind: Kind,
        /// What travels beside the body.
        meta: Meta,
        /// Encoded.
        body: Body<'b>,
    },
    /// The peer takes nothing new from now on.
    PeerDrains,
}

/// What the writer needs of a session: blocks. It may be used from any thread, under the writer's
/// own lock, so that taking, sealing and writing have one order.
#[derive(Clone)]
pub struct SessionWriter {
    shared: Arc<Shared>,
}

impl SessionWriter {
    /// The next block for the wire.
    ///
    /// # Errors
    /// Memory for a control frame could not be had: the connection must end.
    pub fn take_block(&self) -> Result<Option<Block>, CloseReason> {
        self.shared.lock().take_block().map_err(exhausted)
    }

    /// Something was left behind that only the driver can go on with. It finds out even if it is
    /// awake and just about to sleep.
    pub fn rouse_driver(&self) {
        let _ = self.shared.append(|outbox| {
            outbox.signal(Signals { wire: true, ..Signals::default() });
            Ok::<_, EncodeError>(())
        });
    }
}

impl Core {
    /// For a session that has just opened.
    #[must_use]
    pub fn new(session: SessionRef, settings: Settings) -> Self {
        let answers = session.shared.chain();
        Self {
            session,
            settings,
            credit: ReceiveCredit::new(settings.initiation_window),
            incoming: Incoming::default(),
            calm: Calm::new(),
            answers,
            answers_queued: 0,
            wakers: Vec::new(),
            draining: false,
            peer_obeyed: false,
            counters: Counters::default(),
            ended: false,
        }
    }

    /// The session itself.
    #[must_use]
    pub fn session(&self) -> &SessionRef {
        &self.session
    }

    /// The writer's view of it.
    #[must_use]
    pub fn writer(&self) -> SessionWriter {
        SessionWriter { shared: Arc::clone(&self.session.shared) }
    }

    /// Who writes a full batch when a sender has filled it. Set once.
    pub fn set_flusher(&self, flusher: std::sync::Weak<dyn Flusher>) {
        let _ = self.session.shared.flusher.set(flusher);
    }

    /// What has come so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    // ---- a turn ----------------------------------------------------------------------------

    /// Starts a turn: the clocks of new requests start now.
    pub fn begin_turn(&mut self, now: Instant) {
        self.calm.pass_time(now);
        let mut outbox = self.session.shared.lock();
        outbox.driver_is_awake();
        outbox.requests.stamp(now);
        self.answers_queued = outbox.answers_len();
        for id in outbox.finished.drain(..) {
            self.incoming.finished(id);
            self.calm.ended_well();
        }
    }

    /// What a frame means. `cost` is what the protocol said it takes of the window.
    ///
    /// # Errors
    /// The session is over for this reason.
    pub fn handle_frame<'b>(
        &mut self,
        now: Instant,
        frame: Frame<'b>,
        cost: u64,
    ) -> Result<Delivery<'b>, CloseReason> {
        self.credit.receive(cost)?;
        // Inline handlers take a message at once, and what is incomplete must not use up the
        // window, or a message above it would never finish.
        self.credit.take(cost);
        match frame {
            Frame::Post { kind, meta, body } => Ok(self.post(kind, meta, body)),
            Frame::Request { id, kind, meta, body } => self.request(now, id, kind, meta, body),
            Frame::Response { id, body } => {
                self.counters.responses += 1;
                self.calm.ended_well();
                let waker = self.session.shared.lock().requests.respond(id, body)?;
                self.wakers.extend(waker);
                Ok(Delivery::Nothing)
            }
            Frame::Error { id, code, message, detail } => {
                self.counters.errors += 1;
                let waker = self.session.shared.lock().requests.fail(id, code, &message, detail)?;
                self.wakers.extend(waker);
                Ok(Delivery::Nothing)
            }
            Frame::Refused(refused) => self.refused(refused),
            Frame::Partial => Ok(Delivery::Nothing),
            other => self.control(other),
        }
    }

    /// Answers a request that was delivered, from the driver.
    ///
    /// # Errors
    /// Memory for the answer could not be had: the session must end.
    pub fn answer(&mut self, ticket: Ticket, answer: Answer<'_>) -> Result<(), CloseReason> {
        if !matches!(answer, Answer::Fault(..)) {
            self.calm.ended_well();
        }
        self.answer_id(ticket.id, answer)
    }

    /// Leaves the answer to somebody else, for as long as it takes.
    pub fn defer(&mut self, ticket: &Ticket) -> Responder {
        self.incoming.defer(ticket, &self.session.shared)
    }

    /// How a deferred handler is stopped when its caller gives up.
    pub fn attach_abort(&mut self, ticket: &Ticket, abort: Box<dyn FnOnce() + Send>) {
        self.incoming.attach(ticket.id, abort);
    }

    /// A delivered post reached no handler: it is counted and told.
    ///
    /// # Errors
    /// It was one too many that the peer is to blame for.
    pub fn drop_post(&mut self, kind: Option<Kind>, code: ErrorCode) -> Result<(), CloseReason> {
        self.counters.posts_dropped += 1;
        let message = match kind {
            Some(Kind::Known(index)) => self.session.shared.registry.name_of(index),
            _ => None,
        };
        let event = PostDropped { id: self.session.id(), message, code };
        self.session.shared.hub.publish(self.session.protocol(), event);
        // A peer with types we do not have is not at fault: it may be newer than we are.
        if code == ErrorCode::UNIMPLEMENTED { Ok(()) } else { self.calm.strain() }
    }

    /// Ends a turn: answers are queued, credit is told, callers are woken.
    pub fn end_turn(&mut self) {
        let credit = self.credit.due();
        let mut outbox = self.session.shared.lock();
        outbox.link_answers(&mut self.answers);
        if let Some(total) = credit {
            outbox.set_credit(total);
        }
        outbox.wake_waiters(&mut self.wakers);
        drop(outbox);
        self.wakers.drain(..).for_each(Waker::wake);
    }

    /// Answers of this turn so far, in bytes: past the early-flush mark they need not wait for its
    /// end.
    #[must_use]
    pub fn answers_len(&self) -> usize {
        self.answers.len()
    }

    /// What others have asked of the driver since it last looked.
    #[must_use]
    pub fn take_signals(&mut self) -> Signals {
        self.session.shared.lock().take_signals()
    }

    /// Whether a sender has woken the driver since it last looked.
    #[must_use]
    pub fn take_roused(&mut self) -> bool {
        self.session.shared.lock().take_roused()
    }

    /// Ready when somebody asks for something; for a driver that cannot write at the moment.
    pub fn poll_signals(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.session.shared.lock().poll_signals(cx)
    }

    /// The peer is to blame for something that was answered: patience is finite.
    ///
    /// # Errors
    /// It was one too many.
    pub fn fault_of_peer(&mut self) -> Result<(), CloseReason> {
        self.calm.strain()
    }

    /// Ready when the outbox has something for the wire; otherwise its next writer wakes us.
    pub fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.session.shared.lock().poll_work(cx)
    }

    /// The next time [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let calls = self.session.shared.lock().requests.deadline();
        [calls, self.incoming.deadline()].into_iter().flatten().min()
    }

    /// Ends calls and handlers whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.session.shared.lock().requests.expire(now, &mut self.wakers);
        self.incoming.expire(now);
        self.wakers.drain(..).for_each(Waker::wake);
    }

    /// What this side handles may have changed: the peer is told if so.
    ///
    /// # Errors
    /// Memory.
    pub fn set_handled(&mut self, handled: HandledTypes) -> Result<(), CloseReason> {
        self.session.shared.lock().set_handled(handled).map_err(exhausted)
    }

    // ---- the end ---------------------------------------------------------------------------

    /// Asks the peer to start nothing new; once both sides are done [`is_drained`](Self::is_drained)
    /// says so.
    ///
    /// # Errors
    /// Memory.
    pub fn drain(&mut self) -> Result<(), CloseReason> {
        if std::mem::replace(&mut self.draining, true) {
            return Ok(());
        }
        self.session.shared.lock().append_goaway("shutting down").map_err(exhausted)
    }

    /// Whether nothing is left to be done for either side after [`drain`](Self::drain).
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let obeyed = self.peer_obeyed || !self.session.shared.encoder.abilities().farewell;
        let outbox = self.session.shared.lock();
        self.draining
            && obeyed
            && self.incoming.running() == outbox.finished.len()
            && outbox.requests.all_answered()
            && outbox.queued() == 0
    }

    /// How far this side's closing has come.
    #[must_use]
    pub fn end_phase(&self) -> EndPhase {
        match self.session.shared.lock().phase() {
            Phase::Open | Phase::PeerDrains => EndPhase::No,
            Phase::Closing(_) => EndPhase::Closing,
            Phase::Farewell(_) | Phase::Closed(_) => EndPhase::Farewell,
        }
    }

    /// Says goodbye now. What was queued is dropped; its size in bytes is returned.
    ///
    /// # Errors
    /// Memory.
    pub fn cut_short(&mut self, farewell: Farewell) -> Result<usize, CloseReason> {
        self.session.shared.lock().cut_short(farewell).map_err(exhausted)
    }

    /// The reason that counts when the connection ends like this: after our own farewell it is
    /// ours.
    #[must_use]
    pub fn final_reason(&self, reason: CloseReason) -> CloseReason {
        match (self.session.shared.lock().phase(), reason) {
            (
                Phase::Farewell(farewell),
                CloseReason::ByPeer(_) | CloseReason::Truncated | CloseReason::Io(_),
            ) => CloseReason::ByUs(farewell.clone()),
            (_, reason) => reason,
        }
    }

    /// The end: every call ends, handlers are stopped, subscribers hear of it, the id is free.
    pub fn end(mut self, reason: &CloseReason) {
        self.finish(reason);
    }

    fn finish(&mut self, reason: &CloseReason) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.session.shared.lock().close(reason, &mut self.wakers);
        self.wakers.drain(..).for_each(Waker::wake);
        self.incoming.abort_all();
        let hub = Arc::clone(&self.session.shared.hub);
        hub.close(&self.session, reason);
    }

    /// Idle: whatever can be had again is given back.
    pub fn park(&mut self) {
        self.incoming.park();
        self.answers.park();
        self.wakers = Vec::new();
        self.session.shared.lock().park();
    }

    // ---- frames, one by one ----------------------------------------------------------------

    fn post<'b>(&mut self, kind: Kind, meta: Meta, body: Body<'b>) -> Delivery<'b> {
        self.counters.posts += 1;
        Delivery::Post { kind, meta, body }
    }

    fn request<'b>(
        &mut self,
        now: Instant,
        id: u32,
        kind: Kind,
        meta: Meta,
        body: Body<'b>,
    ) -> Result<Delivery<'b>, CloseReason> {
        self.counters.requests += 1;
        self.check_vacant(id)?;
        if let Some((code, text)) = self.refusal(&meta) {
            self.counters.requests_refused += 1;
            self.answer_id(id, Answer::Fault(code, &text))?;
            return Ok(Delivery::Nothing);
        }
        let time = meta.deadline.or(self.session.shared.limits.timeout);
        let ticket = Ticket {
            id,
            held_bytes: body.len() as u64,
            due: time.and_then(|time| now.checked_add(time)),
        };
        Ok(Delivery::Request { ticket, kind, meta, body })
    }

    /// A `rid` must be below the limit and not in use.
    //= docs/PROTOCOL.md#6
    fn check_vacant(&mut self, id: u32) -> Result<(), CloseReason> {
        if id >= self.settings.in_flight_max {
            let rule = "a request number at or above max in flight";
            return Err(Violation::with_code(9, rule, ErrorCode::FLOW).into());
        }
        if self.incoming.is_running(id) {
            // A task may have answered since the turn began, and the peer may have read it.
            let mut outbox = self.session.shared.lock();
            for id in outbox.finished.drain(..) {
                self.incoming.finished(id);
            }
        }
        if self.incoming.is_running(id) {
            return Err(Violation::protocol(6, "a request on a number in use").into());
        }
        Ok(())
    }

    /// Why a request is not even looked at.
    fn refusal(&self, meta: &Meta) -> Option<(ErrorCode, String)> {
        if self.draining && self.peer_obeyed {
            return Some((ErrorCode::DRAINING, "you said that nothing new follows".into()));
        }
        if let Some(key) = meta.unsupported {
            return Some((ErrorCode::UNSUPPORTED, format!("metadata key {key} is not known")));
        }
        let held_max = self.settings.message_max.saturating_mul(HELD_MESSAGES);
        if self.incoming.held_bytes() > held_max {
            let held = self.incoming.held_bytes();
            let text = format!("running handlers hold {held} bytes, the limit is {held_max}");
            return Some((ErrorCode::OVERLOADED, text));
        }
        let queued = self.answers_queued + self.answers.len();
        if queued > ANSWERS_BYTES_MAX {
            let text = format!("{queued} bytes of answers are unread, limit {ANSWERS_BYTES_MAX}");
            return Some((ErrorCode::OVERLOADED, text));
        }
        None
    }

    fn answer_id(&mut self, id: u32, answer: Answer<'_>) -> Result<(), CloseReason> {
        let shared = &self.session.shared;
        let frame = answer.frame(id, shared.limits.message_max);
        shared.encoder.encode(&frame, &mut self.answers).map(drop).map_err(exhausted)
    }

    /// The protocol could not take a message, though the session goes on.
    //= docs/PROTOCOL.md#9
    fn refused(&mut self, refused: Refused) -> Result<Delivery<'static>, CloseReason> {
        match refused.what {
            RefusedKind::Post => self.drop_post(None, refused.code)?,
            RefusedKind::Request { id } => {
                self.check_vacant(id)?;
                self.counters.requests_refused += 1;
                let text = if refused.code == ErrorCode::TOO_LARGE {
                    format!("{} bytes, the limit is {}", refused.size, refused.limit)
                } else {
                    String::new()
                };
                self.answer_id(id, Answer::Fault(refused.code, &text))?;
                self.calm.strain()?;
            }
            RefusedKind::Response { id } => {
                let waker = self.session.shared.lock().requests.refuse(id)?;
                self.wakers.extend(waker);
            }
            _ => {}
        }
        Ok(Delivery::Nothing)
    }

    fn control(&mut self, frame: Frame<'_>) -> Result<Delivery<'static>, CloseReason> {
        let shared = &self.session.shared;
        match frame {
            Frame::Cancel { id } => {
                self.counters.cancels += 1;
                self.calm.strain()?;
                self.incoming.cancel(id);
            }
            Frame::Credit { stream: 0, total } => shared.lock().raise_credit(total)?,
            Frame::Ping { nonce } => shared.lock().set_pong(nonce),
            Frame::Pong { nonce } => {
                if !shared.lock().pong_received(nonce, &mut self.wakers) {
                    return Err(Violation::protocol(8, "a pong to a ping never sent").into());
                }
            }
            Frame::GoAway { obeyed: true, .. } => self.peer_obeyed = true,
            Frame::GoAway { obeyed: false, .. } => {
                shared.lock().peer_drains(&mut self.wakers);
                return Ok(Delivery::PeerDrains);
            }
            Frame::Close { code, message } => {
                return Err(CloseReason::ByPeer(Farewell::new(code, &message)));
            }
            Frame::Types(types) => shared.lock().set_types(types),
            Frame::Unsupported(what) => {
                // The very same frame is its answer.
                let answer = Frame::Unsupported(what);
                shared.encoder.encode(&answer, &mut self.answers).map_err(exhausted)?;
                self.calm.strain()?;
            }
            _ => return Err(Violation::protocol(1, "a unit this session cannot take").into()),
        }
        Ok(Delivery::Nothing)
    }
}

/// A driver that is torn down with its runtime still owes everybody an end.
impl Drop for Core {
    fn drop(&mut self) {
        self.finish(&CloseReason::ByUs(Farewell::new(
            ErrorCode::INTERNAL,
            "the driver of the session was stopped",
        )));
    }
}

fn exhausted(error: EncodeError) -> CloseReason {
    match error {
        EncodeError::Exhausted(exhausted) => CloseReason::Exhausted(exhausted),
        _ => CloseReason::ByUs(Farewell::new(ErrorCode::UNSUPPORTED, "cannot be expressed")),
    }
}
