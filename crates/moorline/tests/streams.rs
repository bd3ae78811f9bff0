//! Streams between services: typed and of bytes, over every transport.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;

use moorline::{
    ByteStream, Context, ErrorCode, Service, SessionRef, Stream, StreamError, register_message,
};
use serde::{Deserialize, Serialize};
use support::{Ask, Late, Told, Wire, blob, hear, run, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

/// Asks for the numbers up to `to`; what comes up is added to each.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Count {
    to: u64,
}
register_message!(stream Count as "e2e.Count", id = 121: u64 => u64);

/// A stream of blobs that are sent back.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mirror;
register_message!(stream Mirror as "e2e.Mirror", id = 122: support::Blob => support::Blob);

/// Sends numbers down, and the sum of what came up as the last word.
async fn count(_cx: Context, count: Count, mut stream: Stream<u64, u64>) {
    if count.to > 1_000_000 {
        return stream.reset(ErrorCode(7), "that is too far");
    }
    for number in 0..count.to {
        if stream.send_wait(&number).await.is_err() {
            return;
        }
    }
    let mut sum = 0;
    while let Ok(Some(number)) = stream.recv().await {
        sum += number;
    }
    let _ = stream.finish_with(&sum);
}

async fn counted(session: &SessionRef, to: u64) {
    let mut stream = session.open(&Count { to }).unwrap();
    for number in 0..to {
        assert_eq!(within(stream.recv()).await.unwrap(), Some(number));
        stream.send_wait(&2).await.unwrap();
    }
    stream.finish().unwrap();
    assert_eq!(within(stream.recv()).await.unwrap(), None);
    assert_eq!(stream.trailer::<u64>().unwrap(), Some(2 * to));
}

async fn streams_go_both_ways(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    server.handle_stream(count);
    client.handle_stream(count);
    let pair = wire.open(&server, &client).await;
    tokio::join!(counted(&pair.here, 10_000), counted(&pair.there, 10_000), counted(&pair.here, 0));
    pair.end().await;
}

#[test]
fn streams_go_both_ways_over_tcp() {
    run(async { streams_go_both_ways(&Wire::usual()).await });
}

#[test]
fn streams_go_both_ways_over_a_unix_socket() {
    run(async { streams_go_both_ways(&Wire::new("uds", "msgpack")).await });
}

#[test]
fn streams_go_both_ways_in_memory_and_in_clear() {
    run(async { streams_go_both_ways(&Wire::new("mem", "msgpack-plain")).await });
}

#[cfg(feature = "gofast")]
#[test]
fn over_gofast() {
    run(async { streams_go_both_ways(&Wire::new("tcp", "gofast")).await });
    run(async { streams_go_both_ways(&Wire::new("mem", "gofast-2016")).await });
}

#[test]
fn sixty_four_streams_at_once_keep_their_order_and_long_messages_their_pieces() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        server.handle_stream(|_, _: Mirror, mut stream: Stream<_, support::Blob>| async move {
            while let Ok(Some(blob)) = stream.recv().await {
                stream.send_wait(&blob).await.unwrap();
            }
            stream.finish().unwrap();
        });
        let pair = wire.open(&server, &client).await;
        let mut tasks = Vec::new();
        for n in 0..64_usize {
            let session = pair.here.clone();
            tasks.push(tokio::spawn(async move {
                let priority = u8::try_from(n % 8).unwrap();
                let stream = session.open_with_priority(priority, &Mirror).unwrap();
                let (mut up, mut down) = stream.split();
                let sending = async {
                    for k in 0..20_usize {
                        up.send_wait(&blob((n * 31 + k * 997) % 40_000)).await.unwrap();
                    }
                    up.finish().unwrap();
                };
                let receiving = async {
                    for k in 0..20_usize {
                        let expected = blob((n * 31 + k * 997) % 40_000);
                        assert_eq!(down.recv().await.unwrap(), Some(expected));
                    }
                    assert_eq!(down.recv().await.unwrap(), None);
                };
                tokio::join!(sending, receiving);
            }));
        }
        for task in tasks {
            within(task).await.unwrap();
        }
        pair.end().await;
    });
}

