//! See `cbor_read` in `crates/protocol/tests/fuzzed/cbor.rs`.
#![no_main]

#[path = "../../crates/protocol/tests/fuzzed/mod.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _taken = fuzzed::cbor::cbor_read(data);
});
