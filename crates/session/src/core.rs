//! The part of a session that its driver owns: what a received frame means.

mod ending;
mod frames;
mod streams;
mod time;
mod topics;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

use moorline_buffers::{Block, SendBuffer};
use moorline_protocol::{
    Body, CloseReason, Cost, EncodeError, ErrorCode, Frame, HandledTypes, Kind, Lane, Meta,
    Opening, Settings,
};

pub use self::ending::{EndPhase, Unfinished};
use self::topics::Subscriber;
use crate::calm::Calm;
use crate::counters::Counters;
use crate::credit::ReceiveCredit;
use crate::errors::our_fault;
use crate::heartbeat::Heartbeat;
use crate::incoming::{Answer, Deferred, Incoming, Responder, Ticket};
use crate::limits::{PROBE_EVERY, WINDOW_GROWN_MAX};
use crate::outbox::{Finished, Outbox, Signals};
use crate::session_ref::{Flusher, SessionRef, Shared};
use crate::snapshot::Look;
use crate::stream::IncomingStream;
use crate::topic::{PostDropped, SessionReady};

/// One for each open connection, owned by its driver. It does no I/O and reads no clock.
///
/// A turn of the driver: [`begin_turn`](Self::begin_turn); [`handle_frame`](Self::handle_frame) for
/// each frame, answering what is delivered; [`end_turn`](Self::end_turn); then blocks are taken
/// with [`SessionWriter::take_block`] until there is none.
pub struct Core {
    session: SessionRef,
    settings: Settings,
    credit: ReceiveCredit,
    heartbeat: Heartbeat,
    /// Whether the peer was heard in this turn.
    heard: bool,
    /// The ping that measures a round trip.
    probe: Option<u64>,
    probed_at: Option<Instant>,
    /// When this turn began.
    turn_at: Option<Instant>,
    incoming: Incoming,
    calm: Calm,
    /// Answers of inline handlers, linked into the outbox once a turn.
    answers: SendBuffer,
    answers_made: u64,
    seen: Seen,
    /// Lent to the outbox and taken back full.
    finished: Vec<Finished>,
    wakers: Vec<Waker>,
    draining: bool,
    peer_obeyed: bool,
    /// The highest number of a subscription of the peer's.
    highest_alias: u64,
    counters: Counters,
    opened_at: Option<Instant>,
    /// Youngest round trip.
    rtt: Option<Duration>,
    /// What the peer was last to blame for, where the session goes on.
    last_fault: Option<ErrorCode>,
    /// The first turn has begun, and everybody has been told.
    ready: bool,
    ended: bool,
}

/// What the outbox looked like when the driver last had its lock.
#[derive(Debug, Default)]
struct Seen {
    answers_queued: usize,
    answers_unread: u64,
    farewell_said: bool,
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
    /// Hand it to a handler, which accepts or rejects the stream.
    Open {
        /// Dropped, it rejects.
        stream: IncomingStream,
        /// What it is for.
        opening: Opening<'b>,
        /// What travels beside it.
        meta: Meta,
    },
    /// The peer takes nothing new from now on.
    PeerDrains,
}

/// What the writer needs of a session: blocks. It may be used from any thread, inside the writer's
/// [`Booth`](crate::Booth), so that taking, sealing and writing have one order.
#[derive(Clone)]
pub struct SessionWriter {
    shared: Arc<Shared>,
}

impl SessionWriter {
    /// The next block for the wire.
    ///
    /// # Errors
    /// Memory for a control frame or an answer could not be had: the connection must end.
    pub fn take_block(&self) -> Result<Option<Block>, CloseReason> {
        let mut outbox = self.shared.lock();
        let taken = outbox.take_block();
        // Room has come about, whoever writes.
        let waiters = outbox.take_waiters();
        let driver = outbox.block_taken(matches!(taken, Ok(Some(_))));
        drop(outbox);
        driver.into_iter().chain(waiters).for_each(Waker::wake);
        taken
    }

