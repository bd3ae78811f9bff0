//! The corpus of the fuzz target, replayed, and then altered a little in many ways.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fuzzed;
mod support;

use std::fs;
use std::path::PathBuf;

use fuzzed::gofast_frames;

#[test]
fn frames_of_a_peer_and_what_is_nearly_one() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/gofast_frames");
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 12, "there is a corpus");
    let mut state = 1_u64;
    let mut draw = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 40).unwrap()
    };
    for path in paths {
        let first = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let least: usize = name.split('-').next_back().unwrap().parse().unwrap();
        assert_eq!(gofast_frames(&first), least, "{name}");
        for _ in 0..200 {
            let mut bytes = first.clone();
            for _ in 0..=draw() % 3 {
                let at = draw() % bytes.len();
                match draw() % 4 {
                    0 => bytes.insert(at, (draw() % 256).try_into().unwrap()),
                    1 if bytes.len() > 1 => _ = bytes.remove(at),
                    _ => bytes[at] ^= 1 << (draw() % 8),
                }
            }
            gofast_frames(&bytes);
        }
    }
}
