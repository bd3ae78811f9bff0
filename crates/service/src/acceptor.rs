//! The accept loop: it never ends by an error, and strangers cost it little.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use moorline_protocol::{CloseReason, Ending, ErrorCode, Farewell, Opened, ProtocolFactory};
use moorline_session::{AcceptFailed, Direction, TableFull};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::address::Address;
use crate::connection::{Fresh, NotStarted, Stay};
use crate::doorway::{AtTheDoor, Pass};
use crate::error::{Error, Result};
use crate::limits::{ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN};
use crate::listen::Rules;
use crate::opening::silence;
use crate::peers::Peers;
use crate::refusals::Refusals;
use crate::revocation::follow;
use crate::service::{Inner, Way};
use crate::shards::{Place, run_on};
use crate::spare::Spare;
use crate::transport::{Connection, Incoming, Listener, Refused};

/// A listener at work. Dropping it changes nothing; [`close`](Self::close) ends it.
#[derive(Debug)]
pub struct Acceptor {
    url: Address,
    tasks: Vec<AbortHandle>,
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
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

pub(crate) async fn listen(
    inner: Arc<Inner>,
    (address, transport, factory): Way,
    rules: Rules,
) -> Result<Acceptor> {
    check(&inner, &*factory, &rules.peers)?;
    let url = address.to_string();
    let refused = |error| Error::Listen { url: url.clone(), error };
    let shared = transport.shares_addresses() && inner.shards.len() > 0;
    let mut listeners = Vec::new();
    let mut place = address.without_key();
    for number in 0..if shared { inner.shards.len() } else { 1 } {
        let listening = transport.listen(place.clone());
        let listener = match inner.shards.place(number).filter(|_| shared) {
            None => listening.await,
            // It is to be woken where it is looked at.
            Some(shard) => run_on(&shard.handle, listening).await.map_err(io::Error::other)?,
        }
        .map_err(refused)?;
        place = listener.address();
        listeners.push(listener);
    }
    let listener = &listeners[0];
    let key = inner.local.identity.as_ref().filter(|_| factory.authenticates());
    let url = match key {
        Some(identity) => listener.address().with_key(identity.public()),
        None => listener.address(),
    };
    tracing::info!(%url, protocol = factory.name(), "listening");
    let list = rules.peers.now();
    let anyone = key.is_some_and(|key| list.check(Some(&key.public()), None, 0).is_ok());
    if factory.authenticates() && list.is_empty() && !anyone {
        tracing::warn!("nobody is on the peer list: nobody will get in (knob: `peers`)");
    }
    let start = Instant::now();
    let this = Arc::clone(&inner);
    this.guests.follow(&rules.peers);
    if !this.followed.swap(true, Ordering::AcqRel) {
        this.openers.spawn_on(&this.home(), follow(Arc::clone(&this)));
    }
    let name = factory.name();
    let mut tasks = Vec::new();
    for (number, listener) in listeners.into_iter().enumerate() {
        let (inner, factory) = (Arc::clone(&inner), Arc::clone(&factory));
        let rules = rules.clone();
        let shard = shared.then_some(number);
        let place = shard.and_then(|number| this.shards.place(number));
        let accepting = accept_all(Loop { inner, listener, factory, rules, start, shard });
        tasks.push(match place {
            Some(place) => this.openers.spawn_on(&place.handle, accepting),
            None => this.openers.spawn(accepting),
        });
    }
    this.record.listens(url.to_string(), name, &tasks);
    // A shutdown that began meanwhile stops these loops, too.
    if this.is_stopped() { Err(Error::ShutDown) } else { Ok(Acceptor { url, tasks }) }
}

/// What can be known to be wrong before anybody comes is said now.
fn check(inner: &Inner, factory: &dyn ProtocolFactory, peers: &Peers) -> Result<()> {
    let nobody = AtTheDoor { peers: peers.clone(), ip: None };
    if !factory.authenticates() && peers.now().admit(None, None, 0).is_err() {
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
    rules: Rules,
    start: Instant,
    /// The shard it runs on, where each has a listener of its own.
    shard: Option<usize>,
}

async fn accept_all(mut this: Loop) {
    let mut spare = Spare::new();
    let mut pause = ACCEPT_PAUSE_MIN;
    let refusals = Arc::new(Refusals::default());
    loop {
        match poll_fn(|cx| this.poll_accept(cx)).await {
            Ok(incoming) => {
                pause = ACCEPT_PAUSE_MIN;
                this.welcome(incoming, &refusals);
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
            Err(error) if is_of_one(&error) => {
                tracing::debug!(%error, "a connection was gone before it was accepted");
            }
            Err(error) => match Refused::in_error(&error) {
                Some(Refused { peer, cause, reason }) => {
                    refusals.say(&this.inner, this.factory.name(), peer, cause, reason);
                }
                None => {
                    tracing::error!(%error, ?pause, "no connection could be accepted");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                }
            },
        }
    }
}

impl Loop {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        if self.inner.shards.len() > 0 && self.shard.is_none() {
            return self.listener.poll_accept_loose(cx);
        }
        let accepted = self.listener.poll_accept(cx);
        accepted.map_ok(|here| Incoming::new(here.peer.clone(), here.ip, move || Ok(here)))
    }

    fn welcome(&self, connection: Incoming, refusals: &Arc<Refusals>) {
        let inner = Arc::clone(&self.inner);
        let pass = match inner.doorway.enter(connection.ip, self.rules.handshakes.as_ref()) {
            Ok(pass) => pass,
            Err(crowded) => {
                let (name, reason) = (self.factory.name(), crowded.to_string());
                return refusals.say(&inner, name, &connection.peer, crowded.cause(), &reason);
            }
        };
        let factory = Arc::clone(&self.factory);
        let (start, refusals) = (self.start, Arc::clone(refusals));
        let openers = Arc::clone(&inner.openers);
        let place = match self.shard {
            Some(number) => inner.shards.place(number),
            None => inner.shards.least(),
        };
        let shard = place.as_ref().map_or_else(Handle::current, |place| place.handle.clone());
        let stranger = Stranger { connection, pass, place, rules: self.rules.clone() };
        openers.spawn_on(&shard, async move {
            admit(inner, factory, stranger, start, &refusals).await;
        });
    }
}

/// Somebody at the door, and where there is room for it.
struct Stranger {
    connection: Incoming,
    pass: Pass,
    place: Option<Place>,
    rules: Rules,
}

/// The handshake of one stranger.
async fn admit(
    inner: Arc<Inner>,
    factory: Arc<dyn ProtocolFactory>,
    stranger: Stranger,
    start: Instant,
    refusals: &Refusals,
) {
    let name = factory.name();
    let Stranger { connection, pass, place, rules } = stranger;
    let peer = connection.peer.clone();
    let connection = match connection.settle() {
        Ok(connection) => connection,
        Err(error) => return refusals.say(&inner, name, &peer, "io", &error.to_string()),
    };
    let door = Box::new(AtTheDoor { peers: rules.peers.clone(), ip: connection.ip });
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
            if let Err(full) = seat(fresh, &inner, *opened, place, rules).await {
                refusals.say(&inner, name, &peer, full.cause(), &full.to_string());
            }
            // Held until who is turned away has gone, so that only so many can linger.
            drop(pass);
        }
        Err(reason) => {
            refusals.say(&inner, name, &peer, cause(&reason), &reason.to_string());
            if reason.ending() != Ending::Dead {
                silence(start).await;
            }
        }
    }
}

