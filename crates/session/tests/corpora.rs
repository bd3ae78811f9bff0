//! The corpus of the fuzz target `session_script`, replayed, and then altered a little in many ways.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fuzzed;
mod support;

use std::fs;
use std::path::PathBuf;

use fuzzed::session_script;
use moorline_protocol::CloseReason;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/session_script")
}

/// Numbers that look random and are the same each time.
fn draws() -> impl FnMut() -> usize {
    let mut state = 1_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 40).unwrap()
    }
}

#[test]
fn scripts_of_a_peer_and_an_application() {
    let mut paths: Vec<_> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 4, "there is a corpus");
    let mut draw = draws();
    for path in paths {
        let first = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let ended = session_script(&first);
        let violated = matches!(ended, Some(CloseReason::Violation(_)));
        assert_eq!(violated, name.starts_with("bad"), "{name}: {ended:?}");
        for _ in 0..60 {
            let mut bytes = first.clone();
            for _ in 0..=draw() % 4 {
                let at = draw() % bytes.len();
                match draw() % 4 {
                    0 => bytes.insert(at, (draw() % 256).try_into().unwrap()),
                    1 if bytes.len() > 1 => _ = bytes.remove(at),
                    _ => bytes[at] ^= 1 << (draw() % 8),
                }
            }
            session_script(&bytes);
        }
    }
}

#[test]
fn scripts_of_chance() {
    let mut draw = draws();
    for _ in 0..300 {
        let bytes: Vec<u8> =
            (0..draw() % 600).map(|_| u8::try_from(draw() % 256).unwrap()).collect();
        session_script(&bytes);
    }
}

/// Scripts of chance that go on for long, and some that come to the end they deserve.
#[test]
#[ignore = "writes the first files of the corpus, after a change of what a script's bytes mean"]
fn write_the_first_files() {
    fs::create_dir_all(folder()).unwrap();
    let mut draw = draws();
    let (mut good, mut bad) = (0, 0);
    while good < 6 || bad < 4 {
        let bytes: Vec<u8> =
            (0..300 + draw() % 300).map(|_| u8::try_from(draw() % 256).unwrap()).collect();
        let violated = matches!(session_script(&bytes), Some(CloseReason::Violation(_)));
        let (kind, count, wanted) =
            if violated { ("bad", &mut bad, 4) } else { ("talk", &mut good, 6) };
        if *count < wanted {
            *count += 1;
            fs::write(folder().join(format!("{kind}-{count}")), &bytes).unwrap();
        }
    }
}
