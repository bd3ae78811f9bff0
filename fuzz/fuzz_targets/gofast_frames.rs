//! See `gofast_frames` in `crates/gofast/tests/fuzzed/mod.rs`.
#![no_main]

#[path = "../../crates/gofast/tests/fuzzed/mod.rs"]
mod fuzzed;
#[path = "../../crates/gofast/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _heard = fuzzed::gofast_frames(data);
});
