//! Before there is a session: outsiders, and whoever sits in the middle.

use std::time::{Duration, Instant};

use moorline_buffers::RecvPool;
use moorline_noise::{Peers, PublicKey, Refusal, Suite, Suites};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{
    CloseReason, Ending, ErrorCode, HandshakeFailure, HandshakeRefusal, Local, Protocol,
    ProtocolFactory, SetupError, Step,
};

use crate::support::{A_WHILE, Chunks, End, Pair, handled, local, no_frame, told};

/// What a fresh listener makes of `bytes`, whole and one at a time.
fn listener_says(factory: Msgpack, bytes: &[u8]) -> Result<(), CloseReason> {
    let mut verdicts = [Chunks::Whole, Chunks::Of(1)].map(|chunks| {
        let mut pair = Pair::new(factory);
        let verdict = pair.listener.receive(bytes, chunks, &mut no_frame);
        assert!(pair.listener.opened.is_none());
        assert!(verdict.is_ok() || pair.listener.out.is_empty(), "outsiders hear nothing");
        verdict
    });
    assert_eq!(verdicts[0], verdicts[1], "the verdict does not depend on how bytes arrive");
    std::mem::replace(&mut verdicts[0], Ok(()))
}

fn refused(factory: Msgpack, bytes: &[u8]) -> HandshakeRefusal {
    match listener_says(factory, bytes) {
        Err(CloseReason::HandshakeRefused(refusal)) => refusal,
        other => panic!("refused, not {other:?}"),
    }
}

// docs/SECURITY.md, "What each bad input gets".
#[test]
fn what_strays_in_is_named_and_told_nothing() {
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let cases: [(&[u8], HandshakeRefusal); 12] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", HandshakeRefusal::Http),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HandshakeRefusal::Http),
        (b"OPTIONS * HTTP/1.1\r\n", HandshakeRefusal::Http),
        (tls, HandshakeRefusal::Tls),
        (b"SSH-2.0-OpenSSH_9.9\r\n", HandshakeRefusal::NotOurProtocol),
        (b"GETTING", HandshakeRefusal::NotOurProtocol),
        (b"hello\n", HandshakeRefusal::NotOurProtocol),
        (b"\x00", HandshakeRefusal::NotOurProtocol),
        (b"\xc9\x00\x00\x05\x40\x1c", HandshakeRefusal::NotOurProtocol),
        (b"\xc8\x05\x40\x9c", HandshakeRefusal::NotOurProtocol),
        (b"\xc8\x05\x40\x1d", HandshakeRefusal::Misplaced),
        (b"\xc8\x05\x40\x1f", HandshakeRefusal::Misplaced),
    ];
    for (bytes, expected) in cases {
        for factory in [Msgpack::sealed(), Msgpack::plain()] {
            assert_eq!(refused(factory, bytes), expected, "{bytes:02x?}");
        }
    }
}

/// The HELLO of the usual dialer.
fn hello(factory: Msgpack) -> Vec<u8> {
    Pair::new(factory).dialer.take_wire()
}

// docs/SECURITY.md, "What each bad input gets".
#[test]
fn every_field_of_the_preamble_has_its_refusal() {
    for factory in [Msgpack::sealed(), Msgpack::plain()] {
        let good = hello(factory);
        let preamble_at = good.windows(4).position(|window| window == b"MOOR").unwrap();
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[preamble_at + at] = value;
            refused(factory, &bytes)
        };
        assert_eq!(with(3, b'r'), HandshakeRefusal::NotOurProtocol);
        assert_eq!(with(4, 0), HandshakeRefusal::Version);
        assert_eq!(with(5, 2), HandshakeRefusal::Version);
        assert_eq!(with(6, 0x77), HandshakeRefusal::Suite(0x77));
        assert_eq!(with(6, 0x11), HandshakeRefusal::Suite(0x11), "exists, but is not taken here");
        assert_eq!(with(7, 3), HandshakeRefusal::Carrier);
        assert_eq!(with(9, 1), HandshakeRefusal::Reserved);
        assert_eq!(with(15, 1), HandshakeRefusal::Reserved);
    }
}

