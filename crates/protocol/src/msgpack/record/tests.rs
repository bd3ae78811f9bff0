use moorline_buffers::{BlockPool, BlockPoolConfig, RecvPool, SendBuffer};
use moorline_noise::{Handshake, HandshakeConfig, Identity, Provider, Suite, Transport};

use super::*;
use crate::code::ErrorCode;
use crate::msgpack::sealing::RecordSealing;
use crate::seam::Sealing as _;

/// A finished handshake: what the initiator seals with, and what the responder opens with.
fn halves() -> (RecordSealing, Units) {
    let provider = Provider::pure();
    let identity = Identity::generate(&provider).unwrap();
    let remote = Some(identity.public());
    let config = |local, remote| HandshakeConfig {
        suite: Suite::Nk,
        prologue: b"test",
        local,
        remote,
        provider,
    };
    let mut dialer = Handshake::initiator(config(None, remote)).unwrap();
    let mut listener = Handshake::responder(config(Some(&identity), None)).unwrap();
    let mut message = [0; 128];
    let mut admit = |_: &_| true;
    let len = dialer.write(&[], &mut message).unwrap();
    listener.read(&message[..len], &mut [], &mut admit).unwrap();
    let len = listener.write(&[], &mut message).unwrap();
    dialer.read(&message[..len], &mut [], &mut admit).unwrap();
    let Transport { sealer, .. } = dialer.finish().unwrap();
    let Transport { opener, .. } = listener.finish().unwrap();
    let mut units = Units::sealed(opener, 4_096);
    units.lift_first_limit();
    units.setup_came();
    (RecordSealing::new(sealer, blocks()), units)
}

fn blocks() -> BlockPool {
    BlockPool::new(BlockPoolConfig::messages())
}

/// Seals each of `plains` as a record.
fn seal(sealing: &mut RecordSealing, plains: &[&[u8]]) -> Vec<u8> {
    let pool = blocks();
    let mut wire = SendBuffer::new(&pool);
    for plain in plains {
        let mut block = pool.acquire().unwrap();
        block.spare_mut()[..plain.len()].copy_from_slice(plain);
        block.commit(plain.len());
        sealing.seal(block, &mut wire).unwrap();
    }
    let mut bytes = Vec::new();
    while let Some(block) = wire.pop_block() {
        bytes.extend_from_slice(block.bytes());
    }
    bytes
}

/// The payloads of all units in `bytes`, and what ended them.
fn open(units: &mut Units, bytes: &[u8], now: Instant) -> (Vec<Vec<u8>>, Option<Broken>) {
    let mut input = RecvPool::default().acquire(bytes.len()).unwrap();
    input.extend_from_slice(bytes).unwrap();
    let mut payloads = Vec::new();
    loop {
        match units.next(now, &mut input) {
            Ok(Some(unit)) => payloads.push(input.take(unit.len)[unit.header_len..].to_vec()),
            Ok(None) => return (payloads, None),
            Err(broken) => return (payloads, Some(broken)),
        }
    }
}

fn violation(broken: Option<Broken>) -> Violation {
    match broken {
        Some(Broken::Violation(violation)) => violation,
        other => panic!("a violation, not {other:?}"),
    }
}

const PING: &[u8] = b"\xc7\x01\x0e\x01";
const KEY_UPDATE: &[u8] = b"\xc7\x00\x15";

//= docs/PROTOCOL.md#3
#[test]
fn padding_between_units_is_skipped() {
    let (mut sealing, mut units) = halves();
    let padded = b"\0\0\xc7\x01\x0e\x01\0\xd4\x0e\x02\0\0";
    let wire = seal(&mut sealing, &[padded, &[0; 9], PING]);
    let (payloads, broken) = open(&mut units, &wire, Instant::now());
    assert_eq!((payloads, broken), (vec![vec![1], vec![2], vec![1]], None));
}

//= docs/PROTOCOL.md#3
#[test]
fn keys_change_by_records_and_by_bytes_and_the_peer_follows() {
    let ((by_records, units), (by_bytes, other_units)) = (halves(), halves());
    let sides =
        [(by_records.with_records_max(3), units), (by_bytes.with_bytes_max(8), other_units)];
    for (mut sealing, mut units) in sides {
        let wire = seal(&mut sealing, &[PING; 9]);
        let updates = (wire.len() - 9 * 24) / 23;
        assert_eq!(updates, 4, "a change before every third ping");
        let (payloads, broken) = open(&mut units, &wire, Instant::now());
        assert_eq!((payloads.len(), broken), (9, None));
    }
}

//= docs/PROTOCOL.md#3
#[test]
fn a_key_that_is_old_is_changed_when_asked_for_and_an_unused_one_is_not() {
    let (mut sealing, mut units) = halves();
    let mut wire = SendBuffer::new(&blocks());
    sealing.renew_key(&mut wire).unwrap();
    assert!(wire.is_empty());
    let mut bytes = seal(&mut sealing, &[PING]);
    sealing.renew_key(&mut wire).unwrap();
    bytes.extend_from_slice(wire.pop_block().unwrap().bytes());
    bytes.extend(seal(&mut sealing, &[PING, PING]));
    assert_eq!(bytes.len(), 3 * 24 + 23);
    let (payloads, broken) = open(&mut units, &bytes, Instant::now());
    assert_eq!((payloads.len(), broken), (3, None));
}

