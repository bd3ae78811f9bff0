//! Handshake patterns as data: what each message carries, in order.

use crate::limits::{KEM_CIPHERTEXT_LEN, KEM_PUBLIC_LEN, KEY_LEN, TAG_LEN};

/// One step of a handshake message, named as in the Noise specification and its HFS extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// The ephemeral X25519 key, always in the clear.
    E,
    /// The static X25519 key, sealed as soon as there is a key.
    S,
    /// Diffie-Hellman between both ephemeral keys.
    Ee,
    /// Diffie-Hellman between the initiator's ephemeral and the responder's static key.
    Es,
    /// Diffie-Hellman between the initiator's static and the responder's ephemeral key.
    Se,
    /// Diffie-Hellman between both static keys.
    Ss,
    /// The ephemeral ML-KEM encapsulation key, sealed as soon as there is a key.
    E1,
    /// The ML-KEM ciphertext, sealed, and then its shared secret mixed in.
    Ekem1,
}

impl Token {
    fn mixes_key(self) -> bool {
        !matches!(self, Token::E | Token::S | Token::E1)
    }

    /// Bytes on the wire without the tag that sealing adds.
    fn plain_len(self) -> usize {
        match self {
            Token::E | Token::S => KEY_LEN,
            Token::E1 => KEM_PUBLIC_LEN,
            Token::Ekem1 => KEM_CIPHERTEXT_LEN,
            Token::Ee | Token::Es | Token::Se | Token::Ss => 0,
        }
    }

    /// Whether the token's bytes carry a tag once there is a key. Ephemeral keys never do.
    fn is_sealed(self) -> bool {
        matches!(self, Token::S | Token::E1 | Token::Ekem1)
    }
}

/// The messages of a handshake and what is known before the first of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// The responder's static key is known to the initiator beforehand (`<- s` before the dots).
    pub(crate) responder_known: bool,
    /// The initiator proves a static key of its own.
    pub(crate) initiator_has_static: bool,
    /// Messages in turn, the initiator's first.
    pub(crate) messages: &'static [&'static [Token]],
}

impl Pattern {
    /// Exact length of message `index` with a payload of `payload_len` bytes, if there is such a
    /// message.
    pub(crate) fn message_len(&self, index: usize, payload_len: usize) -> Option<usize> {
        let mut keyed = false;
        for (at, tokens) in self.messages.iter().enumerate() {
            let mut len = payload_len;
            for token in *tokens {
                let tag_len = if keyed && token.is_sealed() { TAG_LEN } else { 0 };
                len = len.checked_add(token.plain_len() + tag_len)?;
                keyed |= token.mixes_key();
            }
            if at == index {
                return len.checked_add(if keyed { TAG_LEN } else { 0 });
            }
        }
        None
    }
}

use Token::{E, E1, Ee, Ekem1, Es, S, Se, Ss};

/// Both know each other, the initiator knows the responder's key beforehand.
pub(crate) static IK: Pattern = Pattern {
    responder_known: true,
    initiator_has_static: true,
    messages: &[&[E, Es, S, Ss], &[E, Ee, Se]],
};

/// Both send their static keys.
pub(crate) static XX: Pattern = Pattern {
    responder_known: false,
    initiator_has_static: true,
    messages: &[&[E], &[E, Ee, S, Es], &[S, Se]],
};

/// An initiator without a key to a responder whose key it knows.
pub(crate) static NK: Pattern =
    Pattern { responder_known: true, initiator_has_static: false, messages: &[&[E, Es], &[E, Ee]] };

/// [`IK`] with ML-KEM beside X25519.
pub(crate) static IK_HFS: Pattern = Pattern {
    responder_known: true,
    initiator_has_static: true,
    messages: &[&[E, Es, E1, S, Ss], &[E, Ee, Ekem1, Se]],
};

/// [`XX`] with ML-KEM beside X25519.
pub(crate) static XX_HFS: Pattern = Pattern {
    responder_known: false,
    initiator_has_static: true,
    messages: &[&[E, E1], &[E, Ee, Ekem1, S, Es], &[S, Se]],
};

/// [`NK`] with ML-KEM beside X25519.
pub(crate) static NK_HFS: Pattern = Pattern {
    responder_known: true,
    initiator_has_static: false,
    messages: &[&[E, Es, E1], &[E, Ee, Ekem1]],
};

#[cfg(test)]
mod tests {
    use super::*;

    //= docs/PROTOCOL.md#2
    /// The rule of the HFS extension, applied to a plain pattern.
    fn with_hfs(pattern: &Pattern) -> Vec<Vec<Token>> {
        let mut messages: Vec<Vec<Token>> = pattern.messages.iter().map(|m| m.to_vec()).collect();
        let first = &mut messages[0];
        let after = first.iter().position(|token| token.mixes_key()).unwrap_or(0);
        first.insert(after + 1, E1);
        for message in &mut messages {
            if let Some(at) = message.iter().position(|token| *token == Ee) {
                message.insert(at + 1, Ekem1);
            }
        }
        messages
    }

    #[test]
    fn hybrid_lists_follow_the_rule_of_the_extension() {
        for (plain, hybrid) in [(&IK, &IK_HFS), (&XX, &XX_HFS), (&NK, &NK_HFS)] {
            assert_eq!(with_hfs(plain), hybrid.messages);
            assert_eq!(plain.responder_known, hybrid.responder_known);
            assert_eq!(plain.initiator_has_static, hybrid.initiator_has_static);
        }
    }

    #[test]
    fn there_is_no_length_for_a_message_that_is_not_there() {
        assert_eq!(IK.message_len(2, 0), None);
        assert_eq!(IK.message_len(0, usize::MAX), None);
    }
}
