//! Bad input before there is a session: each stranger gets what docs/SECURITY.md says, and a good
//! session beside it does not notice.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "door/strangers.rs"]
mod strangers;
mod support;

use std::time::{Duration, Instant};

use moorline::{AcceptFailed, CloseReason, Error, Identity, Peers, Service, topic};
use moorline_protocol::HandshakeFailure;
use strangers::{Door, HANDSHAKE_TIMEOUT, Knock, at_once, hello};
use support::{Ask, Heard, Told, run, within};

#[test]
fn who_speaks_something_else_hears_nothing() {
    run(async {
        let door = Door::open().await;
        let client_hello: &[u8] = &[
            0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x5a, 0x5a, 0x5a,
            0x5a,
        ];
        for (bytes, cause) in [
            (&b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"[..], "http"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http"),
            (b"POST / HTTP/1.0\r\n\r\n", "http"),
            (client_hello, "tls"),
            (b"hello there\n", "not_our_protocol"),
            (b"\r\n", "not_our_protocol"),
            (b"SSH-2.0-OpenSSH_9.6\r\n", "not_our_protocol"),
            (&[0; 64], "not_our_protocol"),
            (&[0xff; 5_000], "not_our_protocol"),
            // A unit of ours that has no place here, and one in a form that is never sent.
            (&[0xc7, 0x01, 0x0e, 0x01], "misplaced"),
            (&[0xc8, 0x04, 0x00, 0x1f], "misplaced"),
            (&[0xc9, 0x00, 0x00, 0x00, 0x01, 0x1c], "not_our_protocol"),
        ] {
            door.refuses(Knock::saying(bytes), cause).await;
        }
        door.close().await;
    });
}

#[test]
fn a_refusal_waits_for_the_next_tick() {
    run(async {
        let before = Instant::now();
        let door = Door::open().await;
        let after = Instant::now();
        let tick = Duration::from_millis(100);
        for _ in 0..5 {
            // Somewhere between two ticks, wherever the listener's clock began.
            let passed = after.elapsed().as_millis() % tick.as_millis();
            tokio::time::sleep(
                tick + Duration::from_millis(30)
                    - Duration::from_millis(u64::try_from(passed).unwrap()),
            )
            .await;
            let knocked = Instant::now();
            let closed = door.refuses(Knock::saying(b"hello there\n"), "not_our_protocol").await;
            let ticks = (knocked - after).as_nanos() / tick.as_nanos() + 1;
            let earliest = before + tick * u32::try_from(ticks).unwrap();
            assert!(closed >= earliest, "{:?} too early", earliest - closed);
        }
        door.close().await;
    });
}

#[test]
fn a_handshake_that_stops_in_the_middle_ends_without_a_word() {
    run(async {
        let door = Door::open().await;
        let hello = hello(&door.url).await;
        let lens = [0, 1, 2, 3, 4, 5, 8, 12, 19, 20, 21, 52, 100, 700, 1_235, 1_347];
        for len in lens {
            // Who goes away is not taken for an attacker, and is not kept waiting.
            door.refuses(Knock::saying(&hello[..len]).and_leaving(), "eof").await;
        }
        // All at once, since each of them takes as long as a handshake may.
        let begun = Instant::now();
        let silent = lens.map(|len| door.refuses(Knock::saying(&hello[..len]), "timeout"));
        for closed in at_once(silent).await {
            assert!(closed >= begun + HANDSHAKE_TIMEOUT);
        }
        door.close().await;
    });
}

#[test]
fn one_byte_at_a_time_does_not_outlast_the_handshake() {
    run(async {
        let door = Door::open().await;
        let hello = hello(&door.url).await;
        let begun = Instant::now();
        let slow = Knock::saying(&hello).every(Duration::from_millis(10));
        let closed = door.refuses(slow, "timeout").await;
        assert!(closed >= begun + HANDSHAKE_TIMEOUT);
        door.close().await;
    });
}

#[test]
fn a_flipped_bit_in_any_byte_of_the_first_message_is_refused() {
    run(async {
        let door = Door::open().await;
        let hello = hello(&door.url).await;
        assert_eq!(hello.len(), 4 + 16 + 1_328);
        let header = (0..20).flat_map(|byte| (0..8).map(move |bit| (byte, bit)));
        let noise = (20..hello.len()).step_by(13).map(|byte| (byte, byte % 8));
        let last = [(hello.len() - 1, 7)];
        let flips: Vec<_> = header.chain(noise).chain(last).collect();
        for some in flips.chunks(64) {
            let knocks = some.iter().map(|(byte, bit)| {
                let mut flipped = hello.clone();
                flipped[*byte] ^= 1 << bit;
                door.refuses_one_of(Knock::saying(&flipped), causes_of_flip(*byte))
            });
            at_once(knocks).await;
        }
        door.close().await;
    });
}

#[test]
fn a_key_that_is_not_on_the_list_is_named_in_the_log_and_told_nothing() {
    run(async {
        let (ada, eve) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let builder = Service::builder().identity(Identity::generate().unwrap());
        let server = builder.peers(Peers::nobody().with("ada", ada.public())).build().unwrap();
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        let (mut refused, _) =
            Heard::<AcceptFailed>::topic(&server, topic("msgpack", AcceptFailed));
        let url = server.accept("tcp://127.0.0.1:0", "msgpack").await.unwrap().url().to_string();
        let ada = Service::builder().identity(ada).build().unwrap();
        let session = ada.connect(&url, "msgpack").await.unwrap();
        let listed = server.sessions()[0].peer().listed.clone().unwrap();
        assert_eq!(&*listed.name, "ada");

        let public = eve.public();
        let eve = Service::builder().identity(eve).build().unwrap();
        let error = within(eve.connect(&url, "msgpack")).await.unwrap_err();
        assert!(not_let_in(&error, HandshakeFailure::NotLetIn), "{error:?}");
        let event = refused.next().await;
        assert_eq!(event.cause, "not_admitted");
        assert!(event.reason.contains(&public.to_line()), "{}", event.reason);
        assert_eq!(within(session.request(Ask { number: 1 })).await.unwrap().number, 1);
    });
}

#[test]
fn another_key_than_the_pinned_one_gets_no_session() {
    run(async {
        let door = Door::open().await;
        let wrong = Identity::generate().unwrap().public();
        let address: moorline::Address = door.url.parse().unwrap();
        let url = address.with_key(wrong).to_string();
        let client = Service::builder().identity(Identity::generate().unwrap()).build().unwrap();
        let error = within(client.connect(&url, "msgpack")).await.unwrap_err();
        // In pattern IK the listener cannot even read who asks: it is silent, and that is all there
        // is to be seen from here.
        assert!(not_let_in(&error, HandshakeFailure::NotLetIn), "{error:?}");
        assert_eq!(door.next_cause().await, "crypto");
        door.close().await;
    });
}

/// What a listener may find wrong when this byte of the first message is another one.
fn causes_of_flip(byte: usize) -> &'static [&'static str] {
    match byte {
        // Another first byte is another form, or nothing at all.
        0 => &["not_our_protocol", "length", "misplaced"],
        1 | 2 => &["length"],
        3 => &["misplaced", "not_our_protocol"],
        4..8 => &["not_our_protocol"],
        8 | 9 => &["version", "crypto"],
        10 => &["suite", "crypto", "length"],
        11 => &["carrier"],
        12..20 => &["reserved"],
        _ => &["crypto"],
    }
}

fn not_let_in(error: &Error, failure: HandshakeFailure) -> bool {
    matches!(error, Error::Handshake { reason: CloseReason::HandshakeFailed(f), .. } if *f == failure)
}
