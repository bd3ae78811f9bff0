//! The whole of a service as somebody who operates it sees it: at one moment, and without stopping
//! anything of it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use moorline_buffers::PoolStats;
use moorline_protocol::{CloseReason, Kind};
use moorline_session::{Counters, SessionRef, SessionSnapshot};
use serde::{Deserialize, Serialize};
use tokio::task::AbortHandle;

use crate::handler_times::Histogram;
use crate::limits::ENDS_KEPT_MAX;
use crate::service::{Inner, Service};

/// What [`Service::snapshot`] returns. Sessions go on while it is taken, so its parts are true each
/// by itself, a few microseconds apart. It can be written and read by serde: as JSON it is a page for
/// people, as a message it is what another process may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The service itself.
    pub service: ServiceSnapshot,
    /// Its open sessions, by id.
    pub sessions: Vec<SessionSnapshot>,
    /// Sessions that ended last, the youngest first, 16 at most.
    pub ended: Vec<EndedSession>,
    /// Its pools: receive buffers, then send blocks.
    pub pools: Vec<PoolSnapshot>,
    /// The message types of this process, by name.
    pub dictionary: Vec<TypeSnapshot>,
    /// What went through all its sessions, those that have ended too.
    pub counters: Counters,
}

/// A service, without what belongs to its sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServiceSnapshot {
    /// Its public key, if it has an identity.
    pub key: Option<String>,
    /// What software it says it is.
    pub agent: String,
    /// Since it was built, in milliseconds.
    pub uptime_ms: u64,
    /// Where it listens.
    pub listeners: Vec<ListenerSnapshot>,
    /// Sessions and handshakes on each of its own threads; empty where it has none.
    pub shard_loads: Vec<usize>,
    /// Sessions that have been opened, ever.
    pub sessions_opened: u64,
    /// Whether it has been told to stop.
    pub stopped: bool,
    /// Limits in force.
    pub limits: LimitsSnapshot,
}

/// One address where a service listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListenerSnapshot {
    /// As clients need it.
    pub url: String,
    /// What is spoken there.
    pub protocol: String,
}

/// Limits in force. Times are in milliseconds, `None` is never; sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the knob of the builder with its name")]
#[non_exhaustive]
pub struct LimitsSnapshot {
    pub message_max: u64,
    pub initiation_window: u64,
    pub stream_window: u64,
    pub in_flight_max: u32,
    pub streams_max: u32,
    pub record_log2: u8,
    pub outbox_bytes: usize,
    pub sessions_max: usize,
    pub timeout_ms: Option<u64>,
    pub heartbeat_ms: Option<u64>,
    pub keep_alive_ms: Option<u64>,
    pub dead_after_ms: u64,
    pub idle_timeout_ms: Option<u64>,
    pub handshake_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    pub close_wait_ms: u64,
    pub drain_deadline_ms: u64,
    pub connection_age_ms: Option<u64>,
}

/// A session that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndedSession {
    /// The id it had.
    pub id: u32,
    /// Address of the peer.
    pub address: String,
    /// Protocol it spoke.
    pub protocol: String,
    /// Why it ended.
    pub reason: String,
}

/// A pool of memory; see [`PoolStats`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PoolSnapshot {
    /// Its name.
    pub name: String,
    /// Blocks ever taken from the allocator.
    pub allocated: u64,
    /// Blocks held by somebody.
    pub in_use: usize,
    /// Their bytes.
    pub in_use_bytes: usize,
    /// Blocks that wait for their next use.
    pub free: usize,
    /// Their bytes.
    pub free_bytes: usize,
    /// Most bytes ever in use at once.
    pub high_water: usize,
    /// Requests refused because of a limit.
    pub refused: u64,
}

/// A message type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TypeSnapshot {
    /// Its name.
    pub name: String,
    /// What the service does with it.
    pub handled: Handled,
    /// Posts and requests of the type whose handlers have run to their ends, up to about a second ago;
    /// 0 where nobody measures (knob: `handler_times`).
    pub calls: u64,
    /// Within how many microseconds a half of them were done, from the call of the handler on. At most a
    /// quarter too large.
    pub p50_us: Option<u64>,
    /// The same for 95 of 100.
    pub p95_us: Option<u64>,
    /// The same for 99 of 100.
    pub p99_us: Option<u64>,
}

/// What a service does with messages of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Handled {
    /// Nothing, unless there is a default handler.
    No,
    /// It takes them as posts.
    Post,
    /// It answers them.
    Request,
    /// They open streams.
    Stream,
}

impl Service {
    /// The state of the service and of all that belongs to it. Each session is looked at under the
    /// short lock that its senders take as well; nobody is stopped, and who never asks pays nothing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let mut sessions: Vec<_> =
            self.sessions().iter().map(|session| session.snapshot(now)).collect();
        sessions.sort_by_key(|session| session.id);
        let counters = sessions.iter().map(|session| session.counters).collect();
        Snapshot { sessions, ..self.summarize(now, counters) }
    }

    /// The same without the sessions, though their counters are in the sum.
    pub(crate) fn summary(&self) -> Snapshot {
        let counters = self.sessions().iter().map(SessionRef::counters).collect();
        Snapshot { ended: Vec::new(), ..self.summarize(Instant::now(), counters) }
    }

    fn summarize(&self, now: Instant, of_sessions: Vec<Counters>) -> Snapshot {
        let inner = &*self.inner;
        let (opened, mut counters, ended) = {
            let record = inner.record.lock();
            (record.opened, record.counters, record.ended.iter().cloned().collect())
        };
        of_sessions.iter().for_each(|one| counters.add(one));
        Snapshot {
            service: inner.describe(now, opened),
            sessions: Vec::new(),
            ended,
            pools: self.pool_stats().iter().map(PoolSnapshot::from).collect(),
            dictionary: inner.dictionary(),
            counters,
        }
    }
}

