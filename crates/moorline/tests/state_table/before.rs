//! Before a session exists: what a listener does not like, and does not say so.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use moorline::transport::{Connection, Transport, mem::Mem};
use moorline::{ErrorCode, Peers, Service, Suite, Suites};
use moorline_noise::Identity;
use moorline_protocol::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::hand::{Hand, RECORD, Shaken, setup, unit, wide_unit};
use crate::providers::{above_modulus, counting, of_low_order, showing};
use crate::rows;
use crate::strangers::{Door, HANDSHAKE_TIMEOUT, Knock};
use crate::support::{RawPeer, Said, Wire, within};

rows! {
    "wrong magic, HTTP, a TLS ClientHello" => "silent" {
        wrong_magic: first("not_our_protocol", |hand| hand.preamble(3, b'r').hello());
        http: first("http", |_| b"GET / HTTP/1.1\r\n\r\n".to_vec());
        tls_client_hello: first("tls", |_| b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec());
    }
    "no version in common" => "silent" {
        versions_above_ours: first("version", |hand| hand.preamble(4, 9).preamble(5, 2).hello());
        versions_below_ours: first("version", |hand| hand.preamble(4, 0).preamble(5, 0).hello());
        versions_of_an_empty_range: first("version", |hand| hand.preamble(5, 2).hello());
    }
    "suite unknown or not allowed here" => "silent" {
        suite_unknown: first("suite", |hand| hand.preamble(6, 0x77).hello());
        suite_without_keys: first("suite", |hand| hand.preamble(6, 0).hello());
        suite_that_is_not_hybrid: first("suite", |hand| hand.suite(Suite::Ik).hello());
        suite_of_first_use: first("suite", |hand| hand.suite(Suite::XxHfsChaCha).hello());
    }
    "wrong carrier; flags not 0" => "silent" {
        wrong_carrier: first("carrier", |hand| hand.preamble(7, 2).hello());
        flags_not_zero: first("reserved", |hand| hand.preamble(9, 1).hello());
        zeros_not_zero: first("reserved", |hand| hand.preamble(15, 1).hello());
    }
    "length that is not the suite's" => "silent; nothing allocated but the one buffer of 2 KiB" {
        length_one_byte_less: first("length", |hand| with_len(&hand.hello(), 1_343));
        length_one_byte_more: first("length", |hand| with_len(&hand.hello(), 1_345));
        length_of_64_kib: first("length", |hand| with_len(&hand.hello(), 65_535));
        length_of_another_suite: first("length", |hand| {
            hand.suite(Suite::Ik).preamble(6, 0x01).hello()
        });
        length_below_the_preamble: first("length", |hand| with_len(&hand.hello(), 15));
        length_within_bounds_takes_one_buffer_of_2_kib: one_buffer();
    }
    "one byte a second" => "silent when 5 s are over" {
        one_byte_a_second: a_byte_a_second();
    }
    "end of the stream in the middle" => "`Eof`, and not counted as an attack" {
        end_in_the_header: ends_after(3);
        end_in_the_preamble: ends_after(12);
        end_in_message_1: ends_after(700);
        end_before_setup: then("eof", |_| vec![]);
        end_in_setup: then("eof", |peer| peer.record(&setup())[..9].to_vec());
    }
    "point of low order, tag that fails anywhere, bad ML-KEM key" => "silent" {
        ephemeral_key_of_low_order: first("crypto", |hand| hand.provider(of_low_order()).hello());
        static_key_of_low_order: first("crypto", |hand| {
            hand.identity(Identity::generate(&of_low_order()).unwrap()).hello()
        });
        kem_key_above_the_modulus: first("crypto", |hand| hand.provider(above_modulus()).hello());
        tag_of_the_kem_key: first("crypto", |hand| flip(hand.hello(), 20 + 32 + 1_184 + 15));
        tag_of_the_static_key: first("crypto", |hand| flip(hand.hello(), 20 + 32 + 1_200 + 47));
        tag_of_message_1: first("crypto", |hand| flip(hand.hello(), 20 + 1_327));
        tag_of_setup: then("crypto", |peer| flip(peer.record(&setup()), 22));
    }
    "key not on the list, or expired" => "silent, decided before the second DH" {
        key_that_is_not_listed: not_admitted(Listing::Missing);
        key_that_has_expired: not_admitted(Listing::Expired);
        key_from_elsewhere: not_admitted(Listing::Elsewhere);
    }
    "message 1 replayed" => "answered, never confirmed, gone after 5 s; silent while the original's \
        ephemeral key is pending; never displaces a session or a handshake" {
        replay_is_answered_never_confirmed_and_gone: replay_is_gone();
        replay_of_a_pending_message_1: replay_while_pending();
        replay_of_a_message_1_whose_session_is_open: replay_while_open();
    }
    "our own public key as the peer's" => "silent" {
        our_own_public_key: own_key();
    }
    "a static key in another spelling than its own: 2^255 - 19 or above" => "silent, before it is looked \
        up" {
        static_key_with_its_highest_bit_set: first("crypto", |hand| {
            let mut shown = *hand.public().as_bytes();
            shown[31] |= 0x80;
            let shows = showing(shown, hand.public());
            hand.provider(shows).hello()
        });
    }
    "CAPS malformed, or with versions other than the preamble's" => "silent" {
        caps_of_an_unknown_format: first("caps", |hand| hand.caps(0, 2).hello());
        caps_with_records_too_small: first("caps", |hand| hand.caps(3, 11).hello());
        caps_with_records_too_large: first("caps", |hand| hand.caps(3, 17).hello());
        caps_with_zeros_that_are_not: first("caps", |hand| hand.caps(15, 1).hello());
        caps_without_our_version: first("caps", |hand| hand.caps(1, 0).caps(2, 0).hello());
        caps_with_more_versions_than_the_preamble: first("caps", |hand| hand.caps(1, 2).hello());
        caps_with_fewer_versions_than_the_preamble: first("caps", |hand| {
            hand.preamble(4, 2).hello()
        });
        caps_with_a_lower_version_than_the_preamble: first("caps", |hand| {
            hand.caps(2, 0).hello()
        });
    }
    "first record above 2,048 bytes, or not SETUP alone" => "silent" {
        first_record_too_large: then("first_record", |peer| peer.record(&padded(setup(), 2_029)));
        first_record_too_large_by_its_header: then("first_record", |_| vec![0xc8, 7, 0xfd, RECORD]);
        first_record_too_short: then("first_record", |_| wide_unit(RECORD, &[7; 16]));
        first_record_without_setup: then("first_record", |peer| peer.record(PING));
        first_record_of_padding: then("first_record", |peer| peer.record(&[0; 9]));
        first_record_with_more_than_setup: then("first_record", |peer| {
            peer.record(&[&setup(), PING].concat())
        });
        first_record_is_a_change_of_keys: then("first_record", |peer| {
            peer.record(b"\xc7\x00\x15")
        });
    }
    "another unit than the handshake message or the record that is due" => "silent" {
        record_instead_of_message_1: first("misplaced", |_| wide_unit(RECORD, &[7; 40]));
        later_message_instead_of_message_1: first("misplaced", |_| unit(0x1d, &[7; 200]));
        record_instead_of_message_3: record_in_the_handshake();
        handshake_message_instead_of_setup: then("misplaced", |_| wide_unit(0x1d, &[7; 40]));
        unit_in_clear_instead_of_setup: then("misplaced", |_| setup());
    }
    "more handshakes at once than there may be" => "nothing read, dead, and counted: held to the \
        tick it would keep the descriptor that the limit protects" {
        one_handshake_too_many: one_too_many();
    }
    "a required feature we do not have" => "CLOSE(UNSUPPORTED), once confirmed" {
        required_feature: required_feature_unknown();
    }
}

