//! A connection of ours, and a peer that is bytes: written by a CBOR library that is not ours, so that
//! what we read is not only what we write.

#![allow(dead_code, reason = "each test file uses its part of it")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use minicbor::data::Tag;
use moorline_buffers::{BlockPool, BlockPoolConfig, RecvBuffer, RecvPool, SendBuffer};
use moorline_gofast::{Dialect, Gofast, GofastSettings, Statistics};
use moorline_noise::{Peer, Peers, Provider, PublicKey, Refusal, Suites};
use moorline_protocol::{
    Admission, CloseReason, EncodeError, Frame, HandledTypes, Kind, Lane, Local, MessageRegistry,
    Opened, Opening, Protocol, ProtocolFactory, Remote, Settings, Step, register_message,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note(pub(crate) u64);
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ask(pub(crate) u64);
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AskOther(pub(crate) u64);
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Talk(pub(crate) u64);
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Numberless;

register_message!(Note as "test.Note", id = 111);
register_message!(Ask as "test.Ask", id = 112 => Ask);
register_message!(AskOther as "test.AskOther", id = 115, answer = 116 => Ask);
register_message!(stream Talk as "test.Talk", id = 113: Note => Note);
register_message!(Numberless as "test.Numberless");

pub(crate) fn kind_of<M: moorline_protocol::Message>() -> Kind {
    Kind::Known(MessageRegistry::process().unwrap().index_of::<M>().unwrap())
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
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
        identity: None,
        suites: Suites::default(),
        realm: String::new(),
        registry: MessageRegistry::process().unwrap(),
        settings,
        recv: RecvPool::default(),
        blocks: BlockPool::new(BlockPoolConfig::messages()),
        boot_id: [7; 8],
        pending: moorline_protocol::PendingHandshakes::default(),
        agent: "tests".into(),
    })
}

/// What a peer says of itself.
#[derive(Clone, Copy)]
pub(crate) struct Who {
    pub(crate) buffersize: u64,
    pub(crate) tags: &'static str,
}

pub(crate) const REAL: Who = Who { buffersize: 4096, tags: "" };

/// One of ours that listens or dials, and the bytes of its peer.
pub(crate) struct Ours {
    pub(crate) dialect: Dialect,
    pub(crate) gofast: Gofast,
    pub(crate) local: Arc<Local>,
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) input: RecvBuffer,
    pub(crate) wire: SendBuffer,
    pub(crate) opened: Option<Box<Opened>>,
    pub(crate) now: Instant,
}

/// What was heard, in short.
pub(crate) type Told = Vec<String>;

impl Ours {
    /// Has asked who is there, and heard nothing.
    pub(crate) fn new(
        dialect: Dialect,
        dials: bool,
        mut settings: GofastSettings,
        limits: Settings,
    ) -> Self {
        if !dials && settings.opaque_start.is_none() {
            // As servers in the examples of gofast have them.
            (settings.opaque_start, settings.opaque_end) = (Some(1000), Some(5999));
        }
        Self::made(dialect, dials, Gofast::with(dialect, settings).unwrap(), local(limits))
    }

    fn made(dialect: Dialect, dials: bool, gofast: Gofast, local: Arc<Local>) -> Self {
        let handled = HandledTypes::new();
        let mut protocol = if dials {
            gofast.initiator(Arc::clone(&local), handled, Remote::Unverified).unwrap()
        } else {
            gofast.responder(Arc::clone(&local), handled, Box::new(Anybody)).unwrap()
        };
        let mut wire = SendBuffer::new(&local.blocks);
        let now = Instant::now();
        protocol.start(now, &mut wire).unwrap();
        let input = local.recv.acquire(2048).unwrap();
        Self { dialect, gofast, local, protocol, input, wire, opened: None, now }
    }

    /// Listens, and has met a peer.
    pub(crate) fn met(dialect: Dialect, settings: GofastSettings, who: Who) -> Self {
        Self::met_with(dialect, settings, who, Settings::default())
    }

    pub(crate) fn met_with(
        dialect: Dialect,
        settings: GofastSettings,
        who: Who,
        limits: Settings,
    ) -> Self {
        Self::new(dialect, false, settings, limits).meet(who)
    }

    /// Both say who they are.
    pub(crate) fn meet(mut self, who: Who) -> Self {
        let dialect = self.dialect;
        let asked = Seen::read(dialect, &self.said());
        self.hear(&frame(dialect, 0x81, asked.opaque, asked.id, &whoami(dialect, who))).unwrap();
        self.hear(&frame(dialect, 0x81, peers(dialect, 0), asked.id, &whoami(dialect, who)))
            .unwrap();
        assert!(self.opened.is_some(), "both have said who they are");
        self.said();
        self
    }

