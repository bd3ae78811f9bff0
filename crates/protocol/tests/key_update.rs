//! Keys that change while two connections talk: at any boundary between units, in both directions at
//! once, and as often as a peer may.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use moorline_buffers::{Block, SendBuffer};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{CloseReason, ErrorCode, Frame, Lane};
use support::{Chunks, End, Pair, local, no_frame, pattern, post, request, response, told};

/// KEY_UPDATE as it stands in its record.
const KEY_UPDATE: &[u8] = b"\xc7\x00\x15";

/// That record on the wire: header, unit, tag.
const UPDATE_LEN: usize = 4 + 3 + 16;

/// A second is more than the sixty-fourth part of a minute, so nobody has too many.
const BETWEEN_UPDATES: Duration = Duration::from_secs(1);

/// An open pair that takes records of 4 KiB, so that small messages go in pieces.
fn pair() -> Pair {
    let small = |seed| {
        let mut local = local(seed);
        local.settings.record_log2 = 12;
        local
    };
    let mut pair = Pair::with(Msgpack::sealed(), small(1), small(2));
    pair.settle(Chunks::Whole).unwrap();
    pair
}

/// What is said: small units, and messages of both groups in pieces.
fn conversation(body: &[u8]) -> Vec<Frame<'_>> {
    vec![
        post(0, b"\x01"),
        post(1, body),
        Frame::Ping { nonce: 7 },
        request(3, 2, b"\xa2hi"),
        response(5, body),
        Frame::Credit { stream: 0, total: 1 << 20 },
        post(2, b"\xc0"),
    ]
}

