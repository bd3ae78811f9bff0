//! What goes over the wire, seen by somebody in the middle, and what happens when it is cut.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "wire/middle.rs"]
mod middle;
mod support;

use std::time::{Duration, Instant};

use middle::Middle;
use moorline::{CloseReason, SessionEnd};
use support::{Ask, Heard, Late, Note, Told, Wire, hear, run, within};

const SECRET: &str = "the quick brown fox jumps over the lazy dog";

/// Posts, requests both ways and a large message, all full of the same text.
async fn talk(wire: &Wire) -> Middle {
    let (server, client) = (wire.service(), wire.service());
    let (tell, mut heard) = hear();
    server.on(move |_, note: Note| tell.send(note.text.len()).unwrap());
    server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    client.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    let acceptor = wire.accept(&server).await;
    let (middle, url) = Middle::before(acceptor.url()).await;
    let session = within(client.connect(&url, wire.protocol)).await.unwrap();
    let there = server.sessions().pop();
    for repeat in [1, 100, 5_000] {
        session.send(&Note { number: 1, text: SECRET.repeat(repeat) }).unwrap();
        assert_eq!(heard.next().await, SECRET.len() * repeat);
        within(session.request(Ask { number: 1 })).await.unwrap();
        if let Some(there) = &there {
            there.send(&Note { number: 1, text: SECRET.into() }).unwrap_err();
            within(there.request(Ask { number: 2 })).await.unwrap();
        }
    }
    within(client.shutdown()).await.unwrap();
    within(server.shutdown()).await.unwrap();
    middle
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn behind_the_handshake_there_are_records_and_no_text() {
    run(async {
        let middle = talk(&Wire::usual()).await;
        for (bytes, handshake) in [(middle.up(), 0x1c), (middle.down(), 0x1d)] {
            let mut units = middle::units(&bytes);
            assert_eq!(units.next().unwrap().0, handshake, "HELLO there, NOISE back");
            let mut sealed = 0;
            for (ty, len) in units {
                assert_eq!(ty, 0x1f, "everything else is a RECORD");
                assert!((17..=65_532).contains(&len));
                sealed += len;
            }
            assert!(sealed > 100);
            for text in [&SECRET[..8], "e2e.", "moorline"] {
                assert!(!contains(&bytes, text), "\"{text}\" can be read");
            }
        }
        assert!(middle.up().len() > 5_000 * SECRET.len());
    });
}

#[test]
fn in_clear_everything_can_be_read() {
    run(async {
        let middle = talk(&Wire::new("tcp", "msgpack-plain")).await;
        assert!(contains(&middle.up(), SECRET));
        assert!(contains(&middle.up(), "moorline/"), "SETUP names the software");
        assert!(middle::units(&middle.up()).all(|(ty, _)| ty != 0x1f));
    });
}

/// Whatever happens to the bytes, both sides hear of it at once, and calls end with their session.
async fn both_sides_hear_of(cut: impl AsyncFn(&Middle)) -> [CloseReason; 2] {
    let wire = Wire::usual();
    let (server, client) = (wire.service(), wire.service());
    let (tell, mut started) = hear();
    server.handle(move |_, _: Late| {
        tell.send(()).unwrap();
        std::future::pending()
    });
    let acceptor = wire.accept(&server).await;
    let (middle, url) = Middle::before(acceptor.url()).await;
    let session = within(client.connect(&url, "msgpack")).await.unwrap();
    let call = {
        let session = session.clone();
        tokio::spawn(async move { session.request(Late { number: 1 }).await })
    };
    started.next().await;
    let (tell, mut here): (_, Heard<SessionEnd>) = hear();
    session.on_close(move |end| tell.send(end.clone()).unwrap());
    let (tell, mut there): (_, Heard<SessionEnd>) = hear();
    server.sessions()[0].on_close(move |end| tell.send(end.clone()).unwrap());
    let begun = Instant::now();
    cut(&middle).await;
    let reasons = [here.next().await.reason.unwrap(), there.next().await.reason.unwrap()];
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let error = within(call).await.unwrap().unwrap_err();
    assert!(error.to_string().starts_with("the session ended before the answer"), "{error}");
    assert!(server.sessions().is_empty() && client.sessions().is_empty());
    reasons
}

#[test]
fn a_connection_that_is_cut_is_heard_of_within_a_second() {
    run(async {
        for reason in both_sides_hear_of(async |middle| middle.cut()).await {
            assert!(matches!(reason, CloseReason::Truncated | CloseReason::Io(_)), "{reason}");
        }
    });
}

#[test]
fn a_byte_changed_on_the_way_ends_the_session() {
    run(async {
        // What is injected upwards stands where the server expects a record.
        let reasons = both_sides_hear_of(async |middle| {
            middle.inject_up(&[&[0xc8, 0x00, 0x20, 0x1f][..], &[7; 32]].concat()).await;
        })
        .await;
        assert_eq!(reasons[1], CloseReason::Tampered);
        assert!(
            matches!(reasons[0], CloseReason::Truncated | CloseReason::Io(_)),
            "{}",
            reasons[0]
        );
    });
}
