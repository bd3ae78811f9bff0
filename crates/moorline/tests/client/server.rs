//! A server that can be killed and comes back under the same address and key.

use std::sync::Arc;
use std::time::Duration;

use moorline::{
    Acceptor, BackOff, Client, ClientBuilder, ClientState, Error, Identity, Peers, Service,
    SessionRef,
};

use crate::support::{Heard, hear, within};

/// Where it listens stays the same: a port of TCP, a socket file, a name.
pub(crate) struct Home {
    key: tempfile::TempDir,
    scheme: &'static str,
    place: std::sync::Mutex<Option<String>>,
}

impl Home {
    pub(crate) fn new(scheme: &'static str) -> Self {
        let key = tempfile::TempDir::new().unwrap();
        Self { key, scheme, place: std::sync::Mutex::default() }
    }

    /// A service with the one identity; handlers come on it before [`open`](Self::open).
    pub(crate) fn service(&self) -> Service {
        let identity = Identity::load_or_create(self.key.path().join("key")).unwrap();
        Service::builder().identity(identity).peers(Peers::anyone()).build().unwrap()
    }

    /// Listens where it did before.
    pub(crate) async fn open(&self, service: &Service) -> Acceptor {
        let place = self.place.lock().unwrap().clone().unwrap_or_else(|| match self.scheme {
            "tcp" => "tcp://127.0.0.1:0".into(),
            "uds" => format!("uds://{}/sock", self.key.path().display()),
            scheme => format!("{scheme}://home-{}", self.key.path().display()),
        });
        let acceptor = loop {
            match service.accept(&place, "msgpack").await {
                Ok(acceptor) => break acceptor,
                // The one before has not let go of it yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let mut address = acceptor.url().clone();
        address.key = None;
        *self.place.lock().unwrap() = Some(address.to_string());
        acceptor
    }
}

/// As quick as a test wants it.
pub(crate) fn quick() -> BackOff {
    BackOff::between(Duration::from_millis(1), Duration::from_millis(20))
}

pub(crate) fn dialer() -> Service {
    Service::builder().identity(Identity::generate().unwrap()).build().unwrap()
}

/// A client that is quick, and all states it goes through.
pub(crate) fn client_of(
    service: &Service,
    acceptor: &Acceptor,
) -> (ClientBuilder, Heard<ClientState>) {
    let (tell, heard) = hear();
    let client = service.client(&acceptor.url().to_string(), "msgpack").back_off(quick());
    (client.on_change(move |_, state| drop(tell.send(state.clone()))), heard)
}

/// Ends all sessions of a service without a word, as if it had died.
pub(crate) fn kill(service: &Service) {
    for session in service.sessions() {
        session.close_now(moorline::ErrorCode::APPLICATION, "killed");
    }
}

/// The end of a service that may have killed sessions with something queued on them.
pub(crate) async fn end(service: &Service) {
    match within(service.shutdown()).await {
        Ok(()) => {}
        Err(Error::NotDrained(report)) if report.sessions == 0 && report.stuck == 0 => {}
        Err(error) => panic!("{error}"),
    }
}

/// The session of the next connection, after the one with this epoch.
pub(crate) async fn up_again(
    client: &Client,
    states: &mut Heard<ClientState>,
    after: u64,
) -> SessionRef {
    loop {
        if let ClientState::Up { epoch } = states.next().await
            && epoch > after
        {
            return within(client.up()).await.unwrap();
        }
    }
}

/// A call that has been sent, if it could be.
pub(crate) fn begun<F: Future + Unpin>(mut call: F) -> F {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::Pin::new(&mut call).poll(&mut cx).is_pending());
    call
}

/// Polls until it is so.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    within(async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub(crate) type Shared<T> = Arc<std::sync::Mutex<T>>;
