//! See `peers_file` in `crates/noise/tests/fuzzed/mod.rs`.
#![no_main]

#[path = "../../crates/noise/tests/fuzzed/mod.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::peers_file(data));