    /// Another connection of the same service, which has heard nothing.
    pub(crate) fn beside(&self) -> Self {
        let mut beside =
            Self::made(self.dialect, false, self.gofast.clone(), Arc::clone(&self.local));
        beside.now = self.now;
        beside
    }

    /// Bytes of the peer's, and what they mean.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Result<Told, CloseReason> {
        self.input.extend_from_slice(bytes)?;
        let mut told = Vec::new();
        loop {
            match self.protocol.next(self.now, &mut self.input, &mut self.wire)? {
                Step::NeedBytes => return Ok(told),
                Step::Opened(opened) => self.opened = Some(opened),
                Step::Frame(frame, _) => told.push(in_short(&frame)),
            }
        }
    }

    /// The rule that these bytes break.
    pub(crate) fn breaks(&mut self, bytes: &[u8]) -> String {
        match self.hear(bytes) {
            Err(reason) => {
                let again = self.protocol.next(self.now, &mut self.input, &mut self.wire);
                assert_eq!(again.unwrap_err(), reason, "an error is final");
                reason.to_string()
            }
            Ok(told) => panic!("it was taken for {told:?}"),
        }
    }

    /// Encodes a frame, and lets it leave.
    pub(crate) fn say(&mut self, frame: &Frame<'_>) -> Result<Vec<u8>, EncodeError> {
        let opened = self.opened.as_mut().unwrap();
        let mut chain = SendBuffer::with_block_max(&self.local.blocks, opened.block_max);
        opened.encoder.encode(frame, Lane::Normal, &mut chain)?;
        while let Some(block) = chain.pop_block() {
            opened.sealing.seal(block, &mut self.wire).unwrap();
        }
        Ok(self.said())
    }

    /// What has been written.
    pub(crate) fn said(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.wire.pop_block()).flat_map(|b| b.bytes().to_vec()).collect()
    }

    pub(crate) fn counts(&self) -> Statistics {
        self.gofast.stats().statistics()
    }

    pub(crate) fn pass(&mut self, time: Duration) -> Result<(), CloseReason> {
        self.now += time;
        self.protocol.handle_timeout(self.now)
    }
}

/// An opaque of the peer's.
pub(crate) fn peers(dialect: Dialect, nth: u64) -> u64 {
    match dialect {
        Dialect::Y2016 => 30_000 + nth,
        Dialect::Y2017 => 160_000 + nth,
    }
}

pub(crate) fn id_of(dialect: Dialect, last_digit: u64) -> u64 {
    *dialect.reserved_ids().start() + last_digit
}

/// A message.
pub(crate) fn message(dialect: Dialect, id: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = minicbor::Encoder::new(&mut out);
    match dialect {
        Dialect::Y2016 => {
            writer.tag(Tag::new(37)).unwrap().begin_map().unwrap();
            writer.u64(39).unwrap().u64(id).unwrap().u64(40).unwrap().bytes(body).unwrap();
        }
        Dialect::Y2017 => {
            writer.tag(Tag::new(43)).unwrap().begin_map().unwrap();
            writer.tag(Tag::new(44)).unwrap().u64(id).unwrap();
            writer.tag(Tag::new(45)).unwrap().bytes(body).unwrap();
        }
    }
    writer.end().unwrap();
    out
}

/// A frame around whatever stands behind the opaque.
pub(crate) fn around(kind: u8, opaque: u64, inner: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let mut writer = minicbor::Encoder::new(&mut packet);
    writer.tag(Tag::new(opaque)).unwrap().bytes(inner).unwrap();
    let mut out = hex("d9d9f7");
    out.push(kind);
    minicbor::Encoder::new(&mut out).bytes(&packet).unwrap();
    out
}

pub(crate) fn frame(dialect: Dialect, kind: u8, opaque: u64, id: u64, body: &[u8]) -> Vec<u8> {
    around(kind, opaque, &message(dialect, id, body))
}

pub(crate) fn end(dialect: Dialect, opaque: u64) -> Vec<u8> {
    let mut packet = Vec::new();
    minicbor::Encoder::new(&mut packet).tag(Tag::new(opaque)).unwrap();
    packet.push(if dialect == Dialect::Y2016 { 0xff } else { 0x40 });
    let mut out = hex("d9d9f7c8");
    minicbor::Encoder::new(&mut out).bytes(&packet).unwrap();
    if dialect == Dialect::Y2017 {
        out.push(0xff);
    }
    out
}

