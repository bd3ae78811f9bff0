//! Two sessions back to back in memory, without a runtime, and over two `msgpack-plain` connections
//! unless a test is about keys.
//!
//! A side takes a turn only when something has woken it: bytes, its own unfinished work, or its
//! waker. Likewise a future is polled again only when its waker was called. So a wake-up that is
//! lost shows as a test that does not get on.

#![allow(dead_code, reason = "each test file uses its part of it")]

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use moorline_buffers::{BlockPool, BlockPoolConfig, RecvBuffer, RecvPool, SendBuffer};
use moorline_noise::{Identity, Peer, Peers, Provider, PublicKey, Refusal, Suites};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{
    Admission, CloseReason, Ending, ErrorCode, Farewell, Format, Frame, HandledTypes, Kind, Lane,
    Local, MessageIndex, MessageRegistry, Opened, Opening, Protocol, ProtocolFactory, Settings,
    Step, register_message,
};
use moorline_session::{
    Answer, Core, Delivery, Direction, EndPhase, Hub, IncomingStream, SessionParts, SessionRef,
    SessionWriter, Ticket,
};
use serde::{Deserialize, Serialize};

/// A post.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note(pub(crate) u64, pub(crate) Vec<u8>);
/// A request that is answered by what it says, unless a test has other plans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Echo(pub(crate) u64, pub(crate) Vec<u8>);
/// An application's error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sorry(pub(crate) u64);

/// What opens a stream of notes up and numbers down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Range(pub(crate) u64);

/// What opens a stream of notes both ways.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Swap;

register_message!(Note as "test.Note", id = 111);
register_message!(stream Swap as "test.Swap", id = 113: Note => Note);
register_message!(stream Range as "test.Range", id = 114: Note => u64);
register_message!(Echo as "test.Echo", id = 112 => Echo, Sorry);

impl std::fmt::Display for Sorry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sorry, {}", self.0)
    }
}

pub(crate) fn note(number: u64, len: usize) -> Note {
    Note(number, vec![7; len])
}

pub(crate) fn echo(number: u64, len: usize) -> Echo {
    Echo(number, vec![9; len])
}

pub(crate) fn kind_of<M: moorline_protocol::Message>() -> Kind {
    Kind::Known(MessageRegistry::process().unwrap().index_of::<M>().unwrap())
}

pub(crate) fn encoded<M: Serialize>(message: &M) -> Vec<u8> {
    let mut bytes = Vec::new();
    Format::MessagePack.encode(message, &mut bytes).unwrap();
    bytes
}

/// Counts how often it was woken.
#[derive(Default)]
pub(crate) struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    pub(crate) fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

/// A future that is polled only when its waker was called.
pub(crate) struct Task<T> {
    future: Option<Pin<Box<dyn Future<Output = T>>>>,
    bell: Arc<Bell>,
    pub(crate) result: Option<T>,
}

impl<T> Task<T> {
    /// Polls it once.
    pub(crate) fn start(future: impl IntoFuture<Output = T, IntoFuture: 'static>) -> Self {
        let bell = Arc::new(Bell(AtomicUsize::new(1)));
        let mut task = Self { future: Some(Box::pin(future.into_future())), bell, result: None };
        task.look();
        task
    }

    /// Polls it if it was woken; whether it is ready.
    pub(crate) fn look(&mut self) -> bool {
        if self.bell.take() > 0
            && let Some(future) = &mut self.future
        {
            let waker = Waker::from(Arc::clone(&self.bell));
            if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.result = Some(result);
                self.future = None;
            }
        }
        self.result.is_some()
    }

    /// Its result, which must be there.
    pub(crate) fn done(mut self) -> T {
        assert!(self.look(), "it is still waiting, or was never woken");
        self.result.take().expect("it was looked at")
    }
}

/// A connection without a session.
pub(crate) struct Link {
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) input: RecvBuffer,
    pub(crate) wire: SendBuffer,
    pub(crate) opened: Option<Box<Opened>>,
    pub(crate) local: Arc<Local>,
}

