//! Dials, and makes a session of what answers.

use std::io;
use std::sync::Arc;

use moorline_noise::PublicKey;
use moorline_protocol::{CloseReason, HandledTypes, HandshakeFailure, ProtocolFactory, Remote};
use moorline_session::{ConnectFailed, Direction, SessionRef};

use crate::address::Address;
use crate::client::Shared;
use crate::connection::{Fresh, Stay};
use crate::error::{Error, Result};
use crate::known_peers::{FirstContact, KnownPeers, Learn};
use crate::service::{Inner, Way};
use crate::shards::{Place, run_on};
use crate::transport::{Connection, Transport};

pub(crate) async fn connect(inner: Arc<Inner>, way: Way) -> Result<SessionRef> {
    let place = inner.shards.least();
    let shard = place.as_ref().map(|place| place.handle.clone());
    let dialing = connect_here(inner, way, None, place);
    match shard {
        None => dialing.await,
        Some(shard) => {
            let dialing = async { Ok(Unclaimed(Some(dialing.await?))) };
            run_on(&shard, dialing).await.unwrap_or(Err(Error::ShutDown)).map(Unclaimed::claim)
        }
    }
}

/// A session on its way from its shard to whoever dialed. Who is gone meanwhile never takes it, and
/// then it is closed.
struct Unclaimed(Option<SessionRef>);

impl Unclaimed {
    fn claim(mut self) -> SessionRef {
        self.0.take().expect("it is claimed once")
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(session) = &self.0 {
            session.close();
        }
    }
}

/// On the runtime where the session is to live.
pub(crate) async fn connect_here(
    inner: Arc<Inner>,
    (address, transport, factory): Way,
    client: Option<Arc<Shared>>,
    place: Option<Place>,
) -> Result<SessionRef> {
    let (transport, factory, client) = (&*transport, &*factory, client.as_ref());
    let dial = Dial { inner: &inner, address, transport, factory, client };
    let result = dial.connect(place).await;
    if let Err(error) = &result {
        let reason = error.to_string().into();
        let address = dial.address.to_string().into();
        inner.hub.publish(factory.name(), ConnectFailed { address, reason });
    }
    result
}

/// One address on its way to a session.
struct Dial<'a> {
    inner: &'a Arc<Inner>,
    address: Address,
    transport: &'a dyn Transport,
    factory: &'a dyn ProtocolFactory,
    /// Whose session it is to be, if it is not to be one of its own.
    client: Option<&'a Arc<Shared>>,
}

impl Dial<'_> {
    async fn connect(&self, place: Option<Place>) -> Result<SessionRef> {
        match &self.inner.known_peers {
            Some(known) if self.address.key.is_none() && self.factory.authenticates() => {
                self.connect_known(known, place).await
            }
            _ => self.connect_once(self.address.key.into(), place).await,
        }
    }

    /// The address has no key: the one that was trusted before counts, or one that is trusted now.
    async fn connect_known(&self, known: &KnownPeers, place: Option<Place>) -> Result<SessionRef> {
        let Some(key) = known.find(&self.address)? else {
            let key = self.learn().await?;
            let contact = FirstContact { address: self.address.clone(), key };
            if !known.trust(contact).await? {
                return Err(Error::NotTrusted { url: self.address.to_string(), key });
            }
            return self.connect_once(Remote::Pinned(key), place).await;
        };
        let result = self.connect_once(Remote::Pinned(key), place).await;
        if let Err(Error::Handshake { .. }) = &result
            && let Ok(now) = self.learn().await
            && now != key
        {
            let (url, file) = (self.address.to_string(), known.path().to_path_buf());
            return Err(Error::KeyChanged { url, file, known: key, now });
        }
        result
    }

    /// Which key the peer proves to have. No session comes of it.
    async fn learn(&self) -> Result<PublicKey> {
        let learn = Learn::default();
        let mut fresh = self.fresh(Remote::Asked(Box::new(learn.clone()))).await?;
        match (fresh.open(self.inner).await, learn.key()) {
            (Err(CloseReason::HandshakeFailed(HandshakeFailure::NotTrusted)), Some(key)) => Ok(key),
            (Err(reason), _) => Err(Error::Handshake { url: self.address.to_string(), reason }),
            (Ok(_), _) => unreachable!("a peer that is only asked for its key is refused"),
        }
    }

    async fn connect_once(&self, remote: Remote, place: Option<Place>) -> Result<SessionRef> {
        let inner = self.inner;
        let mut fresh = self.fresh(remote).await?;
        let refused = |reason| Error::Handshake { url: self.address.to_string(), reason };
        let opened = fresh.open(inner).await.map_err(refused)?;
        // From here on a shutdown waits until the session is among those that it drains.
        let _opening = inner.openers.enter();
        if inner.is_stopped() {
            return Err(Error::ShutDown);
        }
        let stay = Stay { place, ..Stay::default() };
        fresh.start(inner, *opened, stay, self.client).map_err(|full| Error::Connect {
            url: self.address.to_string(),
            error: io::Error::other(full),
        })
    }

    /// A connection that has said nothing yet.
    async fn fresh(&self, remote: Remote) -> Result<Fresh> {
        let handled: HandledTypes = self.inner.handlers.snapshot().handled.clone();
        let local = Arc::clone(&self.inner.local);
        let protocol = self.factory.initiator(local, handled.clone(), remote)?;
        let connection = self.dial().await?;
        let (name, direction) = (self.factory.name(), Direction::Connected);
        Ok(Fresh::new(self.inner, connection, protocol, name, direction, handled))
    }

    async fn dial(&self) -> Result<Connection> {
        let time = self.inner.patience.connect;
        let result = self.transport.connect_within(self.address.clone(), time).await;
        result.map_err(|error| Error::Connect { url: self.address.to_string(), error })
    }
}
