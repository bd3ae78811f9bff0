//! A session as somebody who operates it sees it, at one moment and without stopping it.

use std::time::{Duration, Instant};

use moorline_protocol::ErrorCode;
use serde::{Deserialize, Serialize};

use crate::counters::Counters;
use crate::outbox::Phase;
use crate::session_ref::{Direction, SessionRef};

/// A session at one moment. Texts are for people, and what comes of a peer in them is escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SessionSnapshot {
    /// Its id.
    pub id: u32,
    /// Key of the peer, where the protocol has keys.
    pub peer_key: Option<String>,
    /// Name of the peer on our list.
    pub peer_name: Option<String>,
    /// What software the peer says it is.
    pub peer_agent: String,
    /// Address of the peer.
    pub address: String,
    /// Protocol it speaks.
    pub protocol: String,
    /// Cipher suite, or "none".
    pub suite: String,
    /// Who opened the connection.
    pub direction: Direction,
    /// Where it stands.
    pub phase: SessionPhase,
    /// Since its first turn, in milliseconds; `None` before that.
    pub age_ms: Option<u64>,
    /// What went through it. What was received, and the answers of inline handlers, as they stood when
    /// the last turn of its driver ended.
    pub counters: Counters,
    /// What waits to be sent.
    pub queued: QueuedBytes,
    /// Bytes of posts and requests that may be sent before the peer grants more; `None` where the
    /// protocol does not count.
    pub send_credit: Option<u64>,
    /// The same for what the peer sends.
    pub receive_credit: Option<u64>,
    /// Youngest measured round trip, in microseconds, handling at both ends included. It is measured
    /// while windows are moving.
    pub rtt_us: Option<u64>,
    /// Requests of ours without an answer.
    pub calls: usize,
    /// Requests of the peer's whose handlers run.
    pub handlers: usize,
    /// Streams that are not over, of both sides.
    pub streams: u32,
    /// Topics this side is subscribed to.
    pub subscriptions: usize,
    /// Topics the peer is subscribed to.
    pub peer_subscriptions: usize,
    /// Why it ended, or else the last fault of the peer's that was answered.
    pub last_error: Option<String>,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SessionPhase {
    /// Messages go both ways.
    Open,
    /// The peer takes nothing new.
    PeerDrains,
    /// This side is closing.
    Closing,
    /// It is over.
    Closed,
}

/// Bytes that wait to be sent, by where they wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueuedBytes {
    /// Control of the session itself.
    pub control: usize,
    /// Posts, requests and answers of the high lane.
    pub high: usize,
    /// Those of the normal lane.
    pub normal: usize,
    /// Those of the bulk lane.
    pub bulk: usize,
    /// On streams.
    pub streams: usize,
    /// For subscriptions of the peer's, before they come to a lane.
    pub published: usize,
}

/// What the driver alone knows, as it was when its last turn ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Look {
    pub(crate) counters: Counters,
    pub(crate) opened_at: Option<Instant>,
    pub(crate) receive_credit: Option<u64>,
    pub(crate) running: usize,
    pub(crate) rtt: Option<Duration>,
    pub(crate) last_fault: Option<ErrorCode>,
}

impl SessionRef {
    /// How it stands at `now`, of which its age comes. One short lock, which its senders take as
    /// well; nobody is stopped.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> SessionSnapshot {
        let shared = &*self.shared;
        let peer = &shared.peer;
        let outbox = shared.lock();
        let look = outbox.look;
        let snapshot = SessionSnapshot {
            id: shared.id.number(),
            peer_key: None,
            peer_name: None,
            peer_agent: String::new(),
            address: String::new(),
            protocol: String::new(),
            suite: String::new(),
            direction: shared.direction,
            phase: outbox.phase().into(),
            age_ms: None,
            counters: outbox.counters(),
            queued: outbox.queued_by_lane(),
            send_credit: outbox.send_credit(),
            receive_credit: look.receive_credit,
            rtt_us: look.rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            calls: outbox.requests.unanswered(),
            handlers: look.running.saturating_sub(outbox.finished_len()),
            streams: outbox.streams_live(),
            subscriptions: outbox.subscribed_here(),
            peer_subscriptions: outbox.subscribed_by_peer(),
            last_error: None,
        };
        let ended = match outbox.phase() {
            Phase::Closed(reason) => Some(reason.clone()),
            _ => None,
        };
        // Texts are made outside the lock.
        drop(outbox);
        let mut counters = snapshot.counters;
        shared.wire.add_to(&mut counters);
        let age = look.opened_at.map(|opened| now.saturating_duration_since(opened).as_millis());
        let fault = look.last_fault.map(|code| code.to_string());
        SessionSnapshot {
            peer_key: peer.key.as_ref().map(ToString::to_string),
            peer_name: peer.listed.as_ref().map(|listed| listed.name.to_string()),
            peer_agent: peer.agent.to_string(),
            address: shared.address.to_string(),
            protocol: shared.protocol.to_owned(),
            suite: peer.suite.to_owned(),
            counters,
            age_ms: age.map(|age| u64::try_from(age).unwrap_or(u64::MAX)),
            last_error: ended.map(|reason| reason.to_string()).or(fault),
            ..snapshot
        }
    }

    /// What went through it, as [`snapshot`](Self::snapshot) tells it.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = self.shared.lock().counters();
        self.shared.wire.add_to(&mut counters);
        counters
    }
}

impl From<&Phase> for SessionPhase {
    fn from(phase: &Phase) -> Self {
        match phase {
            Phase::Open => Self::Open,
            Phase::PeerDrains => Self::PeerDrains,
            Phase::Closing(_) | Phase::Farewell(_) => Self::Closing,
            Phase::Closed(_) => Self::Closed,
        }
    }
}
