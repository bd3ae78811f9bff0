//! The header of every library crate answers the five questions, in one order, so that a reader
//! who knows one crate finds the way in the next.

use cargo_metadata::TargetKind;

use super::project::{File, Project};
use super::{Finding, Report};

/// The five questions, as headings of the crate's documentation.
const QUESTIONS: &[&str] =
    &["# What it is", "# What it must never know", "# Where to start", LOOP, "# Design decisions"];

const LOOP: &str = "# The loop";

pub(super) fn look(project: &Project) -> Report {
    let mut findings = Vec::new();
    let mut libraries = 0;
    for package in project.members() {
        for target in package.targets.iter().filter(|t| t.kind.contains(&TargetKind::Lib)) {
            let path = project.relative(&target.src_path);
            // The library of a sample is a handful of messages: its README answers.
            if path.starts_with("samples/") {
                continue;
            }
            libraries += 1;
            match project.file(&path) {
                Some(file) => findings.extend(in_file(file)),
                None => findings.push(Finding::new(target.src_path.as_str(), 1, "not in git yet")),
            }
        }
    }
    Report { summary: format!("{libraries} libraries answer the five questions"), findings }
}

fn in_file(file: &File) -> Vec<Finding> {
    let header: Vec<&str> = file.text.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let header: Vec<&str> =
        header.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    if header.is_empty() {
        return vec![Finding::new(&file.path, 1, "start with the crate's header in `//!` lines")];
    }
    let place = |question: &str| header.iter().position(|line| *line == question);
    let missing: Vec<&str> = QUESTIONS.iter().copied().filter(|q| place(q).is_none()).collect();
    let places: Vec<usize> = QUESTIONS.iter().copied().filter_map(place).collect();
    let mut findings = Vec::new();
    if !missing.is_empty() {
        let advice = format!("the crate's header lacks the headings: {}", missing.join(", "));
        findings.push(Finding::new(&file.path, 1, advice));
    }
    if !places.is_sorted() {
        let advice = format!("answer in this order: {}", QUESTIONS.join(", "));
        findings.push(Finding::new(&file.path, 1, advice));
    }
    findings.extend(places.into_iter().filter_map(|at| empty_or_untested(file, &header, at)));
    findings
}

fn empty_or_untested(file: &File, header: &[&str], at: usize) -> Option<Finding> {
    let question = header[at];
    let rest = &header[at + 1..];
    let end = rest.iter().position(|line| QUESTIONS.contains(line)).unwrap_or(rest.len());
    let answer = &rest[..end];
    if answer.iter().all(|line| line.trim().is_empty()) {
        return Some(Finding::new(&file.path, at + 1, format!("`{question}` has no answer")));
    }
    (question == LOOP && !has_doctest(answer)).then(|| {
        Finding::new(&file.path, at + 1, "show the loop in a code block that compiles as a doctest")
    })
}

/// Whether a code block opens that rustdoc compiles; every second fence only closes one.
fn has_doctest(answer: &[&str]) -> bool {
    let fences = answer.iter().filter_map(|line| line.trim().strip_prefix("```"));
    let compiled = |word: &str| matches!(word, "" | "rust" | "no_run" | "standalone_crate");
    fences.step_by(2).any(|language| language.split(',').all(compiled))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "//! Buffers.\n//!\n//! # What it is\n//! a\n//! # What it must never know\n//! b\n//! # Where to start\n//! c\n//! # The loop\n//! ```\n//! let a = 1;\n//! ```\n//! # Design decisions\n//! d\n\nfn a() {}\n";

    fn findings(text: &str) -> Vec<Finding> {
        in_file(&File::from_text("crates/a/src/lib.rs", text))
    }

    #[test]
    fn five_answers_pass() {
        assert_eq!(findings(GOOD), []);
    }

    #[test]
    fn each_missing_answer_is_named() {
        for question in QUESTIONS {
            let without = GOOD.replace(&format!("//! {question}\n"), "");
            let found = findings(&without);
            assert!(found.iter().any(|f| f.advice.contains(question)), "{question}: {found:?}");
        }
    }

    #[test]
    fn an_empty_answer_and_an_ignored_loop_are_found() {
        assert_eq!(findings(&GOOD.replace("//! b\n", "")).len(), 1);
        assert_eq!(findings(&GOOD.replacen("```", "```ignore", 1)).len(), 1);
        assert_eq!(findings("#![no_std]\n").len(), 1);
    }

    #[test]
    fn the_order_is_kept() {
        let swapped = GOOD
            .replace("# What it is", "# first")
            .replace("# Design decisions", "# What it is")
            .replace("# first", "# Design decisions");
        assert!(findings(&swapped).iter().any(|f| f.advice.contains("in this order")));
    }
}
