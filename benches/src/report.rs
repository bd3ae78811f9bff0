//! Rows for people or for programs.

use crate::pairs::Pair;

/// Prints each row when it is there.
pub(crate) struct Report {
    json: bool,
    header_printed: bool,
}

/// What a figure counts.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Work of so many bytes: more is better.
    GigabytesPerSecond(usize),
    /// One of so many equal steps: less is better.
    NanosecondsPerStep(u32),
}

impl Report {
    /// For a terminal, or as JSON lines.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, header_printed: false }
    }

    /// Prints one row.
    pub(crate) fn row(
        &mut self,
        bench: &str,
        row: &str,
        baseline_name: &str,
        unit: Unit,
        pair: &Pair,
    ) {
        let (name, ours, baseline) = match unit {
            Unit::GigabytesPerSecond(bytes) => {
                let bytes = u32::try_from(bytes).map_or(f64::MAX, f64::from);
                ("GB/s", bytes / pair.ours, bytes / pair.baseline)
            }
            Unit::NanosecondsPerStep(steps) => {
                ("ns", pair.ours / f64::from(steps), pair.baseline / f64::from(steps))
            }
        };
        let ratio = pair.ratio;
        if self.json {
            println!(
                r#"{{"bench":"{bench}","row":"{row}","baseline_name":"{baseline_name}","ours":{ours:.3},"baseline":{baseline:.3},"unit":"{name}","ratio":{ratio:.3}}}"#
            );
            return;
        }
        if !std::mem::replace(&mut self.header_printed, true) {
            println!(
                "{:<10} {:<22} {:<12} {:>9} {:>9} {:<5} {:>6}",
                "bench", "row", "baseline", "ours", "baseline", "unit", "ratio"
            );
        }
        println!(
            "{bench:<10} {row:<22} {baseline_name:<12} {ours:>9.2} {baseline:>9.2} {name:<5} {ratio:>6.2}"
        );
    }
}
