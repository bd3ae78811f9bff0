//! From the first byte to the last message of the handshake.

use std::sync::Arc;

use moorline_buffers::{RecvBuffer, SendBuffer};
use moorline_noise::{HandshakeError, Peer, PublicKey, Refusal, Role, Suite};

use super::exchange::Exchange;
use super::preamble::{CAPS_LEN, Caps, PREAMBLE_LEN, Preamble, SUITE_NONE};
use super::unit::{self, Header, Op};
use crate::closed::{CloseReason, HandshakeFailure, HandshakeRefusal};
use crate::dictionary::HandledTypes;
use crate::factory::Remote;
use crate::pending::Pending;
use crate::settings::{Admission, Local};

/// What this side brings to a connection.
pub(super) struct Side {
    pub(super) local: Arc<Local>,
    pub(super) role: Role,
    pub(super) handled: HandledTypes,
    /// How many of our message types the digest covers. More may come into being while we speak.
    pub(super) types: u32,
    pub(super) caps: Caps,
}

impl Side {
    pub(super) fn new(local: Arc<Local>, role: Role, handled: HandledTypes) -> Self {
        let types = local.registry.len();
        let digest = local.registry.digest(types);
        let caps = Caps::ours(local.settings.record_log2, digest, local.boot_id);
        Self { local, role, handled, types, caps }
    }
}

/// A responder that has seen nothing yet, or not the whole first message. Nothing is computed or
/// allocated for a peer in this phase.
pub(super) struct Listening {
    pub(super) local: Arc<Local>,
    pub(super) handled: HandledTypes,
    pub(super) admission: Box<dyn Admission>,
    /// Whether a suite is required, or none is allowed.
    pub(super) sealed: bool,
}

/// A side in the middle of the exchange.
pub(super) struct Shaking {
    pub(super) side: Side,
    preamble: Preamble,
    pub(super) exchange: Exchange,
    /// The next message is the first one, in a HELLO behind the preamble.
    first: bool,
    /// Responder: a copy of the first message is not answered as long as this is there.
    pub(super) entered: Option<Pending>,
    pub(super) peer: PeerSoFar,
}

/// What is known of the peer by now.
#[derive(Default)]
pub(super) struct PeerSoFar {
    pub(super) caps: Option<Caps>,
    /// Asked about its key, or about its having none.
    admission: Option<Box<dyn Admission>>,
    pub(super) listed: Option<Peer>,
}

impl Listening {
    //= docs/PROTOCOL.md#2
    /// Looks for a HELLO. Gives its preamble once all of it is there and has the length it must
    /// have; the message itself is not read yet.
    pub(super) fn look(&self, input: &RecvBuffer) -> Result<Option<Preamble>, HandshakeRefusal> {
        let bytes = input.unopened();
        let Some(Header { header_len, payload_len, .. }) = hello_header(bytes)? else {
            return Ok(None);
        };
        if payload_len < PREAMBLE_LEN {
            return Err(HandshakeRefusal::Length);
        }
        let Some(preamble) = bytes[header_len..].first_chunk::<PREAMBLE_LEN>() else {
            return Ok(None);
        };
        let preamble = Preamble::parse(preamble, |suite| self.accepts(suite))?;
        if payload_len != PREAMBLE_LEN + first_message_len(&preamble) {
            return Err(HandshakeRefusal::Length);
        }
        Ok((bytes.len() >= header_len + payload_len).then_some(preamble))
    }

    fn accepts(&self, suite: u8) -> bool {
        if !self.sealed {
            return suite == SUITE_NONE;
        }
        Suite::from_id(suite).is_some_and(|suite| self.local.suites.contains(suite))
    }

    /// Goes on with the exchange that the preamble announces.
    pub(super) fn begin(self, preamble: Preamble) -> Result<Shaking, HandshakeRefusal> {
        let Self { local, handled, admission, .. } = self;
        let mut peer = PeerSoFar::default();
        let has_key = Suite::from_id(preamble.suite).is_some_and(Suite::initiator_has_key);
        if has_key {
            peer.admission = Some(admission);
        } else {
            let listed = admission.admit(None);
            let refused = |refusal| HandshakeRefusal::NotAdmitted { key: None, refusal };
            peer.listed = Some(listed.map_err(refused)?);
        }
        let side = Side::new(local, Role::Responder, handled);
        let exchange = Exchange::new(Role::Responder, &preamble, &side.local, None);
        let exchange = exchange.map_err(|_no_identity| HandshakeRefusal::Crypto)?;
        Ok(Shaking { side, preamble, exchange, first: true, entered: None, peer })
    }
}

