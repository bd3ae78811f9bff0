//! `moor demo`: two processes that check each other, and what happens when one of them is gone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::programs::{Ended, ended, moor, signal};

/// Two small files.
fn files(folder: &Path) -> [String; 2] {
    let paths = ["a.txt", "b.bin"].map(|name| folder.join(name).display().to_string());
    fs::write(&paths[0], "hello\n").unwrap();
    fs::write(&paths[1], vec![0xA5; 70_000]).unwrap();
    paths
}

#[test]
fn two_files_are_sent_over_both_transports_and_every_byte_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = files(folder.path());
    let report = ended(&mut moor(["demo", "--json", &a, &b])).expect_code(0).json();
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["files"], 2);
    assert_eq!(report["file_bytes"], 70_006);
    assert_eq!(report["failures"].as_array().unwrap().len(), 0);
    let runs = report["runs"].as_array().unwrap();
    let transports: Vec<&Value> = runs.iter().map(|run| &run["transport"]).collect();
    assert_eq!(transports, ["tcp", "uds"]);
    for run in runs {
        assert_eq!(run["verified"], true, "{run}");
        assert!(run["suite"].as_str().unwrap().starts_with("Noise_IKhfs_"), "{run}");
        let (passes, sessions) =
            (run["passes"].as_u64().unwrap(), run["sessions"].as_u64().unwrap());
        assert!(passes >= 1 && sessions >= 2, "{run}");
        assert_eq!(run["bytes"], passes * 70_006);
        // A note, a digest and an echo for each file; a login, a finish and a confirm a session.
        assert_eq!(run["messages"], passes * 2 * 3 + sessions * 3);
        for figure in ["handshake_ms", "messages_per_s", "mb_per_s", "p50_us", "p99_us"] {
            assert!(run[figure].as_f64().unwrap() > 0.0, "{figure} in {run}");
        }
        assert!(run["p50_us"].as_f64() <= run["p99_us"].as_f64(), "{run}");
    }
}

#[test]
fn a_file_that_is_missing_is_named_before_anything_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let [a, _] = files(folder.path());
    let missing = folder.path().join("missing.bin").display().to_string();
    let said = ended(&mut moor(["demo", &a, &missing])).expect_code(2);
    assert!(said.stderr.contains(&missing), "{}", said.stderr);
    assert_eq!(said.stdout, "");
    let report = ended(&mut moor(["demo", "--json", &missing])).expect_code(2).json();
    assert_eq!(report["ok"], false);
    assert!(report["failures"][0].as_str().unwrap().contains(&missing), "{report}");
}

#[test]
fn in_a_checkout_its_sources_are_sent_and_a_table_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("src/inner")).unwrap();
    fs::write(folder.path().join("Cargo.toml"), "[workspace]\nmembers = []\n").unwrap();
    fs::write(folder.path().join("src/main.rs"), "fn main() {}\n").unwrap();
    fs::write(folder.path().join("secret.key"), "not a source").unwrap();
    let inner = folder.path().join("src/inner");
    let said = ended(moor(["demo"]).current_dir(inner)).expect_code(0);
    assert!(said.stderr.contains("2 files"), "{}", said.stderr);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", said.stdout);
    assert!(lines[0].starts_with("transport  suite"), "{}", lines[0]);
    assert!(lines[1].starts_with("tcp ") && lines[1].ends_with("all agreed"), "{}", lines[1]);
    assert!(lines[2].starts_with("uds ") && lines[2].ends_with("all agreed"), "{}", lines[2]);
}

// ---- in the middle -------------------------------------------------------------------------

