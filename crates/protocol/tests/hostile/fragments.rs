//! Messages in pieces, and everything that can be wrong with them.

use moorline_buffers::{RecvPool, RecvPoolConfig};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{
    Body, CloseReason, Cost, ErrorCode, Frame, Kind, MessageIndex, Meta, Refused, RefusedKind,
};
use proptest::prelude::{ProptestConfig, Strategy};

use crate::support::{Chunks, Pair, local, pattern, told};

/// A FRAG with X: the first of a message.
fn first(fid: u8, ty: u8, total: u32, chunk: &[u8]) -> Vec<u8> {
    let mut payload = vec![fid, ty, 0xce];
    payload.extend(total.to_be_bytes());
    payload.extend(chunk);
    unit(0x51, &payload)
}

fn later(fid: u8, chunk: &[u8]) -> Vec<u8> {
    unit(0x11, &[&[fid], chunk].concat())
}

fn abort(fid: u8) -> Vec<u8> {
    unit(0x12, &[fid])
}

fn unit(ty: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0xc8, len[0], len[1], ty], payload].concat()
}

/// A pair whose listener takes messages of 64 KiB only.
fn pair() -> Pair {
    let mut listener = local(2);
    listener.settings.message_max = 64 * 1024;
    let mut pair = Pair::with(Msgpack::plain(), local(1), listener);
    pair.settle(Chunks::Whole).unwrap();
    pair
}

fn hear(pair: &mut Pair, units: &[Vec<u8>]) -> Result<Vec<(String, Cost)>, CloseReason> {
    let mut heard = Vec::new();
    let mut keep = |frame: &Frame<'_>, cost| heard.push((told(frame), cost));
    pair.listener.receive(&units.concat(), Chunks::Whole, &mut keep)?;
    Ok(heard)
}

fn verdict(units: &[Vec<u8>]) -> Result<Vec<(String, Cost)>, CloseReason> {
    hear(&mut pair(), units)
}

const POST: u8 = 0x00;
const REQUEST: u8 = 0x01;
const RESPONSE: u8 = 0x02;
const ERROR: u8 = 0x03;
const DATA: u8 = 0x06;
const PUBLISH: u8 = 0x0d;
/// The flag X.
const X: u8 = 0x40;

//= docs/PROTOCOL.md#8
#[test]
fn messages_of_both_groups_come_together_from_interleaved_pieces() {
    let units = [
        first(0, POST, 4, b"\x01a"),
        first(8, RESPONSE, 3, b"\x07x"),
        first(7, REQUEST, 5, b"\x09\x02b"),
        later(0, b"b"),
        later(8, b"y"),
        first(15, ERROR, 8, b"\x01\x00"),
        later(7, b"cd"),
        later(15, b"\xa3no"),
        later(0, b"c"),
        later(15, b"!\x91\x05"),
    ];
    let heard = verdict(&units).unwrap();
    let texts: Vec<_> =
        heard.iter().map(|(text, _)| text.as_str()).filter(|text| *text != "Partial").collect();
    assert_eq!(texts.len(), 4);
    assert!(texts[0].starts_with("response 7 [78, 79]"), "{texts:?}");
    assert!(texts[1].starts_with("request 9") && texts[1].ends_with("[62, 63, 64]"));
    assert!(texts[2].starts_with("post") && texts[2].ends_with("[61, 62, 63]"));
    assert_eq!(texts[3], "error 1 APPLICATION (0) \"no!\" [91, 05]");
    let exempt = [1, 4, 5, 7, 9];
    for (at, ((_, cost), expected)) in heard.iter().zip(costs(&units)).enumerate() {
        let expected = Cost::Session(expected);
        assert_eq!(*cost, if exempt.contains(&at) { Cost::Exempt } else { expected }, "unit {at}");
    }
}

/// What each unit costs, whatever it takes it of.
fn costs(units: &[Vec<u8>]) -> impl Iterator<Item = u64> {
    units.iter().map(|unit| unit.len() as u64 + 32)
}

