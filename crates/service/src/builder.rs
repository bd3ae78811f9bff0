//! What a service is made of.

mod knobs;

use std::sync::Arc;
use std::time::Duration;

use moorline_buffers::{BlockPool, BlockPoolConfig, RecvPool, RecvPoolConfig};
use moorline_noise::{Provider, Suites};
use moorline_protocol::{
    Local, Message, MessageRegistry, PendingHandshakes, ProtocolFactory, ProtocolRegistry, Settings,
};
use moorline_session::{Flush, Hub};

pub(crate) use self::knobs::KNOBS;
use crate::config::{Config, Explained, check_together};
use crate::error::Result;
use crate::handler_times::HandlerTimes;
use crate::introspect;
use crate::keys::Identity;
use crate::known_peers::KnownPeers;
use crate::limits;
use crate::listen::at_least_one;
use crate::peers::Peers;
use crate::provider;
use crate::required::{Required, Wanted, wanted};
use crate::service::{Parts, Patience, Service};
use crate::shards::Shards;
use crate::transport::{Transport, TransportRegistry};

/// Collects what a [`Service`] needs. Everything has a default; the one for peers is nobody.
#[must_use = "a service is made by `build`"]
pub struct ServiceBuilder {
    identity: Option<Identity>,
    peers: Peers,
    known_peers: Option<KnownPeers>,
    realm: String,
    suites: Suites,
    provider: Option<Provider>,
    settings: Settings,
    registry: Option<MessageRegistry>,
    required: Vec<Wanted>,
    protocols: Vec<Arc<dyn ProtocolFactory>>,
    transports: TransportRegistry,
    agent: String,
    outbox_bytes: usize,
    flush: Flush,
    sessions_max: usize,
    patience: Patience,
    shards: usize,
    busy_poll: Option<Duration>,
    config: Config,
    introspect: Option<Box<str>>,
    handler_times: bool,
}

impl Default for ServiceBuilder {
    fn default() -> Self {
        Self {
            identity: None,
            peers: Peers::nobody(),
            known_peers: None,
            realm: String::new(),
            suites: Suites::default(),
            provider: None,
            settings: Settings::default(),
            registry: None,
            required: Vec::new(),
            protocols: Vec::new(),
            transports: TransportRegistry::default(),
            agent: concat!("moorline/", env!("CARGO_PKG_VERSION")).into(),
            outbox_bytes: moorline_session::limits::OUTBOX_BYTES_DEFAULT,
            flush: Flush::default(),
            sessions_max: moorline_session::limits::SESSIONS_MAX_DEFAULT,
            patience: Patience::default(),
            shards: 0,
            busy_poll: None,
            config: Config::default(),
            introspect: None,
            handler_times: false,
        }
    }
}

impl ServiceBuilder {
    /// Who we are. Needed by every protocol that verifies its peers.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Who gets in where we listen. Default: nobody.
    pub fn peers(mut self, peers: Peers) -> Self {
        self.peers = peers;
        self
    }

    /// Trust on first use for addresses without a key: the key that was trusted before counts, a
    /// new one is asked about. The listener must accept a suite of pattern XX for being asked.
    pub fn known_peers(mut self, known: KnownPeers) -> Self {
        self.known_peers = Some(known);
        self
    }

    /// Both sides must name the same realm, or they cannot speak. Default: empty.
    pub fn realm(mut self, realm: &str) -> Self {
        self.realm = realm.into();
        self
    }

    /// Which cipher suites are accepted and dialed.
    pub fn suites(mut self, suites: Suites) -> Self {
        self.suites = suites;
        self
    }

