//! `unsafe` only in files of the list below, and forbidden in the root of every other crate.

use cargo_metadata::TargetKind;

use super::project::{File, Project};
use super::source::{has_word, lines_where};
use super::{Finding, Report};

/// Files that may hold `unsafe`: in a library each with the measured gain that pays for it, which
/// none has today; in tests each with the reason why safe code cannot test it.
const UNSAFE_FILES: &[&str] = &[
    "crates/moorline/tests/allocations.rs", // likewise, for whole sessions
];

pub(super) fn look(project: &Project) -> Report {
    let mut findings = unsafe_outside(&project.files, UNSAFE_FILES);
    let mut roots = 0;
    for package in project.members() {
        let folder = project.folder(package);
        let kinds =
            [TargetKind::Lib, TargetKind::Bin, TargetKind::ProcMacro, TargetKind::CustomBuild];
        let is_root = |kind: &TargetKind| kinds.contains(kind);
        for target in package.targets.iter().filter(|t| t.kind.iter().any(is_root)) {
            roots += 1;
            let root = project.file(&project.relative(&target.src_path));
            findings.extend(root.and_then(|file| unforbidden(file, &folder, UNSAFE_FILES)));
        }
    }
    let listed = UNSAFE_FILES.len();
    Report { summary: format!("{roots} crate roots forbid it, {listed} files listed"), findings }
}

fn unsafe_outside(files: &[File], listed: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let Some(source) = &file.rust else { continue };
        let allowed = listed.contains(&file.path.as_str());
        let mut lines = lines_where(&source.code, |line| has_word(line, "unsafe")).peekable();
        if allowed && lines.peek().is_none() {
            let advice = "no `unsafe` left here: take the file off the list in tidy/unsafety.rs";
            findings.push(Finding::new(&file.path, 1, advice));
        }
        for (line, _) in lines.filter(|_| !allowed) {
            let advice = "`unsafe` outside the list: write it safely, or measure the gain, keep it \
                          in one small file with SAFETY comments and list that in tidy/unsafety.rs";
            findings.push(Finding::new(&file.path, line, advice));
        }
    }
    let gone = listed.iter().filter(|path| files.iter().all(|file| file.path != **path));
    findings.extend(gone.map(|path| {
        Finding::new(path, 1, "this file is gone: take it off the list in tidy/unsafety.rs")
    }));
    findings
}

/// A crate with a listed file of its own (an integration test is another crate) denies instead, so that the file alone may say `allow`.
fn unforbidden(root: &File, folder: &str, listed: &[&str]) -> Option<Finding> {
    let has_listed = listed.iter().any(|path| path.starts_with(&format!("{folder}/src/")));
    let wanted = if has_listed { "#![deny(unsafe_code)]" } else { "#![forbid(unsafe_code)]" };
    let source = root.rust.as_ref()?;
    let there = source.code.lines().any(|line| line.trim() == wanted);
    (!there).then(|| Finding::new(&root.path, 1, format!("put `{wanted}` below the header")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File::from_text("crates/a/src/lib.rs", text)
    }

    #[test]
    fn unsafe_is_found_as_a_word_of_code() {
        let files = [file("// unsafe\n#![forbid(unsafe_code)]\nfn a() { unsafe { b() } }\n")];
        let found = unsafe_outside(&files, &[]);
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_listed_file_must_need_its_place() {
        let listed = ["crates/a/src/lib.rs"];
        assert!(unsafe_outside(&[file("unsafe fn a() {}\n")], &listed).is_empty());
        assert_eq!(unsafe_outside(&[file("fn a() {}\n")], &listed).len(), 1);
        assert_eq!(unsafe_outside(&[], &listed).len(), 1);
    }

    #[test]
    fn roots_forbid_or_deny() {
        let forbid = file("//! a\n#![forbid(unsafe_code)]\n");
        assert!(unforbidden(&forbid, "crates/a", &[]).is_none());
        assert!(unforbidden(&file("// #![forbid(unsafe_code)]\n"), "crates/a", &[]).is_some());
        assert!(unforbidden(&forbid, "crates/a", &["crates/a/src/free.rs"]).is_some());
        assert!(unforbidden(&forbid, "crates/a", &["crates/a/tests/count.rs"]).is_none());
    }
}
