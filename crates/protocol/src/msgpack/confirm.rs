//! From the last handshake message to an open connection: SETUP, and DICT where digests differ.

mod voice;

use std::sync::Arc;
use std::time::Instant;

use moorline_buffers::{RecvBuffer, SendBuffer};
use moorline_noise::{HandshakeError, Role};
use sha2::{Digest, Sha256};

use self::voice::Voice;
use super::decode::{Decoder, Told};
use super::handshake::{Fault, Shaking, Side};
use super::head;
use super::open::Open;
use super::preamble::Caps;
use super::record::{Broken, Unit, Units};
use super::sealing::{PlainSealing, RecordSealing};
use super::setup::{self, Setup};
use super::unit::{Fields, Op};
use crate::closed::{CloseReason, Farewell, HandshakeRefusal, Violation};
use crate::code::ErrorCode;
use crate::dictionary::PeerTypes;
use crate::limits::{FIRST_RECORD_MAX, READ_CAPACITY};
use crate::pending::Pending;
use crate::seam::{Opened, PeerFacts, Sealing};

/// A side that has all keys, and waits for the other's settings.
pub(super) struct Confirming {
    side: Side,
    /// A copy of the first message is not answered as long as this is there.
    _entered: Option<Pending>,
    peer_caps: Caps,
    facts: PeerFacts,
    units: Units,
    voice: Voice,
    setup: Option<Setup>,
    /// The peer's list, where digests differ.
    hashes: Vec<u64>,
    /// At least one DICT has come; an empty list is one, too.
    told: bool,
}

impl Confirming {
    /// Takes over when all messages of the handshake have been exchanged.
    pub(super) fn new(shaken: Shaking) -> Result<Self, CloseReason> {
        let Shaking { side, exchange, entered, peer, .. } = shaken;
        let crypto = |_: HandshakeError| Fault::Crypto.seen_by(side.role);
        let transport = exchange.finish().map_err(crypto)?;
        let peer_caps = peer.caps.ok_or_else(|| Fault::Caps.seen_by(side.role))?;
        let capacity = side.caps.record_capacity();
        let local = &side.local;
        let mut facts = PeerFacts {
            key: None,
            listed: peer.listed,
            suite: "none",
            binding: [0; 32],
            agent: "".into(),
        };
        let mut units;
        let sealing: Box<dyn Sealing> = match transport {
            Some((suite, transport)) => {
                facts.key = transport.remote;
                facts.suite = suite.name();
                facts.binding = transport.binding;
                units = Units::sealed(transport.opener, capacity);
                Box::new(RecordSealing::new(transport.sealer, local.blocks.clone()))
            }
            None => {
                units = Units::plain(capacity);
                Box::new(PlainSealing)
            }
        };
        if side.role == Role::Initiator {
            // Who answered has proved who it is by now.
            units.lift_first_limit();
        }
        let voice = Voice::new(local, &peer_caps, sealing);
        let (setup, hashes, told) = (None, Vec::new(), false);
        Ok(Self { side, _entered: entered, peer_caps, facts, units, voice, setup, hashes, told })
    }

    pub(super) fn role(&self) -> Role {
        self.side.role
    }

    pub(super) fn read_capacity(&self) -> usize {
        let confirmed = self.side.role == Role::Initiator || self.setup.is_some();
        if confirmed { READ_CAPACITY } else { FIRST_RECORD_MAX }
    }

    //= docs/PROTOCOL.md#2
    /// Says what is due before anything of the peer's is looked at: the initiator's SETUP.
    pub(super) fn begin(&mut self, out: &mut SendBuffer) -> Result<(), CloseReason> {
        if self.side.role == Role::Responder {
            return Ok(());
        }
        self.voice.say_setup(&self.side, self.digests_differ(), out)?;
        self.check_features().map_err(|violation| self.refuse(violation, out))
    }

    /// Takes what has come. `true`: all of it is there.
    pub(super) fn next(
        &mut self,
        now: Instant,
        input: &mut RecvBuffer,
        out: &mut SendBuffer,
    ) -> Result<bool, CloseReason> {
        while !self.is_complete() {
            let unit = match self.units.next(now, input) {
                Ok(Some(unit)) => unit,
                Ok(None) => return Ok(false),
                Err(broken) => return Err(self.broken(broken, out)),
            };
            let taken = match self.setup {
                None => self.take_first(unit, input, out),
                Some(_) => self.take_later(unit, input),
            };
            taken.map_err(|reason| match reason {
                CloseReason::Violation(violation) => self.refuse(violation, out),
                CloseReason::ByPeer(farewell) => {
                    self.voice.say_goodbye(ErrorCode::APPLICATION, "", out);
                    CloseReason::ByPeer(farewell)
                }
                other => other,
            })?;
        }
        Ok(true)
    }

    fn digests_differ(&self) -> bool {
        self.peer_caps.digest != self.side.caps.digest
    }

    fn is_complete(&self) -> bool {
        let Some(setup) = &self.setup else { return false };
        !self.digests_differ() || (self.told && self.hashes.len() == setup.types as usize)
    }