struct Anybody;

impl Admission for Anybody {
    fn admit(&self, key: Option<&PublicKey>) -> Result<Peer, Refusal> {
        Peers::anonymous().admit(key, None, 0)
    }
}

pub(crate) fn local(settings: Settings) -> Arc<Local> {
    Arc::new(Local {
        provider: Provider::pure(),
        identity: Some(Arc::new(Identity::generate(&Provider::pure()).unwrap())),
        suites: Suites::default(),
        realm: String::new(),
        registry: MessageRegistry::process().unwrap(),
        settings,
        recv: RecvPool::default(),
        blocks: BlockPool::new(BlockPoolConfig::messages()),
        boot_id: [1; 8],
        pending: Default::default(),
        agent: "test".into(),
    })
}

fn everything(local: &Local) -> HandledTypes {
    let mut handled = HandledTypes::new();
    (0..local.registry.len()).for_each(|at| handled.insert(MessageIndex::new(at)));
    handled
}

/// Two open connections, the dialer first.
pub(crate) fn links(settings: [Settings; 2], now: Instant) -> [Link; 2] {
    links_over(&Msgpack::plain(), settings, now)
}

pub(crate) fn links_over(
    factory: &dyn ProtocolFactory,
    settings: [Settings; 2],
    now: Instant,
) -> [Link; 2] {
    let [dialer, listener] = settings.map(local);
    let (here, there) = (everything(&dialer), everything(&listener));
    let key = listener.identity.as_ref().map(|identity| identity.public());
    let key = key.filter(|_| factory.authenticates());
    let protocols = [
        factory.initiator(Arc::clone(&dialer), here, key.into()).unwrap(),
        factory.responder(Arc::clone(&listener), there, Box::new(Anybody)).unwrap(),
    ];
    let mut links = [dialer, listener].into_iter().zip(protocols).map(|(local, protocol)| {
        let input = local.recv.acquire(64 * 1024).unwrap();
        let wire = SendBuffer::new(&local.blocks);
        let mut link = Link { protocol, input, wire, opened: None, local };
        link.protocol.start(now, &mut link.wire).unwrap();
        link
    });
    let mut links = [links.next().unwrap(), links.next().unwrap()];
    for _ in 0..8 {
        let [dialer, listener] = &mut links;
        carry(&mut dialer.wire, &mut listener.input);
        listener.open(now);
        carry(&mut listener.wire, &mut dialer.input);
        dialer.open(now);
    }
    assert!(links.iter().all(|link| link.opened.is_some()));
    links
}

impl Link {
    fn open(&mut self, now: Instant) {
        while self.opened.is_none() {
            match self.protocol.next(now, &mut self.input, &mut self.wire).unwrap() {
                Step::NeedBytes => return,
                Step::Opened(opened) => self.opened = Some(opened),
                Step::Frame(frame, _) => panic!("{frame:?} before the session is open"),
            }
        }
    }

    fn seal(&mut self, mut chain: SendBuffer) {
        let opened = self.opened.as_mut().unwrap();
        while let Some(block) = chain.pop_block() {
            opened.sealing.seal(block, &mut self.wire).unwrap();
        }
    }
}

/// Moves bytes; how many.
pub(crate) fn carry(from: &mut SendBuffer, to: &mut RecvBuffer) -> usize {
    let mut moved = 0;
    while let Some(block) = from.pop_block() {
        to.reserve(block.len()).unwrap();
        to.extend_from_slice(block.bytes()).unwrap();
        moved += block.len();
    }
    moved
}

type OnRequest = Box<dyn FnMut(&mut Core, Ticket, &[u8]) -> Result<(), CloseReason>>;
type OnOpen = Box<dyn FnMut(IncomingStream, &[u8])>;
type OnPost = Box<dyn FnMut(&[u8])>;

