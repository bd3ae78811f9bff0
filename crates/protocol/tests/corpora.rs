//! The corpora of the fuzz targets, replayed, and then altered a little in many ways.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fuzzed;
mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use fuzzed::bodies::{Record, Shape, msgpack_read, msgpack_walk};
use fuzzed::frames::frames;
use fuzzed::setup::setup;
use moorline_noise::{Peers, Suite};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{Format, HandledTypes, Local, ProtocolFactory as _};
use support::{Chunks, End, List};

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

/// Runs every file of a corpus and looks at what came of it; then altered forms of each.
fn replay<T>(target: &str, run: fn(&[u8]) -> T, variants: usize, genuine: impl Fn(&str, T)) {
    let mut paths: Vec<_> =
        fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 4, "{target} has a corpus");
    let mut state = 1_u64;
    let mut draw = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 40).unwrap()
    };
    for path in paths {
        let first = fs::read(&path).unwrap();
        genuine(path.file_name().unwrap().to_str().unwrap(), run(&first));
        for _ in 0..variants {
            let mut bytes = first.clone();
            for _ in 0..=draw() % 3 {
                let at = draw() % bytes.len();
                match draw() % 4 {
                    0 => bytes.insert(at, (draw() % 256).try_into().unwrap()),
                    1 if bytes.len() > 1 => _ = bytes.remove(at),
                    _ => bytes[at] ^= 1 << (draw() % 8),
                }
            }
            bytes.truncate(bytes.len() - draw() % 8 / 7 * (draw() % bytes.len()));
            run(&bytes);
        }
    }
}

#[test]
fn hello() {
    replay("hello", fuzzed::hello, 60, |name, opened| {
        let opens = name.starts_with("suite") || name.starts_with("plain");
        assert_eq!(opened, opens, "{name}");
    });
}

#[test]
fn the_frames_of_a_peer() {
    replay("frames", frames, 300, |name, heard| assert!(heard >= 3, "{name}: {heard} frames"));
}

#[test]
fn setups() {
    replay("setup", setup, 600, |name, taken| {
        assert_eq!(taken, !name.starts_with("bad"), "{name}");
    });
}

#[test]
fn bodies_walked_over() {
    replay("msgpack_walk", msgpack_walk, 5_000, |name, whole| {
        assert_eq!(whole, !name.starts_with("bad"), "{name}");
    });
}

#[test]
fn bodies_read() {
    replay("msgpack_read", msgpack_read, 5_000, |name, taken| {
        assert_eq!(taken, !name.starts_with("bad"), "{name}");
    });
}

#[cfg(feature = "cbor")]
#[test]
fn bodies_of_cbor() {
    replay("cbor_read", fuzzed::cbor::cbor_read, 5_000, |name, taken| {
        assert_eq!(taken > 0, !name.starts_with("bad"), "{name}");
        assert!(taken > 1 || !name.starts_with("typed"), "{name}");
    });
}

