//! What any thread may append to, behind one short lock: encoded frames by lane, requests awaiting
//! answers, credit, and the driver's waker.
//!
//! Nothing of a user's runs or is dropped under that lock. Wakers are cloned before it is taken and
//! woken, or dropped, after it is released: an executor may do anything in either.

mod driver;
mod gate;
mod inbox;
mod lanes;
mod look;
#[cfg(loom)]
#[cfg(test)]
mod model;
mod on_stream;
mod pings;
mod posts;
mod published;
mod streams;
mod subscriptions;
mod waiters;

use std::sync::Arc;
use std::task::{Poll, Waker};

use moorline_buffers::{BlockPool, SendBuffer};
use moorline_protocol::limits::WINDOW_MIN;
use moorline_protocol::{
    Body, CloseReason, EncodeError, Encoder, ErrorCode, Farewell, Frame, HandledTypes, Lane,
    MessageIndex, Opened, PeerTypes, Settings, Violation,
};

pub use self::gate::Flush;
use self::gate::Gate;
pub(crate) use self::inbox::Taken;
use self::lanes::{End, Flow, Lanes};
pub(crate) use self::on_stream::{NewStream, Outgoing};
use self::pings::Pings;
use self::posts::Posts;
use self::published::Published;
pub(crate) use self::published::{Offered, Wanted};
pub(crate) use self::streams::Verdict;
use self::streams::{StreamTerms, Streams};
use self::subscriptions::Subscriptions;
pub(crate) use self::subscriptions::{Arrived, NewSubscription};
use self::waiters::Waiters;
pub(crate) use self::waiters::{Need, Place};
use crate::counters::Sent;
use crate::credit::SendCredit;
use crate::errors::{SendError, our_fault};
use crate::limits::{HELD_MESSAGES, UNREAD_MESSAGES};
use crate::requests::Requests;
use crate::snapshot::Look;

/// Control goes before all; then come the lanes, and in them posts, requests and streams as far as
/// credit goes. Within a flow nothing overtakes.
pub(crate) struct Outbox {
    encoder: Arc<dyn Encoder>,
    control: SendBuffer,
    lanes: Lanes,
    streams: Streams,
    /// What the peer is subscribed to here, and this side there: few sessions have either.
    published: Option<Box<Published>>,
    subscriptions: Option<Box<Subscriptions>>,
    /// A body that is no longer goes out in one unit.
    unit_body_max: usize,
    /// Lent to a sender that encodes outside the lock.
    spare: Option<SendBuffer>,
    /// Answers that wait: the sum of their blocks' weights.
    answers_unread: u64,
    credit: SendCredit,
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
    /// None: everything leaves at once.
    gate: Option<Box<Gate>>,
    /// Who waits until what was queued before is with the kernel.
    flushes: Option<Box<Pings>>,
    /// Which posts are in doubt, where somebody wants to know.
    posts: Option<Box<Posts>>,
    /// Posts have left since the peer was last heard: whether it has them nobody knows.
    unheard: bool,
    /// Messages have left since the driver last looked.
    said: bool,
    finished: Vec<Finished>,
    waiters: Waiters,
    /// What another thread met that the session cannot go on with.
    failed: Option<CloseReason>,
    signals: Signals,
    quits_with: Option<Farewell>,
    driver: Option<Waker>,
    awake: bool,
    /// Woken by a sender since the driver last looked.
    roused: bool,
    /// The end of the session has come closer since a turn began: what that turn sees of it may be
    /// older.
    end_moved: bool,
    /// A block was taken since there was none left.
    taken: bool,
    /// What was accepted here; the driver counts its own answers.
    pub(crate) sent: Sent,
    pub(crate) look: Look,
}