const PING: &[u8] = b"\xc7\x01\x0e\x01";

/// A door at which no honest handshake is too slow, however busy the machine is, and where whoever is
/// only waited for is waited for in vain.
async fn patient() -> Door {
    Door::with(Duration::from_secs(60)).await
}

/// These are the first bytes of a stranger.
async fn first(cause: &str, says: impl FnOnce(Hand) -> Vec<u8>) {
    let door = patient().await;
    door.refuses(Knock::saying(&says(Hand::to(&door.url))), cause).await;
    door.close().await;
}

/// These follow a good handshake; where they are not whole, nothing follows them.
async fn then(cause: &str, says: impl FnOnce(&mut Shaken) -> Vec<u8>) {
    let door = patient().await;
    let mut peer = Hand::to(&door.url).shaken().await;
    let bytes = says(&mut peer);
    hears_nothing(&door, peer.stream, &bytes, cause).await;
    door.close().await;
}

async fn hears_nothing(door: &Door, mut stream: TcpStream, bytes: &[u8], cause: &str) {
    stream.write_all(bytes).await.unwrap();
    if cause == "eof" {
        stream.shutdown().await.unwrap();
    }
    let mut heard = Vec::new();
    let _ = within(stream.read_to_end(&mut heard)).await;
    assert_eq!(heard, b"", "nothing is sent");
    assert_eq!(door.next_cause().await, cause);
    door.goes_on().await;
}

