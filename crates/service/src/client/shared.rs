//! What all handles of a client, its task and its sessions have in common.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use moorline_protocol::{
    CloseReason, ErrorCode, Farewell, Format, HandshakeFailure, Lane, Local, Message,
    MessageRegistry,
};
use moorline_session::{
    Keeper, LastingId, SendError, SessionDown, SessionParts, SessionRef, with_scratch,
};
use tokio::sync::Notify;

use super::machine::{ClientState, Input, Machine, Order, Wish};
use super::queue::{Head, Queue};
use super::{Client, WhileDown};
use crate::error::{Error, Result};
use crate::limits::STEADY_AFTER;

pub(crate) struct Shared {
    pub(crate) lasting: LastingId,
    pub(super) registry: MessageRegistry,
    pub(super) format: Format,
    pub(super) url: Box<str>,
    /// For calls that name no time.
    pub(super) timeout: Option<Duration>,
    while_down: WhileDown,
    control: Mutex<Control>,
    /// For the task of the client.
    pub(super) work: Notify,
    /// For whoever waits for a state.
    changed: Notify,
}

/// The one lock of a client: taken before that of an outbox, and never while anything of a user's runs.
struct Control {
    machine: Machine,
    /// The session of now; there is one while the machine is up or drains one.
    session: Option<SessionRef>,
    queue: Queue,
    /// Posts that went nowhere since the last connection was lost.
    dropped: u64,
    dropped_in_all: u64,
    /// States that nobody has been told of yet, and the last that was or is to be told.
    untold: VecDeque<ClientState>,
    last: ClientState,
    listeners: Vec<Arc<Listener>>,
    next_ear: u64,
    /// Subscriptions that go on with the next connection.
    ears: BTreeMap<u64, Arc<dyn Ear>>,
    /// The end of a connection is being told: until that is done there is no next one, and no end.
    telling: bool,
    /// Why the last dialing failed, in full.
    error: Option<Error>,
    /// Why it is over; and whether everybody has been told.
    over: Option<CloseReason>,
    finished: bool,
}

pub(super) type Listener = dyn Fn(&Client, &ClientState) + Send + Sync;

/// What wants to know of each connection: a subscription.
pub(super) trait Ear: Send + Sync {
    fn up(&self, session: &SessionRef, epoch: u64);
    fn over(&self, reason: &CloseReason);
}