#[test]
fn neither_protocol_takes_the_hello_of_the_other() {
    let (sealed, plain) = (hello(Msgpack::sealed()), hello(Msgpack::plain()));
    assert!(matches!(refused(Msgpack::plain(), &sealed), HandshakeRefusal::Suite(_)));
    assert_eq!(refused(Msgpack::sealed(), &plain), HandshakeRefusal::Suite(0));
}

#[test]
fn a_first_message_has_exactly_the_length_of_its_suite() {
    for factory in [Msgpack::sealed(), Msgpack::plain()] {
        let good = hello(factory);
        let len_at = if good[0] == 0xc8 { 2 } else { 1 };
        for change in [-1_i8, 1] {
            let mut bytes = good.clone();
            bytes[len_at] = bytes[len_at].wrapping_add_signed(change);
            assert_eq!(refused(factory, &bytes), HandshakeRefusal::Length);
        }
        assert_eq!(refused(factory, b"\xc7\x0f\x1cMOOR"), HandshakeRefusal::Length);
    }
}

/// Every byte of the headers and of both ends, and one of eleven between: each costs a handshake.
fn sampled(len: usize) -> impl Iterator<Item = usize> {
    (0..len).filter(move |at| *at < 60 || *at + 60 >= len || at % 11 == 0)
}

// docs/SECURITY.md, "What each bad input gets".
#[test]
fn no_flipped_bit_of_the_first_message_is_answered() {
    let good = hello(Msgpack::sealed());
    for at in sampled(good.len()) {
        // All bits of what is in clear, one of each byte of what is not.
        let bits = if at < 20 { 0..8 } else { at % 8..at % 8 + 1 };
        for bit in bits {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            let mut pair = Pair::new(Msgpack::sealed());
            let verdict = pair.listener.receive(&bytes, Chunks::Whole, &mut no_frame);
            // A longer length may also leave it waiting for bytes that never come.
            let refusal = match verdict {
                Err(CloseReason::HandshakeRefused(refusal)) => refusal,
                other => panic!("byte {at} bit {bit}: {other:?}"),
            };
            assert_eq!(CloseReason::from(refusal).ending(), Ending::Silent);
            assert!(pair.listener.take_wire().is_empty(), "byte {at} bit {bit}");
        }
    }
}

// docs/SECURITY.md, "What each bad input gets".
#[test]
fn no_flipped_bit_of_the_answer_opens_a_session() {
    let mut pair = Pair::new(Msgpack::sealed());
    let there = pair.dialer.take_wire();
    pair.listener.receive(&there, Chunks::Whole, &mut no_frame).unwrap();
    let len = pair.listener.take_wire().len();
    for at in sampled(len) {
        let mut pair = Pair::new(Msgpack::sealed());
        let there = pair.dialer.take_wire();
        pair.listener.receive(&there, Chunks::Whole, &mut no_frame).unwrap();
        let mut back = pair.listener.take_wire();
        back[at] ^= 1 << (at % 8);
        let verdict = pair.dialer.receive(&back, Chunks::Whole, &mut no_frame);
        let reason = verdict.expect_err("the answer was changed");
        let expected = match at {
            0 | 3 => HandshakeFailure::NotOurProtocol,
            _ => HandshakeFailure::PeerUnverified,
        };
        assert_eq!(reason, CloseReason::HandshakeFailed(expected), "byte {at}");
        assert!(pair.dialer.opened.is_none() && pair.dialer.take_wire().is_empty());
    }
}

// docs/SECURITY.md, "What each bad input gets".
#[test]
fn no_flipped_bit_of_the_first_record_opens_a_session() {
    let mut at = 0;
    loop {
        let mut pair = Pair::new(Msgpack::sealed());
        let there = pair.dialer.take_wire();
        pair.listener.receive(&there, Chunks::Whole, &mut no_frame).unwrap();
        let back = pair.listener.take_wire();
        pair.dialer.receive(&back, Chunks::Whole, &mut no_frame).unwrap();
        let mut first = pair.dialer.take_wire();
        if at == first.len() {
            return;
        }
        first[at] ^= 1 << (at % 8);
        let verdict = pair.listener.receive(&first, Chunks::Whole, &mut no_frame);
        match (at, verdict) {
            // A length that grew within bounds waits for the rest, in vain.
            (1 | 2, Ok(())) => {}
            (_, Err(CloseReason::HandshakeRefused(_))) => {}
            (_, other) => panic!("byte {at}: {other:?}"),
        }
        assert!(pair.listener.opened.is_none() && pair.listener.take_wire().is_empty());
        at += 1;
    }
}

