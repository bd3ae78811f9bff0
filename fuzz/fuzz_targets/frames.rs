//! See `frames` in `crates/protocol/tests/fuzzed/frames.rs`.
#![no_main]

#[path = "../../crates/protocol/tests/fuzzed/mod.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _heard = fuzzed::frames::frames(data);
});
