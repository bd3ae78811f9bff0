//! gofast beside `msgpack-plain`: the same session, the same bodies, another wire.
//!
//! What real gofast does in these workloads stands in docs/PERFORMANCE.md; it cannot run here.

mod wire;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use moorline::{Peers, Service, SessionRef, register_message};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use self::wire::Wire;
use crate::pairs::compare;
use crate::report::{Report, Unit};

/// Frames of one run.
const FRAMES: u32 = 100;

/// Requests of one run over a connection, and how many are in flight.
const REQUESTS: u32 = 2_048;
const IN_FLIGHT: u32 = 64;

/// Posts of one run over a connection.
const POSTS: u32 = 16_384;

/// 64 bytes, however they are encoded.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Payload(#[serde(with = "wire::bytes")] [u8; 64]);

/// The last one of a run of posts.
#[derive(Serialize, Deserialize)]
struct Last;

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Echo(Payload);

register_message!(Payload as "bench.Payload", id = 111);
register_message!(Last as "bench.Last", id = 112);
register_message!(Echo as "bench.Echo", id = 113 => Payload);

pub(crate) fn run(report: &mut Report) {
    for name in ["gofast", "gofast-2016"] {
        encode(report, name);
        decode(report, name);
    }
    let runtime = Runtime::new().expect("threads can be had");
    for (row, url) in [("tcp", "tcp://127.0.0.1:0"), ("mem", "mem://bench")] {
        let gofast = runtime.block_on(Connection::open("gofast", url));
        let plain = runtime.block_on(Connection::open("msgpack-plain", &format!("{url}0")));
        let pair =
            compare(|| runtime.block_on(gofast.requests()), || runtime.block_on(plain.requests()));
        let unit = Unit::NanosecondsPerStep(REQUESTS);
        report.row("gofast", &format!("request-64-{row}"), "msgpack", unit, &pair);
        let pair = compare(|| runtime.block_on(gofast.posts()), || runtime.block_on(plain.posts()));
        let unit = Unit::NanosecondsPerStep(POSTS);
        report.row("gofast", &format!("post-64-{row}"), "msgpack", unit, &pair);
        runtime.block_on(gofast.close());
        runtime.block_on(plain.close());
    }
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// A post of 64 bytes into a chain of blocks.
fn encode(report: &mut Report, name: &str) {
    let (mut ours, mut baseline) = (Wire::open(name), Wire::open("msgpack-plain"));
    let pair = compare(|| ours.encode(FRAMES), || baseline.encode(FRAMES));
    report.row(
        "gofast",
        &format!("encode-64-{name}"),
        "msgpack",
        Unit::NanosecondsPerStep(FRAMES),
        &pair,
    );
    wire::assert_allocates_nothing(|| ours.encode(FRAMES));
}

/// Posts of 64 bytes from one read.
fn decode(report: &mut Report, name: &str) {
    let (mut ours, mut baseline) = (Wire::open(name), Wire::open("msgpack-plain"));
    let (bytes, beside) = (ours.encoded(FRAMES), baseline.encoded(FRAMES));
    let pair = compare(
        || assert_eq!(ours.decode(black_box(&bytes)), FRAMES),
        || assert_eq!(baseline.decode(black_box(&beside)), FRAMES),
    );
    report.row(
        "gofast",
        &format!("decode-64-{name}"),
        "msgpack",
        Unit::NanosecondsPerStep(FRAMES),
        &pair,
    );
    wire::assert_allocates_nothing(|| assert_eq!(ours.decode(&bytes), FRAMES));
}

/// A session between two services.
struct Connection {
    server: Service,
    client: Service,
    session: SessionRef,
    last: Arc<Notify>,
}

impl Connection {
    async fn open(protocol: &str, url: &str) -> Self {
        let service = || {
            Service::builder().peers(Peers::anonymous()).build().expect("nothing is out of bounds")
        };
        let (server, client) = (service(), service());
        let last = Arc::new(Notify::new());
        let tell = Arc::clone(&last);
        server.handle_now(|_, echo: Echo| Ok(echo.0));
        server.on(|_, payload: Payload| _ = black_box(payload));
        server.on(move |_, _: Last| tell.notify_one());
        let at = server.accept(url, protocol).await.expect("the place is free");
        let url = at.url().to_string();
        let session = client.connect(&url, protocol).await.expect("somebody listens");
        Self { server, client, session, last }
    }

    async fn requests(&self) {
        let callers: Vec<_> = (0..IN_FLIGHT)
            .map(|_| {
                let session = self.session.clone();
                tokio::spawn(async move {
                    for _ in 0..REQUESTS / IN_FLIGHT {
                        let answer = session.request(Echo(Payload([7; 64]))).await;
                        black_box(answer.expect("the server answers"));
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.expect("a caller does not panic");
        }
    }

    async fn posts(&self) {
        let session = self.session.clone();
        let sender = tokio::spawn(async move {
            for _ in 0..POSTS {
                session.send_wait(&Payload([7; 64])).await.expect("the session is open");
            }
            session.send_wait(&Last).await.expect("the session is open");
        });
        self.last.notified().await;
        sender.await.expect("a sender does not panic");
    }

    async fn close(&self) {
        self.client.shutdown().await.expect("nothing is left");
        self.server.shutdown().await.expect("nothing is left");
    }
}
