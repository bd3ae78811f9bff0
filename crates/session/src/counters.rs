//! What went through a session, counted where it passes: a received frame by the driver alone, a sent
//! one under the lock it takes anyway. A message costs an addition, and no atomic of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use moorline_protocol::Frame;
use serde::{Deserialize, Serialize};

/// What came of received frames, and what was sent, since the session opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Counters {
    /// Posts received.
    pub posts: u64,
    /// Requests received.
    pub requests: u64,
    /// Good answers received.
    pub responses: u64,
    /// Bad answers received.
    pub errors: u64,
    /// Posts that reached no handler.
    pub posts_dropped: u64,
    /// Requests answered by the framework with an error.
    pub requests_refused: u64,
    /// Streams the peer opened.
    pub streams: u64,
    /// Streams refused by the framework.
    pub streams_refused: u64,
    /// Messages received on streams, whole ones.
    pub stream_messages: u64,
    /// Ends of streams received, in order.
    pub stream_ends: u64,
    /// Messages received of topics this side is subscribed to.
    pub publications: u64,
    /// Cancels received.
    pub cancels: u64,
    /// Signs of life received: pings, and what a protocol has instead.
    pub heartbeats: u64,
    /// Bytes of received messages that were larger than this side takes.
    pub refused_bytes: u64,
    /// Answers that came when their callers had given up.
    pub late_answers: u64,
    /// Bytes read since the handshake ended, and what was left then of its last record.
    pub bytes: u64,
    /// Reads they took.
    pub reads: u64,
    /// What this side said.
    pub sent: Sent,
}

/// What was accepted for sending since the session opened. All of it has left once the queues are
/// empty, but for streams that were reset and what a hasty end took back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Sent {
    /// Posts.
    pub posts: u64,
    /// Requests.
    pub requests: u64,
    /// Good answers.
    pub responses: u64,
    /// Bad answers, those of the framework too.
    pub errors: u64,
    /// Streams this side opened.
    pub streams: u64,
    /// Messages on streams.
    pub stream_messages: u64,
    /// Ends of streams, in order.
    pub stream_ends: u64,
    /// Messages for subscriptions of the peer's.
    pub publications: u64,
    /// Bytes sealed for the wire, after the handshake.
    pub bytes: u64,
    /// Writes they took.
    pub writes: u64,
}

/// How many numbers [`Counters::statistics`] has.
pub const STATISTICS: usize = 20;

impl Counters {
    /// The same under the names that gofast has for its statistics, in its order, whichever protocol was
    /// spoken: `n_tx` counts messages, `n_flushes` writes, `n_dropped` bytes of messages that were too
    /// large, and `n_mdrops` posts that reached no handler.
    #[must_use]
    pub const fn statistics(&self) -> [(&'static str, u64); STATISTICS] {
        let sent = &self.sent;
        [
            ("n_tx", sent.messages()),
            ("n_flushes", sent.writes),
            ("n_txbyte", sent.bytes),
            ("n_txpost", sent.posts),
            ("n_txreq", sent.requests),
            ("n_txresp", sent.responses + sent.errors),
            ("n_txstart", sent.streams),
            ("n_txstream", sent.stream_messages),
            ("n_txfin", sent.stream_ends),
            ("n_rx", self.messages()),
            ("n_rxbyte", self.bytes),
            ("n_rxpost", self.posts),
            ("n_rxreq", self.requests),
            ("n_rxresp", self.responses + self.errors),
            ("n_rxstart", self.streams),
            ("n_rxstream", self.stream_messages),
            ("n_rxfin", self.stream_ends),
            ("n_rxbeats", self.heartbeats),
            ("n_dropped", self.refused_bytes),
            ("n_mdrops", self.posts_dropped),
        ]
    }

    /// Adds what another session counted.
    pub fn add(&mut self, other: &Self) {
        let Self { posts, requests, responses, errors, posts_dropped, requests_refused, .. } =
            other;
        self.posts += posts;
        self.requests += requests;
        self.responses += responses;
        self.errors += errors;
        self.posts_dropped += posts_dropped;
        self.requests_refused += requests_refused;
        self.streams += other.streams;
        self.streams_refused += other.streams_refused;
        self.stream_messages += other.stream_messages;
        self.stream_ends += other.stream_ends;
        self.publications += other.publications;
        self.cancels += other.cancels;
        self.heartbeats += other.heartbeats;
        self.refused_bytes += other.refused_bytes;
        self.late_answers += other.late_answers;
        self.bytes += other.bytes;
        self.reads += other.reads;
        self.sent.add(&other.sent);
    }

    /// Messages received, of every kind.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        let calls = self.posts + self.requests + self.responses + self.errors;
        calls + self.streams + self.stream_messages + self.stream_ends + self.publications
    }
}

impl Sent {
    /// Adds what another session counted.
    pub fn add(&mut self, other: &Self) {
        self.posts += other.posts;
        self.requests += other.requests;
        self.responses += other.responses;
        self.errors += other.errors;
        self.streams += other.streams;
        self.stream_messages += other.stream_messages;
        self.stream_ends += other.stream_ends;
        self.publications += other.publications;
        self.bytes += other.bytes;
        self.writes += other.writes;
    }

    /// Messages sent, of every kind.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        let calls = self.posts + self.requests + self.responses + self.errors;
        calls + self.streams + self.stream_messages + self.stream_ends + self.publications
    }

    /// An answer was made.
    pub(crate) const fn answer(&mut self, frame: &Frame<'_>) {
        match frame {
            Frame::Response { .. } => self.responses += 1,
            _ => self.errors += 1,
        }
    }
}

/// What has gone to the wire: told by whoever writes, who is one at a time, once a write.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    bytes: AtomicU64,
    writes: AtomicU64,
}

impl Wire {
    /// The totals so far. They order nothing, and nobody else changes them meanwhile.
    pub(crate) fn set(&self, bytes: u64, writes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.writes.store(writes, Ordering::Relaxed);
    }

    pub(crate) fn add_to(&self, counters: &mut Counters) {
        counters.sent.bytes = self.bytes.load(Ordering::Relaxed);
        counters.sent.writes = self.writes.load(Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_forgets_no_counter() {
        // A new field does not compile until it stands here, and one that `add` leaves out stays 1.
        let one = Counters {
            posts: 1,
            requests: 1,
            responses: 1,
            errors: 1,
            posts_dropped: 1,
            requests_refused: 1,
            streams: 1,
            streams_refused: 1,
            stream_messages: 1,
            stream_ends: 1,
            publications: 1,
            cancels: 1,
            heartbeats: 1,
            refused_bytes: 1,
            late_answers: 1,
            bytes: 1,
            reads: 1,
            sent: Sent {
                posts: 1,
                requests: 1,
                responses: 1,
                errors: 1,
                streams: 1,
                stream_messages: 1,
                stream_ends: 1,
                publications: 1,
                bytes: 1,
                writes: 1,
            },
        };
        let mut sum = one;
        sum.add(&one);
        assert!(!format!("{sum:?}").contains(": 1"), "{sum:?}");
        assert_eq!((one.messages(), one.sent.messages()), (8, 8));
    }
}
