//! See `hello` in `crates/protocol/tests/fuzzed/mod.rs`.
#![no_main]

#[path = "../../crates/protocol/tests/fuzzed/mod.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _opened = fuzzed::hello(data);
});
