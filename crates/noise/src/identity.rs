//! Who we are: a static key pair, and the one line it is kept in.

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::limits::KEY_LEN;
use crate::provider::{DhKey, Provider, RandomError};
use crate::public_key::PublicKey;
use crate::secret::Secret;

/// What stands before a secret key in its file.
const PREFIX: &str = "moorline-secret-1:";

/// A static X25519 key pair.
///
/// It works with the primitives of the provider it was made for, see [`Identity::on`]. There is no
/// `Clone`: share it in an `Arc`. `Debug` shows the fingerprint only. Files are read and
/// written by whoever owns them (mode 0600, made exclusively, synced); here is only their text.
pub struct Identity {
    secret: Secret,
    key: Arc<dyn DhKey>,
    public: PublicKey,
}

impl Identity {
    /// Makes a new key pair.
    ///
    /// # Errors
    /// If the provider has no randomness.
    pub fn generate(provider: &Provider) -> Result<Identity, RandomError> {
        let mut secret = Secret::empty();
        provider.rng.fill(secret.bytes_mut())?;
        Ok(Identity::from_secret(secret, provider))
    }

    /// Reads the text of a key file: one line, `moorline-secret-1:<base64url>:<crc32>`, with or
    /// without a line end. The checksum, eight hexadecimal digits, covers all before its colon.
    ///
    /// # Errors
    /// One for each way in which it can be wrong; none quotes any of the text.
    pub fn parse(text: &str) -> Result<Identity, KeyError> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err(KeyError::Empty);
        }
        if line.contains(['\n', '\r']) {
            return Err(KeyError::Lines);
        }
        if line.starts_with("moorline-public-") {
            return Err(KeyError::Public);
        }
        let rest = line.strip_prefix(PREFIX).ok_or(KeyError::Prefix)?;
        let (encoded, checksum) = rest.split_once(':').ok_or(KeyError::NoChecksum)?;
        let covered = &line[..PREFIX.len() + encoded.len()];
        if checksum != checksum_of(covered) {
            return Err(KeyError::Checksum);
        }
        let secret = decode_secret(encoded.as_bytes()).ok_or(KeyError::Encoding)?;
        Ok(Identity::from_secret(secret, &Provider::pure()))
    }

    /// The text of the key file, without a line end. It wipes itself when dropped.
    #[must_use]
    pub fn to_line(&self) -> Zeroizing<String> {
        // Room for the whole line at once: a string that grows leaves copies behind.
        let mut line = Zeroizing::new(String::with_capacity(128));
        line.push_str(PREFIX);
        let mut encoded = Zeroizing::new([0; 43]);
        BASE64URL_NOPAD.encode_mut(self.secret.bytes(), encoded.as_mut_slice());
        line.push_str(std::str::from_utf8(encoded.as_slice()).expect("base64url is ASCII"));
        let checksum = checksum_of(&line);
        line.push(':');
        line.push_str(&checksum);
        line
    }

    /// The same key pair, ready for another provider: a handshake leaves the static key's part of the
    /// work to the identity, so that nothing is computed from it twice. [`Identity::parse`] makes one
    /// for the pure provider.
    #[must_use]
    pub fn on(&self, provider: &Provider) -> Identity {
        Identity::from_secret(self.secret.fork(), provider)
    }

    /// The half that peers know us by.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    pub(crate) fn from_secret(secret: Secret, provider: &Provider) -> Identity {
        let key: Arc<dyn DhKey> = Arc::from(provider.dh.key(secret.bytes()));
        let public = PublicKey::from_bytes(key.public());
        Identity { secret, key, public }
    }

    pub(crate) fn key(&self) -> &Arc<dyn DhKey> {
        &self.key
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Identity) -> bool {
        self.secret.bytes().ct_eq(other.secret.bytes()).into()
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.public.fingerprint())
    }
}