/// A session and its driver.
pub(crate) struct Side {
    pub(crate) link: Link,
    pub(crate) core: Option<Core>,
    pub(crate) session: SessionRef,
    pub(crate) hub: Arc<Hub>,
    pub(crate) writer: SessionWriter,
    pub(crate) on_request: OnRequest,
    pub(crate) on_post: OnPost,
    pub(crate) on_open: OnOpen,
    /// The kernel takes nothing.
    pub(crate) blocked: bool,
    pub(crate) ended: Option<CloseReason>,
    pub(crate) drains: bool,
    /// Before each block it changes its key.
    pub(crate) renews: bool,
    /// So often it has done so.
    pub(crate) renewed: usize,
    bell: Arc<Bell>,
    /// It has work of its own, or bytes to look at.
    due: bool,
}

impl Side {
    pub(crate) fn new(link: Link, direction: Direction, outbox_bytes: usize) -> Self {
        let settings = link.local.settings;
        let hub = Hub::new(16, settings.timeout);
        let parts = SessionParts {
            opened: link.opened.as_ref().unwrap(),
            protocol: "msgpack-plain",
            direction,
            address: "memory".into(),
            registry: link.local.registry.clone(),
            blocks: link.local.blocks.clone(),
            handled: everything(&link.local),
            outbox_bytes,
            settings,
        };
        let session = hub.open(parts).unwrap();
        let core = Core::new(session.clone(), settings);
        Self {
            link,
            writer: core.writer(),
            core: Some(core),
            session,
            hub,
            on_request: Box::new(|core, ticket, body| core.answer(ticket, Answer::Good(body))),
            on_post: Box::new(|_| {}),
            on_open: Box::new(|stream, _| drop(stream)),
            blocked: false,
            ended: None,
            drains: false,
            renews: false,
            renewed: 0,
            bell: Arc::default(),
            due: true,
        }
    }

    pub(crate) fn core(&mut self) -> &mut Core {
        self.core.as_mut().expect("the session is open")
    }

    /// A turn, if there is a reason for one; whether there was.
    pub(crate) fn wake(&mut self, now: Instant) -> bool {
        let woken = self.bell.take() > 0;
        if self.core.is_none() || !(self.due || woken) {
            return false;
        }
        self.due = false;
        if let Err(reason) = self.turn(now) {
            self.end(reason);
        }
        true
    }

    fn turn(&mut self, now: Instant) -> Result<(), CloseReason> {
        let Self { link, core, on_request, on_post, on_open, .. } = self;
        let core = core.as_mut().expect("an ended session takes no turns");
        core.begin_turn(now)?;
        let signals = core.take_signals();
        if signals.drain && !std::mem::replace(&mut self.drains, true) {
            core.drain()?;
        }
        if signals.cut {
            core.cut_short(Farewell::new(ErrorCode::DRAINING, "too late"))?;
        }
        loop {
            let step = link.protocol.next(now, &mut link.input, &mut link.wire)?;
            let Step::Frame(frame, cost) = step else { break };
            match core.handle_frame(now, frame, cost)? {
                Delivery::Nothing | Delivery::PeerDrains => {}
                Delivery::Post { body, .. } => on_post(body.bytes()),
                Delivery::Request { ticket, body, .. } => on_request(core, ticket, body.bytes())?,
                Delivery::Open { stream, opening, .. } => match opening {
                    Opening::Typed { body, .. } => on_open(stream, body.bytes()),
                    Opening::Raw { name } => on_open(stream, name.as_bytes()),
                },
            }
        }
        core.end_turn();
        self.write()?;
        let core = self.core.as_mut().expect("still there");
        if self.drains && core.is_drained() {
            core.session().close();
        }
        let waker = Waker::from(Arc::clone(&self.bell));
        let cx = &mut Context::from_waker(&waker);
        let work = if self.blocked { core.poll_signals(cx) } else { core.poll_work(cx) };
        self.due |= work.is_ready();
        Ok(())
    }

