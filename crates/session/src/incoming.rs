//! Requests of the peer whose handlers are still running: one entry by `rid`, answered exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

use moorline_protocol::{Body, ErrorCode, Frame};

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
    abort: Option<Box<dyn FnOnce() + Send>>,
}

/// What a running handler is to say when it is dropped before it has answered.
#[derive(Debug)]
struct Fate(AtomicI32);

impl Fate {
    fn decide(&self, code: ErrorCode) {
        let undecided = ErrorCode::CANCELLED.0;
        let _ = self.0.compare_exchange(undecided, code.0, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn code(&self) -> ErrorCode {
        ErrorCode(self.0.load(Ordering::Relaxed))
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
}

impl Ticket {
    /// When nobody waits for the answer any more.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }
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

/// The right, and the duty, to answer one request from any thread. Dropped without an answer it
/// says why: INTERNAL if its handler panicked, else CANCELLED or DEADLINE.
#[must_use = "dropping it answers with an error"]
pub struct Responder {
    shared: Arc<Shared>,
    id: u32,
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
        let frame = answer.frame(self.id, shared.limits.message_max);
        let large = matches!(&frame, Frame::Response { body, .. }
            if body.len() > crate::limits::LINK_ABOVE);
        let mut chain = shared.chain();
        if large && shared.encoder.encode(&frame, &mut chain).is_err() {
            return;
        }
        let queued = shared.append(|outbox| {
            if large {
                outbox.link_answers(&mut chain);
            } else {
                outbox.append_answer(&frame)?;
            }
            outbox.finished.push(self.id);
            Ok::<_, moorline_protocol::EncodeError>(outbox.answers_len())
        });
        if queued.is_ok_and(|queued| queued >= crate::limits::EARLY_FLUSH_CALLS) {
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
            self.send(Answer::Fault(self.fate.code(), ""));
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

    pub(crate) fn defer(&mut self, ticket: &Ticket, shared: &Arc<Shared>) -> Responder {
        let place = ticket.id as usize;
        if place >= self.entries.len() {
            self.entries.resize_with(place + 1, || None);
        }
        let fate = Arc::new(Fate(AtomicI32::new(ErrorCode::CANCELLED.0)));
        let running = Running {
            held_bytes: ticket.held_bytes,
            due: ticket.due,
            fate: Arc::clone(&fate),
            abort: None,
        };
        if let Some(due) = ticket.due {
            self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
        }
        self.running += 1;
        self.held_bytes += ticket.held_bytes;
        self.entries[place] = Some(running);
        Responder { shared: Arc::clone(shared), id: ticket.id, fate, answered: false }
    }

    /// How the handler of this request is stopped.
    pub(crate) fn attach(&mut self, id: u32, abort: Box<dyn FnOnce() + Send>) {
        if let Some(Some(running)) = self.entries.get_mut(id as usize) {
            running.abort = Some(abort);
        }
    }

    /// The answer has been given: the number is free again.
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
        if let Some(abort) = self.abort.take() {
            abort();
        }
    }
}
