//! What can go wrong with a service, sorted by who can do something about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use moorline_noise::PublicKey;
use moorline_protocol::{CloseReason, RegistryError, SettingOutOfBounds, SetupError};
use moorline_session::{CallError, SendError};

use crate::address::AddressError;
use crate::config::ConfigError;
use crate::drain::DrainReport;
use crate::owner::OwnerError;

/// A result of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that ends a program's use of the library: what `main` returns.
///
/// Its `Debug` is its `Display`, because that is what a program prints whose `main` returns it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key file or peer list.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// Two message types cannot be told apart.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Two crates of the process offer their provider, and the service chose none.
    #[error(
        "the providers {0} and {1} are both offered: choose one by `Service::builder().provider(..)`"
    )]
    Providers(&'static str, &'static str),
    /// A limit was set to what it cannot be.
    #[error(transparent)]
    Setting(#[from] SettingOutOfBounds),
    /// What was set from outside the program cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Two handlers for one message.
    #[error("two handlers for \"{0}\": a message has one, register it once")]
    DuplicateHandler(&'static str),
    /// An address that cannot be read.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No transport for this scheme.
    #[error("no transport for \"{scheme}://\"; there are: {known}")]
    UnknownScheme {
        /// What was asked for.
        scheme: String,
        /// What there is.
        known: String,
    },
    /// The protocol cannot be used as configured.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A protocol without keys on a listener that does not say it wants such.
    #[error(
        "protocol \"{0}\" does not verify its peers: a listener needs Peers::anonymous(), spelled \
         out"
    )]
    NotAuthenticated(&'static str),
    /// A listener could not be had.
    #[error("cannot listen on {url}: {error}")]
    Listen {
        /// Where.
        url: String,
        /// What the system says.
        error: io::Error,
    },
    /// A connection could not be had.
    #[error("cannot connect to {url}: {error}")]
    Connect {
        /// Where.
        url: String,
        /// What the system says.
        error: io::Error,
    },
    /// A connection was had, but no session.
    #[error("no session with {url}: {reason}")]
    Handshake {
        /// Where.
        url: String,
        /// Why.
        reason: CloseReason,
    },
    /// The address has no key in it, and the one the peer has was not trusted.
    #[error(
        "{url} has key {}, which is not known here and was not trusted; compare the fingerprint by \
         another way, then dial with the key in the address",
        key.fingerprint()
    )]
    NotTrusted {
        /// Where.
        url: String,
        /// The key that answers there.
        key: PublicKey,
    },
    /// The peer has another key than the one that was trusted.
    #[error(
        "{url} has key {} now, and had {} before: somebody else answers there, or its key was \
         changed; if you know that it was, remove its line from {}",
        now.fingerprint(), known.fingerprint(), file.display()
    )]
    KeyChanged {
        /// Where.
        url: String,
        /// Where the known keys stand.
        file: PathBuf,
        /// The key that was trusted.
        known: PublicKey,
        /// The key that answers there.
        now: PublicKey,
    },
    /// More may wait for a connection than a session takes at once.
    #[error(
        "{bytes} bytes may wait for a connection of the client, a session takes {limit} at once: \
         lower the knob `while_down`, or raise `outbox_bytes`"
    )]
    QueueAboveOutbox {
        /// What was asked for.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A message was not accepted for sending.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The owner of a session did not take something.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// A call has no good answer.
    #[error("{0}")]
    Call(Box<str>),
    /// The service has been shut down.
    #[error("the service has been shut down")]
    ShutDown,
    /// Sessions had to be cut short at the drain deadline.
    #[error("{0}")]
    NotDrained(DrainReport),
    /// Something of the operating system.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<E: fmt::Display> From<CallError<E>> for Error {
    fn from(error: CallError<E>) -> Self {
        Error::Call(error.to_string().into())
    }
}

/// What is wrong with a key file or a peer list.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Others than its owner can read it.
    #[error(
        "{} has mode {mode:04o}: others can read the secret; make it 0600, or a new one if they \
         may have", path.display()
    )]
    OpenToOthers {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is no key.
    #[error("{} is no key file: {error}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        error: moorline_noise::KeyError,
    },
    /// A line of the known peers is no address and key.
    #[error("{}, line {line}: not an address and a public key", path.display())]
    KnownPeers {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// It is no peer list.
    #[error("{}: {error}", path.display())]
    PeerList {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        error: moorline_noise::PeersError,
    },
    /// No randomness.
    #[error("no key could be made: {0}")]
    Random(#[from] moorline_noise::RandomError),
}