/// A demonstration whose two children run. What it leaves in its folder for temporary files can be
/// looked at.
struct Running {
    child: Child,
    temporary: tempfile::TempDir,
    server: u32,
    client: u32,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let [a, b] = files(temporary.path());
        let scratch = temporary.path().join("scratch");
        fs::create_dir(&scratch).unwrap();
        let child = moor(["demo", &a, &b])
            .args(arguments)
            .env("TMPDIR", &scratch)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let server = child_of(child.id(), "demo-server");
        let client = child_of(child.id(), "demo-client");
        // Into the first transport, which takes a second at least.
        std::thread::sleep(Duration::from_millis(300));
        Self { child, temporary, server, client }
    }

    /// Waits for its end, which must come soon.
    #[track_caller]
    fn ends_soon(self) -> Ended {
        let since = Instant::now();
        let ended: Ended = self.child.wait_with_output().unwrap().into();
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
        let left = fs::read_dir(self.temporary.path().join("scratch")).unwrap().count();
        assert_eq!(left, 0, "the temporary folder is gone");
        for process in [self.server, self.client] {
            assert!(!is_running(process), "process {process} is left behind");
        }
        ended
    }
}

/// The child of `parent` with this command, as soon as there is one.
fn child_of(parent: u32, command: &str) -> u32 {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let listed = std::process::Command::new("ps").args(["-eo", "pid,ppid,args"]).output();
        let listed = String::from_utf8_lossy(&listed.expect("ps starts").stdout).into_owned();
        let found = listed.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let (process, its_parent) = (words.next()?.parse().ok()?, words.next()?);
            let ours = its_parent == parent.to_string() && words.any(|word| word == command);
            ours.then_some(process)
        });
        match found {
            Some(process) => return process,
            None => assert!(Instant::now() < until, "no {command} in:\n{listed}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_running(process: u32) -> bool {
    let seen = std::process::Command::new("ps").args(["-p", &process.to_string()]).output();
    seen.expect("ps starts").status.success()
}

#[test]
fn a_server_that_is_killed_is_noticed_by_the_client() {
    let running = Running::start(&[]);
    signal("KILL", running.server);
    let said = running.ends_soon().expect_code(1).stderr;
    assert!(said.contains("the server process ended: signal: 9"), "{said}");
    let reasons = ["the connection broke", "without a farewell", "cannot connect", "no session"];
    assert!(reasons.iter().any(|reason| said.contains(reason)), "{said}");
}

#[test]
fn a_client_that_is_killed_is_noticed_by_the_server() {
    let running = Running::start(&["--json"]);
    signal("KILL", running.client);
    let said = running.ends_soon().expect_code(1);
    let report = said.json();
    assert_eq!(report["ok"], false, "{report}");
    assert!(said.stderr.contains("the client process ended: signal: 9"), "{}", said.stderr);
    assert!(said.stderr.contains("the server lost a session: the conn"), "{}", said.stderr);
}

#[test]
fn ctrl_c_drains_both_sides_and_ends_with_130() {
    let running = Running::start(&["--json"]);
    let scratch = running.temporary.path().join("scratch");
    let private = fs::read_dir(scratch).unwrap().next().expect("a folder").unwrap().path();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&private), 0o700);
    assert_eq!(mode(&private.join("server.key")), 0o600);
    assert_eq!(mode(&private.join("client.key")), 0o600);
    signal("INT", running.child.id());
    let said = running.ends_soon().expect_code(130);
    let report = said.json();
    assert_eq!(report["interrupted"], true, "{report}");
    assert_eq!(report["ok"], false, "{report}");
    assert_eq!(report["failures"].as_array().unwrap().len(), 0, "{report}");
}

#[test]
fn children_do_not_outlive_a_parent_that_is_killed() {
    let mut running = Running::start(&[]);
    signal("KILL", running.child.id());
    running.child.wait().unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while is_running(running.server) || is_running(running.client) {
        assert!(Instant::now() < until, "a child is left behind");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_second_ctrl_c_waits_for_nobody() {
    let running = Running::start(&["--json"]);
    // A server that does not go on would keep the client waiting for half a minute.
    signal("STOP", running.server);
    signal("INT", running.child.id());
    std::thread::sleep(Duration::from_millis(200));
    signal("INT", running.child.id());
    running.ends_soon().expect_code(130);
}
