//! What both sides say before anything is encrypted, and the capabilities they exchange under the
//! cover of the handshake.

use crate::closed::HandshakeRefusal;
use crate::limits::RECORD_CAPACITY_MAX;

/// The version of the protocol this crate speaks, the only one there is.
pub(crate) const VERSION: u8 = 1;

/// The number that stands for "no cipher suite" in the preamble of `msgpack-plain`.
pub(crate) const SUITE_NONE: u8 = 0;

/// Bytes of a preamble.
pub(crate) const PREAMBLE_LEN: usize = 16;

/// Bytes of the capabilities.
pub(crate) const CAPS_LEN: usize = 32;

const MAGIC: [u8; 4] = *b"MOOR";

/// A stream of bytes, whatever carries it.
const CARRIER_STREAM: u8 = 1;

/// Features of this version: none.
const FEATURES: u32 = 0;

/// The first 16 bytes of a HELLO, in clear and part of the handshake's transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Preamble {
    pub(crate) version_max: u8,
    pub(crate) version_min: u8,
    pub(crate) suite: u8,
}

impl Preamble {
    /// Ours, when we dial with `suite`.
    pub(crate) fn ours(suite: u8) -> Self {
        Self { version_max: VERSION, version_min: VERSION, suite }
    }

    pub(crate) fn to_bytes(self) -> [u8; PREAMBLE_LEN] {
        let mut bytes = [0; PREAMBLE_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = self.version_max;
        bytes[5] = self.version_min;
        bytes[6] = self.suite;
        bytes[7] = CARRIER_STREAM;
        bytes
    }

    //= docs/PROTOCOL.md#2
    /// Reads a peer's. `accepts` says which suites are taken here.
    pub(crate) fn parse(
        bytes: &[u8; PREAMBLE_LEN],
        accepts: impl Fn(u8) -> bool,
    ) -> Result<Self, HandshakeRefusal> {
        let preamble = Self { version_max: bytes[4], version_min: bytes[5], suite: bytes[6] };
        if bytes[..4] != MAGIC {
            return Err(HandshakeRefusal::NotOurProtocol);
        }
        if !has_our_version(preamble.version_min, preamble.version_max) {
            return Err(HandshakeRefusal::Version);
        }
        if !accepts(preamble.suite) {
            return Err(HandshakeRefusal::Suite(preamble.suite));
        }
        if bytes[7] != CARRIER_STREAM {
            return Err(HandshakeRefusal::Carrier);
        }
        if bytes[8..].iter().any(|byte| *byte != 0) {
            return Err(HandshakeRefusal::Reserved);
        }
        Ok(preamble)
    }
}

fn has_our_version(min: u8, max: u8) -> bool {
    (min..=max).contains(&VERSION)
}

/// What a side is capable of: the payload of one of its handshake messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caps {
    pub(crate) version_max: u8,
    pub(crate) version_min: u8,
    /// log2 of the largest record it takes.
    pub(crate) record_log2: u8,
    supported: u32,
    required: u32,
    /// Of the message types it has registered.
    pub(crate) digest: [u8; 8],
    /// Random at its start.
    pub(crate) boot_id: [u8; 8],
}

/// Capabilities that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CapsMalformed;