/// Genuine input, which a fuzzer would never find by itself.
#[test]
#[ignore = "writes the first files of the corpora, after a change of what is on the wire"]
fn write_the_first_files() {
    let openings = [
        ("suite-01", Msgpack::sealed(), Suite::IkHfsChaCha, 0),
        ("suite-03", Msgpack::sealed(), Suite::NkHfsChaCha, 0),
        ("suite-21-by-7", Msgpack::sealed(), Suite::IkHfsAes, 4),
        ("plain", Msgpack::plain(), Suite::IkHfsAes, 1),
        ("plain-by-1", Msgpack::plain(), Suite::IkHfsAes, 3),
    ];
    for (name, factory, suite, first) in openings {
        put("hello", name, &[&[first], &opening(factory, suite)[..]].concat());
    }
    put("hello", "http", b"\x00GET / HTTP/1.1\r\nHost: here\r\n\r\n");
    put("hello", "tls", b"\x00\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    write_frames();
    write_setups();
    write_bodies();
    #[cfg(feature = "cbor")]
    write_cbor();
}

fn put(target: &str, name: &str, bytes: &[u8]) {
    fs::create_dir_all(folder(target)).unwrap();
    fs::write(folder(target).join(name), bytes).unwrap();
}

/// Everything a dialer says until the session is open, and a ping.
fn opening(factory: Msgpack, suite: Suite) -> Vec<u8> {
    let ours = fuzzed::local(fuzzed::dialers(), suite);
    let theirs = fuzzed::local(fuzzed::listeners(), suite);
    let now = Instant::now();
    let remote = factory.authenticates().then(|| theirs.identity.as_ref().unwrap().public());
    let dialer = factory.initiator(Arc::clone(&ours), HandledTypes::new(), remote.into()).unwrap();
    let admission = Box::new(List(Peers::anyone().and_anonymous()));
    let listener = factory.responder(Arc::clone(&theirs), HandledTypes::new(), admission).unwrap();
    let end = |protocol, local: Arc<Local>| End::new(protocol, local, now);
    let (mut dialer, mut listener) = (end(dialer, ours), end(listener, theirs));
    let mut said = Vec::new();
    loop {
        let there = dialer.take_wire();
        said.extend_from_slice(&there);
        listener.receive(&there, Chunks::Whole, &mut support::no_frame).unwrap();
        let back = listener.take_wire();
        if there.is_empty() && back.is_empty() {
            break;
        }
        dialer.receive(&back, Chunks::Whole, &mut support::no_frame).unwrap();
    }
    let ping = dialer.seal_raw(&[0xc7, 1, 0x0e, 7]);
    said.extend_from_slice(&ping);
    said
}

fn write_frames() {
    let calls = b"\xc7\x05\x00\x02\x93\x01\x02\x03\xc7\x06\x01\x09\x02\x93\x01\x02\x03\
        \xc7\x0b\x61\x08\x01\x81\x00\xcd\x05\xdc\x93\x01\x02\x03\xc7\x04\x02\x09\xa2ok\
        \xc7\x07\x03\x09\xfb\xa4late\xc7\x01\x04\x09";
    let control = b"\xc7\x06\x09\x00\xce\x00\x18\x00\x00\xc7\x01\x0e\x01\xc7\x01\x0f\x01\
        \xc7\x06\x10\x00\xa4away\xc7\x00\x18\xc7\x05\x14\x00\xa3bye";
    let streams = b"\xc7\x0b\x05\x02\x02\xce\x00\x01\x00\x00\x93\x01\x02\x03\
        \xc7\x0c\x45\x04\x00\xce\x00\x01\x00\x00\xa4logs\xc7\x05\x46\x02\x93\x01\x02\x03\
        \xc7\x02\x0a\x02\x03\xc7\x06\x09\x02\xce\x00\x04\x00\x00\xc7\x04\x07\x02\xa2ok\
        \xc7\x07\x08\x04\xfb\xa4late\xc7\x04\x06\x04abc";
    let topics = b"\xc7\x09\x0b\x09\x01\xa6prices\xc7\x0c\x6b\x0a\x02\xa6prices\x81\x02\x01\
        \xc7\x06\x0d\x01\x02\x93\x01\x02\x03\xc7\x06\x4d\x02\x01\x93\x01\x02\x03\xc7\x01\x0c\x01";
    let pieces = b"\xc7\x05\x51\x00\x00\x04\x01a\xc7\x05\x51\x06\x46\x06\x02a\
        \xc7\x06\x51\x01\x01\x05\x09\x02b\xc7\x05\x51\x09\x02\x03\x07x\xc7\x06\x51\x04\x0d\x05\x01\x02b\
        \xc7\x03\x11\x06bc\xc7\x02\x11\x09y\xc7\x03\x11\x00bc\xc7\x02\x11\x06d\xc7\x03\x11\x04cd\
        \xc7\x02\x11\x06e\xc7\x03\x11\x01cd\xc7\x05\x51\x07\x06\x06\x02a\xc7\x01\x12\x07";
    let dict = b"\xc7\x04\x13\x03\x91\x05\xc0\xc7\x02\x00\x03\xc0\xc7\x05\x13\x04\x90\xc4\x01\x03\
        \xc7\x0f\x51\x00\x00\xce\x7f\xff\xff\xff\x01abcdef\xc7\x02\x11\x00g";
    let all: [(&str, u8, &[u8]); 8] = [
        ("calls", 0, calls),
        ("control", 4, control),
        ("streams", 8, streams),
        ("streams-by-1", 5, streams),
        ("topics", 0, topics),
        ("pieces", 4, pieces),
        ("pieces-by-7", 10, pieces),
        ("dict", 3, dict),
    ];
    for (name, first, units) in all {
        put("frames", name, &[&[first], units].concat());
    }
}

fn write_setups() {
    put("setup", "empty", b"\x80");
    let all = b"\x89\x00\xa5other\x02\xce\x00\x10\x00\x00\x03\xce\x00\x10\x00\x00\
        \x04\xce\x00\x04\x00\x00\x05\xcd\x10\x00\x06\xcd\x75\x30\x08\x00\x09\xc4\x01\x00\x0a\xcc\x80";
    put("setup", "all", all);
    put("setup", "unknown-keys", b"\x83\xa1k\xa1v\x3f\x92\x01\xc0\x0b\x93\x00\x01\x02");
    put("setup", "map-16", b"\xde\x00\x02\xcc\x05\x10\xcf\x00\x00\x00\x00\x00\x00\x00\x0a\x08");
    put("setup", "bad-floor", b"\x81\x04\xcd\xff\xff");
    put("setup", "bad-window", b"\x81\x04\xcf\x00\x00\x00\x00\x80\x00\x00\x01");
    put("setup", "bad-no-map", b"\x92\x02\x03");
    put("setup", "bad-more", b"\x80\x00");
}

fn shapes() -> Vec<Shape> {
    let inner = [("a".to_owned(), Shape::Unit)].into();
    let fields = Shape::Struct { maybe: Some(300), inner };
    vec![Shape::Newtype(Box::new(Shape::Unit)), Shape::Tuple(-5, "é".into(), vec![fields])]
}

fn record() -> Record {
    Record {
        flag: true,
        unsigned: (200, 60_000, 1 << 31, u64::MAX),
        signed: (-1, -200, i32::MIN, i64::MIN),
        text: "a text of more than thirty-one bytes".into(),
        bytes: vec![0, 200, 1],
        maybe: Some(vec![None, Some(-1)]),
        map: [(-5, "five".to_owned())].into(),
        shapes: shapes(),
        later: Some(Box::default()),
    }
}

fn write_bodies() {
    let record = record();
    let encoded = |value: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        value(&mut bytes);
        bytes
    };
    let compact = encoded(&|out| Format::MessagePack.encode(&record, out).unwrap());
    let named = rmp_serde::to_vec_named(&record).unwrap();
    let list = encoded(&|out| Format::MessagePack.encode(&shapes(), out).unwrap());
    let mut deepest = vec![0x91; 31];
    deepest.push(0x90);
    for (name, bytes) in [("record", &compact), ("record-named", &named), ("shapes", &list)] {
        put("msgpack_read", name, bytes);
        put("msgpack_walk", name, bytes);
    }
    put("msgpack_read", "untagged", b"\x82\xa1a\x93\x01\xa1b\x80\xa1c\xd1\xff\x00");
    put("msgpack_read", "tuple", b"\x93\xcc\xc8\xd3\xff\xff\xff\xff\xff\xff\xff\xff\xa1x");
    put("msgpack_read", "bytes-as-array", b"\x93\x01\xcc\xc8\x03");
    put("msgpack_read", "bad-short", b"\x92\x01\x02\xc1");
    put("msgpack_walk", "deepest", &deepest);
    deepest.insert(0, 0x91);
    put("msgpack_walk", "bad-too-deep", &deepest);
    let floats = b"\x92\xca\x7f\xc0\x00\x01\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00";
    put("msgpack_walk", "floats", floats);
    put("msgpack_walk", "bad-count", b"\xdd\xff\xff\xff\xff\x01");
    put("msgpack_walk", "bad-text", b"\xa2\xc3\x28");
}

