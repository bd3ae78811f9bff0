//! No key of a session outlives it anywhere in memory. A test binary of its own with one test, so
//! that nothing else runs in the process that is searched.
#![cfg(target_os = "linux")]

#[path = "../../noise/tests/memory_scan/mod.rs"]
mod memory_scan;

use moorline_noise::Suite;

#[test]
fn no_key_is_in_memory_after_a_session() {
    for suite in [Suite::IkHfsChaCha, Suite::IkHfsAes, Suite::XxHfsChaCha] {
        let provider = moorline_noise_aws_lc::provider();
        let [alive, after] = memory_scan::found_in_a_session(suite, provider);
        assert!(alive.len() >= 4, "{suite}: the scan itself does not work: {alive:?}");
        assert!(after.is_empty(), "{suite}: {after:?}");
    }
}
