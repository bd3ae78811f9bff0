//! Why a connection ended, sorted by whose doing it was, and what the peer is told of it.

use std::fmt;
use std::time::Duration;

use moorline_noise::{PublicKey, Refusal};

use crate::code::ErrorCode;
use crate::limits::TEXT_MAX;

/// Why a session is no more: exactly the cases somebody who runs it would act upon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it.
    #[error("closed by this side: {0}")]
    ByUs(Farewell),
    /// The peer closed it and said why.
    #[error("closed by the peer: {0}")]
    ByPeer(Farewell),
    /// The bytes ended without a CLOSE: the peer or the network died, or somebody cut them short.
    #[error("the connection ended without a farewell: the peer died, or the network was cut")]
    Truncated,
    /// The operating system reported an error.
    #[error("the connection broke: {0}")]
    Io(std::io::ErrorKind),
    /// The peer broke a rule of the protocol.
    #[error("{0}")]
    Violation(Violation),
    /// A record did not verify: it was changed, lost, repeated or reordered on the way.
    #[error("a record did not verify: the connection was tampered with, or is broken")]
    Tampered,
    /// The peer did not answer a ping in time.
    #[error(
        "no answer to a ping, and nothing else heard of the peer for {} ms, the limit is {} ms \
         (knob: `dead_after`)", silence.as_millis(), limit.as_millis()
    )]
    Heartbeat {
        /// For so long nothing was heard.
        silence: Duration,
        /// For so long a ping may stand unanswered.
        limit: Duration,
    },
    /// A handshake we answered came to nothing. The peer was told nothing.
    #[error("handshake refused: {0}")]
    HandshakeRefused(HandshakeRefusal),
    /// Our own handshake came to nothing.
    #[error("could not open a session: {0}")]
    HandshakeFailed(HandshakeFailure),
    /// Memory for the connection could not be had.
    #[error("out of buffers: {0}")]
    Exhausted(moorline_buffers::PoolExhausted),
}

/// What a CLOSE said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    /// Why.
    pub code: ErrorCode,
    /// For people; may be empty. What a peer said is escaped and cut at [`TEXT_MAX`] bytes.
    pub text: Box<str>,
}

impl Farewell {
    /// A farewell of this side.
    #[must_use]
    pub fn new(code: ErrorCode, text: &str) -> Self {
        Self { code, text: printable(text) }
    }

    /// The code of an ordinary end, 0: nothing was wrong.
    #[must_use]
    pub fn ordinary() -> Self {
        Self { code: ErrorCode::APPLICATION, text: "".into() }
    }
}

impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code == ErrorCode::APPLICATION && self.text.is_empty() {
            return f.write_str("ordinary end");
        }
        write!(f, "{}", self.code)?;
        if self.text.is_empty() { Ok(()) } else { write!(f, ", \"{}\"", self.text) }
    }
}

/// A rule the peer broke, by the section it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer broke PROTOCOL {section}: {rule}")]
pub struct Violation {
    /// Section of `docs/PROTOCOL.md`.
    pub section: u8,
    /// The rule, in a few words.
    pub rule: &'static str,
    /// What the peer is told: [`ErrorCode::PROTOCOL`], [`ErrorCode::FLOW`] and the like.
    pub code: ErrorCode,
}

impl Violation {
    /// A malformed or misplaced unit.
    #[must_use]
    pub const fn protocol(section: u8, rule: &'static str) -> Self {
        Self { section, rule, code: ErrorCode::PROTOCOL }
    }

    /// The same with a code of its own.
    #[must_use]
    pub const fn with_code(section: u8, rule: &'static str, code: ErrorCode) -> Self {
        Self { section, rule, code }
    }
}

impl From<Violation> for CloseReason {
    fn from(violation: Violation) -> Self {
        CloseReason::Violation(violation)
    }
}

impl From<moorline_buffers::PoolExhausted> for CloseReason {
    fn from(exhausted: moorline_buffers::PoolExhausted) -> Self {
        CloseReason::Exhausted(exhausted)
    }
}

/// Why a responder let a handshake go, in silence (SECURITY, table of bad input).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeRefusal {
    /// The first bytes are no HELLO.
    #[error("the first bytes are not Moorline's")]
    NotOurProtocol,
    /// The first bytes are those of an HTTP request.
    #[error("this is an HTTP request, not a Moorline session")]
    Http,
    /// The first bytes are those of a TLS handshake.
    #[error("this is a TLS handshake, not a Moorline session")]
    Tls,
    /// No version in common.
    #[error("no protocol version in common")]
    Version,
    /// The suite is unknown or not allowed here.
    #[error("{}", suite_refused(*.0))]
    Suite(u8),
    /// The carrier byte is not that of this transport.
    #[error("the preamble names another carrier")]
    Carrier,
    /// Reserved bits or bytes are not zero.
    #[error("reserved bits of the preamble are set")]
    Reserved,
    /// The message is not as long as its suite says.
    #[error("a handshake message has the wrong length")]
    Length,
    /// A handshake message did not verify: wrong realm, wrong key, or changed on the way.
    #[error(
        "a handshake message did not verify: the peer dialed another key than ours, names another \
         realm (knob: `realm`), or its bytes were changed on the way"
    )]
    Crypto,
    /// A copy of a first message whose handshake is still going on.
    #[error("a copy of a handshake that is still going on")]
    Replayed,
    /// The peer is not let in.
    #[error("{}", not_admitted(.key.as_ref(), *.refusal))]
    NotAdmitted {
        /// Who asked.
        key: Option<PublicKey>,
        /// Why not.
        refusal: Refusal,
    },
    /// CAPS is malformed, or does not agree with the preamble.
    #[error("the peer's capabilities are malformed")]
    Caps,
    /// The first record is above 2,048 bytes, or is not SETUP alone.
    #[error("the first record is not a SETUP of at most 2,048 bytes")]
    FirstRecord,
    /// A unit that has no place in a handshake.
    #[error("a unit that has no place in a handshake")]
    Misplaced,
    /// Not done in time.
    #[error("the handshake was not done in time (knob: `handshake_timeout`)")]
    Timeout,
    /// The peer went away in the middle.
    #[error("the peer went away during the handshake")]
    Eof,
}

