//! Peers with a good key and bad manners: each gets its verdict, and a session beside it goes on. One
//! test for each kind is in `state_table.rs`; here they come in numbers, and on both protocols.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "hostile_peer/scene.rs"]
mod scene;
mod support;

use moorline::{CloseReason, ErrorCode, Message, Settings};
use moorline_protocol::{Body, Frame, Kind, MessageIndex, Meta, Registration};
use scene::{Scene, notes, post, request};
use support::{Ask, Late, Nest, Note, RawPeer, Said, Score, run, within};

/// Nobody but a hostile peer knows this one.
static STRANGE: Registration = Registration::new("e2e.Strange", false, file!(), line!());

/// Over both protocols: a record protects against others, not against its sender.
fn on_both(test: impl AsyncFn(Scene)) {
    for protocol in ["msgpack", "msgpack-plain"] {
        run(async { test(Scene::set(protocol).await).await });
    }
}

#[test]
fn a_malformed_unit_ends_its_session() {
    on_both(async |mut scene| {
        for units in [
            &[0xc9, 0, 0, 0, 1, 0x00, 0xc0][..], // 32 bits of length
            &[0xc7, 0x01, 0x80, 0x01],           // a type with the sign bit
            &[0xc7, 0x01, 0x4e, 0x01],           // PING with X
            &[0xc7, 0x00, 0x00],                 // POST without anything
            &[0xc7, 0x01, 0x01, 0x09],           // REQUEST without a type
            &[0xc7, 0x02, 0x00, 0xa1, 0x78],     // a text where a number is due
            &[0xc7, 0x01, 0x1e, 0x80],           // SETUP again
            &[0x93, 0x01, 0x02, 0x03],           // no unit at all
        ] {
            let mut peer = RawPeer::open(&scene.url).await;
            peer.say_bytes(units).await;
            let code = ErrorCode::PROTOCOL;
            let Said::Close(said, text) = peer.hear().await else { panic!("{units:02x?}") };
            assert_eq!(said, code, "{units:02x?}: {text}");
            drop(peer);
            let reason = scene.closed.next().await.reason;
            assert!(matches!(reason, CloseReason::Violation(_)), "{units:02x?}: {reason}");
            scene.others_go_on().await;
        }
        let mut peer = RawPeer::open(&scene.url).await;
        peer.say_bytes(&[0xc7, 0x00, 0x16]).await; // unassigned and critical
        scene.verdict(peer, ErrorCode::UNSUPPORTED).await;
    });
}

#[test]
fn nothing_that_follows_a_farewell_is_heard() {
    on_both(async |mut scene| {
        let mut peer = RawPeer::open(&scene.url).await;
        let close = Frame::Close { code: ErrorCode(9), message: "that is all".into() };
        peer.say(&[close, post::<Note>(&[0x92, 0x07, 0xa1, b'x'])]).await;
        assert!(matches!(peer.hear().await, Said::Close(..)));
        drop(peer);
        let reason = scene.closed.next().await.reason;
        assert!(matches!(&reason, CloseReason::ByPeer(f) if f.code == ErrorCode(9)), "{reason}");
        scene.others_go_on().await;
        assert!(scene.notes.so_far().is_empty());
    });
}

#[test]
fn an_unknown_message_ends_nothing() {
    on_both(async |mut scene| {
        let local = support::local(support::registry_of(&[Note::registration(), &STRANGE]));
        let mut peer = RawPeer::dial_with(&scene.url, local).await.opened().await;
        let strange = Kind::Known(MessageIndex::new(1));
        let body = || Body::Borrowed(&[0xc0]);
        let meta = Meta::default;
        peer.say(&[Frame::Post { kind: strange, meta: meta(), body: body() }]).await;
        let event = scene.dropped.next().await;
        assert_eq!((event.message, event.code), (None, ErrorCode::UNIMPLEMENTED));
        peer.say(&[Frame::Request { id: 3, kind: strange, meta: meta(), body: body() }]).await;
        assert_eq!(peer.hear().await, Said::Error(3, ErrorCode::UNIMPLEMENTED));
        // A number that was never told is as unknown.
        peer.say_bytes(&[0xc7, 0x03, 0x01, 0x04, 0x63, 0xc0]).await;
        assert_eq!(peer.hear().await, Said::Error(4, ErrorCode::UNIMPLEMENTED));
        // A type that is known and has no handler.
        let mut peer = RawPeer::open(&scene.url).await;
        peer.say(&[post::<Score>(&[0x91, 0x01])]).await;
        let event = scene.dropped.next().await;
        assert_eq!((event.message, event.code), (Some("e2e.Score"), ErrorCode::UNIMPLEMENTED));
        scene.others_go_on().await;
    });
}

