use moorline_buffers::{BlockPool, BlockPoolConfig};

use super::*;
use crate::dialect::{HEARTBEAT, PING};

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

fn frame(dialect: Dialect, kind: Kind, opaque: u64, inner: Inner<'_>) -> Vec<u8> {
    let pool = BlockPool::new(BlockPoolConfig::messages());
    let mut out = SendBuffer::new(&pool);
    let packet = Packet { dialect, kind, opaque, inner };
    packet.append(&packet.lens(), None, &mut out).unwrap();
    let bytes = out.pop_block().unwrap().bytes().to_vec();
    assert_eq!(bytes.len(), packet.len());
    bytes
}

fn message(dialect: Dialect, kind: Kind, opaque: u64, id: u64, body: &[u8]) -> Vec<u8> {
    let whole = frame(dialect, kind, opaque, Inner::Message { id, body: [body, &[]] });
    let (first, second) = body.split_at(body.len() / 2);
    let parts = frame(dialect, kind, opaque, Inner::Message { id, body: [first, second] });
    assert_eq!(whole, parts);
    whole
}

//= docs/PROTOCOL.md#11
#[test]
fn frames_of_2017_are_those_of_running_peers() {
    let y2017 = Dialect::Y2017;
    let a = b"aaaaa";
    for (kind, opaque, id, body, golden) in [
        (
            Kind::Request,
            160_002,
            y2017.id_of(PING),
            &b"\0\x05hello"[..],
            "d9d9f7815819da0002710253d82bbfd82c191001d82d47000568656c6c6fff",
        ),
        (Kind::Post, 160_003, 111, a, "d9d9f7c656da0002710350d82bbfd82c186fd82d456161616161ff"),
        (Kind::Request, 160_004, 112, a, "d9d9f78156da0002710450d82bbfd82c1870d82d456161616161ff"),
        (Kind::Start, 160_005, 113, a, "d9d9f79f56da0002710550d82bbfd82c1871d82d456161616161ff"),
        (Kind::Message, 160_005, 113, a, "d9d9f7c756da0002710550d82bbfd82c1871d82d456161616161ff"),
        (
            Kind::Post,
            160_006,
            y2017.id_of(HEARTBEAT),
            &[0; 8],
            "d9d9f7c6581ada0002710654d82bbfd82c191003d82d480000000000000000ff",
        ),
        (Kind::Request, 160_001, 112, b"", "d9d9f78151da000271014bd82bbfd82c1870d82d40ff"),
    ] {
        assert_eq!(message(y2017, kind, opaque, id, body), hex(golden), "{golden}");
    }
    let end = frame(y2017, Kind::End, 160_005, Inner::End);
    assert_eq!(end, hex("d9d9f7c846da0002710540ff"));
}

//= docs/PROTOCOL.md#11
#[test]
fn frames_of_2016_are_those_of_running_peers() {
    let y2016 = Dialect::Y2016;
    for (kind, opaque, id, body, golden) in [
        (
            Kind::Request,
            2001,
            1,
            &b"\x9fBhi\xff"[..],
            "d9d9f78153d907d14fd825bf1827011828459f426869ffff",
        ),
        (Kind::Post, 2002, 111, b"p", "d9d9f7c650d907d24cd825bf1827186f18284170ff"),
        (Kind::Request, 2003, 111, b"abcde", "d9d9f78154d907d350d825bf1827186f1828456162636465ff"),
        (Kind::Start, 2004, 111, b"s0", "d9d9f79f51d907d44dd825bf1827186f1828427330ff"),
        (Kind::Message, 2004, 111, b"s1", "d9d9f7c751d907d44dd825bf1827186f1828427331ff"),
        (Kind::Post, 2005, 3, b"\x9f\x00\xff", "d9d9f7c651d907d54dd825bf1827031828439f00ffff"),
    ] {
        assert_eq!(message(y2016, kind, opaque, id, body), hex(golden), "{golden}");
    }
    assert_eq!(frame(y2016, Kind::End, 2004, Inner::End), hex("d9d9f7c844d907d4ff"));
}

//= docs/PROTOCOL.md#11
#[test]
fn a_reader_of_any_cbor_parses_every_frame() {
    for dialect in [Dialect::Y2016, Dialect::Y2017] {
        for len in [0, 1, 23, 24, 255, 256, 5000] {
            for (kind, opaque) in [(Kind::Post, 300), (Kind::Request, 55_000), (Kind::Message, 300)]
            {
                let bytes = message(dialect, kind, opaque, 70_000, &vec![7; len]);
                let mut reader = minicbor::Decoder::new(&bytes);
                reader.skip().unwrap();
                assert_eq!(reader.position(), bytes.len(), "{kind:?} with {len} bytes");
                inside(&bytes, opaque);
            }
        }
        // The start of a stream opens an array, its end closes it; 2016 forgot to.
        let mut stream = message(dialect, Kind::Start, 300, 113, b"s0");
        stream.extend(message(dialect, Kind::Message, 300, 113, b"s1"));
        stream.extend(frame(dialect, Kind::End, 300, Inner::End));
        if dialect == Dialect::Y2016 {
            stream.push(0xff);
        }
        let mut reader = minicbor::Decoder::new(&stream);
        reader.skip().unwrap();
        assert_eq!(reader.position(), stream.len());
    }
}

/// What the byte strings of a frame hold is CBOR as well.
fn inside(frame: &[u8], opaque: u64) {
    let mut reader = minicbor::Decoder::new(frame);
    reader.tag().unwrap();
    match reader.datatype().unwrap() {
        minicbor::data::Type::Tag => drop(reader.tag().unwrap()),
        _ => drop(reader.array().unwrap()),
    }
    let mut packet = minicbor::Decoder::new(reader.bytes().unwrap());
    assert_eq!(packet.tag().unwrap().as_u64(), opaque);
    let message = packet.bytes().unwrap();
    assert_eq!(packet.position(), packet.input().len());
    let mut reader = minicbor::Decoder::new(message);
    reader.skip().unwrap();
    assert_eq!(reader.position(), message.len());
}
