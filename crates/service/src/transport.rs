//! Byte transports by URL scheme: what a driver needs of a socket, and who makes one from an
//! address.
//!
//! A transport has two halves because they have two owners: the driver reads, and whoever is in the
//! writer's booth writes, from any thread.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::address::Address;

#[cfg(feature = "dns")]
pub mod dns;
pub mod mem;
pub mod resolver;
pub mod tcp;
#[cfg(unix)]
pub mod uds;

/// The receiving half of a connection.
pub trait Reader: Send {
    /// Reads into `buffer`, which is not empty; 0 means that the peer sends no more.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Reads what is there, without asking the runtime whether something is: for
    /// [`busy_poll`](crate::ServiceBuilder::busy_poll), between a [`poll_read`](Self::poll_read) that
    /// found nothing and the next one. Transports that cannot do that find nothing here.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where nothing is there; otherwise as the operating system says.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let _ = buffer;
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// The sending half of a connection. Its calls never wait.
pub trait Writer: Send + Sync {
    /// Writes what fits now. [`io::ErrorKind::WouldBlock`] if nothing does.
    ///
    /// # Errors
    /// As the operating system says.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ready when a write is worth another try. Only the driver asks.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Nothing more will be written: the peer reads to the end.
    fn shutdown(&self);
}

/// A connection just made.
pub struct Connection {
    /// Goes to the driver.
    pub reader: Box<dyn Reader>,
    /// Goes to the writer.
    pub writer: Arc<dyn Writer>,
    /// Where the peer is, for people: `SCHEME://AUTHORITY`, and in brackets behind it what else the
    /// transport knows of it.
    pub peer: Box<str>,
    /// Its address, where the transport has such: limits and peer lists go by it.
    pub ip: Option<IpAddr>,
}

/// A connection that has come in, and that has not been tied to a runtime where its transport can do
/// without.
pub struct Incoming {
    /// As [`Connection::peer`].
    pub peer: Box<str>,
    /// As [`Connection::ip`].
    pub ip: Option<IpAddr>,
    settle: Settle,
}

type Settle = Box<dyn FnOnce() -> io::Result<Connection> + Send>;

impl Incoming {
    /// `settle` is called on the runtime that the connection is to live on.
    pub fn new(
        peer: Box<str>,
        ip: Option<IpAddr>,
        settle: impl FnOnce() -> io::Result<Connection> + Send + 'static,
    ) -> Self {
        Self { peer, ip, settle: Box::new(settle) }
    }

    /// Ties it to the runtime of the caller.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn settle(self) -> io::Result<Connection> {
        (self.settle)()
    }
}

/// A connection that its listener has closed at once, by a rule of the transport: as an error of
/// [`Listener::poll_accept`] it is told like every other connection that became no session.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// As [`Connection::peer`].
    pub peer: Box<str>,
    /// A short stable name of the rule.
    pub cause: &'static str,
    /// Why, for people.
    pub reason: Box<str>,
}

impl Refused {
    /// The refusal in an error that was made of one.
    #[must_use]
    pub fn in_error(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        io::Error::new(io::ErrorKind::PermissionDenied, refused)
    }
}

/// Where connections come in.
pub trait Listener: Send {
    /// The next connection. Cancel safe: none is lost if the future is dropped.
    ///
    /// An error concerns one connection, also one of [`Refused`]; the next one may be well.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Connection>>;

    /// As [`poll_accept`](Self::poll_accept), for a service with
    /// [`shards`](crate::ServiceBuilder::shards): the connection will live on another runtime. Unless a
    /// transport says how, it stays tied to this one, and works from afar.
    fn poll_accept_loose(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let accepted = self.poll_accept(cx);
        accepted.map_ok(|connection| {
            Incoming::new(connection.peer.clone(), connection.ip, move || Ok(connection))
        })
    }

    /// The address as it is: a port left to the system is the real one.
    fn address(&self) -> Address;
}

/// A future of a transport.
pub type Pending<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// Makes listeners and connections from addresses of one scheme.
///
/// Its errors say what is wrong and, of a name, with which of its addresses; the address that was asked
/// for is named by whoever passes them on.
pub trait Transport: Send + Sync {
    /// `tcp`, `uds`, `mem` and the like.
    fn scheme(&self) -> &'static str;

    /// Starts listening.
    fn listen(&self, address: Address) -> Pending<Box<dyn Listener>>;

    /// Whether several listeners may be at one address and share what comes in: then a service with
    /// [`shards`](crate::ServiceBuilder::shards) has one for each.
    fn shares_addresses(&self) -> bool {
        false
    }

    /// Dials.
    fn connect(&self, address: Address) -> Pending<Connection>;

    /// Dials, and gives up after this time. A transport that tries several ways says in its error how
    /// far it came with each.
    fn connect_within(&self, address: Address, time: Duration) -> Pending<Connection> {
        let dialing = self.connect(address);
        Box::pin(async move {
            tokio::time::timeout(time, dialing)
                .await
                .unwrap_or_else(|_elapsed| Err(no_answer(time)))
        })
    }
}

pub(crate) fn no_answer(time: Duration) -> io::Error {
    let text = format!("no answer in {time:?} (knob: `connect_timeout`)");
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// Transports by scheme, as a value an application can add to.
#[derive(Clone)]
pub struct TransportRegistry {
    transports: BTreeMap<&'static str, Arc<dyn Transport>>,
}

impl Default for TransportRegistry {
    /// `tcp`, `uds` (on Unix) and `mem`.
    fn default() -> Self {
        let mut registry = Self { transports: BTreeMap::new() };
        registry.set(Arc::new(tcp::Tcp::default()));
        #[cfg(unix)]
        registry.set(Arc::new(uds::Uds::default()));
        registry.set(Arc::new(mem::Mem));
        registry
    }
}

impl TransportRegistry {
    /// Adds a transport, or puts another in the place of one of the same scheme.
    pub fn set(&mut self, transport: Arc<dyn Transport>) {
        self.transports.insert(transport.scheme(), transport);
    }

    /// The transport of this scheme.
    #[must_use]
    pub fn find(&self, scheme: &str) -> Option<&Arc<dyn Transport>> {
        self.transports.get(scheme)
    }

    /// All schemes, in order.
    pub fn schemes(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.transports.keys().copied()
    }
}

impl fmt::Debug for TransportRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.schemes()).finish()
    }
}
