//! Records: sealing and opening a slice in place, one half for each direction.

use std::fmt;

use thiserror::Error;
use zeroize::Zeroize;

use crate::limits::{
    EPOCH_BYTES_SEND_MAX, EPOCH_RECORDS_MAX, EPOCH_RECORDS_SEND_MAX, KEY_LEN, MESSAGE_LEN_MAX,
    NONCE_RESERVED, TAG_LEN,
};
use crate::provider::{AeadContext, Cipher, Provider};
use crate::secret::Secret;

/// The sending half: seals records one after the other.
pub struct Sealer {
    half: Half,
}

impl Sealer {
    pub(crate) fn new(key: Secret, cipher: Cipher, provider: Provider) -> Sealer {
        Sealer { half: Half::new(key, cipher, provider) }
    }

    //= docs/PROTOCOL.md#3
    /// Encrypts `body` in place under the next nonce, with `ad` (the header of the record)
    /// authenticated beside it, and writes its tag.
    ///
    /// # Errors
    /// [`RecordError::Length`] for an empty body or one longer than fits a record, with nothing
    /// changed; [`RecordError::Exhausted`] when only [`Sealer::rekey`] helps;
    /// [`RecordError::Dead`] after the provider has failed.
    pub fn seal(
        &mut self,
        ad: &[u8],
        body: &mut [u8],
        tag: &mut [u8; TAG_LEN],
    ) -> Result<(), RecordError> {
        let len = body.len();
        if len == 0 || len > MESSAGE_LEN_MAX - TAG_LEN {
            return Err(RecordError::Length { len: len.saturating_add(TAG_LEN) });
        }
        let nonce = self.half.next_nonce()?;
        if self.half.context().seal(&nonce, ad, body, tag).is_err() {
            // The nonce may be spent and the body half encrypted: neither is used again.
            body.zeroize();
            self.half.kill();
            return Err(RecordError::Dead);
        }
        self.half.advance(len);
        Ok(())
    }

    /// Replaces the key by the one Noise's `REKEY` derives from it. The counter goes on.
    pub fn rekey(&mut self) {
        self.half.rekey();
    }

    /// Records sealed under the present key.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.half.records
    }

    /// Bytes of plaintext sealed under the present key.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.half.bytes
    }

    //= docs/PROTOCOL.md#3
    /// Whether the sender owes its peer a new key, by what was sealed under the present one. The
    /// third reason, time, is the caller's.
    #[must_use]
    pub fn owes_rekey(&self) -> bool {
        self.half.records >= EPOCH_RECORDS_SEND_MAX || self.half.bytes >= EPOCH_BYTES_SEND_MAX
    }

    /// Drops the expanded cipher and keeps 32 bytes of key and the counters: for an idle session.
    /// The next use expands it again.
    pub fn park(&mut self) {
        self.half.context = None;
    }
}

/// The receiving half: opens records one after the other.
pub struct Opener {
    half: Half,
}

impl Opener {
    pub(crate) fn new(key: Secret, cipher: Cipher, provider: Provider) -> Opener {
        Opener { half: Half::new(key, cipher, provider) }
    }

    //= docs/PROTOCOL.md#3
    /// Verifies and decrypts one record in place: `sealed` is ciphertext and then 16 bytes of tag.
    /// Returns the length of the plaintext, which stands at the front.
    ///
    /// # Errors
    /// On any error `sealed` is wiped and the half is dead: its key is gone, and every later call
    /// gives [`RecordError::Dead`].
    pub fn open(&mut self, ad: &[u8], sealed: &mut [u8]) -> Result<usize, RecordError> {
        let result = self.try_open(ad, sealed);
        if result.is_err() {
            sealed.zeroize();
            self.half.kill();
        }
        result
    }

