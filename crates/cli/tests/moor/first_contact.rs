//! `moor call` to a URL without a key, and `moor serve --enrol` that lets itself be asked for it.

use std::fs;

use crate::programs::{Ended, Folder, Server, ended, moor};

const NOTE: &str = r#"{"text":""}"#;

/// A server that may be asked, and a client that knows nobody.
struct Meeting {
    folder: Folder,
    server: Option<Server>,
}

impl Meeting {
    fn new() -> Self {
        let mut meeting = Self { folder: Folder::new(), server: None };
        meeting.serve(&["--enrol"]);
        meeting
    }

    /// At the address where the last server was.
    fn serve(&mut self, options: &[&str]) {
        if let Some(server) = self.server.take() {
            server.interrupted().expect_code(0);
        }
        self.server = Some(Server::start(self.folder.serving(&self.url()).args(options)));
    }

    fn url(&self) -> String {
        format!("uds://{}", self.folder.path("sock").display())
    }

    fn call(&self, options: &[&str]) -> Ended {
        let url = self.url();
        let mut command = moor(["call", &url, "demo.Note", NOTE]);
        command.arg("--identity").arg(self.folder.path("client.key"));
        command.arg("--known-peers").arg(self.folder.path("known"));
        ended(command.args(options))
    }

    fn fingerprint(&self) -> String {
        let key = self.folder.path("server.key");
        let shown = ended(moor(["key", "fingerprint"]).arg(key)).expect_code(0);
        shown.stdout.trim().to_owned()
    }

    fn known(&self) -> String {
        fs::read_to_string(self.folder.path("known")).unwrap_or_default()
    }
}

#[test]
fn where_nobody_can_be_asked_nobody_is_trusted() {
    let meeting = Meeting::new();
    let refused = meeting.call(&[]).expect_code(3);
    assert!(refused.stderr.contains(&meeting.fingerprint()), "{}", refused.stderr);
    assert!(refused.stderr.contains("--trust"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("[y/N]"), "{}", refused.stderr);
    assert!(!meeting.folder.path("known").exists());
}

#[test]
fn a_fingerprint_is_trusted_to_the_letter_and_the_key_is_known_afterwards() {
    let meeting = Meeting::new();
    let right = meeting.fingerprint();
    let other = if right.starts_with('A') { "B" } else { "A" };
    let wrong = format!("{other}{}", &right[1..]);
    for fingerprint in [&wrong, &right[..5], "", &right.to_lowercase(), &format!("{right} ")] {
        meeting.call(&["--trust", fingerprint]).expect_code(3);
        assert_eq!(meeting.known(), "", "{fingerprint:?}");
    }
    meeting.call(&["--trust", &right]).expect_code(0);
    let known = meeting.known();
    assert!(known.starts_with(&meeting.url()), "{known}");
    meeting.call(&[]).expect_code(0);
    meeting.call(&["--trust", &wrong]).expect_code(0);
    assert_eq!(meeting.known(), known);
}

#[test]
fn a_key_that_is_known_needs_nobody_who_lets_itself_be_asked() {
    let mut meeting = Meeting::new();
    meeting.call(&["--trust", &meeting.fingerprint()]).expect_code(0);
    meeting.serve(&[]);
    meeting.call(&[]).expect_code(0);
}

#[test]
fn a_key_that_changed_is_refused_whatever_is_trusted() {
    let mut meeting = Meeting::new();
    let before = meeting.fingerprint();
    meeting.call(&["--trust", &before]).expect_code(0);
    let known = meeting.known();
    ended(moor(["key", "rotate"]).arg(meeting.folder.path("server.key"))).expect_code(0);
    meeting.serve(&["--enrol"]);
    let after = meeting.fingerprint();
    for options in [&[][..], &["--trust", &after]] {
        let refused = meeting.call(options).expect_code(3);
        for said in [&before, &after, "known"] {
            assert!(refused.stderr.contains(said), "{}", refused.stderr);
        }
    }
    assert_eq!(meeting.known(), known);
    // As the error says: whoever knows that it was changed takes the line away.
    fs::remove_file(meeting.folder.path("known")).unwrap();
    meeting.call(&["--trust", &after]).expect_code(0);
}

#[test]
fn who_does_not_let_itself_be_asked_is_no_session_and_the_way_out_is_told() {
    let mut meeting = Meeting::new();
    meeting.serve(&[]);
    let refused = meeting.call(&["--trust", &meeting.fingerprint()]).expect_code(3);
    assert!(refused.stderr.contains("--enrol"), "{}", refused.stderr);
    assert!(!meeting.folder.path("known").exists());
}

#[test]
fn being_asked_lets_nobody_in_who_is_not_on_the_list() {
    let meeting = Meeting::new();
    meeting.folder.new_key("stranger.key");
    let stranger = meeting.folder.path("stranger.key");
    fs::rename(stranger, meeting.folder.path("client.key")).unwrap();
    meeting.call(&["--trust", &meeting.fingerprint()]).expect_code(3);
}

#[test]
fn what_makes_no_sense_together_is_told_before_anybody_is_dialed() {
    let meeting = Meeting::new();
    let call = |options: &[&str]| {
        let url = meeting.url();
        ended(
            moor(["call", &url, "demo.Note", NOTE, "--identity"])
                .arg(meeting.folder.path("client.key"))
                .args(options),
        )
    };
    assert!(call(&[]).expect_code(2).stderr.contains("--known-peers"));
    let unknown = call(&["--protocol", "pigeon"]).expect_code(2);
    assert!(!unknown.stderr.contains("--known-peers"), "{}", unknown.stderr);
    call(&["--trust", "AAAAA"]).expect_code(2);
    let plain = call(&["--known-peers", "known", "--protocol", "msgpack-plain"]).expect_code(2);
    assert!(plain.stderr.contains("no keys"), "{}", plain.stderr);
}
