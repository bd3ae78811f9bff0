//! Services with threads of their own: where sessions live, and that nothing is left of them. Alone in
//! its file, because it counts what the whole process has.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![cfg(target_os = "linux")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use moorline::transport::tcp::Tcp;
use moorline::{Service, SessionRef};
use support::{Ask, Note, Told, Wire, blob, hear, note, run_on_one_thread, within};

/// Says in its answers on which thread it runs: the number in the name of the thread.
fn answering(service: &Service) {
    service.handle_now(|_, _: Ask| Ok(Told { number: here() }));
}

fn here() -> u64 {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    name.strip_prefix("moorline-").expect("a thread of the service").parse().unwrap()
}

async fn ask(session: &SessionRef) -> u64 {
    within(session.request(Ask { number: 0 })).await.unwrap().number
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect(what);
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn sessions_live_on_shards_from_their_handshake_to_their_end() {
    run_on_one_thread(async {
        let before = (descriptors(), threads());
        sessions_are_spread_evenly().await;
        the_system_spreads_them_where_they_share_a_port().await;
        a_session_that_polls_says_what_any_other_says().await;
        until("threads and descriptors come back", || (descriptors(), threads()) == before).await;
    });
}

async fn sessions_are_spread_evenly() {
    for (scheme, protocol) in [("tcp", "msgpack"), ("uds", "msgpack"), ("mem", "msgpack-plain")] {
        let wire = Wire::new(scheme, protocol);
        let server = wire.builder().shards(3).build().unwrap();
        let client = wire.builder().shards(2).build().unwrap();
        answering(&server);
        let (tell, mut heard) = hear();
        client.on(move |_, note: Note| tell.send((here(), note.number)).unwrap());
        let acceptor = wire.accept(&server).await;
        let mut sessions = Vec::new();
        let mut served = [0; 3];
        for _ in 0..24 {
            let session = wire.connect(&client, &acceptor).await;
            served[usize::try_from(ask(&session).await).unwrap()] += 1;
            sessions.push(session);
        }
        assert_eq!((served, server.shard_loads()), ([8; 3], vec![8; 3]), "{scheme}");
        assert_eq!(client.shard_loads(), [12; 2], "{scheme}");
        for (number, session) in (0..).zip(server.sessions()) {
            session.send(&note(number)).unwrap();
        }
        let mut told = Vec::new();
        for _ in 0..24 {
            told.push(heard.next().await);
        }
        assert_eq!(told.iter().filter(|(thread, _)| *thread == 0).count(), 12);
        for session in sessions.drain(..12) {
            session.close();
        }
        until("their load is gone", || server.shard_loads().iter().sum::<usize>() == 12).await;
        within(server.shutdown()).await.unwrap();
        within(client.shutdown()).await.unwrap();
        assert_eq!(server.shard_loads(), [0; 3]);
    }
}

async fn the_system_spreads_them_where_they_share_a_port() {
    let wire = Wire::usual();
    let mut tcp = Tcp::default();
    tcp.reuse_port = true;
    let server = wire.builder().shards(2).transport(Arc::new(tcp)).build().unwrap();
    answering(&server);
    let client = wire.service();
    let acceptor = wire.accept(&server).await;
    let mut sessions = Vec::new();
    let mut served = [0; 2];
    // The port of the caller decides: 64 of them on one side is a coin that falls so 63 times.
    for _ in 0..64 {
        let session = wire.connect(&client, &acceptor).await;
        served[usize::try_from(ask(&session).await).unwrap()] += 1;
        sessions.push(session);
    }
    assert!(served.iter().all(|count| *count > 0), "{served:?}");
    assert_eq!(server.shard_loads(), served);
    acceptor.close();
    until("none of its listeners is left", || {
        let url = acceptor.url().authority().to_owned();
        std::net::TcpStream::connect(url).is_err()
    })
    .await;
    assert_eq!(ask(&sessions[0]).await, ask(&sessions[0]).await, "what is open stays open");
    within(server.shutdown()).await.unwrap();
    within(client.shutdown()).await.unwrap();
}

async fn a_session_that_polls_says_what_any_other_says() {
    for scheme in ["tcp", "uds", "mem"] {
        let wire = Wire::new(scheme, "msgpack");
        let polling = Duration::from_millis(1);
        let server = wire.builder().shards(1).busy_poll(polling).build().unwrap();
        let client = wire.builder().busy_poll(polling).build().unwrap();
        server.handle_now(|_, blob: support::Blob| Ok(blob));
        let pair = wire.open(&server, &client).await;
        for round in 0..200 {
            let sent = blob(round * 997 % 50_000);
            assert_eq!(within(pair.here.request(sent.clone())).await.unwrap(), sent);
            // Sometimes it has gone to sleep by then.
            if round % 50 == 0 {
                tokio::time::sleep(polling * 3).await;
            }
        }
        pair.end().await;
    }
}
