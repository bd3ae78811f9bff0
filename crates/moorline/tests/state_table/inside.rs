//! In a session: a peer with a good key, and what its bytes get.

use moorline::{CloseReason, ErrorCode, Peers, Service, Settings};
use moorline_protocol::{Body, Frame, Kind, Message, MessageIndex, Meta, Registration};
use tokio::io::AsyncWriteExt;

use crate::hand::{RECORD, unit, wide_unit};
use crate::rows;
use crate::scene::{Scene, notes, post, request};
use crate::support::{self, Ask, Nest, Note, RawPeer, Said, Wire};

rows! {
    "a handshake unit when open" => "dead" {
        hello_when_open: dead(|_| wide_unit(0x1c, &[7; 40]));
        handshake_message_when_open: dead(|_| wide_unit(0x1d, &[7; 40]));
        unit_in_clear_when_open: dead(|_| unit(0x0e, &[1]));
    }
    "a record shorter than 17 bytes, above our capacity, or not in the `C8` form" => "dead" {
        record_of_a_tag_alone: dead(|_| wide_unit(RECORD, &[7; 16]));
        record_of_nothing: dead(|_| wide_unit(RECORD, &[]));
        record_above_our_capacity: dead(|peer| peer.seal_bytes(&[0; 4_097]));
        record_above_our_capacity_by_its_header: dead(|_| vec![0xc8, 0x10, 0x11, RECORD]);
        record_in_the_short_form: dead(|_| unit(RECORD, &[7; 40]));
        record_in_the_long_form: dead(|_| vec![0xc9, 0, 0, 0, 40, RECORD]);
    }
    "a tag that fails; a record dropped, repeated, reordered" => "dead, at the first" {
        record_whose_tag_fails: dead_after(0, |[mut a, b, _]| {
            *a.last_mut().unwrap() ^= 1;
            [a, b].concat()
        });
        record_that_nobody_sealed: dead_after(0, |_| wide_unit(RECORD, &[7; 40]));
        record_dropped: dead_after(1, |[a, _, c]| [a, c].concat());
        record_repeated: dead_after(1, |[a, b, _]| [a.clone(), a, b].concat());
        record_reordered: dead_after(1, |[a, b, c]| [a, c, b].concat());
    }
    "a malformed unit" => "CLOSE(PROTOCOL)" {
        unit_with_32_bits_of_length: closes(ErrorCode::PROTOCOL, &[0xc9, 0, 0, 0, 1, 0, 0xc0]);
        unit_with_a_sign_bit: closes(ErrorCode::PROTOCOL, &[0xc7, 1, 0x80, 1]);
        unit_with_a_flag_it_does_not_have: closes(ErrorCode::PROTOCOL, &[0xc7, 1, 0x4e, 1]);
        unit_without_what_it_needs: closes(ErrorCode::PROTOCOL, &[0xc7, 0, 0]);
        unit_beyond_its_record: closes(ErrorCode::PROTOCOL, &[0xc7, 9, 0, 1]);
        setup_again: closes(ErrorCode::PROTOCOL, &[0xc7, 1, 0x1e, 0x80]);
        no_unit_at_all: closes(ErrorCode::PROTOCOL, &[0x93, 1, 2, 3]);
        change_of_keys_that_is_not_alone: {
            closes(ErrorCode::PROTOCOL, &[0xc7, 0, 0x15, 0xc7, 1, 0x0e, 1])
        };
        unit_that_is_critical_and_unknown: closes(ErrorCode::UNSUPPORTED, &[0xc7, 0, 0x16]);
    }
    "a body nested too deep, or claiming more than it has" => "that message is refused (PROTOCOL 9), \
        the session lives" {
        body_nested_too_deep: refuses_body::<Nest>(&[0x91; 40]);
        body_that_claims_more_elements: refuses_body::<Ask>(&[0xdd, 0xff, 0xff, 0xff, 0xff, 1]);
        body_that_claims_more_bytes: refuses_body::<Ask>(&[0x91, 0xdb, 0xff, 0xff, 0xff, 0xff, 1]);
        body_of_a_post_that_claims_more: refuses_post(&[0x92, 1, 0xdb, 0xff, 0xff, 0xff, 0xff]);
    }
    "an unknown message type" => "POST: counted, and an event; REQUEST: ERROR(UNIMPLEMENTED)" {
        post_of_an_unknown_type: unknown_post();
        request_of_an_unknown_type: unknown_request();
    }
    "more than there was credit for" => "CLOSE(FLOW)" {
        more_than_there_was_credit_for: beyond_credit();
        window_above_the_largest: {
            closes(ErrorCode::FLOW, &[0xc7, 10, 0x09, 0, 0xcf, 255, 255, 255, 255, 255, 255, 255, 255])
        };
    }
    "too many cancels, resets, errors" => "CLOSE(CALM)" {
        too_many_cancels: floods(|| Frame::Cancel { id: 1 });
        too_many_faults: floods(|| post::<Note>(&[0xc0]));
    }
    "data after CLOSE" => "dead" {
        post_after_close: after_close(|peer| peer.seal(&[post::<Note>(NOTE)]));
        close_after_close: after_close(|peer| peer.seal(&[close()]));
        bytes_after_close: after_close(|_| vec![0xc8]);
    }
    "end of the stream without CLOSE" => "`Truncated` to the application" {
        end_between_records: truncated(|_| vec![]);
        end_in_a_record: truncated(|record| record[..record.len() - 1].to_vec());
        end_in_a_header: truncated(|record| record[..2].to_vec());
    }
    "key removed from the list, or expired" => "CLOSE(REVOKED), within 1 s" {
        key_removed_from_the_list: revoked("");
        key_expired_on_the_list: revoked("raw KEY role=member not_after=2001-01-01\n");
        key_moved_elsewhere: revoked("raw KEY role=member addr=192.0.2.0/24\n");
    }
}

