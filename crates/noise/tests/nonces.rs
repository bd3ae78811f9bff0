//! No key ever seals twice under one nonce: over handshakes with forgeries and records with new keys.
#![expect(clippy::unwrap_used, reason = "a failure here is the failure of the test that called")]

mod dialogue;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use dialogue::{Scripted, identity, read, seal, write};
use moorline_noise::provider::{Aead, AeadContext, Cipher, PrimitiveError};
use moorline_noise::{Handshake, HandshakeConfig, Provider, Suite};

type Used = Arc<Mutex<HashSet<([u8; 32], [u8; 12])>>>;

/// Does what the pure one does, and panics at the second use of a pair of key and nonce.
struct Watching(Used);

impl Aead for Watching {
    fn context(&self, cipher: Cipher, key: &[u8; 32]) -> Box<dyn AeadContext> {
        let inner = Provider::pure().aead.context(cipher, key);
        Box::new(Watched { key: *key, inner, used: Arc::clone(&self.0) })
    }
}

struct Watched {
    key: [u8; 32],
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
        assert!(self.used.lock().unwrap().insert((self.key, *nonce)), "a nonce is used again");
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
    let used = Used::default();
    let aead: &'static Watching = Box::leak(Box::new(Watching(Arc::clone(&used))));
    let (one, two) = (identity(1), identity(2));
    for round in 0..36 {
        let suite = Suite::ALL[round % Suite::ALL.len()];
        let seed = u64::try_from(round).unwrap();
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
        for record in 0..300 {
            let _sealed = (seal(&mut ours, b"same"), seal(&mut theirs, b"same"));
            match record % 10 {
                3 => ours.sealer.rekey(),
                6 => theirs.sealer.rekey(),
                9 => ours.sealer.park(),
                _ => {}
            }
        }
    }
    // Records and key changes alone are 36 x (600 + 60).
    assert!(used.lock().unwrap().len() > 23_760);
}
