//! Cipher suites by number, and the policy of which are taken.

use std::fmt;

use crate::pattern::{self, Pattern};
use crate::provider::Cipher;

/// Which end of a connection somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Dialed, and sends the first message.
    Initiator,
    /// Listened, and answers it.
    Responder,
}

/// A complete set of pattern and primitives, by its number on the wire (PROTOCOL 2).
///
/// Hash is SHA-256 and Diffie-Hellman is X25519 in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Suite {
    /// IK, hybrid, ChaCha20-Poly1305: both sides know each other. The default.
    IkHfsChaCha = 0x01,
    /// XX, hybrid, ChaCha20-Poly1305: enrolment and trust on first use.
    XxHfsChaCha = 0x02,
    /// NK, hybrid, ChaCha20-Poly1305: an anonymous client of a known server.
    NkHfsChaCha = 0x03,
    /// IK without ML-KEM, for devices too small for it.
    Ik = 0x11,
    /// XX without ML-KEM.
    Xx = 0x12,
    /// NK without ML-KEM.
    Nk = 0x13,
    /// [`Suite::IkHfsChaCha`] with AES-256-GCM, for processors with AES instructions.
    IkHfsAes = 0x21,
    /// [`Suite::XxHfsChaCha`] with AES-256-GCM.
    XxHfsAes = 0x22,
    /// [`Suite::NkHfsChaCha`] with AES-256-GCM.
    NkHfsAes = 0x23,
}

impl Suite {
    /// Every suite there is, in the order of their numbers.
    pub const ALL: [Suite; 9] = [
        Suite::IkHfsChaCha,
        Suite::XxHfsChaCha,
        Suite::NkHfsChaCha,
        Suite::Ik,
        Suite::Xx,
        Suite::Nk,
        Suite::IkHfsAes,
        Suite::XxHfsAes,
        Suite::NkHfsAes,
    ];

    /// The suite with this number, or `None` for one that does not exist.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| suite.id() == id)
    }

    /// The number that stands in the preamble.
    #[must_use]
    pub fn id(self) -> u8 {
        self as u8
    }

    //= docs/PROTOCOL.md#2
    /// The Noise protocol name to the letter; it begins every transcript.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Suite::IkHfsChaCha => "Noise_IKhfs_25519+MLKEM768_ChaChaPoly_SHA256",
            Suite::XxHfsChaCha => "Noise_XXhfs_25519+MLKEM768_ChaChaPoly_SHA256",
            Suite::NkHfsChaCha => "Noise_NKhfs_25519+MLKEM768_ChaChaPoly_SHA256",
            Suite::Ik => "Noise_IK_25519_ChaChaPoly_SHA256",
            Suite::Xx => "Noise_XX_25519_ChaChaPoly_SHA256",
            Suite::Nk => "Noise_NK_25519_ChaChaPoly_SHA256",
            Suite::IkHfsAes => "Noise_IKhfs_25519+MLKEM768_AESGCM_SHA256",
            Suite::XxHfsAes => "Noise_XXhfs_25519+MLKEM768_AESGCM_SHA256",
            Suite::NkHfsAes => "Noise_NKhfs_25519+MLKEM768_AESGCM_SHA256",
        }
    }

    /// How many messages the handshake has: 2 or 3.
    #[must_use]
    pub fn messages(self) -> usize {
        self.pattern().messages.len()
    }

    /// Exact length in bytes of handshake message `index` (from 0) with a payload of `payload_len`
    /// bytes.
    ///
    /// # Panics
    /// If the suite has no message `index`, see [`Suite::messages`]; neither number is the peer's.
    #[must_use]
    pub fn message_len(self, index: usize, payload_len: usize) -> usize {
        self.pattern()
            .message_len(index, payload_len)
            .expect("the caller asks for a message of this suite, with a payload that fits memory")
    }

    //= docs/PROTOCOL.md#2
    /// The message in which `role` sends its 32-byte capabilities: the first of its messages whose
    /// payload is not clear text.
    #[must_use]
    pub fn caps_message(self, role: Role) -> usize {
        let first_is_clear = !self.responder_is_known();
        match role {
            Role::Initiator if first_is_clear => 2,
            Role::Initiator => 0,
            Role::Responder => 1,
        }
    }

    /// Whether the initiator must know the responder's key before it dials (IK and NK).
    #[must_use]
    pub fn responder_is_known(self) -> bool {
        self.pattern().responder_known
    }

    /// Whether the initiator shows a key of its own (IK and XX).
    #[must_use]
    pub fn initiator_has_key(self) -> bool {
        self.pattern().initiator_has_static
    }

    /// Whether ML-KEM-768 stands beside X25519.
    #[must_use]
    pub fn is_hybrid(self) -> bool {
        !matches!(self, Suite::Ik | Suite::Xx | Suite::Nk)
    }

    /// The cipher of handshake and records.
    #[must_use]
    pub fn cipher(self) -> Cipher {
        match self {
            Suite::IkHfsAes | Suite::XxHfsAes | Suite::NkHfsAes => Cipher::Aes256Gcm,
            _ => Cipher::ChaCha20Poly1305,
        }
    }

    pub(crate) fn pattern(self) -> &'static Pattern {
        match self {
            Suite::IkHfsChaCha | Suite::IkHfsAes => &pattern::IK_HFS,
            Suite::XxHfsChaCha | Suite::XxHfsAes => &pattern::XX_HFS,
            Suite::NkHfsChaCha | Suite::NkHfsAes => &pattern::NK_HFS,
            Suite::Ik => &pattern::IK,
            Suite::Xx => &pattern::XX,
            Suite::Nk => &pattern::NK,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which suites are accepted, and which one is dialed.
///
/// Default: 01 and 21 are accepted; a dialer takes 21 where the processor has AES instructions,
/// else 01. There is one suite to an attempt, and nothing here ever falls back to a weaker one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suites {
    accepted: Vec<Suite>,
    dialed: Option<Suite>,
}

