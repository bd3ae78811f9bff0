//! What a client is made of.

use std::sync::Arc;

use super::back_off::BackOff;
use super::clients::Clients;
use super::machine::{ClientState, Input};
use super::shared::{Listener, Shared};
use super::task::Runner;
use super::{Client, WhileDown};
use crate::error::{Error, Result};
use crate::service::Service;

/// Collects what a [`Client`] needs: made by [`Service::client`].
#[must_use = "a client is made by `connect` or `start`"]
pub struct ClientBuilder {
    service: Service,
    url: Box<str>,
    protocol: Box<str>,
    back_off: BackOff,
    while_down: WhileDown,
    listeners: Vec<Arc<Listener>>,
}

impl ClientBuilder {
    /// When it dials again. Default: [`BackOff::default`], 50 ms to 10 s.
    pub fn back_off(mut self, back_off: BackOff) -> Self {
        self.back_off = back_off;
        self
    }

    /// What becomes of posts while there is no connection. Default: [`WhileDown::Fail`].
    pub fn while_down(mut self, rule: WhileDown) -> Self {
        self.while_down = rule;
        self
    }

    /// Calls `hear` with each state, the first included. See [`Client::on_change`].
    pub fn on_change(
        mut self,
        hear: impl Fn(&Client, &ClientState) + Send + Sync + 'static,
    ) -> Self {
        self.listeners.push(Arc::new(hear));
        self
    }

    /// Makes the client and waits for its first connection. If that is not had there is no client, and
    /// the error says why: what is wrong from the beginning is better known at once.
    ///
    /// # Errors
    /// As [`start`](Self::start), and as [`Service::connect`].
    ///
    /// # Cancel safety
    /// Dropped before it is ready, there is no client.
    pub async fn connect(self) -> Result<Client> {
        let unless_up = CloseUnlessUp(Some(self.start()?));
        let client = unless_up.0.as_ref().expect("it was just put there");
        let up = client.shared.wait_until(|| client.shared.first()).await;
        match up {
            Ok(()) => Ok(unless_up.keep()),
            Err(error) => {
                client.close();
                client.closed().await;
                Err(error)
            }
        }
    }

    /// Makes the client, which dials from now on for as long as it takes. [`Client::up`] waits for the
    /// first connection.
    ///
    /// # Errors
    /// The address, the protocol or the handlers are not as they should be, there are as many sessions
    /// as there may be, more may wait than fits into a session, or the service was shut down.
    ///
    /// # Panics
    /// If it is not called within a tokio runtime.
    pub fn start(self) -> Result<Client> {
        let Self { service, url, protocol, back_off, while_down, listeners } = self;
        let way = service.prepare(&url, &protocol)?;
        service.keep_house();
        let inner = service.inner;
        while_down.check(inner.outbox_bytes)?;
        let factory = &way.2;
        // Whoever dials first finds out whether there is an identity, and a key to verify.
        let lasting = inner.hub.reserve(factory.name()).map_err(|full| Error::Connect {
            url: url.to_string(),
            error: std::io::Error::other(full),
        })?;
        let format = factory.format();
        let shared = Shared::new(lasting, &inner.local, format, url, while_down, listeners);
        inner.clients.add(&shared);
        // A shutdown that began meanwhile may have looked at the clients before this one was there.
        if inner.is_stopped() {
            shared.apply(Input::Shutdown);
        }
        let client = Client { shared: Arc::clone(&shared) };
        let Clients { tasks, .. } = &inner.clients;
        tasks.spawn(Runner { shared, inner: Arc::clone(&inner), way, back_off }.run());
        Ok(client)
    }
}

/// A client that nobody waits for any more is not wanted.
struct CloseUnlessUp(Option<Client>);

impl CloseUnlessUp {
    fn keep(mut self) -> Client {
        self.0.take().expect("it is taken once")
    }
}

impl Drop for CloseUnlessUp {
    fn drop(&mut self) {
        if let Some(client) = &self.0 {
            client.close();
        }
    }
}

impl Service {
    /// A client of whoever listens at `url`: what [`connect`](Self::connect) gives ends with its
    /// connection, this one makes a new connection each time it has lost one, until it is closed.
    ///
    /// ```no_run
    /// # async fn example(svc: moorline_service::Service, url: &str) -> moorline_service::Result<()> {
    /// let client = svc.client(url, "msgpack").connect().await?;
    /// # client.close();
    /// # Ok(())
    /// # }
    /// ```
    pub fn client(&self, url: &str, protocol: &str) -> ClientBuilder {
        ClientBuilder {
            service: self.clone(),
            url: url.into(),
            protocol: protocol.into(),
            back_off: BackOff::default(),
            while_down: WhileDown::default(),
            listeners: Vec::new(),
        }
    }

    /// The client of this id, unless it is over.
    #[must_use]
    pub fn client_of(&self, id: moorline_session::SessionId) -> Option<Client> {
        self.inner.clients.find(id).map(|shared| Client { shared })
    }

    /// All clients that are not over, by id.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        self.inner.clients.all().into_iter().map(|shared| Client { shared }).collect()
    }
}