#[test]
fn a_body_that_is_refused_costs_one_message() {
    on_both(async |mut scene| {
        let mut peer = RawPeer::open(&scene.url).await;
        for body in [
            &[0xc0][..],                                 // another type
            &[0x91, 0xa1, b'x'],                         // too short
            &[0x92, 0x01, 0xa1, b'x', 0x00],             // something behind it
            &[0x92, 0x01, 0xdb, 0xff, 0xff, 0xff, 0xff], // a text of 4 GiB
            &[0xdd, 0xff, 0xff, 0xff, 0xff, 0x01],       // four thousand million elements
            &[0x92, 0x01, 0xa2, 0xff, 0xfe],             // no text
            &[],
        ] {
            peer.say(&[post::<Note>(body)]).await;
            let event = scene.dropped.next().await;
            assert_eq!((event.message, event.code), (Some("e2e.Note"), ErrorCode::DECODE));
            peer.say(&[request::<Ask>(2, &[0x91, 0xa1, b'x'])]).await;
            assert_eq!(peer.hear().await, Said::Error(2, ErrorCode::DECODE));
            peer.say(&[request::<Ask>(2, body)]).await;
            assert_eq!(peer.hear().await, Said::Error(2, ErrorCode::DECODE));
        }
        scene.peer_goes_on(&mut peer).await;
        assert!(scene.notes.so_far().is_empty());
    });
}

#[test]
fn a_bomb_of_nested_arrays_goes_off_nowhere() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).thread_stack_size(2 << 20).enable_all().build();
    let runtime = runtime.unwrap();
    // On the worker, so that everything of it runs on a stack of 2 MiB.
    let test = runtime.spawn(async {
        let mut scene = Scene::set("msgpack").await;
        let mut bomb = vec![0x91; 4_999];
        bomb.push(0xc0);
        let mut peer = RawPeer::open(&scene.url).await;
        // A type that would follow, one that would skip it, and one that nobody knows.
        peer.say(&[request::<Nest>(1, &bomb)]).await;
        assert_eq!(peer.hear().await, Said::Error(1, ErrorCode::DECODE));
        let skipped = [&[0x93, 0x01, 0xa1, b'x'][..], &bomb].concat();
        peer.say(&[post::<Note>(&skipped)]).await;
        assert_eq!(scene.dropped.next().await.code, ErrorCode::DECODE);
        peer.say(&[post::<Score>(&bomb)]).await;
        assert_eq!(scene.dropped.next().await.message, Some("e2e.Score"));
        scene.peer_goes_on(&mut peer).await;
    });
    runtime.block_on(within(test)).unwrap();
    runtime.shutdown_background();
}

#[test]
fn answers_that_nobody_asked_for_end_the_session() {
    on_both(async |mut scene| {
        for frame in [
            Frame::Response { id: 0, body: Body::Borrowed(&[0xc0]) },
            Frame::Response { id: u32::MAX, body: Body::Borrowed(&[0xc0]) },
            Frame::Error { id: 9, code: ErrorCode(1), message: "".into(), detail: Body::EMPTY },
            Frame::Pong { nonce: 1 },
        ] {
            let mut peer = RawPeer::open(&scene.url).await;
            peer.say(&[frame]).await;
            scene.verdict(peer, ErrorCode::PROTOCOL).await;
        }
        // To one that was asked it is fine, once.
        let mut peer = RawPeer::open(&scene.url).await;
        let there = scene
            .server
            .sessions()
            .into_iter()
            .find(|session| session.peer().agent.as_ref() == "raw");
        let there = there.unwrap();
        let call = tokio::spawn(async move { there.request(Ask { number: 1 }).await });
        assert!(matches!(peer.hear().await, Said::Other(text) if text.starts_with("Request")));
        let answer = || Frame::Response { id: 0, body: Body::Borrowed(&[0x91, 0x2a]) };
        peer.say(&[answer()]).await;
        assert_eq!(within(call).await.unwrap().unwrap().number, 42);
        peer.say(&[answer()]).await;
        scene.verdict(peer, ErrorCode::PROTOCOL).await;
    });
}

