//! The project's own checks: `cargo xtask tidy`.
//!
//! What rustfmt and clippy cannot know about this project stands here: which crate may see which,
//! what must be absent from which layer, how long a file may get, what every crate header says.
//! Each check is one file below `tidy/` and says what to do about each finding.

#![forbid(unsafe_code)]

mod tidy;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy [CHECK..]   run all project checks, or those named";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("tidy") => tidy::run(&arguments.collect::<Vec<_>>()),
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}\n\nchecks:");
            for check in tidy::CHECKS {
                println!("  {:10} {}", check.name, check.keeps);
            }
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
