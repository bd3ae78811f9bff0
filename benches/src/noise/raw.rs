//! The ciphers without anything around them, as their own crates offer them.

use aes_gcm::Aes256Gcm;
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::consts::{U12, U16};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use moorline_noise::provider::Cipher;

const KEY: [u8; 32] = [9; 32];

/// Seals a body in place and opens it again.
pub(super) type Work = Box<dyn Fn([u8; 12], &[u8], &mut [u8])>;

pub(super) fn cipher(provider: &str, cipher: Cipher) -> Work {
    match (provider, cipher) {
        ("aws-lc", Cipher::ChaCha20Poly1305) => aws_lc(&aead::CHACHA20_POLY1305),
        ("aws-lc", Cipher::Aes256Gcm) => aws_lc(&aead::AES_256_GCM),
        (_, Cipher::ChaCha20Poly1305) => pure(ChaCha20Poly1305::new(&KEY.into())),
        (_, Cipher::Aes256Gcm) => pure(Aes256Gcm::new(&KEY.into())),
    }
}

fn aws_lc(algorithm: &'static aead::Algorithm) -> Work {
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &KEY).expect("32 bytes"));
    Box::new(move |nonce, ad, body| {
        let with = |nonce| (Nonce::assume_unique_for_key(nonce), Aad::from(ad));
        let (unique, header) = with(nonce);
        let tag = key.seal_in_place_separate_tag(unique, header, body).expect("it seals");
        let (unique, header) = with(nonce);
        key.open_in_place_separate_tag(unique, header, tag.as_ref(), body).expect("it opens");
    })
}

fn pure<C: AeadInOut<NonceSize = U12, TagSize = U16> + 'static>(cipher: C) -> Work {
    Box::new(move |nonce, ad, body| {
        let nonce = (&nonce).into();
        let sealed = cipher.encrypt_inout_detached(nonce, ad, (&mut *body).into());
        let tag = sealed.expect("it seals");
        cipher.decrypt_inout_detached(nonce, ad, body.into(), &tag).expect("it opens");
    })
}
