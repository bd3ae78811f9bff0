//! `moor config`, and services that are started with files of knobs.

use std::fs;

use crate::programs::{Folder, ended, moor};

#[test]
fn every_knob_is_explained_with_its_value_its_source_and_its_default() {
    let folder = Folder::new();
    let file = folder.path("moor.toml");
    fs::write(&file, "# ours\ntimeout = \"10s\"\nmessage_max = \"1MiB\"\n").unwrap();
    let mut command = moor(["config", "explain", "--set", "heartbeat=2s", "--config"]);
    let told = ended(command.arg(&file).env("MOORLINE_TIMEOUT", "5s")).expect_code(0).stdout;
    let line = |knob: &str| {
        let line = told.lines().find(|line| line.starts_with(&format!("{knob} "))).unwrap();
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(line("timeout")[1..4], ["5s", "environment MOORLINE_TIMEOUT", "30s"]);
    assert_eq!(line("message_max")[1..4], ["1MiB", &format!("{}:3", file.display()), "16MiB"]);
    assert_eq!(line("heartbeat")[1..4], ["2s", "command line", "10s"]);
    assert_eq!(line("drain_deadline")[1..4], ["10s", "default", "10s"]);
    let mut changed = moor(["config", "explain", "--changed", "--set", "heartbeat=2s"]);
    assert_eq!(ended(&mut changed).expect_code(0).stdout.lines().count(), 2);
}

#[test]
fn a_mistake_is_told_with_file_line_and_knob_before_anything_is_tried() {
    let folder = Folder::new();
    let (good, bad) = (folder.path("good.json"), folder.path("bad.toml"));
    fs::write(&good, "{\"keep_alive\": \"10s\"}").unwrap();
    fs::write(&bad, "\nhartbeat = \"2s\"\n").unwrap();
    let fine = ended(moor(["config", "check", "--config"]).arg(&good)).expect_code(0);
    assert_eq!(fine.stdout, "");
    let expected = format!("moor: {}:2: `hartbeat` is no knob: did you mean", bad.display());
    let check = ended(moor(["config", "check", "--config"]).arg(&bad)).expect_code(2);
    assert!(check.stderr.starts_with(&expected), "{}", check.stderr);
    let args = ["serve", "--listen", "tcp://127.0.0.1:0", "--anonymous"];
    let plain = ["--protocol", "msgpack-plain", "--config"];
    let serve = ended(moor(args).args(plain).arg(&bad)).expect_code(2);
    assert!(serve.stderr.starts_with(&expected), "{}", serve.stderr);

    let mut both = moor(["config", "check", "--set", "idle_timeout=5s", "--config"]);
    let both = ended(both.arg(&good)).expect_code(2);
    assert!(
        both.stderr.contains("`keep_alive` must be shorter than `idle_timeout`"),
        "{}",
        both.stderr
    );
}
