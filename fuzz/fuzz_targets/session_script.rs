//! See `session_script` in `crates/session/tests/fuzzed/mod.rs`.
#![no_main]

#[path = "../../crates/session/tests/fuzzed/mod.rs"]
mod fuzzed;
#[path = "../../crates/session/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _reason = fuzzed::session_script(data);
});