impl Caps {
    pub(crate) fn ours(record_log2: u8, digest: [u8; 8], boot_id: [u8; 8]) -> Self {
        Self {
            version_max: VERSION,
            version_min: VERSION,
            record_log2,
            supported: FEATURES,
            required: FEATURES,
            digest,
            boot_id,
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; CAPS_LEN] {
        let mut bytes = [0; CAPS_LEN];
        bytes[0] = 1;
        bytes[1] = self.version_max;
        bytes[2] = self.version_min;
        bytes[3] = self.record_log2;
        bytes[4..8].copy_from_slice(&self.supported.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.required.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.digest);
        bytes[24..].copy_from_slice(&self.boot_id);
        bytes
    }

    //= docs/PROTOCOL.md#2
    pub(crate) fn parse(bytes: &[u8; CAPS_LEN]) -> Result<Self, CapsMalformed> {
        let caps = Self {
            version_max: bytes[1],
            version_min: bytes[2],
            record_log2: bytes[3],
            supported: u32_at(bytes, 4),
            required: u32_at(bytes, 8),
            digest: eight_at(bytes, 16),
            boot_id: eight_at(bytes, 24),
        };
        let well_formed = bytes[0] == 1
            && (12..=16).contains(&caps.record_log2)
            && bytes[12..16].iter().all(|byte| *byte == 0)
            && has_our_version(caps.version_min, caps.version_max);
        if well_formed { Ok(caps) } else { Err(CapsMalformed) }
    }

    /// Whether these are the versions that the same side's preamble named in clear.
    pub(crate) fn agrees_with(&self, preamble: &Preamble) -> bool {
        (self.version_min, self.version_max) == (preamble.version_min, preamble.version_max)
    }

    /// Whether it needs something of us that we do not have.
    pub(crate) fn requires_unknown(&self) -> bool {
        self.required & !FEATURES != 0
    }

    /// Bytes of plaintext that one record to this side may hold.
    pub(crate) fn record_capacity(&self) -> usize {
        record_capacity(self.record_log2)
    }
}

//= docs/PROTOCOL.md#3
/// Bytes of plaintext in a record of a receiver that says `record_log2`.
pub(crate) fn record_capacity(record_log2: u8) -> usize {
    (1usize << record_log2.min(16)).min(RECORD_CAPACITY_MAX)
}

fn u32_at(bytes: &[u8; CAPS_LEN], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes were asked for"))
}

fn eight_at(bytes: &[u8; CAPS_LEN], at: usize) -> [u8; 8] {
    bytes[at..at + 8].try_into().expect("eight bytes were asked for")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(_: u8) -> bool {
        true
    }

    //= docs/PROTOCOL.md#2
    #[test]
    fn a_preamble_is_these_bytes() {
        let bytes = Preamble::ours(0x21).to_bytes();
        assert_eq!(bytes, *b"MOOR\x01\x01\x21\x01\0\0\0\0\0\0\0\0");
        assert_eq!(Preamble::parse(&bytes, any), Ok(Preamble::ours(0x21)));
    }

    #[test]
    fn every_field_of_a_preamble_is_checked() {
        let good = Preamble::ours(1).to_bytes();
        let with = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            Preamble::parse(&bytes, |suite| suite == 1).expect_err("one byte is wrong")
        };
        assert_eq!(with(0, b'm'), HandshakeRefusal::NotOurProtocol);
        assert_eq!(with(4, 0), HandshakeRefusal::Version);
        assert_eq!(with(5, 2), HandshakeRefusal::Version);
        assert_eq!(with(6, 2), HandshakeRefusal::Suite(2));
        assert_eq!(with(7, 2), HandshakeRefusal::Carrier);
        for at in 8..16 {
            assert_eq!(with(at, 1), HandshakeRefusal::Reserved);
        }
    }

    #[test]
    fn a_newer_peer_that_still_speaks_our_version_is_welcome() {
        let mut bytes = Preamble::ours(1).to_bytes();
        bytes[4] = 9;
        assert!(Preamble::parse(&bytes, any).is_ok());
    }

    #[test]
    fn caps_go_there_and_back() {
        let caps = Caps::ours(14, *b"digest..", *b"boot id.");
        assert_eq!(Caps::parse(&caps.to_bytes()), Ok(caps));
        assert_eq!(caps.record_capacity(), 16_384);
        assert!(!caps.requires_unknown());
    }

    #[test]
    fn malformed_caps_are_refused() {
        let good = Caps::ours(16, [1; 8], [2; 8]).to_bytes();
        for (at, value) in [(0, 2), (0, 0), (1, 0), (2, 2), (3, 11), (3, 17), (12, 1), (15, 1)] {
            let mut bytes = good;
            bytes[at] = value;
            assert_eq!(Caps::parse(&bytes), Err(CapsMalformed), "byte {at} = {value}");
        }
    }

    #[test]
    fn a_required_feature_is_told_from_an_optional_one() {
        let mut bytes = Caps::ours(16, [1; 8], [2; 8]).to_bytes();
        bytes[7] = 1;
        assert!(!Caps::parse(&bytes).unwrap().requires_unknown());
        bytes[11] = 1;
        assert!(Caps::parse(&bytes).unwrap().requires_unknown());
    }

    //= docs/PROTOCOL.md#3
    #[test]
    fn the_largest_record_fills_64_kib_with_header_and_tag() {
        assert_eq!(record_capacity(16) + 4 + 16, 64 * 1024);
        assert_eq!(record_capacity(12), 4_096);
    }
}
