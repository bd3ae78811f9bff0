//! Requests of the peer whose handlers are still running: one entry by `rid`, answered exactly once.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use moorline_protocol::{Body, ErrorCode, Frame, Lane};

use crate::limits::{BULK_ABOVE, EARLY_FLUSH_CALLS, LINK_ABOVE};
use crate::outbox::{Finished, encode_answer};
use crate::session_ref::Shared;

/// The table of the driver. Requests that are answered at once never enter it.
#[derive(Default)]
pub(crate) struct Incoming {
    entries: Vec<Option<Running>>,
    running: usize,
    held_bytes: u64,
    /// No deadline is earlier than this; it may be too early, then a scan finds nothing.
    earliest: Option<Instant>,
}

struct Running {
    held_bytes: u64,
    due: Option<Instant>,
    fate: Arc<Fate>,
    abort: Abort,
}

/// How a handler is stopped, and whether it was to be.
enum Abort {
    /// Nobody has said how yet.
    Unknown,
    Known(Box<dyn FnOnce() + Send>),
    /// It has been stopped, or is to be as soon as somebody says how.
    Done,
}

/// What a running handler is to say when it is dropped before it has answered: the first reason to
/// stop it counts.
#[derive(Debug)]
struct Fate {
    code: AtomicI32,
    /// Set if not the caller's time is what ends first.
    own_time: Option<Duration>,
}

/// Code 0 is no reason for anything.
const UNDECIDED: i32 = 0;

impl Fate {
    fn decide(&self, code: ErrorCode) {
        let order = Ordering::Relaxed;
        let _ = self.code.compare_exchange(UNDECIDED, code.0, order, order);
    }

    fn code(&self) -> ErrorCode {
        match self.code.load(Ordering::Relaxed) {
            UNDECIDED => ErrorCode::CANCELLED,
            code => ErrorCode(code),
        }
    }

    /// Empty where the caller knows.
    fn text(&self) -> String {
        match self.own_time.filter(|_| self.code() == ErrorCode::DEADLINE) {
            Some(time) => {
                format!("the handler has {} ms (knob: `handle_within`)", time.as_millis())
            }
            None => String::new(),
        }
    }
}

/// A request that has been delivered and is not answered yet: it is answered with
/// [`Core::answer`](crate::Core::answer) or deferred with [`Core::defer`](crate::Core::defer).
#[must_use = "a request must be answered"]
#[derive(Debug)]
pub struct Ticket {
    pub(crate) id: u32,
    pub(crate) held_bytes: u64,
    pub(crate) due: Option<Instant>,
    /// What the peer asked for.
    pub(crate) priority: Option<u8>,
    /// The handler's own time, where it is what ends first.
    pub(crate) own_time: Option<Duration>,
}

impl Ticket {
    /// The handler has so much time from now on, if its caller allows as much.
    pub fn allow(&mut self, now: Instant, time: Duration) {
        let ends = now.checked_add(time);
        if let Some(due) = ends.filter(|ends| self.due.is_none_or(|due| *ends < due)) {
            self.due = Some(due);
            self.own_time = Some(time);
        }
    }

    /// When nobody waits for the answer any more.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }
}

/// A request whose answer was left to a [`Responder`]: says to whom
/// [`Core::attach_abort`](crate::Core::attach_abort) attaches.
#[derive(Debug)]
pub struct Deferred {
    pub(crate) id: u32,
}