#[test]
fn a_handshake_cut_short_anywhere_ends_with_its_reason() {
    for factory in [Msgpack::sealed(), Msgpack::plain()] {
        let good = hello(factory);
        for len in (0..good.len()).step_by(7) {
            let mut pair = Pair::new(factory);
            pair.listener.receive(&good[..len], Chunks::Whole, &mut no_frame).unwrap();
            let eof = pair.listener.protocol.handle_eof();
            assert_eq!(eof, CloseReason::HandshakeRefused(HandshakeRefusal::Eof));
            assert_eq!(eof.ending(), Ending::Dead);
            let eof = pair.dialer.protocol.handle_eof();
            assert_eq!(eof, CloseReason::HandshakeFailed(HandshakeFailure::NotLetIn));
        }
    }
}

//= docs/PROTOCOL.md#9
#[test]
fn patience_ends_after_five_seconds_whatever_trickles_in() {
    for factory in [Msgpack::sealed(), Msgpack::plain()] {
        let mut pair = Pair::new(factory);
        let start = pair.listener.now;
        assert_eq!(pair.listener.protocol.deadline(), Some(start + A_WHILE));
        assert_eq!(pair.dialer.protocol.deadline(), Some(start + A_WHILE));
        let there = pair.dialer.take_wire();
        for (second, byte) in there.iter().take(5).enumerate() {
            pair.listener.now = start + Duration::from_secs(second as u64);
            pair.listener.receive(&[*byte], Chunks::Whole, &mut no_frame).unwrap();
            pair.listener.protocol.handle_timeout(pair.listener.now).unwrap();
        }
        pair.listener.now = start + A_WHILE;
        let late = pair.listener.receive(&there[5..6], Chunks::Whole, &mut no_frame);
        assert_eq!(late, Err(CloseReason::HandshakeRefused(HandshakeRefusal::Timeout)));
        let late = pair.dialer.protocol.handle_timeout(start + A_WHILE);
        assert_eq!(late, Err(CloseReason::HandshakeFailed(HandshakeFailure::Timeout)));
        assert_eq!(pair.dialer.protocol.deadline(), None);
        // Whoever goes on asking hears the same.
        let late = pair.listener.receive(&there[6..], Chunks::Whole, &mut no_frame);
        assert_eq!(late, Err(CloseReason::HandshakeRefused(HandshakeRefusal::Timeout)));
    }
}

// docs/SECURITY.md, "What each bad input gets".
#[test]
fn a_first_message_that_is_replayed_is_answered_and_never_confirmed() {
    let mut pair = Pair::new(Msgpack::sealed());
    let there = pair.dialer.take_wire();
    pair.listener.receive(&there, Chunks::Whole, &mut no_frame).unwrap();
    let back = pair.listener.take_wire();
    pair.dialer.receive(&back, Chunks::Whole, &mut no_frame).unwrap();
    let first = pair.dialer.take_wire();
    assert_eq!(
        pair.listener.protocol.read_capacity(),
        2_048,
        "nothing more before it is confirmed"
    );
    // The same bytes to a listener of the same identity that has other randomness.
    let mut twin = local(2);
    twin.provider = crate::support::provider(77);
    let listed = pair.dialer.local.identity.as_ref().unwrap().public();
    let peers = Peers::nobody().with("dialer", listed);
    let mut other = End::responder(Msgpack::sealed(), twin, peers, Instant::now());
    other.receive(&there, Chunks::Whole, &mut no_frame).unwrap();
    assert!(!other.take_wire().is_empty());
    let verdict = other.receive(&first, Chunks::Whole, &mut no_frame);
    assert_eq!(verdict, Err(CloseReason::HandshakeRefused(HandshakeRefusal::Crypto)));
    assert!(other.opened.is_none() && other.take_wire().is_empty());
}

