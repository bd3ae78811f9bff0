//! Protocols by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use moorline_noise::PublicKey;

use crate::dictionary::HandledTypes;
use crate::format::Format;
use crate::seam::Protocol;
use crate::settings::{Admission, Local};

/// Makes the protocol of one connection.
pub trait ProtocolFactory: Send + Sync {
    /// What it is asked for by, e.g. `msgpack`.
    fn name(&self) -> &'static str;

    /// Whether peers prove who they are. Where they do not, a listener needs
    /// `Peers::anonymous()`, spelled out.
    fn authenticates(&self) -> bool;

    /// How its connections encode bodies, for what is to wait until there is one.
    fn format(&self) -> Format {
        Format::MessagePack
    }

    /// The side that dials. `remote` says how the peer is to be verified.
    ///
    /// # Errors
    /// Something this protocol needs is missing from the configuration or the address.
    fn initiator(
        &self,
        local: Arc<Local>,
        handled: HandledTypes,
        remote: Remote,
    ) -> Result<Box<dyn Protocol>, SetupError>;

    /// The side that listens.
    ///
    /// # Errors
    /// Something this protocol needs is missing from the configuration.
    fn responder(
        &self,
        local: Arc<Local>,
        handled: HandledTypes,
        admission: Box<dyn Admission>,
    ) -> Result<Box<dyn Protocol>, SetupError>;
}

/// How who dials knows whom it reaches.
pub enum Remote {
    /// It does not: only protocols that verify nobody can be dialed like this.
    Unverified,
    /// By the key in the address, or one that was trusted before.
    Pinned(PublicKey),
    /// By asking about whatever key the peer proves to have, with a suite of pattern XX, which a
    /// listener must accept (PROTOCOL 2). Refused, nothing of ours but an ephemeral key was sent.
    Asked(Box<dyn Admission>),
}

impl From<Option<PublicKey>> for Remote {
    fn from(key: Option<PublicKey>) -> Self {
        key.map_or(Remote::Unverified, Remote::Pinned)
    }
}

/// Why a protocol cannot be used as configured. It says which knob to turn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// No protocol of this name is registered.
    #[error("no protocol is named \"{name}\"; there are: {known}")]
    UnknownProtocol {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Two protocols have one name.
    #[error("two protocols are named \"{0}\"")]
    DuplicateProtocol(&'static str),
    /// No identity was configured.
    #[error("protocol \"{0}\" needs an identity: Service::builder().identity(..)")]
    NoIdentity(&'static str),
    /// The address has no key to verify the peer against.
    #[error(
        "protocol \"{0}\" needs the peer's public key in the address, as in tcp://KEY@host:port"
    )]
    NoRemoteKey(&'static str),
    /// The address has a key that this protocol could not verify the peer against.
    #[error(
        "protocol \"{0}\" verifies nobody: leave the key out of the address, or use \"msgpack\""
    )]
    KeyUnused(&'static str),
    /// Whoever has our own public key would be ourselves.
    #[error("the address names our own key")]
    OwnKey,
    /// The cipher suite cannot be used here.
    #[error("suite {0} cannot be dialed by protocol \"{1}\" (knob: `suites`)")]
    Suite(&'static str, &'static str),
    /// A message has an id that the protocol keeps for itself.
    #[error(
        "message \"{message}\" has the id {id:#x}, which protocol \"{protocol}\" keeps for itself: \
         give it another `id = ..`"
    )]
    ReservedId {
        /// The protocol.
        protocol: &'static str,
        /// Name of the message.
        message: &'static str,
        /// Its id.
        id: u64,
    },
    /// A setting of the protocol itself cannot be.
    #[error("protocol \"{protocol}\": {why}")]
    Unusable {
        /// The protocol.
        protocol: &'static str,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// Keys or randomness could not be had.
    #[error("the handshake could not be set up: {0}")]
    Handshake(moorline_noise::HandshakeError),
}

/// Protocols by name, as a value: an application can add its own, a test can build one from
/// nothing.
#[derive(Clone, Default)]
pub struct ProtocolRegistry {
    factories: BTreeMap<&'static str, Arc<dyn ProtocolFactory>>,
}

impl ProtocolRegistry {
    /// No protocol at all.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Those that [`register_protocol!`](crate::register_protocol) put in, from every linked crate.
    ///
    /// # Errors
    /// Two of one name.
    pub fn registered() -> Result<Self, SetupError> {
        let mut registry = Self::empty();
        for entry in inventory::iter::<ProtocolEntry> {
            registry.add((entry.make)())?;
        }
        Ok(registry)
    }

    /// Adds one.
    ///
    /// # Errors
    /// Its name is taken.
    pub fn add(&mut self, factory: Arc<dyn ProtocolFactory>) -> Result<(), SetupError> {
        let name = factory.name();
        if self.factories.contains_key(name) {
            return Err(SetupError::DuplicateProtocol(name));
        }
        self.factories.insert(name, factory);
        Ok(())
    }

    /// Adds one, or puts it in the place of that of the same name.
    pub fn put(&mut self, factory: Arc<dyn ProtocolFactory>) {
        self.factories.insert(factory.name(), factory);
    }

    /// Finds one.
    ///
    /// # Errors
    /// There is none of this name; the error lists those there are.
    pub fn find(&self, name: &str) -> Result<&Arc<dyn ProtocolFactory>, SetupError> {
        self.factories.get(name).ok_or_else(|| SetupError::UnknownProtocol {
            name: name.to_owned(),
            known: self.names().collect::<Vec<_>>().join(", "),
        })
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.factories.keys().copied()
    }
}

impl fmt::Debug for ProtocolRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// What [`register_protocol!`](crate::register_protocol) collects.
#[doc(hidden)]
pub struct ProtocolEntry {
    /// Makes the factory.
    pub make: fn() -> Arc<dyn ProtocolFactory>,
}

inventory::collect!(ProtocolEntry);

/// Registers a protocol under its name for every service of the process.
///
/// The argument is an expression that makes the factory: `register_protocol!(Msgpack::sealed())`.
#[macro_export]
macro_rules! register_protocol {
    ($factory:expr) => {
        $crate::inventory::submit! {
            $crate::ProtocolEntry { make: || ::std::sync::Arc::new($factory) }
        }
    };
}
