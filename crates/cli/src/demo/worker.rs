//! A child process, seen from its parent: events come out of its stdout, and closing its stdin tells
//! it to stop.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::event::Event;
use crate::log::LogOptions;

/// It is killed when dropped.
pub(super) struct Worker {
    pub(super) name: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    pub(super) ended: bool,
    /// By us, so that its end is no news.
    pub(super) killed: bool,
}

/// What is next to be known of a child.
pub(super) enum Happening {
    Event(Event),
    Ended(ExitStatus),
    /// It said what is no event, or cannot be heard.
    Garbled(String),
}

impl Worker {
    /// Starts this very program with another command.
    pub(super) fn start(
        name: &'static str,
        command: &str,
        folder: &Path,
        log: &LogOptions,
    ) -> std::io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?);
        child.args(log_arguments(log)).arg(command).current_dir(folder);
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        // A terminal's ctrl-c is for the parent, which then has the children drain in order.
        #[cfg(unix)]
        child.process_group(0);
        let mut child = child.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
        let stdout = BufReader::new(stdout).lines();
        Ok(Self { name, child, stdin, stdout, ended: false, killed: false })
    }

    /// Gives it its first line.
    pub(super) async fn give(&mut self, line: &str) -> std::io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        stdin.write_all(line.as_bytes()).await?;
        stdin.write_all(b"\n").await?;
        stdin.flush().await
    }

    /// # Cancel safety
    /// Nothing that it said is lost.
    pub(super) async fn next(&mut self) -> Happening {
        match self.stdout.next_line().await {
            Ok(Some(line)) => serde_json::from_str(&line).map_or_else(
                |error| Happening::Garbled(format!("{error} in {line:?}")),
                Happening::Event,
            ),
            Ok(None) => match self.child.wait().await {
                Ok(status) => {
                    self.ended = true;
                    Happening::Ended(status)
                }
                Err(error) => Happening::Garbled(error.to_string()),
            },
            Err(error) => Happening::Garbled(error.to_string()),
        }
    }

    /// Closes its stdin. It drains and ends.
    pub(super) fn stop(&mut self) {
        self.stdin = None;
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stdin.is_none()
    }

    /// Ends it without asking. [`next`](Self::next) tells when it has.
    pub(super) fn kill(&mut self) {
        self.killed = true;
        let _ = self.child.start_kill();
    }
}

fn log_arguments(log: &LogOptions) -> Vec<OsString> {
    let filter = log.filter.iter().flat_map(|filter| ["--log".into(), filter.into()]);
    filter.chain(log.json.then(|| "--log-json".into())).collect()
}
