//! ChaCha20-Poly1305 and AES-256-GCM.

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use moorline_noise::limits::{KEY_LEN, TAG_LEN};
use moorline_noise::provider::{Aead, AeadContext, Cipher, PrimitiveError};

pub(crate) struct Aeads;

impl Aead for Aeads {
    fn context(&self, cipher: Cipher, key: &[u8; KEY_LEN]) -> Box<dyn AeadContext> {
        let algorithm = match cipher {
            Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            Cipher::Aes256Gcm => &AES_256_GCM,
        };
        let key = UnboundKey::new(algorithm, key).expect("both ciphers take keys of 32 bytes");
        Box::new(Context(LessSafeKey::new(key)))
    }
}

/// *Less safe* is aws-lc's name for a key whose nonces the caller counts: here the records do.
struct Context(LessSafeKey);

impl AeadContext for Context {
    fn seal(
        &self,
        nonce: &[u8; 12],
        ad: &[u8],
        body: &mut [u8],
        tag: &mut [u8; TAG_LEN],
    ) -> Result<(), PrimitiveError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0
            .seal_in_place_scatter(nonce, Aad::from(ad), body, &[], tag)
            .map_err(|_too_long| PrimitiveError::Refused)
    }

    fn open(
        &self,
        nonce: &[u8; 12],
        ad: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), PrimitiveError> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0
            .open_in_place_separate_tag(nonce, Aad::from(ad), tag, body)
            .map(|_plain| ())
            .map_err(|_forged| PrimitiveError::Refused)
    }
}
