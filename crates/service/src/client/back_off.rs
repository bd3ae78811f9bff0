//! How long a client waits before it dials again.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use moorline_protocol::{CloseReason, ErrorCode, Farewell, HandshakeFailure};

use crate::limits::{BACK_OFF_MAX, BACK_OFF_MIN};

/// When a client that has lost its connection, or did not get one, dials again.
///
/// The default waits between once and twice as long as the time before, drawn at random, from 50 ms
/// to 10 s; once it has got to 10 s, between 5 and 10. A server that comes back so meets its clients
/// spread over about the time it was away, and never many of them at once. What does not mend
/// itself (another key than the one in the address, a peer that says FORBIDDEN or REVOKED) is tried at the
/// slow end from the first time on, and not given up: whoever mends it need not go round and start the
/// clients again.
pub struct BackOff(Rule);

enum Rule {
    Jitter(Jitter),
    Own(Box<Own>),
}

type Own = dyn FnMut(u32, &CloseReason) -> Option<Duration> + Send;

impl BackOff {
    /// The default rule with other bounds. `max` is at least `min`.
    #[must_use]
    pub fn between(min: Duration, max: Duration) -> Self {
        Self(Rule::Jitter(Jitter::new(min, max)))
    }

    /// A rule of your own: it is told the how-manieth wait it is (from 1, and from 1 again once a
    /// connection has lasted for 10 s) and why there is no connection. `None` waits until [`reset`](crate::Client::reset).
    ///
    /// It must not block. Where it panics, the client waits 10 s.
    #[must_use]
    pub fn custom(
        rule: impl FnMut(u32, &CloseReason) -> Option<Duration> + Send + 'static,
    ) -> Self {
        Self(Rule::Own(Box::new(rule)))
    }

    /// How long to wait before this attempt; `dice` is any random number.
    pub(crate) fn wait(
        &mut self,
        attempt: u32,
        reason: &CloseReason,
        dice: u64,
    ) -> Option<Duration> {
        match &mut self.0 {
            Rule::Jitter(jitter) => Some(jitter.wait(attempt, lasts(reason), dice)),
            Rule::Own(rule) => catch_unwind(AssertUnwindSafe(|| rule(attempt, reason)))
                .unwrap_or(Some(BACK_OFF_MAX)),
        }
    }
}

impl Default for BackOff {
    fn default() -> Self {
        Self::between(BACK_OFF_MIN, BACK_OFF_MAX)
    }
}

impl fmt::Debug for BackOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Jitter(jitter) => fmt::Debug::fmt(jitter, f),
            Rule::Own(_) => f.write_str("BackOff::custom"),
        }
    }
}

/// No wait is shorter, whatever was set.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// `min <= last <= max`, always.
#[derive(Debug)]
struct Jitter {
    min: Duration,
    max: Duration,
    last: Duration,
}

impl Jitter {
    /// Twice nothing is nothing: without a floor it would dial without pause for ever.
    fn new(min: Duration, max: Duration) -> Self {
        let min = min.max(WAIT_MIN);
        Self { min, max: max.max(min), last: min }
    }

    /// Between once and twice the one before, and from half of the limit on up to all of it: with a
    /// wider draw clients that started together drift so far apart that most come back in a crowd
    /// ahead of a few (the test below).
    fn wait(&mut self, attempt: u32, lasts: bool, dice: u64) -> Duration {
        if attempt <= 1 {
            self.last = self.min;
        }
        let top = if lasts { self.max } else { self.last.saturating_mul(2).min(self.max) };
        let low = if lasts { top / 2 } else { self.last.min(top / 2) }.max(self.min);
        self.last = between(low, top, dice);
        self.last
    }
}

/// A point of the way from `low` to `high`.
fn between(low: Duration, high: Duration, dice: u64) -> Duration {
    let part = f64::from(u32::try_from(dice >> 32).expect("half of it")) / f64::from(u32::MAX);
    low + high.saturating_sub(low).mul_f64(part)
}

/// Whether a reason is there to stay until somebody does something about it. A peer that closes
/// without a word is not among them: it may have as many handshakes as it takes.
fn lasts(reason: &CloseReason) -> bool {
    match reason {
        CloseReason::ByPeer(Farewell { code, .. }) => matches!(
            *code,
            ErrorCode::FORBIDDEN
                | ErrorCode::UNAUTHENTICATED
                | ErrorCode::REVOKED
                | ErrorCode::SCHEMA
                | ErrorCode::UNSUPPORTED
        ),
        CloseReason::HandshakeFailed(failure) => matches!(
            failure,
            HandshakeFailure::NotOurProtocol
                | HandshakeFailure::PeerUnverified
                | HandshakeFailure::NotTrusted
                | HandshakeFailure::Caps
        ),
        CloseReason::Violation(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