impl Shared {
    pub(super) fn new(
        lasting: LastingId,
        local: &Local,
        format: Format,
        url: Box<str>,
        while_down: WhileDown,
        listeners: Vec<Arc<Listener>>,
    ) -> Arc<Self> {
        let limit = if let WhileDown::Queue { bytes } = while_down { bytes } else { 0 };
        let machine = Machine::new(STEADY_AFTER);
        let control = Control {
            untold: VecDeque::from([machine.state()]),
            last: machine.state(),
            machine,
            session: None,
            queue: Queue::new(limit),
            dropped: 0,
            dropped_in_all: 0,
            listeners,
            next_ear: 0,
            ears: BTreeMap::new(),
            telling: false,
            error: None,
            over: None,
            finished: false,
        };
        let (work, changed, control) = (Notify::new(), Notify::new(), Mutex::new(control));
        Arc::new(Self {
            lasting,
            registry: local.registry.clone(),
            format,
            url,
            timeout: local.settings.timeout,
            while_down,
            control,
            work,
            changed,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next session of the client; `None` if it is over.
    pub(crate) fn open_with(
        self: &Arc<Self>,
        parts: SessionParts<'_>,
        prepare: impl FnOnce(&SessionRef),
    ) -> Option<SessionRef> {
        let keeper: Arc<dyn Keeper> = Arc::<Self>::clone(self);
        self.lasting.open_with(keeper, parts, prepare)
    }

    // ---- what changes it -------------------------------------------------------------------

    /// Something happens, or is asked for. Returns whether it is what ends the client.
    pub(crate) fn apply(&self, input: Input) -> bool {
        let mut control = self.lock();
        let was_over = control.machine.is_over().is_some();
        let order = control.handle(input);
        let ends = !was_over && control.machine.is_over().is_some();
        let session = control.session.clone();
        control.note();
        drop(control);
        obey(order, session.as_ref());
        self.work.notify_one();
        self.changed.notify_waiters();
        ends
    }

    pub(super) fn dial_failed(&self, error: Error) {
        let reason = reason_of(&error);
        tracing::debug!(id = %self.lasting.id(), %error, "not connected");
        // What it replaces may be anything of a transport's, and is dropped outside the lock.
        let _before = self.lock().error.replace(error);
        self.apply(Input::DialFailed(reason));
    }

    /// The end of one connection takes nothing from the next.
    pub(crate) fn peer_drains(&self, session: &SessionRef) {
        if self.lock().session.as_ref() == Some(session) {
            self.apply(Input::PeerDrains);
        }
    }

    // ---- what its task looks at ------------------------------------------------------------

    /// What is to be done now.
    pub(super) fn wish(&self) -> Wish {
        let control = self.lock();
        match control.machine.wish() {
            Wish::Dial(_) | Wish::Finish(_) if control.telling => Wish::Nothing,
            wish => wish,
        }
    }

    /// Tells those who listen of each state, in order, with no lock held.
    pub(super) fn tell(self: &Arc<Self>) {
        let client = Client { shared: Arc::clone(self) };
        loop {
            let mut control = self.lock();
            let Some(state) = control.untold.pop_front() else { return };
            let listeners = control.listeners.clone();
            drop(control);
            tracing::debug!(id = %self.lasting.id(), ?state, "client");
            for listener in listeners {
                // One that panics must not keep the others from hearing, nor the client from going on.
                let _ = catch_unwind(AssertUnwindSafe(|| listener(&client, &state)));
            }
        }
    }

    /// The end of everything, once. Returns how many queued bytes were lost.
    pub(super) fn finish(&self, reason: &CloseReason) -> usize {
        let mut control = self.lock();
        if control.over.is_some() {
            return 0;
        }
        control.over = Some(reason.clone());
        control.machine.end(reason);
        let left_over = control.session.clone();
        let (posts, bytes) = (control.queue.len(), control.queue.bytes());
        control.queue = Queue::default();
        let ears = std::mem::take(&mut control.ears);
        let listeners = std::mem::take(&mut control.listeners);
        drop(control);
        if posts > 0 {
            tracing::warn!(posts, bytes, "posts that waited for a connection were lost");
        }
        // There is one only where the client did not end by itself.
        if let Some(session) = left_over {
            session.close_now(ErrorCode::INTERNAL, "the task of the client was stopped");
        }
        ears.values().for_each(|ear| ear.over(reason));
        self.lasting.end(reason);
        drop(listeners);
        self.lock().finished = true;
        self.changed.notify_waiters();
        bytes
    }

    // ---- what handles do -------------------------------------------------------------------

    pub(super) fn state(&self) -> ClientState {
        self.lock().machine.state()
    }

    /// What came of the first dialing, once that is known.
    pub(super) fn first(&self) -> Option<Result<()>> {
        let mut control = self.lock();
        if control.machine.epoch() > 0 {
            return Some(Ok(()));
        }
        let is_over = control.machine.is_over().is_some();
        let error = control.error.take().or_else(|| is_over.then_some(Error::ShutDown));
        error.map(Err)
    }

    /// The session of now, if it takes something new.
    pub(super) fn session(&self) -> Option<SessionRef> {
        let control = self.lock();
        control.session.as_ref().filter(|_| control.machine.is_up()).cloned()
    }

    /// Posts that went nowhere, in all.
    pub(super) fn dropped_posts(&self) -> u64 {
        self.lock().dropped_in_all
    }

    /// Bytes of posts that wait for a connection.
    pub(super) fn queued_bytes(&self) -> usize {
        self.lock().queue.bytes()
    }

    pub(super) fn listen(&self, listener: Arc<Listener>) {
        let mut control = self.lock();
        if control.over.is_none() {
            control.listeners.push(listener);
        }
    }

    /// Ready with the first thing that `look` finds; it is called with no lock held, and again after
    /// each change.
    pub(super) async fn wait_until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let mut changed = pin!(self.changed.notified());
        loop {
            changed.as_mut().enable();
            if let Some(found) = look() {
                return found;
            }
            changed.as_mut().await;
            changed.set(self.changed.notified());
        }
    }

    pub(super) fn finished(&self) -> Option<CloseReason> {
        let control = self.lock();
        control.over.clone().filter(|_| control.finished)
    }

    /// Why nothing new can be sent ever again.
    pub(super) fn is_over(&self) -> Option<CloseReason> {
        self.lock().machine.is_over()
    }

    pub(super) fn send<M: Message>(&self, priority: u8, message: &M) -> Result<(), SendError> {
        let mut tried = None;
        loop {
            match self.session() {
                Some(session) if tried.as_ref() != Some(&session) => {
                    match session.send_with_priority(priority, message) {
                        Err(SendError::Closed(_) | SendError::Draining) => tried = Some(session),
                        result => return result,
                    }
                }
                _ => match self.send_while_down(priority, message, tried.as_ref()) {
                    Some(result) => return result,
                    None => tried = None,
                },
            }
        }
    }

    /// `None`: there is another connection by now than the one that was tried.
    fn send_while_down<M: Message>(
        &self,
        priority: u8,
        message: &M,
        tried: Option<&SessionRef>,
    ) -> Option<Result<(), SendError>> {
        if !matches!(self.while_down, WhileDown::Queue { .. }) {
            return self.lock().keep(self.while_down, tried, |_| Ok(()));
        }
        // Encoded outside the lock, since it is the user's code that does it.
        with_scratch(|body| match self.encode(priority, message, body) {
            Ok(head) => self.lock().keep(self.while_down, tried, |queue| queue.push(head, body)),
            Err(error) => Some(Err(error)),
        })
    }

    fn encode<M: Message>(
        &self,
        priority: u8,
        message: &M,
        body: &mut Vec<u8>,
    ) -> Result<Head, SendError> {
        let (index, name) = (self.registry.index_of::<M>()?, M::registration().name());
        let encoded = self.format.encode(message, body);
        encoded.map_err(|error| SendError::Encode(error.to_string().into()))?;
        Ok(Head { index, name, lane: Lane::of(priority) })
    }

    /// Wants to know of each connection from now on; the number is for [`leave`](Self::leave).
    pub(super) fn attend(&self, ear: Arc<dyn Ear>) -> u64 {
        let mut control = self.lock();
        let number = control.next_ear;
        control.next_ear += 1;
        let over = control.over.clone();
        if over.is_none() {
            control.ears.insert(number, Arc::clone(&ear));
        }
        // Under the same lock, so that no connection is missed and none is told twice.
        let now = control.session.clone().filter(|_| control.machine.is_up());
        let epoch = control.machine.epoch();
        drop(control);
        if let Some(session) = now {
            ear.up(&session, epoch);
        }
        if let Some(reason) = over {
            ear.over(&reason);
        }
        number
    }

    pub(super) fn leave(&self, number: u64) {
        // What it holds is dropped outside the lock.
        let _ear = self.lock().ears.remove(&number);
    }
}

impl Keeper for Shared {
    /// What has waited leaves first: nobody else gets hold of the session before the lock is released.
    fn up(&self, session: &SessionRef, epoch: u64) -> u64 {
        let mut control = self.lock();
        control.session = Some(session.clone());
        let _error = control.error.take();
        let order = control.handle(Input::Up);
        debug_assert_eq!(control.machine.epoch(), epoch, "both count the same connections");
        let refused = control.queue.drain_into(session);
        control.dropped_in_all += refused.count;
        let dropped = std::mem::take(&mut control.dropped) + refused.count;
        control.note();
        let ears: Vec<_> = control.ears.values().cloned().collect();
        drop(control);
        if let Some((message, error)) = refused.last {
            tracing::warn!(count = refused.count, message, %error, "posts that waited were not taken");
        }
        ears.iter().for_each(|ear| ear.up(session, epoch));
        obey(order, Some(session));
        self.work.notify_one();
        self.changed.notify_waiters();
        dropped
    }

    fn down(&self, down: &SessionDown) {
        let mut control = self.lock();
        control.telling = true;
        control.handle(Input::Lost(down.reason.clone()));
        control.note();
        // The handle may be the last one, and what it holds is dropped outside the lock.
        let _session = control.session.take();
        drop(control);
        self.changed.notify_waiters();
    }

    fn told(&self) {
        self.lock().telling = false;
        self.work.notify_one();
    }
}

impl Control {
    fn handle(&mut self, input: Input) -> Order {
        self.machine.handle(Instant::now(), input)
    }

    /// Keeps a new state for those who listen.
    fn note(&mut self) {
        let state = self.machine.state();
        if self.machine.is_settled() && state != self.last {
            self.last = state.clone();
            self.untold.push_back(state);
        }
    }

    /// A post while there is no connection but the one that was `tried`. `None` if there is.
    fn keep(
        &mut self,
        rule: WhileDown,
        tried: Option<&SessionRef>,
        push: impl FnOnce(&mut Queue) -> Result<(), SendError>,
    ) -> Option<Result<(), SendError>> {
        if self.machine.is_up() && self.session.as_ref() != tried {
            return None;
        }
        if let Some(reason) = self.machine.is_over() {
            return Some(Err(SendError::Closed(reason)));
        }
        Some(match rule {
            WhileDown::Fail => Err(SendError::Down { waited: Duration::ZERO }),
            WhileDown::Queue { .. } => push(&mut self.queue),
            WhileDown::Drop => {
                self.dropped += 1;
                self.dropped_in_all += 1;
                Ok(())
            }
        })
    }
}

fn obey(order: Order, session: Option<&SessionRef>) {
    let Some(session) = session else { return };
    match order {
        Order::Nothing => {}
        Order::Close(farewell) => drop(session.close_with(farewell.code, &farewell.text)),
        Order::Cut => session.close_now(ErrorCode::APPLICATION, "the connection is made anew"),
    }
}

/// Why there is no connection, in the words in which sessions end; the error itself is told as
/// `ConnectFailed`.
fn reason_of(error: &Error) -> CloseReason {
    match error {
        Error::Handshake { reason, .. } => reason.clone(),
        Error::NotTrusted { .. } => CloseReason::HandshakeFailed(HandshakeFailure::NotTrusted),
        Error::KeyChanged { .. } => CloseReason::HandshakeFailed(HandshakeFailure::PeerUnverified),
        Error::Connect { error, .. } | Error::Io(error) => CloseReason::Io(error.kind()),
        Error::ShutDown => {
            CloseReason::ByUs(Farewell::new(ErrorCode::DRAINING, "the service was shut down"))
        }
        other => CloseReason::ByUs(Farewell::new(ErrorCode::UNSUPPORTED, &other.to_string())),
    }
}
