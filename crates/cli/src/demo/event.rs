//! What the processes of the demonstration tell each other, a line of JSON each.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::files::DemoFile;

/// From the parent to the client, the first line on its stdin.
#[derive(Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Where the server is, one for each transport.
    pub(crate) urls: Vec<String>,
    /// What is sent.
    pub(crate) files: Vec<DemoFile>,
}

/// From a child to the parent, on its stdout.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The server is ready.
    Listening { urls: Vec<String> },
    /// How far a run is, 0 to 1, and what it has sent.
    Progress { transport: String, fraction: f64, messages: u64, bytes: u64 },
    /// A run is over.
    Run(Run),
    /// A session of the server ended as it should not.
    SessionEnded { reason: String },
    /// Something is wrong; there may be more of this.
    Failed { reason: String },
    /// The client was told to stop, and has.
    Interrupted,
}

/// One transport, measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    /// `tcp` or `uds`.
    pub(crate) transport: String,
    /// Name of the cipher suite.
    pub(crate) suite: String,
    /// From dialing to an open session, the median.
    pub(crate) handshake_ms: f64,
    /// How many sessions were open at the same time.
    pub(crate) sessions: usize,
    /// How often every file was sent.
    pub(crate) passes: u64,
    /// Requests of both sides and posts; answers are not counted.
    pub(crate) messages: u64,
    /// Bytes of files, every time they were sent.
    pub(crate) bytes: u64,
    /// From the first message to the last answer.
    pub(crate) seconds: f64,
    /// `messages` by `seconds`.
    pub(crate) messages_per_s: f64,
    /// Millions of `bytes` by `seconds`.
    pub(crate) mb_per_s: f64,
    /// From a request to its answer, among pipelined others: half were faster.
    pub(crate) p50_us: f64,
    /// 99 of 100 were faster.
    pub(crate) p99_us: f64,
    /// Every answer and every count was right.
    pub(crate) verified: bool,
}

impl Event {
    /// Tells the parent. If it is gone nobody needs to know, and stdin has ended as well.
    pub(crate) fn tell(&self) {
        let mut line = serde_json::to_string(self).expect("an event has only keys that are text");
        line.push('\n');
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    }
}
