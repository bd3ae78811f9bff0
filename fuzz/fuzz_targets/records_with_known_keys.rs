//! See `records_with_known_keys` in `crates/noise/tests/fuzzed/mod.rs`.
#![no_main]

#[path = "../../crates/noise/tests/fuzzed/mod.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::records_with_known_keys(data));
