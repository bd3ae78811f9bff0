//! What a client does next: states and what changes them, without a socket, a task or a clock.
//!
//! ```text
//!               up                       peer drains
//!  Connecting ------> Up ------------------------------> Draining
//!    |    ^            | \___ reset, close ________________^  |
//!    |    | time, or   | lost                                 | lost
//!    |    | reset      v                                      v
//!    '--------------> BackOff <------------------------------- or Connecting, or Closed,
//!       no session                                             whatever it was drained for
//! ```
//!
//! From everywhere `close` leads to Closed, by way of Draining where there is a session.

use std::time::{Duration, Instant};

use moorline_protocol::{CloseReason, ErrorCode, Farewell};

/// Where a client stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientState {
    /// It dials.
    Connecting {
        /// How often it has waited for that since it had a connection that lasted, or was reset.
        attempt: u32,
    },
    /// It has a session.
    Up {
        /// The how-manieth connection it is, from 1.
        epoch: u64,
    },
    /// It waits before it dials again.
    BackOff {
        /// The attempt that follows, from 1.
        attempt: u32,
        /// Until when; `None` until it is reset.
        until: Option<Instant>,
        /// Why there is no connection.
        reason: CloseReason,
    },
    /// It has a connection that takes nothing new: the peer is shutting down, or the client is being
    /// closed or reset.
    Draining,
    /// It is over.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// What happens to a client, or what is asked of it.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// A session was made.
    Up,
    /// Dialing came to nothing.
    DialFailed(CloseReason),
    /// Dialing was given up, as was wished.
    DialStopped,
    /// The peer of the session takes nothing new.
    PeerDrains,
    /// The session has ended.
    Lost(CloseReason),
    /// How long to wait; `None` until it is reset.
    Decided(Option<Duration>),
    /// The time of waiting may be over.
    TimeUp,
    Reset,
    NetworkChanged,
    Close(Farewell),
    /// The service drains its sessions, this one among them.
    Shutdown,
}

/// What is to be done to the session at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Nothing,
    /// Close it in order.
    Close(Farewell),
    /// End it now.
    Cut,
}

/// What whoever runs the client is to do until something else happens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Dial; another number, another dialing.
    Dial(u64),
    /// Give up dialing and say so.
    StopDialing,
    /// Say how long to wait before this attempt, for this reason.
    Decide(u32, CloseReason),
    Sleep(Instant),
    Nothing,
    /// It is over: tell everybody.
    Finish(CloseReason),
}

/// `epoch` counts sessions, `dialing` counts dialings; neither goes back.
#[derive(Debug)]
pub(crate) struct Machine {
    phase: Phase,
    epoch: u64,
    dialing: u64,
    /// How often it has waited since a connection has lasted, this time included.
    attempt: u32,
    up_at: Option<Instant>,
    /// A connection that is lost sooner counts as one more attempt that came to nothing.
    steady_after: Duration,
}

#[derive(Debug)]
enum Phase {
    Connecting,
    Up,
    BackOff(Until, CloseReason),
    /// There is a session whose end is awaited, ...
    Draining(Then),
    /// ... or a dialing that is given up for good.
    Stopping(Farewell),
    Closed(CloseReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Undecided,
    Reset,
    At(Instant),
}

/// What follows the end of a session that is being drained.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    BackOff,
    Connect,
    Close,
}

impl Machine {
    /// It wishes to dial.
    pub(crate) const fn new(steady_after: Duration) -> Self {
        let phase = Phase::Connecting;
        Self { phase, epoch: 0, dialing: 1, attempt: 0, up_at: None, steady_after }
    }

    pub(crate) fn state(&self) -> ClientState {
        let attempt = self.attempt;
        match &self.phase {
            Phase::Connecting => ClientState::Connecting { attempt },
            Phase::Up => ClientState::Up { epoch: self.epoch },
            Phase::BackOff(until, reason) => {
                let until = if let Until::At(at) = until { Some(*at) } else { None };
                ClientState::BackOff { attempt, until, reason: reason.clone() }
            }
            Phase::Draining(_) | Phase::Stopping(_) => ClientState::Draining,
            Phase::Closed(reason) => ClientState::Closed { reason: reason.clone() },
        }
    }

