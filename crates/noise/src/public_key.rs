//! Public keys and their fingerprints, as text and as bytes.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

use crate::limits::KEY_LEN;

/// What stands before a public key in files.
const PREFIX: &str = "moorline-public-1:";

/// An X25519 public key: who a peer is.
///
/// `Display` is the bare base64url of 43 characters that stands in URLs; [`PublicKey::to_line`] has
/// the prefix of files; [`FromStr`] takes both.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; KEY_LEN]);

impl PublicKey {
    /// A key from its 32 bytes, as they are on the wire.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> PublicKey {
        PublicKey(bytes)
    }

    /// The 32 bytes as they are on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// Whether the number is below 2^255 - 19. No other is the result of a computation, and with it
    /// one key would have two spellings: on a list, and off it.
    pub(crate) fn is_canonical(&self) -> bool {
        is_canonical(&self.0)
    }

    /// `moorline-public-1:` and the base64url of the key, as in files and peer lists.
    #[must_use]
    pub fn to_line(&self) -> String {
        format!("{PREFIX}{self}")
    }

    /// A short form for people to compare.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let hash = Sha256::digest(self.0);
        let text = BASE32_NOPAD.encode(&hash);
        let mut symbols = [0; Fingerprint::SYMBOLS];
        symbols.copy_from_slice(&text.as_bytes()[..Fingerprint::SYMBOLS]);
        Fingerprint(symbols)
    }
}

impl ConstantTimeEq for PublicKey {
    fn ct_eq(&self, other: &PublicKey) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BASE64URL_NOPAD.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<PublicKey, PublicKeyError> {
        if text.starts_with("moorline-secret-") {
            return Err(PublicKeyError::Secret);
        }
        let encoded = match text.strip_prefix(PREFIX) {
            Some(rest) => rest,
            None if text.contains(':') => return Err(PublicKeyError::Prefix),
            None => text,
        };
        let bytes = decode_key(encoded.as_bytes()).ok_or(PublicKeyError::Encoding)?;
        if !is_canonical(&bytes) {
            return Err(PublicKeyError::NotCanonical);
        }
        Ok(PublicKey(bytes))
    }
}

/// 32 bytes from exactly 43 characters of base64url without padding.
fn decode_key(encoded: &[u8]) -> Option<[u8; KEY_LEN]> {
    let mut bytes = [0; KEY_LEN];
    if BASE64URL_NOPAD.decode_len(encoded.len()) != Ok(KEY_LEN) {
        return None;
    }
    BASE64URL_NOPAD.decode_mut(encoded, &mut bytes).ok()?;
    Some(bytes)
}

/// Whether the little-endian number is below 2^255 - 19, so that one key has one spelling.
fn is_canonical(bytes: &[u8; KEY_LEN]) -> bool {
    let above_prime =
        bytes[31] == 0x7f && bytes[1..31].iter().all(|byte| *byte == 0xff) && bytes[0] >= 0xed;
    bytes[31] & 0x80 == 0 && !above_prime
}

/// The first 100 bits of SHA-256 of a public key, in base32: `XXXXX-XXXXX-XXXXX-XXXXX`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; Fingerprint::SYMBOLS]);

impl Fingerprint {
    const SYMBOLS: usize = 20;
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, symbol) in self.0.iter().enumerate() {
            if at > 0 && at % 5 == 0 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*symbol))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// It begins like a secret key.
    #[error(
        "this is a secret key where a public one belongs; print the public one with `moor key \
         show`, and replace the secret if anybody else has seen it"
    )]
    Secret,
    /// It has a prefix, but not that of a public key in a version known here.
    #[error("a public key begins with {PREFIX} or has no prefix at all")]
    Prefix,
    /// The key is not 32 bytes of base64url.
    #[error("a public key is 43 characters of base64url (A-Z a-z 0-9 - _) without padding")]
    Encoding,
    /// The bytes spell a key that has another, proper spelling.
    #[error("the key is not below 2^255 - 19; copy it again from where it was made")]
    NotCanonical,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PublicKey {
        PublicKey::from_bytes([byte; 32])
    }

    #[test]
    fn both_spellings_come_back() {
        let key = key(7);
        assert_eq!(key.to_string().len(), 43);
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(key.to_line().parse(), Ok(key));
        assert_eq!(key.to_line(), format!("moorline-public-1:{key}"));
    }

    #[test]
    fn a_fingerprint_is_four_groups_of_five() {
        // SHA-256 of 32 zero bytes begins 66687aadf862bd776c8fc18b8e.
        let text = key(0).fingerprint().to_string();
        assert_eq!(text, "MZUHV-LPYMK-6XO3E-PYGFY");
        assert_eq!(format!("{:?}", key(0)), format!("PublicKey({text})"));
    }

    #[test]
    fn every_misspelling_has_its_own_error() {
        let parse = |text: &str| text.parse::<PublicKey>();
        let good = key(7).to_string();
        assert_eq!(parse("moorline-secret-1:abc:def"), Err(PublicKeyError::Secret));
        assert_eq!(parse(&format!("moorline-public-2:{good}")), Err(PublicKeyError::Prefix));
        assert_eq!(parse(&good[1..]), Err(PublicKeyError::Encoding));
        assert_eq!(parse(&format!("{good}=")), Err(PublicKeyError::Encoding));
        assert_eq!(parse(&format!(" {good}")), Err(PublicKeyError::Encoding));
        assert_eq!(parse(""), Err(PublicKeyError::Encoding));
        // The last character holds four bits; 'd' sets the two that must be zero.
        assert_eq!(parse(&format!("{}d", &good[..42])), Err(PublicKeyError::Encoding));
        assert_eq!(parse(&key(0xff).to_string()), Err(PublicKeyError::NotCanonical));
    }

    #[test]
    fn the_largest_key_is_the_one_below_the_prime() {
        let mut bytes = [0xff; 32];
        bytes[31] = 0x7f;
        bytes[0] = 0xed;
        assert!(!is_canonical(&bytes));
        bytes[0] = 0xec;
        assert!(is_canonical(&bytes));
    }
}
