//! What the fuzz targets of this crate do with their bytes. The targets in `fuzz/` and the replay of
//! their corpora, `tests/corpora.rs`, both run these functions.
//!
//! Randomness and keys are constants, so that the same bytes always do the same, and so that genuine
//! openings can be part of a corpus.
#![allow(dead_code, clippy::unwrap_used, reason = "a target may fail loudly")]

pub(crate) mod bodies;
#[cfg(feature = "cbor")]
pub(crate) mod cbor;
pub(crate) mod frames;
pub(crate) mod plain;
pub(crate) mod setup;

use std::sync::Arc;
use std::time::Instant;

use moorline_buffers::{BlockPool, BlockPoolConfig, RecvPool, SendBuffer};
use moorline_noise::provider::{RandomError, Rng};
use moorline_noise::{Identity, Peer, Peers, Provider, PublicKey, Refusal, Suite, Suites};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{
    Admission, HandledTypes, Local, MessageRegistry, ProtocolFactory, Settings, Step,
};

/// Bytes that count up from a constant.
struct Constant(u8);

impl Rng for Constant {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        (self.0..=u8::MAX).cycle().zip(out).for_each(|(byte, to)| *to = byte);
        Ok(())
    }
}

pub(crate) fn dialers() -> Provider {
    Provider { rng: &Constant(0x21), ..Provider::pure() }
}

pub(crate) fn listeners() -> Provider {
    Provider { rng: &Constant(0x42), ..Provider::pure() }
}

pub(crate) fn local(provider: Provider, suite: Suite) -> Arc<Local> {
    Arc::new(Local {
        provider,
        identity: Some(Arc::new(Identity::generate(&provider).unwrap())),
        suites: Suites::only(&[suite]).also(Suite::IkHfsChaCha).also(Suite::NkHfsChaCha),
        realm: String::new(),
        registry: MessageRegistry::empty(),
        settings: Settings::default(),
        recv: RecvPool::default(),
        blocks: BlockPool::new(BlockPoolConfig::messages()),
        boot_id: [7; 8],
        pending: Default::default(),
        agent: "fuzz".to_owned(),
    })
}

struct List(Peers);

impl Admission for List {
    fn admit(&self, key: Option<&PublicKey>) -> Result<Peer, Refusal> {
        self.0.admit(key, None, 0)
    }
}

/// The first byte says which protocol and how the rest is cut; the rest is what a peer sends that
/// nobody knows. What it gets to read and to keep stays within limits, whatever it is. Returns whether
/// that was a genuine opening.
pub(crate) fn hello(data: &[u8]) -> bool {
    let Some((first, mut rest)) = data.split_first() else { return false };
    let factory = if first & 1 == 0 { Msgpack::sealed() } else { Msgpack::plain() };
    let chunk = [usize::MAX, 1, 7, 64][usize::from(first >> 1) % 4];
    let local = local(listeners(), Suite::IkHfsAes);
    let admission = Box::new(List(Peers::anyone().and_anonymous()));
    let made = factory.responder(Arc::clone(&local), HandledTypes::new(), admission);
    let (mut protocol, now) = (made.unwrap(), Instant::now());
    let (mut input, mut out) = (local.recv.acquire(2_048).unwrap(), SendBuffer::new(&local.blocks));
    protocol.start(now, &mut out).unwrap();
    let mut opened = false;
    loop {
        match protocol.next(now, &mut input, &mut out) {
            Ok(Step::Opened(_)) => {
                opened = true;
                continue;
            }
            Ok(Step::Frame(..)) => continue,
            Ok(Step::NeedBytes) if rest.is_empty() => return opened,
            Ok(Step::NeedBytes) => {}
            Err(_closed) => return opened,
        }
        let room = protocol.read_capacity().saturating_sub(input.len()).max(1);
        let want = room.min(chunk).min(rest.len());
        if input.reserve(want).is_err() {
            return opened;
        }
        let len = want.min(input.spare_mut().len());
        input.spare_mut()[..len].copy_from_slice(&rest[..len]);
        input.commit(len);
        rest = &rest[len..];
        assert!(out.len() < 1 << 20, "a peer that reads nothing makes us write");
    }
}