//= docs/PROTOCOL.md#8
#[test]
fn pieces_of_data_take_of_their_stream_and_pieces_of_publish_of_the_session() {
    let units = [
        first(5, DATA | X, 6, b"\xcc\xc8ab"),
        first(0, PUBLISH | X, 5, b"\x07\x02x"),
        first(6, DATA, 3, b"\x03"),
        later(0, b"yz"),
        later(6, b"rs"),
        later(5, b"c"),
        later(5, b"d"),
    ];
    let heard = verdict(&units).unwrap();
    let texts: Vec<_> = heard.iter().map(|(text, _)| text.as_str()).collect();
    let publish = "publish 7 Known(MessageIndex(1)) retained=true [78, 79, 7a]";
    assert_eq!(
        texts,
        [
            "Piece { missing: 2 }",
            "Partial",
            "Piece { missing: 2 }",
            publish,
            "data 3 acknowledge=false [72, 73]",
            "Piece { missing: 1 }",
            "data 200 acknowledge=true [61, 62, 63, 64]",
        ]
    );
    let of = [Some(200), None, Some(3), None, Some(3), Some(200), Some(200)];
    for ((cost, of), (_, heard)) in costs(&units).zip(of).zip(heard) {
        assert_eq!(heard, of.map_or(Cost::Session(cost), |of| Cost::Stream(of, cost)));
    }
}