    /// Whose implementation of the cryptographic primitives is used. It makes no difference on the
    /// wire. Default: what a crate of the process offers, else pure Rust.
    pub fn provider(mut self, provider: Provider) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Limits the peer is told: largest message, windows, requests in flight, time for calls.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Time for calls that name none. Default 30 s; `None` waits for ever.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.timeout = timeout.into();
        self
    }

    /// Silence of a peer after which it is asked whether it is there, if a call, a stream or a post
    /// waits for it. Default 10 s; `None` never asks.
    pub fn heartbeat(mut self, silence: impl Into<Option<Duration>>) -> Self {
        self.settings.heartbeat = silence.into();
        self
    }

    /// The same for sessions at rest, each of which then has a timer: where something between the two
    /// forgets connections that are silent, or where an end has to be known at once. Default `None`.
    pub fn keep_alive(mut self, silence: impl Into<Option<Duration>>) -> Self {
        self.settings.keep_alive = silence.into();
        self
    }

    /// How long a peer that was asked may say nothing at all, before its session is closed with
    /// HEARTBEAT. Default 20 s.
    pub fn dead_after(mut self, time: Duration) -> Self {
        self.settings.dead_after = time;
        self
    }

    /// Closes a session, in order, that had no call, no stream and no message for so long. Default
    /// `None`: never.
    pub fn idle_timeout(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.settings.idle_timeout = time.into();
        self
    }

    /// When what sessions queue leaves; each may say otherwise with
    /// [`set_flush`](moorline_session::SessionRef::set_flush). Default [`Flush::Auto`].
    pub fn flush(mut self, flush: Flush) -> Self {
        self.flush = flush;
        self
    }

    /// Largest message taken, in bytes. Default 16 MiB.
    pub fn message_max(mut self, bytes: u64) -> Self {
        self.settings.message_max = bytes;
        self
    }

    /// From the first byte to an open session. Default 5 s.
    pub fn handshake_timeout(mut self, time: Duration) -> Self {
        self.settings.handshake_timeout = time;
        self
    }

    /// Bytes a session queues before `send` says `Full`. Default 32 MiB.
    pub fn outbox_bytes(mut self, bytes: usize) -> Self {
        self.outbox_bytes = bytes;
        self
    }

    /// Sessions at once, and at least one. A peer that comes in addition is told OVERLOADED; a dial of
    /// ours fails. Default 2^20; a listener may have a limit of its own, see
    /// [`Service::listen`].
    pub fn sessions_max(mut self, sessions: usize) -> Self {
        self.sessions_max = sessions;
        self
    }

    /// How long dialing may take before the handshake begins. Default 10 s.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.patience.connect = time;
        self
    }

    /// How long closing a session may take: what is queued goes out, the peer answers. Default 5 s.
    pub fn close_wait(mut self, time: Duration) -> Self {
        self.patience.close = time;
        self
    }

    /// How long `shutdown` lets running work finish. Default 10 s.
    pub fn drain_deadline(mut self, time: Duration) -> Self {
        self.patience.drain = time;
        self
    }

    /// Accepted sessions older than this, give or take a tenth, are drained, so that their peers come
    /// back: to servers that were added since, or with the rights they have by then. What is not done
    /// within `drain_deadline` is cut short. Default `None`: never.
    pub fn connection_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.patience.age = age.into();
        self
    }

    /// Threads of the service's own, each with a runtime of one thread: a session lives on one of them
    /// with its handlers, where the fewest are. As many as there are cores to spare is what serves the
    /// most. Default 0: everything runs in the runtime of whoever calls.
    pub fn shards(mut self, threads: usize) -> Self {
        self.shards = threads;
        self
    }

    /// A session that was just busy looks at its socket without pause for so long before it sleeps, so
    /// that what comes within that time need not wake a core first. For peers that have a core each:
    /// where both ends share one, each waits for the other to stop looking. Default `None`.
    pub fn busy_poll(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.busy_poll = time.into();
        self
    }

    /// Message types of this service instead of all that the process has registered.
    pub fn registry(mut self, registry: MessageRegistry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Adds a protocol to those that are registered, or puts another in the place of one of the same
    /// name: that is how a protocol gets settings of its own.
    pub fn protocol(mut self, factory: Arc<dyn ProtocolFactory>) -> Self {
        self.protocols.push(factory);
        self
    }

    /// Adds a transport, or puts another in the place of one of the same scheme.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transports.set(transport);
        self
    }

    /// A peer must handle messages of type `M`, or there is no session with it, and both sides are
    /// told which are missing. May be said of any number of types. Peers with a default handler do
    /// not say what they handle, and are believed.
    pub fn require<M: Message>(mut self) -> Self {
        self.required.push(wanted::<M>());
        self
    }

    /// What software we say we are, at most 64 bytes.
    pub fn agent(mut self, agent: &str) -> Self {
        self.agent = agent.into();
        self
    }

    /// Values from outside the program: a file, the environment, the command line. They count for more
    /// than what is said here, whether before or after this call.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Answers [`Introspect`](crate::Introspect) to peers whose line in our peer list has `role=` this:
    /// the whole state of the service, with the addresses of all its peers. Default: nobody is answered.
    pub fn introspect(mut self, role: &str) -> Self {
        self.introspect = Some(role.into());
        self
    }

    /// Measures how long handlers of posts and requests take, by message type, for
    /// [`snapshot`](Service::snapshot). A message then costs two looks at the clock. Default: not.
    pub fn handler_times(mut self, measure: bool) -> Self {
        self.handler_times = measure;
        self
    }

    /// Each knob with the value that is in force, its default, and who set it.
    #[must_use = "it only tells"]
    pub fn explain(&self) -> Vec<Explained> {
        self.config.explain(self)
    }

    /// Whether the values that are in force can be, each and together.
    ///
    /// # Errors
    /// Which cannot, and who set it.
    pub fn check(&self) -> Result<()> {
        let mut probe = Self::default();
        let explained = self.explain();
        check_together(&explained)?;
        Config::write_all(&explained, &mut probe);
        Ok(probe.settings.check()?)
    }

    /// Makes the service. It does nothing until told to accept or to connect.
    ///
    /// # Errors
    /// A setting out of bounds or two that contradict each other, two message types that cannot be told apart, two protocols of one
    /// name, two offers of a provider and none chosen, or no randomness.
    pub fn build(mut self) -> Result<Service> {
        self.check()?;
        std::mem::take(&mut self.config).apply(&mut self);
        self.settings.check()?;
        at_least_one("sessions_max", Some(self.sessions_max), usize::MAX)?;
        let registry = self.registry.map_or_else(MessageRegistry::process, Ok)?;
        let required = Required::of(&self.required, &registry)?;
        let mut protocols = ProtocolRegistry::registered()?;
        for factory in self.protocols {
            protocols.put(factory);
        }
        let provider = self.provider.map_or_else(provider::offered, Ok)?;
        let mut boot_id = [0; 8];
        provider.rng.fill(&mut boot_id).map_err(|_| std::io::Error::other("no randomness"))?;
        tracing::debug!(types = registry.len(), protocols = ?protocols, ?provider, "service built");
        let local = Local {
            provider,
            identity: self.identity.map(|identity| Arc::new(identity.inner.on(&provider))),
            suites: self.suites,
            realm: self.realm,
            registry,
            settings: self.settings,
            recv: RecvPool::new(wide_enough(self.settings.message_max)),
            blocks: BlockPool::new(BlockPoolConfig::messages()),
            boot_id,
            pending: PendingHandshakes::default(),
            agent: self.agent,
        };
        if self.shards > limits::SHARDS_MAX {
            let text = format!("{} shards, the limit is {}", self.shards, limits::SHARDS_MAX);
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, text).into());
        }
        let hub = Hub::new(self.sessions_max, self.settings.timeout);
        hub.set_flush_default(self.flush);
        hub.set_key_source(move |key| provider.rng.fill(key).is_ok());
        let introspect = self.introspect;
        let service = Service::assemble(Parts {
            local,
            required,
            protocols,
            transports: self.transports,
            peers: self.peers,
            known_peers: self.known_peers,
            hub,
            outbox_bytes: self.outbox_bytes,
            patience: self.patience.bounded(),
            shards: Shards::start(self.shards)?,
            busy_poll: self.busy_poll,
            handler_times: self.handler_times.then(HandlerTimes::default),
        });
        if let Some(role) = introspect {
            introspect::answer(&service, role);
        }
        Ok(service)
    }
}

/// A message is put together in one buffer, and may be read into one with what stands around it.
fn wide_enough(message_max: u64) -> RecvPoolConfig {
    let default = RecvPoolConfig::default();
    let message_max = usize::try_from(message_max).unwrap_or(usize::MAX);
    let needed = message_max.saturating_add(limits::AROUND_MESSAGE);
    RecvPoolConfig { buffer_bytes_max: default.buffer_bytes_max.max(needed), ..default }
}

impl Patience {
    /// "For ever" may be said in many ways, and none of them is to overflow a clock.
    fn bounded(self) -> Self {
        let Self { connect, close, drain, age } = self;
        let bound = |time: Duration| time.min(limits::TIME_MAX);
        Self {
            connect: bound(connect),
            close: bound(close),
            drain: bound(drain),
            age: age.map(bound),
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: limits::CONNECT_TIMEOUT_DEFAULT,
            close: limits::CLOSE_WAIT_DEFAULT,
            drain: limits::DRAIN_DEADLINE_DEFAULT,
            age: None,
        }
    }
}