/// What one side brings to a session.
pub(crate) struct OutboxTerms {
    pub(crate) bytes_max: usize,
    pub(crate) settings: Settings,
    pub(crate) dialed: bool,
    pub(crate) unit_body_max: usize,
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
    /// Something lies on the driver's desk that this crate knows nothing of.
    pub desk: bool,
    /// End it now, with the farewell that [`Core::quits_with`](crate::Core::quits_with) tells.
    pub quit: bool,
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
        terms: &OutboxTerms,
    ) -> Self {
        let abilities = opened.encoder.abilities();
        let window = opened.limits.initiation_window;
        let &OutboxTerms { bytes_max, settings, dialed, unit_body_max } = terms;
        let held_max = settings.message_max.saturating_mul(HELD_MESSAGES);
        let unread_max = settings.message_max.saturating_mul(UNREAD_MESSAGES);
        let terms = StreamTerms {
            dialed,
            own_max: opened.limits.streams_max,
            of_peer_max: settings.streams_max,
            send_window: opened.limits.stream_window,
            receive_window: settings.stream_window,
            credit: abilities.credit,
            limits: abilities.limits,
            unread_max,
        };
        Self {
            encoder: Arc::clone(&opened.encoder),
            control: SendBuffer::with_block_max(pool, opened.block_max),
            lanes: Lanes::new(pool, opened.block_max, opened.limits.message_max),
            streams: Streams::new(&terms, pool, opened.block_max),
            published: None,
            subscriptions: None,
            unit_body_max,
            spare: None,
            answers_unread: 0,
            credit: if abilities.credit {
                SendCredit::new(window)
            } else {
                SendCredit::unlimited()
            },
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
            gate: None,
            flushes: None,
            posts: None,
            unheard: false,
            said: false,
            finished: Vec::new(),
            waiters: Waiters::default(),
            failed: window_fault(abilities.credit, window),
            signals: Signals::default(),
            quits_with: None,
            driver: None,
            awake: true,
            roused: false,
            end_moved: false,
            taken: false,
            sent: Sent::default(),
            look: Look::default(),
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
        let queued = self.lanes.calls_len();
        // Who was told that there is room is not refused, however large the message: otherwise one
        // above half of the outbox could wait for ever, or turn in circles.
        if queued > self.bytes_max / 2 && queued.saturating_add(size) > self.bytes_max {
            return Err(SendError::Full { queued, limit: self.bytes_max });
        }
        Ok(())
    }

    /// Whether anything new may be started.
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
        (lane, is_long): (Lane, bool),
        frame: &Frame<'_>,
    ) -> Result<(), EncodeError> {
        self.tell(index)?;
        let (flow, request) = flow_of(frame);
        let start = self.lanes.position(lane, flow);
        self.encoder.encode(frame, lane, self.lanes.chain(lane, flow))?;
        self.lanes.appended(lane, flow, start, is_long);
        self.count_call(lane, request, start);
        Ok(())
    }

    /// The same for a message that was encoded outside the lock. Whether it may still be appended
    /// is to be asked anew, under this lock.
    pub(crate) fn link_call(
        &mut self,
        index: MessageIndex,
        (lane, is_long): (Lane, bool),
        request: Option<u32>,
        encoded: &mut SendBuffer,
    ) -> Result<(), EncodeError> {
        self.tell(index)?;
        let flow = if request.is_some() { Flow::Requests } else { Flow::Posts };
        let start = self.lanes.position(lane, flow);
        self.lanes.chain(lane, flow).append(encoded);
        self.lanes.appended(lane, flow, start, is_long);
        self.count_call(lane, request, start);
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

    fn count_call(&mut self, lane: Lane, request: Option<u32>, starts_at: u64) {
        if let Some(id) = request {
            let ends_at = self.lanes.position(lane, Flow::Requests);
            self.requests.appended(id, starts_at, ends_at);
            self.sent.requests += 1;
        } else {
            self.sent.posts += 1;
            self.post_appended(lane);
        }
    }

    /// An answer from another thread than the driver's. One that cannot be encoded ends the
    /// session: a peer that waits for ever for its answer is worse.
    pub(crate) fn append_answer(
        &mut self,
        frame: &Frame<'_>,
        (lane, is_long): (Lane, bool),
        well: bool,
    ) {
        let (Frame::Response { id, .. } | Frame::Error { id, .. }) = frame else { return };
        self.finished.push(Finished { id: *id, well });
        if self.speaks() {
            let start = self.lanes.position(lane, Flow::Answers);
            let chain = self.lanes.chain(lane, Flow::Answers);
            match encode_answer(&*self.encoder, frame, lane, chain) {
                Ok(count) => self.answers_unread += count,
                Err(error) => self.fail(our_fault(error)),
            }
            self.lanes.appended(lane, Flow::Answers, start, is_long);
        }
    }

    /// The same for an answer that was encoded outside the lock, with its
    /// [count](encode_answer).
    pub(crate) fn link_answer(
        &mut self,
        Finished { id, well }: Finished,
        way: (Lane, bool),
        (encoded, count): (&mut SendBuffer, Result<u64, EncodeError>),
    ) {
        self.finished.push(Finished { id, well });
        match count {
            Ok(count) => self.link_answers(way, encoded, count),
            Err(error) => self.fail(our_fault(error)),
        }
    }

    /// The session cannot go on: the driver hears of it when it takes the next block.
    pub(crate) fn fail(&mut self, reason: CloseReason) {
        self.failed.get_or_insert(reason);
    }

    /// A ping that leaves behind everything queued so far; its number.
    pub(crate) fn append_ping(&mut self) -> Result<u64, SendError> {
        self.takes_new()?;
        if !self.encoder.abilities().pings {
            return Err(SendError::Unsupported("pings"));
        }
        self.release();
        let behind = self.all_queued();
        self.pings.wait_for(behind)
    }

    /// Where everything that is queued now ends. What is published goes to its lanes for it, and can
    /// be left out no more.
    fn all_queued(&mut self) -> Vec<End> {
        self.pull_published(usize::MAX);
        let mut ends = Vec::new();
        self.lanes.ends(&mut ends);
        self.streams.ends(&mut ends);
        ends
    }

    /// Lets out what is queued, for somebody who waits until the kernel has it; the number of that
    /// wait.
    pub(crate) fn append_flush(&mut self) -> Result<u64, SendError> {
        if let Phase::Closed(reason) = &self.phase {
            return Err(SendError::Closed(reason.clone()));
        }
        self.release();
        let behind = self.all_queued();
        self.flushes.get_or_insert_default().wait_for(behind)
    }

    pub(crate) fn poll_flushed(
        &mut self,
        number: u64,
        waker: &mut Option<Waker>,
    ) -> Poll<Result<(), CloseReason>> {
        let flushes = &mut self.flushes;
        let polled = flushes.as_mut().map_or(Poll::Ready(()), |all| all.poll(number, waker));
        match (polled, &self.phase) {
            (Poll::Pending, Phase::Closed(reason)) => Poll::Ready(Err(reason.clone())),
            (polled, _) => polled.map(Ok),
        }
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
        // What the list of the streams has grown to stays with it.
        let mut woken: Vec<Waker> = self.streams.woken.drain(..).collect();
        if !self.waiters.is_empty() {
            let (bytes, slot) = self.room();
            woken.append(&mut self.waiters.take(bytes, slot));
        }
        woken
    }

    /// Whether there is room for bytes, and for a request.
    fn room(&self) -> (bool, bool) {
        let over = !matches!(self.phase, Phase::Open);
        (over || self.lanes.calls_len() <= self.bytes_max / 2, over || self.requests.has_room())
    }

    /// The driver's waker, if it sleeps: to be woken once the lock is released.
    #[must_use]
    pub(crate) fn rouse(&mut self) -> Option<Waker> {
        // Behind a shut gate there is nothing to do for the driver.
        if self.awake || self.is_shut() && !self.has_work() {
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
        self.signals.desk |= signals.desk;
        self.signals.quit |= signals.quit;
    }

    /// The driver is to end the session now. The first farewell counts.
    pub(crate) fn quit(&mut self, farewell: Farewell) {
        self.quits_with.get_or_insert(farewell);
        self.signals.quit = true;
    }

    pub(crate) fn quits_with(&self) -> Farewell {
        self.quits_with.clone().unwrap_or_else(Farewell::ordinary)
    }

    /// Bytes of posts and requests that may leave: from some number on their sender writes them.
    pub(crate) fn ready_len(&self) -> usize {
        self.unless_shut(self.lanes.calls_len())
    }

    fn unless_shut(&self, queued: usize) -> usize {
        if self.is_shut() { 0 } else { queued }
    }

    pub(crate) fn answers_len(&self) -> usize {
        self.lanes.answers_len()
    }

    pub(crate) fn queued(&self) -> usize {
        let lanes = self.lanes.calls_len() + self.lanes.answers_len();
        self.control.len() + lanes + self.streams.queued() + self.published_len()
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
            self.end_moved = true;
            self.release_for_good();
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

/// Where a post or request waits, and the number of the latter.
fn flow_of(frame: &Frame<'_>) -> (Flow, Option<u32>) {
    match frame {
        Frame::Request { id, .. } => (Flow::Requests, Some(*id)),
        Frame::Open { .. } => (Flow::Requests, None),
        _ => (Flow::Posts, None),
    }
}

/// Encodes an answer, or says that there is no memory for it, and marks the block it ends in, so
/// that answers are counted until they leave. Returns by how much the count rises.
pub(crate) fn encode_answer(
    encoder: &dyn Encoder,
    frame: &Frame<'_>,
    lane: Lane,
    out: &mut SendBuffer,
) -> Result<u64, EncodeError> {
    if let Err(error) = encoder.encode(frame, lane, out) {
        let &(Frame::Response { id, .. } | Frame::Error { id, .. }) = frame else {
            return Err(error);
        };
        // Not OVERLOADED, which says that the handler has not run.
        let (code, message) = (ErrorCode::INTERNAL, "no memory for the answer".into());
        encoder.encode(&Frame::Error { id, code, message, detail: Body::EMPTY }, lane, out)?;
    }
    if out.is_empty() {
        return Ok(0);
    }
    out.add_weight(1);
    Ok(1)
}