#[cfg(feature = "cbor")]
fn write_cbor() {
    let mut bytes = Vec::new();
    Format::Cbor.encode(&record(), &mut bytes).unwrap();
    put("cbor_read", "typed-record", &bytes);
    bytes.clear();
    Format::Cbor.encode(&shapes(), &mut bytes).unwrap();
    put("cbor_read", "typed-shapes", &bytes);
    let tagged = [b"\xd9\xd9\xf7\xc1", &bytes[..]].concat();
    put("cbor_read", "typed-shapes-tagged", &tagged);
    let all: [(&str, &[u8]); 18] = [
        ("typed-shapes-to-break", b"\x9f\xbf\x67Newtype\x64Unit\xff\xa1\x64Unit\x07\xff"),
        ("typed-untagged", b"\xbf\x61a\x9f\x01\x61b\xa0\xff\x61c\x39\x01\x00\xff"),
        ("typed-tuple", b"\x9f\x18\xc8\x3b\x00\x00\x00\x00\x00\x00\x01\x00\x7f\x61x\x60\xff\xff"),
        ("typed-map", b"\xbf\x01\x82\xf5\x18\x61\x20\xf6\x02\xf7\x03\x83\xf4\x61z\x07\xff"),
        ("typed-bytes", b"\x43\x01\xc8\x03"),
        ("typed-bytes-as-array", b"\x83\x01\x18\xc8\x03"),
        ("typed-bytes-in-pieces", b"\x5f\x41\x01\x40\x42\xc8\x03\xff"),
        ("typed-bignum", b"\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00"),
        ("typed-bignum-negative", b"\xc3\x5f\x41\x01\x48\x00\x00\x00\x00\x00\x00\x00\x01\xff"),
        ("floats", b"\x83\xf9\x3e\x01\xfa\x7f\xc0\x00\x01\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00"),
        (
            "names-in-a-row",
            b"\xa1\x65terms\x86\x67Newtype\x67Newtype\x67Newtype\x64Unit\x65Tuple\x66Struct",
        ),
        ("bad-break-in-a-map", b"\xbf\x01\xff"),
        ("bad-pieces", b"\x5f\x01\xff"),
        ("bad-text", b"\x7f\x61\xc3\x61\xa9\xff"),
        ("bad-count", b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("bad-simple-value", b"\x81\xf8\xff"),
        (
            "bad-bignum",
            b"\xc2\x51\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        ),
        ("bad-trailing", b"\x80\x80"),
    ];
    for (name, bytes) in all {
        put("cbor_read", name, bytes);
    }
    let deepest = [&[0xc1; 16][..], &[0x81; 15], &[0x80]].concat();
    put("cbor_read", "deepest", &deepest);
    put("cbor_read", "bad-too-deep", &[&[0x9f][..], &deepest, &[0xff]].concat());
}
