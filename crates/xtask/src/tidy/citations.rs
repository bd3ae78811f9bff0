//! What is cited exists: sections of the protocol document, and the checks that the architecture
//! document names behind its invariants.

use super::project::{File, Project};
use super::{CHECKS, Finding, Report};

/// Put together here, so that this file does not find itself.
const CITATION: &str = concat!("docs/PROTOCOL.md", "#");
const PROTOCOL: &str = "docs/PROTOCOL.md";
const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";

pub(super) fn look(project: &Project) -> Report {
    let sections = project.file(PROTOCOL).map(sections).unwrap_or_default();
    let mut findings = Vec::new();
    let mut cited = 0;
    for file in &project.files {
        for (line, section) in citations(&file.text) {
            cited += 1;
            if !sections.contains(&section) {
                let advice = format!("there is no section `{section}` in {PROTOCOL}");
                findings.push(Finding::new(&file.path, line, advice));
            }
        }
    }
    let invariants = project.file(ARCHITECTURE).map(invariants).unwrap_or_default();
    let named = invariants.len();
    findings.extend(invariants.into_iter().filter_map(|(line, text)| unchecked(line, &text)));
    Report { summary: format!("{cited} citations, {named} invariants with a check"), findings }
}

/// Numbers of the sections: `## 9. Limits` gives `9`.
fn sections(document: &File) -> Vec<String> {
    let headings = document.text.lines().filter_map(|line| line.strip_prefix("## "));
    headings.filter_map(|heading| Some(heading.split_once('.')?.0.to_owned())).collect()
}

fn citations(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        for (at, _) in line.match_indices(CITATION) {
            let rest = line[at + CITATION.len()..].chars();
            found.push((i + 1, rest.take_while(|c| c.is_alphanumeric() || *c == '-').collect()));
        }
    }
    found
}

/// Paragraphs that start with `Invariant:`, each joined into one line.
fn invariants(document: &File) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (i, line) in document.text.lines().enumerate() {
        let line = line.trim_start_matches("- ").trim();
        if line.starts_with("Invariant:") {
            found.push((i + 1, line.to_owned()));
            open = true;
        } else if line.is_empty() {
            open = false;
        } else if let (true, Some((_, text))) = (open, found.last_mut()) {
            text.push(' ');
            text.push_str(line);
        }
    }
    found
}

fn unchecked(line: usize, invariant: &str) -> Option<Finding> {
    let Some((_, check)) = invariant.rsplit_once("Check: ") else {
        let advice = "say `Check: tidy NAME.`, `Check: clippy LINT.`, `Check: test NAME.` or \
                      `Check: the compiler.` at the end of the invariant";
        return Some(Finding::new(ARCHITECTURE, line, advice));
    };
    let name = check.strip_prefix("tidy ")?;
    let name = name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let exists = CHECKS.iter().any(|check| check.name == name);
    (!exists).then(|| Finding::new(ARCHITECTURE, line, format!("there is no check `tidy {name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_citations_are_read() {
        let document = File::from_text(PROTOCOL, "# Title\n## 1. One\n## 10. Ten\n### 10.1 x\n");
        assert_eq!(sections(&document), ["1", "10"]);
        let text = format!("a\n//= {CITATION}9\n// {CITATION}12.\n");
        assert_eq!(citations(&text), [(2, "9".to_owned()), (3, "12".to_owned())]);
    }

    #[test]
    fn invariants_run_to_the_end_of_their_paragraph() {
        let text =
            "Invariant: no clock.\n  Check: tidy io.\n- Invariant: b. Check: test c.\n\nother\n";
        let found = invariants(&File::from_text(ARCHITECTURE, text));
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], (1, "Invariant: no clock. Check: tidy io.".to_owned()));
    }

    #[test]
    fn an_invariant_names_a_check_that_exists() {
        assert!(unchecked(1, "Invariant: a. Check: tidy edges.").is_none());
        assert!(unchecked(1, "Invariant: a. Check: test driver_turns.").is_none());
        assert!(unchecked(1, "Invariant: a. Check: tidy dreams.").is_some());
        assert!(unchecked(1, "Invariant: a.").is_some());
    }
}
