//! Units of streams and topics that are not as they must be. Which of their numbers are in use is for
//! a session to say; here it is about each unit by itself.

use moorline_protocol::ErrorCode;

use crate::units::{code, verdict};

//= docs/PROTOCOL.md#9
#[test]
fn malformed_units_of_streams_are_violations() {
    let bad: &[(&str, &[u8])] = &[
        ("OPEN without an id", b"\xc7\x00\x05"),
        ("OPEN with a text for an id", b"\xc7\x05\x05\xa1x\x01\x00\xc0"),
        ("OPEN with an id above 32 bits", b"\xc7\x0c\x05\xcf\0\0\0\x01\0\0\0\0\x01\x00\xc0"),
        ("OPEN without a credit", b"\xc7\x02\x05\x02\x01"),
        ("OPEN with a credit that is cut off", b"\xc7\x04\x05\x02\x01\xcd\x01"),
        ("OPEN with a negative credit", b"\xc7\x04\x05\x02\x01\xff\xc0"),
        ("OPEN with the metadata flag and none", b"\xc7\x03\x25\x02\x01\x00"),
        ("OPEN with metadata that are no map", b"\xc7\x05\x25\x02\x01\x00\xc0\xc0"),
        ("a raw OPEN with a type", b"\xc7\x05\x45\x02\x01\x00\xa1n"),
        ("a raw OPEN without a name", b"\xc7\x03\x45\x02\x00\x00"),
        ("a raw OPEN with a number for a name", b"\xc7\x04\x45\x02\x00\x00\x07"),
        ("a raw OPEN with a binary for a name", b"\xc7\x06\x45\x02\x00\x00\xc4\x01n"),
        ("a raw OPEN with a name that is cut off", b"\xc7\x05\x45\x02\x00\x00\xa2n"),
        ("a raw OPEN with a name that is no UTF-8", b"\xc7\x06\x45\x02\x00\x00\xa2\xc3\x28"),
        ("a raw OPEN with a line break in its name", b"\xc7\x06\x45\x02\x00\x00\xa2a\n"),
        ("a raw OPEN and more", b"\xc7\x06\x45\x02\x00\x00\xa1n\xc0"),
        ("DATA without an id", b"\xc7\x00\x06"),
        ("DATA with an id that is cut off", b"\xc7\x02\x06\xcd\x02"),
        ("DATA with metadata", b"\xc7\x03\x26\x02\x80\xc0"),
        ("END without an id", b"\xc7\x00\x07"),
        ("END with a flag", b"\xc7\x01\x47\x02"),
        ("END with two trailers", b"\xc7\x03\x07\x02\xc0\xc0"),
        ("RESET without a code", b"\xc7\x01\x08\x02"),
        ("RESET with a code above 32 bits", b"\xc7\x0a\x08\x02\xcf\0\0\0\x01\0\0\0\0"),
        ("RESET with a number for a text", b"\xc7\x03\x08\x02\x00\x07"),
        ("RESET and more", b"\xc7\x05\x08\x02\x00\xa1x\xc0"),
        ("RESET with a flag", b"\xc7\x02\x48\x02\x00"),
        ("ACK without a count", b"\xc7\x01\x0a\x02"),
        ("ACK and more", b"\xc7\x03\x0a\x02\x01\x01"),
        ("ACK of the connection without a count", b"\xc7\x01\x0a\x00"),
        ("ACK of the connection and more", b"\xc7\x03\x0a\x00\x01\x01"),
        ("ACK of number 1", b"\xc7\x02\x0a\x01\x01"),
    ];
    for &(what, units) in bad {
        let (section, code) = code(units);
        assert_eq!(code, ErrorCode::PROTOCOL, "{what}");
        assert!([1, 6].contains(&section), "{what}: PROTOCOL {section}");
    }
}

//= docs/PROTOCOL.md#6
#[test]
fn no_stream_has_the_number_of_the_connection_nor_1() {
    let units: [&[u8]; 5] = [
        b"\xc7\x04\x05\x00\x01\x00\xc0",
        b"\xc7\x05\x45\x00\x00\x00\xa1n",
        b"\xc7\x02\x06\x00\xc0",
        b"\xc7\x01\x07\x00",
        b"\xc7\x02\x08\x00\x00",
    ];
    for unit in units {
        for number in [0, 1] {
            let mut unit = unit.to_vec();
            unit[3] = number;
            assert_eq!(code(&unit), (6, ErrorCode::PROTOCOL), "{unit:02x?}");
        }
    }
    // The connection has credit, and its ACK means nothing yet.
    let heard = verdict(b"\xc7\x02\x09\x00\x05\xc7\x02\x0a\x00\x05").unwrap();
    assert_eq!(heard, ["Credit { stream: 0, total: 5 }", "Partial"]);
}

