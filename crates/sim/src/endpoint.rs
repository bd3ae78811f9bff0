//! One side: what it handles, and the process it runs in.

use std::fmt;
use std::sync::Arc;

use moorline_buffers::{BlockPool, BlockPoolConfig, PoolStats, RecvPool};
use moorline_noise::{Identity, Provider, Suite, Suites};
use moorline_protocol::{
    Local, Message, MessageFamily, MessageRegistry, Request, Settings, StreamMessage,
};
use moorline_session::limits::OUTBOX_BYTES_DEFAULT;
use moorline_session::{Failure, Hub, RawStream, SessionRef, Stream};
use serde::de::DeserializeOwned;

use crate::clock::Clock;
use crate::context::Context;
use crate::dice::{Dice, provider};
use crate::handlers::{Handlers, handle, handle_now, handle_raw, handle_stream, on_owned, on_post};
use crate::limits::SESSIONS_MAX;
use crate::side::Side;
use crate::tasks::Task;
use crate::world::{Dialer, World};

/// One side of a [`Pair`](crate::Pair): handlers are registered here, sessions found here.
pub struct Endpoint {
    pub(crate) side: Side,
    pub(crate) handlers: Handlers,
    pub(crate) settings: Settings,
    pub(crate) outbox_bytes: usize,
    pub(crate) registry: MessageRegistry,
    pub(crate) sealed: bool,
    pub(crate) world: World,
    /// Instead of a session there is a script that says what the test wants.
    pub(crate) scripted: bool,
    pub(crate) heard: Vec<String>,
    /// The other side is scripted: what it does wrong is no defect of ours.
    pub(crate) strangers: bool,
    pub(crate) program: Option<Program>,
    /// `None` while it is down.
    pub(crate) process: Option<Process>,
    identity: Option<Arc<Identity>>,
    provider: Provider,
    dice: Dice,
}

/// What sets a side up: it runs when the side starts, and again whenever it starts anew.
pub(crate) type Program = Box<dyn FnMut(&mut Endpoint)>;

/// What is gone after a crash.
pub(crate) struct Process {
    pub(crate) local: Arc<Local>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) sessions: Vec<SessionRef>,
}

impl Endpoint {
    pub(crate) fn new(side: Side, world: World, mut dice: Dice) -> Self {
        let mut endpoint = Self {
            side,
            handlers: Handlers::default(),
            settings: Settings::default(),
            outbox_bytes: OUTBOX_BYTES_DEFAULT,
            registry: MessageRegistry::process().expect("types have names of their own"),
            sealed: true,
            world,
            scripted: false,
            heard: Vec::new(),
            strangers: false,
            program: None,
            process: None,
            identity: None,
            provider: provider(dice.fork()),
            dice,
        };
        endpoint.boot();
        endpoint
    }

    // ---- what an application does ----------------------------------------------------------

    /// Handles posts of a type, as a service's `on` does. A second handler of a type replaces the
    /// first.
    ///
    /// A panic in a handler is not caught here: it is an assertion of the test.
    ///
    /// # Panics
    /// If the type cannot be registered.
    pub fn on<M>(&mut self, handler: impl FnMut(&Context, M) + 'static)
    where
        M: Message + DeserializeOwned + 'static,
    {
        let index = self.registry.register::<M>().expect("types have names of their own");
        self.handlers.add_post(index, on_owned(handler));
    }

    /// As [`on`](Self::on), for messages that borrow from what was received.
    ///
    /// # Panics
    /// If the type cannot be registered.
    pub fn on_view<M: MessageFamily>(
        &mut self,
        handler: impl for<'a> FnMut(&Context, M::View<'a>) + 'static,
    ) {
        let index = self.registry.register::<M::View<'static>>();
        let index = index.expect("types have names of their own");
        self.handlers.add_post(index, on_post::<M>(handler));
    }

    /// Handles requests of a type at once.
    ///
    /// # Panics
    /// If the type cannot be registered.
    pub fn handle_now<Q>(
        &mut self,
        handler: impl FnMut(&Context, Q) -> Result<Q::Response, Failure<Q::Error>> + 'static,
    ) where
        Q: Request + DeserializeOwned + 'static,
    {
        let index = self.registry.register::<Q>().expect("types have names of their own");
        self.handlers.add_request(index, handle_now(handler));
    }

