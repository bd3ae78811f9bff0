//! What a session costs that has nothing to do: no receive buffer and no block.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::{Duration, Instant};

use moorline::Service;
use support::{Ask, Blob, Told, Wire, blob, run, within};

/// An idle session gives back what it holds within one to two seconds; a busy machine takes longer.
const IDLE_MAX: Duration = Duration::from_secs(10);

fn held(service: &Service) -> usize {
    service.pool_stats().iter().map(|pool| pool.in_use).sum()
}

async fn idle_sessions_hold_nothing(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    server.handle(|_, blob: Blob| async move { Ok(blob) });
    client.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    let pair = wire.open(&server, &client).await;
    let silent = wire.connect(&client, &pair.acceptor).await;
    for round in 0..2 {
        for number in 0..50 {
            within(pair.here.request(Ask { number })).await.unwrap();
            within(pair.there.request(Ask { number })).await.unwrap();
        }
        within(pair.here.request(blob(300_000))).await.unwrap();
        let begun = Instant::now();
        while held(&server) + held(&client) > 0 {
            assert!(begun.elapsed() < IDLE_MAX, "round {round}: {:?}", server.pool_stats());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // It wakes up as if nothing had been.
    assert_eq!(within(silent.request(Ask { number: 3 })).await.unwrap().number, 3);
    assert_eq!(within(pair.there.request(Ask { number: 4 })).await.unwrap().number, 4);
    pair.end().await;
    assert_eq!(held(&server) + held(&client), 0, "nothing is left when all is over");
}

#[test]
fn idle_sessions_hold_nothing_over_tcp() {
    run(async { idle_sessions_hold_nothing(&Wire::usual()).await });
}

#[test]
fn idle_sessions_hold_nothing_over_mem() {
    run(async { idle_sessions_hold_nothing(&Wire::new("mem", "msgpack")).await });
}

#[test]
fn idle_sessions_hold_nothing_in_clear() {
    run(async { idle_sessions_hold_nothing(&Wire::new("tcp", "msgpack-plain")).await });
}