/// What a request is answered with.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// An encoded value of the response type.
    Good(&'a [u8]),
    /// An encoded value of the application's error type.
    App(&'a [u8]),
    /// A code and a text for people.
    Fault(ErrorCode, &'a str),
}

impl<'a> Answer<'a> {
    /// Bytes of its body.
    pub(crate) const fn len(&self) -> usize {
        match self {
            Answer::Good(body) | Answer::App(body) => body.len(),
            Answer::Fault(..) => 0,
        }
    }

    /// The frame of this answer, or of the reason why the peer cannot have it.
    pub(crate) fn frame(self, id: u32, message_max: u64) -> Frame<'a> {
        let body = match self {
            Answer::Good(body) | Answer::App(body) => body,
            Answer::Fault(code, text) => {
                return Frame::Error { id, code, message: text.into(), detail: Body::EMPTY };
            }
        };
        if body.len() as u64 > message_max {
            let text = format!("the answer has {} bytes, you take {message_max}", body.len());
            let code = ErrorCode::TOO_LARGE;
            return Frame::Error { id, code, message: text.into(), detail: Body::EMPTY };
        }
        match self {
            Answer::Good(_) => Frame::Response { id, body: Body::Borrowed(body) },
            _ => Frame::Error {
                id,
                code: ErrorCode::APPLICATION,
                message: "".into(),
                detail: Body::Borrowed(body),
            },
        }
    }
}

/// The lane of a request or an answer: what is long and has no order to keep makes way, unless
/// somebody said otherwise.
//= docs/PROTOCOL.md#8
pub(crate) fn lane_for(priority: Option<u8>, len: usize) -> Lane {
    match priority {
        Some(priority) => Lane::of(priority),
        None if len > BULK_ABOVE => Lane::Bulk,
        None => Lane::Normal,
    }
}

/// The right, and the duty, to answer one request from any thread. Dropped without an answer it
/// says why: INTERNAL if its handler panicked, else CANCELLED or DEADLINE.
///
/// An answer for which there is no memory becomes an error, and if there is none for that either the
/// session ends: nobody waits for ever.
#[must_use = "dropping it answers with an error"]
pub struct Responder {
    shared: Arc<Shared>,
    id: u32,
    priority: Option<u8>,
    fate: Arc<Fate>,
    answered: bool,
}

impl Responder {
    /// Answers.
    pub fn answer(mut self, answer: Answer<'_>) {
        self.send(answer);
    }

    fn send(&mut self, answer: Answer<'_>) {
        self.answered = true;
        let shared = &*self.shared;
        let well = !matches!(answer, Answer::Fault(..));
        let frame = answer.frame(self.id, shared.limits.message_max);
        let (Frame::Response { body, .. } | Frame::Error { detail: body, .. }) = &frame else {
            return;
        };
        let lane = lane_for(self.priority, body.len());
        let way = (lane, body.len() > shared.unit_body_max);
        let mut encoded = (body.len() > LINK_ABOVE).then(|| {
            let mut chain = shared.chain();
            let count = encode_answer(&*shared.encoder, &frame, lane, &mut chain);
            (chain, count)
        });
        let queued = shared.append(|outbox| {
            if outbox.speaks() {
                outbox.sent.answer(&frame);
            }
            match &mut encoded {
                Some((chain, count)) => {
                    outbox.link_answer(Finished { id: self.id, well }, way, (chain, *count));
                }
                None => outbox.append_answer(&frame, way, well),
            }
            Ok::<_, Infallible>(outbox.answers_len())
        });
        if queued.is_ok_and(|queued| queued >= EARLY_FLUSH_CALLS) {
            shared.flush();
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        if std::thread::panicking() {
            self.send(Answer::Fault(ErrorCode::INTERNAL, "the handler panicked"));
        } else {
            let text = self.fate.text();
            self.send(Answer::Fault(self.fate.code(), &text));
        }
    }
}

impl Incoming {
    pub(crate) fn is_running(&self, id: u32) -> bool {
        self.entries.get(id as usize).is_some_and(Option::is_some)
    }

    pub(crate) const fn running(&self) -> usize {
        self.running
    }

    pub(crate) const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.earliest
    }

    pub(crate) fn defer(&mut self, ticket: Ticket, shared: &Arc<Shared>) -> (Responder, Deferred) {
        let place = ticket.id as usize;
        if place >= self.entries.len() {
            self.entries.resize_with(place + 1, || None);
        }
        let fate = Fate { code: AtomicI32::new(UNDECIDED), own_time: ticket.own_time };
        let fate = Arc::new(fate);
        let running = Running {
            held_bytes: ticket.held_bytes,
            due: ticket.due,
            fate: Arc::clone(&fate),
            abort: Abort::Unknown,
        };
        if let Some(due) = ticket.due {
            self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
        }
        self.running += 1;
        self.held_bytes += ticket.held_bytes;
        self.entries[place] = Some(running);
        let shared = Arc::clone(shared);
        let responder =
            Responder { shared, id: ticket.id, priority: ticket.priority, fate, answered: false };
        (responder, Deferred { id: ticket.id })
    }

    /// How the handler of this request is stopped: at once, if it was to be already.
    pub(crate) fn attach(&mut self, id: u32, abort: Box<dyn FnOnce() + Send>) {
        match self.entries.get_mut(id as usize) {
            Some(Some(Running { abort: Abort::Done, .. })) => abort(),
            Some(Some(running)) => running.abort = Abort::Known(abort),
            _ => {}
        }
    }

    /// The answer has been given: the number is free again. What stops the handler is dropped here.
    pub(crate) fn finished(&mut self, id: u32) {
        if let Some(running) = self.entries.get_mut(id as usize).and_then(Option::take) {
            self.running -= 1;
            self.held_bytes -= running.held_bytes;
        }
    }

    /// The peer does not want the answer any more. The entry stays until the handler is gone.
    pub(crate) fn cancel(&mut self, id: u32) {
        if let Some(Some(running)) = self.entries.get_mut(id as usize) {
            running.stop(ErrorCode::CANCELLED);
        }
    }

    /// Stops handlers whose callers have given up.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return;
        }
        self.earliest = None;
        for running in self.entries.iter_mut().flatten() {
            let Some(due) = running.due else { continue };
            if due <= now {
                running.due = None;
                running.stop(ErrorCode::DEADLINE);
            } else {
                self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
            }
        }
    }

    /// The session ends: nobody is left to answer to.
    pub(crate) fn abort_all(&mut self) {
        for running in self.entries.iter_mut().flatten() {
            running.stop(ErrorCode::CANCELLED);
        }
    }

    /// Idle: gives back what can be had again.
    pub(crate) fn park(&mut self) {
        if self.running == 0 {
            self.entries = Vec::new();
        }
    }
}

impl Running {
    fn stop(&mut self, code: ErrorCode) {
        self.fate.decide(code);
        if let Abort::Known(abort) = std::mem::replace(&mut self.abort, Abort::Done) {
            abort();
        }
    }
}