    /// Handles requests of a type by a future, which may wait for virtual time or for the other
    /// side. It is dropped when its caller gives up.
    ///
    /// # Panics
    /// If the type cannot be registered.
    pub fn handle<Q, Fut>(&mut self, handler: impl FnMut(Context, Q) -> Fut + 'static)
    where
        Q: Request + DeserializeOwned + 'static,
        Fut: Future<Output = Result<Q::Response, Failure<Q::Error>>> + 'static,
    {
        let index = self.registry.register::<Q>().expect("types have names of their own");
        self.handlers.add_request(index, handle(handler));
    }

    /// Takes streams that a message of one type opens, each in a task that ends with its session
    /// at the latest.
    ///
    /// # Panics
    /// If the type cannot be registered.
    pub fn handle_stream<S, Fut>(
        &mut self,
        handler: impl FnMut(Context, S, Stream<S::Down, S::Up>) -> Fut + 'static,
    ) where
        S: StreamMessage + DeserializeOwned + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let index = self.registry.register::<S>().expect("types have names of their own");
        self.handlers.add_stream(index, handle_stream(handler));
    }

    /// Takes streams of bytes that are opened under this name.
    pub fn handle_raw<Fut>(
        &mut self,
        name: &str,
        handler: impl FnMut(Context, RawStream) -> Fut + 'static,
    ) where
        Fut: Future<Output = ()> + 'static,
    {
        self.handlers.add_raw(name, handle_raw(handler));
    }

    /// Starts a task of this side's process: it is gone when the side crashes.
    pub fn spawn<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> Task<T> {
        self.world.tasks.spawn(Some(self.side), work)
    }

    /// Makes connections from inside tasks.
    #[must_use]
    pub fn dialer(&self) -> Dialer {
        Dialer { world: self.world.clone(), side: self.side }
    }

    /// The virtual clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.world.clock
    }

    // ---- what a test looks at --------------------------------------------------------------

    /// The sessions that are open on this side, the oldest first.
    #[must_use]
    pub fn sessions(&self) -> &[SessionRef] {
        self.process.as_ref().map_or(&[], |process| &process.sessions)
    }

    /// The youngest session of this side.
    #[must_use]
    pub fn session(&self) -> Option<SessionRef> {
        self.sessions().last().cloned()
    }

    /// All sessions of the process and who wants to hear of them; `None` while it is down.
    #[must_use]
    pub fn hub(&self) -> Option<&Arc<Hub>> {
        self.process.as_ref().map(|process| &process.hub)
    }

    /// Its message types: those of the test's own process, unless it was given others.
    #[must_use]
    pub fn registry(&self) -> &MessageRegistry {
        &self.registry
    }

    /// Whether its process runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Memory of the process: what it sends from, and what it receives into.
    #[must_use]
    pub fn pools(&self) -> Option<[PoolStats; 2]> {
        self.process.as_ref().map(|p| [p.local.blocks.stats(), p.local.recv.stats()])
    }

    // ---- the process -----------------------------------------------------------------------

    /// Starts the process, with fresh memory and an identity that stays.
    pub(crate) fn boot(&mut self) {
        if self.sealed && self.identity.is_none() {
            let made = Identity::generate(&self.provider);
            self.identity = Some(Arc::new(made.expect("dice never fail")));
        }
        let mut boot_id = [0; 8];
        boot_id.copy_from_slice(&self.dice.bytes(8));
        let local = Arc::new(Local {
            provider: self.provider,
            identity: self.identity.clone().filter(|_| self.sealed),
            // By name: the default depends on the processor, and so would the trace.
            suites: Suites::only(&[Suite::IkHfsChaCha]),
            realm: String::new(),
            registry: self.registry.clone(),
            settings: self.settings,
            recv: RecvPool::default(),
            blocks: BlockPool::new(BlockPoolConfig::messages()),
            boot_id,
            pending: Default::default(),
            agent: format!("simulated {}", self.side.name()),
        });
        let hub = Hub::new(SESSIONS_MAX, self.settings.timeout);
        self.process = Some(Process { local, hub, sessions: Vec::new() });
    }

    pub(crate) fn run_program(&mut self) {
        if let Some(mut program) = self.program.take() {
            self.handlers.clear();
            program(self);
            self.program = Some(program);
        }
    }

    pub(crate) fn identity(&self) -> Option<moorline_noise::PublicKey> {
        let identity = self.identity.as_ref().filter(|_| self.sealed);
        identity.map(|identity| identity.public())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("side", &self.side)
            .field("up", &self.is_up())
            .field("sessions", &self.sessions().len())
            .finish_non_exhaustive()
    }
}