/// What is known of the first message before there is a handshake to read it.
fn first_message_len(preamble: &Preamble) -> usize {
    let Some(suite) = Suite::from_id(preamble.suite) else { return CAPS_LEN };
    let has_caps = suite.caps_message(Role::Initiator) == 0;
    suite.message_len(0, if has_caps { CAPS_LEN } else { 0 })
}

/// The header of the first unit, or what it is instead. Whatever the bytes are,
/// the verdict does not depend on how they arrive.
fn hello_header(bytes: &[u8]) -> Result<Option<Header>, HandshakeRefusal> {
    match bytes.first() {
        None => Ok(None),
        Some(0xc7 | 0xc8 | 0xd4..=0xd8) => match unit::read_header(bytes) {
            Ok(None) => Ok(None),
            Ok(Some(header)) if header.ty == Op::Hello.ty() => Ok(Some(header)),
            Ok(Some(_)) => Err(HandshakeRefusal::Misplaced),
            Err(_) => Err(HandshakeRefusal::NotOurProtocol),
        },
        Some(_) => foreign(bytes).map_or(Ok(None), Err),
    }
}

/// Names what strays in often; nothing else is done with it. `None` as long as it may be one thing
/// or another.
fn foreign(bytes: &[u8]) -> Option<HandshakeRefusal> {
    const METHODS: [&[u8]; 10] =
        [b"GET ", b"POST", b"PUT ", b"HEAD", b"OPTI", b"PATC", b"DELE", b"CONN", b"TRAC", b"PRI "];
    const TLS: &[u8] = &[0x16, 0x03];
    let seen = |prefix: &[u8]| bytes.starts_with(prefix);
    let may_become = |prefix: &[u8]| prefix.starts_with(bytes);
    if seen(TLS) {
        return Some(HandshakeRefusal::Tls);
    }
    if METHODS.into_iter().any(seen) {
        return Some(HandshakeRefusal::Http);
    }
    if may_become(TLS) || METHODS.into_iter().any(may_become) {
        return None;
    }
    Some(HandshakeRefusal::NotOurProtocol)
}

impl Shaking {
    pub(super) fn initiator(side: Side, suite: u8, remote: Remote) -> Result<Self, HandshakeError> {
        let preamble = Preamble::ours(suite);
        let (key, admission) = match remote {
            Remote::Unverified => (None, None),
            Remote::Pinned(key) => (Some(key), None),
            Remote::Asked(admission) => (None, Some(admission)),
        };
        let exchange = Exchange::new(Role::Initiator, &preamble, &side.local, key)?;
        let (first, peer) = (true, PeerSoFar { admission, ..PeerSoFar::default() });
        Ok(Self { side, preamble, exchange, first, entered: None, peer })
    }

    //= docs/PROTOCOL.md#2
    /// Appends our next message as a unit: the first one behind the preamble.
    pub(super) fn write(&mut self, out: &mut SendBuffer) -> Result<(), CloseReason> {
        let preamble = self.preamble.to_bytes();
        let (op, before_len) = self.frame_of_message();
        let before = &preamble[..before_len];
        let payload_len = before.len() + self.exchange.message_len();
        let header_len = unit::header_len(payload_len);
        let bytes = &mut out.reserve(header_len + payload_len)?[..header_len + payload_len];
        unit::write_header(bytes, op.ty(), payload_len);
        let payload = &mut bytes[header_len..];
        payload[..before.len()].copy_from_slice(before);
        let caps = self.side.caps.to_bytes();
        let written = self.exchange.write(&caps, &mut payload[before.len()..]);
        written.map_err(|_| self.failed(Fault::Crypto))?;
        out.commit(header_len + payload_len);
        self.first = false;
        Ok(())
    }

    /// The unit that the next message travels in, and the bytes in front of it.
    fn frame_of_message(&self) -> (Op, usize) {
        if self.first { (Op::Hello, PREAMBLE_LEN) } else { (Op::Noise, 0) }
    }

