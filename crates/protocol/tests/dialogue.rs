//! Two connections back to back: whatever one says, the other hears.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::borrow::Cow;
use std::time::Duration;

use moorline_buffers::SendBuffer;
use moorline_noise::{Suite, Suites};
use moorline_protocol::ProtocolFactory as _;
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{
    Body, Cost, ErrorCode, Frame, Kind, Lane, MessageIndex, Meta, Opening, Overflow,
};
use proptest::prelude::*;
use support::{Chunks, Pair, local, no_frame, pattern, post, registry, request, response, told};

const BOTH: [Msgpack; 2] = [Msgpack::sealed(), Msgpack::plain()];

#[test]
fn a_connection_opens_and_carries_a_post_a_request_and_its_answer() {
    for factory in BOTH {
        let mut pair = Pair::open(factory);
        let wire = pair.dialer.say(&[post(0, b"\x93\x01\x02\x03"), request(9, 1, b"\xa2hi")]);
        let mut heard = Vec::new();
        pair.listener
            .receive(&wire, Chunks::Whole, &mut |frame, cost| heard.push((told(frame), cost)))
            .unwrap();
        let expected = [
            (told(&post(0, b"\x93\x01\x02\x03")), Cost::Session(8 + 32)),
            (told(&request(9, 1, b"\xa2hi")), Cost::Session(8 + 32)),
        ];
        assert_eq!(heard, expected);
        let wire = pair.listener.say(&[response(9, b"\xa2ok")]);
        let mut heard = Vec::new();
        pair.dialer
            .receive(&wire, Chunks::Whole, &mut |frame, cost| heard.push((told(frame), cost)))
            .unwrap();
        assert_eq!(heard, [(told(&response(9, b"\xa2ok")), Cost::Exempt)]);
    }
}

/// One of each frame, in an order in which a peer could say them.
fn one_of_each() -> Vec<Frame<'static>> {
    let meta = Meta {
        deadline: Some(Duration::from_millis(1_500)),
        priority: Some(6),
        idempotent: true,
        attempt: 3,
        trace: Some(Box::new([1; 25])),
        idempotency_key: Some(Box::new([2; 16])),
        codec: 3,
        overflow: Overflow::DropNewest,
        unsupported: None,
    };
    let code = ErrorCode::OVERLOADED;
    let kind = Kind::Known(MessageIndex::new(2));
    let mut frames = vec![
        post(0, b"\xc0"),
        request(300, 1, b"\x93\x01\x02\x03"),
        Frame::Request { id: 7, kind, meta: meta.clone(), body: Body::Borrowed(b"\xc3") },
        response(70_000, b"\xa2ok"),
        Frame::Error {
            id: 1,
            code: ErrorCode::APPLICATION,
            message: Cow::Borrowed("no"),
            detail: Body::Borrowed(b"\x91\x05"),
        },
        Frame::Error { id: 2, code: ErrorCode(77), message: "".into(), detail: Body::EMPTY },
        Frame::Cancel { id: 300 },
        Frame::Credit { stream: 0, total: u64::MAX },
        Frame::Credit { stream: u32::MAX, total: 1 << 20 },
        Frame::Ping { nonce: 1 << 40 },
        Frame::Pong { nonce: 0 },
        Frame::GoAway { code, message: "tired".into(), obeyed: false },
        Frame::GoAway { code: ErrorCode::APPLICATION, message: "".into(), obeyed: true },
    ];
    frames.extend(of_streams(kind, meta.clone()));
    frames.extend(of_topics(kind, meta));
    frames.push(Frame::Close { code: ErrorCode(i32::MIN), message: "bye".into() });
    frames
}

