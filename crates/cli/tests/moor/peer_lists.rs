//! `moor peers`, and `moor serve` that follows what it does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use moorline::{
    CallError, CloseReason, Context, ErrorCode, Failure, Identity, NoError, Service, SessionRef,
    register_message,
};
use serde::{Deserialize, Serialize};

use crate::programs::{Ended, Folder, Server, call_with, ended, moor};

/// What a running server may take to follow, with room for a machine that is busy.
const FOLLOWED_MAX: Duration = Duration::from_secs(10);

const NOTE: &str = r#"{"text":""}"#;

impl Folder {
    /// `moor peers COMMAND` on the list of this folder.
    fn peers(&self, command: &str, arguments: &[&str]) -> Ended {
        ended(moor(["peers", command]).arg(self.path("peers")).args(arguments))
    }

    fn list(&self) -> String {
        fs::read_to_string(self.path("peers")).unwrap()
    }

    fn write_list(&self, text: &str) {
        fs::write(self.path("peers"), text).unwrap();
    }
}

// ---- check ---------------------------------------------------------------------------------

#[test]
fn a_good_list_is_counted_and_a_wrong_line_is_named_as_editors_like_it() {
    let folder = Folder::new();
    assert_eq!(folder.peers("check", &[]).expect_code(0).stdout, "1 peer\n");
    let list = folder.list();
    folder.write_list(&format!("# who\n\n{list}joe and so on\n"));
    let wrong = folder.peers("check", &[]).expect_code(1);
    let place = format!("{}:4: ", folder.path("peers").display());
    assert!(wrong.stderr.contains(&place), "{}", wrong.stderr);
    assert_eq!(wrong.stdout, "");
    folder.write_list("# nobody yet\n");
    assert!(folder.peers("check", &[]).expect_code(0).stdout.starts_with("0 peers"));
    ended(moor(["peers", "check"]).arg(folder.path("none"))).expect_code(1);
}

#[test]
fn who_has_expired_or_will_soon_is_warned_of() {
    let folder = Folder::new();
    let public = ["a", "b", "c"].map(|name| folder.new_key(name));
    let soon = day_from_now(20);
    let text = format!(
        "old {} role=member not_after=2001-01-01\nlate {} role=member not_after=9999-12-31\n\
         soon {} role=member not_after={soon}\n",
        public[0], public[1], public[2],
    );
    folder.write_list(&text);
    let checked = folder.peers("check", &[]).expect_code(0);
    assert_eq!(checked.stdout, "3 peers\n");
    let said: Vec<&str> = checked.stderr.lines().collect();
    assert_eq!(said.len(), 2, "{}", checked.stderr);
    assert!(said[0].contains(":1: old has expired"), "{}", said[0]);
    assert!(said[1].contains(":3: soon expires within 30 days"), "{}", said[1]);
}

