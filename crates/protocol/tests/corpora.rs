//! The corpus of the fuzz target `hello`, replayed, and then altered a little in many ways.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fuzzed;
mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use moorline_noise::{Peers, Suite};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{HandledTypes, Local, ProtocolFactory as _};
use support::{Chunks, End, List};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/hello")
}

#[test]
fn hello() {
    let mut paths: Vec<_> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 4);
    let mut state = 1_u64;
    let mut draw = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 40).unwrap()
    };
    for path in paths {
        let genuine = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let opens = name.starts_with("suite") || name.starts_with("plain");
        assert_eq!(fuzzed::hello(&genuine), opens, "{name}");
        for _ in 0..60 {
            let mut bytes = genuine.clone();
            for _ in 0..=draw() % 3 {
                let at = draw() % bytes.len();
                bytes[at] ^= 1 << (draw() % 8);
            }
            bytes.truncate(bytes.len() - draw() % 2 * (draw() % bytes.len()));
            fuzzed::hello(&bytes);
        }
    }
}

/// Genuine openings, which a fuzzer would never find by itself.
#[test]
#[ignore = "writes the first files of the corpus, after a change of what is on the wire"]
fn write_the_first_files() {
    fs::create_dir_all(folder()).unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(folder().join(name), bytes).unwrap();
    let openings = [
        ("suite-01", Msgpack::sealed(), Suite::IkHfsChaCha, 0),
        ("suite-03", Msgpack::sealed(), Suite::NkHfsChaCha, 0),
        ("suite-21-by-7", Msgpack::sealed(), Suite::IkHfsAes, 4),
        ("plain", Msgpack::plain(), Suite::IkHfsAes, 1),
        ("plain-by-1", Msgpack::plain(), Suite::IkHfsAes, 3),
    ];
    for (name, factory, suite, first) in openings {
        let bytes = opening(factory, suite);
        put(name, &[&[first], &bytes[..]].concat());
    }
    put("http", b"\x00GET / HTTP/1.1\r\nHost: here\r\n\r\n");
    put("tls", b"\x00\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
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
