//! A listener before it listens: who gets in there, and how many.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use moorline_protocol::SettingOutOfBounds;

use crate::acceptor::{self, Acceptor};
use crate::error::Result;
use crate::limits::HANDSHAKES_MAX;
use crate::peers::Peers;
use crate::seats::Seats;
use crate::service::Service;

/// A listener that is being described; it listens when it is awaited. Made by [`Service::listen`].
///
/// What it says nothing of is as the service has it, and the limits of the service hold as well: they
/// are shared by all of its listeners.
#[must_use = "nothing listens until it is awaited"]
#[derive(Debug)]
pub struct Listen {
    service: Service,
    url: String,
    protocol: String,
    peers: Option<Peers>,
    sessions_max: Option<usize>,
    handshakes_max: Option<usize>,
}

impl Listen {
    pub(crate) fn new(service: &Service, url: &str, protocol: &str) -> Self {
        Self {
            service: service.clone(),
            url: url.into(),
            protocol: protocol.into(),
            peers: None,
            sessions_max: None,
            handshakes_max: None,
        }
    }

    /// Who gets in here. Its changes are followed like those of the service's own list, which is what
    /// counts unless this is said.
    pub fn peers(mut self, peers: Peers) -> Self {
        self.peers = Some(peers);
        self
    }

    /// Sessions through this listener at once. Who comes in addition is told OVERLOADED once it has
    /// proved who it is. Default: as many as the service may have.
    pub fn sessions_max(mut self, sessions: usize) -> Self {
        self.sessions_max = Some(sessions);
        self
    }

    /// Handshakes at this listener at once; who comes in addition is closed without a word. Where the
    /// listener that is open to everybody has such a limit, some of the 512 of the service are always
    /// free for another one. Default and largest value: 512.
    pub fn handshakes_max(mut self, handshakes: usize) -> Self {
        self.handshakes_max = Some(handshakes);
        self
    }

    async fn start(self) -> Result<Acceptor> {
        at_least_one("sessions_max", self.sessions_max, usize::MAX)?;
        at_least_one("handshakes_max", self.handshakes_max, HANDSHAKES_MAX)?;
        let way = self.service.prepare(&self.url, &self.protocol)?;
        self.service.keep_house();
        let inner = Arc::clone(&self.service.inner);
        let rules = Rules {
            peers: self.peers.unwrap_or_else(|| inner.peers.clone()),
            sessions: self.sessions_max.map(Seats::new),
            handshakes: self.handshakes_max.map(Seats::new),
        };
        acceptor::listen(inner, way, rules).await
    }
}

impl IntoFuture for Listen {
    type Output = Result<Acceptor>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Acceptor>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// A limit of nothing is a mistake: who wants no sessions does not listen.
pub(crate) fn at_least_one(
    knob: &'static str,
    value: Option<usize>,
    max: usize,
) -> Result<(), SettingOutOfBounds> {
    let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    match value {
        Some(value) if value == 0 || value > max => {
            Err(SettingOutOfBounds { knob, value: wide(value), min: 1, max: wide(max) })
        }
        _ => Ok(()),
    }
}

/// What a listener goes by.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) peers: Peers,
    pub(crate) sessions: Option<Arc<Seats>>,
    pub(crate) handshakes: Option<Arc<Seats>>,
}