/// CRC-32 as in zip and Ethernet, so that a mistyped key is told from a wrong one.
fn checksum_of(covered: &str) -> String {
    format!("{:08x}", crc32fast::hash(covered.as_bytes()))
}

fn decode_secret(encoded: &[u8]) -> Option<Secret> {
    if BASE64URL_NOPAD.decode_len(encoded.len()) != Ok(KEY_LEN) {
        return None;
    }
    let mut secret = Secret::empty();
    BASE64URL_NOPAD.decode_mut(encoded, secret.bytes_mut()).ok()?;
    Some(secret)
}

/// Text that is no key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is nothing in it.
    #[error("the key file is empty; make a key with `moor key new`")]
    Empty,
    /// There is more than one line in it.
    #[error("a key file holds exactly one line")]
    Lines,
    /// It holds a public key.
    #[error("this is a public key where a secret one belongs")]
    Public,
    /// It begins with something else.
    #[error("a key file begins with {PREFIX}")]
    Prefix,
    /// There is no checksum behind the key.
    #[error("the key ends without its checksum; the file is probably cut off")]
    NoChecksum,
    /// The checksum is that of another text.
    #[error(
        "the checksum does not fit the key; it was mistyped or damaged, restore it from a copy"
    )]
    Checksum,
    /// The key is not 32 bytes of base64url.
    #[error("a secret key is 43 characters of base64url (A-Z a-z 0-9 - _) without padding")]
    Encoding,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::from_secret(Secret::copied_from(&[0x11; 32]), &Provider::pure())
    }

    /// A line whose checksum is right, whatever the rest is.
    fn checked(covered: &str) -> String {
        format!("{covered}:{}", checksum_of(covered))
    }

    #[test]
    fn a_key_file_comes_back_with_or_without_a_line_end() {
        let line = identity().to_line();
        assert!(line.starts_with("moorline-secret-1:ERERERER"));
        for end in ["", "\n", "\r\n"] {
            assert_eq!(Identity::parse(&format!("{}{end}", *line)), Ok(identity()));
        }
    }

    #[test]
    fn new_identities_differ() {
        let provider = Provider::pure();
        let (one, two) = (Identity::generate(&provider), Identity::generate(&provider));
        assert_ne!(one.unwrap(), two.unwrap());
    }

    #[test]
    fn debug_shows_the_fingerprint_alone() {
        let fingerprint = identity().public().fingerprint();
        assert_eq!(format!("{:?}", identity()), format!("Identity({fingerprint})"));
    }

    #[test]
    fn every_defect_has_its_own_error() {
        let line = identity().to_line();
        let key = &line[PREFIX.len()..PREFIX.len() + 43];
        let error = |text: &str| Identity::parse(text).unwrap_err();
        assert_eq!(error(""), KeyError::Empty);
        assert_eq!(error("\n"), KeyError::Empty);
        assert_eq!(error(&format!("{}\n{}\n", *line, *line)), KeyError::Lines);
        assert_eq!(error(&format!("{}\n\n", *line)), KeyError::Lines);
        assert_eq!(error(&identity().public().to_line()), KeyError::Public);
        assert_eq!(error(&checked(&format!("moorline-secret-2:{key}"))), KeyError::Prefix);
        assert_eq!(error(&format!(" {}", *line)), KeyError::Prefix);
        assert_eq!(error(&format!("{PREFIX}{key}")), KeyError::NoChecksum);
        assert_eq!(error(&format!("{} ", *line)), KeyError::Checksum);
        assert_eq!(error(&checked(&format!("{PREFIX}{}", &key[1..]))), KeyError::Encoding);
        assert_eq!(error(&checked(&format!("{PREFIX}{key}="))), KeyError::Encoding);
    }

    #[test]
    fn any_one_changed_character_is_refused() {
        let line = identity().to_line();
        for at in 0..line.len() {
            let mut bytes = line.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(bytes).unwrap();
            assert!(Identity::parse(&text).is_err(), "character {at}");
        }
    }
}