#[test]
fn a_stream_is_turned_down_by_its_handler_by_nobody_or_by_a_panic() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        server.handle_stream(count);
        server.handle_raw("panics", |_, stream: ByteStream| async move {
            let _held = stream;
            panic!("as a test wants it");
        });
        let pair = wire.open(&server, &client).await;
        let mut stream = pair.here.open(&Count { to: u64::MAX }).unwrap();
        let error = within(stream.recv()).await.unwrap_err();
        let code = ErrorCode(7);
        let text = "that is too far".into();
        assert_eq!(error, StreamError::Reset { code, text, by_peer: true });

        let refused = pair.here.open(&Mirror).unwrap_err();
        assert!(refused.to_string().contains("does not handle \"e2e.Mirror\""), "{refused}");

        for (name, code) in [("nobody", "UNIMPLEMENTED"), ("panics", "INTERNAL")] {
            let mut raw = ByteStream::from(pair.here.open_raw(name).unwrap());
            let error = within(raw.read_u8()).await.unwrap_err();
            assert!(error.to_string().contains(code), "{name}: {error}");
        }
        // The session goes on.
        counted(&pair.here, 3).await;
        pair.end().await;
    });
}

#[test]
fn bytes_go_through_a_raw_stream_as_through_a_socket() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        server.handle_raw("mirror", |_, stream: ByteStream| async {
            let (mut from, mut to) = tokio::io::split(stream);
            tokio::io::copy(&mut from, &mut to).await.unwrap();
            to.shutdown().await.unwrap();
        });
        let pair = wire.open(&server, &client).await;
        let stream = ByteStream::from(pair.here.open_raw("mirror").unwrap());
        let (mut from, mut to) = tokio::io::split(stream);
        let bytes: Vec<u8> =
            (0..3_000_000_u32).map(|n| n.wrapping_mul(n).to_le_bytes()[1]).collect();
        let sent = bytes.clone();
        let sending = tokio::spawn(async move {
            to.write_all(&sent).await.unwrap();
            to.shutdown().await.unwrap();
            to
        });
        let mut received = Vec::new();
        within(from.read_to_end(&mut received)).await.unwrap();
        assert!(received == bytes);
        drop(within(sending).await.unwrap());
        pair.end().await;
    });
}

/// The handler begins to read when the calls have been answered: until then the transfer stands in
/// the middle, with all that may wait of it waiting.
#[test]
fn calls_overtake_a_transfer_of_many_megabytes() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let (tell, mut ended) = hear();
        let go = Arc::new(Notify::new());
        let gone = Arc::clone(&go);
        server.handle_raw("upload", move |_, mut stream: ByteStream| {
            let (tell, gone) = (tell.clone(), Arc::clone(&gone));
            async move {
                gone.notified().await;
                let mut sink = tokio::io::sink();
                let bytes = tokio::io::copy(&mut stream, &mut sink).await.unwrap();
                // Who has sent all and listens no more may be gone by now.
                let _ = stream.shutdown().await;
                tell.send(bytes).unwrap();
            }
        });
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        let pair = wire.open(&server, &client).await;
        let mut upload = ByteStream::from(pair.here.open_raw("upload").unwrap());
        let sending = tokio::spawn(async move {
            let piece = vec![7; 1 << 20];
            for _ in 0..12 {
                upload.write_all(&piece).await.unwrap();
            }
            upload.shutdown().await.unwrap();
            upload
        });
        for number in 0..100 {
            within(pair.here.request(Ask { number })).await.unwrap();
        }
        assert!(!sending.is_finished(), "nobody has read it");
        go.notify_one();
        drop(within(sending).await.unwrap());
        assert_eq!(ended.next().await, 12 << 20);
        pair.end().await;
    });
}

#[test]
fn a_session_that_is_cut_ends_its_streams_on_both_sides_and_stops_their_handlers() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let (tell, mut dropped) = hear();
        struct Last(tokio::sync::mpsc::UnboundedSender<()>);
        impl Drop for Last {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        server.handle_stream(move |_, _: Count, _stream: Stream<u64, u64>| {
            let last = Last(tell.clone());
            async move {
                std::future::pending::<()>().await;
                drop(last);
            }
        });
        server.handle(|_, late: Late| async move { Ok(Told { number: late.number }) });
        let pair = wire.open(&server, &client).await;
        let mut stream = pair.here.open(&Count { to: 1 }).unwrap();
        within(pair.here.request(Late { number: 1 })).await.unwrap();
        pair.there.close();
        let error = within(stream.recv()).await.unwrap_err();
        assert!(matches!(error, StreamError::Reset { .. } | StreamError::Closed(_)), "{error}");
        dropped.next().await;
        pair.end().await;
    });
}

#[test]
fn a_second_handler_for_a_stream_is_a_mistake_that_is_told() {
    run(async {
        let twice: Service = Wire::usual().service();
        twice.handle_raw("log", |_, _| async {});
        twice.handle_raw("log", |_, _| async {});
        let error = twice.accept("tcp://127.0.0.1:0", "msgpack").await.unwrap_err();
        assert!(error.to_string().contains("log"), "{error}");
    });
}