    pub(crate) fn write(&mut self) -> Result<(), CloseReason> {
        while !self.blocked {
            let Some(block) = self.writer.take_block()? else { break };
            let Link { opened, wire, .. } = &mut self.link;
            let sealing = &mut opened.as_mut().unwrap().sealing;
            if self.renews {
                let before = wire.len();
                sealing.renew_key(wire)?;
                self.renewed += usize::from(wire.len() > before);
            }
            sealing.seal(block, wire)?;
        }
        if !self.blocked {
            self.writer.written();
        }
        Ok(())
    }

    /// As a service takes a connection down.
    pub(crate) fn end(&mut self, reason: CloseReason) {
        let mut core = self.core.take().expect("it ends once");
        let reason = core.final_reason(reason);
        let said = core.end_phase() == EndPhase::Farewell;
        if let Ending::Close(code) = reason.ending()
            && !said
        {
            core.cut_short(Farewell::new(code, "")).unwrap();
            self.blocked = false;
            self.write().unwrap();
        }
        core.end(&reason);
        self.ended = Some(reason);
    }

    /// Time passes: what is due at `now` ends.
    pub(crate) fn tick(&mut self, now: Instant) {
        if let Some(core) = &mut self.core {
            let result = core.handle_timeout(now);
            self.due = true;
            result.err().into_iter().for_each(|reason| self.end(reason));
        }
    }

    /// The same for this side alone, with the turn that follows.
    pub(crate) fn now_is(&mut self, now: Instant) {
        self.tick(now);
        self.wake(now);
    }

    /// Something was done to it that its waker does not tell.
    pub(crate) fn poke(&mut self) {
        self.due = true;
    }

    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
        self.due = true;
    }
}

/// Two sessions.
pub(crate) struct Pair {
    pub(crate) a: Side,
    pub(crate) b: Side,
    pub(crate) now: Instant,
}

pub(crate) const OUTBOX: usize = moorline_session::limits::OUTBOX_BYTES_DEFAULT;

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default(), OUTBOX)
    }

    pub(crate) fn with(settings: Settings, outbox_bytes: usize) -> Self {
        Self::over(&Msgpack::plain(), settings, outbox_bytes)
    }

    pub(crate) fn over(factory: &dyn ProtocolFactory, settings: Settings, outbox: usize) -> Self {
        let now = Instant::now();
        let [a, b] = links_over(factory, [settings; 2], now);
        Self {
            a: Side::new(a, Direction::Connected, outbox),
            b: Side::new(b, Direction::Accepted, outbox),
            now,
        }
    }

    /// One turn of each that has a reason, and the bytes both ways; whether anything happened.
    pub(crate) fn step(&mut self) -> bool {
        let mut happened = self.a.wake(self.now);
        if carry(&mut self.a.link.wire, &mut self.b.link.input) > 0 {
            self.b.due = true;
        }
        happened |= self.b.wake(self.now);
        if carry(&mut self.b.link.wire, &mut self.a.link.input) > 0 {
            self.a.due = true;
            happened = true;
        }
        happened
    }

    /// Until nobody has anything to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                return;
            }
        }
        panic!("they keep each other busy for ever");
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.a.tick(self.now);
        self.b.tick(self.now);
        self.settle();
    }
}