impl Suites {
    /// Accepts exactly `suites` and dials the first of them.
    ///
    /// # Panics
    /// If `suites` is empty: such a policy could neither accept nor dial.
    #[must_use]
    pub fn only(suites: &[Suite]) -> Suites {
        let first = *suites.first().expect("a policy names at least one suite");
        Suites { accepted: suites.to_vec(), dialed: Some(first) }
    }

    /// Accepts `suite` as well. What is dialed stays as it was.
    #[must_use]
    pub fn also(mut self, suite: Suite) -> Suites {
        if !self.contains(suite) {
            self.accepted.push(suite);
        }
        self
    }

    /// Whether a listener takes this suite.
    #[must_use]
    pub fn contains(&self, suite: Suite) -> bool {
        self.accepted.contains(&suite)
    }

    /// The suite a dialer opens with.
    #[must_use]
    pub fn for_dialing(&self) -> Suite {
        self.dialed.unwrap_or_else(|| {
            if has_aes_instructions() { Suite::IkHfsAes } else { Suite::IkHfsChaCha }
        })
    }
}

impl Default for Suites {
    fn default() -> Suites {
        Suites { accepted: vec![Suite::IkHfsChaCha, Suite::IkHfsAes], dialed: None }
    }
}

/// AES-GCM is only worth it with instructions for both of its halves: rounds and multiplication.
fn has_aes_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("aes")
            && std::arch::is_x86_feature_detected!("pclmulqdq")
    }
    #[cfg(target_arch = "aarch64")]
    {
        std::arch::is_aarch64_feature_detected!("aes")
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= docs/PROTOCOL.md#2
    #[test]
    fn sizes_with_capabilities_are_those_of_the_protocol() {
        let sizes = |suite: Suite| -> Vec<usize> {
            (0..suite.messages())
                .map(|index| {
                    let carries = suite.caps_message(Role::Initiator) == index
                        || suite.caps_message(Role::Responder) == index;
                    suite.message_len(index, if carries { 32 } else { 0 })
                })
                .collect()
        };
        for suite in [Suite::IkHfsChaCha, Suite::IkHfsAes] {
            assert_eq!(sizes(suite), [1328, 1184]);
        }
        assert_eq!(sizes(Suite::XxHfsChaCha), [1216, 1232, 96]);
        assert_eq!(sizes(Suite::NkHfsChaCha), [1280, 1184]);
        assert_eq!(sizes(Suite::Ik), [128, 80]);
        assert_eq!(sizes(Suite::Xx), [32, 128, 96]);
        assert_eq!(sizes(Suite::Nk), [80, 80]);
    }

    #[test]
    fn numbers_go_both_ways() {
        for id in 0..=255 {
            match Suite::from_id(id) {
                Some(suite) => assert_eq!(suite.id(), id),
                None => assert!(![1, 2, 3, 0x11, 0x12, 0x13, 0x21, 0x22, 0x23].contains(&id)),
            }
        }
    }

    #[test]
    fn the_default_policy_takes_the_two_hybrid_ik_suites_and_dials_one_of_them() {
        let suites = Suites::default();
        let taken: Vec<u8> =
            Suite::ALL.into_iter().filter(|s| suites.contains(*s)).map(Suite::id).collect();
        assert_eq!(taken, [0x01, 0x21]);
        assert!(suites.contains(suites.for_dialing()));
    }

    #[test]
    fn a_policy_of_one_dials_it_and_refuses_the_rest() {
        let suites = Suites::only(&[Suite::Ik]).also(Suite::Xx);
        assert_eq!(suites.for_dialing(), Suite::Ik);
        assert!(suites.contains(Suite::Xx) && !suites.contains(Suite::IkHfsChaCha));
    }
}
