//! The built-in provider: pure Rust, one generation of the RustCrypto and dalek crates.

use aes_gcm::Aes256Gcm;
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::consts::{U12, U16};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use hkdf::Hkdf;
use ml_kem::ml_kem_768::{DecapsulationKey, EncapsulationKey};
use ml_kem::{Decapsulate, KeyExport};
use sha2::Digest;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use crate::limits::{KEM_CIPHERTEXT_LEN, KEM_PUBLIC_LEN, KEY_LEN, TAG_LEN};
use crate::provider::{
    Aead, AeadContext, Cipher, Dh, DhKey, Hash, Kem, KemSecret, PrimitiveError, RandomError, Rng,
};

/// Randomness of the operating system.
pub(crate) struct OsRandom;

impl Rng for OsRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(out).map_err(|_| RandomError)
    }
}

pub(crate) struct X25519;

impl Dh for X25519 {
    fn key(&self, secret: &[u8; KEY_LEN]) -> Box<dyn DhKey> {
        let secret = StaticSecret::from(*secret);
        let public = PublicKey::from(&secret).to_bytes();
        Box::new(X25519Key { secret, public })
    }
}

struct X25519Key {
    secret: StaticSecret,
    public: [u8; KEY_LEN],
}

impl DhKey for X25519Key {
    fn public(&self) -> [u8; KEY_LEN] {
        self.public
    }

    fn agree(
        &self,
        public: &[u8; KEY_LEN],
        shared: &mut [u8; KEY_LEN],
    ) -> Result<(), PrimitiveError> {
        let result = self.secret.diffie_hellman(&PublicKey::from(*public));
        if !result.was_contributory() {
            return Err(PrimitiveError::Refused);
        }
        shared.copy_from_slice(result.as_bytes());
        Ok(())
    }
}

pub(crate) struct MlKem768;

impl Kem for MlKem768 {
    fn generate(
        &self,
        rng: &dyn Rng,
        public: &mut [u8; KEM_PUBLIC_LEN],
    ) -> Result<Box<dyn KemSecret>, RandomError> {
        let mut seed = Zeroizing::new([0; 64]);
        rng.fill(seed.as_mut_slice())?;
        let key = Box::new(DecapsulationKey::from_seed((*seed).into()));
        public.copy_from_slice(key.encapsulation_key().to_bytes().as_slice());
        Ok(key)
    }

    fn encapsulate(
        &self,
        rng: &dyn Rng,
        public: &[u8; KEM_PUBLIC_LEN],
        ciphertext: &mut [u8; KEM_CIPHERTEXT_LEN],
        shared: &mut [u8; KEY_LEN],
    ) -> Result<(), PrimitiveError> {
        let key =
            EncapsulationKey::new(public.into()).map_err(|_invalid| PrimitiveError::Refused)?;
        let mut random = Zeroizing::new([0; 32]);
        rng.fill(random.as_mut_slice())?;
        let (made, mut secret) = key.encapsulate_deterministic((&*random).into());
        ciphertext.copy_from_slice(made.as_slice());
        shared.copy_from_slice(secret.as_slice());
        secret.as_mut_slice().zeroize();
        Ok(())
    }
}

impl KemSecret for DecapsulationKey {
    fn decapsulate(
        &self,
        ciphertext: &[u8; KEM_CIPHERTEXT_LEN],
        shared: &mut [u8; KEY_LEN],
    ) -> Result<(), PrimitiveError> {
        let mut secret = Decapsulate::decapsulate(self, ciphertext.into());
        shared.copy_from_slice(secret.as_slice());
        secret.as_mut_slice().zeroize();
        Ok(())
    }
}

pub(crate) struct Aeads;

impl Aead for Aeads {
    fn context(&self, cipher: Cipher, key: &[u8; KEY_LEN]) -> Box<dyn AeadContext> {
        match cipher {
            Cipher::ChaCha20Poly1305 => Box::new(Context(ChaCha20Poly1305::new(key.into()))),
            Cipher::Aes256Gcm => Box::new(Context(Aes256Gcm::new(key.into()))),
        }
    }
}

struct Context<C>(C);

impl<C> Drop for Context<C> {
    /// The schedule of AES begins with the key itself, and is copied to the stack whenever it is used.
    fn drop(&mut self) {
        wipe_stack();
    }
}

/// Writes over what earlier calls have left on the stack below, as far as this thread went there. It is
/// the most that can be done without `unsafe`, and enough where keys are dropped on the thread that
/// used them.
#[inline(never)]
fn wipe_stack() {
    let mut below = [0_u8; 32_768];
    std::hint::black_box(&mut below);
}

impl<C> AeadContext for Context<C>
where
    C: AeadInOut<NonceSize = U12, TagSize = U16> + Send + Sync,
{
    fn seal(
        &self,
        nonce: &[u8; 12],
        ad: &[u8],
        body: &mut [u8],
        tag: &mut [u8; TAG_LEN],
    ) -> Result<(), PrimitiveError> {
        let made = self
            .0
            .encrypt_inout_detached(nonce.into(), ad, body.into())
            .map_err(|_too_long| PrimitiveError::Refused)?;
        tag.copy_from_slice(made.as_slice());
        Ok(())
    }

    fn open(
        &self,
        nonce: &[u8; 12],
        ad: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), PrimitiveError> {
        self.0
            .decrypt_inout_detached(nonce.into(), ad, body.into(), tag.into())
            .map_err(|_forged| PrimitiveError::Refused)
    }
}

pub(crate) struct Sha256;

impl Hash for Sha256 {
    fn digest(&self, parts: &[&[u8]]) -> [u8; KEY_LEN] {
        let mut hash = sha2::Sha256::new();
        for part in parts {
            hash.update(part);
        }
        hash.finalize().into()
    }

    fn derive(&self, salt: &[u8; KEY_LEN], input: &[u8], outputs: &mut [&mut [u8; KEY_LEN]]) {
        let mut all = Zeroizing::new([0; 3 * KEY_LEN]);
        let wanted = &mut all[..outputs.len() * KEY_LEN];
        let (mut extracted, hkdf) = Hkdf::<sha2::Sha256>::extract(Some(salt), input);
        extracted.as_mut_slice().zeroize();
        hkdf.expand(&[], wanted).expect("three outputs are far below the 255 of HKDF-Expand");
        for (output, made) in outputs.iter_mut().zip(wanted.chunks_exact(KEY_LEN)) {
            output.copy_from_slice(made);
        }
    }

    fn expand(&self, key: &[u8; KEY_LEN], info: &[&[u8]], output: &mut [u8; KEY_LEN]) {
        Hkdf::<sha2::Sha256>::from_prk(key)
            .expect("a key of hash length is long enough")
            .expand_multi_info(info, output)
            .expect("one output is far below the 255 of HKDF-Expand");
    }
}
