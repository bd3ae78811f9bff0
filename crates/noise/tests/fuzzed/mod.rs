//! What the fuzz targets of this crate do with their bytes. The targets in `fuzz/` and the replay of
//! their corpora, `tests/corpora.rs`, both run these functions.
//!
//! Randomness and keys are constants, so that the same bytes always do the same, and so that genuine
//! messages can be part of a corpus.
#![allow(dead_code, clippy::unwrap_used, reason = "each target uses its part, and may fail loudly")]

use moorline_noise::provider::{RandomError, Rng};
use moorline_noise::{
    Blame, Handshake, HandshakeConfig, Identity, Peers, Provider, PublicKey, RecordError, Suite,
    Transport,
};

/// Bytes that count up from a constant.
struct Constant(u8);

impl Rng for Constant {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        (self.0..=u8::MAX).cycle().zip(out).for_each(|(byte, to)| *to = byte);
        Ok(())
    }
}

fn initiators() -> Provider {
    Provider { rng: &Constant(0x21), ..Provider::pure() }
}

fn responders() -> Provider {
    Provider { rng: &Constant(0x42), ..Provider::pure() }
}

/// Both sides of a handshake that is always the same.
pub(crate) fn pair(suite: Suite) -> (Handshake, Handshake) {
    let one = Identity::generate(&initiators()).unwrap();
    let two = Identity::generate(&responders()).unwrap();
    let config = |local, remote, provider| HandshakeConfig {
        suite,
        prologue: b"fuzz",
        local,
        remote,
        provider,
    };
    let local = suite.initiator_has_key().then_some(&one);
    let remote = suite.responder_is_known().then(|| two.public());
    (
        Handshake::initiator(config(local, remote, initiators())).unwrap(),
        Handshake::responder(config(Some(&two), None, responders())).unwrap(),
    )
}

/// The suite that the first byte names, and the rest.
fn suite_of(data: &[u8]) -> Option<(Suite, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((Suite::ALL[usize::from(*first) % Suite::ALL.len()], rest))
}

pub(crate) fn write(side: &mut Handshake) -> Vec<u8> {
    let mut out = vec![0; 4_096];
    let len = side.write(&[0xca; 32], &mut out).unwrap();
    out.truncate(len);
    out
}

/// `read` of untrusted bytes: an error is the peer's fault and changes nothing.
fn read_untrusted(side: &mut Handshake, message: &[u8]) -> bool {
    let (next, mut payload) = (side.next_message(), vec![0; 1_024]);
    let mut admit = |key: &PublicKey| key.as_bytes()[0] != 0;
    match side.read(message, &mut payload, &mut admit) {
        Ok(len) => {
            assert!(len <= payload.len() && side.next_message() == next + 1);
            true
        }
        Err(error) => {
            // Too long for the buffer above, or what a peer can do wrong.
            let ours = message.len() > 1_024 && error.blame() == Blame::Caller;
            assert!(ours || error.blame() == Blame::Peer, "{error}");
            assert_eq!(side.next_message(), next);
            false
        }
    }
}

/// The rest is message 1, or message 3 where the highest bit of the first byte asks for it.
pub(crate) fn noise_responder(data: &[u8]) {
    let Some((suite, message)) = suite_of(data) else { return };
    let (mut initiator, mut responder) = pair(suite);
    let last = data[0] & 0x80 != 0 && suite.messages() == 3;
    if last {
        let first = write(&mut initiator);
        assert!(read_untrusted(&mut responder, &first));
        let _second = write(&mut responder);
    }
    if read_untrusted(&mut responder, message) {
        if last {
            let _halves = responder.finish().unwrap();
        } else {
            // A key of low order is found here in XX, which has not used it yet.
            let _refused = responder.write(&[], &mut [0; 4_096]);
        }
    } else if !last {
        let genuine = write(&mut initiator);
        assert!(
            read_untrusted(&mut responder, &genuine),
            "a forged message spoiled the genuine one"
        );
    }
}

