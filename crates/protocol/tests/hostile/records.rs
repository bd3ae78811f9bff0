//! A session that is open, and somebody in the middle.

use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{CloseReason, Ending, ErrorCode, Frame};

use crate::support::{Chunks, Pair, no_frame, post};

/// An open pair, and three records of one post each that are on their way.
fn three_records() -> (Pair, [Vec<u8>; 3]) {
    let mut pair = Pair::open(Msgpack::sealed());
    let records = [b"\x01", b"\x02", b"\x03"].map(|body| pair.dialer.say(&[post(0, body)]));
    (pair, records)
}

/// How many posts arrive, and how it ends.
fn deliver(pair: &mut Pair, bytes: &[u8]) -> (usize, Result<(), CloseReason>) {
    let mut heard = 0;
    let verdict = pair.listener.receive(bytes, Chunks::Whole, &mut |_, _| heard += 1);
    (heard, verdict)
}

//= docs/PROTOCOL.md#3
#[test]
fn a_record_changed_dropped_repeated_or_reordered_is_the_end() {
    let tampered = (1, Err(CloseReason::Tampered));
    let (mut pair, [a, b, c]) = three_records();
    assert_eq!(deliver(&mut pair, &[a, b, c].concat()), (3, Ok(())));
    let (mut pair, [a, _, c]) = three_records();
    assert_eq!(deliver(&mut pair, &[a, c].concat()), tampered, "dropped");
    let (mut pair, [a, _, _]) = three_records();
    assert_eq!(deliver(&mut pair, &[a.clone(), a].concat()), tampered, "repeated");
    let (mut pair, [a, b, c]) = three_records();
    assert_eq!(deliver(&mut pair, &[a, c, b].concat()), tampered, "reordered");
    assert_eq!(CloseReason::Tampered.ending(), Ending::Dead);
}

//= docs/PROTOCOL.md#3
#[test]
fn no_flipped_bit_of_a_record_gets_through() {
    let (_, [first, ..]) = three_records();
    for at in 0..first.len() {
        let (mut pair, [mut record, ..]) = three_records();
        record[at] ^= 1 << (at % 8);
        let (heard, verdict) = deliver(&mut pair, &record);
        let waits = matches!(at, 1 | 2) && verdict == Ok(());
        assert!(heard == 0 && (waits || verdict == Err(CloseReason::Tampered)), "byte {at}");
    }
}

#[test]
fn records_of_the_other_direction_or_of_another_session_do_not_verify() {
    let (mut pair, [a, ..]) = three_records();
    let verdict = pair.dialer.receive(&a, Chunks::Whole, &mut no_frame);
    assert_eq!(verdict, Err(CloseReason::Tampered));
    let (_, [of_another, ..]) = three_records();
    let mut other = crate::support::local(9);
    other.identity = pair.dialer.local.identity.clone();
    let mut pair = Pair::with(Msgpack::sealed(), other, crate::support::local(2));
    pair.settle(Chunks::Whole).unwrap();
    assert_eq!(deliver(&mut pair, &of_another), (0, Err(CloseReason::Tampered)));
}

// docs/SECURITY.md, "What each bad input gets".
#[test]
fn a_handshake_unit_or_foreign_bytes_in_an_open_session_are_the_end() {
    for bytes in [&b"\xc8\x05\x40\x1c"[..], b"\xc8\x04\xa0\x1d", b"GET / HTTP/1.1", b"\xc7\x01"] {
        let mut pair = Pair::open(Msgpack::sealed());
        assert_eq!(deliver(&mut pair, bytes), (0, Err(CloseReason::Tampered)), "{bytes:02x?}");
    }
    for bytes in [&b"\xc7\x01\x1c\x00"[..], b"\xc7\x01\x1d\x00", b"\xc7\x01\x1f\x00"] {
        let mut pair = Pair::open(Msgpack::plain());
        assert_eq!(deliver(&mut pair, bytes), (0, Err(CloseReason::Tampered)), "{bytes:02x?}");
    }
}

//= docs/PROTOCOL.md#3
#[test]
fn an_end_without_a_farewell_is_never_a_clean_one() {
    for factory in [Msgpack::sealed(), Msgpack::plain()] {
        let mut pair = Pair::open(factory);
        let wire = pair.dialer.say(&[post(0, b"\xc0")]);
        for len in 0..wire.len() {
            let mut pair = Pair::open(factory);
            deliver(&mut pair, &wire[..len]).1.unwrap();
            assert_eq!(pair.listener.protocol.handle_eof(), CloseReason::Truncated);
        }
    }
}

//= docs/PROTOCOL.md#10
#[test]
fn nothing_follows_a_close() {
    let close = || Frame::Close { code: ErrorCode(3), message: "bye".into() };
    for factory in [Msgpack::sealed(), Msgpack::plain()] {
        let mut pair = Pair::open(factory);
        let wire = pair.dialer.say(&[close()]);
        assert_eq!(deliver(&mut pair, &wire), (1, Ok(())));
        let CloseReason::ByPeer(farewell) = pair.listener.protocol.handle_eof() else {
            panic!("the peer closed");
        };
        assert_eq!((farewell.code, &*farewell.text), (ErrorCode(3), "bye"));
        for more in [&[close(), post(0, b"\xc0")][..], &[close(), close()]] {
            let mut pair = Pair::open(factory);
            let wire = pair.dialer.say(more);
            assert_eq!(deliver(&mut pair, &wire), (1, Err(CloseReason::Tampered)));
        }
        let mut pair = Pair::open(factory);
        let mut wire = pair.dialer.say(&[close()]);
        wire.push(0xc8);
        assert_eq!(deliver(&mut pair, &wire), (1, Err(CloseReason::Tampered)));
    }
}
