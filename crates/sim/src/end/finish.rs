//! The end of a connection: in order, or not.

use moorline_protocol::{CloseReason, Ending, ErrorCode, Farewell};
use moorline_session::EndPhase;

use super::{End, Lines, Phase};
use crate::endpoint::Endpoint;
use crate::limits::CLOSE_WAIT;
use crate::pipe::Read;

impl End {
    /// Says goodbye where there is somebody to say it to, and ends the session.
    pub(super) fn end(
        &mut self,
        reason: CloseReason,
        endpoint: &mut Endpoint,
        lines: &mut Lines<'_>,
    ) {
        self.check_honest(&reason, endpoint);
        self.refuse_dialing(&reason);
        let lingers = match &self.phase {
            Phase::Open(_) => self.end_session(reason, endpoint, lines),
            Phase::Script(_) => {
                endpoint.heard.push(format!("the end: {reason}"));
                false
            }
            _ => {
                self.world.say(self.side, format_args!("#{} does not open: {reason}", self.number));
                matches!(reason.ending(), Ending::Close(_))
            }
        };
        if lingers {
            self.input = None;
            self.idle_at = None;
            self.phase = Phase::Lingering { until: self.world.clock.now() + CLOSE_WAIT };
            self.linger(lines);
        } else {
            self.leave(lines);
        }
    }

    /// Between two sessions of ours nobody breaks a rule, whatever the network does.
    fn check_honest(&self, reason: &CloseReason, endpoint: &Endpoint) {
        let broken = match reason {
            CloseReason::Violation(violation) => violation.code != ErrorCode::CALM,
            CloseReason::Tampered | CloseReason::Exhausted(_) => true,
            _ => false,
        };
        assert!(
            !broken || endpoint.strangers,
            "side {} ends its session by a fault: {reason}",
            self.side.name()
        );
    }

    /// Whether a farewell is under way.
    fn end_session(
        &mut self,
        reason: CloseReason,
        endpoint: &mut Endpoint,
        lines: &mut Lines<'_>,
    ) -> bool {
        let Phase::Open(session) = &mut self.phase else { unreachable!("the session is open") };
        let reason = session.core.final_reason(reason);
        let mut lingers = session.core.end_phase() == EndPhase::Farewell;
        if let Ending::Close(code) = reason.ending()
            && !lingers
        {
            let said = session.core.cut_short(Farewell::new(code, ""));
            lingers = said.is_ok() && self.seal(usize::MAX).is_ok() && self.pump(lines).is_ok();
        }
        self.world.say(self.side, format_args!("#{} ends: {reason}", self.number));
        let Phase::Open(session) = std::mem::replace(&mut self.phase, Phase::Over) else {
            unreachable!("the session is open");
        };
        let id = session.core.session().id();
        if let Some(process) = &mut endpoint.process {
            process.sessions.retain(|session| session.id() != id);
        }
        session.core.end(&reason);
        lingers
    }

    /// Writes what is sealed, then reads to the end, for a while.
    pub(super) fn linger(&mut self, lines: &mut Lines<'_>) {
        self.write(lines);
        let passed = self.world.clock.passed();
        if self.wire.is_empty() && !std::mem::replace(&mut self.shut_down, true) {
            lines.outgoing.close(passed);
        }
        let mut waste = [0; 1_024];
        while !self.eof {
            match lines.incoming.read(passed, &mut waste) {
                Read::Bytes(_) => {}
                Read::Nothing => break,
                Read::Eof | Read::Reset => self.eof = true,
            }
        }
        let Phase::Lingering { until } = self.phase else { return };
        let done = self.eof && self.wire.is_empty();
        if done || self.world.clock.now() >= until {
            self.leave(lines);
        }
    }

    /// The process is gone: nothing is said, and of what is on its way not everything arrives.
    pub(crate) fn crash(mut self, lines: &mut Lines<'_>) {
        let reason = CloseReason::Io(std::io::ErrorKind::ConnectionAborted);
        self.refuse_dialing(&reason);
        if !self.shut_down && !matches!(self.phase, Phase::Over) {
            lines.outgoing.crash(self.world.clock.passed());
        }
        lines.incoming.abandon();
    }
}
