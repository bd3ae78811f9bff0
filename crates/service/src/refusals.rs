//! Connections that did not become sessions: counted by cause, and named in the log, though not
//! more often than somebody would read.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines in the log each second; the rest is only counted.
const LINES_PER_SECOND_MAX: u32 = 10;

#[derive(Default)]
pub(crate) struct Refusals {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_cause: BTreeMap<&'static str, u64>,
    second: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl Refusals {
    pub(crate) fn count(&self, cause: &'static str, peer: &str, reason: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let count = state.by_cause.entry(cause).or_default();
        *count += 1;
        let count = *count;
        let now = Instant::now();
        if state.second.is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1)) {
            state.second = Some(now);
            state.lines = 0;
        }
        if state.lines >= LINES_PER_SECOND_MAX {
            state.suppressed += 1;
            return;
        }
        state.lines += 1;
        let suppressed = std::mem::take(&mut state.suppressed);
        drop(state);
        tracing::warn!(peer, cause, count, suppressed, reason, "no session");
    }
}
