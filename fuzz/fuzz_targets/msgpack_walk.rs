//! See `msgpack_walk` in `crates/protocol/tests/fuzzed/bodies.rs`.
#![no_main]

#[path = "../../crates/protocol/tests/fuzzed/mod.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _whole = fuzzed::bodies::msgpack_walk(data);
});