    /// Everything that was taken so far is with the kernel: who waits for that hears of it. To be
    /// called by who writes, whenever nothing sealed is left.
    pub fn written(&self) {
        if !self.shared.flush_awaited.load(Ordering::Acquire) {
            return;
        }
        let mut wakers = Vec::new();
        let mut outbox = self.shared.lock();
        if outbox.written(&mut wakers) {
            self.shared.flush_awaited.store(false, Ordering::Release);
        }
        drop(outbox);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// So many bytes have been sealed, and so many writes made, since the session opened.
    pub fn count_written(&self, bytes: u64, writes: u64) {
        self.shared.wire.set(bytes, writes);
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

impl Seen {
    fn look_at(&mut self, outbox: &Outbox) {
        self.answers_queued = outbox.answers_len();
        self.answers_unread = outbox.answers_unread();
        self.farewell_said = !outbox.speaks();
    }
}

impl Core {
    /// For a session that has just opened.
    #[must_use]
    pub fn new(session: SessionRef, settings: Settings) -> Self {
        let answers = session.shared.chain();
        let abilities = session.shared.encoder.abilities();
        let heartbeat = Heartbeat::new(abilities.pings);
        let credit = if abilities.credit {
            ReceiveCredit::new(settings.initiation_window)
        } else {
            ReceiveCredit::unlimited()
        };
        Self {
            session,
            settings,
            credit,
            heartbeat,
            heard: false,
            probe: None,
            probed_at: None,
            turn_at: None,
            incoming: Incoming::default(),
            calm: Calm::new(),
            answers,
            answers_made: 0,
            seen: Seen::default(),
            finished: Vec::new(),
            wakers: Vec::new(),
            draining: false,
            peer_obeyed: false,
            highest_alias: 0,
            counters: Counters::default(),
            opened_at: None,
            rtt: None,
            last_fault: None,
            ready: false,
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

    /// What has come and gone so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters;
        let outbox = self.session.shared.lock();
        counters.sent.add(&outbox.sent);
        counters.late_answers = outbox.requests.late_answers;
        drop(outbox);
        self.session.shared.wire.add_to(&mut counters);
        counters
    }

    /// So many bytes have been read, in one read: for [`Counters::bytes`].
    pub const fn count_read(&mut self, bytes: usize) {
        self.counters.bytes += bytes as u64;
        self.counters.reads += 1;
    }

    // ---- a turn ----------------------------------------------------------------------------

    /// Starts a turn: the clocks of new requests start now, and what is due ends.
    ///
    /// # Errors
    /// As [`handle_timeout`](Self::handle_timeout).
    pub fn begin_turn(&mut self, now: Instant) -> Result<(), CloseReason> {
        if !std::mem::replace(&mut self.ready, true) {
            self.tell_ready();
        }
        self.calm.pass_time(now);
        self.heartbeat.begin(now);
        let read_at = self.turn_at.replace(now);
        self.opened_at.get_or_insert(now);
        let mut outbox = self.session.shared.lock();
        outbox.driver_is_awake();
        outbox.requests.stamp(now);
        outbox.look_at_gate(now);
        outbox.swap_finished(&mut self.finished);
        self.seen.look_at(&outbox);
        if outbox.take_said() {
            self.heartbeat.active(now);
        }
        let deadline = self.deadline_of(&outbox);
        drop(outbox);
        self.free_finished();
        // A session that never comes to rest has deadlines all the same. What the peer had said when
        // the last turn began has been handled; there may be more.
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.pass_time(now, read_at)?;
        }
        Ok(())
    }

    fn tell_ready(&self) {
        let session = &self.session;
        if session.shared.lasting.as_ref().is_some_and(|connection| !connection.is_first()) {
            return;
        }
        let event = SessionReady { id: session.id(), direction: session.direction() };
        session.shared.hub.publish(session.protocol(), event);
    }

    /// Requests that tasks have answered: their numbers are free again.
    fn free_finished(&mut self) {
        for Finished { id, well } in self.finished.drain(..) {
            self.incoming.finished(id);
            self.session.shared.encoder.finished(id);
            if well {
                self.calm.ended_well();
            }
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
        cost: Cost,
    ) -> Result<Delivery<'b>, CloseReason> {
        self.hear(now, &frame);
        if let Cost::Session(cost) = cost {
            self.credit.receive(cost)?;
            // Inline handlers take a message at once, and what is incomplete must not use up the
            // window, or a message above it would never finish.
            self.credit.take(cost);
        }
        match frame {
            Frame::Post { kind, meta, body } => Ok(self.post(self.known(kind), meta, body)),
            Frame::Request { id, kind, meta, body } => {
                self.request(now, id, self.known(kind), meta, body)
            }
            Frame::Response { id, body } => self.response(id, body),
            Frame::Error { id, code, message, detail } => self.error(id, code, &message, detail),
            Frame::Refused(refused) => self.refused(refused),
            Frame::Open { stream, opening, credit, meta } => {
                self.open(stream, opening, credit, &meta)
            }
            Frame::Partial
            | Frame::Piece { .. }
            | Frame::Data { .. }
            | Frame::End { .. }
            | Frame::Reset { .. }
            | Frame::Ack { .. }
            | Frame::Credit { stream: 1.., .. } => self.on_stream(frame, cost),
            Frame::Subscribe { id, alias, topic, retained, meta } => {
                self.subscribe(&Subscriber { id, alias, topic: &topic, retained, meta: &meta })
            }
            Frame::Publish { .. } | Frame::Lagged { .. } | Frame::Unsubscribe { .. } => {
                self.on_topic(frame)
            }
            other => self.control(other),
        }
    }

    /// A type that was registered since the peer told its own: it is found by the hash of its name.
    fn known(&self, kind: Kind) -> Kind {
        let Kind::Unknown { hash: Some(hash), .. } = kind else { return kind };
        self.session.shared.registry.find(hash).map_or(kind, Kind::Known)
    }

    /// Answers a request that was delivered, from the driver.
    ///
    /// # Errors
    /// Memory for the answer could not be had: the session must end.
    pub fn answer(&mut self, ticket: Ticket, answer: Answer<'_>) -> Result<(), CloseReason> {
        if !matches!(answer, Answer::Fault(..)) {
            self.calm.ended_well();
        }
        self.answer_id(ticket.id, ticket.priority, answer)
    }

    /// Leaves the answer to somebody else, for as long as it takes.
    pub fn defer(&mut self, ticket: Ticket) -> (Responder, Deferred) {
        self.incoming.defer(ticket, &self.session.shared)
    }

    /// How a deferred handler is stopped when its caller gives up, or the session ends. If that has
    /// happened already it is stopped at once; if it has answered already nothing happens.
    pub fn attach_abort(&mut self, deferred: Deferred, abort: Box<dyn FnOnce() + Send>) {
        self.incoming.attach(deferred.id, abort);
    }

    /// A delivered post reached no handler: it is counted and told.
    ///
    /// # Errors
    /// It was one too many that the peer is to blame for.
    pub fn drop_post(&mut self, kind: Option<Kind>, code: ErrorCode) -> Result<(), CloseReason> {
        self.counters.posts_dropped += 1;
        self.last_fault = Some(code);
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
        outbox.link_answers(
            (Lane::Normal, false),
            &mut self.answers,
            std::mem::take(&mut self.answers_made),
        );
        if let Some(total) = credit {
            outbox.set_credit(total);
        }
        if std::mem::take(&mut self.heard) {
            outbox.heard();
        }
        outbox.look = self.look();
        self.seen.look_at(&outbox);
        let well = outbox.streams_ended_well();
        // Only while credit is being told can a window be what holds the peer back.
        if (outbox.streams_told_credit() || credit.is_some()) && self.may_probe() {
            self.probe = outbox.probe();
            self.probed_at = self.turn_at;
            self.credit.begin_sample();
        }
        let waiters = outbox.take_waiters();
        drop(outbox);
        (0..well).for_each(|_| self.calm.ended_well());
        self.wakers.drain(..).chain(waiters).for_each(Waker::wake);
    }

    /// What is shown of this half to who takes a snapshot.
    fn look(&self) -> Look {
        Look {
            counters: self.counters,
            opened_at: self.opened_at,
            receive_credit: self.credit.left(),
            running: self.incoming.running(),
            rtt: self.rtt,
            last_fault: self.last_fault,
        }
    }

    /// Whether a round trip is to be measured: one at a time, and not all the time.
    fn may_probe(&self) -> bool {
        let recently = |(then, now): (Instant, Instant)| now.duration_since(then) < PROBE_EVERY;
        self.probe.is_none() && !self.probed_at.zip(self.turn_at).is_some_and(recently)
    }

    /// Our ping has come back: windows that a round trip fills grow.
    fn end_sample(&mut self, nonce: u64) {
        if self.probe.take_if(|probe| *probe <= nonce).is_some() {
            self.rtt = self.turn_at.zip(self.probed_at).map(|(now, then)| now - then);
            self.credit.end_sample(WINDOW_GROWN_MAX);
            self.session.shared.lock().end_sample();
        }
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

    /// The peer is to blame for something that was answered: patience is finite.
    ///
    /// # Errors
    /// It was one too many.
    pub fn fault_of_peer(&mut self) -> Result<(), CloseReason> {
        self.calm.strain()
    }

    /// What this side handles may have changed: the peer is told if so.
    ///
    /// # Errors
    /// Memory.
    pub fn set_handled(&mut self, handled: HandledTypes) -> Result<(), CloseReason> {
        self.session.shared.lock().set_handled(handled).map_err(our_fault)
    }

    /// Idle: whatever can be had again is given back.
    pub fn park(&mut self) {
        self.incoming.park();
        self.answers.park();
        self.wakers = Vec::new();
        self.finished = Vec::new();
        self.session.shared.lock().park();
    }
}
