//! The parent's part: starts both children, hears them, and sees that both end.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::event::{Event, Plan};
use super::files::Files;
use super::interrupts::Interrupts;
use super::progress::Progress;
use super::report::Report;
use super::worker::{Happening, Worker};
use crate::log::LogOptions;

/// How long the server may take to listen: it makes nothing but two sockets.
const START_MAX: Duration = Duration::from_secs(10);

/// How long a child may take to end: the drain deadline of a service, and some more.
const END_MAX: Duration = Duration::from_secs(15);

/// How long the server goes on after the client has died, so that it can say what it noticed.
const NOTICE_MAX: Duration = Duration::from_millis(500);

/// How long the client may get nothing done: twice the time after which a call gives up by itself,
/// so that whatever has a reason of its own says it first.
const STALL_MAX: Duration = Duration::from_secs(60);

/// Runs the demonstration in `folder`, which has the keys and the list.
pub(super) async fn run(
    folder: &Path,
    files: Files,
    log: &LogOptions,
    mut interrupts: Interrupts,
) -> Report {
    let mut report = Report::new(&files);
    let server = match Worker::start("server", "demo-server", folder, log) {
        Ok(server) => server,
        Err(error) => {
            report.fail(format!("the server process could not be started: {error}"));
            return report;
        }
    };
    let mut stage = Stage {
        folder,
        log,
        files,
        server,
        client: None,
        report,
        progress: Progress::new(),
        messages: 0,
        deadline: Instant::now() + START_MAX,
    };
    stage.progress.begin(&stage.files);
    stage.play(&mut interrupts).await;
    stage.progress.end();
    stage.report.conclude();
    stage.report
}

struct Stage<'a> {
    folder: &'a Path,
    log: &'a LogOptions,
    files: Files,
    server: Worker,
    client: Option<Worker>,
    report: Report,
    progress: Progress,
    /// How many messages the client had sent when it was last heard of.
    messages: u64,
    /// When what is awaited must have happened.
    deadline: Instant,
}

impl Stage<'_> {
    async fn play(&mut self, interrupts: &mut Interrupts) {
        while !self.server.ended || self.client.as_ref().is_some_and(|client| !client.ended) {
            let patience = pin!(sleep_until(self.deadline));
            tokio::select! {
                happening = self.server.next(), if !self.server.ended => {
                    self.server_said(happening).await;
                }
                happening = next_of(&mut self.client) => self.client_said(happening),
                () = interrupts.next() => self.interrupted(),
                () = patience => self.waited_too_long(),
            }
        }
    }

    async fn server_said(&mut self, happening: Happening) {
        match happening {
            Happening::Event(Event::Listening { urls }) => self.start_client(urls).await,
            Happening::Event(Event::SessionEnded { reason }) => {
                self.report.fail(format!("the server lost a session: {reason}"));
            }
            Happening::Event(Event::Failed { reason }) => self.report.fail_as_told(reason),
            Happening::Event(_) => {}
            Happening::Garbled(what) => {
                self.report.fail(format!("the server process cannot be heard: {what}"));
                self.server.kill();
            }
            Happening::Ended(status) => {
                let ended = format!("the server process ended: {status}");
                match status.code() {
                    _ if self.server.killed => {}
                    None => self.report.fail(ended),
                    Some(0) if self.server.is_stopping() => {}
                    Some(_) => self.report.fail_unless_told(ended),
                }
                // The client notices by itself, and says what; it need not be told.
                self.server.stop();
                self.deadline = Instant::now() + END_MAX;
            }
        }
    }

    async fn start_client(&mut self, urls: Vec<String>) {
        if self.server.is_stopping() {
            return;
        }
        self.deadline = Instant::now() + STALL_MAX;
        let plan = Plan { urls, files: std::mem::take(&mut self.files.files) };
        let line = serde_json::to_string(&plan).expect("the paths were seen to be UTF-8");
        let started = Worker::start("client", "demo-client", self.folder, self.log);
        let result = match started {
            Ok(client) => self.client.insert(client).give(&line).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            self.report.fail(format!("the client process could not be started: {error}"));
            self.stop_server();
        }
    }

    fn client_said(&mut self, happening: Happening) {
        match happening {
            Happening::Event(Event::Progress { transport, fraction, messages, bytes }) => {
                if messages != self.messages && !self.report.is_interrupted() {
                    self.messages = messages;
                    self.deadline = Instant::now() + STALL_MAX;
                }
                self.progress.show(&transport, fraction, messages, bytes);
            }
            Happening::Event(Event::Run(run)) => {
                self.progress.finished(&run);
                self.report.add(run);
            }
            Happening::Event(Event::Failed { reason }) => self.report.fail_as_told(reason),
            Happening::Event(_) => {}
            Happening::Garbled(what) => {
                self.report.fail(format!("the client process cannot be heard: {what}"));
                self.kill_all();
            }
            Happening::Ended(_) if self.client.as_ref().is_some_and(|client| client.killed) => {
                self.stop_server();
            }
            Happening::Ended(status) if status.code().is_none() => {
                self.report.fail(format!("the client process ended: {status}"));
                self.deadline = Instant::now() + NOTICE_MAX;
            }
            Happening::Ended(status) => {
                if !status.success() && !self.report.is_interrupted() {
                    self.report.fail_unless_told(format!("the client process ended: {status}"));
                }
                self.stop_server();
            }
        }
    }

    fn stop_server(&mut self) {
        self.server.stop();
        self.deadline = Instant::now() + END_MAX;
    }

    /// The first time the client finishes what it has begun, and the server after it; the second
    /// time nobody waits for anything.
    fn interrupted(&mut self) {
        if self.report.is_interrupted() {
            return self.kill_all();
        }
        self.report.interrupt();
        self.progress.say("draining; ctrl-c again to stop at once");
        self.deadline = Instant::now() + END_MAX;
        match &mut self.client {
            Some(client) if !client.ended => client.stop(),
            _ => self.server.stop(),
        }
    }

    fn waited_too_long(&mut self) {
        let client_ended = self.client.as_ref().is_none_or(|client| client.ended);
        if self.client.is_some() && client_ended && !self.server.is_stopping() {
            // The client died, and the server has had its time to say what it noticed.
            return self.stop_server();
        }
        let name = if client_ended { self.server.name } else { "client" };
        self.report.fail(format!("the {name} process hangs, and was ended"));
        self.kill_all();
    }

    fn kill_all(&mut self) {
        self.server.kill();
        self.server.stop();
        if let Some(client) = &mut self.client {
            client.kill();
            client.stop();
        }
        self.deadline = Instant::now() + END_MAX;
    }
}

/// Never, while there is no client.
async fn next_of(client: &mut Option<Worker>) -> Happening {
    match client {
        Some(client) if !client.ended => client.next().await,
        _ => std::future::pending().await,
    }
}