/// A session of who has got in, if there is room.
async fn seat(
    mut fresh: Fresh,
    inner: &Arc<Inner>,
    mut opened: Opened,
    place: Option<Place>,
    rules: Rules,
) -> Result<(), Full> {
    let taken = match rules.sessions.as_ref().map(|seats| (seats.take(), seats.max())) {
        Some((None, max)) => Err(Full::Listener(max)),
        Some((seat, _)) => Ok(seat),
        None => Ok(None),
    };
    match taken.and_then(|seat| Ok(inner.hub.sessions().check_room().map(|()| seat)?)) {
        Ok(seat) => {
            let stay = Stay { place, seat, peers: Some(rules.peers) };
            match fresh.start(inner, opened, stay, None) {
                Err(NotStarted::Full(full)) => Err(full.into()),
                Ok(_) | Err(NotStarted::Over) => Ok(()),
            }
        }
        Err(full) => {
            let text = "there is no room for one more session; try again later";
            let farewell = Farewell::new(ErrorCode::OVERLOADED, text);
            // Who does not hear it any more is not worth a word in the log.
            let _ = fresh.turn_away(inner, &mut opened, &farewell).await;
            Err(full)
        }
    }
}

/// Why who got in does not stay.
#[derive(Debug, thiserror::Error)]
enum Full {
    #[error(transparent)]
    Service(#[from] TableFull),
    #[error(
        "{0} sessions through this listener are open, its limit (knob: `Listen::sessions_max`)"
    )]
    Listener(usize),
}

impl Full {
    fn cause(&self) -> &'static str {
        match self {
            Self::Service(_) => "sessions_max",
            Self::Listener(_) => "listener_sessions_max",
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

/// It concerns the connection that would have come; the next one may be well.
fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
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
