//! A request on its way, whoever waits for it: its slot, and what becomes of the outcome.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::errors::{CallError, SendError};
use crate::requests::Outcome;
use crate::scratch::take_scratch;
use crate::session_ref::SessionRef;

/// A slot among the requests in flight, given back when dropped.
pub(crate) struct InFlight {
    session: SessionRef,
    id: u32,
    timeout: Option<Duration>,
    done: bool,
}

impl InFlight {
    pub(crate) fn new(session: SessionRef, id: u32, timeout: Option<Duration>) -> Self {
        Self { session, id, timeout, done: false }
    }

    pub(crate) fn session(&self) -> &SessionRef {
        &self.session
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        assert!(!self.done, "polled again after the answer");
        let mut waker = Some(cx.waker().clone());
        let mut outbox = self.session.shared.lock();
        let polled = outbox.requests.poll(self.id, &mut waker, take_scratch);
        let waiters = outbox.take_waiters();
        drop(outbox);
        waiters.into_iter().for_each(Waker::wake);
        self.done = polled.is_ready();
        polled
    }

    /// What an outcome that is no good answer means to the caller.
    pub(crate) fn failure<E>(&self, outcome: Outcome) -> CallError<E> {
        match outcome {
            Outcome::Error { code, message, .. } => CallError::Fault(code, message),
            Outcome::Timeout => CallError::Timeout { limit: self.timeout.unwrap_or(Duration::MAX) },
            Outcome::Closed { reason, sent } => CallError::Closed { reason, sent },
            Outcome::TooLarge { size, held, limit } => {
                CallError::AnswerTooLarge { size, held, limit }
            }
            Outcome::Response(_) | Outcome::Malformed => CallError::Decode,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let shared = &*self.session.shared;
        // The waker that comes back is dropped when the lock is released.
        let _ = shared.append(|outbox| Ok::<_, SendError>(outbox.requests.abandon(self.id)));
    }
}
