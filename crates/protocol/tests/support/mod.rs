//! Two connections in memory, and whatever a test wants to do with the bytes between them.

#![allow(dead_code, reason = "each test file uses its part of it")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moorline_buffers::{BlockPool, BlockPoolConfig, RecvBuffer, RecvPool, SendBuffer};
use moorline_noise::provider::{RandomError, Rng};
use moorline_noise::{Identity, Peer, Peers, Provider, PublicKey, Refusal, Suites};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{
    Admission, Body, CloseReason, Cost, Frame, HandledTypes, Kind, Lane, Local, MessageIndex,
    MessageRegistry, Meta, Opened, Opening, Protocol, ProtocolFactory, Registration, Settings,
    Step,
};

/// Message types of the tests; a static of each, as the macro makes them.
pub(crate) static TYPES: [Registration; 6] = [
    Registration::new("test.One", false, file!(), line!()),
    Registration::new("test.Two", false, file!(), line!()),
    Registration::new("test.Three", false, file!(), line!()),
    Registration::new("test.Four", false, file!(), line!()),
    Registration::new("test.Five", false, file!(), line!()),
    Registration::new("test.Six", false, file!(), line!()),
];

/// Randomness that is the same in every run.
pub(crate) struct Seeded(AtomicU64);

impl Rng for Seeded {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        for byte in out {
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = z.to_be_bytes()[0];
        }
        Ok(())
    }
}

pub(crate) fn provider(seed: u64) -> Provider {
    let rng: &'static Seeded = Box::leak(Box::new(Seeded(AtomicU64::new(seed))));
    Provider { rng, ..Provider::pure() }
}

pub(crate) fn registry(types: &[usize]) -> MessageRegistry {
    let registry = MessageRegistry::empty();
    for at in types {
        registry.add(&TYPES[*at]).unwrap();
    }
    registry
}

/// What one side brings, with the usual values; a test changes what it is about.
pub(crate) fn local(seed: u64) -> Local {
    let provider = provider(seed);
    Local {
        provider,
        identity: Some(Arc::new(Identity::generate(&provider).unwrap())),
        suites: Suites::default(),
        realm: String::new(),
        registry: registry(&[0, 1, 2]),
        settings: Settings::default(),
        recv: RecvPool::default(),
        blocks: BlockPool::new(BlockPoolConfig::messages()),
        boot_id: seed.to_be_bytes(),
        pending: Default::default(),
        agent: format!("test {seed}"),
    }
}

/// A peer list with the time and address a test needs none of.
pub(crate) struct List(pub(crate) Peers);

impl Admission for List {
    fn admit(&self, key: Option<&PublicKey>) -> Result<Peer, Refusal> {
        self.0.admit(key, None, 0)
    }
}

/// How the bytes between the two ends are cut.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Chunks {
    Whole,
    Of(usize),
    /// Pseudo-random lengths from 1 to so many.
    Random(u64, usize),
}

/// One end: a connection, its received bytes, and what it has to say.
pub(crate) struct End {
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) input: RecvBuffer,
    pub(crate) out: SendBuffer,
    pub(crate) opened: Option<Box<Opened>>,
    pub(crate) now: Instant,
    pub(crate) local: Arc<Local>,
}

impl End {
    pub(crate) fn new(protocol: Box<dyn Protocol>, local: Arc<Local>, now: Instant) -> Self {
        let input = local.recv.acquire(2_048).unwrap();
        let out = SendBuffer::new(&local.blocks);
        let mut end = Self { protocol, input, out, opened: None, now, local };
        end.protocol.start(now, &mut end.out).unwrap();
        end
    }

    pub(crate) fn responder(factory: Msgpack, local: Local, peers: Peers, now: Instant) -> Self {
        let local = Arc::new(local);
        let handled = handled(&local);
        let made = factory.responder(Arc::clone(&local), handled, Box::new(List(peers)));
        Self::new(made.unwrap(), local, now)
    }

