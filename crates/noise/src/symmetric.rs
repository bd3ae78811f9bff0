//! Noise's `SymmetricState` with the `CipherState` it contains: transcript hash, chaining key,
//! message key and nonce.

use zeroize::Zeroize;

use crate::handshake_error::HandshakeError;
use crate::limits::{KEY_LEN, TAG_LEN};
use crate::provider::{Cipher, Provider};
use crate::secret::Secret;

pub(crate) struct Symmetric {
    cipher: Cipher,
    provider: Provider,
    hash: [u8; KEY_LEN],
    chaining_key: Secret,
    key: Option<Secret>,
    nonce: u64,
}

impl Symmetric {
    /// `InitializeSymmetric`: a name that fits the hash is padded with zeros, a longer one hashed.
    pub(crate) fn new(name: &str, cipher: Cipher, provider: Provider) -> Symmetric {
        let mut hash = [0; KEY_LEN];
        match hash.get_mut(..name.len()) {
            Some(fits) => fits.copy_from_slice(name.as_bytes()),
            None => hash = provider.hash.digest(&[name.as_bytes()]),
        }
        let chaining_key = Secret::copied_from(&hash);
        Symmetric { cipher, provider, hash, chaining_key, key: None, nonce: 0 }
    }

    /// A second state to work on, so that the first survives a message that turns out forged.
    pub(crate) fn fork(&self) -> Symmetric {
        Symmetric {
            cipher: self.cipher,
            provider: self.provider,
            hash: self.hash,
            chaining_key: self.chaining_key.fork(),
            key: self.key.as_ref().map(Secret::fork),
            nonce: self.nonce,
        }
    }

    pub(crate) fn mix_hash(&mut self, data: &[u8]) {
        self.hash = self.provider.hash.digest(&[&self.hash, data]);
    }

    pub(crate) fn mix_key(&mut self, input: &[u8; KEY_LEN]) {
        let (mut chaining_key, mut key) = (Secret::empty(), Secret::empty());
        self.provider.hash.derive(
            self.chaining_key.bytes(),
            input,
            &mut [chaining_key.bytes_mut(), key.bytes_mut()],
        );
        self.chaining_key = chaining_key;
        self.key = Some(key);
        self.nonce = 0;
    }

    /// `EncryptAndHash`: copies `plain` to the start of `out`, seals it if there is a key, and
    /// returns how many bytes that took. `out` is known to be long enough.
    pub(crate) fn seal(&mut self, plain: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        let (body, rest) = out.split_at_mut(plain.len());
        body.copy_from_slice(plain);
        let mut len = plain.len();
        if let Some(key) = &self.key {
            let nonce = self.cipher.nonce(self.nonce);
            let tag = rest.first_chunk_mut::<TAG_LEN>().expect("the whole message fits");
            let context = self.provider.aead.context(self.cipher, key.bytes());
            context.seal(&nonce, &self.hash, body, tag)?;
            self.nonce += 1;
            len += TAG_LEN;
        }
        self.mix_hash(&out[..len]);
        Ok(len)
    }

    /// `DecryptAndHash`: opens `sealed` into `plain`, whose length says how much is expected. What a
    /// failing tag leaves there is wiped.
    pub(crate) fn open(&mut self, sealed: &[u8], plain: &mut [u8]) -> Result<(), HandshakeError> {
        let (body, tag) = sealed.split_at(plain.len());
        plain.copy_from_slice(body);
        if let Some(key) = &self.key {
            let nonce = self.cipher.nonce(self.nonce);
            let tag = tag.first_chunk::<TAG_LEN>().expect("lengths were checked before");
            let context = self.provider.aead.context(self.cipher, key.bytes());
            if context.open(&nonce, &self.hash, plain, tag).is_err() {
                plain.zeroize();
                return Err(HandshakeError::Tag);
            }
            self.nonce += 1;
        }
        self.mix_hash(sealed);
        Ok(())
    }

    /// Bytes that sealing adds now.
    pub(crate) fn tag_len(&self) -> usize {
        if self.key.is_some() { TAG_LEN } else { 0 }
    }

    /// The transcript so far; at the end, the channel binding.
    pub(crate) fn transcript(&self) -> [u8; KEY_LEN] {
        self.hash
    }

    //= docs/PROTOCOL.md#2
    /// `Split`, and one output more of the same expansion: initiator's key, responder's key, root.
    pub(crate) fn split(&self) -> [Secret; 3] {
        let [mut forth, mut back, mut root] = [Secret::empty(), Secret::empty(), Secret::empty()];
        self.provider.hash.derive(
            self.chaining_key.bytes(),
            &[],
            &mut [forth.bytes_mut(), back.bytes_mut(), root.bytes_mut()],
        );
        [forth, back, root]
    }
}

#[cfg(test)]
mod tests {
    use hkdf::hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    use super::*;
    use crate::suite::Suite;

    fn new(suite: Suite) -> Symmetric {
        Symmetric::new(suite.name(), suite.cipher(), Provider::pure())
    }

    fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(data);
        mac.finalize().into_bytes().to_vec()
    }

    #[test]
    fn a_name_of_hash_length_is_taken_as_it_is_and_a_longer_one_hashed() {
        assert_eq!(new(Suite::Ik).transcript(), *Suite::Ik.name().as_bytes());
        let hybrid = Suite::IkHfsChaCha;
        let hashed = Provider::pure().hash.digest(&[hybrid.name().as_bytes()]);
        assert_eq!(new(hybrid).transcript(), hashed);
    }

    //= docs/PROTOCOL.md#2
    #[test]
    fn the_root_is_the_third_output_of_the_split() {
        let mut symmetric = new(Suite::Ik);
        symmetric.mix_key(&[9; KEY_LEN]);
        let [forth, back, root] = symmetric.split();
        let extracted = hmac(symmetric.chaining_key.bytes(), &[]);
        let first = hmac(&extracted, &[1]);
        let second = hmac(&extracted, &[&first[..], &[2]].concat());
        let third = hmac(&extracted, &[&second[..], &[3]].concat());
        assert_eq!(*forth.bytes(), *first);
        assert_eq!(*back.bytes(), *second);
        assert_eq!(*root.bytes(), *third);
    }
}
