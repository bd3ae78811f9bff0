//! Where the primitives come from: small traits, and a value that holds one of each.

use std::fmt;

use thiserror::Error;

use crate::limits::{KEM_CIPHERTEXT_LEN, KEM_PUBLIC_LEN, KEY_LEN, TAG_LEN};
use crate::pure;

/// The primitives a handshake and its records are made of.
///
/// A plain value of references, so it can be copied into every connection. [`Provider::pure`] is
/// built in; another crate can supply any of the five, and a test can script the randomness.
#[derive(Clone, Copy)]
pub struct Provider {
    /// What it is called, in logs and in `Debug`.
    pub name: &'static str,
    /// Randomness. Nothing in this crate has any other.
    pub rng: &'static dyn Rng,
    /// X25519.
    pub dh: &'static dyn Dh,
    /// ML-KEM-768.
    pub kem: &'static dyn Kem,
    /// ChaCha20-Poly1305 and AES-256-GCM.
    pub aead: &'static dyn Aead,
    /// SHA-256 and HKDF over it.
    pub hash: &'static dyn Hash,
}

impl Provider {
    /// Pure Rust throughout, randomness from the operating system.
    #[must_use]
    pub const fn pure() -> Provider {
        Provider {
            name: "pure",
            rng: &pure::OsRandom,
            dh: &pure::X25519,
            kem: &pure::MlKem768,
            aead: &pure::Aeads,
            hash: &pure::Sha256,
        }
    }
}

impl Default for Provider {
    fn default() -> Provider {
        Provider::pure()
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({})", self.name)
    }
}

/// A source of unpredictable bytes.
pub trait Rng: Send + Sync {
    /// Fills all of `out`.
    ///
    /// # Errors
    /// If the source cannot give that many bytes now; `out` is then not to be used.
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError>;
}

/// X25519 (RFC 7748), on raw little-endian keys.
pub trait Dh: Send + Sync {
    /// Makes `secret` ready for use. What is made wipes itself when dropped.
    fn key(&self, secret: &[u8; KEY_LEN]) -> Box<dyn DhKey>;
}

/// One secret X25519 key, with all that an implementation computes only once.
pub trait DhKey: Send + Sync {
    /// The public half.
    fn public(&self) -> [u8; KEY_LEN];

    /// The secret shared with the owner of `public`, written to `shared`.
    ///
    /// # Errors
    /// If the result is all zero, because `public` has low order; `shared` is then not to be used.
    fn agree(
        &self,
        public: &[u8; KEY_LEN],
        shared: &mut [u8; KEY_LEN],
    ) -> Result<(), PrimitiveError>;
}

/// ML-KEM-768 (FIPS 203). An implementation that only has a generator of its own may leave `rng`
/// unused: that one must be fed by the operating system too.
pub trait Kem: Send + Sync {
    /// Makes a key pair; the public half goes to `public`.
    ///
    /// # Errors
    /// If there is no randomness.
    fn generate(
        &self,
        rng: &dyn Rng,
        public: &mut [u8; KEM_PUBLIC_LEN],
    ) -> Result<Box<dyn KemSecret>, RandomError>;

    /// Makes a shared secret and the ciphertext from which the owner of `public` gets the same.
    ///
    /// # Errors
    /// [`PrimitiveError::Refused`] for a key outside the modulus, [`PrimitiveError::Random`] if
    /// there is no randomness.
    fn encapsulate(
        &self,
        rng: &dyn Rng,
        public: &[u8; KEM_PUBLIC_LEN],
        ciphertext: &mut [u8; KEM_CIPHERTEXT_LEN],
        shared: &mut [u8; KEY_LEN],
    ) -> Result<(), PrimitiveError>;
}

/// The secret half of an ML-KEM key pair. It wipes itself when dropped.
pub trait KemSecret: Send + Sync {
    /// The shared secret of `ciphertext`. A forged one gives an unrelated secret, not an error.
    ///
    /// # Errors
    /// If the implementation cannot work with its key; `shared` is then not to be used.
    fn decapsulate(
        &self,
        ciphertext: &[u8; KEM_CIPHERTEXT_LEN],
        shared: &mut [u8; KEY_LEN],
    ) -> Result<(), PrimitiveError>;
}

/// Which authenticated cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// ChaCha20-Poly1305 (RFC 8439), `ChaChaPoly` in Noise.
    ChaCha20Poly1305,
    /// AES-256-GCM, `AESGCM` in Noise.
    Aes256Gcm,
}

impl Cipher {
    //= docs/PROTOCOL.md#3
    /// The nonce of message or record `counter`: four zero bytes and the counter, little-endian for
    /// ChaCha20-Poly1305 and big-endian for AES-256-GCM.
    #[must_use]
    pub fn nonce(self, counter: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&match self {
            Cipher::ChaCha20Poly1305 => counter.to_le_bytes(),
            Cipher::Aes256Gcm => counter.to_be_bytes(),
        });
        nonce
    }
}

/// Makes cipher contexts from keys.
pub trait Aead: Send + Sync {
    /// Expands `key` for `cipher`. The context wipes itself when dropped.
    fn context(&self, cipher: Cipher, key: &[u8; KEY_LEN]) -> Box<dyn AeadContext>;
}

/// One expanded key.
pub trait AeadContext: Send + Sync {
    /// Encrypts `body` in place and writes its tag.
    ///
    /// # Errors
    /// If the implementation refuses the lengths; `body` is then not to be sent.
    fn seal(
        &self,
        nonce: &[u8; 12],
        ad: &[u8],
        body: &mut [u8],
        tag: &mut [u8; TAG_LEN],
    ) -> Result<(), PrimitiveError>;

    /// Verifies `tag` and decrypts `body` in place.
    ///
    /// # Errors
    /// If the tag does not verify; `body` is then to be wiped by the caller.
    fn open(
        &self,
        nonce: &[u8; 12],
        ad: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), PrimitiveError>;
}

/// SHA-256 and HKDF (RFC 5869) over it.
pub trait Hash: Send + Sync {
    /// The hash of all `parts`, one after the other.
    fn digest(&self, parts: &[&[u8]]) -> [u8; KEY_LEN];

    /// HKDF-Extract with `salt` and `input`, then HKDF-Expand without info into each of `outputs` in
    /// turn: exactly what Noise calls HKDF. At most three outputs, as in Noise.
    fn derive(&self, salt: &[u8; KEY_LEN], input: &[u8], outputs: &mut [&mut [u8; KEY_LEN]]);

    /// HKDF-Expand of `key` with all parts of `info`, one after the other.
    fn expand(&self, key: &[u8; KEY_LEN], info: &[&[u8]], output: &mut [u8; KEY_LEN]);
}

/// There is no randomness to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the source of randomness failed; try again, and check the operating system if it persists"
)]
pub struct RandomError;

/// A primitive did not give a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PrimitiveError {
    /// The other side's bytes were refused: a point of low order, a key outside the modulus, a tag
    /// that does not verify.
    #[error("the primitive refused its input; drop the message it came in")]
    Refused,
    /// There was no randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}
