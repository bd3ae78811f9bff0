//! What it all came to: a table for people, or one JSON object.

use serde::Serialize;

use super::event::Run;
use super::files::Files;
use crate::exit::Exit;
use crate::output;

/// Transports that must have been used: all that this system has.
const RUNS: usize = if cfg!(unix) { 2 } else { 1 };

#[derive(Serialize)]
pub(super) struct Report {
    ok: bool,
    interrupted: bool,
    /// Where the files come from, in words.
    source: String,
    files: usize,
    /// In all files, once.
    file_bytes: u64,
    runs: Vec<Run>,
    failures: Vec<String>,
    /// The client has said what is wrong; that it then ended with a code says nothing more.
    #[serde(skip)]
    told: bool,
    #[serde(skip)]
    code: u8,
}

impl Report {
    pub(super) fn new(files: &Files) -> Self {
        Self {
            ok: false,
            interrupted: false,
            source: files.source.clone(),
            files: files.files.len(),
            file_bytes: files.bytes(),
            runs: Vec::new(),
            failures: Vec::new(),
            told: false,
            code: 1,
        }
    }

    /// Nothing was started, for this reason.
    pub(super) fn of_failure(reason: String, code: u8) -> Self {
        let files = Files { source: String::new(), files: Vec::new() };
        Self { failures: vec![reason], code, ..Self::new(&files) }
    }

    pub(super) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// The same is said once: four sessions end for one reason.
    pub(super) fn fail(&mut self, reason: String) {
        if !self.failures.contains(&reason) {
            self.failures.push(reason);
        }
    }

    /// As [`fail`](Self::fail), in the words of a child that ends after it.
    pub(super) fn fail_as_told(&mut self, reason: String) {
        self.told = true;
        self.fail(reason);
    }

    /// As [`fail`](Self::fail), unless a child has said it better.
    pub(super) fn fail_unless_told(&mut self, reason: String) {
        if !self.told {
            self.fail(reason);
        }
    }

    pub(super) fn interrupt(&mut self) {
        self.interrupted = true;
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Says whether everything was as it should be.
    pub(super) fn conclude(&mut self) {
        let done = self.runs.len() == RUNS && self.runs.iter().all(|run| run.verified);
        if !done && !self.interrupted && self.failures.is_empty() {
            self.failures.push("not everything was sent and checked".into());
        }
        self.ok = done && !self.interrupted && self.failures.is_empty();
    }

    /// Prints it, and ends as it should be ended.
    pub(super) fn print(&self, json: bool) -> Result<(), Exit> {
        if json {
            let text = serde_json::to_string(self).expect("a report has only keys that are text");
            output::print(&text)?;
        } else if !self.runs.is_empty() {
            output::print(&table(&self.runs))?;
        }
        for failure in &self.failures {
            output::tell(&format!("moor: {failure}"));
        }
        match (self.ok, self.interrupted) {
            (true, _) => Ok(()),
            (false, true) => {
                if self.failures.is_empty() {
                    output::tell("moor: interrupted; what was begun was answered");
                }
                Err(Exit::interrupted())
            }
            (false, false) => Err(Exit::as_told(self.code)),
        }
    }
}

fn table(runs: &[Run]) -> String {
    let head = [
        "transport",
        "suite",
        "handshake",
        "sessions",
        "messages/s",
        "MB/s",
        "p50",
        "p99",
        "bytes",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(runs.iter().map(row));
    let widths: Vec<usize> = (0..head.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            // Words to the left, numbers to the right.
            if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn row(run: &Run) -> [String; 9] {
    [
        run.transport.clone(),
        run.suite.clone(),
        format!("{:.2} ms", run.handshake_ms),
        run.sessions.to_string(),
        format!("{:.0}", run.messages_per_s),
        format!("{:.1}", run.mb_per_s),
        format!("{:.0} us", run.p50_us),
        format!("{:.0} us", run.p99_us),
        if run.verified { "all agreed" } else { "DIFFERENT" }.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(verified: bool) -> Run {
        Run {
            transport: "tcp".into(),
            suite: "Noise".into(),
            handshake_ms: 1.0,
            sessions: 4,
            passes: 1,
            messages: 10,
            bytes: 10,
            seconds: 1.0,
            messages_per_s: 10.0,
            mb_per_s: 0.0,
            p50_us: 1.0,
            p99_us: 2.0,
            verified,
        }
    }

    fn concluded(change: impl FnOnce(&mut Report)) -> Report {
        let mut report = Report::new(&Files { source: String::new(), files: Vec::new() });
        change(&mut report);
        report.conclude();
        report
    }

    #[test]
    fn only_all_runs_without_any_failure_are_a_success() {
        let all = |report: &mut Report| (0..RUNS).for_each(|_| report.add(run(true)));
        assert!(concluded(all).ok);
        assert!(!concluded(|report| report.add(run(false))).ok);
        assert!(!concluded(|_| {}).ok);
        let failed = concluded(|report| {
            all(report);
            report.fail("a".into());
            report.fail("a".into());
        });
        assert!(!failed.ok);
        assert_eq!(failed.failures, ["a"]);
        let interrupted = concluded(|report| {
            all(report);
            report.interrupt();
        });
        assert!(!interrupted.ok);
    }

    #[test]
    fn columns_stand_below_each_other() {
        let table = table(&[run(true), run(false)]);
        let lines: Vec<&str> = table.lines().collect();
        let at = lines[0].find("suite").unwrap();
        assert!(lines[1..].iter().all(|line| line[at..].starts_with("Noise")), "{table}");
    }
}