    fn try_open(&mut self, ad: &[u8], sealed: &mut [u8]) -> Result<usize, RecordError> {
        let nonce = self.half.next_nonce()?;
        let len = sealed.len();
        if len <= TAG_LEN || len > MESSAGE_LEN_MAX {
            return Err(RecordError::Length { len });
        }
        let (body, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().expect("length was checked");
        let opened = self.half.context().open(&nonce, ad, body, tag);
        opened.map_err(|_forged| RecordError::Tag)?;
        let len = body.len();
        self.half.advance(len);
        Ok(len)
    }

    /// Replaces the key by the one Noise's `REKEY` derives from it. The counter goes on.
    pub fn rekey(&mut self) {
        self.half.rekey();
    }

    /// Records opened under the present key.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.half.records
    }

    /// Bytes of plaintext opened under the present key.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.half.bytes
    }

    /// Whether a record was refused, after which nothing more is opened.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.half.key.is_none()
    }

    /// Drops the expanded cipher and keeps 32 bytes of key and the counters: for an idle session.
    /// The next use expands it again.
    pub fn park(&mut self) {
        self.half.context = None;
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.half.describe("Sealer", f)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.half.describe("Opener", f)
    }
}

/// What both directions have: a key, and how much it was used.
struct Half {
    /// Gone once the half is dead.
    key: Option<Secret>,
    /// The key expanded; built on first use, dropped when parked.
    context: Option<Box<dyn AeadContext>>,
    cipher: Cipher,
    provider: Provider,
    /// Of the next record; never reset, so that no nonce comes twice whatever the key is.
    counter: u64,
    records: u64,
    bytes: u64,
}

impl Half {
    fn new(key: Secret, cipher: Cipher, provider: Provider) -> Half {
        Half { key: Some(key), context: None, cipher, provider, counter: 0, records: 0, bytes: 0 }
    }

    fn next_nonce(&self) -> Result<[u8; 12], RecordError> {
        if self.key.is_none() {
            return Err(RecordError::Dead);
        }
        if self.counter == NONCE_RESERVED || self.records >= EPOCH_RECORDS_MAX {
            return Err(RecordError::Exhausted);
        }
        Ok(self.cipher.nonce(self.counter))
    }

    /// The expanded key. Only called after `next_nonce`, which knows that there is a key.
    fn context(&mut self) -> &dyn AeadContext {
        let (key, provider) = (&self.key, self.provider);
        let context = self.context.get_or_insert_with(|| {
            let key = key.as_ref().expect("a half without a key gives no nonce");
            provider.aead.context(self.cipher, key.bytes())
        });
        &**context
    }

    fn advance(&mut self, len: usize) {
        self.counter += 1;
        self.records += 1;
        self.bytes = self.bytes.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
    }

    /// Noise's `REKEY`: 32 zero bytes sealed under the reserved nonce are the next key.
    fn rekey(&mut self) {
        if self.key.is_none() {
            return;
        }
        let (mut next, mut tag) = (Secret::empty(), [0; TAG_LEN]);
        let nonce = self.cipher.nonce(NONCE_RESERVED);
        let body: &mut [u8; KEY_LEN] = next.bytes_mut();
        if self.context().seal(&nonce, &[], body, &mut tag).is_err() {
            return self.kill();
        }
        tag.zeroize();
        self.key = Some(next);
        self.context = None;
        self.records = 0;
        self.bytes = 0;
    }

    fn kill(&mut self) {
        self.key = None;
        self.context = None;
    }

    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("cipher", &self.cipher)
            .field("records", &self.records)
            .field("bytes", &self.bytes)
            .field("dead", &self.key.is_none())
            .finish_non_exhaustive()
    }
}

