//! The messages of a handshake, with a cipher suite or with none.

use std::sync::Arc;

use moorline_noise::{
    Handshake, HandshakeConfig, HandshakeError, PublicKey, Role, Suite, Transport, prologue,
};

use super::preamble::{CAPS_LEN, PREAMBLE_LEN, Preamble, SUITE_NONE};
use crate::settings::Local;

/// The messages that both sides exchange before there are keys, each of an exact length.
pub(super) enum Exchange {
    Noise(Box<Handshake>),
    /// Without a suite each side sends its capabilities in clear.
    Plain {
        role: Role,
        next: usize,
    },
}

impl Exchange {
    //= docs/PROTOCOL.md#2
    /// The exchange that `preamble` announces. It names a suite that exists, or none.
    pub(super) fn new(
        role: Role,
        preamble: &Preamble,
        local: &Arc<Local>,
        remote: Option<PublicKey>,
    ) -> Result<Self, HandshakeError> {
        let Some(suite) = Suite::from_id(preamble.suite) else {
            debug_assert_eq!(preamble.suite, SUITE_NONE, "the preamble was checked");
            return Ok(Self::Plain { role, next: 0 });
        };
        let bytes: [u8; PREAMBLE_LEN] = preamble.to_bytes();
        let config = HandshakeConfig {
            suite,
            prologue: &prologue(&bytes, &local.realm, None),
            local: local.identity.as_deref(),
            remote,
            provider: local.provider,
        };
        Ok(Self::Noise(Box::new(match role {
            Role::Initiator => Handshake::initiator(config)?,
            Role::Responder => Handshake::responder(config)?,
        })))
    }

    pub(super) fn is_finished(&self) -> bool {
        match self {
            Self::Noise(handshake) => handshake.is_finished(),
            Self::Plain { next, .. } => *next == 2,
        }
    }

    pub(super) fn is_my_turn(&self) -> bool {
        match self {
            Self::Noise(handshake) => handshake.is_my_turn(),
            Self::Plain { role, next } => *next == usize::from(*role == Role::Responder),
        }
    }

    /// Bytes that the next message has, whoever sends it.
    pub(super) fn message_len(&self) -> usize {
        match self {
            Self::Noise(handshake) => {
                let payload_len = if self.carries_caps() { CAPS_LEN } else { 0 };
                handshake.suite().message_len(handshake.next_message(), payload_len)
            }
            Self::Plain { .. } => CAPS_LEN,
        }
    }

    //= docs/PROTOCOL.md#2
    /// Whether the next message has capabilities inside: the first of each side that is not in
    /// clear.
    fn carries_caps(&self) -> bool {
        match self {
            Self::Noise(handshake) => {
                let next = handshake.next_message();
                let sender = if next % 2 == 0 { Role::Initiator } else { Role::Responder };
                handshake.suite().caps_message(sender) == next
            }
            Self::Plain { .. } => true,
        }
    }

    /// Writes our next message, which has [`message_len`](Self::message_len) bytes.
    pub(super) fn write(
        &mut self,
        caps: &[u8; CAPS_LEN],
        out: &mut [u8],
    ) -> Result<(), HandshakeError> {
        let payload: &[u8] = if self.carries_caps() { caps } else { &[] };
        match self {
            Self::Noise(handshake) => {
                handshake.write(payload, out)?;
            }
            Self::Plain { next, .. } => {
                out[..CAPS_LEN].copy_from_slice(payload);
                *next += 1;
            }
        }
        Ok(())
    }

    /// Reads the peer's next message, of exactly [`message_len`](Self::message_len) bytes, and
    /// returns its capabilities where it has them.
    pub(super) fn read(
        &mut self,
        message: &[u8],
        admit: &mut dyn FnMut(&PublicKey) -> bool,
    ) -> Result<Option<[u8; CAPS_LEN]>, HandshakeError> {
        let carries_caps = self.carries_caps();
        let mut caps = [0; CAPS_LEN];
        match self {
            Self::Noise(handshake) => {
                handshake.read(message, &mut caps, admit)?;
            }
            Self::Plain { next, .. } => {
                caps.copy_from_slice(message);
                *next += 1;
            }
        }
        Ok(carries_caps.then_some(caps))
    }

    pub(super) fn finish(self) -> Result<Option<(Suite, Transport)>, HandshakeError> {
        match self {
            Self::Noise(handshake) => Ok(Some((handshake.suite(), handshake.finish()?))),
            Self::Plain { .. } => Ok(None),
        }
    }
}