pub(crate) fn whoami(dialect: Dialect, who: Who) -> Vec<u8> {
    let tags = who.tags.as_bytes();
    match dialect {
        Dialect::Y2016 => {
            let mut out = Vec::new();
            let mut writer = minicbor::Encoder::new(&mut out);
            writer.begin_array().unwrap().bytes(b"client").unwrap().u64(1).unwrap();
            writer.u64(who.buffersize).unwrap().bytes(tags).unwrap().end().unwrap();
            out
        }
        Dialect::Y2017 => {
            let len = u16::try_from(tags.len()).unwrap().to_be_bytes();
            [b"\x06client\x01", &who.buffersize.to_be_bytes()[..], &len, tags].concat()
        }
    }
}

pub(crate) fn ping(dialect: Dialect, text: &str) -> Vec<u8> {
    match dialect {
        Dialect::Y2016 => {
            let mut out = Vec::new();
            let mut writer = minicbor::Encoder::new(&mut out);
            writer.begin_array().unwrap().bytes(text.as_bytes()).unwrap().end().unwrap();
            out
        }
        Dialect::Y2017 => {
            [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
        }
    }
}

/// A frame of ours, read by a library that is not ours.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) kind: u8,
    pub(crate) opaque: u64,
    pub(crate) id: u64,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn read(dialect: Dialect, bytes: &[u8]) -> Self {
        let mut all = Self::read_all(dialect, bytes);
        assert_eq!(all.len(), 1, "{bytes:02x?}");
        all.pop().unwrap()
    }

    pub(crate) fn read_all(dialect: Dialect, mut bytes: &[u8]) -> Vec<Self> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            assert_eq!(bytes[..3], hex("d9d9f7"));
            let kind = bytes[3];
            let mut outer = minicbor::Decoder::new(&bytes[4..]);
            let mut packet = minicbor::Decoder::new(outer.bytes().unwrap());
            let opaque = packet.tag().unwrap().as_u64();
            let ends = kind == 0xc8;
            let trails = usize::from(ends && dialect == Dialect::Y2017);
            bytes = &bytes[4 + outer.position() + trails..];
            if ends {
                all.push(Self { kind, opaque, id: 0, body: Vec::new() });
                continue;
            }
            let mut message = minicbor::Decoder::new(packet.bytes().unwrap());
            message.tag().unwrap();
            message.map().unwrap();
            let key = |message: &mut minicbor::Decoder<'_>| match dialect {
                Dialect::Y2016 => message.u64().unwrap(),
                Dialect::Y2017 => message.tag().unwrap().as_u64(),
            };
            key(&mut message);
            let id = message.u64().unwrap();
            key(&mut message);
            let body = message.bytes().unwrap().to_vec();
            all.push(Self { kind, opaque, id, body });
        }
        all
    }
}

fn in_short(frame: &Frame<'_>) -> String {
    let name = |kind: &Kind| match kind {
        Kind::Known(index) => MessageRegistry::process().unwrap().name_of(*index).unwrap().into(),
        Kind::Unknown { tid, .. } => format!("unknown {tid}"),
    };
    match frame {
        Frame::Post { kind, body, .. } => format!("post {} {}", name(kind), body.len()),
        Frame::Request { id, kind, body, .. } => {
            format!("request {id} {} {}", name(kind), body.len())
        }
        Frame::Response { id, body } => format!("response {id} {}", body.len()),
        Frame::Error { id, code, message, .. } => format!("error {id} {} {message}", code.0),
        Frame::Cancel { id } => format!("cancel {id}"),
        Frame::Ping { nonce } => format!("ping {nonce}"),
        Frame::Pong { nonce } => format!("pong {nonce}"),
        Frame::Heartbeat { count } => format!("heartbeat {count}"),
        Frame::Open { stream, opening: Opening::Typed { kind, body }, .. } => {
            format!("open {stream} {} {}", name(kind), body.len())
        }
        Frame::Open { stream, opening: Opening::Raw { name }, .. } => {
            format!("open {stream} {name:?}")
        }
        Frame::Data { stream, body, .. } => format!("data {stream} {}", body.len()),
        Frame::End { stream, trailer } => format!("end {stream} {}", trailer.len()),
        Frame::Reset { stream, code, message } => format!("reset {stream} {} {message}", code.0),
        Frame::GoAway { obeyed, .. } => format!("goaway {obeyed}"),
        Frame::Close { code, message } => format!("close {} {message}", code.0),
        other => format!("{other:?}"),
    }
}
