//! What an application configures, hangs its handlers on, and starts.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moorline_buffers::PoolStats;
use moorline_noise::{Provider, PublicKey};
use moorline_protocol::{
    ErrorCode, Local, Message, MessageFamily, ProtocolFactory, ProtocolRegistry, RegistryError,
    Request, StreamMessage,
};
use moorline_session::{
    CloseSubscription, Failure, Hub, SessionEnd, SessionId, SessionRef, Signals, Stream,
    Subscription, SystemEvent, Topic,
};
use serde::de::DeserializeOwned;
use tokio::runtime;

use crate::acceptor::Acceptor;
use crate::address::Address;
use crate::builder::ServiceBuilder;
use crate::byte_stream::ByteStream;
use crate::client::Clients;
use crate::connector;
use crate::context::Context;
use crate::doorway::Doorway;
use crate::drain::{DrainReport, LeftBehind, StopSignals};
use crate::error::{Error, Result};
use crate::handler::{Handle, HandleNow, OnPost, PostHandler, RequestHandler};
use crate::handler_times::HandlerTimes;
use crate::handlers::{Handlers, Unhandled};
use crate::housekeeping::keep_house;
use crate::known_peers::KnownPeers;
use crate::limits::CUT_WAIT;
use crate::listen::Listen;
use crate::peers::Peers;
use crate::required::Required;
use crate::revocation::Guests;
use crate::shards::Shards;
use crate::snapshot::Record;
use crate::stream_handler::{HandleRaw, HandleStream, StreamHandler};
use crate::tasks::Tasks;
use crate::transport::{Transport, TransportRegistry};

/// Sessions over any number of listeners and connections, with one set of handlers. Cloning it is
/// cheap, all clones are the same service.
#[derive(Clone)]
pub struct Service {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) local: Arc<Local>,
    pub(crate) required: Required,
    pub(crate) protocols: ProtocolRegistry,
    pub(crate) transports: TransportRegistry,
    pub(crate) peers: Peers,
    pub(crate) known_peers: Option<KnownPeers>,
    pub(crate) guests: Guests,
    /// Whether the pools are looked after: from the first listener or connection on.
    kept: AtomicBool,
    /// Whether the peer list is being followed: from the first listener on.
    pub(crate) followed: AtomicBool,
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) doorway: Arc<Doorway>,
    pub(crate) outbox_bytes: usize,
    pub(crate) patience: Patience,
    pub(crate) shards: Shards,
    pub(crate) busy_poll: Option<Duration>,
    /// None: nobody measures.
    pub(crate) handler_times: Option<HandlerTimes>,
    /// Tasks that are ended at once: accept loops and handshakes.
    pub(crate) openers: Arc<Tasks>,
    /// Tasks that are drained: drivers of open sessions.
    pub(crate) drivers: Arc<Tasks>,
    /// What connects again and again.
    pub(crate) clients: Clients,
    /// What sessions that have ended had not done.
    left_behind: Mutex<LeftBehind>,
    pub(crate) record: Record,
    #[cfg(feature = "metrics")]
    pub(crate) told: crate::metrics::Told,
    stopped: AtomicBool,
    /// The first mistake among the handlers; said when the service is started.
    mistake: Mutex<Option<Mistake>>,
}

#[derive(Clone)]
enum Mistake {
    Duplicate(&'static str),
    Registry(RegistryError),
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) connect: Duration,
    pub(crate) close: Duration,
    pub(crate) drain: Duration,
    /// None: a connection may grow as old as it likes.
    pub(crate) age: Option<Duration>,
}

/// Where to, over what, and in which protocol.
pub(crate) type Way = (Address, Arc<dyn Transport>, Arc<dyn ProtocolFactory>);

/// What a builder hands over.
pub(crate) struct Parts {
    pub(crate) local: Local,
    pub(crate) required: Required,
    pub(crate) protocols: ProtocolRegistry,
    pub(crate) transports: TransportRegistry,
    pub(crate) peers: Peers,
    pub(crate) known_peers: Option<KnownPeers>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) outbox_bytes: usize,
    pub(crate) patience: Patience,
    pub(crate) shards: Shards,
    pub(crate) busy_poll: Option<Duration>,
    pub(crate) handler_times: Option<HandlerTimes>,
}

