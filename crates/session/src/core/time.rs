//! Waiting and time: what a driver sleeps for, and what is over when it wakes.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use moorline_protocol::{CloseReason, Farewell, Frame};

use super::Core;
use crate::errors::our_fault;
use crate::heartbeat::{Due, Watch};
use crate::outbox::Outbox;

impl Core {
    /// Ready when the outbox has something for the wire; otherwise its next writer wakes us.
    pub fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.rest(cx, Outbox::poll_work)
    }

    /// Ready when somebody asks for something; for a driver that cannot write at the moment.
    pub fn poll_signals(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.rest(cx, Outbox::poll_signals)
    }

    fn rest(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Outbox, &mut Option<Waker>) -> Poll<()>,
    ) -> Poll<()> {
        let mut waker = Some(cx.waker().clone());
        let mut outbox = self.session.shared.lock();
        let polled = poll(&mut outbox, &mut waker);
        let said = outbox.take_said();
        drop(outbox);
        drop(waker);
        if let Some(turn_at) = self.turn_at.filter(|_| said) {
            self.heartbeat.active(turn_at);
        }
        polled
    }

    /// What was full takes bytes again, so the other end does: a sign of life, where a PING waits
    /// behind all that a slow way has taken already.
    pub fn way_moves(&mut self, now: Instant) {
        self.heartbeat.heard(now);
    }

    /// The next time [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline_of(&self.session.shared.lock())
    }

    pub(super) fn deadline_of(&self, outbox: &Outbox) -> Option<Instant> {
        let peer = self.heartbeat.deadline(&self.settings, self.watch(outbox));
        let (calls, gate) = (outbox.requests.deadline(), outbox.gate_opens_at());
        [calls, self.incoming.deadline(), gate, peer].into_iter().flatten().min()
    }

    fn watch(&self, outbox: &Outbox) -> Watch {
        let watch = outbox.watch();
        Watch { busy: watch.busy || self.incoming.running() > 0, ..watch }
    }

    /// Ends calls and handlers whose time is over, asks a silent peer whether it is there, and closes
    /// a session that nobody has needed for long. To be called when nothing is left to be read.
    ///
    /// # Errors
    /// The peer has not answered that question in time: the session is over.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), CloseReason> {
        self.pass_time(now, Some(now))
    }

    /// Everything that the peer had said at `read_at` has been handled.
    pub(super) fn pass_time(
        &mut self,
        now: Instant,
        read_at: Option<Instant>,
    ) -> Result<(), CloseReason> {
        let mut outbox = self.session.shared.lock();
        outbox.requests.expire(now, &mut self.wakers);
        outbox.look_at_gate(now);
        let watch = self.watch(&outbox);
        let mut result = Ok(());
        match self.heartbeat.look(now, read_at, &self.settings, watch) {
            Due::Nothing => {}
            Due::Ask => self.heartbeat.asked(outbox.ask(), now),
            Due::Idle => drop(outbox.begin_close(Farewell::ordinary())),
            Due::Dead(silence) => {
                let limit = self.settings.dead_after;
                result = Err(CloseReason::Heartbeat { silence, limit });
            }
        }
        drop(outbox);
        self.incoming.expire(now);
        self.wakers.drain(..).for_each(Waker::wake);
        result
    }

    /// Says what the protocol has to say of its own accord: see
    /// [`Protocol::owed`](moorline_protocol::Protocol::owed). Nothing follows a farewell.
    ///
    /// # Errors
    /// Memory.
    pub fn say(&mut self, frame: &Frame<'_>) -> Result<(), CloseReason> {
        self.session.shared.lock().append_control(frame).map_err(our_fault)
    }

    /// The peer is there; and unless it only says so, somebody needs the session.
    pub(super) fn hear(&mut self, now: Instant, frame: &Frame<'_>) {
        self.heard = true;
        self.heartbeat.heard(now);
        let control = matches!(
            frame,
            Frame::Ping { .. }
                | Frame::Pong { .. }
                | Frame::Credit { .. }
                | Frame::Heartbeat { .. }
        );
        if !control {
            self.heartbeat.active(now);
        }
    }
}