    pub(crate) fn initiator(
        factory: Msgpack,
        local: Local,
        remote: Option<PublicKey>,
        now: Instant,
    ) -> Self {
        let local = Arc::new(local);
        let made = factory.initiator(Arc::clone(&local), handled(&local), remote.into());
        Self::new(made.unwrap(), local, now)
    }

    /// What is to be sent, taken from the chain.
    pub(crate) fn take_wire(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.out.len());
        while let Some(block) = self.out.pop_block() {
            bytes.extend_from_slice(block.bytes());
        }
        bytes
    }

    /// Receives `bytes`, as a driver would, and looks at every frame.
    pub(crate) fn receive(
        &mut self,
        mut bytes: &[u8],
        chunks: Chunks,
        seen: &mut dyn FnMut(&Frame<'_>, Cost),
    ) -> Result<(), CloseReason> {
        let mut state = match chunks {
            Chunks::Random(seed, _) => seed | 1,
            _ => 1,
        };
        loop {
            self.pull(seen)?;
            if bytes.is_empty() {
                return Ok(());
            }
            let want = match chunks {
                Chunks::Whole => usize::MAX,
                Chunks::Of(n) => n,
                Chunks::Random(_, max) => {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    1 + usize::try_from(state >> 33).unwrap() % max
                }
            };
            let capacity = self.protocol.read_capacity();
            let room = capacity.saturating_sub(self.input.len()).max(1);
            self.input.reserve(room.min(want).min(bytes.len())).unwrap();
            let n = want.min(bytes.len()).min(self.input.spare_mut().len());
            self.input.spare_mut()[..n].copy_from_slice(&bytes[..n]);
            self.input.commit(n);
            bytes = &bytes[n..];
        }
    }

    /// All frames that are there.
    pub(crate) fn pull(
        &mut self,
        seen: &mut dyn FnMut(&Frame<'_>, Cost),
    ) -> Result<(), CloseReason> {
        loop {
            match self.protocol.next(self.now, &mut self.input, &mut self.out)? {
                Step::NeedBytes => return Ok(()),
                Step::Opened(opened) => {
                    assert!(self.opened.replace(opened).is_none(), "opened comes once");
                }
                Step::Frame(frame, cost) => seen(&frame, cost),
            }
        }
    }

    /// Encodes and seals frames; the bytes that go over the wire.
    pub(crate) fn say(&mut self, frames: &[Frame<'_>]) -> Vec<u8> {
        let opened = self.opened.as_ref().expect("the connection is open");
        let mut chain = SendBuffer::with_block_max(&self.local.blocks, opened.block_max);
        for frame in frames {
            opened.encoder.encode(frame, Lane::Normal, &mut chain).unwrap();
        }
        self.seal(chain)
    }

    pub(crate) fn seal(&mut self, mut chain: SendBuffer) -> Vec<u8> {
        let opened = self.opened.as_mut().expect("the connection is open");
        while let Some(block) = chain.pop_block() {
            opened.sealing.seal(block, &mut self.out).unwrap();
        }
        self.take_wire()
    }

    /// Seals units that a test has written by hand, all in one record.
    pub(crate) fn seal_raw(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut block = self.local.blocks.acquire().unwrap();
        block.spare_mut()[..plain.len()].copy_from_slice(plain);
        block.commit(plain.len());
        let opened = self.opened.as_mut().expect("the connection is open");
        opened.sealing.seal(block, &mut self.out).unwrap();
        self.take_wire()
    }
}

/// All types of the registry.
pub(crate) fn handled(local: &Local) -> HandledTypes {
    let mut handled = HandledTypes::new();
    (0..local.registry.len()).for_each(|at| handled.insert(MessageIndex::new(at)));
    handled
}

/// Both ends.
pub(crate) struct Pair {
    pub(crate) dialer: End,
    pub(crate) listener: End,
}

impl Pair {
    /// A pair as it usually is, before the first byte.
    pub(crate) fn new(factory: Msgpack) -> Self {
        Self::with(factory, local(1), local(2))
    }

    pub(crate) fn with(factory: Msgpack, dialer: Local, listener: Local) -> Self {
        let now = Instant::now();
        let remote = factory.authenticates().then(|| listener.identity.as_ref().unwrap().public());
        let peers = if factory.authenticates() {
            Peers::nobody().with("dialer", dialer.identity.as_ref().unwrap().public())
        } else {
            Peers::anonymous()
        };
        let dialer = End::initiator(factory, dialer, remote, now);
        let listener = End::responder(factory, listener, peers, now);
        Self { dialer, listener }
    }

    /// Carries bytes to and fro until nobody has any left.
    pub(crate) fn settle(&mut self, chunks: Chunks) -> Result<(), CloseReason> {
        loop {
            let there = self.dialer.take_wire();
            self.listener.receive(&there, chunks, &mut no_frame)?;
            let back = self.listener.take_wire();
            if there.is_empty() && back.is_empty() {
                return Ok(());
            }
            self.dialer.receive(&back, chunks, &mut no_frame)?;
        }
    }

    pub(crate) fn open(factory: Msgpack) -> Self {
        let mut pair = Self::new(factory);
        pair.settle(Chunks::Whole).unwrap();
        assert!(pair.dialer.opened.is_some() && pair.listener.opened.is_some());
        pair
    }
}

pub(crate) fn no_frame(frame: &Frame<'_>, _cost: Cost) {
    panic!("no frame is expected, and not {frame:?}");
}

pub(crate) fn post<'a>(at: u32, body: &'a [u8]) -> Frame<'a> {
    let (kind, meta) = (Kind::Known(MessageIndex::new(at)), Meta::default());
    Frame::Post { kind, meta, body: Body::Borrowed(body) }
}