#[test]
fn a_copy_of_a_first_message_is_met_with_silence_while_the_original_goes_on() {
    let mut pair = Pair::new(Msgpack::sealed());
    let hello = pair.dialer.take_wire();
    let listed = pair.dialer.local.identity.as_ref().unwrap().public();
    // Listeners of one process, one connection each.
    let pending = moorline_protocol::PendingHandshakes::default();
    let listener = || {
        let local = Local { pending: pending.clone(), ..local(2) };
        let peers = Peers::nobody().with("dialer", listed);
        End::responder(Msgpack::sealed(), local, peers, Instant::now())
    };
    let mut original = listener();
    original.receive(&hello, Chunks::Whole, &mut no_frame).unwrap();
    let mut copy = listener();
    let verdict = copy.receive(&hello, Chunks::Whole, &mut no_frame);
    assert_eq!(verdict, Err(CloseReason::HandshakeRefused(HandshakeRefusal::Replayed)));
    assert!(copy.take_wire().is_empty());
    drop(original);
    let mut later = listener();
    later.receive(&hello, Chunks::Whole, &mut no_frame).unwrap();
    assert!(!later.take_wire().is_empty());
}

/// Lets the dialer of a pair that does not fit speak, and returns both verdicts.
fn settle(mut pair: Pair) -> (CloseReason, CloseReason) {
    let listener = pair.settle(Chunks::Whole).expect_err("they do not fit");
    assert!(pair.listener.take_wire().is_empty());
    (listener, pair.dialer.protocol.handle_eof())
}

const NOT_LET_IN: CloseReason = CloseReason::HandshakeFailed(HandshakeFailure::NotLetIn);

#[test]
fn another_realm_or_another_key_never_verifies() {
    let mut dialer = local(1);
    dialer.realm = "test fleet".into();
    let (listener, dialer) = settle(Pair::with(Msgpack::sealed(), dialer, local(2)));
    assert_eq!(listener, CloseReason::HandshakeRefused(HandshakeRefusal::Crypto));
    assert_eq!(dialer, NOT_LET_IN);
    let stranger = local(3).identity.unwrap().public();
    let mut pair = Pair::new(Msgpack::sealed());
    pair.dialer = End::initiator(Msgpack::sealed(), local(1), Some(stranger), Instant::now());
    let (listener, dialer) = settle(pair);
    assert_eq!(listener, CloseReason::HandshakeRefused(HandshakeRefusal::Crypto));
    assert_eq!(dialer, NOT_LET_IN);
}

// docs/SECURITY.md, "What each bad input gets".
#[test]
fn who_is_not_listed_is_named_to_us_and_told_nothing() {
    let mut pair = Pair::new(Msgpack::sealed());
    let key = pair.dialer.local.identity.as_ref().unwrap().public();
    let now = Instant::now();
    pair.listener = End::responder(Msgpack::sealed(), local(2), Peers::nobody(), now);
    let (listener, dialer) = settle(pair);
    let refusal = HandshakeRefusal::NotAdmitted { key: Some(key), refusal: Refusal::NotListed };
    assert_eq!(listener, CloseReason::HandshakeRefused(refusal));
    assert!(listener.to_string().contains(&key.to_line()), "the log says what to do: {listener}");
    assert_eq!(dialer, NOT_LET_IN);
}

#[test]
fn who_has_no_key_gets_in_only_where_that_is_spelled_out() {
    let refusal = HandshakeRefusal::NotAdmitted { key: None, refusal: Refusal::NoKey };
    let refused = CloseReason::HandshakeRefused(refusal);
    let mut pair = Pair::new(Msgpack::plain());
    let now = Instant::now();
    pair.listener = End::responder(Msgpack::plain(), local(2), Peers::anyone(), now);
    assert_eq!(settle(pair), (refused.clone(), NOT_LET_IN));
    let nk = |seed| Local { suites: Suites::only(&[Suite::NkHfsChaCha]), ..local(seed) };
    let mut pair = Pair::with(Msgpack::sealed(), nk(1), nk(2));
    pair.listener = End::responder(Msgpack::sealed(), nk(2), Peers::anyone(), now);
    assert_eq!(settle(pair), (refused, NOT_LET_IN));
}

