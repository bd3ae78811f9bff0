//! Files short enough to be read in one go. Lengths of functions are clippy's
//! (`too_many_lines`, set in the root's `clippy.toml`).

use super::project::{File, Project};
use super::{Finding, Report};

/// Above this a file says at its top why it is long.
const LINES_MAX: usize = 600;

/// Half of all files stay below this.
const MEDIAN_MAX: usize = 250;

/// How far down a reason may stand: licence, header and title come first.
const TOP_LINES: usize = 30;

const REASON: &str = "// Long because ";

pub(super) fn look(project: &Project) -> Report {
    let rust: Vec<&File> = project.files.iter().filter(|file| file.rust.is_some()).collect();
    let mut findings: Vec<Finding> = rust.iter().filter_map(|file| too_long(file)).collect();
    let median = median(rust.iter().map(|file| file.text.lines().count()).collect());
    if median >= MEDIAN_MAX {
        let advice =
            format!("the median Rust file has {median} lines; bar {MEDIAN_MAX}: split some");
        findings.push(Finding::new("Cargo.toml", 1, advice));
    }
    Report { summary: format!("{} Rust files, median {median} lines", rust.len()), findings }
}

fn too_long(file: &File) -> Option<Finding> {
    let lines = file.text.lines().count();
    let excused = file.text.lines().take(TOP_LINES).any(|line| line.starts_with(REASON));
    (lines > LINES_MAX && !excused).then(|| {
        let advice = format!(
            "{lines} lines, limit {LINES_MAX}: split it where its story turns, or say \
             `{REASON}..` within the first {TOP_LINES} lines"
        );
        Finding::new(&file.path, 1, advice)
    })
}

fn median(mut lengths: Vec<usize>) -> usize {
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(lines: usize, first: &str) -> File {
        let rest = "fn a() {}\n".repeat(lines - 1);
        File::from_text("crates/a/src/lib.rs", format!("{first}\n{rest}"))
    }

    #[test]
    fn the_limit_itself_is_allowed() {
        assert!(too_long(&file(600, "//! a")).is_none());
        assert!(too_long(&file(601, "//! a")).is_some());
    }

    #[test]
    fn a_reason_excuses() {
        assert!(too_long(&file(601, "// Long because the table is one table.")).is_none());
        assert!(too_long(&file(601, "// Long.")).is_some());
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![900, 1, 2]), 2);
        assert_eq!(median(Vec::new()), 0);
    }
}