pub(crate) fn request<'a>(id: u32, at: u32, body: &'a [u8]) -> Frame<'a> {
    let (kind, meta) = (Kind::Known(MessageIndex::new(at)), Meta::default());
    Frame::Request { id, kind, meta, body: Body::Borrowed(body) }
}

pub(crate) fn response<'a>(id: u32, body: &'a [u8]) -> Frame<'a> {
    Frame::Response { id, body: Body::Borrowed(body) }
}

/// What a frame says, apart from where its bytes are.
pub(crate) fn told(frame: &Frame<'_>) -> String {
    fn brief(body: &Body<'_>) -> String {
        let bytes = body.bytes();
        if bytes.len() <= 16 {
            return format!("{bytes:02x?}");
        }
        let sum = bytes.iter().fold(7u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
        format!("{} bytes, sum {sum:x}", bytes.len())
    }
    match frame {
        Frame::Post { kind, meta, body } => format!("post {kind:?} {meta:?} {}", brief(body)),
        Frame::Request { id, kind, meta, body } => {
            format!("request {id} {kind:?} {meta:?} {}", brief(body))
        }
        Frame::Response { id, body } => format!("response {id} {}", brief(body)),
        Frame::Error { id, code, message, detail } => {
            format!("error {id} {code} {message:?} {}", brief(detail))
        }
        Frame::Open { stream, opening, credit, meta } => match opening {
            Opening::Typed { kind, body } => {
                format!("open {stream} {kind:?} {credit} {meta:?} {}", brief(body))
            }
            Opening::Raw { name } => format!("open {stream} raw {name:?} {credit} {meta:?}"),
        },
        Frame::Data { stream, body, acknowledge } => {
            format!("data {stream} acknowledge={acknowledge} {}", brief(body))
        }
        Frame::End { stream, trailer } => format!("end {stream} {}", brief(trailer)),
        Frame::Publish { alias, kind, body, retained } => {
            format!("publish {alias} {kind:?} retained={retained} {}", brief(body))
        }
        other => format!("{other:?}"),
    }
}

/// Bytes that are different everywhere.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 31 + at / 256) % 251).unwrap()).collect()
}

pub(crate) const A_WHILE: Duration = Duration::from_secs(5);
