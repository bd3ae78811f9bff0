//! Two connections back to back, without sessions: what one encodes the other decodes.

use std::sync::Arc;
use std::time::Instant;

use moorline_buffers::{BlockPool, BlockPoolConfig, RecvBuffer, RecvPool, SendBuffer};
use moorline_noise::{Peer, Peers, Provider, PublicKey, Refusal, Suites};
use moorline_protocol::{
    Admission, Body, Encoder, Frame, HandledTypes, Kind, Lane, Local, MessageRegistry, Meta,
    Opened, Protocol, ProtocolRegistry, Remote, Settings, Step,
};

use super::Payload;

/// One direction of a connection.
pub(crate) struct Wire {
    encoder: Arc<dyn Encoder>,
    kind: Kind,
    chain: SendBuffer,
    decoder: Box<dyn Protocol>,
    input: RecvBuffer,
    out: SendBuffer,
    now: Instant,
}

struct Anybody;

impl Admission for Anybody {
    fn admit(&self, key: Option<&PublicKey>) -> Result<Peer, Refusal> {
        Peers::anonymous().admit(key, None, 0)
    }
}

fn local() -> Arc<Local> {
    Arc::new(Local {
        provider: Provider::pure(),
        identity: None,
        suites: Suites::default(),
        realm: String::new(),
        registry: MessageRegistry::process().expect("no two messages have one name"),
        settings: Settings::default(),
        recv: RecvPool::default(),
        blocks: BlockPool::new(BlockPoolConfig::messages()),
        boot_id: [7; 8],
        pending: moorline_protocol::PendingHandshakes::default(),
        agent: "bench".into(),
    })
}

/// A side of a connection that is being opened.
struct Side {
    protocol: Box<dyn Protocol>,
    input: RecvBuffer,
    out: SendBuffer,
    opened: Option<Box<Opened>>,
}

impl Side {
    fn new(local: &Local, mut protocol: Box<dyn Protocol>, now: Instant) -> Self {
        let mut out = SendBuffer::new(&local.blocks);
        protocol.start(now, &mut out).expect("there is memory");
        let input = local.recv.acquire(64 * 1024).expect("there is memory");
        Self { protocol, input, out, opened: None }
    }

    fn hear(&mut self, from: &mut SendBuffer, now: Instant) {
        while let Some(block) = from.pop_block() {
            self.input.extend_from_slice(block.bytes()).expect("there is memory");
        }
        while self.opened.is_none() {
            match self.protocol.next(now, &mut self.input, &mut self.out) {
                Ok(Step::Opened(opened)) => self.opened = Some(opened),
                Ok(_) => return,
                Err(reason) => panic!("{reason}"),
            }
        }
    }
}

impl Wire {
    pub(crate) fn open(protocol: &str) -> Self {
        let registry = ProtocolRegistry::registered().expect("all have names of their own");
        let factory = registry.find(protocol).expect("it is linked");
        let (here, there) = (local(), local());
        let mut handled = HandledTypes::new();
        let index = here.registry.index_of::<Payload>().expect("it is registered");
        handled.insert(index);
        let now = Instant::now();
        let dials = factory
            .initiator(Arc::clone(&here), handled.clone(), Remote::Unverified)
            .expect("nothing is missing");
        let listens = factory
            .responder(Arc::clone(&there), handled, Box::new(Anybody))
            .expect("nothing is missing");
        let (mut dials, mut listens) =
            (Side::new(&here, dials, now), Side::new(&there, listens, now));
        while dials.opened.is_none() || listens.opened.is_none() {
            listens.hear(&mut dials.out, now);
            dials.hear(&mut listens.out, now);
        }
        let opened = dials.opened.expect("it was waited for");
        Self {
            encoder: opened.encoder,
            kind: Kind::Known(index),
            chain: SendBuffer::with_block_max(&here.blocks, opened.block_max),
            decoder: listens.protocol,
            input: listens.input,
            out: listens.out,
            now,
        }
    }

    /// Posts of 64 bytes into blocks, which go back to their pool.
    pub(crate) fn encode(&mut self, frames: u32) {
        self.append(frames);
        self.chain.clear();
    }

    fn append(&mut self, frames: u32) {
        let body = [7; 64];
        for _ in 0..frames {
            let frame = Frame::Post {
                kind: self.kind,
                meta: Meta::default(),
                body: Body::Borrowed(std::hint::black_box(&body)),
            };
            let encoded = self.encoder.encode(&frame, Lane::Normal, &mut self.chain);
            encoded.expect("there is memory");
        }
    }

    /// The same, as bytes.
    pub(crate) fn encoded(&mut self, frames: u32) -> Vec<u8> {
        self.append(frames);
        let blocks = std::iter::from_fn(|| self.chain.pop_block());
        blocks.flat_map(|block| block.bytes().to_vec()).collect()
    }

    /// One read, and all frames in it; how many.
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> u32 {
        self.input.extend_from_slice(bytes).expect("there is memory");
        let mut frames = 0;
        loop {
            match self.decoder.next(self.now, &mut self.input, &mut self.out) {
                Ok(Step::Frame(frame, _)) => {
                    std::hint::black_box(frame);
                    frames += 1;
                }
                Ok(_) => return frames,
                Err(reason) => panic!("{reason}"),
            }
        }
    }
}

/// Says so if what is warm still takes memory.
pub(crate) fn assert_allocates_nothing(work: impl FnOnce()) {
    let count = allocation_counter::measure(work).count_total;
    assert_eq!(count, 0, "allocations of what is warm");
}

/// 64 bytes as bytes, and not as a list of numbers.
pub(crate) mod bytes {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8; 64], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 64], D::Error> {
        struct SixtyFour;
        impl Visitor<'_> for SixtyFour {
            type Value = [u8; 64];

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("64 bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<[u8; 64], E> {
                bytes.try_into().map_err(|_| E::custom("not 64 bytes"))
            }
        }
        from.deserialize_bytes(SixtyFour)
    }
}