#[test]
fn our_own_key_is_no_peer() {
    let own = local(1).identity.unwrap().public();
    let made = Msgpack::sealed()
        .initiator(local(1).into(), handled(&local(1)), Some(own).into())
        .map(drop);
    assert_eq!(made, Err(SetupError::OwnKey));
}

#[test]
fn a_key_that_is_shown_late_is_held_against_the_pinned_one_all_the_same() {
    let xx = |seed| Local { suites: Suites::only(&[Suite::Xx]), ..local(seed) };
    let stranger = local(3).identity.unwrap().public();
    let now = Instant::now();
    let mut pair = Pair {
        dialer: End::initiator(Msgpack::sealed(), xx(1), Some(stranger), now),
        listener: End::responder(Msgpack::sealed(), xx(2), Peers::anyone(), now),
    };
    let dialer = pair.settle(Chunks::Whole);
    assert_eq!(dialer, Err(CloseReason::HandshakeFailed(HandshakeFailure::PeerUnverified)));
    let mut pair = Pair::with(Msgpack::sealed(), xx(1), xx(2));
    pair.listener = End::responder(Msgpack::sealed(), xx(2), Peers::nobody(), now);
    let key = pair.dialer.local.identity.as_ref().unwrap().public();
    let refusal = HandshakeRefusal::NotAdmitted { key: Some(key), refusal: Refusal::NotListed };
    let listener = pair.settle(Chunks::Whole);
    assert_eq!(listener, Err(CloseReason::HandshakeRefused(refusal)));
}

#[test]
fn what_is_missing_from_the_configuration_is_said_before_the_first_byte() {
    let sealed = Msgpack::sealed();
    let nobody = || Local { identity: None, ..local(1) };
    let key = local(2).identity.unwrap().public();
    let dial = |local: Local, remote: Option<PublicKey>| {
        let handled = handled(&local);
        sealed.initiator(local.into(), handled, remote.into()).map(drop)
    };
    assert_eq!(dial(local(1), None), Err(SetupError::NoRemoteKey("msgpack")));
    let xx = Local { suites: Suites::only(&[Suite::Xx]), ..local(1) };
    assert_eq!(dial(xx, None), Err(SetupError::NoRemoteKey("msgpack")), "nor on first use");
    assert_eq!(dial(nobody(), Some(key)), Err(SetupError::NoIdentity("msgpack")));
    let admission = Box::new(crate::support::List(Peers::nobody()));
    let listening = sealed.responder(nobody().into(), handled(&nobody()), admission).map(drop);
    assert_eq!(listening, Err(SetupError::NoIdentity("msgpack")));
    let plain = Msgpack::plain().initiator(nobody().into(), handled(&nobody()), Some(key).into());
    assert_eq!(plain.map(drop), Err(SetupError::KeyUnused("msgpack-plain")));
}

#[test]
fn whoever_answers_with_something_else_does_not_speak_moorline() {
    for bytes in
        [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"\x15\x03\x01\x00\x02\x02\x46", b"\xc8\x04"]
    {
        for factory in [Msgpack::sealed(), Msgpack::plain()] {
            let mut pair = Pair::new(factory);
            let verdict = pair.dialer.receive(bytes, Chunks::Of(1), &mut no_frame);
            match bytes[0] {
                0xc8 => assert_eq!(verdict, Ok(())),
                _ => {
                    let reason = CloseReason::HandshakeFailed(HandshakeFailure::NotOurProtocol);
                    assert_eq!(verdict, Err(reason));
                }
            }
        }
    }
}

/// A plain pair after the exchange of capabilities: the listener waits for SETUP.
fn plain_listener() -> Pair {
    let mut pair = Pair::new(Msgpack::plain());
    let there = pair.dialer.take_wire();
    pair.listener.receive(&there, Chunks::Whole, &mut no_frame).unwrap();
    pair
}