/// A peer that says whatever a test wants, to a session.
pub(crate) struct Script {
    pub(crate) link: Link,
    pub(crate) side: Side,
    pub(crate) now: Instant,
    /// What the session said, in order.
    pub(crate) heard: Vec<String>,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self::between(Settings::default(), settings)
    }

    /// `script` is what the scripted peer allows.
    pub(crate) fn between(script: Settings, settings: Settings) -> Self {
        let now = Instant::now();
        let [link, side] = links([script, settings], now);
        let mut script =
            Self { link, side: Side::new(side, Direction::Accepted, OUTBOX), now, heard: vec![] };
        script.settle();
        script
    }

    /// Says this, and hears what comes back.
    pub(crate) fn say(&mut self, frames: &[Frame<'_>]) -> Vec<String> {
        let opened = self.link.opened.as_ref().unwrap();
        let mut chain = SendBuffer::with_block_max(&self.link.local.blocks, opened.block_max);
        for frame in frames {
            opened.encoder.encode(frame, Lane::Normal, &mut chain).unwrap();
        }
        self.link.seal(chain);
        carry(&mut self.link.wire, &mut self.side.link.input);
        self.side.due = true;
        self.settle();
        std::mem::take(&mut self.heard)
    }

    /// Says one frame, if it can be said at all, and waits for nothing.
    pub(crate) fn murmur(&mut self, frame: &Frame<'_>, lane: Lane) {
        let opened = self.link.opened.as_ref().unwrap();
        let mut chain = SendBuffer::with_block_max(&self.link.local.blocks, opened.block_max);
        if opened.encoder.encode(frame, lane, &mut chain).is_ok() {
            self.link.seal(chain);
            carry(&mut self.link.wire, &mut self.side.link.input);
            self.side.due = true;
        }
    }

    /// Bytes that nobody has encoded.
    pub(crate) fn throw(&mut self, bytes: &[u8]) {
        self.side.link.input.reserve(bytes.len()).unwrap();
        self.side.link.input.extend_from_slice(bytes).unwrap();
        self.side.due = true;
    }

    pub(crate) fn settle(&mut self) {
        while self.side.wake(self.now) {}
        carry(&mut self.side.link.wire, &mut self.link.input);
        loop {
            match self.link.protocol.next(self.now, &mut self.link.input, &mut self.link.wire) {
                Ok(Step::NeedBytes) => return,
                Ok(Step::Frame(frame, _)) => self.heard.push(told(&frame)),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Why the session has ended, which it must have.
    pub(crate) fn ended(&self) -> &CloseReason {
        self.side.ended.as_ref().expect("the session has ended")
    }
}

/// What a frame says, in short.
pub(crate) fn told(frame: &Frame<'_>) -> String {
    match frame {
        Frame::Post { body, .. } => format!("post {}", body.len()),
        Frame::Request { id, body, .. } => format!("request {id} {}", body.len()),
        Frame::Response { id, body } => format!("response {id} {}", body.len()),
        Frame::Error { id, code, .. } => format!("error {id} {}", code.0),
        Frame::Cancel { id } => format!("cancel {id}"),
        Frame::Credit { stream: 0, total } => format!("credit {total}"),
        Frame::Credit { stream, total } => format!("credit {stream} {total}"),
        Frame::Open { stream, credit, .. } => format!("open {stream} {credit}"),
        Frame::Data { stream, body, .. } => format!("data {stream} {}", body.len()),
        Frame::End { stream, trailer } => format!("end {stream} {}", trailer.len()),
        Frame::Reset { stream, code, .. } => format!("reset {stream} {}", code.0),
        Frame::Ack { stream, count } => format!("ack {stream} {count}"),
        Frame::Ping { nonce } => format!("ping {nonce}"),
        Frame::Pong { nonce } => format!("pong {nonce}"),
        Frame::GoAway { obeyed: false, .. } => "goaway".into(),
        Frame::GoAway { obeyed: true, .. } => "goaway X".into(),
        Frame::Close { code, .. } => format!("close {}", code.0),
        Frame::Types(_) => "types".into(),
        Frame::Publish { alias, body, .. } => format!("publish {alias} {}", body.len()),
        Frame::Partial | Frame::Piece { .. } => "partial".into(),
        other => format!("{other:?}"),
    }
}

/// A list several closures write to.
pub(crate) type Log<T> = Arc<Mutex<Vec<T>>>;

pub(crate) fn log<T>() -> (Log<T>, Log<T>) {
    let log = Log::default();
    (Arc::clone(&log), log)
}

/// Receives what is there now.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