fn of_streams(kind: Kind, meta: Meta) -> [Frame<'static>; 11] {
    let meta = Meta { idempotent: false, ..meta };
    let (stream, other) = (2, 300_001);
    let data =
        |stream, body, acknowledge| Frame::Data { stream, body: Body::Borrowed(body), acknowledge };
    let typed = || Opening::Typed { kind, body: Body::Borrowed(b"\x93\x01\x02\x03") };
    [
        Frame::Open { stream, opening: typed(), credit: 65_536, meta: Meta::default() },
        Frame::Open { stream: 4, opening: typed(), credit: u64::MAX, meta: meta.clone() },
        Frame::Open { stream: other, opening: raw("logs/é"), credit: 0, meta: Meta::default() },
        Frame::Open { stream: u32::MAX, opening: raw(""), credit: 1, meta },
        data(stream, b"\xc0", false),
        data(other, b"any bytes", true),
        data(other, b"", false),
        Frame::Ack { stream, count: u64::MAX },
        Frame::End { stream, trailer: Body::EMPTY },
        Frame::End { stream: other, trailer: Body::Borrowed(b"\x92\x01\xa1x") },
        Frame::Reset { stream: 4, code: ErrorCode::CANCELLED, message: "no more".into() },
    ]
}

fn raw(name: &str) -> Opening<'_> {
    Opening::Raw { name: name.into() }
}

fn of_topics(kind: Kind, meta: Meta) -> [Frame<'static>; 6] {
    let meta = Meta { idempotent: false, ..meta };
    let body = || Body::Borrowed(b"\xc3");
    let topic = || Cow::Borrowed("prices.*");
    let (alias, far) = (1, u64::MAX);
    [
        Frame::Subscribe { id: 5, alias, topic: topic(), retained: false, meta: Meta::default() },
        Frame::Subscribe { id: 6, alias: far, topic: topic(), retained: true, meta },
        Frame::Publish { alias, kind, body: body(), retained: true },
        Frame::Publish { alias: far, kind, body: body(), retained: false },
        Frame::Lagged { alias: far, count: 7 },
        Frame::Unsubscribe { alias: far },
    ]
}

#[test]
fn every_frame_arrives_as_it_was_said_both_ways() {
    for factory in BOTH {
        let mut pair = Pair::open(factory);
        let frames = one_of_each();
        let expected: Vec<_> = frames.iter().map(told).collect();
        for _ in 0..2 {
            let wire = pair.dialer.say(&frames);
            let mut heard = Vec::new();
            pair.listener
                .receive(&wire, Chunks::Whole, &mut |frame, _| heard.push(told(frame)))
                .unwrap();
            assert_eq!(heard, expected);
            assert!(pair.listener.input.is_empty(), "an idle connection holds no bytes");
            std::mem::swap(&mut pair.dialer, &mut pair.listener);
        }
    }
}

#[test]
fn both_sides_know_the_same_of_each_other() {
    for factory in BOTH {
        let pair = Pair::open(factory);
        let (dialer, listener) =
            (pair.dialer.opened.as_ref().unwrap(), pair.listener.opened.as_ref().unwrap());
        assert_eq!(dialer.peer.binding, listener.peer.binding);
        assert_eq!(dialer.peer.suite, listener.peer.suite);
        assert_eq!(&*dialer.peer.agent, "test 2");
        assert_eq!(dialer.limits.message_max, 16 * 1024 * 1024);
        assert_eq!(dialer.limits.in_flight_max, 4_096);
        assert_eq!(dialer.limits.timeout, Some(Duration::from_secs(30)));
        assert_eq!((dialer.told, dialer.types.count(), dialer.block_max), (3, 3, 65_516));
        assert_eq!(dialer.types.handled(MessageIndex::new(1)), Some(true));
        assert!(dialer.peer.listed.is_none() && listener.peer.listed.is_some());
        assert!(pair.dialer.protocol.deadline().is_none(), "patience is for handshakes");
        if factory.authenticates() {
            let key = |local: &moorline_protocol::Local| local.identity.as_ref().unwrap().public();
            assert_eq!(dialer.peer.key, Some(key(&pair.listener.local)));
            assert_eq!(listener.peer.key, Some(key(&pair.dialer.local)));
            assert_ne!(dialer.peer.binding, [0; 32]);
        } else {
            assert_eq!((dialer.peer.key, dialer.peer.suite), (None, "none"));
        }
    }
}

