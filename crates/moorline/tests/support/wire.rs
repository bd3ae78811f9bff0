//! Services on every transport and protocol.

use std::future::{Future, IntoFuture};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moorline::{Acceptor, Identity, NewSession, Peers, Service, ServiceBuilder, SessionRef, topic};
use tempfile::TempDir;

use super::Heard;

/// No single step of a test takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(20);

/// A transport, a protocol, and a place for socket files.
pub(crate) struct Wire {
    pub(crate) scheme: &'static str,
    pub(crate) protocol: &'static str,
    folder: TempDir,
}

/// Two services with one session between them.
pub(crate) struct Pair {
    pub(crate) server: Service,
    pub(crate) client: Service,
    pub(crate) acceptor: Acceptor,
    /// The session as the client has it.
    pub(crate) here: SessionRef,
    /// The session as the server has it.
    pub(crate) there: SessionRef,
}

impl Wire {
    pub(crate) fn new(scheme: &'static str, protocol: &'static str) -> Self {
        Self { scheme, protocol, folder: TempDir::new().unwrap() }
    }

    /// What people use unless they have a reason.
    pub(crate) fn usual() -> Self {
        Self::new("tcp", "msgpack")
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.protocol == "msgpack"
    }

    /// Where to listen; another place each time.
    pub(crate) fn place(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        match self.scheme {
            "tcp" => "tcp://127.0.0.1:0".into(),
            "uds" => format!("uds://{}/{number}.sock", self.folder.path().display()),
            scheme => format!("{scheme}://e2e-{number}"),
        }
    }

    /// A service that can serve and dial on this wire.
    pub(crate) fn service(&self) -> Service {
        self.builder().build().unwrap()
    }

    pub(crate) fn builder(&self) -> ServiceBuilder {
        let peers = if self.is_sealed() { Peers::anyone() } else { Peers::anonymous() };
        Service::builder().identity(Identity::generate().unwrap()).peers(peers)
    }

    pub(crate) async fn accept(&self, server: &Service) -> Acceptor {
        server.accept(&self.place(), self.protocol).await.unwrap()
    }

    pub(crate) async fn connect(&self, client: &Service, acceptor: &Acceptor) -> SessionRef {
        within(client.connect(&acceptor.url().to_string(), self.protocol)).await.unwrap()
    }

    /// A session between two services; handlers are on them already, or come later.
    pub(crate) async fn open(&self, server: &Service, client: &Service) -> Pair {
        let (mut news, subscription) =
            Heard::<NewSession>::topic(server, topic(self.protocol, NewSession));
        let acceptor = self.accept(server).await;
        let here = self.connect(client, &acceptor).await;
        let there = server.acquire(news.next().await.id).expect("it has just opened");
        subscription.unsubscribe();
        Pair { server: server.clone(), client: client.clone(), acceptor, here, there }
    }
}

impl Pair {
    /// Both services end as they should.
    pub(crate) async fn end(self) {
        within(self.client.shutdown()).await.unwrap();
        within(self.server.shutdown()).await.unwrap();
        assert!(self.server.sessions().is_empty() && self.client.sessions().is_empty());
    }
}

/// Fails instead of hanging.
pub(crate) async fn within<T>(work: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work.into_future()).await.expect("it takes too long")
}

/// Runs a test on a runtime of its own, with several threads.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(within(test));
    runtime.shutdown_background();
}

/// Runs a test on this thread alone.
pub(crate) fn run_on_one_thread(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(within(test));
}
