//! `service` names no concrete protocol, neither as a path nor as a string: the application says
//! the name and the registry finds it.

use super::project::{File, Project};
use super::source::{Source, lines_where};
use super::{Finding, Report};

const SERVICE: &str = "crates/service";

/// Protocols that exist or are to come, in lower case.
const PROTOCOLS: &[&str] = &["msgpack", "gofast"];

pub(super) fn look(project: &Project) -> Report {
    let mut findings = Vec::new();
    let mut files = 0;
    for (file, source) in project.shipped_rust(SERVICE) {
        files += 1;
        findings.extend(in_file(file, source));
    }
    Report { summary: format!("{files} files of `service` name no protocol"), findings }
}

fn in_file(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for protocol in PROTOCOLS {
        for (line, _) in lines_where(&source.words, |line| line.to_lowercase().contains(protocol)) {
            let advice = format!(
                "`{protocol}` here: take the name from the caller and ask the registry, or move \
                 what is special into an ability of the seam"
            );
            findings.push(Finding::new(&file.path, line, advice));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let file = File::from_text("crates/service/src/driver.rs", text);
        let source = file.rust.as_ref().expect("a file ending in .rs is read as Rust");
        in_file(&file, source).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn paths_types_and_strings_are_found() {
        assert_eq!(lines("use moorline_protocol::msgpack::Frame;\n"), [1]);
        assert_eq!(lines("\nlet p = MsgpackConnection;\n"), [2]);
        assert_eq!(lines("factory(\"msgpack-plain\");\n"), [1]);
    }

    #[test]
    fn docs_and_tests_are_free() {
        let text = "/// `accept(\"tcp://..\", \"msgpack\")`\nfn a() {}\n#[cfg(test)]\nmod tests { const P: &str = \"msgpack\"; }\n";
        assert!(lines(text).is_empty());
    }
}