#[test]
fn every_suite_opens() {
    for suite in Suite::ALL {
        let mut ends = [local(1), local(2)];
        ends.iter_mut().for_each(|local| local.suites = Suites::only(&[suite]));
        let [dialer, listener] = ends;
        let remote = Some(listener.identity.as_ref().unwrap().public());
        let now = std::time::Instant::now();
        let mut pair = Pair {
            dialer: support::End::initiator(Msgpack::sealed(), dialer, remote, now),
            listener: support::End::responder(
                Msgpack::sealed(),
                listener,
                moorline_noise::Peers::anonymous(),
                now,
            ),
        };
        pair.settle(Chunks::Of(7)).unwrap();
        let opened = pair.listener.opened.as_ref().unwrap();
        assert_eq!(opened.peer.suite, suite.name());
        assert_eq!(opened.peer.key.is_some(), suite.initiator_has_key());
        let wire = pair.dialer.say(&[post(0, b"\xc0")]);
        let mut heard = 0;
        pair.listener.receive(&wire, Chunks::Whole, &mut |_, _| heard += 1).unwrap();
        assert_eq!(heard, 1);
    }
}

#[test]
fn ten_mebibytes_arrive_in_pieces_that_cost_what_they_were_said_to() {
    for factory in BOTH {
        let body = pattern(10 * 1024 * 1024);
        let mut pair = Pair::open(factory);
        let wire = pair.dialer.say(&[request(1, 1, &body)]);
        let (mut heard, mut cost) = (Vec::new(), 0);
        pair.listener
            .receive(&wire, Chunks::Whole, &mut |frame, of_frame| {
                let Cost::Session(of_frame) = of_frame else { panic!("{of_frame:?}") };
                cost += of_frame;
                match frame {
                    Frame::Partial | Frame::Piece { .. } => assert!(of_frame > 0),
                    other => heard.push(told(other)),
                }
            })
            .unwrap();
        assert_eq!(heard, [told(&request(1, 1, &body))]);
        let said = pair.dialer.opened.as_ref().unwrap().encoder.cost(body.len());
        assert!(cost <= said && said < cost + 256, "{cost} of {said}");
        let wire = pair.listener.say(&[response(1, &body)]);
        let mut heard = Vec::new();
        pair.dialer
            .receive(&wire, Chunks::Of(50_000), &mut |frame, cost| {
                assert_eq!(cost, Cost::Exempt, "answers are exempt");
                if !matches!(frame, Frame::Partial | Frame::Piece { .. }) {
                    heard.push(told(frame));
                }
            })
            .unwrap();
        assert_eq!(heard, [told(&response(1, &body))]);
        assert_eq!(pair.dialer.local.recv.stats().in_use, 1, "only the input is held");
    }
}

#[test]
fn small_records_are_kept_to() {
    for factory in BOTH {
        let mut listener = local(2);
        listener.settings.record_log2 = 12;
        let mut pair = Pair::with(factory, local(1), listener);
        pair.settle(Chunks::Whole).unwrap();
        assert_eq!(pair.dialer.opened.as_ref().unwrap().block_max, 4_096);
        let body = pattern(50_000);
        let wire = pair.dialer.say(&[post(0, &body), post(1, b"\xc0")]);
        let mut heard = Vec::new();
        pair.listener
            .receive(&wire, Chunks::Whole, &mut |frame, _| {
                if !matches!(frame, Frame::Partial | Frame::Piece { .. }) {
                    heard.push(told(frame));
                }
            })
            .unwrap();
        assert_eq!(heard, [told(&post(0, &body)), told(&post(1, b"\xc0"))]);
    }
}

/// What the dialer says in `Chunks::Whole`, and what it says in other chunks, as one list.
fn transcript(factory: Msgpack, chunks: Chunks) -> Vec<(String, Cost)> {
    let mut dialer = local(1);
    dialer.registry = registry(&[2, 0, 4]);
    let mut pair = Pair::with(factory, dialer, local(2));
    pair.settle(chunks).unwrap();
    let body = pattern(40_000);
    let mut frames = vec![post(1, &body)];
    frames.extend(one_of_each());
    let mut wire = pair.dialer.say(&frames[..5]);
    wire.extend(pair.dialer.say(&frames[5..]));
    let mut heard = Vec::new();
    pair.listener
        .receive(&wire, chunks, &mut |frame, cost| heard.push((told(frame), cost)))
        .unwrap();
    heard
}