impl HandshakeRefusal {
    /// A short stable name, for counters.
    #[must_use]
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::NotOurProtocol => "not_our_protocol",
            Self::Http => "http",
            Self::Tls => "tls",
            Self::Version => "version",
            Self::Suite(_) => "suite",
            Self::Carrier => "carrier",
            Self::Reserved => "reserved",
            Self::Length => "length",
            Self::Crypto => "crypto",
            Self::Replayed => "replayed",
            Self::NotAdmitted { .. } => "not_admitted",
            Self::Caps => "caps",
            Self::FirstRecord => "first_record",
            Self::Misplaced => "misplaced",
            Self::Timeout => "timeout",
            Self::Eof => "eof",
        }
    }
}

fn suite_refused(suite: u8) -> String {
    if suite == 0 {
        return "the peer speaks a protocol without keys, such as msgpack-plain; here keys are \
                needed"
            .into();
    }
    format!("suite {suite:#04x} is not accepted here (knob: `suites`)")
}

fn not_admitted(key: Option<&PublicKey>, refusal: Refusal) -> String {
    match key {
        Some(key) => format!(
            "key {key} is not let in: {refusal}; a line that would let it in: NAME {} role=ROLE",
            key.to_line()
        ),
        None => format!("a peer without a key is not let in: {refusal}"),
    }
}

/// Why a handshake of ours came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// The answer is not a unit of ours.
    #[error("whoever answers does not speak Moorline")]
    NotOurProtocol,
    /// The answer did not verify: not the pinned key, or changed on the way. No other suite is
    /// tried.
    #[error("the peer could not prove that it has the key in the address")]
    PeerUnverified,
    /// The peer went away without a word, as it does with whom it does not let in.
    #[error(
        "the peer closed without a word: it does not let us in, has another key than the address \
         says, or expects another realm, suite or protocol; its log tells more"
    )]
    NotLetIn,
    /// The peer has a key that nobody here trusts.
    #[error("the peer has a key that is not known here and was not trusted")]
    NotTrusted,
    /// No answer in time.
    #[error("no answer to the handshake in time (knob: `handshake_timeout`)")]
    Timeout,
    /// The peer's answer has no version or form we know.
    #[error("the peer's capabilities are malformed or have no version in common with ours")]
    Caps,
}

/// How a connection that ended for some reason is taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Closed at the next 100 ms tick, nothing sent, so that an outsider learns nothing.
    Silent,
    /// Closed at once, nothing sent.
    Dead,
    /// The peer is told with a CLOSE of this code.
    Close(ErrorCode),
}

impl CloseReason {
    /// How the connection is taken down.
    #[must_use]
    pub fn ending(&self) -> Ending {
        match self {
            Self::ByUs(farewell) => Ending::Close(farewell.code),
            // A CLOSE is answered by a CLOSE (PROTOCOL 10).
            Self::ByPeer(_) => Ending::Close(ErrorCode::APPLICATION),
            Self::Violation(violation) => Ending::Close(violation.code),
            Self::Heartbeat { .. } => Ending::Close(ErrorCode::HEARTBEAT),
            Self::Exhausted(_) => Ending::Close(ErrorCode::OVERLOADED),
            Self::HandshakeRefused(HandshakeRefusal::Eof) => Ending::Dead,
            Self::HandshakeRefused(_) => Ending::Silent,
            Self::Truncated | Self::Io(_) | Self::Tampered | Self::HandshakeFailed(_) => {
                Ending::Dead
            }
        }
    }

    /// Whether this is an end somebody meant: closed in order by either side with code 0.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        matches!(self, Self::ByUs(f) | Self::ByPeer(f) if f.code == ErrorCode::APPLICATION)
    }
}

/// `text` with control characters escaped, cut at [`TEXT_MAX`] bytes: safe to log.
#[must_use]
pub fn printable(text: &str) -> Box<str> {
    let mut out = String::with_capacity(text.len().min(TEXT_MAX));
    for character in text.chars() {
        if out.len() + 10 > TEXT_MAX {
            out.push('…');
            break;
        }
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_cannot_forge_a_log_line() {
        let farewell = Farewell::new(ErrorCode(3), "bye\n2026 ERROR forged \u{1b}[31m");
        assert_eq!(
            farewell.to_string(),
            "application code 3, \"bye\\n2026 ERROR forged \\u{1b}[31m\""
        );
    }

    #[test]
    fn a_long_text_is_cut() {
        assert!(printable(&"é".repeat(5_000)).len() <= TEXT_MAX + '…'.len_utf8());
    }
}
