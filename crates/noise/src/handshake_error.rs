//! Why a handshake did not go on, sorted by whose fault it is.

use thiserror::Error;

use crate::limits::MESSAGE_LEN_MAX;
use crate::provider::{PrimitiveError, RandomError};

/// Whose fault an error is, and with that what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// Ours: the program called in a way it must not.
    Caller,
    /// The peer's: stay silent, count it, close.
    Peer,
    /// The system's: it may work another time.
    System,
}

/// A handshake message was not written or read. The handshake is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The suite and the role need an identity, and there is none.
    #[error("this suite needs an identity here; make one with `Identity::generate` and pass it")]
    IdentityMissing,
    /// The suite needs the responder's key beforehand, and there is none.
    #[error(
        "this suite needs the responder's public key to dial; pass it, or dial with an XX suite"
    )]
    RemoteMissing,
    /// The peer has the same static key as we do.
    #[error("the peer's public key is our own; every process needs an identity of its own")]
    OwnKey,
    /// The peer spells its static key as nobody does who has computed it.
    #[error("the peer's public key is not below 2^255 - 19; close the connection")]
    NotCanonical,
    /// `write` when a message is due from the peer, or `read` when one is due from us.
    #[error("it is the other side's turn; look at `is_my_turn` before calling")]
    Turn,
    /// All messages have been exchanged.
    #[error("the handshake is over; call `finish`")]
    Over,
    /// `finish` before all messages have been exchanged.
    #[error("the handshake is not over; exchange the remaining messages first")]
    NotOver,
    /// The caller's buffer is too short.
    #[error("the buffer holds {given} bytes and the message needs {needed}; pass a longer one")]
    Buffer {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// The message would be longer than Noise allows.
    #[error(
        "a message of {0} bytes is longer than the {MESSAGE_LEN_MAX} of Noise; send less payload"
    )]
    TooLong(usize),
    /// The peer's message cannot have this length.
    #[error("a handshake message of {len} bytes; this one has {min} to {MESSAGE_LEN_MAX}")]
    Length {
        /// Its length in bytes.
        len: usize,
        /// The least that this message can have, without payload.
        min: usize,
    },
    /// A tag does not verify: forged, damaged, meant for another key, prologue or suite.
    #[error(
        "a tag does not verify; the peer uses another key, realm or version, or the bytes are forged"
    )]
    Tag,
    /// A public X25519 key of low order.
    #[error("the peer's X25519 key has low order; close the connection")]
    LowOrder,
    /// An ML-KEM key outside the modulus.
    #[error("the peer's ML-KEM key is outside the modulus; close the connection")]
    KemKey,
    /// The caller's admission rule said no to the peer's key.
    #[error("the peer's key is not admitted; add it to the peer list if it should be")]
    NotAdmitted,
    /// The peer showed another key than the pinned one.
    #[error(
        "the peer's key is not the pinned one; check with its owner before pinning the new one"
    )]
    Unpinned,
    /// There is no randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The provider failed where it must not.
    #[error("the cryptography provider failed on valid input; use another provider")]
    Provider,
}

impl HandshakeError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(self) -> Blame {
        match self {
            HandshakeError::IdentityMissing
            | HandshakeError::RemoteMissing
            | HandshakeError::Turn
            | HandshakeError::Over
            | HandshakeError::NotOver
            | HandshakeError::Buffer { .. }
            | HandshakeError::TooLong(_) => Blame::Caller,
            HandshakeError::OwnKey
            | HandshakeError::NotCanonical
            | HandshakeError::Length { .. }
            | HandshakeError::Tag
            | HandshakeError::LowOrder
            | HandshakeError::KemKey
            | HandshakeError::NotAdmitted
            | HandshakeError::Unpinned => Blame::Peer,
            HandshakeError::Random(_) | HandshakeError::Provider => Blame::System,
        }
    }
}

impl From<PrimitiveError> for HandshakeError {
    /// Where the peer's bytes can be refused, the caller says how itself; anywhere else a refusal is
    /// the provider's.
    fn from(error: PrimitiveError) -> HandshakeError {
        match error {
            PrimitiveError::Random(error) => HandshakeError::Random(error),
            PrimitiveError::Refused => HandshakeError::Provider,
        }
    }
}
