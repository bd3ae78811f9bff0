//! The end of a service: what stops it, how long it may take, and what did not get out.

use std::fmt;
use std::io;
use std::ops::AddAssign;
use std::time::Duration;

/// What was cut short when a service was shut down. It is told in
/// [`Error::NotDrained`](crate::Error::NotDrained).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Sessions that were open when the time was over.
    pub sessions: usize,
    /// What was not done in them, and in those that ended before by themselves.
    pub left: LeftBehind,
    /// Sessions whose handler blocks its thread, so that not even their tasks could be ended.
    pub stuck: usize,
    /// How long they were given.
    pub deadline: Duration,
}

/// What a session had not done when it ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftBehind {
    /// Bytes that were accepted for sending and did not get out.
    pub bytes: usize,
    /// Requests of the peer whose handlers were still running: it hears that they may have run.
    pub handlers: usize,
    /// Our own requests without an answer: each of them has ended with an error.
    pub calls: usize,
    /// Streams that were not at their end.
    pub streams: usize,
}

impl LeftBehind {
    pub(crate) fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl AddAssign for LeftBehind {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.handlers += other.handlers;
        self.calls += other.calls;
        self.streams += other.streams;
    }
}

impl DrainReport {
    pub(crate) fn is_clean(&self) -> bool {
        self.sessions == 0 && self.stuck == 0 && self.left.is_nothing()
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, left, stuck, deadline } = self;
        write!(
            f,
            "{sessions} sessions were not done in {deadline:?} and were cut short, with {left} \
             (knob: `drain_deadline`)"
        )?;
        if *stuck > 0 {
            write!(f, "; {stuck} of them are stuck in handlers that block their thread")?;
        }
        Ok(())
    }
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, handlers, calls, streams } = self;
        write!(
            f,
            "{handlers} handlers running, {calls} calls unanswered, {streams} streams open and \
             {bytes} queued bytes lost"
        )
    }
}

/// What a process is told to stop by.
pub(crate) struct StopSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    #[cfg(unix)]
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    #[cfg(not(unix))]
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// The next one.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The next one; never, if the system has none.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