#[test]
fn bytes_one_at_a_time_make_the_same_frames() {
    for factory in BOTH {
        assert_eq!(transcript(factory, Chunks::Of(1)), transcript(factory, Chunks::Whole));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn any_split_makes_the_same_frames(seed: u64, max in 2_usize..20_000, plain: bool) {
        let factory = BOTH[usize::from(plain)];
        let split = transcript(factory, Chunks::Random(seed, max));
        prop_assert_eq!(split, transcript(factory, Chunks::Whole));
    }
}

#[test]
fn peers_with_different_types_understand_each_other_by_name() {
    for factory in BOTH {
        let (mut dialer, mut listener) = (local(1), local(2));
        dialer.registry = registry(&[3, 1, 0]);
        listener.registry = registry(&[0, 1, 2]);
        let mut pair = Pair::with(factory, dialer, listener);
        pair.settle(Chunks::Whole).unwrap();
        let wire = pair.dialer.say(&[post(0, b"\xc0"), post(1, b"\xc0"), post(2, b"\xc0")]);
        let mut kinds = Vec::new();
        let mut hear = |frame: &Frame<'_>, _| match frame {
            Frame::Post { kind, .. } => kinds.push(*kind),
            other => panic!("{other:?}"),
        };
        pair.listener.receive(&wire, Chunks::Whole, &mut hear).unwrap();
        let hash = Some(support::TYPES[3].hash());
        assert_eq!(
            kinds,
            [
                Kind::Unknown { tid: 1, hash },
                Kind::Known(MessageIndex::new(1)),
                Kind::Known(MessageIndex::new(0)),
            ]
        );
        let types = &pair.dialer.opened.as_ref().unwrap().types;
        let handled: Vec<_> = (0..3).map(|at| types.handled(MessageIndex::new(at))).collect();
        assert_eq!(handled, [Some(false), Some(true), Some(true)]);
    }
}

#[test]
fn a_side_without_any_type_is_told_and_tells_so() {
    for factory in BOTH {
        let mut dialer = local(1);
        dialer.registry = registry(&[]);
        let mut pair = Pair::with(factory, dialer, local(2));
        pair.settle(Chunks::Of(100)).unwrap();
        assert_eq!(pair.listener.opened.as_ref().unwrap().types.count(), 0);
        assert_eq!(pair.dialer.opened.as_ref().unwrap().types.count(), 3);
    }
}

#[test]
fn thousands_of_types_are_told_in_several_units_of_small_records() {
    let many = moorline_protocol::MessageRegistry::empty();
    for number in 0..4_000 {
        let name: &'static str = Box::leak(format!("test.Many{number}").into_boxed_str());
        let registration = moorline_protocol::Registration::new(name, false, file!(), line!());
        many.add(Box::leak(Box::new(registration))).unwrap();
    }
    for factory in BOTH {
        let (mut dialer, mut listener) = (local(1), local(2));
        dialer.registry = many.clone();
        listener.settings.record_log2 = 12;
        let mut pair = Pair::with(factory, dialer, listener);
        pair.settle(Chunks::Of(999)).unwrap();
        assert_eq!(pair.listener.opened.as_ref().unwrap().types.count(), 4_000);
        assert_eq!(pair.dialer.opened.as_ref().unwrap().told, 4_000);
    }
}