    /// Whether it has a session that takes something new, as far as it knows.
    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up)
    }

    /// The how-manieth session it has or had last.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether its state is one to tell: not while it is being decided how long it waits.
    pub(crate) const fn is_settled(&self) -> bool {
        !matches!(self.phase, Phase::BackOff(Until::Undecided, _))
    }

    /// Whether it has been told to end, or has ended, and why.
    pub(crate) fn is_over(&self) -> Option<CloseReason> {
        match &self.phase {
            Phase::Closed(reason) => Some(reason.clone()),
            Phase::Stopping(farewell) => Some(CloseReason::ByUs(farewell.clone())),
            Phase::Draining(Then::Close) => Some(CloseReason::ByUs(Farewell::ordinary())),
            _ => None,
        }
    }

    pub(crate) fn wish(&self) -> Wish {
        match &self.phase {
            Phase::Connecting => Wish::Dial(self.dialing),
            Phase::Stopping(_) => Wish::StopDialing,
            Phase::BackOff(Until::Undecided, reason) => Wish::Decide(self.attempt, reason.clone()),
            Phase::BackOff(Until::At(at), _) => Wish::Sleep(*at),
            Phase::BackOff(Until::Reset, _) | Phase::Up | Phase::Draining(_) => Wish::Nothing,
            Phase::Closed(reason) => Wish::Finish(reason.clone()),
        }
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input) -> Order {
        match input {
            Input::Up => self.up(now),
            Input::DialFailed(reason) => self.dial_failed(reason),
            Input::DialStopped => self.dial_stopped(),
            Input::PeerDrains => self.peer_drains(),
            Input::Lost(reason) => self.lost(now, reason),
            Input::Decided(wait) => self.decided(now, wait),
            Input::TimeUp => self.time_up(now),
            Input::Reset => self.reset(),
            Input::NetworkChanged => self.network_changed(),
            Input::Close(farewell) => self.close(farewell, true),
            Input::Shutdown => {
                let farewell = Farewell::new(ErrorCode::DRAINING, "the service was shut down");
                self.close(farewell, false)
            }
        }
    }

    fn up(&mut self, now: Instant) -> Order {
        self.epoch += 1;
        self.up_at = Some(now);
        // Whoever closed it while it was dialing was faster by a moment.
        let farewell = match &self.phase {
            Phase::Stopping(farewell) => farewell.clone(),
            Phase::Closed(_) => return Order::Close(Farewell::ordinary()),
            phase => {
                debug_assert!(matches!(phase, Phase::Connecting), "nobody else dials");
                self.phase = Phase::Up;
                return Order::Nothing;
            }
        };
        self.phase = Phase::Draining(Then::Close);
        Order::Close(farewell)
    }

    /// Whoever runs it has been stopped.
    pub(crate) fn end(&mut self, reason: &CloseReason) {
        if !matches!(self.phase, Phase::Closed(_)) {
            self.phase = Phase::Closed(reason.clone());
        }
    }

    fn dial_failed(&mut self, reason: CloseReason) -> Order {
        if matches!(self.phase, Phase::Connecting) {
            self.attempt = self.attempt.saturating_add(1);
            self.phase = Phase::BackOff(Until::Undecided, reason);
        }
        self.dial_stopped()
    }

    fn dial_stopped(&mut self) -> Order {
        if let Phase::Stopping(farewell) = &self.phase {
            self.phase = Phase::Closed(CloseReason::ByUs(farewell.clone()));
        }
        Order::Nothing
    }

    fn peer_drains(&mut self) -> Order {
        if matches!(self.phase, Phase::Up) {
            self.phase = Phase::Draining(Then::BackOff);
        }
        Order::Nothing
    }

    fn lost(&mut self, now: Instant, reason: CloseReason) -> Order {
        let lasted = self.up_at.take().map_or(Duration::ZERO, |at| now.duration_since(at));
        let steady = lasted >= self.steady_after;
        match self.phase {
            Phase::Up | Phase::Draining(Then::BackOff) => {
                self.attempt = if steady { 1 } else { self.attempt.saturating_add(1) };
                self.phase = Phase::BackOff(Until::Undecided, reason);
            }
            Phase::Draining(Then::Connect) => self.connect_anew(),
            Phase::Draining(Then::Close) => self.phase = Phase::Closed(reason),
            Phase::Connecting | Phase::BackOff(..) | Phase::Stopping(_) | Phase::Closed(_) => {}
        }
        Order::Nothing
    }

    fn decided(&mut self, now: Instant, wait: Option<Duration>) -> Order {
        if let Phase::BackOff(until @ Until::Undecided, _) = &mut self.phase {
            *until = match wait {
                // What lies beyond all time is never.
                Some(wait) => now.checked_add(wait).map_or(Until::Reset, Until::At),
                None => Until::Reset,
            };
        }
        Order::Nothing
    }

    fn time_up(&mut self, now: Instant) -> Order {
        if let Phase::BackOff(Until::At(at), _) = self.phase
            && at <= now
        {
            self.connect();
        }
        Order::Nothing
    }

    fn reset(&mut self) -> Order {
        match self.phase {
            Phase::Connecting | Phase::BackOff(..) => self.connect_anew(),
            Phase::Up | Phase::Draining(Then::BackOff) => {
                self.phase = Phase::Draining(Then::Connect);
                return Order::Cut;
            }
            Phase::Draining(Then::Connect | Then::Close)
            | Phase::Stopping(_)
            | Phase::Closed(_) => {}
        }
        Order::Nothing
    }

    fn network_changed(&mut self) -> Order {
        match &mut self.phase {
            Phase::Connecting | Phase::BackOff(Until::Undecided | Until::At(_), _) => {
                self.connect()
            }
            Phase::Draining(then @ Then::BackOff) => *then = Then::Connect,
            Phase::BackOff(Until::Reset, _)
            | Phase::Up
            | Phase::Draining(_)
            | Phase::Stopping(_)
            | Phase::Closed(_) => {}
        }
        Order::Nothing
    }

    /// `ask`: the session is to be closed, unless somebody else does that.
    fn close(&mut self, farewell: Farewell, ask: bool) -> Order {
        match self.phase {
            Phase::Connecting => self.phase = Phase::Stopping(farewell),
            Phase::BackOff(..) => self.phase = Phase::Closed(CloseReason::ByUs(farewell)),
            Phase::Up | Phase::Draining(Then::BackOff | Then::Connect) => {
                self.phase = Phase::Draining(Then::Close);
                return if ask { Order::Close(farewell) } else { Order::Nothing };
            }
            Phase::Draining(Then::Close) | Phase::Stopping(_) | Phase::Closed(_) => {}
        }
        Order::Nothing
    }

    fn connect(&mut self) {
        self.dialing += 1;
        self.phase = Phase::Connecting;
    }

    fn connect_anew(&mut self) {
        self.attempt = 0;
        self.connect();
    }
}

#[cfg(test)]
mod tests;