    //= docs/PROTOCOL.md#2
    /// The first unit of the peer: SETUP, and from an initiator that alone.
    fn take_first(
        &mut self,
        unit: Unit,
        input: &mut RecvBuffer,
        out: &mut SendBuffer,
    ) -> Result<(), CloseReason> {
        let responder = self.side.role == Role::Responder;
        if responder && unit.ty != Op::Setup.ty() {
            return Err(HandshakeRefusal::FirstRecord.into());
        }
        if unit.ty == Op::Close.ty() {
            return self.take_later(unit, input);
        }
        if unit.ty != Op::Setup.ty() {
            return Err(Violation::protocol(2, "the first unit is SETUP").into());
        }
        let setup = setup::read(&input.take(unit.len)[unit.header_len..]);
        self.units.setup_came();
        if responder && self.units.has_more_in_record(input) {
            return Err(HandshakeRefusal::FirstRecord.into());
        }
        if responder {
            // Only now is the peer confirmed, and hears more than the handshake.
            self.units.lift_first_limit();
            self.voice.say_setup(&self.side, self.digests_differ(), out)?;
            self.check_features()?;
        }
        let setup = setup?;
        //= docs/PROTOCOL.md#4
        if !self.digests_differ() && setup.types != self.side.types {
            return Err(Violation::protocol(4, "SETUP and digest disagree").into());
        }
        self.setup = Some(setup);
        Ok(())
    }

    fn check_features(&self) -> Result<(), Violation> {
        if self.peer_caps.requires_unknown() {
            let rule = "a feature is required that this version does not have";
            return Err(Violation::with_code(2, rule, ErrorCode::UNSUPPORTED));
        }
        Ok(())
    }

    fn take_later(&mut self, unit: Unit, input: &mut RecvBuffer) -> Result<(), CloseReason> {
        let payload = &input.take(unit.len)[unit.header_len..];
        let (op, _) = Op::split(unit.ty)?;
        match op {
            Op::Dict => Ok(self.take_dict(payload)?),
            Op::Close => {
                let mut fields = Fields::new(payload);
                let code = head::code(&mut fields)?;
                let text = if fields.is_empty() { "" } else { fields.str()? };
                Err(CloseReason::ByPeer(Farewell::new(code, text)))
            }
            Op::Ignorable18 | Op::Ignorable19 | Op::Ignorable1A | Op::Ignorable1B => Ok(()),
            _ => Err(Violation::protocol(4, "DICT follows SETUP where digests differ").into()),
        }
    }

    //= docs/PROTOCOL.md#4
    fn take_dict(&mut self, payload: &[u8]) -> Result<(), Violation> {
        let told = Told::read(&mut Fields::new(payload))?;
        let Some(setup) = &mut self.setup else {
            return Err(Violation::protocol(4, "DICT before SETUP"));
        };
        if told.first as usize != self.hashes.len() + 1 {
            return Err(Violation::protocol(4, "`first` of DICT follows the last type told"));
        }
        self.hashes.extend_from_slice(&told.hashes);
        self.told = true;
        setup.handles = told.handles.map(Into::into);
        if self.hashes.len() > setup.types as usize {
            return Err(Violation::protocol(4, "DICT tells more types than the digest covers"));
        }
        if self.hashes.len() == setup.types as usize
            && digest(&self.hashes) != self.peer_caps.digest
        {
            return Err(Violation::protocol(4, "DICT is not the list of the digest"));
        }
        Ok(())
    }

    /// What it means that there is no further unit.
    fn broken(&mut self, broken: Broken, out: &mut SendBuffer) -> CloseReason {
        let unconfirmed = self.side.role == Role::Responder && self.setup.is_none();
        match broken {
            Broken::Violation(violation) if !unconfirmed => self.refuse(violation, out),
            Broken::NoRecord if unconfirmed => HandshakeRefusal::Misplaced.into(),
            Broken::Forged if unconfirmed => HandshakeRefusal::Crypto.into(),
            Broken::Length | Broken::Violation(_) if unconfirmed => {
                HandshakeRefusal::FirstRecord.into()
            }
            other => other.into(),
        }
    }

    /// A peer that is confirmed is told what it did wrong.
    fn refuse(&mut self, violation: Violation, out: &mut SendBuffer) -> CloseReason {
        self.voice.say_goodbye(violation.code, violation.rule, out);
        CloseReason::Violation(violation)
    }

    /// All is known: what an open connection is made of.
    pub(super) fn finish(self) -> (Open, Opened) {
        let differ = self.digests_differ();
        let Self { side, peer_caps, mut facts, units, voice, setup, hashes, .. } = self;
        let setup = setup.expect("complete only when SETUP has come");
        let Side { local, types: told, .. } = side;
        let handles = setup.handles.as_deref();
        let types = if differ {
            PeerTypes::with_list(&local.registry, &hashes, handles)
        } else {
            PeerTypes::same(&local.registry, told, handles)
        };
        facts.agent = setup.agent;
        let decoder = Decoder::new(
            local.registry.clone(),
            Arc::clone(&types),
            local.recv.clone(),
            local.settings.message_max,
        );
        let opened = Opened {
            sealing: voice.sealing,
            encoder: Arc::new(voice.encoder),
            peer: facts,
            limits: setup.limits,
            types,
            told,
            block_max: peer_caps.record_capacity(),
        };
        (Open::new(units, decoder), opened)
    }
}

//= docs/PROTOCOL.md#4
/// The digest of a list of types, as its owner has put it into its capabilities.
fn digest(hashes: &[u64]) -> [u8; 8] {
    let mut sha = Sha256::new();
    for hash in hashes {
        sha.update(hash.to_be_bytes());
    }
    let digest = sha.finalize();
    digest[..8].try_into().expect("SHA-256 has 32 bytes")
}