//= docs/PROTOCOL.md#9
#[test]
fn broken_rules_of_fragments_are_violations() {
    let open = || first(0, POST, 9, b"\x01a");
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("a piece of nothing", vec![later(0, b"a")]),
        ("an end of nothing", vec![abort(0)]),
        ("an end with more behind", vec![open(), unit(0x12, &[0, 0])]),
        ("an end with a flag", vec![open(), unit(0x52, &[0])]),
        ("a number above 15", vec![first(16, POST, 9, b"\x01a")]),
        ("a number in use", vec![open(), open()]),
        ("an answer among initiations", vec![first(0, RESPONSE, 9, b"\x01a")]),
        ("an initiation among answers", vec![first(8, POST, 9, b"\x01a")]),
        ("an empty first piece", vec![first(0, POST, 9, b"")]),
        ("an empty later piece", vec![open(), later(0, b"")]),
        ("a total of nothing", vec![first(0, POST, 0, b"\x01")]),
        ("a first piece beyond the total", vec![first(0, POST, 1, b"\x01a")]),
        ("a later piece beyond the total", vec![open(), later(0, b"12345678")]),
        ("a piece after the last", vec![open(), later(0, b"1234567"), later(0, b"8")]),
        ("ids that are cut in two", vec![first(0, POST, 9, b"\xcd\x01")]),
        ("metadata that are cut in two", vec![first(0, 0x20, 9, b"\x01\x81\x00\xcd\x05")]),
        ("OPEN in pieces", vec![first(0, 0x05, 9, b"\x02\x01\x00a")]),
        ("FRAG in pieces", vec![first(0, 0x51, 9, b"\x02\x01\x00a")]),
        ("CLOSE in pieces", vec![first(0, 0x14, 9, b"\x00\xa7a")]),
        ("CREDIT in pieces", vec![first(8, 0x09, 9, b"\x00\xce")]),
        ("a type with the sign bit", vec![unit(0x51, b"\x00\xcc\x80\x09\x01a")]),
        ("a type beyond a byte", vec![unit(0x51, b"\x00\xcd\x01\x00\x09\x01a")]),
        ("a flag the type has no meaning for", vec![first(0, 0x40, 9, b"\x01a")]),
        ("DATA of the connection", vec![first(0, DATA, 9, b"\x00a")]),
        ("DATA of number 1", vec![first(0, DATA, 9, b"\x01a")]),
        ("DATA among answers", vec![first(8, DATA, 9, b"\x02a")]),
        ("DATA with metadata", vec![first(0, DATA | 0x20, 9, b"\x02\x80a")]),
        ("PUBLISH among answers", vec![first(15, PUBLISH, 9, b"\x01\x01a")]),
        ("PUBLISH of no type", vec![first(0, PUBLISH, 9, b"\x01\x00a")]),
        ("SUBSCRIBE in pieces", vec![first(0, 0x0b, 9, b"\x05\x01\xa6a")]),
        ("END in pieces", vec![first(0, 0x07, 9, b"\x02a")]),
        ("RESET in pieces", vec![first(0, 0x08, 9, b"\x02\x00a")]),
        ("ACK in pieces", vec![first(0, 0x0a, 9, b"\x02\xcd")]),
        (
            "SUBSCRIBE with the number of a request in pieces",
            vec![first(0, REQUEST, 9, b"\x09\x02a"), unit(0x0b, b"\x09\x01\xa1t")],
        ),
        (
            "a request with the number of one in pieces",
            vec![first(0, REQUEST, 9, b"\x09\x02a"), unit(0x01, b"\x09\x02\xc0")],
        ),
        (
            "two requests in pieces with one number",
            vec![first(0, REQUEST, 9, b"\x09\x02a"), first(1, REQUEST, 9, b"\x09\x02a")],
        ),
        ("a FRAG without a total", vec![unit(0x51, b"\x00\x00")]),
        ("a FRAG of nothing", vec![unit(0x51, b"")]),
    ];
    for (what, units) in cases {
        match verdict(&units) {
            Err(CloseReason::Violation(violation)) => {
                assert_eq!(violation.code, ErrorCode::PROTOCOL, "{what}");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
}

fn refusal(what: RefusedKind, code: ErrorCode, size: u64) -> String {
    told(&Frame::Refused(Refused { what, code, size, limit: 64 * 1024 }))
}

//= docs/PROTOCOL.md#9
#[test]
fn what_is_above_the_largest_message_is_refused_and_the_rest_skipped() {
    let big = 100_000;
    let chunk = pattern(60_000);
    let request =
        [first(0, REQUEST, big, &[&[9, 2], &chunk[..]].concat()), later(0, &chunk[..39_998])];
    let heard = verdict(&request).unwrap();
    let what = RefusedKind::Request { id: 9 };
    assert_eq!(heard[0].0, refusal(what, ErrorCode::TOO_LARGE, 99_998));
    assert_eq!(heard[1].0, "Partial", "answered once");
    let taken: Vec<_> = heard.iter().map(|(_, cost)| *cost).collect();
    assert_eq!(taken, costs(&request).map(Cost::Session).collect::<Vec<_>>());
    let post = [first(0, POST, big, &[&[2], &chunk[..]].concat()), later(0, &chunk[..39_999])];
    let heard = verdict(&post).unwrap();
    assert_eq!(heard[0].0, refusal(RefusedKind::Post, ErrorCode::TOO_LARGE, 99_999));
    // A response is only over when it has come to its end.
    let response =
        [first(8, RESPONSE, big, &[&[9], &chunk[..]].concat()), later(8, &chunk[..39_999])];
    let heard = verdict(&response).unwrap();
    assert_eq!(heard[0].0, "Partial");
    let what = RefusedKind::Response { id: 9 };
    assert_eq!(heard[1], (refusal(what, ErrorCode::TOO_LARGE, 99_999), Cost::Exempt));
    // The number is free again, and the next message is welcome.
    let mut pair = pair();
    hear(&mut pair, &request).unwrap();
    let heard = hear(&mut pair, &[first(0, POST, 2, b"\x01"), later(0, b"\xc0")]).unwrap();
    assert!(heard[1].0.starts_with("post"), "{heard:?}");
    assert_eq!(pair.listener.local.recv.stats().in_use, 1);
}

//= docs/PROTOCOL.md#9
#[test]
fn memory_grows_with_what_arrived_never_with_what_was_announced() {
    let mut pair = Pair::open(Msgpack::plain());
    let before = pair.listener.local.recv.stats().in_use_bytes;
    let total = 15 * 1024 * 1024;
    let units: Vec<_> = (0..2).map(|fid| first(fid, POST, total, b"\x01abc")).collect();
    hear(&mut pair, &units).unwrap();
    let held = pair.listener.local.recv.stats().in_use_bytes - before;
    assert!(held <= 2 * 256, "{held} bytes for 6");
    let chunk = pattern(50_000);
    for _ in 0..10 {
        hear(&mut pair, &[later(0, &chunk)]).unwrap();
    }
    let held = pair.listener.local.recv.stats().in_use_bytes - before;
    assert!(held <= 4 * 500_000, "{held} bytes for 500,000");
}

//= docs/PROTOCOL.md#8
#[test]
fn no_more_than_twice_the_largest_message_is_on_its_way_in_a_group() {
    let total = 64 * 1024;
    let mut pair = pair();
    let two: Vec<_> = (0..2).map(|fid| first(fid, POST, total, b"\x01a")).collect();
    hear(&mut pair, &two).unwrap();
    hear(&mut pair, &[first(8, RESPONSE, total, b"\x01a")]).unwrap();
    hear(&mut pair, &[first(2, POST, 3, b"\x01a")]).unwrap();
    let verdict = hear(&mut pair, &[first(3, POST, 5, b"\x01a")]);
    let Err(CloseReason::Violation(violation)) = verdict else { panic!("{verdict:?}") };
    assert_eq!((violation.section, violation.code), (8, ErrorCode::PROTOCOL));
}

//= docs/PROTOCOL.md#6
#[test]
fn a_message_taken_back_never_was_but_a_request_is_answered() {
    let units = [first(0, REQUEST, 100, b"\x09\x02a"), abort(0)];
    let cancelled = refusal(RefusedKind::Request { id: 9 }, ErrorCode::CANCELLED, 98);
    assert_eq!(verdict(&units).unwrap()[1], (cancelled, Cost::Exempt));
    for (fid, ty) in [(0, POST), (8, RESPONSE)] {
        let units = [first(fid, ty, 100, b"\x09\x02a"), abort(fid), first(fid, ty, 2, b"\x01\xc0")];
        let heard = verdict(&units).unwrap();
        assert_eq!(heard[1], ("Partial".to_owned(), Cost::Exempt));
        assert!(heard[2].0.ends_with("[c0]"), "the number is free again: {heard:?}");
    }
    let big = [first(0, REQUEST, 1 << 20, b"\x09\x02a"), abort(0)];
    assert_eq!(verdict(&big).unwrap()[1].0, "Partial", "it was answered already");
}

//= docs/PROTOCOL.md#9
#[test]
fn data_and_publish_are_refused_once_and_take_of_their_window_all_the_same() {
    let chunk = pattern(60_000);
    let (stream, alias) = (4, 7);
    let cases = [
        (DATA, &b"\x04"[..], RefusedKind::Data { stream }, Some(stream)),
        (PUBLISH, b"\x07\x01", RefusedKind::Publish { alias }, None),
    ];
    for (ty, ids, what, of) in cases {
        let size = 100_000 - ids.len() as u64;
        let units = [
            first(3, ty, 100_000, &[ids, &chunk[..]].concat()),
            later(3, &chunk[..100_000 - ids.len() - 60_000]),
        ];
        let heard = verdict(&units).unwrap();
        assert_eq!(heard[0].0, refusal(what, ErrorCode::TOO_LARGE, size));
        assert_eq!(heard[1].0, "Partial");
        for ((_, heard), cost) in heard.into_iter().zip(costs(&units)) {
            assert_eq!(heard, of.map_or(Cost::Session(cost), |of| Cost::Stream(of, cost)));
        }
        let units = [first(3, ty, 100, &[ids, b"abc"].concat()), abort(3)];
        let taken_back = refusal(what, ErrorCode::CANCELLED, 100 - ids.len() as u64);
        assert_eq!(verdict(&units).unwrap()[1], (taken_back, Cost::Exempt));
        let units = [first(3, ty, 1 << 20, &[ids, b"abc"].concat()), abort(3)];
        assert_eq!(verdict(&units).unwrap()[1].0, "Partial", "it was refused already");
    }
}

#[test]
fn want_of_buffers_refuses_data_once() {
    let mut listener = local(2);
    let in_use_bytes_max = 3 * 64 * 1024;
    listener.recv = RecvPool::new(RecvPoolConfig { in_use_bytes_max, ..RecvPoolConfig::default() });
    let mut pair = Pair::with(Msgpack::plain(), local(1), listener);
    pair.settle(Chunks::Whole).unwrap();
    let chunk = pattern(50_000);
    let mut units = vec![first(6, DATA, 300_001, &[&[9], &chunk[..]].concat())];
    units.extend((0..5).map(|_| later(6, &chunk)));
    units.push(first(6, DATA, 2, b"\x09\xc0"));
    let heard = hear(&mut pair, &units).unwrap();
    let refused: Vec<_> = heard.iter().filter(|(text, _)| text.contains("OVERLOADED")).collect();
    assert!(refused.len() == 1 && refused[0].0.contains("Data { stream: 9 }"), "{heard:?}");
    assert_eq!(heard.last().unwrap().0, "data 9 acknowledge=false [c0]");
    assert!(heard.iter().all(|(_, cost)| matches!(cost, Cost::Stream(9, _))), "{heard:?}");
}

#[test]
fn want_of_buffers_refuses_the_message_and_not_the_connection() {
    let mut listener = local(2);
    let in_use_bytes_max = 3 * 64 * 1024;
    listener.recv = RecvPool::new(RecvPoolConfig { in_use_bytes_max, ..RecvPoolConfig::default() });
    let mut pair = Pair::with(Msgpack::plain(), local(1), listener);
    pair.settle(Chunks::Whole).unwrap();
    let chunk = pattern(50_000);
    let mut units = vec![first(0, REQUEST, 300_002, &[&[9, 2], &chunk[..]].concat())];
    units.extend((0..5).map(|_| later(0, &chunk)));
    units.push(first(0, POST, 2, b"\x01\xc0"));
    let heard = hear(&mut pair, &units).unwrap();
    let refused: Vec<_> = heard.iter().filter(|(text, _)| text.contains("OVERLOADED")).collect();
    assert_eq!(refused.len(), 1, "{heard:?}");
    assert!(heard.last().unwrap().0.starts_with("post"));
    // The same where it is the last piece that finds no room.
    let units = [
        first(0, REQUEST, 100_002, &[&[9, 2], &chunk[..]].concat()),
        later(0, &chunk),
        first(0, POST, 2, b"\x01\xc0"),
    ];
    let heard = hear(&mut pair, &units).unwrap();
    assert!(heard[1].0.contains("OVERLOADED") && heard[2].0.starts_with("post"), "{heard:?}");
}

/// A message of a model peer: its number among fragments, and its body in pieces.
#[derive(Debug, Clone)]
struct Sent {
    fid: u8,
    pieces: Vec<Vec<u8>>,
}

impl Sent {
    /// Its id, and its type where it has one. Types are numbered from 1, streams from 2.
    fn id(&self) -> u8 {
        self.fid + 2
    }

    /// What it is, and the ids it begins with.
    fn head(&self) -> (u8, Vec<u8>) {
        let id = self.id();
        match self.fid {
            8.. => (RESPONSE, vec![id]),
            fid if fid % 3 == 0 => (POST, vec![id]),
            fid if fid % 3 == 1 => (DATA | X, vec![id]),
            _ => (PUBLISH, vec![id, id]),
        }
    }

    /// Its units in order.
    fn units(&self) -> Vec<Vec<u8>> {
        let (ty, ids) = self.head();
        let total = ids.len() + self.pieces.iter().map(Vec::len).sum::<usize>();
        let mut units = Vec::new();
        for (at, piece) in self.pieces.iter().enumerate() {
            units.push(if at == 0 {
                let chunk = [&ids, &piece[..]].concat();
                first(self.fid, ty, u32::try_from(total).unwrap(), &chunk)
            } else {
                later(self.fid, piece)
            });
        }
        units
    }

    fn told(&self) -> String {
        let bytes = self.pieces.concat();
        let body = Body::Borrowed(&bytes);
        let id = u32::from(self.id());
        let kind = match id {
            2 | 3 => Kind::Known(MessageIndex::new(id - 1)),
            tid => Kind::Unknown { tid, hash: None },
        };
        told(&match self.head().0 {
            POST => Frame::Post { kind, meta: Meta::default(), body },
            PUBLISH => Frame::Publish { alias: id.into(), kind, body, retained: false },
            RESPONSE => Frame::Response { id, body },
            _ => Frame::Data { stream: id, body, acknowledge: true },
        })
    }
}

fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let piece = proptest::collection::vec(proptest::num::u8::ANY, 1..300);
    let pieces = proptest::collection::vec(piece, 1..6);
    proptest::collection::btree_map(0_u8..16, pieces, 1..16)
        .prop_map(|all| all.into_iter().map(|(fid, pieces)| Sent { fid, pieces }).collect())
}

fn is_part(text: &str) -> bool {
    text == "Partial" || text.starts_with("Piece")
}

proptest::proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn sixteen_messages_in_any_order_of_their_pieces_arrive_whole(
        messages in sent(),
        order in proptest::collection::vec(proptest::num::usize::ANY, 96),
    ) {
        let mut queues: Vec<_> =
            messages.iter().map(|sent| (sent, sent.units().into_iter())).collect();
        let (mut units, mut expected) = (Vec::new(), Vec::new());
        let mut turns = order.into_iter().cycle();
        while !queues.is_empty() {
            let at = turns.next().unwrap() % queues.len();
            let (sent, left) = &mut queues[at];
            units.push(left.next().unwrap());
            if left.len() == 0 {
                expected.push(sent.told());
                queues.remove(at);
            }
        }
        let mut pair = pair();
        let heard = hear(&mut pair, &units).unwrap();
        let whole = heard.into_iter().map(|(text, _)| text).filter(|text| !is_part(text));
        proptest::prop_assert_eq!(whole.collect::<Vec<_>>(), expected);
        proptest::prop_assert_eq!(pair.listener.local.recv.stats().in_use, 1);
    }
}
