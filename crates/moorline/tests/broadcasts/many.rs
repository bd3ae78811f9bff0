//! One post to as many sessions as there may be: encoded once, and at what cost.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use moorline::{BroadcastReport, Service, SessionId, register_message};
use serde::{Deserialize, Serialize, Serializer};
use tokio::task::JoinSet;

use crate::support::{Wire, run_on_one_thread};

thread_local! {
    /// By thread, since tests run beside each other.
    static ENCODED: Cell<u32> = const { Cell::new(0) };
}

/// Counts how often it is encoded.
#[derive(Deserialize)]
struct Headline {
    text: String,
}
register_message!(Headline as "e2e.broadcast.Headline");

impl Serialize for Headline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        ENCODED.set(ENCODED.get() + 1);
        let mut tuple = serializer.serialize_tuple(1)?;
        tuple.serialize_element(&self.text)?;
        tuple.end()
    }
}

/// Dialing at once: so few that each handshake is done in time on a machine that is busy otherwise.
const DIALING_MAX: usize = 8;

/// A service with many sessions, and what their peers have heard: how long after the start.
struct Crowd {
    server: Service,
    client: Service,
    ids: Vec<SessionId>,
    heard: Arc<Mutex<Vec<Duration>>>,
    /// When the post that is being heard was published.
    started: Arc<Mutex<Instant>>,
}

impl Crowd {
    async fn gather(wire: &Wire, sessions: usize) -> Self {
        let (server, client) = (wire.service(), wire.service());
        let heard = Arc::new(Mutex::new(Vec::with_capacity(sessions)));
        let started = Arc::new(Mutex::new(Instant::now()));
        let (hearing, since) = (Arc::clone(&heard), Arc::clone(&started));
        client.on(move |_, headline: Headline| {
            assert_eq!(headline.text.len(), 100);
            let took = since.lock().unwrap().elapsed();
            hearing.lock().unwrap().push(took);
        });
        let acceptor = wire.accept(&server).await;
        let (url, protocol) = (acceptor.url().to_string(), wire.protocol);
        let mut dialing = JoinSet::new();
        for _ in 0..sessions {
            if dialing.len() >= DIALING_MAX {
                dialing.join_next().await.unwrap().unwrap();
            }
            let (client, url) = (client.clone(), url.clone());
            dialing.spawn(async move { client.connect(&url, protocol).await.unwrap() });
        }
        dialing.join_all().await;
        while server.sessions().len() < sessions {
            tokio::task::yield_now().await;
        }
        let ids = server.sessions().iter().map(moorline::SessionRef::id).collect();
        Self { server, client, ids, heard, started }
    }

    /// Publishes once and waits until everybody has heard it. How often it was encoded, what was
    /// allocated, how long publishing took, and when each of them heard it, sorted.
    async fn publish(&self) -> (u32, u64, Duration, Vec<Duration>) {
        let headline = Headline { text: "h".repeat(100) };
        self.heard.lock().unwrap().clear();
        ENCODED.set(0);
        let begun = Instant::now();
        *self.started.lock().unwrap() = begun;
        let mut report = BroadcastReport::default();
        let allocated = allocation_counter::measure(|| {
            report = self.server.broadcast(self.ids.iter().copied(), &headline);
        });
        let took = begun.elapsed();
        assert!(report.is_complete() && report.sent == self.ids.len(), "{:?}", report.failed);
        while self.heard.lock().unwrap().len() < self.ids.len() {
            tokio::task::yield_now().await;
        }
        let mut heard = self.heard.lock().unwrap().clone();
        heard.sort_unstable();
        (ENCODED.get(), allocated.count_total, took, heard)
    }

    async fn end(self) {
        self.client.shutdown().await.unwrap();
        self.server.shutdown().await.unwrap();
    }
}

/// However many there are, it is encoded once, and what is allocated for each does not grow with them.
#[test]
fn one_post_to_five_hundred_is_encoded_once() {
    run_on_one_thread(async {
        let mut each = Vec::new();
        for sessions in [50, 500] {
            let crowd = Crowd::gather(&Wire::new("mem", "msgpack-plain"), sessions).await;
            for _ in 0..3 {
                let (encoded, allocated, _, heard) = crowd.publish().await;
                assert_eq!((encoded, heard.len()), (1, sessions));
                each.push(allocated / sessions as u64);
            }
            crowd.end().await;
        }
        assert!(each.iter().all(|each| *each <= 4), "allocations a session: {each:?}");
    });
}

/// Prints the figures of docs/PERFORMANCE.md, in units of a microsecond.
async fn measure(wire: &Wire, sessions: usize) {
    let begun = Instant::now();
    let crowd = Crowd::gather(wire, sessions).await;
    println!("{} x {sessions}: open after {:?}", wire.scheme, begun.elapsed());
    for _ in 0..5 {
        let (encoded, allocated, took, heard) = crowd.publish().await;
        assert_eq!((encoded, heard.len()), (1, sessions));
        let at = |percent: usize| heard[(sessions - 1) * percent / 100];
        println!(
            "  published in {took:?}, {allocated} allocations; heard by the first after {:?}, half \
             {:?}, 99 % {:?}, the last {:?}",
            at(0),
            at(50),
            at(99),
            at(100)
        );
    }
    crowd.end().await;
}

/// Both ends in this process: two descriptors a session.
#[test]
#[ignore = "20,000 descriptors; cargo test --release -p moorline --test broadcasts -- --ignored --nocapture"]
fn one_post_to_nine_thousand_over_tcp() {
    on_two_threads(async { measure(&Wire::usual(), 9_000).await });
}

#[test]
#[ignore = "a minute of handshakes; cargo test --release -p moorline --test broadcasts -- --ignored --nocapture"]
fn one_post_to_thirty_thousand_over_mem() {
    on_two_threads(async { measure(&Wire::new("mem", "msgpack"), 30_000).await });
}

/// Without the patience of other tests: handshakes take as long as they do.
fn on_two_threads(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap().block_on(test);
}