/// The same bytes, which say that they are so many.
fn with_len(hello: &[u8], len: u16) -> Vec<u8> {
    [&[hello[0]], &len.to_be_bytes()[..], &hello[3..]].concat()
}

fn flip(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 1;
    bytes
}

fn padded(mut units: Vec<u8>, len: usize) -> Vec<u8> {
    units.resize(len, 0);
    units
}

async fn one_buffer() {
    let door = patient().await;
    let mut stream = RawPeer::dial(&door.url).await.stream;
    stream.write_all(&Hand::to(&door.url).hello()[..1_300]).await.unwrap();
    // The good session holds none while nothing arrives.
    let held = within(async {
        loop {
            let [received, _] = door.server.pool_stats();
            if received.in_use > 0 {
                break received;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((held.in_use, held.in_use_bytes), (1, 2_048));
    drop(stream);
    assert_eq!(door.next_cause().await, "eof");
    door.close().await;
}

async fn a_byte_a_second() {
    let door = Door::with(Duration::from_secs(5)).await;
    let begun = Instant::now();
    let slow = Knock::saying(&Hand::to(&door.url).hello()).every(Duration::from_secs(1));
    let closed = door.refuses(slow, "timeout").await;
    assert!(closed >= begun + Duration::from_secs(5));
    door.close().await;
}

async fn ends_after(len: usize) {
    let door = patient().await;
    let hello = Hand::to(&door.url).hello();
    door.refuses(Knock::saying(&hello[..len]).and_leaving(), "eof").await;
    door.close().await;
}

/// What a list says of a key that it does not let in.
#[derive(Clone, Copy)]
enum Listing {
    Missing,
    Expired,
    Elsewhere,
}

async fn not_admitted(listing: Listing) {
    let (provider, agreed) = counting();
    let friend = moorline::Identity::generate().unwrap();
    let stranger = Identity::generate(&provider).unwrap();
    let line = |rule| format!("stranger {} role=member {rule}\n", stranger.public().to_line());
    let list = format!("friend {} role=member\n", friend.public().to_line())
        + &match listing {
            Listing::Missing => String::new(),
            Listing::Expired => line("not_after=2001-01-01"),
            Listing::Elsewhere => line("addr=192.0.2.0/24"),
        };
    let server = Wire::usual().builder().peers(Peers::parse(&list).unwrap()).provider(provider);
    let friend = Service::builder().identity(friend).build().unwrap();
    let door = Door::of(server, friend).await;
    let hello =
        Hand::to(&door.url).identity(stranger.on(&moorline_noise::Provider::pure())).hello();
    let before = agreed.load(Ordering::Relaxed);
    door.refuses(Knock::saying(&hello), "not_admitted").await;
    assert_eq!(agreed.load(Ordering::Relaxed) - before, 1, "es, and not ss");
    door.close().await;
}

/// The answer to a first message: a NOISE unit with message 2 of IKhfs.
const ANSWER_LEN: usize = 4 + 1_184;

async fn replay_is_gone() {
    let door = Door::open().await;
    let hello = Hand::to(&door.url).hello();
    for _ in 0..2 {
        let begun = Instant::now();
        let (heard, closed, cause) = door.answers(Knock::saying(&hello)).await;
        assert_eq!((heard.len(), cause), (ANSWER_LEN, "timeout"));
        assert!(closed >= begun + HANDSHAKE_TIMEOUT);
    }
    door.close().await;
}

async fn replay_while_pending() {
    // The original stays pending until the test goes on with it, and so would a copy.
    let door = patient().await;
    let mut original = RawPeer::dial(&door.url).await;
    let hello = original.take_out();
    original.stream.write_all(&hello).await.unwrap();
    original.shake().await;
    // A copy hears nothing, and is not even kept until its time is over.
    for _ in 0..3 {
        door.refuses(Knock::saying(&hello), "replayed").await;
    }
    // Neither does one that was changed behind the ephemeral key, nor is the original harmed.
    door.refuses(Knock::saying(&flip(hello, 1_000)), "crypto").await;
    farewell(original.opened().await).await;
    door.close().await;
}

async fn replay_while_open() {
    let door = patient().await;
    let mut original = RawPeer::dial(&door.url).await;
    let hello = original.take_out();
    original.stream.write_all(&hello).await.unwrap();
    let original = original.opened().await;
    // It is answered, which nobody but the original could use.
    for _ in 0..2 {
        let (heard, _, cause) = door.answers(Knock::saying(&hello).and_leaving()).await;
        assert_eq!((heard.len(), cause), (ANSWER_LEN, "eof"));
    }
    farewell(original).await;
    door.close().await;
}

/// The session is as it should be, and over.
async fn farewell(mut peer: RawPeer) {
    peer.say(&[Frame::Ping { nonce: 1 }]).await;
    assert!(matches!(peer.hear().await, Said::Other(text) if text.starts_with("Pong")));
    peer.say(&[Frame::Close { code: ErrorCode(0), message: "".into() }]).await;
    assert!(matches!(peer.hear().await, Said::Close(..)));
}

/// Who knows the listener's public key can show it, and is refused before anybody is asked about it.
async fn own_key() {
    let friend = moorline::Identity::generate().unwrap();
    let server = Wire::usual().builder().peers(Peers::nobody().with("friend", friend.public()));
    let friend = Service::builder().identity(friend).build().unwrap();
    let door = Door::of(server, friend).await;
    let hand = Hand::to(&door.url);
    let shows = showing(*hand.listener().as_bytes(), hand.public());
    door.refuses(Knock::saying(&hand.provider(shows).hello()), "crypto").await;
    door.close().await;
}

async fn record_in_the_handshake() {
    let suites = Suites::default().also(Suite::XxHfsChaCha);
    let server = Wire::usual().builder().suites(suites);
    let door = Door::of(server, Wire::usual().service()).await;
    let peer = Hand::to(&door.url).suite(Suite::XxHfsChaCha).answered().await;
    hears_nothing(&door, peer.stream, &wide_unit(RECORD, &[7; 40]), "misplaced").await;
    door.close().await;
}

/// Through memory, where a crowd of strangers takes no descriptors of this process.
async fn one_too_many() {
    let door = patient().await;
    let acceptor = door.server.accept("mem://state-table-crowd", "msgpack").await.unwrap();
    let dial = || async { Mem.connect(acceptor.url().clone()).await.unwrap() };
    let mut crowd = Vec::new();
    for _ in 0..512 {
        crowd.push(dial().await);
    }
    let Connection { mut reader, writer: _writer, .. } = dial().await;
    let mut heard = [0; 8];
    let end = within(poll_fn(|cx| reader.poll_read(cx, &mut heard))).await;
    assert_eq!(end.unwrap(), 0, "nothing is sent");
    assert_eq!(door.next_cause().await, "handshakes_max");
    door.goes_on().await;
    drop(crowd);
    for _ in 0..512 {
        assert_eq!(door.next_cause().await, "eof", "everybody else was within");
    }
    let welcome = Wire::usual().service();
    within(welcome.connect(&acceptor.url().to_string(), "msgpack")).await.unwrap().close();
    door.close().await;
}

async fn required_feature_unknown() {
    let door = patient().await;
    let mut peer = Hand::to(&door.url).caps(11, 1).shaken().await;
    let record = peer.record(&setup());
    peer.stream.write_all(&record).await.unwrap();
    assert_eq!(peer.hear().await[2], 0x1e, "SETUP comes before CLOSE");
    let close = peer.hear().await;
    assert_eq!((close[2], close[3]), (0x14, 0xef), "CLOSE(UNSUPPORTED), -17");
    assert_eq!(within(peer.stream.read_to_end(&mut Vec::new())).await.unwrap(), 0);
    door.goes_on().await;
    door.close().await;
}