/// A note of number 7, as it travels.
const NOTE: &[u8] = &[0x92, 0x07, 0xa1, b'x'];

/// Nobody but this peer knows this one.
static STRANGE: Registration = Registration::new("e2e.Strange", false, file!(), line!());

fn close() -> Frame<'static> {
    Frame::Close { code: ErrorCode(9), message: "that is all".into() }
}

/// A server that takes records of 4 KiB.
async fn small_records() -> Scene {
    let settings = Settings { record_log2: 12, in_flight_max: 16, ..Settings::default() };
    Scene::with("msgpack", settings).await
}

/// The end comes without a word, and the others go on.
async fn is_dead(scene: &mut Scene, mut peer: RawPeer) {
    assert_eq!(peer.hear().await, Said::End(CloseReason::Truncated));
    assert_eq!(scene.closed.next().await.reason, CloseReason::Tampered);
    scene.others_go_on().await;
}

async fn dead(says: impl FnOnce(&mut RawPeer) -> Vec<u8>) {
    let mut scene = small_records().await;
    let mut peer = RawPeer::open(&scene.url).await;
    let bytes = says(&mut peer);
    peer.stream.write_all(&bytes).await.unwrap();
    is_dead(&mut scene, peer).await;
}

/// Of three records of a note each, this is what arrives, and so many are heard.
async fn dead_after(heard: usize, arrives: impl FnOnce([Vec<u8>; 3]) -> Vec<u8>) {
    let mut scene = small_records().await;
    let mut peer = RawPeer::open(&scene.url).await;
    let records = [(); 3].map(|()| peer.seal(&[post::<Note>(NOTE)]));
    peer.stream.write_all(&arrives(records)).await.unwrap();
    is_dead(&mut scene, peer).await;
    assert_eq!(scene.notes.so_far().len(), heard);
}

async fn closes(code: ErrorCode, units: &[u8]) {
    let mut scene = small_records().await;
    let mut peer = RawPeer::open(&scene.url).await;
    peer.say_bytes(units).await;
    scene.verdict(peer, code).await;
}

async fn refuses_body<M: Message>(body: &[u8]) {
    let mut scene = small_records().await;
    let mut peer = RawPeer::open(&scene.url).await;
    peer.say(&[request::<M>(2, body)]).await;
    assert_eq!(peer.hear().await, Said::Error(2, ErrorCode::DECODE));
    scene.peer_goes_on(&mut peer).await;
}

async fn refuses_post(body: &[u8]) {
    let mut scene = small_records().await;
    let mut peer = RawPeer::open(&scene.url).await;
    peer.say(&[post::<Note>(body)]).await;
    let event = scene.dropped.next().await;
    assert_eq!((event.message, event.code), (Some("e2e.Note"), ErrorCode::DECODE));
    scene.peer_goes_on(&mut peer).await;
}

/// A peer with a message type that the server has never heard of, and its number.
async fn stranger(scene: &Scene) -> (RawPeer, Kind) {
    let local = support::local(support::registry_of(&[Note::registration(), &STRANGE]));
    let peer = RawPeer::dial_with(&scene.url, local).await.opened().await;
    (peer, Kind::Known(MessageIndex::new(1)))
}

