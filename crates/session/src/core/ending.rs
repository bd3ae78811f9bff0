//! The end of a session: asking for it, how far it has come, and the last word.

use std::sync::Arc;
use std::task::Waker;

use moorline_protocol::{CloseReason, ErrorCode, Farewell};

use super::Core;
use crate::errors::our_fault;
use crate::outbox::Phase;

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

/// What a session has not done yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Requests of the peer whose handlers run.
    pub handlers: usize,
    /// Requests of ours without an answer.
    pub calls: usize,
    /// Streams that are not at their end.
    pub streams: usize,
}

impl Core {
    /// Asks the peer to start nothing new; once both sides are done [`is_drained`](Self::is_drained)
    /// says so.
    ///
    /// # Errors
    /// Memory.
    pub fn drain(&mut self) -> Result<(), CloseReason> {
        if std::mem::replace(&mut self.draining, true) {
            return Ok(());
        }
        self.session.shared.lock().append_goaway("shutting down").map_err(our_fault)
    }

    /// Whether nothing is left to be done for either side after [`drain`](Self::drain).
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let obeyed = self.peer_obeyed || !self.session.shared.encoder.abilities().farewell;
        let outbox = self.session.shared.lock();
        self.draining
            && obeyed
            && self.incoming.running() == outbox.finished_len()
            && outbox.requests.all_answered()
            && outbox.streams_live() == 0
            && outbox.queued() == 0
    }

    /// What is not done yet: handlers of the peer's requests that run, requests of ours without an
    /// answer, and streams.
    #[must_use]
    pub fn unfinished(&self) -> Unfinished {
        let outbox = self.session.shared.lock();
        Unfinished {
            handlers: self.incoming.running() - outbox.finished_len(),
            calls: outbox.requests.unanswered(),
            streams: outbox.streams_live() as usize,
        }
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

    /// What this side will say when what was accepted has gone out, while that is awaited.
    #[must_use]
    pub fn closing_with(&self) -> Option<Farewell> {
        match self.session.shared.lock().phase() {
            Phase::Closing(farewell) => Some(farewell.clone()),
            _ => None,
        }
    }

    /// Says goodbye now. What was queued is dropped; its size in bytes is returned.
    ///
    /// # Errors
    /// Memory.
    pub fn cut_short(&mut self, farewell: Farewell) -> Result<usize, CloseReason> {
        self.session.shared.lock().cut_short(farewell).map_err(our_fault)
    }

    /// With what farewell it is to end now, once [`Signals::quit`](crate::Signals::quit) says so.
    #[must_use]
    pub fn quits_with(&self) -> Farewell {
        self.session.shared.lock().quits_with()
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
        let mut outbox = self.session.shared.lock();
        outbox.look = self.look();
        outbox.close(reason, &mut self.wakers);
        drop(outbox);
        self.wakers.drain(..).for_each(Waker::wake);
        self.leave_topics();
        self.answers.clear();
        self.incoming.abort_all();
        let hub = Arc::clone(&self.session.shared.hub);
        hub.close(&self.session, reason);
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
