//! The protocols `msgpack` and `msgpack-plain`: typed units as MessagePack values, in sealed
//! records or in clear.
//!
//! ```text
//!  received bytes                                                   bytes to send
//!       |  connection   which phase?                                      ^
//!       |  handshake    HELLO, NOISE: who is there?                       |
//!       |  confirm      SETUP, DICT: what does it take?                   |
//!       v                                                                 |
//!  record  open in place, find one unit            sealing  a block, in place
//!       v                                                                 ^
//!  decode  one unit into one frame                 encode  one frame into units of a block
//!       |  reassembly   messages in pieces                |  fragment     messages into pieces
//!       v                                                                 |
//!     frame                                                             frame
//! ```

mod confirm;
mod connection;
mod decode;
mod encode;
mod exchange;
mod handshake;
mod head;
mod meta;
mod open;
mod preamble;
mod put;
pub(crate) mod read;
mod reassembly;
mod record;
mod sealing;
mod setup;
pub(crate) mod unit;
pub(crate) mod walk;

use std::sync::Arc;

use moorline_noise::{Role, Suite};

use self::connection::Connection;
use self::handshake::{Listening, Shaking, Side};
use self::preamble::SUITE_NONE;
use crate::dictionary::HandledTypes;
use crate::factory::{ProtocolFactory, Remote, SetupError};
use crate::seam::Protocol;
use crate::settings::{Admission, Local};

/// The name of the sealed protocol.
pub const MSGPACK: &str = "msgpack";

/// The name of the protocol in clear.
pub const MSGPACK_PLAIN: &str = "msgpack-plain";

/// Makes connections of `msgpack` or of `msgpack-plain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Msgpack {
    sealed: bool,
}

crate::register_protocol!(Msgpack::sealed());
crate::register_protocol!(Msgpack::plain());

impl Msgpack {
    /// `msgpack`: both sides prove who they are, everything is encrypted.
    #[must_use]
    pub const fn sealed() -> Self {
        Self { sealed: true }
    }

    /// `msgpack-plain`: the same units, in clear, between peers nobody has verified. For trusted
    /// wires, and for looking at what goes over them.
    #[must_use]
    pub const fn plain() -> Self {
        Self { sealed: false }
    }

    /// The suite to dial with, and whether configuration and address have what it needs.
    fn suite(self, local: &Local, remote: &Remote) -> Result<Suite, SetupError> {
        let suite = local.suites.for_dialing();
        let own = local.identity.as_ref().map(|identity| identity.public());
        if suite.initiator_has_key() && own.is_none() {
            return Err(SetupError::NoIdentity(self.name()));
        }
        match remote {
            // Suites of pattern XX could do without, but then anybody could answer.
            Remote::Unverified => Err(SetupError::NoRemoteKey(self.name())),
            Remote::Pinned(key) if own.as_ref() == Some(key) => Err(SetupError::OwnKey),
            Remote::Pinned(_) => Ok(suite),
            Remote::Asked(_) if own.is_none() => Err(SetupError::NoIdentity(self.name())),
            Remote::Asked(_) => Ok(first_use(suite)),
        }
    }
}

/// The suite of pattern XX with the same ciphers: the only pattern in which both sides can show
/// keys that the other has never seen.
fn first_use(suite: Suite) -> Suite {
    match suite {
        Suite::IkHfsChaCha | Suite::XxHfsChaCha | Suite::NkHfsChaCha => Suite::XxHfsChaCha,
        Suite::IkHfsAes | Suite::XxHfsAes | Suite::NkHfsAes => Suite::XxHfsAes,
        _ => Suite::Xx,
    }
}

impl ProtocolFactory for Msgpack {
    fn name(&self) -> &'static str {
        if self.sealed { MSGPACK } else { MSGPACK_PLAIN }
    }

    fn authenticates(&self) -> bool {
        self.sealed
    }

    fn initiator(
        &self,
        local: Arc<Local>,
        handled: HandledTypes,
        remote: Remote,
    ) -> Result<Box<dyn Protocol>, SetupError> {
        let suite = match &remote {
            remote if self.sealed => self.suite(&local, remote)?.id(),
            Remote::Unverified => SUITE_NONE,
            _ => return Err(SetupError::KeyUnused(self.name())),
        };
        let side = Side::new(local, Role::Initiator, handled);
        let shaking = Shaking::initiator(side, suite, remote).map_err(SetupError::Handshake)?;
        Ok(Box::new(Connection::initiator(shaking)))
    }

    fn responder(
        &self,
        local: Arc<Local>,
        handled: HandledTypes,
        admission: Box<dyn Admission>,
    ) -> Result<Box<dyn Protocol>, SetupError> {
        if self.sealed && local.identity.is_none() {
            return Err(SetupError::NoIdentity(self.name()));
        }
        let listening = Listening { local, handled, admission, sealed: self.sealed };
        Ok(Box::new(Connection::responder(listening)))
    }
}
