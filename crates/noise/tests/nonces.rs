//! No key ever seals twice under one nonce: over handshakes with forgeries and records with new keys.
#![expect(clippy::unwrap_used, reason = "a failure here is the failure of the test that called")]

mod dialogue;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use dialogue::{Scripted, identity, read, seal, write};
use moorline_noise::provider::{Aead, AeadContext, Cipher, PrimitiveError};
use moorline_noise::{Handshake, HandshakeConfig, Provider, Suite};

/// Pairs of key and nonce that were used, each as the first 64 bits of the key and the counter in the
/// nonce. Cutting the key short can only give a false alarm, never hide a pair that comes twice.
#[derive(Clone, Default)]
struct Used(Arc<Mutex<HashSet<(u64, u64)>>>);

impl Used {
    fn insert(&self, key: u64, nonce: &[u8; 12]) {
        assert_eq!(nonce[..4], [0; 4], "the nonces of Noise begin with zeros");
        let counter = u64::from_le_bytes(nonce[4..].try_into().unwrap());
        assert!(self.0.lock().unwrap().insert((key, counter)), "a nonce is used again");
    }
}

/// Does what the pure one does, and panics at the second use of a pair of key and nonce.
struct Watching(Used);

impl Aead for Watching {
    fn context(&self, cipher: Cipher, key: &[u8; 32]) -> Box<dyn AeadContext> {
        let inner = Provider::pure().aead.context(cipher, key);
        let key = u64::from_le_bytes(key[..8].try_into().unwrap());
        Box::new(Watched { key, inner, used: self.0.clone() })
    }
}

struct Watched {
    key: u64,
    inner: Box<dyn AeadContext>,
    used: Used,
}

impl AeadContext for Watched {
    fn seal(
        &self,
        nonce: &[u8; 12],
        ad: &[u8],
        body: &mut [u8],
        tag: &mut [u8; 16],
    ) -> Result<(), PrimitiveError> {
        self.used.insert(self.key, nonce);
        self.inner.seal(nonce, ad, body, tag)
    }

    fn open(
        &self,
        nonce: &[u8; 12],
        ad: &[u8],
        body: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), PrimitiveError> {
        self.inner.open(nonce, ad, body, tag)
    }
}

#[test]
fn no_nonce_is_used_twice_with_one_key() {
    // Records and key changes alone are 36 x (600 + 60).
    assert!(operations(36, 300) > 23_760);
}

#[test]
#[ignore = "takes half a minute and some hundred megabytes; the same as above, more often"]
fn no_nonce_is_used_twice_with_one_key_in_ten_million_operations() {
    assert!(operations(1_800, 2_600) > 10_000_000);
}

/// So many sessions of the same two peers, one after the other, and so many records each way in every
/// one; how many operations of the cipher that took.
fn operations(sessions: usize, records: u32) -> usize {
    let used = Used::default();
    let aead: &'static Watching = Box::leak(Box::new(Watching(used.clone())));
    let (one, two) = (identity(1), identity(2));
    for session in 0..sessions {
        let suite = Suite::ALL[session % Suite::ALL.len()];
        let seed = u64::try_from(session).unwrap();
        let config = |local, remote, seed| HandshakeConfig {
            suite,
            prologue: b"",
            local,
            remote,
            provider: Provider { aead, ..Scripted::seeded(seed) },
        };
        let local = suite.initiator_has_key().then_some(&one);
        let remote = suite.responder_is_known().then(|| two.public());
        let mut initiator = Handshake::initiator(config(local, remote, seed)).unwrap();
        let mut responder = Handshake::responder(config(Some(&two), None, !seed)).unwrap();
        for index in 0..suite.messages() {
            let (writer, reader) = if index % 2 == 0 {
                (&mut initiator, &mut responder)
            } else {
                (&mut responder, &mut initiator)
            };
            assert!(writer.write(b"", &mut [0; 8]).is_err(), "the buffer is too short");
            let message = write(writer, b"payload");
            let mut forged = message.clone();
            *forged.last_mut().unwrap() ^= 1;
            if index > 0 {
                read(reader, &forged).unwrap_err();
            }
            read(reader, &message).unwrap();
        }
        let (mut ours, mut theirs) = (initiator.finish().unwrap(), responder.finish().unwrap());
        for record in 0..records {
            let _sealed = (seal(&mut ours, b"same"), seal(&mut theirs, b"same"));
            match record % 10 {
                3 => ours.sealer.rekey(),
                6 => theirs.sealer.rekey(),
                9 => ours.sealer.park(),
                _ => {}
            }
        }
    }
    used.0.lock().unwrap().len()
}
