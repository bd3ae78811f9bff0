//! What a finished handshake leaves: two one-way halves and the secrets that bind to them.

use std::fmt;

use crate::limits::KEY_LEN;
use crate::provider::Provider;
use crate::public_key::PublicKey;
use crate::record::{Opener, Sealer};
use crate::secret::Secret;
use crate::suite::{Role, Suite};
use crate::symmetric::Symmetric;

/// Everything a session needs from its handshake. The halves are independent and may go to different
/// threads.
#[must_use = "both halves are needed for a session"]
pub struct Transport {
    /// Seals what we send.
    pub sealer: Sealer,
    /// Opens what the peer sends.
    pub opener: Opener,
    /// The handshake hash: equal on both sides, different for every session, not secret. What is
    /// signed together with it is bound to this session.
    pub binding: [u8; KEY_LEN],
    /// Who the peer is; nobody knows for the initiator of an NK suite.
    pub remote: Option<PublicKey>,
    /// Derives further keys of this session.
    pub exporter: Exporter,
}

impl Transport {
    pub(crate) fn new(
        symmetric: &Symmetric,
        role: Role,
        suite: Suite,
        provider: Provider,
        remote: Option<PublicKey>,
    ) -> Transport {
        let [forth, back, root] = symmetric.split();
        let (ours, theirs) = match role {
            Role::Initiator => (forth, back),
            Role::Responder => (back, forth),
        };
        Transport {
            sealer: Sealer::new(ours, suite.cipher(), provider),
            opener: Opener::new(theirs, suite.cipher(), provider),
            binding: symmetric.transcript(),
            remote,
            exporter: Exporter { root, provider },
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("remote", &self.remote).finish_non_exhaustive()
    }
}

/// Derives keys that only the two ends of this session know.
pub struct Exporter {
    root: Secret,
    provider: Provider,
}

impl Exporter {
    //= docs/PROTOCOL.md#2
    /// Thirty-two bytes, equal on both sides, for one use named by `label` and `context`.
    ///
    /// # Panics
    /// If `label` contains a zero byte, which is what ends it: a label is a constant of the program.
    #[must_use]
    pub fn export(&self, label: &str, context: &[u8]) -> [u8; KEY_LEN] {
        assert!(!label.contains('\0'), "an export label contains no zero byte");
        let mut output = [0; KEY_LEN];
        let info: [&[u8]; 3] = [label.as_bytes(), &[0], context];
        self.provider.hash.expand(self.root.bytes(), &info, &mut output);
        output
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter(32 bytes)")
    }
}