//= docs/PROTOCOL.md#2
#[test]
fn the_first_unit_is_setup_of_a_fit_size_or_nothing() {
    let long = [&b"\xc8\x07\xfd\x1e"[..], &[0x80; 2_045]].concat();
    let cases: [(&[u8], CloseReason); 5] = [
        (b"\xc7\x01\x0e\x01", CloseReason::HandshakeRefused(HandshakeRefusal::FirstRecord)),
        (b"\xc7\x01\x14\x00", CloseReason::HandshakeRefused(HandshakeRefusal::FirstRecord)),
        (b"\x80", CloseReason::HandshakeRefused(HandshakeRefusal::FirstRecord)),
        (b"\xc8\x05\x40\x1c", CloseReason::HandshakeRefused(HandshakeRefusal::FirstRecord)),
        (&long, CloseReason::HandshakeRefused(HandshakeRefusal::FirstRecord)),
    ];
    for (bytes, expected) in cases {
        let mut pair = plain_listener();
        pair.listener.take_wire();
        let padded = [bytes, &[0; 1_400]].concat();
        let verdict = pair.listener.receive(&padded, Chunks::Whole, &mut no_frame);
        assert_eq!(verdict, Err(expected), "{bytes:02x?}");
        assert!(pair.listener.take_wire().is_empty());
    }
}

#[test]
fn a_setup_that_breaks_a_rule_is_answered_with_a_close() {
    // max_message below its floor; a list that does not fit the digest.
    for setup in [&b"\xc7\x03\x1e\x81\x02\x05"[..], b"\xc7\x03\x1e\x81\x08\x02"] {
        let mut pair = plain_listener();
        pair.listener.take_wire();
        let verdict = pair.listener.receive(setup, Chunks::Whole, &mut no_frame);
        let Err(CloseReason::Violation(violation)) = verdict else { panic!("{verdict:?}") };
        assert_eq!(violation.code, ErrorCode::PROTOCOL);
        let said = pair.listener.take_wire();
        let close = said.windows(4).position(|unit| unit[0] == 0xc7 && unit[2..] == [0x14, 0xf4]);
        assert!(close.is_some(), "{said:02x?}");
        assert!(pair.listener.opened.is_none());
    }
}

// docs/SECURITY.md, "What each bad input gets".
#[test]
fn a_required_feature_nobody_has_is_closed_once_confirmed() {
    let mut pair = Pair::new(Msgpack::plain());
    let mut there = pair.dialer.take_wire();
    // CAPS follow the header and the preamble; bytes 8 to 11 of them say what is required.
    there[3 + 16 + 11] = 1;
    pair.listener.receive(&there, Chunks::Whole, &mut no_frame).unwrap();
    let back = pair.listener.take_wire();
    pair.dialer.receive(&back, Chunks::Whole, &mut no_frame).unwrap();
    let setup = pair.dialer.take_wire();
    let verdict = pair.listener.receive(&setup, Chunks::Whole, &mut no_frame);
    let Err(CloseReason::Violation(violation)) = verdict else { panic!("{verdict:?}") };
    assert_eq!(violation.code, ErrorCode::UNSUPPORTED);
    let said = pair.listener.take_wire();
    let mut heard = Vec::new();
    pair.dialer.receive(&said, Chunks::Whole, &mut |frame, _| heard.push(told(frame))).unwrap();
    assert!(pair.dialer.opened.is_some(), "SETUP comes before CLOSE");
    assert!(heard.len() == 1 && heard[0].contains("UNSUPPORTED"), "{heard:?}");
}

#[test]
fn capabilities_that_are_malformed_or_disagree_are_refused() {
    // Format, largest version, record size, zeros.
    for (at, value) in [(0, 2), (1, 9), (3, 20), (12, 1)] {
        let mut hello = hello(Msgpack::plain());
        hello[3 + 16 + at] = value;
        assert_eq!(refused(Msgpack::plain(), &hello), HandshakeRefusal::Caps, "byte {at}");
    }
    let mut pair = plain_listener();
    let mut back = pair.listener.take_wire();
    back[3] = 2;
    let verdict = pair.dialer.receive(&back, Chunks::Whole, &mut no_frame);
    assert_eq!(verdict, Err(CloseReason::HandshakeFailed(HandshakeFailure::Caps)));
}

