//! What happened, as text: one line for each event.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::limits::{TRACE_LINES_MAX, TRACE_LINES_SHOWN};

/// The lines of one simulation: a handle.
#[derive(Clone)]
pub(crate) struct Trace(Rc<RefCell<Lines>>);

struct Lines {
    last: VecDeque<String>,
    count: u64,
    hash: u64,
}

/// FNV-1a with 64 bits: short, the same on every machine, and nobody attacks it here.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

impl Trace {
    pub(crate) fn new() -> Self {
        let lines = Lines { last: VecDeque::new(), count: 0, hash: FNV_START };
        Self(Rc::new(RefCell::new(lines)))
    }

    /// Adds the line of an event. `who` is `a`, `b`, or `-` for what is done to both.
    pub(crate) fn say(&self, at: Duration, who: &str, what: fmt::Arguments<'_>) {
        let (seconds, nanos) = (at.as_secs(), at.subsec_nanos());
        let line = format!("{seconds:>4}.{nanos:09} {who} {what}");
        let mut lines = self.0.borrow_mut();
        let bytes = line.bytes().chain([b'\n']);
        lines.hash =
            bytes.fold(lines.hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
        lines.count += 1;
        if lines.last.len() == TRACE_LINES_MAX {
            lines.last.pop_front();
        }
        lines.last.push_back(line);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.0.borrow().hash
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.borrow().count
    }

    /// All lines that are kept.
    pub(crate) fn text(&self) -> String {
        self.last(TRACE_LINES_MAX)
    }

    /// The lines that tell most of a failure: the last ones.
    pub(crate) fn tail(&self) -> String {
        self.last(TRACE_LINES_SHOWN)
    }

    fn last(&self, count: usize) -> String {
        let lines = &self.0.borrow().last;
        let mut text = String::new();
        for line in lines.iter().skip(lines.len().saturating_sub(count)) {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_over_time_side_and_text() {
        let hash = |at: u64, who: &str, what: &str| {
            let trace = Trace::new();
            trace.say(Duration::from_millis(at), who, format_args!("{what}"));
            trace.hash()
        };
        let first = hash(1, "a", "x");
        assert_eq!(first, hash(1, "a", "x"));
        assert!(
            [hash(2, "a", "x"), hash(1, "b", "x"), hash(1, "a", "y")].iter().all(|h| *h != first)
        );
    }

    #[test]
    fn a_line_has_time_side_and_event() {
        let trace = Trace::new();
        trace.say(Duration::from_millis(1_250), "b", format_args!("hears post"));
        assert_eq!(trace.text(), "   1.250000000 b hears post\n");
    }
}