/// The rest is the answer to message 1.
pub(crate) fn noise_initiator(data: &[u8]) {
    let Some((suite, message)) = suite_of(data) else { return };
    let (mut initiator, mut responder) = pair(suite);
    let first = write(&mut initiator);
    if read_untrusted(&mut initiator, message) {
        if suite.messages() == 3 {
            let _third = write(&mut initiator);
        }
        let _halves = initiator.finish().unwrap();
    } else {
        assert!(read_untrusted(&mut responder, &first));
        let second = write(&mut responder);
        assert!(
            read_untrusted(&mut initiator, &second),
            "a forged message spoiled the genuine one"
        );
    }
}

/// A session whose keys the fuzzer has: the bytes say what is sealed, changed and opened. What was
/// sealed opens, unless something happened to it, and after that nothing does.
pub(crate) fn records_with_known_keys(data: &[u8]) {
    let suite =
        if data.first().is_some_and(|byte| byte & 1 == 1) { Suite::Ik } else { Suite::NkHfsAes };
    let (mut one, mut two) = session(suite);
    let mut rest = data.get(1..).unwrap_or_default();
    while let Some((step, after)) = rest.split_first() {
        rest = after;
        match step % 8 {
            0 => {
                one.sealer.rekey();
                two.opener.rekey();
            }
            1 => one.sealer.park(),
            2 => two.opener.park(),
            3 => {
                // Raw bytes of the fuzzer as a record: nobody has made them.
                let len = rest.len().min(usize::from(*step));
                let mut record = rest[..len].to_vec();
                assert!(two.opener.open(b"head", &mut record).is_err());
                assert!(two.opener.is_dead() && record.iter().all(|byte| *byte == 0));
            }
            _ => {
                let Some((len, after)) = rest.split_first() else { return };
                let len = usize::from(*len).min(after.len());
                let (body, after) = after.split_at(len);
                rest = after;
                if !carries(&mut one, &mut two, body, *step) {
                    return;
                }
            }
        }
    }
}

fn session(suite: Suite) -> (Transport, Transport) {
    let (mut initiator, mut responder) = pair(suite);
    let first = write(&mut initiator);
    assert!(read_untrusted(&mut responder, &first));
    let second = write(&mut responder);
    assert!(read_untrusted(&mut initiator, &second));
    (initiator.finish().unwrap(), responder.finish().unwrap())
}

/// Whether there is more to try after this record.
fn carries(one: &mut Transport, two: &mut Transport, body: &[u8], step: u8) -> bool {
    let (mut record, mut tag) = (body.to_vec(), [0; 16]);
    match one.sealer.seal(b"head", &mut record, &mut tag) {
        Ok(()) => record.extend_from_slice(&tag),
        Err(error) => {
            assert_eq!((body.len(), error), (0, RecordError::Length { len: 16 }));
            return true;
        }
    }
    let flips = step & 0x40 != 0;
    if flips {
        let at = usize::from(step >> 3) % record.len();
        record[at] ^= 1 << (step & 7);
    }
    let dead = two.opener.is_dead();
    match two.opener.open(b"head", &mut record) {
        Ok(len) => {
            assert!(!flips && !dead);
            assert_eq!(record[..len], *body);
            true
        }
        Err(error) => {
            assert!(flips || dead);
            let expected = if dead { RecordError::Dead } else { RecordError::Tag };
            assert_eq!(error, expected);
            assert!(record.iter().all(|byte| *byte == 0));
            false
        }
    }
}

/// Whatever stands in a file of peers or a key file, there is a list or one error that says where.
pub(crate) fn peers_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Peers::parse(text) {
        Ok(peers) => {
            assert!(peers.len() <= text.lines().count());
            let key = PublicKey::from_bytes([7; 32]);
            let _verdict = peers.admit(Some(&key), None, 1_800_000_000);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(identity) = Identity::parse(text) {
        assert_eq!(text.trim_end_matches(['\r', '\n']), identity.to_line().as_str());
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        assert!(text == key.to_string() || text == key.to_line());
    }
}