//= docs/PROTOCOL.md#9
#[test]
fn malformed_units_of_topics_are_violations() {
    let bad: &[(&str, &[u8])] = &[
        ("SUBSCRIBE without an alias", b"\xc7\x01\x0b\x05"),
        ("SUBSCRIBE without a topic", b"\xc7\x02\x0b\x05\x01"),
        ("SUBSCRIBE with a number for a topic", b"\xc7\x03\x0b\x05\x01\x07"),
        ("SUBSCRIBE to what is no UTF-8", b"\xc7\x05\x0b\x05\x01\xa2\xc3\x28"),
        ("SUBSCRIBE to a control character", b"\xc7\x04\x0b\x05\x01\xa1\x1b"),
        ("SUBSCRIBE with the metadata flag and none", b"\xc7\x04\x2b\x05\x01\xa1t"),
        ("SUBSCRIBE and more", b"\xc7\x05\x0b\x05\x01\xa1t\xc0"),
        ("SUBSCRIBE with metadata and more", b"\xc7\x06\x2b\x05\x01\xa1t\x80\xc0"),
        ("UNSUBSCRIBE without an alias", b"\xc7\x00\x0c"),
        ("UNSUBSCRIBE and more", b"\xc7\x02\x0c\x01\x01"),
        ("UNSUBSCRIBE with a flag", b"\xc7\x01\x4c\x01"),
        ("PUBLISH without an alias", b"\xc7\x00\x0d"),
        ("PUBLISH without a type", b"\xc7\x01\x0d\x01"),
        ("PUBLISH with a negative alias", b"\xc7\x03\x0d\xff\x01\xc0"),
        ("PUBLISH of no type with a body", b"\xc7\x03\x0d\x01\x00\xc0"),
        ("PUBLISH of no type and no count", b"\xc7\x02\x0d\x01\x00"),
        ("PUBLISH of no type and the count 0", b"\xc7\x03\x0d\x01\x00\x00"),
        ("PUBLISH of no type as retained", b"\xc7\x03\x4d\x01\x00\x05"),
        ("PUBLISH of no type and more", b"\xc7\x04\x0d\x01\x00\x05\x05"),
        ("PUBLISH with metadata", b"\xc7\x04\x2d\x01\x01\x80\xc0"),
    ];
    for &(what, units) in bad {
        assert_eq!(code(units), (1, ErrorCode::PROTOCOL), "{what}");
    }
}

/// The same unit, whatever its length.
fn unit(ty: u8, ids: &[u8], name: &str) -> Vec<u8> {
    let len = u16::try_from(name.len()).unwrap().to_be_bytes();
    let payload = [ids, &[0xda, len[0], len[1]], name.as_bytes()].concat();
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0xc8, len[0], len[1], ty], &payload[..]].concat()
}

//= docs/PROTOCOL.md#1
#[test]
fn a_name_has_256_bytes_at_most() {
    let longest = "é".repeat(128);
    let heard = verdict(&unit(0x45, b"\x02\x00\x00", &longest)).unwrap();
    assert!(heard[0].contains(&longest));
    let heard = verdict(&unit(0x0b, b"\x05\x01", &longest)).unwrap();
    assert!(heard[0].contains(&longest));
    for longer in ["x".repeat(257), "é".repeat(129), "x".repeat(16_000)] {
        assert_eq!(code(&unit(0x45, b"\x02\x00\x00", &longer)), (1, ErrorCode::PROTOCOL));
        assert_eq!(code(&unit(0x0b, b"\x05\x01", &longer)), (1, ErrorCode::PROTOCOL));
    }
}

/// What a body is, whoever reads it finds out; it concerns its stream alone.
#[test]
fn bodies_that_nobody_could_read_are_no_violation_of_the_connection() {
    let too_deep = [&b"\xc7\x22\x07\x02"[..], &[0x91; 32], b"\x90"].concat();
    let units: [&[u8]; 5] = [
        b"\xc7\x02\x06\x02\xc1",
        b"\xc7\x03\x05\x02\x01\x00",
        b"\xc7\x03\x0d\x01\x01\x93",
        b"\xc7\x02\x07\x02\xc1",
        &too_deep,
    ];
    for units in units {
        assert_eq!(verdict(units).unwrap().len(), 1, "{units:02x?}");
    }
}
