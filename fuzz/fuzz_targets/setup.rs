//! See `setup` in `crates/protocol/tests/fuzzed/setup.rs`.
#![no_main]

#[path = "../../crates/protocol/tests/fuzzed/mod.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _taken = fuzzed::setup::setup(data);
});
