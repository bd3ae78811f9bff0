//! Two sides of a handshake in one test.
#![expect(clippy::unwrap_used, reason = "a failure here is the failure of the test that called")]
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::sync::Mutex;

use moorline_noise::provider::{RandomError, Rng};
use moorline_noise::{
    Handshake, HandshakeConfig, HandshakeError, Identity, Provider, PublicKey, Suite, Transport,
};

/// Admits every key.
pub(crate) fn all(_key: &PublicKey) -> bool {
    true
}

/// Randomness that repeats from a seed, or replays what a test wrote down.
pub(crate) struct Scripted(Mutex<Script>);

enum Script {
    Seeded(u64),
    Written(Vec<u8>),
}

impl Scripted {
    /// A provider whose randomness follows from `seed`.
    pub(crate) fn seeded(seed: u64) -> Provider {
        Scripted(Mutex::new(Script::Seeded(seed))).provider()
    }

    /// A provider whose randomness is `bytes`, and then none.
    pub(crate) fn written(bytes: Vec<u8>) -> Provider {
        Scripted(Mutex::new(Script::Written(bytes))).provider()
    }

    fn provider(self) -> Provider {
        Provider { rng: Box::leak(Box::new(self)), ..Provider::pure() }
    }
}

impl Rng for Scripted {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        match &mut *self.0.lock().unwrap() {
            Script::Seeded(state) => out.fill_with(|| next_byte(state)),
            Script::Written(bytes) if bytes.len() < out.len() => return Err(RandomError),
            Script::Written(bytes) => {
                let drawn: Vec<u8> = bytes.drain(..out.len()).collect();
                out.copy_from_slice(&drawn);
            }
        }
        Ok(())
    }
}

/// SplitMix64, its high byte.
pub(crate) fn next_byte(state: &mut u64) -> u8 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).to_be_bytes()[0]
}

/// An identity whose secret is 32 times `byte`.
pub(crate) fn identity(byte: u8) -> Identity {
    Identity::generate(&Scripted::written(vec![byte; 32])).unwrap()
}

/// Both sides of a fresh handshake of `suite`, with all keys it wants and randomness from `seed`.
pub(crate) fn pair(suite: Suite, seed: u64) -> (Handshake, Handshake) {
    pair_of(suite, seed, &identity(1), &identity(2))
}

/// The same between two identities of the test's choice.
pub(crate) fn pair_of(
    suite: Suite,
    seed: u64,
    initiator: &Identity,
    responder: &Identity,
) -> (Handshake, Handshake) {
    let config = |local, remote, seed| HandshakeConfig {
        suite,
        prologue: b"dialogue",
        local,
        remote,
        provider: Scripted::seeded(seed),
    };
    let local = suite.initiator_has_key().then_some(initiator);
    let remote = suite.responder_is_known().then(|| responder.public());
    (
        Handshake::initiator(config(local, remote, seed)).unwrap(),
        Handshake::responder(config(Some(responder), None, seed ^ 0xffff)).unwrap(),
    )
}

/// The next message of `side` with `payload`.
pub(crate) fn write(side: &mut Handshake, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4_096];
    let len = side.write(payload, &mut out).unwrap();
    out.truncate(len);
    out
}

/// `message` read by `side`, which admits everybody: its payload.
pub(crate) fn read(side: &mut Handshake, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let mut payload = vec![0; message.len()];
    let len = side.read(message, &mut payload, &mut all)?;
    payload.truncate(len);
    Ok(payload)
}

/// Runs a handshake to its end, with an empty payload in each message.
pub(crate) fn run(mut initiator: Handshake, mut responder: Handshake) -> (Transport, Transport) {
    while !initiator.is_finished() {
        let (writer, reader) = if initiator.is_my_turn() {
            (&mut initiator, &mut responder)
        } else {
            (&mut responder, &mut initiator)
        };
        let message = write(writer, b"");
        read(reader, &message).unwrap();
    }
    (initiator.finish().unwrap(), responder.finish().unwrap())
}

/// A session of `suite`: the initiator's half and the responder's.
pub(crate) fn session(suite: Suite) -> (Transport, Transport) {
    let (initiator, responder) = pair(suite, 7);
    run(initiator, responder)
}

/// A small record without a header, sealed.
pub(crate) fn seal(side: &mut Transport, body: &[u8]) -> Vec<u8> {
    let mut record = body.to_vec();
    let mut tag = [0; 16];
    side.sealer.seal(b"", &mut record, &mut tag).unwrap();
    record.extend_from_slice(&tag);
    record
}
