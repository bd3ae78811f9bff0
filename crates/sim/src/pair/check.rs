//! What must hold, after each step and at the end.

use moorline_protocol::limits::{FRAGMENTED_MAX, READ_CAPACITY};
use moorline_session::limits::{ANSWERS_BYTES_MAX, HELD_MESSAGES};

use super::Pair;
use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::limits::{DRAIN_MAX, WIRE_HIGH_WATER};
use crate::side::Side;

/// What a simulation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Turns and polls.
    pub steps: u64,
    /// Lines of the trace.
    pub lines: u64,
    /// Connections that were made.
    pub connections: u32,
    /// As [`Pair::trace_hash`].
    pub trace_hash: u64,
}

impl Pair {
    /// The faults stop: networks heal, kernels take bytes again. Everything that was accepted must
    /// leave, all sessions are closed in order, and no memory may be left in anybody's hands.
    ///
    /// # Panics
    /// If something does not leave or end in time, or memory is not given back.
    pub fn finish(&mut self) -> Summary {
        if self.parted != [false; 2] {
            self.heal();
        }
        for side in Side::BOTH {
            if self.stalled[side.index()] {
                self.unstall(side);
            }
        }
        self.drain();
        self.close_all();
        Summary {
            steps: self.steps,
            lines: self.world.trace.count(),
            connections: self.made,
            trace_hash: self.trace_hash(),
        }
    }

    fn drain(&mut self) {
        let until = self.world.clock.passed() + DRAIN_MAX;
        self.settle();
        for endpoint in &self.endpoints {
            for session in endpoint.sessions() {
                assert_eq!(
                    session.queued_bytes(),
                    0,
                    "side {}: bytes that nobody holds up do not leave",
                    endpoint.side.name()
                );
            }
        }
        assert!(self.world.clock.passed() <= until, "it took more than {DRAIN_MAX:?} to settle");
    }

    fn close_all(&mut self) {
        for endpoint in &self.endpoints {
            for session in endpoint.sessions() {
                session.close();
            }
        }
        self.run_for(2 * crate::limits::CLOSE_WAIT);
        for endpoint in &self.endpoints {
            let left = endpoint.sessions().len();
            assert_eq!(left, 0, "side {}: sessions did not close", endpoint.side.name());
        }
        for side in Side::BOTH {
            self.world.tasks.drop_all(side);
        }
        self.connections.clear();
        self.endpoints.iter().for_each(check_balance);
    }

    /// After each step.
    pub(super) fn check(&mut self) {
        for connection in &self.connections {
            for endpoint in &self.endpoints {
                check_connection(connection, endpoint);
            }
        }
        // Callers may still hold answers of sessions that are over.
        let connections = usize::try_from(self.made).unwrap_or(usize::MAX);
        self.endpoints.iter().for_each(|endpoint| check_memory(endpoint, connections));
        let Self { rules, endpoints, .. } = self;
        for (name, rule) in rules {
            if let Err(what) = rule(endpoints) {
                panic!("the rule \"{name}\" is broken: {what}");
            }
        }
    }
}

/// What one session may have in hand: its outbox, one message above that, what was promised in
/// answers, what is sealed; and the link what it holds.
fn check_connection(connection: &Connection, endpoint: &Endpoint) {
    let (side, at) = (endpoint.side.name(), endpoint.side.index());
    let Some(look) = connection.ends[at].as_ref().and_then(|end| end.look()) else { return };
    let (queued, queued_max) = (look.core.session().queued_bytes(), queued_max(endpoint));
    assert!(queued <= queued_max, "side {side} queues {queued} bytes, the limit is {queued_max}");
    assert!(look.wire <= SEALED_MAX, "side {side} has {} bytes sealed", look.wire);
}

/// One block more than the mark may be sealed.
const SEALED_MAX: usize = WIRE_HIGH_WATER + 64 * 1024;

fn queued_max(endpoint: &Endpoint) -> usize {
    let messages = message_max(endpoint).saturating_mul(2);
    let calls = endpoint.outbox_bytes.saturating_add(messages);
    calls.saturating_add(ANSWERS_BYTES_MAX).saturating_add(streams_max(endpoint))
}

/// Each stream may have one message above its window in hand.
fn streams_max(endpoint: &Endpoint) -> usize {
    let window = usize::try_from(endpoint.settings.stream_window).unwrap_or(usize::MAX);
    let streams = usize::try_from(endpoint.settings.streams_max).unwrap_or(usize::MAX);
    window.saturating_add(message_max(endpoint)).saturating_mul(streams.saturating_mul(2))
}

fn message_max(endpoint: &Endpoint) -> usize {
    usize::try_from(endpoint.settings.message_max).unwrap_or(usize::MAX)
}

/// What all sessions of a process may hold: blocks a quarter full at worst, since a body above
/// 4 KiB begins one of its own; buffers of up to twice what is in them, for all messages that may
/// be incomplete at once and all answers that may wait for their callers.
fn check_memory(endpoint: &Endpoint, connections: usize) {
    let Some([blocks, recv]) = endpoint.pools() else { return };
    let sent = queued_max(endpoint).saturating_add(SEALED_MAX).saturating_mul(4);
    let messages = 2 * FRAGMENTED_MAX + usize::try_from(HELD_MESSAGES).unwrap_or(usize::MAX);
    let received = message_max(endpoint).saturating_mul(messages).saturating_add(READ_CAPACITY);
    let received = received.saturating_add(streams_max(endpoint)).saturating_mul(2);
    for (pool, each) in [(blocks, sent), (recv, received)] {
        let limit = each.saturating_mul(connections);
        let (side, name, held) = (endpoint.side.name(), pool.name, pool.in_use_bytes);
        assert!(
            held <= limit,
            "side {side} holds {held} bytes of \"{name}\", the limit is {limit}"
        );
    }
}

/// Whoever has taken memory has given it back.
fn check_balance(endpoint: &Endpoint) {
    for pool in endpoint.pools().into_iter().flatten() {
        let (side, name) = (endpoint.side.name(), pool.name);
        assert_eq!(
            pool.in_use, 0,
            "side {side}: blocks of the pool \"{name}\" were not given back"
        );
    }
}
