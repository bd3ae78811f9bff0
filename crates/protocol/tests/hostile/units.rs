//! A peer that is let in, and does not keep to the rules.

use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{CloseReason, ErrorCode, Frame};

use crate::support::{Chunks, Pair};

/// What an open listener makes of hand-written units, alike in a record and in clear.
pub(crate) fn verdict(units: &[u8]) -> Result<Vec<String>, CloseReason> {
    let [sealed, plain] = [Msgpack::sealed(), Msgpack::plain()].map(|factory| {
        let mut pair = Pair::open(factory);
        let wire = pair.dialer.seal_raw(units);
        let mut heard = Vec::new();
        let verdict = pair.listener.receive(&wire, Chunks::Whole, &mut |frame, _| {
            heard.push(crate::support::told(frame));
        });
        // Whatever it was, it stays over.
        if let Err(reason) = &verdict {
            let again = pair.listener.receive(b"", Chunks::Whole, &mut |_, _| {});
            assert_eq!(again.as_ref(), Err(reason));
        }
        verdict.map(|()| heard)
    });
    assert_eq!(sealed, plain, "{units:02x?}");
    sealed
}

pub(crate) fn code(units: &[u8]) -> (u8, ErrorCode) {
    match verdict(units) {
        Err(CloseReason::Violation(violation)) => (violation.section, violation.code),
        other => panic!("{units:02x?}: a violation, not {other:?}"),
    }
}

//= docs/PROTOCOL.md#9
#[test]
fn malformed_units_are_violations() {
    let bad: &[(&str, &[u8])] = &[
        ("a first byte that begins no unit", b"\x93\x01\x02\x03"),
        ("a length of 32 bits", b"\xc9\x00\x00\x00\x01\x0e\x01"),
        ("a type with the sign bit", b"\xc7\x01\x8e\x01"),
        ("a flag POST has no meaning for", b"\xc7\x02\x40\x01\xc0"),
        ("a flag RESPONSE has no meaning for", b"\xc7\x02\x22\x01\xc0"),
        ("a flag PING has no meaning for", b"\xc7\x01\x2e\x01"),
        ("POST without an id", b"\xc7\x00\x00"),
        ("POST with a text for an id", b"\xc7\x03\x00\xa1x\xc0"),
        ("POST with a negative id", b"\xc7\x02\x00\xff\xc0"),
        ("POST with an id above 32 bits", b"\xc7\x0a\x00\xcf\0\0\0\x01\0\0\0\0\xc0"),
        ("POST with an id that is cut off", b"\xc7\x02\x00\xcd\x01"),
        ("POST with the metadata flag and none", b"\xc7\x01\x20\x01"),
        ("POST with metadata that are no map", b"\xc7\x03\x20\x01\xc0\xc0"),
        ("REQUEST with one id", b"\xc7\x01\x01\x01"),
        ("RESPONSE without an id", b"\xc7\x00\x02"),
        ("ERROR without a code", b"\xc7\x01\x03\x01"),
        ("ERROR without a text", b"\xc7\x02\x03\x01\x00"),
        ("ERROR with a code above 32 bits", b"\xc7\x0b\x03\x01\xcf\0\0\0\x01\0\0\0\0\xa0"),
        ("ERROR with a text that is no UTF-8", b"\xc7\x05\x03\x01\x00\xa2\xc3\x28"),
        ("CANCEL and more", b"\xc7\x02\x04\x01\x01"),
        ("CREDIT without a total", b"\xc7\x01\x09\x00"),
        ("CREDIT of number 1", b"\xc7\x02\x09\x01\x01"),
        ("CREDIT and more", b"\xc7\x03\x09\x02\x01\x01"),
        ("PING without a nonce", b"\xc7\x00\x0e"),
        ("PING and more", b"\xc7\x02\x0e\x01\x01"),
        ("GOAWAY without a code", b"\xc7\x00\x10"),
        ("CLOSE and more", b"\xc7\x03\x14\x00\xa0\x00"),
        ("a second SETUP", b"\xc7\x01\x1e\x80"),
        ("DICT that leaves a gap", b"\xc7\x04\x13\x05\x91\x01\xc0"),
        ("DICT from number 0", b"\xc7\x03\x13\x00\x90\xc0"),
        ("DICT with handles that are no bitmap", b"\xc7\x03\x13\x04\x90\x01"),
        ("DICT and more", b"\xc7\x04\x13\x04\x90\xc0\xc0"),
    ];
    for &(what, units) in bad {
        let (section, code) = code(units);
        assert_eq!(code, ErrorCode::PROTOCOL, "{what}");
        assert!([1, 4, 6].contains(&section), "{what}: PROTOCOL {section}");
    }
}

//= docs/PROTOCOL.md#1
#[test]
fn what_comes_from_a_later_version_is_skipped_or_unsupported() {
    for critical in [b"\xc7\x00\x16", b"\xc7\x00\x17"] {
        assert_eq!(code(critical), (1, ErrorCode::UNSUPPORTED));
    }
    for ignorable in [b"\xc7\x00\x18", b"\xc7\x00\x19", b"\xc7\x00\x1a", b"\xc7\x00\x7b"] {
        assert_eq!(verdict(ignorable), Ok(vec!["Partial".to_owned()]));
    }
}