impl Service {
    /// Starts to describe a service.
    pub fn builder() -> ServiceBuilder {
        ServiceBuilder::default()
    }

    pub(crate) fn assemble(parts: Parts) -> Self {
        let Parts { local, required, protocols, transports, peers, known_peers, hub, .. } = parts;
        let Parts { outbox_bytes, patience, shards, busy_poll, handler_times, .. } = parts;
        let inner = Inner {
            local: Arc::new(local),
            required,
            protocols,
            transports,
            peers,
            known_peers,
            guests: Guests::default(),
            kept: AtomicBool::new(false),
            followed: AtomicBool::new(false),
            handlers: Arc::default(),
            hub,
            doorway: Arc::default(),
            outbox_bytes,
            patience,
            shards,
            busy_poll,
            handler_times,
            openers: Arc::default(),
            drivers: Arc::default(),
            clients: Clients::default(),
            left_behind: Mutex::default(),
            record: Record::new(),
            #[cfg(feature = "metrics")]
            told: crate::metrics::Told::default(),
            stopped: AtomicBool::new(false),
            mistake: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    // ---- handlers --------------------------------------------------------------------------

    /// Takes posts of type `M`. Runs inline: while it runs its session does nothing else, so it
    /// must not block.
    ///
    /// A second handler for the same message is a mistake that `accept` and `connect` report.
    pub fn on<M, F>(&self, handler: F)
    where
        M: Message + DeserializeOwned + MessageFamily + for<'a> MessageFamily<View<'a> = M>,
        F: Fn(&Context, M) + Send + Sync + 'static,
    {
        self.on_view::<M, _>(handler);
    }

    /// As [`on`](Self::on), with a message that borrows from the receive buffer: name the type with
    /// any lifetime, `svc.on_view::<Chat, _>(|cx, chat| ..)`.
    pub fn on_view<M, F>(&self, handler: F)
    where
        M: MessageFamily,
        F: for<'a> Fn(&Context, M::View<'a>) + Send + Sync + 'static,
    {
        let handler: Arc<dyn PostHandler> = Arc::new(OnPost::<M, F>::new(handler));
        self.register::<M::View<'static>>(|handlers, index| handlers.add_post(index, handler));
    }

    /// Answers requests of type `Q`. It may wait for as long as the caller does: other messages go
    /// on meanwhile. When the caller gives up, its future is dropped where it waits. It must wait by
    /// `await` and never block: blocking work belongs into `tokio::task::spawn_blocking`.
    pub fn handle<Q, F, Fut>(&self, handler: F)
    where
        Q: Request + DeserializeOwned + 'static,
        F: Fn(Context, Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Q::Response, Failure<Q::Error>>> + Send + 'static,
    {
        self.handle_for(None, handler);
    }

    /// As [`handle`](Self::handle), for a handler that gets no more than `time`, even if its caller
    /// allows more. When it is over the handler is dropped and its caller hears of DEADLINE, with that
    /// time.
    pub fn handle_within<Q, F, Fut>(&self, time: Duration, handler: F)
    where
        Q: Request + DeserializeOwned + 'static,
        F: Fn(Context, Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Q::Response, Failure<Q::Error>>> + Send + 'static,
    {
        self.handle_for(Some(time), handler);
    }

    fn handle_for<Q, F, Fut>(&self, time: Option<Duration>, handler: F)
    where
        Q: Request + DeserializeOwned + 'static,
        F: Fn(Context, Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Q::Response, Failure<Q::Error>>> + Send + 'static,
    {
        let handler: Arc<dyn RequestHandler> = Arc::new(Handle::<Q, F, Fut>::new(handler, time));
        self.register::<Q>(|handlers, index| handlers.add_request(index, handler));
    }

    /// Answers requests of type `Q` inline: the fastest path, for what neither blocks nor waits.
    pub fn handle_now<Q, F>(&self, handler: F)
    where
        Q: Request + DeserializeOwned + 'static,
        F: Fn(&Context, Q) -> Result<Q::Response, Failure<Q::Error>> + Send + Sync + 'static,
    {
        let handler: Arc<dyn RequestHandler> = Arc::new(HandleNow::<Q, F>::new(handler));
        self.register::<Q>(|handlers, index| handlers.add_request(index, handler));
    }

    /// As [`handle`](Self::handle), for a handler that blocks or computes for long: it runs on a thread of
    /// its own, of those that the runtime keeps for such work. It cannot be stopped: when its caller
    /// gives up it runs to its end, for nobody.
    pub fn handle_blocking<Q, F>(&self, handler: F)
    where
        Q: Request + DeserializeOwned + Send + 'static,
        F: Fn(&Context, Q) -> Result<Q::Response, Failure<Q::Error>> + Send + Sync + 'static,
    {
        let handler = Arc::new(handler);
        self.handle(move |cx, request: Q| {
            let handler = Arc::clone(&handler);
            async move {
                let work = tokio::task::spawn_blocking(move || handler(&cx, request)).await;
                work.unwrap_or_else(|error| match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_stopped) => Err(Failure::fault(
                        ErrorCode::INTERNAL,
                        "the runtime has ended before the handler ran",
                    )),
                })
            }
        });
    }

    /// Takes streams that a message of type `S` opens: `handler` gets the message and the stream, in a
    /// task of its own. To turn a stream down, it resets it with a code and a text.
    ///
    /// What it sends is `S::Down`, what it receives `S::Up`. A handler that ends without
    /// [`finish`](Stream::finish) has not sent everything: the peer sees an error. When the session
    /// ends its future is dropped where it waits.
    pub fn handle_stream<S, F, Fut>(&self, handler: F)
    where
        S: StreamMessage + DeserializeOwned + 'static,
        F: Fn(Context, S, Stream<S::Down, S::Up>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let handler: Arc<dyn StreamHandler> = Arc::new(HandleStream::<S, F>::new(handler));
        self.register::<S>(|handlers, index| handlers.add_stream(index, handler));
    }

    /// Takes streams of bytes that are opened under `name`, as [`handle_stream`](Self::handle_stream)
    /// takes typed ones.
    pub fn handle_raw<F, Fut>(&self, name: &'static str, handler: F)
    where
        F: Fn(Context, ByteStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        if !self.inner.handlers.add_raw(name, Arc::new(HandleRaw(handler))) {
            self.note(Mistake::Duplicate(name));
        }
    }

    /// Takes what no other handler takes. What it returns answers a request as an encoded value;
    /// `None` answers UNIMPLEMENTED. With it, the peer is not told what is handled.
    pub fn default_handler<F>(&self, handler: F)
    where
        F: Fn(&Context, &Unhandled<'_>) -> Option<Vec<u8>> + Send + Sync + 'static,
    {
        self.inner.handlers.set_default(Arc::new(handler));
        self.tell_sessions();
    }

    fn register<M: Message>(
        &self,
        add: impl FnOnce(&Handlers, moorline_protocol::MessageIndex) -> bool,
    ) {
        let mistake = match self.inner.local.registry.index_of::<M>() {
            Ok(index) if add(&self.inner.handlers, index) => return self.tell_sessions(),
            Ok(_) => Mistake::Duplicate(M::registration().name()),
            Err(error) => Mistake::Registry(error),
        };
        self.note(mistake);
    }

    fn note(&self, mistake: Mistake) {
        let mut first = self.inner.mistake.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(mistake);
    }

    /// Open sessions tell their peers what is handled now.
    fn tell_sessions(&self) {
        for session in self.inner.hub.sessions().all() {
            session.signal(Signals { handlers: true, ..Signals::default() });
        }
    }

    // ---- sessions --------------------------------------------------------------------------

    /// Listens at `url` (`tcp://host:port`, `uds://path`, `mem://name`; port 0 lets the system
    /// choose) for peers that speak `protocol`, until the acceptor is closed or the service is shut
    /// down.
    ///
    /// # Errors
    /// The address, the protocol or the handlers are not as they should be, or the system refuses.
    pub async fn accept(&self, url: &str, protocol: &str) -> Result<Acceptor> {
        self.listen(url, protocol).await
    }

    /// As [`accept`](Self::accept), for a listener with peers and limits of its own. A service may have
    /// any number of listeners: `svc.listen(url, protocol).peers(team).sessions_max(100).await`.
    pub fn listen(&self, url: &str, protocol: &str) -> Listen {
        Listen::new(self, url, protocol)
    }

    /// Dials `url` and opens a session. The key in the address is the one the peer must prove to
    /// have.
    ///
    /// # Errors
    /// The address, the protocol or the handlers are not as they should be; nobody is there; or who
    /// is there does not open a session, for the reason given.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the connection is given up.
    pub async fn connect(&self, url: &str, protocol: &str) -> Result<SessionRef> {
        let way = self.prepare(url, protocol)?;
        self.keep_house();
        connector::connect(Arc::clone(&self.inner), way).await
    }

    pub(crate) fn keep_house(&self) {
        if !self.inner.kept.swap(true, Ordering::AcqRel) {
            let house = keep_house(Arc::downgrade(&self.inner));
            self.inner.openers.spawn_on(&self.inner.home(), house);
        }
    }

    pub(crate) fn prepare(&self, url: &str, protocol: &str) -> Result<Way> {
        if self.inner.stopped.load(Ordering::Acquire) {
            return Err(Error::ShutDown);
        }
        let mistake = self.inner.mistake.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match mistake {
            Some(Mistake::Duplicate(name)) => return Err(Error::DuplicateHandler(name)),
            Some(Mistake::Registry(error)) => return Err(error.into()),
            None => {}
        }
        let address: Address = url.parse()?;
        let transports = &self.inner.transports;
        let transport = transports.find(&address.scheme).ok_or_else(|| Error::UnknownScheme {
            scheme: address.scheme.to_string(),
            known: transports.schemes().collect::<Vec<_>>().join(", "),
        })?;
        let factory = self.inner.protocols.find(protocol)?;
        Ok((address, Arc::clone(transport), Arc::clone(factory)))
    }

    /// The session of this id, if it is still open.
    #[must_use]
    pub fn acquire(&self, id: SessionId) -> Option<SessionRef> {
        self.inner.hub.acquire(id)
    }

    /// All open sessions, in no particular order.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionRef> {
        self.inner.hub.sessions().all()
    }

    /// Calls `hear` for each event of a topic: `svc.subscribe(topic("msgpack", NewSession), |m| ..)`.
    /// It runs inline and must not block.
    pub fn subscribe<E: SystemEvent>(
        &self,
        topic: Topic<E>,
        hear: impl Fn(&E) + Send + Sync + 'static,
    ) -> Subscription {
        self.inner.hub.subscribe(topic, |_| true, hear)
    }

    /// As [`subscribe`](Self::subscribe), for events that meet a condition.
    pub fn subscribe_if<E: SystemEvent>(
        &self,
        topic: Topic<E>,
        condition: impl Fn(&E) -> bool + Send + Sync + 'static,
        hear: impl Fn(&E) + Send + Sync + 'static,
    ) -> Subscription {
        self.inner.hub.subscribe(topic, condition, hear)
    }

    /// Calls `hear` exactly once when the session of this id ends, at once if there is none.
    pub fn subscribe_close(
        &self,
        id: SessionId,
        hear: impl FnOnce(&SessionEnd) + Send + 'static,
    ) -> CloseSubscription {
        self.inner.hub.subscribe_close(id, hear)
    }

    /// Whose cryptographic primitives it uses.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.inner.local.provider
    }

    /// Our public key, if the service has an identity.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        self.inner.local.identity.as_ref().map(|identity| identity.public())
    }

    /// Sessions and handshakes on each of its own threads; empty where it has none.
    #[must_use]
    pub fn shard_loads(&self) -> Vec<usize> {
        self.inner.shards.loads()
    }

    /// What the pools of this service have done and hold: receive buffers first, then send blocks.
    #[must_use]
    pub fn pool_stats(&self) -> [PoolStats; 2] {
        [self.inner.local.recv.stats(), self.inner.local.blocks.stats()]
    }

    // ---- the end ---------------------------------------------------------------------------

    /// Serves until the process is told to stop (ctrl-c, or SIGTERM), then drains. Told a second
    /// time, it drains no longer.
    ///
    /// # Errors
    /// As [`shutdown`](Self::shutdown).
    pub async fn run(&self) -> Result<()> {
        let mut signals = StopSignals::listen()?;
        signals.next().await;
        let deadline = self.inner.patience.drain;
        tracing::info!(?deadline, "asked to stop: draining; asked again, it stops at once");
        tokio::select! {
            result = self.shutdown() => result,
            () = signals.next() => {
                tracing::warn!("asked to stop again: what is not done is cut short");
                self.shutdown_within(Duration::ZERO).await
            }
        }
    }

    /// Stops accepting, asks every peer to start nothing new, lets running work finish, and says
    /// goodbye; at the drain deadline it cuts short what is left.
    ///
    /// # Errors
    /// Sessions had to be cut short, or accepted messages were lost: the error says how many, and
    /// what they had not done.
    ///
    /// # Cancel safety
    /// Dropped in the middle, what has been begun goes on; call it again to wait for it.
    pub async fn shutdown(&self) -> Result<()> {
        self.shutdown_within(self.inner.patience.drain).await
    }

    /// As [`shutdown`](Self::shutdown), with so much time instead of `drain_deadline`. The time is
    /// kept, whatever peers and handlers do: what is left is cut short then, and at most two and a half
    /// seconds later this returns.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn shutdown_within(&self, deadline: Duration) -> Result<()> {
        let inner = &self.inner;
        inner.stopped.store(true, Ordering::Release);
        inner.openers.abort_all();
        let _ = tokio::time::timeout(CUT_WAIT, inner.openers.all_ended()).await;
        inner.clients.shut_down();
        let open = self.signal_all(Signals { drain: true, ..Signals::default() });
        let drained = tokio::time::timeout(deadline, inner.drivers.all_ended()).await;
        let (mut sessions, mut stuck) = (0, 0);
        if drained.is_err() {
            sessions = self.signal_all(Signals { cut: true, ..Signals::default() });
            let _ = tokio::time::timeout(CUT_WAIT * 2, inner.drivers.all_ended()).await;
            inner.drivers.abort_all();
            let _ = tokio::time::timeout(CUT_WAIT, inner.drivers.all_ended()).await;
            stuck = inner.drivers.len();
        }
        // They have nothing left to do but to tell.
        let _ = tokio::time::timeout(CUT_WAIT, inner.clients.tasks.all_ended()).await;
        stuck = stuck.max(inner.clients.tasks.len());
        // What they hold may be this very service, which would never be dropped.
        inner.handlers.clear();
        inner.hub.forget_subscribers();
        // The last of what was counted since the last tick.
        #[cfg(feature = "metrics")]
        inner.told.tell(inner);
        let left = std::mem::take(&mut *inner.left_behind());
        let report = DrainReport { sessions, left, stuck, deadline };
        if report.is_clean() {
            tracing::info!(sessions = open, "drained");
            return Ok(());
        }
        Err(Error::NotDrained(report))
    }

    fn signal_all(&self, signals: Signals) -> usize {
        let sessions = self.inner.hub.sessions().all();
        for session in &sessions {
            session.signal(signals);
        }
        sessions.len()
    }
}

impl Inner {
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Where what is nobody's session runs: the caller's runtime may be gone before the service is.
    pub(crate) fn home(&self) -> runtime::Handle {
        self.shards.place(0).map_or_else(runtime::Handle::current, |place| place.handle.clone())
    }

    pub(crate) fn left_behind(&self) -> MutexGuard<'_, LeftBehind> {
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("key", &self.public_key())
            .field("sessions", &self.inner.hub.sessions().len())
            .finish_non_exhaustive()
    }
}
