//! Benches by layer: `cargo run --release -p moorline-benches -- noise [--json]`.

#![forbid(unsafe_code)]

mod buffers;
mod gofast;
mod noise;
mod pairs;
mod report;

use std::process::ExitCode;

use report::Report;

const USAGE: &str = "usage: moorline-benches buffers|buffers-profile|gofast|noise.. [--json]";

fn main() -> ExitCode {
    let mut json = false;
    let mut benches = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" => json = true,
            "buffers" | "buffers-profile" | "gofast" | "noise" => benches.push(argument),
            _ => {
                eprintln!("{argument:?} is no bench\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    if benches.is_empty() {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    if cfg!(debug_assertions) {
        eprintln!("notice: this is a debug build, its figures mean nothing; use --release");
    }
    let mut report = Report::new(json);
    for bench in benches {
        match bench.as_str() {
            "buffers" => buffers::run(&mut report),
            "buffers-profile" => buffers::profile(),
            "gofast" => gofast::run(&mut report),
            _ => noise::run(&mut report),
        }
    }
    ExitCode::SUCCESS
}
