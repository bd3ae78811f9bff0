//! One connection, driven by its owner: first both sides say who they are, then everything else.

mod meeting;

use std::sync::Arc;
use std::time::{Duration, Instant};

use moorline_buffers::{RecvBuffer, SendBuffer};
use moorline_protocol::limits::READ_CAPACITY;
use moorline_protocol::{
    Admission, CloseReason, Frame, HandshakeFailure, HandshakeRefusal, Local, Protocol, Step,
};

use self::meeting::Meeting;
use crate::decoder::Decoder;
use crate::dialect::Dialect;
use crate::ids::Ids;
use crate::limits::WHOAMI_MAX;
use crate::opaques::Opaques;
use crate::settings::GofastSettings;
use crate::stats::GofastStats;

/// What one side brings.
pub(crate) struct Side {
    pub(crate) dialect: Dialect,
    pub(crate) settings: Arc<GofastSettings>,
    pub(crate) stats: GofastStats,
    pub(crate) opaques: Opaques,
    pub(crate) local: Arc<Local>,
    pub(crate) dials: bool,
    pub(crate) ids: Arc<Ids>,
}

/// The receiving half of a connection.
pub(crate) struct Connection {
    phase: Phase,
    dials: bool,
    /// When patience with the meeting ends, or the next heartbeat is due.
    deadline: Option<Instant>,
    patience: Duration,
    heartbeat: Option<Heartbeat>,
}

enum Phase {
    Meeting(Box<Meeting>),
    Open(Box<Decoder>),
    Over(CloseReason),
}

/// Posts that say that we are there.
struct Heartbeat {
    period: Duration,
    count: u64,
    due: bool,
}

impl Connection {
    pub(crate) fn new(side: Side, admission: Option<Box<dyn Admission>>) -> Self {
        let dials = side.dials;
        let patience = side.local.settings.handshake_timeout;
        let period = side.settings.heartbeat;
        let heartbeat = period.map(|period| Heartbeat { period, count: 0, due: false });
        let phase = Phase::Meeting(Box::new(Meeting::new(side, admission)));
        Self { phase, dials, deadline: None, patience, heartbeat }
    }

    fn step<'b>(
        &mut self,
        now: Instant,
        input: &'b mut RecvBuffer,
        out: &mut SendBuffer,
    ) -> Result<Step<'b>, CloseReason> {
        if let Phase::Meeting(_) = &self.phase {
            self.handle_timeout(now)?;
        }
        match &mut self.phase {
            Phase::Open(decoder) => decoder.next(now, input),
            Phase::Over(reason) => Err(reason.clone()),
            Phase::Meeting(meeting) => {
                if !meeting.next(now, input, out)? {
                    return Ok(Step::NeedBytes);
                }
                let (decoder, opened) = meeting.finish();
                self.phase = Phase::Open(Box::new(decoder));
                self.deadline =
                    self.heartbeat.as_ref().and_then(|beat| now.checked_add(beat.period));
                Ok(Step::Opened(Box::new(opened)))
            }
        }
    }
}

impl Protocol for Connection {
    fn start(&mut self, now: Instant, out: &mut SendBuffer) -> Result<(), CloseReason> {
        let Phase::Meeting(meeting) = &mut self.phase else { return Ok(()) };
        self.deadline = now.checked_add(self.patience);
        meeting.ask(out)
    }

    fn next<'b>(
        &mut self,
        now: Instant,
        input: &'b mut RecvBuffer,
        out: &mut SendBuffer,
    ) -> Result<Step<'b>, CloseReason> {
        let step = match &mut self.phase {
            Phase::Open(decoder) => decoder.next(now, input),
            _ => self.step(now, input, out),
        };
        if let Err(reason) = &step {
            self.phase = Phase::Over(reason.clone());
            self.deadline = None;
        }
        step
    }

    fn read_capacity(&self) -> usize {
        if let Phase::Open(_) = self.phase { READ_CAPACITY } else { WHOAMI_MAX }
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    //= docs/PROTOCOL.md#11
    fn handle_timeout(&mut self, now: Instant) -> Result<(), CloseReason> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        self.deadline = None;
        match &self.phase {
            Phase::Meeting(_) => {
                let reason = Missed::Time.seen(self.dials);
                self.phase = Phase::Over(reason.clone());
                return Err(reason);
            }
            Phase::Open(_) => {
                if let Some(beat) = &mut self.heartbeat {
                    beat.due = true;
                    self.deadline = now.checked_add(beat.period);
                }
            }
            Phase::Over(_) => {}
        }
        Ok(())
    }

    fn owed(&mut self) -> Option<Frame<'static>> {
        let beat = self.heartbeat.as_mut().filter(|beat| beat.due)?;
        beat.due = false;
        let count = beat.count;
        beat.count += 1;
        Some(Frame::Heartbeat { count })
    }

    fn handle_eof(&mut self) -> CloseReason {
        self.deadline = None;
        match &mut self.phase {
            Phase::Meeting(_) => Missed::End.seen(self.dials),
            Phase::Open(decoder) => decoder.eof(),
            Phase::Over(reason) => reason.clone(),
        }
    }

    fn park(&mut self) {
        if let Phase::Open(decoder) = &mut self.phase {
            decoder.park();
        }
    }
}

/// What can go wrong before a connection is open; each side has its own words for it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Missed {
    Foreign,
    Misplaced,
    Whoami,
    Time,
    End,
}

impl Missed {
    pub(crate) fn seen(self, dials: bool) -> CloseReason {
        if dials {
            return CloseReason::HandshakeFailed(match self {
                Self::Foreign | Self::Misplaced => HandshakeFailure::NotOurProtocol,
                Self::Whoami => HandshakeFailure::Caps,
                Self::Time => HandshakeFailure::Timeout,
                Self::End => HandshakeFailure::NotLetIn,
            });
        }
        CloseReason::HandshakeRefused(match self {
            Self::Foreign => HandshakeRefusal::NotOurProtocol,
            Self::Misplaced => HandshakeRefusal::Misplaced,
            Self::Whoami => HandshakeRefusal::Caps,
            Self::Time => HandshakeRefusal::Timeout,
            Self::End => HandshakeRefusal::Eof,
        })
    }
}