/// Each unit of it by itself, pieces too.
fn units(end: &End, frames: &[Frame<'_>]) -> Vec<Block> {
    let opened = end.opened.as_ref().unwrap();
    let mut units = Vec::new();
    for frame in frames {
        let mut chain = SendBuffer::with_block_max(&end.local.blocks, opened.block_max);
        opened.encoder.encode(frame, Lane::Normal, &mut chain).unwrap();
        units.extend(std::iter::from_fn(|| chain.pop_block()));
    }
    units
}

fn seal(end: &mut End, unit: Block) {
    end.opened.as_mut().unwrap().sealing.seal(unit, &mut end.out).unwrap();
}

/// Changes the key; what goes over the wire for that.
fn renew(end: &mut End) -> Vec<u8> {
    end.opened.as_mut().unwrap().sealing.renew_key(&mut end.out).unwrap();
    let update = end.take_wire();
    assert!(update.is_empty() || update.len() == UPDATE_LEN);
    update
}

fn heard(end: &mut End, wire: &[u8], chunks: Chunks) -> Result<Vec<String>, CloseReason> {
    let mut heard = Vec::new();
    end.receive(wire, chunks, &mut |frame, _| heard.push(told(frame)))?;
    Ok(heard)
}

/// Before which units of the conversation a side changes its key.
type Changes<'a> = &'a dyn Fn(usize) -> bool;

const ALWAYS: Changes<'_> = &|_| true;
const NEVER: Changes<'_> = &|_| false;

/// What came of a conversation.
#[derive(Debug, Default)]
struct Talk {
    /// By the dialer, and by the listener.
    heard: [Vec<String>; 2],
    /// How often a key has changed.
    changes: usize,
}

/// Both sides say everything at the same time, unit by unit: what is under way in both directions
/// crosses.
fn talk(pair: &mut Pair, changes: [Changes<'_>; 2], chunks: Chunks) -> Talk {
    let body = pattern(9_000);
    let frames = conversation(&body);
    let [mut forth, mut back] =
        [&pair.dialer, &pair.listener].map(|end| units(end, &frames).into_iter());
    let mut talk = Talk::default();
    for at in 0..=forth.len() {
        let mut say = |end: &mut End, unit: Option<Block>, changes: Changes<'_>| {
            end.now += BETWEEN_UPDATES;
            let update = if changes(at) { renew(end) } else { Vec::new() };
            talk.changes += update.len() / UPDATE_LEN;
            unit.into_iter().for_each(|unit| seal(end, unit));
            [update, end.take_wire()].concat()
        };
        let there = say(&mut pair.dialer, forth.next(), changes[0]);
        let here = say(&mut pair.listener, back.next(), changes[1]);
        talk.heard[0].extend(heard(&mut pair.dialer, &here, chunks).unwrap());
        talk.heard[1].extend(heard(&mut pair.listener, &there, chunks).unwrap());
    }
    talk
}

/// How many units the conversation has, and what is heard of it without any change of keys.
fn unchanged() -> (usize, [Vec<String>; 2]) {
    let mut pair = pair();
    let talk = talk(&mut pair, [NEVER, NEVER], Chunks::Whole);
    assert_eq!(talk.changes, 0);
    let body = pattern(9_000);
    let frames = conversation(&body);
    let units = units(&pair.dialer, &frames).len();
    assert_eq!(units, frames.len() + 4, "two of the messages are in three pieces each");
    (units, talk.heard)
}

//= docs/PROTOCOL.md#3
#[test]
fn a_key_changes_at_any_boundary_whatever_the_other_direction_does() {
    let (units, expected) = unchanged();
    let mut pair = pair();
    for forth in 0..=units {
        for back in 0..=units {
            let changes: [Changes<'_>; 2] = [&|at| at == forth, &|at| at == back];
            let talk = talk(&mut pair, changes, Chunks::Whole);
            assert_eq!(talk.heard, expected, "before unit {forth} there and {back} back");
            assert!(talk.changes > 0);
        }
    }
}

//= docs/PROTOCOL.md#3
#[test]
fn ten_thousand_changes_of_keys_in_one_connection() {
    let (units, expected) = unchanged();
    let mut pair = pair();
    let mut changes = 0;
    while changes < 10_000 {
        let talk = talk(&mut pair, [ALWAYS, ALWAYS], Chunks::Whole);
        assert_eq!(talk.heard, expected, "after {changes} changes");
        // The boundary behind the last unit is the one before the first of the next round.
        assert!(talk.changes >= 2 * units);
        changes += talk.changes;
    }
}

//= docs/PROTOCOL.md#3
#[test]
fn how_bytes_arrive_does_not_matter_when_keys_change() {
    let (_, expected) = unchanged();
    let exact = [1, UPDATE_LEN - 1, UPDATE_LEN].map(Chunks::Of);
    for chunks in exact.into_iter().chain((0..8).map(|seed| Chunks::Random(seed, 600))) {
        let talk = talk(&mut pair(), [ALWAYS, ALWAYS], chunks);
        assert_eq!(talk.heard, expected, "{chunks:?}");
    }
}

/// A post, and a change of the dialer's key behind it.
fn post_and_renew(pair: &mut Pair) -> Vec<u8> {
    let post = pair.dialer.say(&[post(0, b"\xc0")]);
    [post, renew(&mut pair.dialer)].concat()
}

//= docs/PROTOCOL.md#3
#[test]
fn sixty_four_changes_a_minute_are_taken_and_not_one_more() {
    let mut pair = pair();
    for minute in 0..3 {
        for _ in 0..64 {
            let wire = post_and_renew(&mut pair);
            assert_eq!(heard(&mut pair.listener, &wire, Chunks::Whole).unwrap().len(), 1);
        }
        // The other direction has a count of its own.
        let wire = pair.listener.say(&[post(0, b"\xc0")]);
        let wire = [wire, renew(&mut pair.listener)].concat();
        assert_eq!(heard(&mut pair.dialer, &wire, Chunks::Whole).unwrap().len(), 1);
        if minute < 2 {
            pair.listener.now += Duration::from_secs(60);
        }
    }
    let wire = post_and_renew(&mut pair);
    let verdict = heard(&mut pair.listener, &wire, Chunks::Whole);
    let Err(CloseReason::Violation(violation)) = verdict else { panic!("{verdict:?}") };
    assert_eq!((violation.section, violation.code), (3, ErrorCode::PROTOCOL));
}

//= docs/PROTOCOL.md#3
#[test]
fn a_change_of_keys_that_is_lost_repeated_or_late_is_the_end() {
    let orders: [(&str, &[usize]); 3] =
        [("lost", &[0, 2]), ("repeated", &[0, 1, 1, 2]), ("late", &[0, 2, 1])];
    for (what, order) in orders {
        let mut pair = pair();
        let first = pair.dialer.say(&[post(0, b"\x01")]);
        let update = renew(&mut pair.dialer);
        let second = pair.dialer.say(&[post(0, b"\x02")]);
        let records = [first, update, second];
        let wire: Vec<u8> = order.iter().flat_map(|at| records[*at].clone()).collect();
        assert_eq!(
            heard(&mut pair.listener, &wire, Chunks::Whole),
            Err(CloseReason::Tampered),
            "{what}"
        );
    }
}

//= docs/PROTOCOL.md#3
#[test]
fn a_change_of_keys_is_empty_and_alone_in_its_record() {
    let ping = b"\xc7\x01\x0e\x01";
    let bad: [&[u8]; 6] = [
        &[KEY_UPDATE, ping].concat(),
        &[ping, KEY_UPDATE].concat(),
        &[KEY_UPDATE, KEY_UPDATE].concat(),
        &[b"\0", KEY_UPDATE, b"\0", ping].concat(),
        b"\xc7\x01\x15\x00",
        b"\xc7\x00\x35",
    ];
    for plain in bad {
        let mut pair = pair();
        let wire = pair.dialer.seal_raw(plain);
        let mut ignored = |_: &Frame<'_>, _| {};
        let verdict = pair.listener.receive(&wire, Chunks::Whole, &mut ignored);
        let Err(CloseReason::Violation(violation)) = verdict else { panic!("{verdict:?}") };
        assert_eq!((violation.section, violation.code), (3, ErrorCode::PROTOCOL), "{plain:02x?}");
    }
    // Padding is no company.
    let mut pair = pair();
    let wire = pair.dialer.seal_raw(&[b"\0\0", KEY_UPDATE, b"\0"].concat());
    pair.listener.receive(&wire, Chunks::Whole, &mut no_frame).unwrap();
}

//= docs/PROTOCOL.md#10
#[test]
fn no_change_of_keys_follows_a_close() {
    let close = || Frame::Close { code: ErrorCode(3), message: "bye".into() };
    for follows in [KEY_UPDATE, b"\0"] {
        let mut pair = pair();
        let mut wire = pair.dialer.say(&[close()]);
        wire.extend(pair.dialer.seal_raw(follows));
        let verdict = pair.listener.receive(&wire, Chunks::Whole, &mut |_, _| {});
        assert_eq!(verdict, Err(CloseReason::Tampered), "{follows:02x?}");
    }
}

//= docs/PROTOCOL.md#2
#[test]
fn without_records_there_is_no_key_to_change() {
    let mut pair = Pair::open(Msgpack::plain());
    assert_eq!(renew(&mut pair.dialer), b"");
    let verdict = pair.listener.receive(KEY_UPDATE, Chunks::Whole, &mut no_frame);
    let Err(CloseReason::Violation(violation)) = verdict else { panic!("{verdict:?}") };
    assert_eq!(violation.section, 3);
}
