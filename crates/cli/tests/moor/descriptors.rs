//! A server that has run out of descriptors: it lives, rests between tries, and recovers.

use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::programs::{Folder, Server};

/// Descriptors the server may have: a dozen are its own.
const DESCRIPTORS_MAX: usize = 48;

/// Connections that hold on to one each, or wait for one.
const CONNECTIONS: usize = 3 * DESCRIPTORS_MAX;

const NOTE: &str = r#"{"text":""}"#;

/// `moor serve` where each process may have few descriptors.
fn serve(folder: &Folder) -> Server {
    let serving = folder.serving("tcp://127.0.0.1:0");
    let mut limited = Command::new("sh");
    limited.arg("-c").arg(format!("ulimit -n {DESCRIPTORS_MAX} && exec \"$0\" \"$@\""));
    limited.arg(serving.get_program()).args(serving.get_args());
    Server::start(limited.env_remove("MOOR_LOG").stdin(Stdio::null()))
}

fn descriptors(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).expect("the server runs").count()
}

/// Time on a processor so far. The kernel counts it in hundredths of a second.
fn time_used(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("the server runs");
    let (_, fields) = stat.rsplit_once(") ").expect("the name stands in brackets");
    // As proc(5) numbers them: state is field 3, utime 14, stime 15.
    let fields = fields.split(' ').skip(14 - 3).take(2);
    fields.map(|ticks| Duration::from_millis(10 * ticks.parse::<u64>().unwrap())).sum()
}

#[track_caller]
fn wait_until(what: &str, is_true: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_server_without_descriptors_rests_and_serves_again_when_it_has_some() {
    let folder = Folder::new();
    let server = serve(&folder);
    folder.call(&server.url, "demo.Note", NOTE).expect_code(0);
    let at_first = descriptors(server.process());
    assert!(at_first < DESCRIPTORS_MAX / 2, "{at_first} descriptors before anybody came");

    // Twice, since what was given up once must be there again.
    for _ in 0..2 {
        let (_, address) = server.url.split_once('@').unwrap();
        let connections: Vec<_> =
            (0..CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
        // One less, while the spare one is given up.
        wait_until("it runs out of descriptors", || {
            descriptors(server.process()) >= DESCRIPTORS_MAX - 1
        });
        let (before, begun) = (time_used(server.process()), Instant::now());
        sleep(Duration::from_secs(1));
        let (used, passed) = (time_used(server.process()) - before, begun.elapsed());
        assert!(used * 2 < passed, "{used:?} of {passed:?} on a processor, for nothing");
        assert!(descriptors(server.process()) >= DESCRIPTORS_MAX - 1, "it is still without");

        drop(connections);
        // Those still in the queue come first, and while they fill it a client may be turned away.
        wait_until("it serves again", || {
            folder.call(&server.url, "demo.Note", NOTE).code == Some(0)
        });
        wait_until("it gives back what strangers had", || {
            descriptors(server.process()) <= at_first
        });
    }
    let log = server.interrupted().expect_code(0).stderr;
    assert!(log.contains("out of descriptors"), "{log}");
}
