//! `moor demo`: the whole library at work, as two processes that speak and check each other.
//!
//! This process starts both, a server and then a client, each as `moor` with a hidden command. It
//! gives them fresh keys in a temporary folder, hears of what happens over their stdout
//! ([`event`]), and tells them to stop by closing their stdin ([`lifeline`]), which also happens
//! when it dies itself. What it hears becomes progress ([`progress`]) and a table ([`report`]).

pub(crate) mod client;
mod event;
mod files;
mod interrupts;
mod lifeline;
mod part;
mod progress;
mod report;
pub(crate) mod server;
mod speaker;
mod stage;
mod transport_run;
mod worker;

use std::path::{Path, PathBuf};

use clap::Args;
use moorline::Identity;

use crate::exit::Exit;
use crate::log::LogOptions;
use files::Files;
use interrupts::Interrupts;
use report::Report;

/// The protocol of the demonstration: encrypted, both sides verified.
pub(crate) const PROTOCOL: &str = "msgpack";

/// Names within the temporary folder, which is the current folder of both children. The socket is
/// named without the folder, because a path of a socket has 107 bytes at most.
const SERVER_KEY: &str = "server.key";
const CLIENT_KEY: &str = "client.key";
const PEER_LIST: &str = "peers";
const SOCKET: &str = "demo.sock";

/// See it work: two processes that send files to each other and check every byte.
///
/// Over TCP, then over a Unix socket: fresh keys, a peer list, a login, posts, pipelined requests
/// that return SHA-256 and size, and a request of the server back to the client. Each transport is
/// used for a second, and as long as it takes to send every file once. A file above 15 MiB goes in
/// parts, since a message has 16 MiB at most.
///
/// Ends with 0 only if every byte agreed, 1 if anything failed, 2 if a file cannot be used, 130
/// after ctrl-c, when both sides have drained.
#[derive(Args)]
pub(crate) struct DemoArgs {
    /// What to send. Default: the source files of the checkout around the current folder, or data
    /// made up for the purpose.
    files: Vec<PathBuf>,
    /// Print one JSON object in place of the table.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: DemoArgs, log: LogOptions) -> Result<(), Exit> {
    let interrupts = Interrupts::new()
        .map_err(|error| Exit::failed(format!("ctrl-c cannot be listened for: {error}")))?;
    let report = match prepare(&args.files) {
        Ok((folder, files)) => {
            let report = stage::run(folder.path(), files, &log, interrupts).await;
            // What stands in it is of no use to anybody any more, the keys least of all.
            drop(folder);
            report
        }
        Err(reason) if args.json => Report::of_failure(reason, 2),
        Err(reason) => return Err(Exit::usage(reason)),
    };
    report.print(args.json)
}

/// Everything that can be wrong with the arguments or the system, before anything is started.
fn prepare(chosen: &[PathBuf]) -> Result<(tempfile::TempDir, Files), String> {
    let folder = private_folder().map_err(|error| format!("no temporary folder: {error}"))?;
    let files = Files::choose(chosen, folder.path())?;
    make_keys(folder.path()).map_err(|error| error.to_string())?;
    Ok((folder, files))
}

fn private_folder() -> std::io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("moor-demo-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.tempdir()
}

/// Two new keys, and the list that lets the client in.
fn make_keys(folder: &Path) -> moorline::Result<()> {
    Identity::create(folder.join(SERVER_KEY))?;
    let client = Identity::create(folder.join(CLIENT_KEY))?;
    let line = format!("demo-client {} role=demo\n", client.public().to_line());
    std::fs::write(folder.join(PEER_LIST), line)?;
    Ok(())
}
