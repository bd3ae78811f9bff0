//! Runs the checks, one line for each that passes, one line per finding for each that does not.

mod citations;
mod edges;
mod headers;
mod io;
mod layers;
mod lengths;
mod manifests;
mod paths;
mod project;
mod seam;
mod source;
mod unsafety;

use std::fmt;
use std::process::ExitCode;

use project::Project;

/// One rule of the project and the function that looks whether it is kept.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) keeps: &'static str,
    look: fn(&Project) -> Report,
}

/// All checks, in the order they are run.
pub(crate) const CHECKS: &[Check] = &[
    Check { name: "edges", keeps: "who may depend on whom", look: edges::look },
    Check {
        name: "io",
        keeps: "no clock, runtime, socket or file below `service`",
        look: io::look,
    },
    Check { name: "seam", keeps: "`service` names no concrete protocol", look: seam::look },
    Check { name: "lengths", keeps: "files short enough to be read", look: lengths::look },
    Check {
        name: "headers",
        keeps: "crate headers answer the five questions",
        look: headers::look,
    },
    Check { name: "unsafe", keeps: "no `unsafe` outside the list", look: unsafety::look },
    Check { name: "manifests", keeps: "a reason per member and dependency", look: manifests::look },
    Check { name: "paths", keeps: "nothing that only one machine has", look: paths::look },
    Check {
        name: "citations",
        keeps: "cited sections and named checks exist",
        look: citations::look,
    },
];

/// What a check found. No findings means that it passed, and `summary` says what it looked at.
pub(crate) struct Report {
    summary: String,
    findings: Vec<Finding>,
}

/// One place to mend: where it is, and what to do there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    advice: String,
}

impl Finding {
    fn new(path: &str, line: usize, advice: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, advice: advice.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.advice)
    }
}

/// Runs the checks named, or all if none is, and prints what they found.
pub(crate) fn run(names: &[String]) -> ExitCode {
    if let Some(unknown) = names.iter().find(|name| !CHECKS.iter().any(|c| c.name == **name)) {
        eprintln!("there is no check `{unknown}`; `cargo xtask help` lists them");
        return ExitCode::from(2);
    }
    let project = match Project::load() {
        Ok(project) => project,
        Err(why) => {
            eprintln!("tidy cannot read the project: {why}");
            return ExitCode::FAILURE;
        }
    };
    let chosen = CHECKS.iter().filter(|c| names.is_empty() || names.iter().any(|n| n == c.name));
    let findings: usize = chosen.map(|check| print(check, &(check.look)(&project))).sum();
    if findings == 0 {
        return ExitCode::SUCCESS;
    }
    println!("tidy: {findings} to mend");
    ExitCode::FAILURE
}

fn print(check: &Check, report: &Report) -> usize {
    if report.findings.is_empty() {
        println!("ok    {:10} {}", check.name, report.summary);
    } else {
        println!("FAIL  {:10} {}", check.name, check.keeps);
        for finding in &report.findings {
            println!("  {finding}");
        }
    }
    report.findings.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_file_line_and_advice() {
        let finding = Finding::new("crates/a/src/lib.rs", 3, "say why");
        assert_eq!(finding.to_string(), "crates/a/src/lib.rs:3: say why");
    }

    #[test]
    fn names_of_checks_are_unique() {
        for (i, check) in CHECKS.iter().enumerate() {
            assert!(CHECKS[i + 1..].iter().all(|other| other.name != check.name));
        }
    }
}