//= docs/PROTOCOL.md#3
#[test]
fn no_record_is_empty() {
    let (mut sealing, mut units) = halves();
    let wire = seal(&mut sealing, &[b"", PING]);
    assert_eq!(wire.len(), 24);
    assert_eq!(open(&mut units, &wire, Instant::now()).0.len(), 1);
}

//= docs/PROTOCOL.md#3
#[test]
fn a_key_update_is_alone_empty_and_without_flags() {
    let bad: [&[u8]; 5] = [
        b"\xc7\x00\x15\xc7\x01\x0e\x01",
        b"\xc7\x01\x0e\x01\xc7\x00\x15",
        b"\xc7\x00\x15\xc7\x00\x15",
        b"\xc7\x01\x15\x00",
        b"\xc7\x00\x55",
    ];
    for plain in bad {
        let (mut sealing, mut units) = halves();
        let wire = seal(&mut sealing, &[plain]);
        let (_, broken) = open(&mut units, &wire, Instant::now());
        assert_eq!(violation(broken).section, 3, "{plain:02x?}");
    }
}

//= docs/PROTOCOL.md#3
#[test]
fn a_flood_of_key_updates_is_stopped_and_the_usual_ones_are_not() {
    let (sealing, mut units) = halves();
    // Every record of two is an update.
    let mut sealing = sealing.with_records_max(2);
    let (mut now, mut total) = (Instant::now(), 0);
    for _ in 0..3 {
        let wire = seal(&mut sealing, &[PING; 60]);
        let (payloads, broken) = open(&mut units, &wire, now);
        assert_eq!(broken, None);
        total += payloads.len();
        now += Duration::from_secs(61);
    }
    assert_eq!(total, 180);
    let wire = seal(&mut sealing, &[PING; 70]);
    let (payloads, broken) = open(&mut units, &wire, now);
    assert_eq!(violation(broken).code, ErrorCode::PROTOCOL);
    assert!((64..70).contains(&payloads.len()), "{}", payloads.len());
}

//= docs/PROTOCOL.md#3
#[test]
fn a_sender_that_never_changes_its_key_is_closed() {
    let (mut sealing, mut units) = halves();
    if let Channel::Sealed(records) = &mut units.channel {
        records.records_max = 5;
    }
    let wire = seal(&mut sealing, &[PING; 6]);
    let (payloads, broken) = open(&mut units, &wire, Instant::now());
    assert_eq!((payloads.len(), violation(broken).section), (5, 3));
}

//= docs/PROTOCOL.md#3
#[test]
fn what_is_no_record_of_a_fit_length_is_the_end() {
    let cases: [(&[u8], Broken); 7] = [
        (b"\x00", Broken::NoRecord),
        (b"\xc7", Broken::NoRecord),
        (b"\xc8\x00\x20\x1d", Broken::NoRecord),
        (b"\xc8\x00\x20\x3f", Broken::NoRecord),
        (b"\xc8\x00\x10\x1f", Broken::Length),
        (b"\xc8\x00\x00\x1f", Broken::Length),
        (b"\xc8\x10\x11\x1f", Broken::Length),
    ];
    for (bytes, expected) in cases {
        let (_, mut units) = halves();
        let (payloads, broken) = open(&mut units, bytes, Instant::now());
        assert_eq!((payloads.len(), broken), (0, Some(expected)), "{bytes:02x?}");
    }
    let (_, mut units) = halves();
    assert_eq!(open(&mut units, b"\xc8\x10\x10\x1f", Instant::now()), (vec![], None));
}

#[test]
fn a_unit_never_spans_two_records() {
    let (mut sealing, mut units) = halves();
    let wire = seal(&mut sealing, &[b"\xc7\x05\x0e\x01", b"\x02\x03\x04\x05"]);
    let (payloads, broken) = open(&mut units, &wire, Instant::now());
    assert!(payloads.is_empty());
    assert_eq!(violation(broken).section, 3);
}

#[test]
fn without_records_there_is_no_padding_and_no_longer_unit_than_said() {
    let mut units = Units::plain(4_096);
    units.lift_first_limit();
    let (payloads, broken) = open(&mut units, b"\xc7\x01\x0e\x01\x00", Instant::now());
    assert_eq!((payloads.len(), violation(broken).section), (1, 1));
    let (_, broken) = open(&mut units, b"\xc8\x0f\xfd\x00", Instant::now());
    assert_eq!(violation(broken).section, 9);
    assert_eq!(open(&mut units, b"\xc8\x0f\xfc\x00", Instant::now()).1, None);
}

#[test]
fn key_update_units_are_what_they_look_like() {
    let mut unit = [0; 3];
    unit::write_header(&mut unit, Op::KeyUpdate.ty(), 0);
    assert_eq!(unit, KEY_UPDATE);
}