async fn unknown_post() {
    let mut scene = small_records().await;
    let (mut peer, kind) = stranger(&scene).await;
    let (meta, body) = (Meta::default(), Body::Borrowed(&[0xc0]));
    peer.say(&[Frame::Post { kind, meta, body }]).await;
    let event = scene.dropped.next().await;
    assert_eq!((event.message, event.code), (None, ErrorCode::UNIMPLEMENTED));
    scene.others_go_on().await;
    peer.say(&[Frame::Ping { nonce: 1 }]).await;
    assert!(matches!(peer.hear().await, Said::Other(text) if text.starts_with("Pong")));
}

async fn unknown_request() {
    let scene = small_records().await;
    let (mut peer, kind) = stranger(&scene).await;
    let (meta, body) = (Meta::default(), Body::Borrowed(&[0xc0]));
    peer.say(&[Frame::Request { id: 3, kind, meta, body }]).await;
    assert_eq!(peer.hear().await, Said::Error(3, ErrorCode::UNIMPLEMENTED));
    scene.others_go_on().await;
    peer.say(&[Frame::Ping { nonce: 1 }]).await;
    assert!(matches!(peer.hear().await, Said::Other(text) if text.starts_with("Pong")));
}

async fn beyond_credit() {
    let window = 64 * 1024;
    let settings = Settings { initiation_window: window, ..Settings::default() };
    let mut scene = Scene::with("msgpack", settings).await;
    let fit = usize::try_from(window / notes(1).1).unwrap();
    let mut peer = RawPeer::open(&scene.url).await;
    // In one record, so that there is no telling of more credit in between.
    peer.say_bytes(&notes(fit + 1).0).await;
    scene.verdict(peer, ErrorCode::FLOW).await;
    assert_eq!(scene.notes.so_far().len(), fit, "what there was credit for was taken");
}

async fn floods(frame: impl Fn() -> Frame<'static>) {
    let mut scene = small_records().await;
    let mut peer = RawPeer::open(&scene.url).await;
    // A bucket of a thousand, which would need a minute and a half to hold so many.
    for _ in 0..8 {
        let frames: Vec<_> = (0..500).map(|_| frame()).collect();
        let bytes = peer.seal(&frames);
        if peer.stream.write_all(&bytes).await.is_err() {
            break;
        }
    }
    scene.verdict(peer, ErrorCode::CALM).await;
}

async fn after_close(says: impl FnOnce(&mut RawPeer) -> Vec<u8>) {
    let mut scene = small_records().await;
    let mut peer = RawPeer::open(&scene.url).await;
    let bytes = [peer.seal(&[close()]), says(&mut peer)].concat();
    peer.stream.write_all(&bytes).await.unwrap();
    let _ = peer.hear().await;
    drop(peer);
    let reason = scene.closed.next().await.reason;
    assert!(matches!(&reason, CloseReason::ByPeer(said) if said.code == ErrorCode(9)), "{reason}");
    assert!(scene.notes.so_far().is_empty(), "it was not heard");
    scene.others_go_on().await;
}

async fn truncated(part: impl FnOnce(&[u8]) -> Vec<u8>) {
    let mut scene = small_records().await;
    let mut peer = RawPeer::open(&scene.url).await;
    let record = peer.seal(&[post::<Note>(NOTE)]);
    peer.stream.write_all(&part(&record)).await.unwrap();
    peer.stream.shutdown().await.unwrap();
    assert_eq!(scene.closed.next().await.reason, CloseReason::Truncated);
    assert!(scene.notes.so_far().is_empty());
    scene.others_go_on().await;
}

/// The list is as it was for the honest client, and this for the peer.
async fn revoked(line: &str) {
    let honest = moorline::Identity::generate().unwrap();
    let local = support::local(moorline::MessageRegistry::process().unwrap());
    let key = local.identity.as_ref().unwrap().public();
    let peers = Peers::nobody().with("honest", honest.public());
    let list = peers.clone().with("raw", key);
    let server = Wire::usual().builder().peers(list.clone());
    let client = Service::builder().identity(honest.clone()).build().unwrap();
    let mut scene = Scene::of("msgpack", server, client).await;
    let mut peer = RawPeer::dial_with(&scene.url, local).await.opened().await;
    scene.peer_goes_on(&mut peer).await;

    let honest = format!("honest {} role=member\n", honest.public().to_line());
    list.replace(&Peers::parse(&(honest + &line.replace("KEY", &key.to_line()))).unwrap());
    assert!(matches!(peer.hear().await, Said::Close(ErrorCode::REVOKED, _)));
    drop(peer);
    let reason = scene.closed.next().await.reason;
    assert!(matches!(&reason, CloseReason::ByUs(said) if said.code == ErrorCode::REVOKED));
    scene.others_go_on().await;
}