//= docs/PROTOCOL.md#4
#[test]
fn an_unknown_type_is_never_the_end() {
    for units in [
        &b"\xc7\x02\x00\x63\xc0"[..],
        b"\xc7\x03\x01\x07\x63\xc0",
        b"\xc7\x04\x05\x02\x63\x00\xc0",
        b"\xc7\x03\x0d\x01\x63\xc0",
    ] {
        let heard = verdict(units).unwrap();
        assert!(heard[0].contains("Unknown"), "{heard:?}");
    }
}

//= docs/PROTOCOL.md#4
#[test]
fn no_type_has_the_number_0() {
    let post = b"\xc7\x02\x00\x00\xc0";
    let post_of_eight_bytes = b"\xc7\x0a\x00\xcf\0\0\0\0\0\0\0\0\xc0";
    let post_with_meta = b"\xc7\x03\x20\x00\x80\xc0";
    let request = b"\xc7\x03\x01\x07\x00\xc0";
    let post_in_a_fragment = b"\xc7\x05\x51\x00\x00\x02\x00\xc0";
    let open = b"\xc7\x04\x05\x02\x00\x00\xc0";
    let of_calls = [&post[..], post_of_eight_bytes, post_with_meta, request, post_in_a_fragment];
    for units in of_calls.into_iter().chain([&open[..]]) {
        assert_eq!(code(units), (4, ErrorCode::PROTOCOL), "{units:02x?}");
    }
}

#[test]
fn more_types_than_there_may_be_are_flow() {
    assert_eq!(code(b"\xc7\x06\x13\xcd\x10\x01\x91\x01\xc0"), (9, ErrorCode::FLOW));
    let bitmap = [&b"\xc8\x02\x06\x13\x04\x90\xc5\x02\x01"[..], &[0; 513]].concat();
    assert_eq!(code(&bitmap), (9, ErrorCode::FLOW));
}

#[test]
fn fields_of_any_width_and_every_header_form_are_taken() {
    let post = verdict(b"\xc7\x02\x00\x01\xc0").unwrap();
    let wide = b"\xc8\x00\x0a\x00\xcf\0\0\0\0\0\0\0\x01\xc0";
    assert_eq!(verdict(wide).unwrap(), post);
    assert_eq!(verdict(b"\xd5\x00\x01\xc0").unwrap(), post);
}

#[test]
fn texts_of_a_peer_cannot_forge_a_log_line_nor_fill_it() {
    let mut long = b"\xc8\x04\x05\x03\x01\x00\xda\x04\x00".to_vec();
    long.extend(std::iter::repeat_n(b'x', 1_024));
    long[1..3].copy_from_slice(&u16::try_from(5 + 1_024).unwrap().to_be_bytes());
    let mut pair = Pair::open(Msgpack::sealed());
    let mut wire = pair.dialer.seal_raw(&long);
    wire.extend(pair.dialer.seal_raw(b"\xc7\x05\x10\x00\xa3a\nb"));
    let mut texts = Vec::new();
    pair.listener
        .receive(&wire, Chunks::Whole, &mut |frame, _| match frame {
            Frame::Error { message, .. } | Frame::GoAway { message, .. } => {
                texts.push(message.to_string());
            }
            other => panic!("{other:?}"),
        })
        .unwrap();
    assert!(texts[0].len() <= 515 && texts[0].starts_with("xxx"));
    assert_eq!(texts[1], "a\\nb");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 64, ..proptest::prelude::ProptestConfig::default()
    })]
    #[test]
    fn nothing_a_peer_sends_panics(
        units in proptest::collection::vec(
            (0_u8..0x80, proptest::collection::vec(proptest::num::u8::ANY, 0..24)),
            1..20,
        ),
    ) {
        let mut bytes = Vec::new();
        for (ty, payload) in &units {
            bytes.extend([0xc7, u8::try_from(payload.len()).unwrap(), *ty]);
            bytes.extend(payload);
        }
        // Which verdict it is does not matter here: that both protocols have the same one does,
        // unless it is about what only one of them has.
        let only_sealed = units.iter().any(|(ty, _)| matches!(ty & 0x1f, 0x15 | 0x1c | 0x1d | 0x1f));
        if !only_sealed {
            drop(verdict(&bytes));
        }
    }

    #[test]
    fn random_bytes_never_panic(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 1..4_000),
        plain: bool,
    ) {
        let factory = if plain { Msgpack::plain() } else { Msgpack::sealed() };
        let mut fresh = Pair::new(factory);
        drop(fresh.listener.receive(&bytes, Chunks::Of(97), &mut |_, _| {}));
        drop(fresh.dialer.receive(&bytes, Chunks::Of(97), &mut |_, _| {}));
        let mut open = Pair::open(factory);
        let wire = open.dialer.seal_raw(&bytes);
        drop(open.listener.receive(&wire, Chunks::Of(97), &mut |_, _| {}));
        drop(open.dialer.receive(&bytes, Chunks::Of(97), &mut |_, _| {}));
    }
}
