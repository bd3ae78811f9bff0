//! No clock, no runtime, no socket and no file below `service`: time and bytes are arguments.
//!
//! Clippy's `disallowed_methods` cannot do this: its configuration replaces the workspace's where
//! a crate has its own, and the layers above `service` must be free to use all of these.

use super::layers::layer_of;
use super::project::{File, Project};
use super::source::{Source, lines_where};
use super::{Finding, Report};

/// What must be absent, and what to do instead.
const FORBIDDEN: &[(&str, &str)] = &[
    ("Instant::now", "take the time as an argument"),
    ("SystemTime::now", "take the time as an argument"),
    (".elapsed()", "take the time as an argument and subtract"),
    ("thread::sleep", "return a deadline and let the driver wait"),
    ("park_timeout", "return a deadline and let the driver wait"),
    ("wait_timeout", "return a deadline and let the driver wait"),
    ("recv_timeout", "return a deadline and let the driver wait"),
    ("thread::spawn", "leave tasks to `service`"),
    ("tokio::", "leave the runtime to `service`"),
    ("TcpStream", "leave sockets to `service`"),
    ("TcpListener", "leave sockets to `service`"),
    ("UdpSocket", "leave sockets to `service`"),
    ("UnixStream", "leave sockets to `service`"),
    ("UnixListener", "leave sockets to `service`"),
    ("std::fs", "take the text as an argument; files are read by `service` and `cli`"),
];

/// Where one of them may stand all the same, and that is why it stands in a file of its own.
const ALLOWED: &[(&str, &str)] = &[
    // A virtual clock starts somewhere, and an `Instant` cannot be made from nothing.
    ("crates/sim/src/clock.rs", "Instant::now"),
];

pub(super) fn look(project: &Project) -> Report {
    let mut findings = Vec::new();
    let mut files = 0;
    for package in project.members() {
        let folder = project.folder(package);
        if !layer_of(&package.name, &folder).is_some_and(|layer| layer.below_service) {
            continue;
        }
        for (file, source) in project.shipped_rust(&folder) {
            files += 1;
            findings.extend(in_file(file, source));
        }
    }
    Report { summary: format!("{files} files below `service` without clock or I/O"), findings }
}

fn in_file(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (text, instead) in FORBIDDEN {
        if ALLOWED.contains(&(file.path.as_str(), text)) {
            continue;
        }
        for (line, _) in lines_where(&source.code, |line| line.contains(text)) {
            findings.push(Finding::new(&file.path, line, format!("`{text}` here: {instead}")));
        }
    }
    findings.sort_by_key(|finding| finding.line);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        let file = File::from_text("crates/a/src/lib.rs", text);
        let source = file.rust.as_ref().expect("a file ending in .rs is read as Rust");
        in_file(&file, source).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn clocks_are_found_in_code() {
        assert_eq!(lines("fn a() {\n let now = std::time::Instant::now();\n}\n"), [2]);
        assert_eq!(lines("use tokio::net;\nlet d = start.elapsed();\n"), [1, 2]);
    }

    #[test]
    fn what_is_allowed_is_allowed_there_only() {
        let text = "fn a() { Instant::now(); thread::sleep(b); }\n";
        let found = |path: &str| {
            let file = File::from_text(path, text);
            in_file(&file, file.rust.as_ref().expect("it is Rust")).len()
        };
        assert_eq!(found("crates/sim/src/clock.rs"), 1);
        assert_eq!(found("crates/sim/src/pair.rs"), 2);
    }

    #[test]
    fn comments_strings_and_tests_are_free() {
        let text = "// Instant::now\nlet s = \"tokio::\";\n#[cfg(test)]\nmod tests {\n fn a() { Instant::now(); }\n}\n";
        assert!(lines(text).is_empty());
    }

    #[test]
    fn types_of_time_are_free() {
        assert!(
            lines("use std::time::{Duration, Instant};\nfn turn(now: Instant) {}\n").is_empty()
        );
    }
}