#[test]
fn types_and_handlers_that_come_later_are_announced() {
    for factory in BOTH {
        let mut pair = Pair::open(factory);
        let registry = pair.dialer.local.registry.clone();
        registry.add(&support::TYPES[5]).unwrap();
        pair.listener.local.registry.add(&support::TYPES[4]).unwrap();
        pair.listener.local.registry.add(&support::TYPES[5]).unwrap();
        let mut handled = moorline_protocol::HandledTypes::new();
        handled.insert(MessageIndex::new(3));
        let mut chain = SendBuffer::new(&pair.dialer.local.blocks);
        let encoder = pair.dialer.opened.as_ref().unwrap().encoder.clone();
        assert_eq!(encoder.announce(3, &handled, &mut chain), Ok(4));
        assert_eq!(encoder.announce(4, &handled.with_any(true), &mut chain), Ok(4));
        encoder.encode(&post(3, b"\xc0"), Lane::Normal, &mut chain).unwrap();
        let wire = pair.dialer.seal(chain);
        let (mut tables, mut kinds) = (Vec::new(), Vec::new());
        pair.listener
            .receive(&wire, Chunks::Whole, &mut |frame, cost| match frame {
                Frame::Types(types) => {
                    assert_eq!(cost, Cost::Exempt);
                    tables.push(types.clone());
                }
                Frame::Post { kind, .. } => kinds.push(*kind),
                other => panic!("{other:?}"),
            })
            .unwrap();
        assert_eq!(kinds, [Kind::Known(MessageIndex::new(4))]);
        let of = |at| {
            move |table: &std::sync::Arc<moorline_protocol::PeerTypes>| {
                table.handled(MessageIndex::new(at))
            }
        };
        assert_eq!(tables.iter().map(of(4)).collect::<Vec<_>>(), [Some(true), None]);
        assert_eq!(tables.iter().map(of(0)).collect::<Vec<_>>(), [Some(false), None]);
    }
}

#[test]
fn the_wire_after_the_handshake_is_records_and_tells_nothing() {
    let mut pair = Pair::open(Msgpack::sealed());
    let secret = b"\xd9\x20nobody may read this on the wire";
    let wire = pair.dialer.say(&[post(0, secret)]);
    assert_eq!((wire[0], wire[3]), (0xc8, 0x1f));
    assert_eq!(usize::from(u16::from_be_bytes([wire[1], wire[2]])) + 4, wire.len());
    assert!(!wire.windows(8).any(|window| secret.windows(8).any(|part| part == window)));
    let mut plain = Pair::open(Msgpack::plain());
    let wire = plain.dialer.say(&[post(0, secret)]);
    assert_eq!(wire[4..], *secret);
}

#[test]
fn a_parked_connection_goes_on() {
    for factory in BOTH {
        let mut pair = Pair::open(factory);
        for _ in 0..3 {
            pair.listener.protocol.park();
            pair.dialer.opened.as_mut().unwrap().sealing.park();
            let wire = pair.dialer.say(&[post(0, b"\xc0")]);
            let mut heard = 0;
            pair.listener.receive(&wire, Chunks::Whole, &mut |_, _| heard += 1).unwrap();
            assert_eq!(heard, 1);
        }
    }
}

#[test]
fn what_a_side_allows_is_what_the_other_hears() {
    let mut listener = local(2);
    listener.settings.stream_window = 100_000;
    listener.settings.streams_max = 9;
    let mut pair = Pair::with(Msgpack::sealed(), local(1), listener);
    pair.settle(Chunks::Whole).unwrap();
    let limits = pair.dialer.opened.as_ref().unwrap().limits;
    assert_eq!((limits.stream_window, limits.streams_max), (100_000, 9));
    let limits = pair.listener.opened.as_ref().unwrap().limits;
    assert_eq!((limits.stream_window, limits.streams_max), (256 * 1024, 128));
}

#[test]
fn what_comes_from_a_later_version_and_can_be_ignored_is() {
    let mut pair = Pair::open(Msgpack::sealed());
    // A unit without a meaning; an ACK of the connection.
    let wire = pair.dialer.seal_raw(b"\xc7\x03\x18abc\xc7\x02\x0a\x00\x07");
    let mut heard = Vec::new();
    pair.listener
        .receive(&wire, Chunks::Whole, &mut |frame, cost| heard.push((told(frame), cost)))
        .unwrap();
    let partial = ("Partial".to_owned(), Cost::Exempt);
    assert_eq!(heard, [partial.clone(), partial]);
    pair.dialer.pull(&mut no_frame).unwrap();
}