#[test]
fn a_number_in_use_or_above_the_limit_ends_the_session() {
    on_both(async |mut scene| {
        let late = || request::<Late>(5, &[0x91, 0x01]);
        let mut peer = RawPeer::open(&scene.url).await;
        peer.say(&[late(), late()]).await;
        scene.verdict(peer, ErrorCode::PROTOCOL).await;
        // A cancelled call keeps its number until it is answered.
        let mut peer = RawPeer::open(&scene.url).await;
        peer.say(&[late(), Frame::Cancel { id: 5 }]).await;
        assert_eq!(peer.hear().await, Said::Error(5, ErrorCode::CANCELLED));
        peer.say(&[late(), Frame::Cancel { id: 5 }, Frame::Cancel { id: 15 }]).await;
        assert_eq!(peer.hear().await, Said::Error(5, ErrorCode::CANCELLED));
        // Sixteen fit, the seventeenth was told not to come.
        let all: Vec<_> = (0..16).map(|id| request::<Late>(id, &[0x91, 0x01])).collect();
        peer.say(&all).await;
        peer.say(&[Frame::Ping { nonce: 1 }]).await;
        assert!(matches!(peer.hear().await, Said::Other(text) if text.starts_with("Pong")));
        peer.say(&[request::<Late>(16, &[0x91, 0x01])]).await;
        scene.verdict(peer, ErrorCode::FLOW).await;
    });
}

//= docs/PROTOCOL.md#8
#[test]
fn a_flood_above_the_initiation_window_ends_its_session_alone() {
    run(async {
        let window = 64 * 1024;
        let settings = Settings { initiation_window: window, ..Settings::default() };
        let mut scene = Scene::with("msgpack", settings).await;
        let (_, cost) = notes(1);
        let fit = usize::try_from(window / cost).unwrap();
        // In one record, so that there is no telling of more credit in between.
        let mut peer = RawPeer::open(&scene.url).await;
        for _ in 0..3 {
            peer.say_bytes(&notes(fit).0).await;
            for _ in 0..fit {
                assert_eq!(scene.notes.next().await, 7);
            }
        }
        scene.peer_goes_on(&mut peer).await;
        let mut flood = RawPeer::open(&scene.url).await;
        flood.say_bytes(&notes(fit + 1).0).await;
        scene.verdict(flood, ErrorCode::FLOW).await;
        assert_eq!(scene.notes.so_far().len(), fit, "what there was credit for was taken");
        scene.peer_goes_on(&mut peer).await;
    });
}

#[test]
fn a_window_above_the_largest_ends_the_session() {
    on_both(async |mut scene| {
        let mut peer = RawPeer::open(&scene.url).await;
        peer.say(&[Frame::Credit { stream: 0, total: u64::MAX }]).await;
        scene.verdict(peer, ErrorCode::FLOW).await;
    });
}

#[test]
fn who_only_takes_back_what_it_asks_is_told_to_calm_down() {
    on_both(async |mut scene| {
        let mut peer = RawPeer::open(&scene.url).await;
        // Neither is ever answered well, and a bucket of a thousand runs empty.
        let cancels: Vec<_> = (0..500).map(|_| Frame::Cancel { id: 1 }).collect();
        for _ in 0..3 {
            peer.say(&cancels).await;
        }
        scene.verdict(peer, ErrorCode::CALM).await;
    });
}
