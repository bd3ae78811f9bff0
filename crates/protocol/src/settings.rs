//! What one side brings to each of its connections.

use std::sync::Arc;
use std::time::Duration;

use moorline_buffers::{BlockPool, RecvPool};
use moorline_noise::{Identity, Peer, Provider, PublicKey, Refusal, Suites};

use crate::limits;
use crate::pending::PendingHandshakes;
use crate::registry::MessageRegistry;

/// Everything of a process that its connections share. Made once, behind an `Arc`.
#[derive(Debug)]
pub struct Local {
    /// Where keys, ciphers and randomness come from.
    pub provider: Provider,
    /// Who we are. `None` can only speak protocols without keys.
    pub identity: Option<Arc<Identity>>,
    /// Which suites are accepted and dialed.
    pub suites: Suites,
    /// Both sides must name the same one; part of the handshake, so that a test fleet cannot be
    /// taken for the real one. Default: empty.
    pub realm: String,
    /// The message types of this process.
    pub registry: MessageRegistry,
    /// Limits the peer is told.
    pub settings: Settings,
    /// Where receive buffers come from.
    pub recv: RecvPool,
    /// Where blocks of messages come from.
    pub blocks: BlockPool,
    /// Random at process start: tells a restarted peer from the same one.
    pub boot_id: [u8; 8],
    /// Handshakes in progress, so that a copy of one is not answered.
    pub pending: PendingHandshakes,
    /// What we say we are, at most 64 bytes.
    pub agent: String,
}

/// Limits of this side that the peer is told in SETUP (PROTOCOL 4), and the handshake's patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Largest message taken, in bytes. Default 16 MiB.
    pub message_max: u64,
    /// Bytes of posts and requests the peer may send ahead. Default 1 MiB.
    pub initiation_window: u64,
    /// Bytes of a stream the peer may send ahead. Default 256 KiB.
    pub stream_window: u64,
    /// Requests of the peer in flight. Default 4,096.
    pub in_flight_max: u32,
    /// Streams of the peer. Default 128.
    pub streams_max: u32,
    /// Time for our requests that name none. Default 30 s; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// Silence of a peer that something waits for, after which it is asked with a PING whether it is
    /// there. Default 10 s; `None` never asks.
    pub heartbeat: Option<Duration>,
    /// Silence after which a peer is asked even if nothing waits for it. Default `None`: an idle
    /// session is left alone.
    pub keep_alive: Option<Duration>,
    /// How long a PING may stand unanswered while nothing else comes either, until the session is
    /// closed with HEARTBEAT. Default 20 s.
    pub dead_after: Duration,
    /// A session without calls, streams and messages for so long is closed. Default `None`: never.
    pub idle_timeout: Option<Duration>,
    /// From the first byte to a confirmed session. Default 5 s.
    pub handshake_timeout: Duration,
    /// log2 of the largest record we take, 12 to 16. Default 16.
    pub record_log2: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            message_max: limits::MESSAGE_MAX_DEFAULT,
            initiation_window: limits::INITIATION_WINDOW_DEFAULT,
            stream_window: limits::STREAM_WINDOW_DEFAULT,
            in_flight_max: limits::IN_FLIGHT_MAX_DEFAULT,
            streams_max: limits::STREAMS_MAX_DEFAULT,
            timeout: Some(limits::TIMEOUT_DEFAULT),
            heartbeat: Some(limits::HEARTBEAT_DEFAULT),
            keep_alive: None,
            dead_after: limits::DEAD_AFTER_DEFAULT,
            idle_timeout: None,
            handshake_timeout: limits::HANDSHAKE_TIMEOUT_DEFAULT,
            record_log2: 16,
        }
    }
}

/// A setting outside its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{knob}` is {value}, it must be from {min} to {max}")]
pub struct SettingOutOfBounds {
    /// Which one.
    pub knob: &'static str,
    /// What it was set to.
    pub value: u64,
    /// Smallest value.
    pub min: u64,
    /// Largest value.
    pub max: u64,
}

impl Settings {
    /// Says which value cannot be, before a peer would.
    ///
    /// # Errors
    /// The first value out of its bounds.
    pub fn check(&self) -> Result<(), SettingOutOfBounds> {
        use limits::{IN_FLIGHT_MIN, MESSAGE_MAX_MAX, STREAMS_MIN, WINDOW_MAX, WINDOW_MIN};
        // None of these may be nothing: it would be over before it began. Unset is as good as long.
        let ms = |time: Option<Duration>| {
            time.map_or(u64::MAX, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
        };
        let bounds = [
            ("heartbeat (ms)", ms(self.heartbeat), 1, u64::MAX),
            ("keep_alive (ms)", ms(self.keep_alive), 1, u64::MAX),
            ("dead_after (ms)", ms(Some(self.dead_after)), 1, u64::MAX),
            ("idle_timeout (ms)", ms(self.idle_timeout), 1, u64::MAX),
            ("message_max", self.message_max, WINDOW_MIN, MESSAGE_MAX_MAX),
            ("initiation_window", self.initiation_window, WINDOW_MIN, WINDOW_MAX),
            ("stream_window", self.stream_window, WINDOW_MIN, WINDOW_MAX),
            ("in_flight_max", self.in_flight_max.into(), IN_FLIGHT_MIN.into(), 1 << 16),
            ("streams_max", self.streams_max.into(), STREAMS_MIN.into(), 1 << 16),
            ("record_log2", self.record_log2.into(), 12, 16),
        ];
        for (knob, value, min, max) in bounds {
            if !(min..=max).contains(&value) {
                return Err(SettingOutOfBounds { knob, value, min, max });
            }
        }
        Ok(())
    }
}

/// Who is let in: the peer list as one connection sees it, with its address and the time of day
/// already filled in by whoever knows them.
pub trait Admission: Send {
    /// Whether this key, or a peer without one, gets a session.
    ///
    /// # Errors
    /// Why not; the peer is told nothing.
    fn admit(&self, key: Option<&PublicKey>) -> Result<Peer, Refusal>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_nothing_is_out_of_bounds_and_none_is_not() {
        let good = Settings { heartbeat: None, ..Settings::default() };
        good.check().unwrap();
        let nothing = Some(Duration::ZERO);
        for (bad, knob) in [
            (Settings { heartbeat: nothing, ..good }, "heartbeat (ms)"),
            (Settings { keep_alive: nothing, ..good }, "keep_alive (ms)"),
            (Settings { dead_after: Duration::ZERO, ..good }, "dead_after (ms)"),
            (Settings { idle_timeout: nothing, ..good }, "idle_timeout (ms)"),
        ] {
            assert_eq!(bad.check().unwrap_err().knob, knob);
        }
    }
}
