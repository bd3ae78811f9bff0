//! A listener with a good session on it, and strangers who knock.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Mutex;
use std::task::Poll;
use std::time::{Duration, Instant};

use moorline::{AcceptFailed, Acceptor, Service, ServiceBuilder, SessionRef, topic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Ask, Heard, RawPeer, Told, Wire, within};

/// Long enough for an honest handshake on a busy machine, short enough to be waited for.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(700);

/// A listener, its good session, and what it says of strangers.
pub(crate) struct Door {
    pub(crate) url: String,
    pub(crate) server: Service,
    client: Service,
    session: SessionRef,
    refused: tokio::sync::Mutex<Heard<AcceptFailed>>,
    /// Events that came while somebody waited for another's.
    seen: Mutex<HashMap<String, &'static str>>,
    _acceptor: Acceptor,
}

/// What a stranger does.
pub(crate) struct Knock {
    bytes: Vec<u8>,
    every: Option<Duration>,
    leaves: bool,
}

impl Knock {
    pub(crate) fn saying(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), every: None, leaves: false }
    }

    /// One byte at a time.
    pub(crate) fn every(self, time: Duration) -> Self {
        Self { every: Some(time), ..self }
    }

    /// Nothing follows, and the listener can see that.
    pub(crate) fn and_leaving(self) -> Self {
        Self { leaves: true, ..self }
    }
}

impl Door {
    pub(crate) async fn open() -> Self {
        Self::with(HANDSHAKE_TIMEOUT).await
    }

    /// The same, where a handshake may take so long.
    pub(crate) async fn with(handshake_timeout: Duration) -> Self {
        let builder = Wire::usual().builder().handshake_timeout(handshake_timeout);
        Self::of(builder, Wire::usual().service()).await
    }

    /// Any listener that lets this client in.
    pub(crate) async fn of(server: ServiceBuilder, client: Service) -> Self {
        let wire = Wire::usual();
        let server = server.build().unwrap();
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        let (refused, _) = Heard::<AcceptFailed>::topic(&server, topic("msgpack", AcceptFailed));
        let pair = wire.open(&server, &client).await;
        Self {
            url: pair.acceptor.url().to_string(),
            server,
            client,
            session: pair.here,
            refused: tokio::sync::Mutex::new(refused),
            seen: Mutex::default(),
            _acceptor: pair.acceptor,
        }
    }

    /// The stranger hears nothing, is let go for this cause, and the good session goes on.
    /// Returns when its connection was closed.
    pub(crate) async fn refuses(&self, knock: Knock, cause: &str) -> Instant {
        self.refuses_one_of(knock, &[cause]).await
    }

    pub(crate) async fn refuses_one_of(&self, knock: Knock, causes: &[&str]) -> Instant {
        let (heard, closed, cause) = self.answers(knock).await;
        assert_eq!(heard, b"", "nothing is sent ({cause})");
        assert!(causes.contains(&cause), "{cause} is not one of {causes:?}");
        closed
    }

    /// What the stranger hears, when its connection is closed, and the cause.
    pub(crate) async fn answers(&self, knock: Knock) -> (Vec<u8>, Instant, &'static str) {
        let address: moorline::Address = self.url.parse().unwrap();
        let mut stream = TcpStream::connect(address.authority()).await.unwrap();
        let name = format!("tcp://{}", stream.local_addr().unwrap());
        let (mut reads, mut writes) = stream.split();
        let listening = async {
            let mut heard = Vec::new();
            // A reset is as good as an end: the stranger's bytes were not read.
            let _ = reads.read_to_end(&mut heard).await;
            (heard, Instant::now())
        };
        let speaking = async {
            match knock.every {
                None => drop(writes.write_all(&knock.bytes).await),
                Some(time) => {
                    for byte in &knock.bytes {
                        tokio::time::sleep(time).await;
                        if writes.write_all(&[*byte]).await.is_err() {
                            break;
                        }
                    }
                }
            }
            if knock.leaves {
                let _ = writes.shutdown().await;
            }
            std::future::pending::<()>().await;
        };
        let (heard, closed) = within(async {
            tokio::select! {
                heard = listening => heard,
                () = speaking => unreachable!("it waits for ever"),
            }
        })
        .await;
        let cause = self.cause_of(&name).await;
        self.goes_on().await;
        (heard, closed, cause)
    }

    /// The good session is unharmed.
    pub(crate) async fn goes_on(&self) {
        let answer = within(self.session.request(Ask { number: 4 })).await;
        assert_eq!(answer.unwrap().number, 4, "the good session is unharmed");
    }

    async fn cause_of(&self, name: &str) -> &'static str {
        loop {
            let mut refused = self.refused.lock().await;
            if let Some(cause) = self.seen.lock().unwrap().remove(name) {
                return cause;
            }
            let event = refused.next().await;
            self.seen.lock().unwrap().insert(event.address.to_string(), event.cause);
        }
    }

    /// The cause of the next refusal, whoever it was.
    pub(crate) async fn next_cause(&self) -> &'static str {
        self.refused.lock().await.next().await.cause
    }

    pub(crate) async fn close(self) {
        // No stranger has become a session; one of a test's own may still be on its way out.
        within(async {
            while self.server.sessions().len() != 1 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        within(self.client.shutdown()).await.unwrap();
        within(self.server.shutdown()).await.unwrap();
    }
}

/// A good first message to the listener there.
pub(crate) async fn hello(url: &str) -> Vec<u8> {
    RawPeer::dial(url).await.take_out()
}

/// What all of the futures give, in the order in which they are done.
pub(crate) async fn at_once<T>(
    futures: impl IntoIterator<Item = impl Future<Output = T>>,
) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done = Vec::new();
    poll_fn(|cx| {
        futures.retain_mut(|future| match future.as_mut().poll(cx) {
            Poll::Ready(result) => {
                done.push(result);
                false
            }
            Poll::Pending => true,
        });
        if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done
}
