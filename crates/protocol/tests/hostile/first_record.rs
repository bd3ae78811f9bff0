//! The first record of a dialer that is written by hand.

use std::time::Instant;

use moorline_noise::{Handshake, HandshakeConfig, Peers, Sealer, Suite, Suites, prologue};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{CloseReason, HandshakeRefusal, Local};

use crate::support::{Chunks, End, local, no_frame, told};

/// A dialer by hand: a listener that has answered its handshake, and what it seals with.
fn scripted() -> (End, Sealer) {
    let (dialer, listener) = (local(1), local(2));
    let remote = listener.identity.as_ref().map(|identity| identity.public());
    let preamble = *b"MOOR\x01\x01\x11\x01\0\0\0\0\0\0\0\0";
    let mut handshake = Handshake::initiator(HandshakeConfig {
        suite: Suite::Ik,
        prologue: &prologue(&preamble, "", None),
        local: dialer.identity.as_deref(),
        remote,
        provider: dialer.provider,
    })
    .unwrap();
    let mut caps = [0; 32];
    caps[..4].copy_from_slice(&[1, 1, 1, 16]);
    caps[16..24].copy_from_slice(&listener.registry.digest(3));
    let mut hello = vec![0; 3 + 16 + 128];
    hello[..3].copy_from_slice(b"\xc7\x90\x1c");
    hello[3..19].copy_from_slice(&preamble);
    handshake.write(&caps, &mut hello[19..]).unwrap();
    let listener = Local { suites: Suites::only(&[Suite::Ik]), ..listener };
    let now = Instant::now();
    let mut listener = End::responder(Msgpack::sealed(), listener, Peers::anyone(), now);
    listener.receive(&hello, Chunks::Whole, &mut no_frame).unwrap();
    let answer = listener.take_wire();
    assert_eq!(answer[..3], *b"\xc7\x50\x1d");
    handshake.read(&answer[3..], &mut caps, &mut |_| true).unwrap();
    (listener, handshake.finish().unwrap().sealer)
}

fn record(sealer: &mut Sealer, plain: &[u8]) -> Vec<u8> {
    let len = u16::try_from(plain.len() + 16).unwrap().to_be_bytes();
    let header = [0xc8, len[0], len[1], 0x1f];
    let (mut body, mut tag) = (plain.to_vec(), [0; 16]);
    sealer.seal(&header, &mut body, &mut tag).unwrap();
    [&header[..], &body, &tag].concat()
}

/// SETUP of three types, those of the usual registry.
const SETUP: &[u8] = b"\xc7\x03\x1e\x81\x08\x03";

//= docs/PROTOCOL.md#2
#[test]
fn the_first_record_is_setup_alone_or_nothing() {
    let good: [&[u8]; 2] = [SETUP, b"\0\xc7\x03\x1e\x81\x08\x03\0\0"];
    for plain in good {
        let (mut listener, mut sealer) = scripted();
        let bytes = record(&mut sealer, plain);
        listener.receive(&bytes, Chunks::Of(1), &mut no_frame).unwrap();
        assert!(listener.opened.is_some());
        assert_eq!(listener.protocol.read_capacity(), 64 * 1024);
    }
    let bad: [&[u8]; 7] = [
        b"\0\0\0",
        b"\xc7\x00\x15",
        b"\xc7\x03\x1e\x81\x08\x03\xc7\x01\x0e\x01",
        b"\xc7\x01\x0e\x01\xc7\x03\x1e\x81\x08\x03",
        b"\xc7\x03\x3e\x81\x08\x03",
        b"\xc7\x09\x1e\x81\x08\x03",
        b"\x81\x08\x03",
    ];
    for plain in bad {
        let (mut listener, mut sealer) = scripted();
        let bytes = record(&mut sealer, plain);
        let verdict = listener.receive(&bytes, Chunks::Whole, &mut no_frame);
        let refused = Err(CloseReason::HandshakeRefused(HandshakeRefusal::FirstRecord));
        assert_eq!(verdict, refused, "{plain:02x?}");
        assert!(listener.opened.is_none() && listener.take_wire().is_empty());
    }
}

#[test]
fn setup_and_what_follows_it_may_come_at_once_in_records_of_their_own() {
    let (mut listener, mut sealer) = scripted();
    let mut bytes = record(&mut sealer, SETUP);
    bytes.extend(record(&mut sealer, b"\xc7\x01\x0e\x01"));
    let mut heard = Vec::new();
    listener.receive(&bytes, Chunks::Whole, &mut |frame, _| heard.push(told(frame))).unwrap();
    assert_eq!(heard, ["Ping { nonce: 1 }"]);
}
