//! Sizes from nothing to ten mebibytes.

use std::sync::Arc;

use moorline::{CallError, Executed, SendError};
use tokio::sync::Semaphore;

use crate::support::{Ask, Blob, Fetch, Told, Wire, blob, hear, within};

pub(crate) async fn ten_mebibytes_go_both_ways(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let large = blob(10 << 20);
    let (there, answer) = (large.clone(), large.clone());
    server.handle_now(move |_, asked: Blob| Ok(blob(if asked == there { 1 } else { 0 })));
    server.handle(move |_, _: Fetch| {
        let answer = answer.clone();
        async move { Ok(answer) }
    });
    let pair = wire.open(&server, &client).await;
    let (up, down) = tokio::join!(
        within(pair.here.request(large.clone())),
        within(pair.here.request(Fetch {})),
    );
    assert!(up.unwrap() == blob(1), "what came up is what went up");
    assert!(down.unwrap() == large);
    pair.end().await;
}

pub(crate) async fn no_byte_and_one_byte_and_the_edges_of_blocks(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let (tell, mut heard) = hear();
    server.on(move |_, blob: Blob| tell.send(blob).unwrap());
    server.handle_now(|_, blob: Blob| Ok(blob));
    let pair = wire.open(&server, &client).await;
    let edges = [4_096, 16_384, 65_516, 65_536, 131_072];
    let around = edges.into_iter().flat_map(|edge| (edge - 20..edge + 20).step_by(9));
    for len in [0, 1, 2, 31, 255, 256, 257].into_iter().chain(around) {
        let message = blob(len);
        pair.here.send(&message).unwrap();
        assert!(heard.next().await == message, "a post of {len} bytes");
        let answer = within(pair.here.request(message.clone())).await.unwrap();
        assert!(answer == message, "an answer of {len} bytes");
    }
    pair.end().await;
}

pub(crate) async fn what_is_above_the_limit_of_the_peer_is_refused_here(wire: &Wire) {
    const LIMIT: u64 = 100_000;
    let server = wire.builder().message_max(LIMIT).build().unwrap();
    let client = wire.builder().message_max(2 * LIMIT).build().unwrap();
    server.handle_now(|_, blob: Blob| Ok(blob));
    server.handle_now(|_, _: Ask| Ok(Told { number: 1 }));
    client.handle(|_, _: Blob| async { Ok(blob(150_000)) });
    let pair = wire.open(&server, &client).await;
    let fits = blob(usize::try_from(LIMIT).unwrap() - 20);
    assert!(within(pair.here.request(fits.clone())).await.unwrap() == fits);
    let error = within(pair.here.request(blob(100_001))).await.unwrap_err();
    let CallError::NotSent(SendError::TooLarge { size, limit }) = error else {
        panic!("{error:?}")
    };
    assert!(size > LIMIT && limit == LIMIT && error.executed() == Executed::No);
    // The answer is above what who asked takes: the call fails, the session does not.
    let error = within(pair.there.request(blob(1))).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, CallError::Fault(moorline::ErrorCode::TOO_LARGE, _)), "{text}");
    assert!(text.contains("100000"), "{text}");
    assert_eq!(within(pair.here.request(Ask { number: 1 })).await.unwrap().number, 1);
    pair.end().await;
}

pub(crate) async fn a_small_call_passes_a_large_one(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let gate = Arc::new(Semaphore::new(0));
    let handler_gate = Arc::clone(&gate);
    server.handle(move |_, blob: Blob| {
        let gate = Arc::clone(&handler_gate);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(blob)
        }
    });
    server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    let pair = wire.open(&server, &client).await;
    let (session, message) = (pair.here.clone(), blob(3 << 20));
    let sent = message.clone();
    let large = tokio::spawn(async move { session.request(sent).await });
    assert_eq!(within(pair.here.request(Ask { number: 1 })).await.unwrap().number, 1);
    assert!(!large.is_finished());
    gate.add_permits(1);
    assert!(within(large).await.unwrap().unwrap() == message);
    pair.end().await;
}