/// A date as a list has it: days are taken from March on, so that a leap day is the last of a year.
fn day_from_now(days: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    // 719,468 days lie between the first of March of year 0 and 1970; 146,097 are 400 years.
    let days = now.as_secs() / 86_400 + days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let day = day - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

// ---- add and remove ------------------------------------------------------------------------

#[test]
fn a_line_is_added_behind_all_others_which_stay_as_they_are() {
    let folder = Folder::new();
    let before = format!("# who gets in\n\n{}\t# the end", folder.list());
    folder.write_list(&before);
    fs::set_permissions(folder.path("peers"), PermissionsExt::from_mode(0o640)).unwrap();
    let ada = folder.new_key("ada.key");
    let options = ["--role", "admin,member", "--role", "auditor", "--not-after", "2099-12-31"];
    let more = ["--addr", "10.0.0.0/8,::1", "--services", "demo"];
    let added = folder.peers("add", &[&["ada", &ada], &options[..], &more].concat());
    let line = format!(
        "ada {ada} role=admin,member,auditor not_after=2099-12-31 addr=10.0.0.0/8,::1 services=demo"
    );
    assert_eq!(added.expect_code(0).stdout, format!("{line}\n"));
    assert_eq!(folder.list(), format!("{before}\n{line}\n"));
    let mode = fs::metadata(folder.path("peers")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(!folder.path("peers.new").exists());

    let removed = folder.peers("remove", &["ada"]).expect_code(0);
    assert_eq!(removed.stdout, format!("{line}\n"));
    assert_eq!(folder.list(), format!("{before}\n"));
}

#[test]
fn a_key_is_given_in_any_form_it_is_handed_around_in() {
    let folder = Folder::new();
    let public = ["a.key", "b.key"].map(|name| folder.new_key(name));
    fs::write(folder.path("b.pub"), format!("{}\n", public[1])).unwrap();
    let add = |name, public: &str| folder.peers("add", &[name, public, "--role", "r"]);
    add("key-file", &format!("@{}", folder.path("a.key").display())).expect_code(0);
    add("public-file", &format!("@{}", folder.path("b.pub").display())).expect_code(0);
    let [mut with_dash, mut with_dash_line] = [String::new(), String::new()];
    // A bare key may begin like an option.
    while !with_dash.starts_with('-') {
        let key = Identity::generate().unwrap().public();
        (with_dash, with_dash_line) = (key.to_string(), key.to_line());
    }
    add("bare", &with_dash).expect_code(0);
    for line in [&public[0], &public[1], &with_dash_line] {
        assert!(folder.list().contains(line.as_str()), "{line}");
    }
    folder.peers("remove", &[&with_dash]).expect_code(0);
    assert!(!folder.list().contains(&with_dash_line));
}

#[test]
fn a_key_is_on_the_list_once_and_a_name_may_be_there_twice() {
    let folder = Folder::new();
    let client = folder.list().split(' ').nth(1).unwrap().to_owned();
    let before = folder.list();
    let twice = folder.peers("add", &["other", &client, "--role", "r"]).expect_code(1);
    let place = format!("{}:1: ", folder.path("peers").display());
    assert!(twice.stderr.contains(&place) && twice.stderr.contains("client"), "{}", twice.stderr);
    assert_eq!(folder.list(), before);

    let next = folder.new_key("next.key");
    let added = folder.peers("add", &["client", &next, "--role", "member"]).expect_code(0);
    assert!(added.stderr.contains(&place), "{}", added.stderr);
    let both = folder.list();
    let several = folder.peers("remove", &["client"]).expect_code(1);
    for said in [&client, &next, "line 1", "line 2"] {
        assert!(several.stderr.contains(said), "{}", several.stderr);
    }
    assert_eq!(folder.list(), both);
    folder.peers("remove", &[&client]).expect_code(0);
    assert_eq!(folder.list(), format!("client {next} role=member\n"));
    let nobody = folder.peers("remove", &["ada"]).expect_code(1);
    assert!(nobody.stderr.contains("nobody on it is \"ada\""), "{}", nobody.stderr);
}

#[test]
fn what_would_not_be_one_good_line_changes_nothing() {
    let folder = Folder::new();
    let (before, key) = (folder.list(), folder.new_key("x.key"));
    let sly = format!("a\nmallory {} role=b", folder.new_key("y.key"));
    for arguments in [
        &["ada", &key, "--role", &sly][..],
        &["ada", &key, "--role", "a services=b"],
        &["ada", &key, "--role", ""],
        &["ada", &key, "--role", "a", "--addr", ""],
        &["ada", &key, "--role", "a", "--services", ""],
        &["ada", &key, "--role", "a", "--not-after", ""],
        &["ada", &key, "--role", "a", "--addr", "10.0.0.1/8"],
        &["ada", &key, "--role", "a", "--not-after", "tomorrow"],
        &["# ada", &key, "--role", "a"],
        &["#ada", &key, "--role", "a"],
        &["ada\n", &key, "--role", "a"],
        &[" ada", &key, "--role", "a"],
        &["ada lovelace", &key, "--role", "a"],
        &["ada", "key", "--role", "a"],
        &["ada", "@/nonexistent/key", "--role", "a"],
        &["ada", &key],
    ] {
        folder.peers("add", arguments).expect_code(2);
        assert_eq!(folder.list(), before, "{arguments:?}");
    }
    let secret = fs::read_to_string(folder.path("x.key")).unwrap();
    for command in [&["add", "ada", secret.trim(), "--role", "a"][..], &["remove", secret.trim()]] {
        let refused = folder.peers(command[0], &command[1..]).expect_code(2);
        assert!(!refused.stderr.contains(secret.split(':').nth(1).unwrap()), "{}", refused.stderr);
    }
    assert_eq!(folder.list(), before);
}

#[test]
fn a_list_that_is_wrong_already_or_is_being_changed_is_left_alone() {
    let folder = Folder::new();
    let (key, good) = (folder.new_key("x.key"), folder.list());
    let add = || folder.peers("add", &["ada", &key, "--role", "a"]).expect_code(1).stderr;
    folder.write_list("joe\n");
    assert!(add().contains("peers:1: "));
    assert_eq!(folder.list(), "joe\n");
    assert!(!folder.path("peers.new").exists());
    folder.write_list(&good);
    fs::write(folder.path("peers.new"), "").unwrap();
    assert!(add().contains("in the way"));
    assert_eq!(folder.list(), good);
    fs::remove_file(folder.path("peers.new")).unwrap();
    fs::remove_file(folder.path("peers")).unwrap();
    assert!(add().contains("cannot read"));
}

// ---- a server that runs --------------------------------------------------------------------

#[test]
fn a_running_server_lets_in_who_is_added_and_out_who_is_removed() {
    let folder = Folder::new();
    let mut server = folder.serve("tcp://127.0.0.1:0");
    let url = server.url.clone();
    let ada = folder.new_key("ada.key");
    let call = || call_with(&folder.path("ada.key"), &url, "demo.Note", NOTE).code;
    assert_eq!(call(), Some(3));
    folder.peers("add", &["ada", &ada, "--role", "member"]).expect_code(0);
    follows(&mut server, || call() == Some(0));
    folder.peers("remove", &["ada"]).expect_code(0);
    follows(&mut server, || call() == Some(3));
    folder.call(&url, "demo.Note", NOTE).expect_code(0);
    server.interrupted().expect_code(0);
}

/// Asks until it is so. Each question is a process and a handshake, so this is no busy loop.
#[track_caller]
fn follows(server: &mut Server, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > FOLLOWED_MAX {
            panic!("the server does not follow its list: {}", server.killed());
        }
    }
}

/// As `moor` has them; what the server counts does not matter here.
#[derive(Serialize, Deserialize)]
struct Finish {}
#[derive(Serialize, Deserialize)]
struct Verdict {
    difference: String,
}
#[derive(Serialize, Deserialize)]
struct Confirm {
    totals: serde_json::Value,
}
register_message!(Finish as "demo.Finish" => Verdict);
register_message!(Confirm as "demo.Confirm" => Verdict);

#[test]
fn a_call_that_waits_ends_when_its_key_is_removed() {
    let folder = Folder::new();
    let mut server = folder.serve("tcp://127.0.0.1:0");
    let identity = Identity::load(folder.path("client.key")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Service::builder().identity(identity).build().unwrap();
        let (tell, mut asked) = tokio::sync::mpsc::unbounded_channel();
        // The server asks back before it answers, and here it waits for ever.
        client.handle(move |_: Context, _: Confirm| {
            let _ = tell.send(());
            std::future::pending::<Result<Verdict, Failure<NoError>>>()
        });
        let session: SessionRef = client.connect(&server.url, "msgpack").await.unwrap();
        let call = session.request(Finish {});
        let removal = async {
            asked.recv().await.unwrap();
            folder.peers("remove", &["client"]).expect_code(0);
        };
        let both = async { tokio::join!(call, removal).0 };
        let Ok(answer) = tokio::time::timeout(FOLLOWED_MAX, both).await else {
            panic!("the call does not end: {}", server.killed());
        };
        match answer.err().expect("there is no answer") {
            CallError::Closed { reason: CloseReason::ByPeer(farewell), .. } => {
                assert_eq!(farewell.code, ErrorCode::REVOKED);
            }
            other => panic!("{other:?}"),
        }
    });
    folder.call(&server.url, "demo.Note", NOTE).expect_code(3);
}