/// A pair of different types, so that DICT is due, with the dialer's units after SETUP.
fn dict_due() -> (Pair, Vec<u8>) {
    let mut dialer = local(1);
    dialer.registry = crate::support::registry(&[3]);
    let mut pair = Pair::with(Msgpack::plain(), dialer, local(2));
    let there = pair.dialer.take_wire();
    pair.listener.receive(&there, Chunks::Whole, &mut no_frame).unwrap();
    let back = pair.listener.take_wire();
    pair.dialer.receive(&back, Chunks::Whole, &mut no_frame).unwrap();
    let units = pair.dialer.take_wire();
    let setup_len = 3 + usize::from(units[1]);
    pair.listener.receive(&units[..setup_len], Chunks::Whole, &mut no_frame).unwrap();
    assert!(pair.listener.opened.is_none(), "the list is missing");
    (pair, units[setup_len..].to_vec())
}

//= docs/PROTOCOL.md#4
#[test]
fn only_the_list_of_the_digest_opens_a_session() {
    let (mut pair, dict) = dict_due();
    pair.listener.receive(&dict, Chunks::Of(1), &mut no_frame).unwrap();
    assert!(pair.listener.opened.is_some());
    let first = b"\xc7\x03\x13\x02\x90\xc0";
    let many = b"\xc7\x05\x13\x01\x92\x01\x02\xc0";
    let other = b"\xc7\x04\x13\x01\x91\x01\xc0";
    let post = b"\xc7\x02\x00\x01\xc0";
    let malformed = b"\xc7\x02\x13\x01\x91";
    for units in [&first[..], many, other, post, malformed, b"\xc7\x00\x1e"] {
        let (mut pair, _) = dict_due();
        pair.listener.take_wire();
        let verdict = pair.listener.receive(units, Chunks::Whole, &mut no_frame);
        assert!(matches!(verdict, Err(CloseReason::Violation(_))), "{units:02x?}: {verdict:?}");
        assert_eq!(pair.listener.take_wire()[2], 0x14, "and is told so");
    }
    let (mut pair, _) = dict_due();
    pair.listener.take_wire();
    let verdict = pair.listener.receive(b"\xc7\x01\x14\xfa", Chunks::Whole, &mut no_frame);
    let Err(CloseReason::ByPeer(farewell)) = verdict else { panic!("{verdict:?}") };
    assert_eq!(farewell.code, ErrorCode::DRAINING);
    assert_eq!(pair.listener.take_wire(), b"\xc7\x01\x14\x00", "CLOSE is answered by CLOSE");
}

#[test]
fn memory_before_confirmation_is_one_small_buffer() {
    let pool = RecvPool::default();
    let mut input = pool.acquire(2_048).unwrap();
    let mut pair = Pair::new(Msgpack::sealed());
    let hello = pair.dialer.take_wire();
    assert_eq!(pair.listener.protocol.read_capacity(), 2_048);
    let protocol: &mut dyn Protocol = &mut *pair.listener.protocol;
    for byte in hello {
        input.extend_from_slice(&[byte]).unwrap();
        let step = protocol.next(pair.listener.now, &mut input, &mut pair.listener.out).unwrap();
        assert!(matches!(step, Step::NeedBytes));
    }
    let stats = pool.stats();
    assert_eq!((input.capacity(), stats.in_use_bytes, stats.allocated), (2_048, 2_048, 1));
    // A first record that says it is longer is refused by its header alone.
    for (len, fits) in [(2_044_u16, true), (2_045, false)] {
        let mut pair = Pair::new(Msgpack::sealed());
        let there = pair.dialer.take_wire();
        pair.listener.receive(&there, Chunks::Whole, &mut no_frame).unwrap();
        let header = [&[0xc8][..], &len.to_be_bytes(), &[0x1f]].concat();
        let verdict = pair.listener.receive(&header, Chunks::Whole, &mut no_frame);
        let refused = Err(CloseReason::HandshakeRefused(HandshakeRefusal::FirstRecord));
        assert_eq!(verdict, if fits { Ok(()) } else { refused });
    }
}
