//! Versions and lints live once, in the root manifest, and every member and every third-party
//! dependency there has its reason beside it.

use super::project::{File, Project};
use super::{Finding, Report};

const ROOT: &str = "Cargo.toml";

pub(super) fn look(project: &Project) -> Report {
    let mut findings = project.file(ROOT).map(in_root).unwrap_or_default();
    let members = project.members();
    for package in &members {
        let manifest = project.relative(&package.manifest_path);
        findings.extend(project.file(&manifest).map(in_member).unwrap_or_default());
    }
    Report { summary: format!("{} members, every line has its reason", members.len()), findings }
}

fn in_root(manifest: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_members = false;
    for (number, section, line) in sectioned(&manifest.text) {
        if section == "[workspace]" && line.starts_with("members") {
            in_members = true;
        } else if in_members && line.starts_with(']') {
            in_members = false;
        } else if in_members && line.starts_with('"') && !has_reason(line) {
            let advice = "say beside the member what it is: `# ..`";
            findings.push(Finding::new(&manifest.path, number, advice));
        } else if section == "[workspace.dependencies]"
            && line.contains('=')
            && !line.contains("path =")
            && !has_reason(line)
        {
            let advice = "say beside the dependency the one reason it is here: `# ..`";
            findings.push(Finding::new(&manifest.path, number, advice));
        }
    }
    findings
}

fn in_member(manifest: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut shares_lints = false;
    for (number, section, line) in sectioned(&manifest.text) {
        let shared = line.contains("workspace = true");
        shares_lints |= section == "[lints]" && shared;
        if section.ends_with("dependencies]") && line.contains('=') && !shared {
            let advice = "take the version from the workspace: `NAME.workspace = true`";
            findings.push(Finding::new(&manifest.path, number, advice));
        }
    }
    if !shares_lints {
        let advice = "take the lints from the workspace: `[lints]` `workspace = true`";
        findings.push(Finding::new(&manifest.path, 1, advice));
    }
    findings
}

/// Lines that are neither empty nor comments: one-based number, section header, trimmed text.
fn sectioned(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let mut section = "";
    text.lines().enumerate().filter_map(move |(i, line)| {
        let line = line.trim();
        if line.starts_with('[') {
            section = line;
        }
        let told = !line.is_empty() && !line.starts_with('#') && !line.starts_with('[');
        told.then_some((i + 1, section, line))
    })
}

/// Whether a comment with words in it follows what the line says.
fn has_reason(line: &str) -> bool {
    let mut quoted = false;
    for (i, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return line[i + 1..].trim().len() > 3,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn members_and_dependencies_have_reasons() {
        let text = "[workspace]\nmembers = [\n    \"a\", # the a layer\n    \"b\",\n]\n\n[workspace.dependencies]\na = { path = \"a\" }\nserde = \"1\" # messages\nslab = \"0.4#\"\n";
        assert_eq!(lines(&in_root(&File::from_text(ROOT, text))), [4, 10]);
    }

    #[test]
    fn members_take_versions_and_lints_from_the_workspace() {
        let good = "[lints]\nworkspace = true\n\n[dependencies]\nserde.workspace = true\na = { workspace = true, features = [\"x\"] }\n";
        assert_eq!(in_member(&File::from_text("crates/a/Cargo.toml", good)), []);
        let bad = "[package]\nname = \"a\"\n[dev-dependencies]\nserde = \"1\"\n";
        assert_eq!(lines(&in_member(&File::from_text("crates/a/Cargo.toml", bad))), [4, 1]);
    }
}
