//! The accept loop: it never ends by an error, and strangers cost it little.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use moorline_protocol::{CloseReason, Ending, ProtocolFactory};
use moorline_session::{AcceptFailed, Direction};
use tokio::task::AbortHandle;

use crate::address::Address;
use crate::connection::Fresh;
use crate::doorway::{AtTheDoor, Pass};
use crate::error::{Error, Result};
use crate::limits::{ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN};
use crate::opening::silence;
use crate::refusals::Refusals;
use crate::revocation::follow;
use crate::service::Inner;
use crate::spare::Spare;
use crate::transport::{Connection, Listener, Transport};

/// A listener at work. Dropping it changes nothing; [`close`](Self::close) ends it.
#[derive(Debug)]
pub struct Acceptor {
    url: Address,
    task: AbortHandle,
}

impl Acceptor {
    /// The address as a client needs it: with the real port, and with our key where the protocol
    /// verifies it.
    #[must_use]
    pub fn url(&self) -> &Address {
        &self.url
    }

    /// Stops listening. Sessions that came in stay open.
    pub fn close(&self) {
        self.task.abort();
    }
}

pub(crate) async fn listen(
    inner: Arc<Inner>,
    address: Address,
    transport: Arc<dyn Transport>,
    factory: Arc<dyn ProtocolFactory>,
) -> Result<Acceptor> {
    check(&inner, &*factory)?;
    let url = address.to_string();
    let listener = transport
        .listen(address.without_key())
        .await
        .map_err(|error| Error::Listen { url, error })?;
    let key = inner.local.identity.as_ref().filter(|_| factory.authenticates());
    let url = match key {
        Some(identity) => listener.address().with_key(identity.public()),
        None => listener.address(),
    };
    tracing::info!(%url, protocol = factory.name(), "listening");
    let list = inner.peers.now();
    let anyone = key.is_some_and(|key| list.check(Some(&key.public()), None, 0).is_ok());
    if factory.authenticates() && list.is_empty() && !anyone {
        tracing::warn!("nobody is on the peer list: nobody will get in (knob: `peers`)");
    }
    let start = Instant::now();
    let this = Arc::clone(&inner);
    if !this.followed.swap(true, Ordering::AcqRel) {
        this.openers.spawn(follow(Arc::clone(&this)));
    }
    let task = this.openers.spawn(accept_all(Loop { inner, listener, factory, start }));
    // A shutdown that began meanwhile stops this loop, too.
    if this.is_stopped() { Err(Error::ShutDown) } else { Ok(Acceptor { url, task }) }
}

/// What can be known to be wrong before anybody comes is said now.
fn check(inner: &Inner, factory: &dyn ProtocolFactory) -> Result<()> {
    let nobody = AtTheDoor { peers: inner.peers.clone(), ip: None };
    if !factory.authenticates() && inner.peers.now().admit(None, None, 0).is_err() {
        return Err(Error::NotAuthenticated(factory.name()));
    }
    let handled = inner.handlers.snapshot().handled.clone();
    factory.responder(Arc::clone(&inner.local), handled, Box::new(nobody))?;
    Ok(())
}

struct Loop {
    inner: Arc<Inner>,
    listener: Box<dyn Listener>,
    factory: Arc<dyn ProtocolFactory>,
    start: Instant,
}

async fn accept_all(mut this: Loop) {
    let mut spare = Spare::new();
    let mut pause = ACCEPT_PAUSE_MIN;
    let refusals = Arc::new(Refusals::default());
    loop {
        match poll_fn(|cx| this.listener.poll_accept(cx)).await {
            Ok(connection) => {
                pause = ACCEPT_PAUSE_MIN;
                this.welcome(connection, &refusals);
            }
            Err(error) if out_of_descriptors(&error) => {
                tracing::error!(%error, ?pause, "out of descriptors: a connection is turned away");
                spare.release();
                if let Some(connection) = turn_one_away(&mut *this.listener).await {
                    let reason = "no file descriptor was left for it";
                    let name = this.factory.name();
                    refusals.say(&this.inner, name, &connection.peer, "descriptors", reason);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                spare = Spare::new();
            }
            // A connection that was gone before we took it; the next one may be well.
            Err(error) => tracing::debug!(%error, "a connection could not be accepted"),
        }
    }
}

impl Loop {
    fn welcome(&self, connection: Connection, refusals: &Arc<Refusals>) {
        let inner = Arc::clone(&self.inner);
        let pass = match inner.doorway.enter(connection.ip) {
            Ok(pass) => pass,
            Err(limit) => {
                refusals.say(
                    &inner,
                    self.factory.name(),
                    &connection.peer,
                    limit,
                    &format!("too many handshakes at once (limit: `{limit}`)"),
                );
                return;
            }
        };
        let factory = Arc::clone(&self.factory);
        let (start, refusals) = (self.start, Arc::clone(refusals));
        let openers = Arc::clone(&inner.openers);
        openers
            .spawn(async move { admit(inner, factory, connection, pass, start, &refusals).await });
    }
}

/// The handshake of one stranger.
async fn admit(
    inner: Arc<Inner>,
    factory: Arc<dyn ProtocolFactory>,
    connection: Connection,
    pass: Pass,
    start: Instant,
    refusals: &Refusals,
) {
    let name = factory.name();
    let peer = connection.peer.clone();
    let door = Box::new(AtTheDoor { peers: inner.peers.clone(), ip: connection.ip });
    let handled = inner.handlers.snapshot().handled.clone();
    let protocol = match factory.responder(Arc::clone(&inner.local), handled.clone(), door) {
        Ok(protocol) => protocol,
        Err(error) => {
            return refusals.say(&inner, name, &peer, "setup", &error.to_string());
        }
    };
    let mut fresh = Fresh::new(&inner, connection, protocol, name, Direction::Accepted, handled);
    match fresh.open(&inner).await {
        Ok(opened) => {
            drop(pass);
            if let Err(full) = fresh.start(&inner, *opened) {
                refusals.say(&inner, name, &peer, "sessions_max", &full.to_string());
            }
        }
        Err(reason) => {
            refusals.say(&inner, name, &peer, cause(&reason), &reason.to_string());
            if reason.ending() != Ending::Dead {
                silence(start).await;
            }
        }
    }
}

fn cause(reason: &CloseReason) -> &'static str {
    match reason {
        CloseReason::HandshakeRefused(refusal) => refusal.cause(),
        CloseReason::Io(_) => "io",
        CloseReason::Exhausted(_) => "exhausted",
        _ => "other",
    }
}

/// EMFILE or ENFILE: this process, or the whole system, has no descriptor left.
fn out_of_descriptors(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// Takes one connection and closes it, so that its client learns at once and the listener does not
/// wake us again for the same one.
async fn turn_one_away(listener: &mut dyn Listener) -> Option<Connection> {
    let one = poll_fn(|cx| listener.poll_accept(cx));
    tokio::time::timeout(Duration::from_millis(1), one).await.ok()?.ok()
}

/// How `AcceptFailed` is told.
impl Refusals {
    fn say(&self, inner: &Inner, protocol: &str, peer: &str, cause: &'static str, reason: &str) {
        self.count(cause, peer, reason);
        let (address, reason) = (peer.into(), reason.into());
        inner.hub.publish(protocol, AcceptFailed { address, cause, reason });
    }
}