    /// The peer's next message. `false`: not whole yet.
    pub(super) fn read(&mut self, input: &mut RecvBuffer) -> Result<bool, CloseReason> {
        let header = match unit::read_header(input.unopened()) {
            Ok(None) => return Ok(false),
            Ok(Some(header)) => header,
            Err(_) => return Err(self.failed(Fault::Foreign)),
        };
        let (op, before_len) = self.frame_of_message();
        if header.ty != op.ty() {
            return Err(self.failed(Fault::Misplaced));
        }
        if header.payload_len != before_len + self.exchange.message_len() {
            return Err(self.failed(Fault::Length));
        }
        let (len, have) = (header.header_len + header.payload_len, input.unopened().len());
        if have < len {
            input.reserve(len - have)?;
            return Ok(false);
        }
        input.mark_opened(len);
        let message = &input.take(len)[header.header_len + before_len..];
        let caps = self.read_message(message)?;
        // Not before it is verified: a forged message must not keep the genuine one out.
        if self.first && matches!(self.exchange, Exchange::Noise(_)) {
            let entered = self.side.local.pending.enter(message);
            self.entered = Some(entered.ok_or(HandshakeRefusal::Replayed)?);
        }
        if let Some(caps) = caps {
            self.peer.caps = Some(self.check_caps(&caps)?);
        }
        self.first = false;
        Ok(true)
    }

    fn read_message(&mut self, message: &[u8]) -> Result<Option<[u8; CAPS_LEN]>, CloseReason> {
        let PeerSoFar { admission, listed, .. } = &mut self.peer;
        let mut refused: Option<(PublicKey, Refusal)> = None;
        let read = self.exchange.read(message, &mut |key| {
            // Who dials has pinned a key, or asks about it.
            let Some(admission) = admission else { return true };
            match admission.admit(Some(key)) {
                Ok(peer) => *listed = Some(peer),
                Err(refusal) => refused = Some((*key, refusal)),
            }
            refused.is_none()
        });
        match (read, refused) {
            (Ok(caps), _) => Ok(caps),
            (Err(_), Some((key, refusal))) => Err(match self.side.role {
                Role::Initiator => CloseReason::HandshakeFailed(HandshakeFailure::NotTrusted),
                Role::Responder => HandshakeRefusal::NotAdmitted { key: Some(key), refusal }.into(),
            }),
            (Err(_), None) => Err(self.failed(Fault::Crypto)),
        }
    }

    //= docs/PROTOCOL.md#2
    fn check_caps(&self, bytes: &[u8; CAPS_LEN]) -> Result<Caps, CloseReason> {
        let caps = Caps::parse(bytes).map_err(|_malformed| self.failed(Fault::Caps))?;
        if self.side.role == Role::Responder && !caps.agrees_with(&self.preamble) {
            return Err(self.failed(Fault::Caps));
        }
        Ok(caps)
    }

    fn failed(&self, fault: Fault) -> CloseReason {
        fault.seen_by(self.side.role)
    }
}

/// What can go wrong on either side; each side has its own words for it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Foreign,
    Misplaced,
    Length,
    Crypto,
    Caps,
    Timeout,
    Eof,
}

impl Fault {
    pub(super) fn seen_by(self, role: Role) -> CloseReason {
        match role {
            Role::Responder => CloseReason::HandshakeRefused(match self {
                Self::Foreign => HandshakeRefusal::NotOurProtocol,
                Self::Misplaced => HandshakeRefusal::Misplaced,
                Self::Length => HandshakeRefusal::Length,
                Self::Crypto => HandshakeRefusal::Crypto,
                Self::Caps => HandshakeRefusal::Caps,
                Self::Timeout => HandshakeRefusal::Timeout,
                Self::Eof => HandshakeRefusal::Eof,
            }),
            Role::Initiator => CloseReason::HandshakeFailed(match self {
                Self::Foreign | Self::Misplaced => HandshakeFailure::NotOurProtocol,
                Self::Length | Self::Crypto => HandshakeFailure::PeerUnverified,
                Self::Caps => HandshakeFailure::Caps,
                Self::Timeout => HandshakeFailure::Timeout,
                Self::Eof => HandshakeFailure::NotLetIn,
            }),
        }
    }
}

impl From<HandshakeRefusal> for CloseReason {
    fn from(refusal: HandshakeRefusal) -> Self {
        CloseReason::HandshakeRefused(refusal)
    }
}
