//! One connection, driven by its owner: which phase it is in, and what ends a phase.

use std::mem;
use std::time::Instant;

use moorline_buffers::{RecvBuffer, SendBuffer};
use moorline_noise::Role;

use super::confirm::Confirming;
use super::handshake::{Fault, Listening, Shaking};
use super::open::Open;
use crate::closed::CloseReason;
use crate::limits::{FIRST_RECORD_MAX, READ_CAPACITY};
use crate::seam::{Protocol, Step};

/// The receiving half of a `msgpack` or `msgpack-plain` connection.
pub(super) struct Connection {
    phase: Phase,
    /// When patience with the handshake ends; `None` before it begins and when it is done.
    deadline: Option<Instant>,
}

/// What a connection goes through, each with what belongs to it alone: boxed, so that an open
/// connection does not carry the size of its handshake.
enum Phase {
    /// Responder: nothing, or not all of the first message, has come.
    Listening(Box<Listening>),
    /// Handshake messages go to and fro.
    Shaking(Box<Shaking>),
    /// Keys are there; SETUP, and maybe DICT, are due.
    Confirming(Box<Confirming>),
    Open(Box<Open>),
    Over(CloseReason),
}

impl Connection {
    pub(super) fn responder(listening: Listening) -> Self {
        Self { phase: Phase::Listening(Box::new(listening)), deadline: None }
    }

    pub(super) fn initiator(shaking: Shaking) -> Self {
        Self { phase: Phase::Shaking(Box::new(shaking)), deadline: None }
    }

    fn step<'b>(
        &mut self,
        now: Instant,
        input: &'b mut RecvBuffer,
        out: &mut SendBuffer,
    ) -> Result<Step<'b>, CloseReason> {
        loop {
            if let Phase::Open(open) = &mut self.phase {
                return open.next(now, input);
            }
            self.handle_timeout(now)?;
            // A phase that fails is not seen again.
            let phase = mem::replace(&mut self.phase, Phase::Over(CloseReason::Truncated));
            let (phase, turn) = phase.advance(now, input, out)?;
            self.phase = phase;
            match turn {
                Turn::GoOn => {}
                Turn::Yield(step) => {
                    if matches!(step, Step::Opened(_)) {
                        self.deadline = None;
                    }
                    return Ok(step);
                }
            }
        }
    }
}

/// What follows a look at one phase.
enum Turn {
    /// Look at the next phase.
    GoOn,
    Yield(Step<'static>),
}

impl Phase {
    /// One look at what has come. The phase that follows may be the same one.
    fn advance(
        self,
        now: Instant,
        input: &mut RecvBuffer,
        out: &mut SendBuffer,
    ) -> Result<(Phase, Turn), CloseReason> {
        const WAIT: Turn = Turn::Yield(Step::NeedBytes);
        match self {
            Phase::Listening(listening) => {
                let Some(preamble) = listening.look(input)? else {
                    return Ok((Phase::Listening(listening), WAIT));
                };
                Ok((Phase::Shaking(Box::new(listening.begin(preamble)?)), Turn::GoOn))
            }
            Phase::Shaking(mut shaking) => {
                if !shaking.read(input)? {
                    return Ok((Phase::Shaking(shaking), WAIT));
                }
                if shaking.exchange.is_my_turn() {
                    shaking.write(out)?;
                }
                if !shaking.exchange.is_finished() {
                    return Ok((Phase::Shaking(shaking), Turn::GoOn));
                }
                let mut confirming = Box::new(Confirming::new(*shaking)?);
                confirming.begin(out)?;
                Ok((Phase::Confirming(confirming), Turn::GoOn))
            }
            Phase::Confirming(mut confirming) => {
                if !confirming.next(now, input, out)? {
                    return Ok((Phase::Confirming(confirming), WAIT));
                }
                let (open, opened) = confirming.finish();
                Ok((Phase::Open(Box::new(open)), Turn::Yield(Step::Opened(Box::new(opened)))))
            }
            Phase::Open(open) => Ok((Phase::Open(open), WAIT)),
            Phase::Over(reason) => Err(reason),
        }
    }

    fn role(&self) -> Option<Role> {
        match self {
            Phase::Listening(_) => Some(Role::Responder),
            Phase::Shaking(shaking) => Some(shaking.side.role),
            Phase::Confirming(confirming) => Some(confirming.role()),
            Phase::Open(_) | Phase::Over(_) => None,
        }
    }
}

impl Protocol for Connection {
    fn start(&mut self, now: Instant, out: &mut SendBuffer) -> Result<(), CloseReason> {
        match &mut self.phase {
            Phase::Listening(listening) => {
                self.deadline = Some(now + listening.local.settings.handshake_timeout);
                Ok(())
            }
            Phase::Shaking(shaking) => {
                self.deadline = Some(now + shaking.side.local.settings.handshake_timeout);
                shaking.write(out)
            }
            _ => Ok(()),
        }
    }

    fn next<'b>(
        &mut self,
        now: Instant,
        input: &'b mut RecvBuffer,
        out: &mut SendBuffer,
    ) -> Result<Step<'b>, CloseReason> {
        let step = self.step(now, input, out);
        if let Err(reason) = &step {
            self.phase = Phase::Over(reason.clone());
            self.deadline = None;
        }
        step
    }

    fn read_capacity(&self) -> usize {
        match &self.phase {
            Phase::Confirming(confirming) => confirming.read_capacity(),
            Phase::Open(_) => READ_CAPACITY,
            Phase::Listening(_) | Phase::Shaking(_) | Phase::Over(_) => FIRST_RECORD_MAX,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    //= docs/PROTOCOL.md#9
    fn handle_timeout(&mut self, now: Instant) -> Result<(), CloseReason> {
        match (self.deadline, self.phase.role()) {
            (Some(deadline), Some(role)) if now >= deadline => {
                self.deadline = None;
                let reason = Fault::Timeout.seen_by(role);
                self.phase = Phase::Over(reason.clone());
                Err(reason)
            }
            _ => Ok(()),
        }
    }

    fn handle_eof(&mut self) -> CloseReason {
        let role = self.phase.role();
        self.deadline = None;
        match (&mut self.phase, role) {
            (Phase::Open(open), _) => open.eof(),
            (Phase::Over(reason), _) => reason.clone(),
            (_, Some(role)) => Fault::Eof.seen_by(role),
            (_, None) => CloseReason::Truncated,
        }
    }

    fn park(&mut self) {
        if let Phase::Open(open) = &mut self.phase {
            open.park();
        }
    }
}
