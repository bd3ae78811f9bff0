//! How far it is, on stderr: one line that changes on a terminal, a few that stay elsewhere.

use std::io::{self, IsTerminal, Write};

use super::event::Run;
use super::files::Files;

/// Characters of the bar.
const BAR_LEN: usize = 24;

pub(super) struct Progress {
    on_terminal: bool,
    /// A line stands there that the next one overwrites.
    drawn: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { on_terminal: io::stderr().is_terminal(), drawn: false }
    }

    pub(super) fn begin(&mut self, files: &Files) {
        let (count, source) = (files.files.len(), &files.source);
        let size = megabytes(files.bytes());
        self.say(&format!("two processes exchange {count} files, {size}: {source}"));
    }

    pub(super) fn show(&mut self, transport: &str, fraction: f64, messages: u64, bytes: u64) {
        if !self.on_terminal {
            return;
        }
        let bar = bar(fraction);
        let size = megabytes(bytes);
        self.write(&format!("\r\x1b[K{transport} [{bar}] {messages} messages, {size}"));
        self.drawn = true;
    }

    pub(super) fn finished(&mut self, run: &Run) {
        let (transport, messages) = (&run.transport, run.messages);
        let size = megabytes(run.bytes);
        let verdict = if run.verified { "every byte agreed" } else { "answers were wrong" };
        self.say(&format!(
            "{transport}: {messages} messages, {size} in {:.1} s, {verdict}",
            run.seconds
        ));
    }

    /// A line that stays.
    pub(super) fn say(&mut self, text: &str) {
        self.end();
        self.write(&format!("{text}\n"));
    }

    /// Takes the line away that would be overwritten.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.drawn) {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        // Nobody may be there to see it.
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a fraction is held between 0 and 1 before it becomes a number of characters"
)]
fn bar(fraction: f64) -> String {
    let full = (fraction.clamp(0.0, 1.0) * BAR_LEN as f64) as usize;
    format!("{}{}", "#".repeat(full), ".".repeat(BAR_LEN - full))
}

/// As people read it.
fn megabytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_never_longer_or_shorter_than_it_should_be() {
        for fraction in [-1.0, 0.0, 0.5, 1.0, 7.0, f64::NAN] {
            assert_eq!(bar(fraction).len(), BAR_LEN);
        }
        assert_eq!(bar(0.5).matches('#').count(), BAR_LEN / 2);
    }

    #[test]
    fn sizes_are_rounded_for_people() {
        assert_eq!(megabytes(0), "0 kB");
        assert_eq!(megabytes(1), "1 kB");
        assert_eq!(megabytes(999_999), "1000 kB");
        assert_eq!(megabytes(12_345_678), "12.3 MB");
    }
}
