//! Every limit of this crate, each with the reason for its number.

/// Longest Noise message in bytes, tags included: two bytes of length, as Noise fixes it.
pub const MESSAGE_LEN_MAX: usize = 65_535;

/// Length of an AEAD tag in bytes, the same for both ciphers.
pub const TAG_LEN: usize = 16;

/// Length in bytes of every symmetric key, X25519 key, hash and shared secret.
pub const KEY_LEN: usize = 32;

/// Length in bytes of an ML-KEM-768 encapsulation key (FIPS 203).
pub const KEM_PUBLIC_LEN: usize = 1_184;

/// Length in bytes of an ML-KEM-768 ciphertext (FIPS 203).
pub const KEM_CIPHERTEXT_LEN: usize = 1_088;

/// Records after which a sender owes its peer a new key: 2^24 (PROTOCOL 3). With records of at most
/// 64 KiB, this keeps both ciphers far inside the bounds of their security proofs.
pub const EPOCH_RECORDS_SEND_MAX: u64 = 1 << 24;

/// Bytes of plaintext after which a sender owes its peer a new key: 64 GiB (PROTOCOL 3).
pub const EPOCH_BYTES_SEND_MAX: u64 = 64 << 30;

/// Records under one key after which nothing more is opened or sealed: 2^26 (PROTOCOL 3), four times
/// what a sender may use, so that an honest one never meets it.
pub const EPOCH_RECORDS_MAX: u64 = 1 << 26;

/// The nonce Noise keeps for `REKEY`; no record ever uses it.
pub const NONCE_RESERVED: u64 = u64::MAX;

/// Peers in one list. Two hash look-ups cost the same for ten as for this many; the limit bounds the
/// memory (about 200 bytes each) that a mistaken file can take.
pub const PEERS_MAX: usize = 65_536;

/// Longest line of a peer list in bytes: a name, a key and every attribute with room to spare.
pub const PEER_LINE_LEN_MAX: usize = 1_024;

/// Longest name of a peer, a role or a service in bytes: it stands in logs and metrics.
pub const NAME_LEN_MAX: usize = 64;

/// Roles, services or addresses in one attribute of a peer list.
pub const ATTRIBUTE_VALUES_MAX: usize = 64;