impl Inner {
    /// What went through all sessions, those that have ended too. `open` is an empty list to work with.
    #[cfg(feature = "metrics")]
    pub(crate) fn totals(&self, open: &mut Vec<SessionRef>) -> Counters {
        let mut totals = self.record.lock().counters;
        self.hub.sessions().all_into(open);
        open.drain(..).for_each(|session| totals.add(&session.counters()));
        totals
    }

    fn describe(&self, now: Instant, sessions_opened: u64) -> ServiceSnapshot {
        let key = self.local.identity.as_ref().map(|identity| identity.public().to_string());
        ServiceSnapshot {
            key,
            agent: self.local.agent.clone(),
            uptime_ms: ms(now.saturating_duration_since(self.record.since)),
            listeners: self.record.listeners(),
            shard_loads: self.shards.loads(),
            sessions_opened,
            stopped: self.is_stopped(),
            limits: self.limits(),
        }
    }

    fn limits(&self) -> LimitsSnapshot {
        let (settings, patience) = (&self.local.settings, &self.patience);
        LimitsSnapshot {
            message_max: settings.message_max,
            initiation_window: settings.initiation_window,
            stream_window: settings.stream_window,
            in_flight_max: settings.in_flight_max,
            streams_max: settings.streams_max,
            record_log2: settings.record_log2,
            outbox_bytes: self.outbox_bytes,
            sessions_max: self.hub.sessions().limit(),
            timeout_ms: settings.timeout.map(ms),
            heartbeat_ms: settings.heartbeat.map(ms),
            keep_alive_ms: settings.keep_alive.map(ms),
            dead_after_ms: ms(settings.dead_after),
            idle_timeout_ms: settings.idle_timeout.map(ms),
            handshake_timeout_ms: ms(settings.handshake_timeout),
            connect_timeout_ms: ms(patience.connect),
            close_wait_ms: ms(patience.close),
            drain_deadline_ms: ms(patience.drain),
            connection_age_ms: patience.age.map(ms),
        }
    }

    fn dictionary(&self) -> Vec<TypeSnapshot> {
        let (registry, table) = (&self.local.registry, self.handlers.snapshot());
        let mut types: Vec<_> = registry
            .hashes(0)
            .into_iter()
            .filter_map(|hash| {
                let index = registry.find(hash)?;
                let kind = Kind::Known(index);
                let handled = if table.post(kind).is_some() {
                    Handled::Post
                } else if table.request(kind).is_some() {
                    Handled::Request
                } else if table.stream(kind).is_some() {
                    Handled::Stream
                } else {
                    Handled::No
                };
                let times = self.handler_times.as_ref().and_then(|all| all.of(index));
                let percentile = |percent| times.as_ref()?.percentile(percent);
                Some(TypeSnapshot {
                    name: registry.name_of(index)?.to_owned(),
                    handled,
                    calls: times.as_ref().map_or(0, Histogram::count),
                    p50_us: percentile(50),
                    p95_us: percentile(95),
                    p99_us: percentile(99),
                })
            })
            .collect();
        types.sort_by(|one, other| one.name.cmp(&other.name));
        types
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl From<&PoolStats> for PoolSnapshot {
    fn from(stats: &PoolStats) -> Self {
        Self {
            name: stats.name.to_owned(),
            allocated: stats.allocated,
            in_use: stats.in_use,
            in_use_bytes: stats.in_use_bytes,
            free: stats.free,
            free_bytes: stats.free_bytes,
            high_water: stats.high_water,
            refused: stats.refused,
        }
    }
}

/// What a service remembers for its snapshots: written when something opens or ends.
pub(crate) struct Record {
    since: Instant,
    listeners: Mutex<Vec<(ListenerSnapshot, Vec<AbortHandle>)>>,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    opened: u64,
    /// Of those that have ended.
    counters: Counters,
    ended: VecDeque<EndedSession>,
}

impl Record {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), listeners: Mutex::default(), sessions: Mutex::default() }
    }

    pub(crate) fn listens(&self, url: String, protocol: &str, tasks: &[AbortHandle]) {
        let listener = ListenerSnapshot { url, protocol: protocol.to_owned() };
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|(_, tasks)| is_at_work(tasks));
        listeners.push((listener, tasks.to_vec()));
    }

    fn listeners(&self) -> Vec<ListenerSnapshot> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let at_work = listeners.iter().filter(|(_, tasks)| is_at_work(tasks));
        at_work.map(|(listener, _)| listener.clone()).collect()
    }

    pub(crate) fn opened(&self) {
        self.lock().opened += 1;
    }

    /// To be told when it is no longer among the open ones.
    pub(crate) fn ended(&self, session: &SessionRef, reason: &CloseReason) {
        let ended = EndedSession {
            id: session.id().number(),
            address: session.address().to_owned(),
            protocol: session.protocol().to_owned(),
            reason: reason.to_string(),
        };
        let counters = session.counters();
        let mut sessions = self.lock();
        sessions.counters.add(&counters);
        sessions.ended.truncate(ENDS_KEPT_MAX - 1);
        sessions.ended.push_front(ended);
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_at_work(tasks: &[AbortHandle]) -> bool {
    tasks.iter().any(|task| !task.is_finished())
}
