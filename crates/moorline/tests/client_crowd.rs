//! Many clients at once, and connections that are lost at random.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "client/server.rs"]
#[expect(dead_code, reason = "other tests of clients use the rest")]
mod server;
mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use moorline::{
    Client, ClientState, Executed, Identity, NewSession, Service, SessionClosed, SessionDown,
    SessionUp, WhileDown, topic,
};
use server::{Home, Shared, dialer, end, kill, quick, until};
use support::{Ask, Note, Told, note, within};

/// As `run`, with time for a crowd on a busy machine: each step has its own.
fn run_long(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap().block_on(test);
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What was told of each id: connections, losses, ends.
type Ledger = Shared<BTreeMap<u32, [u64; 3]>>;

fn keep_ledger(service: &Service) -> Ledger {
    let ledger = Ledger::default();
    let book = |at: usize| {
        let ledger = Arc::clone(&ledger);
        move |id: moorline::SessionId| {
            ledger.lock().unwrap().entry(id.number()).or_default()[at] += 1
        }
    };
    let (up, down, closed) = (book(0), book(1), book(2));
    service.subscribe(topic("msgpack", SessionUp), move |event: &SessionUp| up(event.id));
    service.subscribe(topic("msgpack", SessionDown), move |event: &SessionDown| down(event.id));
    service
        .subscribe(topic("msgpack", SessionClosed), move |event: &SessionClosed| closed(event.id));
    ledger
}

/// One round of a client's life: whatever happens to its connection, it is up again and answered.
async fn round(client: Client, server: Service, choice: u64) {
    client.send(&note(choice)).unwrap();
    let call = tokio::spawn(client.request(Ask { number: choice }).into_future());
    match choice % 6 {
        0 => client.reset(),
        1 => client.network_changed(),
        2 => _ = client.session().is_some_and(|session| session.close()),
        3 => {
            // Somebody at the server drops the connection, without a word or with one.
            let sessions = server.sessions();
            let picked = usize::try_from(choice).unwrap() % sessions.len().max(1);
            if let Some(session) = sessions.get(picked) {
                if (choice / 6).is_multiple_of(2) {
                    session.close_now(moorline::ErrorCode(7), "out");
                } else {
                    session.close();
                }
            }
        }
        4 => {
            client.reset();
            client.network_changed();
            client.reset();
        }
        _ => {}
    }
    match call.await.unwrap() {
        Ok(told) => assert_eq!(told.number, choice),
        Err(error) => assert_ne!(error.executed(), Executed::Yes, "{error:?}"),
    }
    let call = client.request(Ask { number: choice }).idempotent();
    assert_eq!(within(call).await.unwrap().number, choice);
}

#[test]
fn a_crowd_survives_ten_rounds_of_lost_connections() {
    run_long(ten_rounds(256, dialer()));
}

/// Dialings that are given up end on another thread than the task of their client.
#[test]
fn a_crowd_survives_them_on_threads_of_its_service() {
    let builder = Service::builder().identity(Identity::generate().unwrap());
    run_long(ten_rounds(64, builder.shards(2).build().unwrap()));
}

async fn ten_rounds(crowd: usize, service: Service) {
    let home = Home::new("tcp");
    let server = home.service();
    server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    server.on(|_, _: Note| {});
    let acceptor = home.open(&server).await;
    let ledger = keep_ledger(&service);
    let url = acceptor.url().to_string();
    let clients: Vec<Client> = (0..crowd)
        .map(|_| {
            let rule = WhileDown::Queue { bytes: 1 << 16 };
            let client = service.client(&url, "msgpack").back_off(quick()).while_down(rule);
            client.start().unwrap()
        })
        .collect();
    let mut dice = Dice(256);
    for _ in 0..10 {
        let rounds: Vec<_> = clients
            .iter()
            .map(|client| tokio::spawn(round(client.clone(), server.clone(), dice.roll(1 << 20))))
            .collect();
        for round in rounds {
            round.await.unwrap();
        }
    }
    until(|| server.sessions().len() == crowd && service.sessions().len() == crowd).await;
    clients.iter().for_each(|client| assert!(client.close()));
    for client in &clients {
        within(client.closed()).await;
        assert!(matches!(client.state(), ClientState::Closed { .. }));
    }
    within(service.shutdown()).await.unwrap();
    until(|| server.sessions().is_empty()).await;
    end(&server).await;
    let ledger = ledger.lock().unwrap();
    assert_eq!(ledger.len(), crowd);
    assert!(ledger.values().all(|[up, down, ends]| up == down && *ends == 1), "{ledger:?}");
    let connections: u64 = ledger.values().map(|[up, ..]| up).sum();
    assert!(connections > 4 * crowd as u64, "{connections} connections: hardly any was lost");
}

/// 2,000 clients lose their server, and it comes back after some seconds: in no bucket, of 100 ms or of a
/// second, do more than three times the mean come back. Half a minute, and figures that mean nothing on
/// a busy machine:
/// `cargo test -p moorline --test client_crowd -- --ignored --nocapture storm`
#[test]
#[ignore = "measures time: run it by name on a quiet machine, see above"]
fn a_storm_of_two_thousand_clients_is_none() {
    for away_ms in [500, 2_000, 4_000] {
        run_long(storm(Duration::from_millis(away_ms)));
    }
}

async fn storm(away: Duration) {
    const CLIENTS: usize = 2_000;
    let home = Home::new("mem");
    let mut server = home.service();
    let acceptor = home.open(&server).await;
    let service = dialer();
    let url = acceptor.url().to_string();
    for _ in 0..CLIENTS {
        service.client(&url, "msgpack").start().unwrap();
    }
    until(|| server.sessions().len() == CLIENTS).await;
    acceptor.close();
    kill(&server);
    end(&server).await;
    tokio::time::sleep(away).await;
    server = home.service();
    let times: Shared<Vec<Instant>> = Arc::new(Mutex::default());
    let noted = Arc::clone(&times);
    server.subscribe(topic("msgpack", NewSession), move |_: &NewSession| {
        noted.lock().unwrap().push(Instant::now());
    });
    let back = Instant::now();
    home.open(&server).await;
    until(|| times.lock().unwrap().len() == CLIENTS).await;
    let times = std::mem::take(&mut *times.lock().unwrap());
    for bucket_ms in [100, 1_000] {
        let mut buckets = BTreeMap::<u128, usize>::new();
        for at in &times {
            *buckets.entry(at.duration_since(back).as_millis() / bucket_ms).or_default() += 1;
        }
        let count = usize::try_from(buckets.keys().max().unwrap() + 1).unwrap();
        let (mean, most) = (CLIENTS / count, *buckets.values().max().unwrap());
        println!("away {away:?}: {count} buckets of {bucket_ms} ms, mean {mean}, most {most}");
        assert!(most <= 3 * mean, "{buckets:?}");
    }
    let _ = within(service.shutdown()).await;
    end(&server).await;
}