/// A record was not sealed or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The record would be empty or too long, or is.
    #[error(
        "a record of {len} bytes with its tag; it has {} to {MESSAGE_LEN_MAX}", TAG_LEN + 1
    )]
    Length {
        /// Its length with tag, in bytes.
        len: usize,
    },
    /// The tag does not verify: forged, damaged, dropped, repeated or out of order.
    #[error("the tag of a record does not verify; close the connection without an answer")]
    Tag,
    /// The key has been used as often as it may be.
    #[error("{EPOCH_RECORDS_MAX} records under one key; call `rekey` and tell the peer first")]
    Exhausted,
    /// An earlier record has failed.
    #[error("an earlier record has failed; close the connection")]
    Dead,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Aead, PrimitiveError};

    fn sealer(provider: Provider) -> Sealer {
        Sealer::new(Secret::copied_from(&[1; KEY_LEN]), Cipher::Aes256Gcm, provider)
    }

    fn seal(sealer: &mut Sealer) -> Result<(), RecordError> {
        sealer.seal(b"", &mut [7; 8], &mut [0; TAG_LEN])
    }

    //= docs/PROTOCOL.md#3
    #[test]
    fn a_key_is_used_so_often_and_then_a_new_one_is_due() {
        let mut sealer = sealer(Provider::pure());
        sealer.half.records = EPOCH_RECORDS_SEND_MAX - 1;
        assert!(!sealer.owes_rekey());
        seal(&mut sealer).unwrap();
        assert!(sealer.owes_rekey());
        sealer.half.records = EPOCH_RECORDS_MAX;
        assert_eq!(seal(&mut sealer), Err(RecordError::Exhausted));
        sealer.rekey();
        assert!(!sealer.owes_rekey());
        seal(&mut sealer).unwrap();
        sealer.half.bytes = EPOCH_BYTES_SEND_MAX;
        assert!(sealer.owes_rekey());
    }

    //= docs/PROTOCOL.md#3
    #[test]
    fn the_last_nonce_is_never_used() {
        let mut sealer = sealer(Provider::pure());
        sealer.half.counter = NONCE_RESERVED - 1;
        seal(&mut sealer).unwrap();
        for _ in 0..2 {
            assert_eq!(seal(&mut sealer), Err(RecordError::Exhausted));
            sealer.rekey();
        }
    }

    #[test]
    fn an_exhausted_opener_is_dead() {
        let key = Secret::copied_from(&[1; KEY_LEN]);
        let mut opener = Opener::new(key, Cipher::Aes256Gcm, Provider::pure());
        opener.half.records = EPOCH_RECORDS_MAX;
        let mut record = [7; 32];
        assert_eq!(opener.open(b"", &mut record), Err(RecordError::Exhausted));
        assert!(opener.is_dead() && record == [0; 32]);
    }

    //= docs/PROTOCOL.md#3
    #[test]
    fn nonces_count_in_the_order_of_their_cipher() {
        let chacha = Cipher::ChaCha20Poly1305.nonce(0x0102);
        assert_eq!(chacha, [0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
        let aes = Cipher::Aes256Gcm.nonce(0x0102);
        assert_eq!(aes, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }

    /// Fails whatever it is asked.
    struct Broken;

    impl Aead for Broken {
        fn context(&self, _cipher: Cipher, _key: &[u8; KEY_LEN]) -> Box<dyn AeadContext> {
            Box::new(Broken)
        }
    }

    impl AeadContext for Broken {
        fn seal(
            &self,
            _nonce: &[u8; 12],
            _ad: &[u8],
            _body: &mut [u8],
            _tag: &mut [u8; TAG_LEN],
        ) -> Result<(), PrimitiveError> {
            Err(PrimitiveError::Refused)
        }

        fn open(
            &self,
            _nonce: &[u8; 12],
            _ad: &[u8],
            _body: &mut [u8],
            _tag: &[u8; TAG_LEN],
        ) -> Result<(), PrimitiveError> {
            Err(PrimitiveError::Refused)
        }
    }

    #[test]
    fn a_failing_provider_ends_the_half_and_leaves_no_plaintext() {
        let mut sealer = sealer(Provider { aead: &Broken, ..Provider::pure() });
        let mut body = [7; 8];
        let error = sealer.seal(b"", &mut body, &mut [0; TAG_LEN]);
        assert_eq!((error, body), (Err(RecordError::Dead), [0; 8]));
        assert_eq!(seal(&mut sealer), Err(RecordError::Dead));
        sealer.rekey();
        assert_eq!(seal(&mut sealer), Err(RecordError::Dead));
    }
}
