//! Dials, and makes a session of what answers.

use std::io;
use std::sync::Arc;

use moorline_protocol::ProtocolFactory;
use moorline_session::{ConnectFailed, Direction, SessionRef};

use crate::address::Address;
use crate::connection::Fresh;
use crate::error::{Error, Result};
use crate::service::Inner;
use crate::transport::{Connection, Transport};

pub(crate) async fn connect(
    inner: Arc<Inner>,
    address: Address,
    transport: Arc<dyn Transport>,
    factory: Arc<dyn ProtocolFactory>,
) -> Result<SessionRef> {
    let name = factory.name();
    let result = connect_once(&inner, &address, &*transport, &*factory).await;
    if let Err(error) = &result {
        let reason = error.to_string().into();
        let address = address.to_string().into();
        inner.hub.publish(name, ConnectFailed { address, reason });
    }
    result
}

async fn connect_once(
    inner: &Arc<Inner>,
    address: &Address,
    transport: &dyn Transport,
    factory: &dyn ProtocolFactory,
) -> Result<SessionRef> {
    let handled = inner.handlers.snapshot().handled.clone();
    let protocol = factory.initiator(Arc::clone(&inner.local), handled.clone(), address.key)?;
    let connection = dial(inner, address, transport).await?;
    let mut fresh =
        Fresh::new(inner, connection, protocol, factory.name(), Direction::Connected, handled);
    let refused = |reason| Error::Handshake { url: address.to_string(), reason };
    let opened = fresh.open().await.map_err(refused)?;
    if inner.is_stopped() {
        return Err(Error::ShutDown);
    }
    fresh
        .start(inner, *opened)
        .map_err(|full| Error::Connect { url: address.to_string(), error: io::Error::other(full) })
}

async fn dial(inner: &Inner, address: &Address, transport: &dyn Transport) -> Result<Connection> {
    let dialing = transport.connect(address.clone());
    let result = match tokio::time::timeout(inner.patience.connect, dialing).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer in {:?} (knob: `connect_timeout`)", inner.patience.connect),
        )),
    };
    result.map_err(|error| Error::Connect { url: address.to_string(), error })
}
