//! Nothing in the repository leans on what only one machine has.

use super::project::{File, Project};
use super::{Finding, Report};

/// Put together here, so that this file does not find itself.
const NEIGHBOUR: &str = concat!("..", "/shared");
const VECTORS: &str = concat!("..", "/shared/vectors");
const WORK: &str = concat!("/", "work");
const DRAFT: &str = concat!("WIRE", ".md");

pub(super) fn look(project: &Project) -> Report {
    let findings = project.files.iter().flat_map(in_file).collect();
    Report { summary: format!("{} files stand on their own", project.files.len()), findings }
}

fn in_file(file: &File) -> Vec<Finding> {
    let finding = |(i, line): (usize, &str)| {
        let advice = complaint(line, file.test)?;
        Some(Finding::new(&file.path, i + 1, advice))
    };
    file.text.lines().enumerate().filter_map(finding).collect()
}

fn complaint(line: &str, test: bool) -> Option<String> {
    let line = if test { line.replace(VECTORS, "") } else { line.to_owned() };
    if line.contains(NEIGHBOUR) {
        return Some(
            "a folder beside the checkout: only tests may read, and only vectors".to_owned(),
        );
    }
    if line.contains(DRAFT) {
        return Some("cite docs/PROTOCOL.md by section instead".to_owned());
    }
    names_folder(&line).then(|| format!("`{WORK}` is a path of one machine: make it relative"))
}

/// An absolute path into the folder, and no longer name and no part of a relative path.
fn names_folder(line: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}');
    line.match_indices(WORK).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + WORK.len()..].chars().next();
        !before.is_some_and(word) && !after.is_some_and(|c| c.is_alphanumeric() || "_-".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_one_machine_are_found() {
        let line = format!("see {WORK}/main or \"{WORK}\"");
        assert!(complaint(&line, false).is_some());
        assert!(complaint(&format!("{WORK}ers"), false).is_none());
        assert!(complaint(&format!("net{WORK} a{WORK}/b"), false).is_none());
    }

    #[test]
    fn tests_alone_may_read_vectors() {
        let line = format!("include(\"{VECTORS}/a.txt\")");
        assert!(complaint(&line, true).is_none());
        assert!(complaint(&line, false).is_some());
        assert!(complaint(&format!("{NEIGHBOUR}/other"), true).is_some());
    }

    #[test]
    fn the_draft_is_not_cited() {
        assert!(complaint(&format!("as {DRAFT} 3 says"), true).is_some());
        assert!(complaint("as PROTOCOL 3 says", true).is_none());
    }
}
