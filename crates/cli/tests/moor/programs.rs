//! The real binary, run by tests: a folder with keys and a peer list, a server, and calls to it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// `moor` with these arguments, with nothing of the surroundings that could change what it does.
pub(crate) fn moor<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moor"));
    command.args(arguments).env_remove("MOOR_LOG").stdin(Stdio::null());
    command
}

/// What a command left behind.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).expect("stdout is one JSON value")
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }
}

/// Runs a command to its end.
pub(crate) fn ended(command: &mut Command) -> Ended {
    command.output().expect("the binary starts").into()
}

/// A folder with the keys `server.key` and `client.key`, and the list `peers` that has the client.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary folder"));
        folder.new_key("server.key");
        let client = folder.new_key("client.key");
        let line = format!("client {client} role=member\n");
        std::fs::write(folder.path("peers"), line).expect("the list is written");
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes a key file and returns its public line.
    pub(crate) fn new_key(&self, name: &str) -> String {
        let path = self.path(name);
        let made = ended(&mut moor([OsStr::new("key"), OsStr::new("new"), path.as_os_str()]));
        made.expect_code(0).stdout.trim().to_owned()
    }

    /// `moor serve` at `url` with the server's key and the peer list.
    pub(crate) fn serve(&self, url: &str) -> Server {
        Server::start(&mut self.serving(url))
    }

    /// The command that [`serve`](Self::serve) starts.
    pub(crate) fn serving(&self, url: &str) -> Command {
        let mut command = moor(["serve", "--listen", url]);
        command.arg("--identity").arg(self.path("server.key"));
        command.arg("--peers").arg(self.path("peers"));
        command
    }

    /// `moor call` with the client's key.
    pub(crate) fn call(&self, url: &str, kind: &str, json: &str) -> Ended {
        call_with(&self.path("client.key"), url, kind, json)
    }
}

pub(crate) fn call_with(identity: &Path, url: &str, kind: &str, json: &str) -> Ended {
    ended(moor(["call", url, kind, json, "--identity"]).arg(identity))
}

/// A server that has said where it is. It is killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        // The pipe is closed when this returns: a server does not mind.
        BufReader::new(stdout).read_line(&mut line).expect("stdout is text");
        let url = line.trim().to_owned();
        let mut server = Self { child, url };
        if server.url.is_empty() {
            panic!("the server did not start: {}", server.killed());
        }
        server
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, as ctrl-c does.
    pub(crate) fn interrupted(mut self) -> Ended {
        signal("INT", self.child.id());
        let status = self.child.wait().expect("the server ends");
        Ended { code: status.code(), stdout: String::new(), stderr: self.stderr() }
    }

    /// Ends it without a word, and returns its log.
    pub(crate) fn killed(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stderr()
    }

    fn stderr(&mut self) -> String {
        let mut log = String::new();
        let stderr = self.child.stderr.as_mut().expect("stderr is piped");
        stderr.read_to_string(&mut log).expect("stderr is text");
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by the program that every Unix has, so that no test needs unsafe code.
pub(crate) fn signal(name: &str, process: u32) {
    let status = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(status.expect("kill starts").success(), "kill -{name} {process}");
}

/// Runs a command to its end with `input` on its stdin.
pub(crate) fn ended_with_input(command: &mut Command, input: &str) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(input.as_bytes()).expect("the input is read");
    drop(stdin);
    child.wait_with_output().expect("the binary ends").into()
}
