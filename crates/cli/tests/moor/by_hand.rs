//! `moor serve` and `moor call`, as somebody uses them from two shells.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::programs::{Folder, Server, call_with, ended, ended_with_input, moor};

// ---- serve and call ------------------------------------------------------------------------

#[test]
fn every_message_is_answered_over_tcp() {
    let folder = Folder::new();
    let server = folder.serve("tcp://127.0.0.1:0");
    assert!(!server.url.ends_with(":0"), "{}", server.url);
    every_message_is_answered(&folder, &server.url);
    let log = server.interrupted().expect_code(0).stderr;
    assert!(log.contains("login"), "{log}");
}

#[test]
fn every_message_is_answered_over_a_unix_socket() {
    let folder = Folder::new();
    let server = folder.serve(&format!("uds://{}", folder.path("sock").display()));
    every_message_is_answered(&folder, &server.url);
    server.interrupted().expect_code(0);
    assert!(!folder.path("sock").exists(), "the socket is gone with the server");
}

fn every_message_is_answered(folder: &Folder, url: &str) {
    let login = folder.call(url, "demo.Login", r#"{"name":"ada"}"#).expect_code(0);
    assert_eq!(login.json(), json!({ "greeting": "welcome, ada", "listed_as": "client" }));
    let hi = json!({
        "sha256": "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4",
        "size": 2,
    });
    for data in ["[104,105]", "\"aGk=\""] {
        let digest = folder.call(url, "demo.Digest", &format!("{{\"data\":{data}}}"));
        assert_eq!(digest.expect_code(0).json(), hi);
    }
    let echo = json!({ "id": u64::MAX, "name": "Grüße\n", "data": "AP8=" });
    assert_eq!(folder.call(url, "demo.Echo", &echo.to_string()).expect_code(0).json(), echo);
    let note = folder.call(url, "demo.Note", r#"{"text":"for the log"}"#).expect_code(0);
    assert_eq!(note.json(), json!(null));
}

#[test]
fn json_comes_from_a_file_or_from_stdin_as_well() {
    let folder = Folder::new();
    let server = folder.serve("tcp://127.0.0.1:0");
    let json = r#"{"id":1,"name":"n","data":[]}"#;
    std::fs::write(folder.path("echo.json"), json).unwrap();
    let at = format!("@{}", folder.path("echo.json").display());
    let expected = json!({ "id": 1, "name": "n", "data": "" });
    assert_eq!(folder.call(&server.url, "demo.Echo", &at).expect_code(0).json(), expected);
    let mut command = moor(["call", &server.url, "demo.Echo", "-", "--identity"]);
    command.arg(folder.path("client.key"));
    assert_eq!(ended_with_input(&mut command, json).expect_code(0).json(), expected);
    let missing = folder.call(&server.url, "demo.Echo", "@/nonexistent/file").expect_code(2);
    assert!(missing.stderr.contains("/nonexistent/file"), "{}", missing.stderr);
}

#[test]
fn ten_mebibytes_go_in_one_message_and_more_than_the_limit_is_refused_by_name() {
    let folder = Folder::new();
    let server = folder.serve("tcp://127.0.0.1:0");
    let path = folder.path("large.json");
    let at = format!("@{}", path.display());
    // Four characters of base64 are three bytes, all zero.
    let of = |bytes: usize| format!("{{\"data\":\"{}\"}}", "A".repeat(bytes / 3 * 4));
    std::fs::write(&path, of(10 * 1024 * 1024)).unwrap();
    let digest = folder.call(&server.url, "demo.Digest", &at).expect_code(0);
    assert_eq!(digest.json()["size"], 10 * 1024 * 1024 / 3 * 3);
    std::fs::write(&path, of(17 * 1024 * 1024)).unwrap();
    let refused = folder.call(&server.url, "demo.Digest", &at).expect_code(1);
    assert!(refused.stderr.contains("`message_max`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("16777216"), "{}", refused.stderr);
}

// ---- what goes wrong -----------------------------------------------------------------------

#[test]
fn a_refused_login_is_a_failed_call() {
    let folder = Folder::new();
    let server = folder.serve("tcp://127.0.0.1:0");
    let refused = folder.call(&server.url, "demo.Login", r#"{"name":""}"#).expect_code(1);
    assert!(refused.stderr.contains("the name is empty"), "{}", refused.stderr);
    assert_eq!(refused.stdout, "");
}

#[test]
fn what_is_wrong_with_the_command_line_is_told_before_anybody_is_dialed() {
    let folder = Folder::new();
    // Nobody is there: whoever dialed would end with 3.
    let key = folder.new_key("other.key");
    let url = format!("tcp://{}@127.0.0.1:1", key.split(':').nth(1).unwrap());
    let unknown = folder.call(&url, "demo.Nope", "{}").expect_code(2);
    assert!(unknown.stderr.contains("demo.Digest"), "{}", unknown.stderr);
    let cut = folder.call(&url, "demo.Note", r#"{"text":"#).expect_code(2);
    assert!(cut.stderr.contains("demo.Note"), "{}", cut.stderr);
    let field = folder.call(&url, "demo.Note", "{}").expect_code(2);
    assert!(field.stderr.contains("`text`"), "{}", field.stderr);
    let bytes = folder.call(&url, "demo.Digest", r#"{"data":"?"}"#).expect_code(2);
    assert!(bytes.stderr.contains("base64"), "{}", bytes.stderr);
    let note = r#"{"text":""}"#;
    folder.call("127.0.0.1:1", "demo.Note", note).expect_code(2);
    folder.call("tcp://127.0.0.1:1", "demo.Note", note).expect_code(2);
    folder.call(&format!("pigeon{}", &url[3..]), "demo.Note", note).expect_code(2);
    let nobody = ended(&mut moor(["call", &url, "demo.Note", note])).expect_code(2);
    assert!(nobody.stderr.contains("--identity"), "{}", nobody.stderr);
    ended(&mut moor(["call", &url])).expect_code(2);
    ended(&mut moor(["--log", "a=b=c", "key", "show", "x"])).expect_code(2);
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let folder = Folder::new();
    let path = folder.path("client.key");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let url = "tcp://127.0.0.1:1";
    let refused = folder.call(url, "demo.Note", r#"{"text":""}"#).expect_code(2);
    assert!(refused.stderr.contains("0640"), "{}", refused.stderr);
    let shown = ended(moor(["key", "show"]).arg(&path)).expect_code(1);
    assert!(shown.stderr.contains("0600"), "{}", shown.stderr);
}

#[test]
fn nobody_there_a_wrong_key_and_an_unlisted_key_are_no_session() {
    let folder = Folder::new();
    let mut server = folder.serve("tcp://127.0.0.1:0");
    let note = r#"{"text":""}"#;
    folder.call(&server.url, "demo.Note", note).expect_code(0);

    let stranger = folder.new_key("stranger.key");
    call_with(&folder.path("stranger.key"), &server.url, "demo.Note", note).expect_code(3);
    let (_, address) = server.url.split_once('@').unwrap();
    let other = format!("tcp://{}@{address}", stranger.split(':').nth(1).unwrap());
    folder.call(&other, "demo.Note", note).expect_code(3);

    let url = server.url.clone();
    let log = server.killed();
    assert!(log.contains(&stranger), "the log names who was not let in: {log}");
    let dead = folder.call(&url, "demo.Note", note).expect_code(3);
    assert!(dead.stderr.contains("cannot connect"), "{}", dead.stderr);
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let folder = Folder::new();
    let serve = |arguments: &[&str]| ended(moor(["serve", "--identity"]).args(arguments));
    let (key, peers) = (folder.path("server.key"), folder.path("peers"));
    let (key, peers) = (key.to_str().unwrap(), peers.to_str().unwrap());
    let at = ["--listen", "tcp://127.0.0.1:0"];
    serve(&[&[key], &at[..]].concat()).expect_code(2);
    serve(&[&[key, "--peers", "/nonexistent/list"], &at[..]].concat()).expect_code(2);
    serve(&[&["/nonexistent/key", "--peers", peers], &at[..]].concat()).expect_code(2);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("tcp://{}", taken.local_addr().unwrap());
    let refused = serve(&[key, "--peers", peers, "--listen", &taken]).expect_code(1);
    assert!(refused.stderr.contains(&taken), "{}", refused.stderr);
}

// ---- without keys, and without readers -----------------------------------------------------

#[test]
fn the_plain_protocol_needs_it_spelled_out_that_everybody_gets_in() {
    let folder = Folder::new();
    let mut listed =
        moor(["serve", "--listen", "tcp://127.0.0.1:0", "--protocol", "msgpack-plain"]);
    listed.arg("--identity").arg(folder.path("server.key"));
    listed.arg("--peers").arg(folder.path("peers"));
    let refused = ended(&mut listed).expect_code(2);
    assert!(refused.stderr.contains("--anonymous"), "{}", refused.stderr);

    let plain = ["--protocol", "msgpack-plain"];
    let mut open = moor(["serve", "--listen", "tcp://127.0.0.1:0", "--anonymous"]);
    let server = Server::start(open.args(plain));
    assert!(!server.url.contains('@'), "{}", server.url);
    let call = |kind, json| ended(moor(["call", &server.url, kind, json]).args(plain));
    let login = call("demo.Login", r#"{"name":"ada"}"#).expect_code(0);
    assert_eq!(login.json()["greeting"], "welcome, ada");
    assert_eq!(call("demo.Note", r#"{"text":""}"#).expect_code(0).json(), json!(null));
    assert_eq!(call("demo.Digest", r#"{"data":[]}"#).expect_code(0).json()["size"], 0);
    let echo = json!({ "id": 0, "name": "", "data": "" });
    assert_eq!(call("demo.Echo", &echo.to_string()).expect_code(0).json(), echo);
    server.interrupted().expect_code(0);
}

#[test]
fn nobody_reading_stdout_is_no_reason_to_panic() {
    let folder = Folder::new();
    let server = folder.serve("tcp://127.0.0.1:0");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = moor(["call", &server.url, "demo.Note", r#"{"text":""}"#, "--identity"]);
    command.arg(folder.path("client.key")).stdout(writer);
    ended(&mut command).expect_code(0);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    ended(moor(["serve", "--help"]).stdout(writer)).expect_code(0);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    if let Ok(full) = full {
        let said = ended(moor(["key", "show"]).arg(folder.path("client.key")).stdout(full));
        assert!(said.expect_code(1).stderr.contains("cannot write"));
    }
}

#[test]
fn help_names_every_message() {
    let help = ended(&mut moor(["serve", "--help"])).expect_code(0).stdout;
    for name in ["demo.Login", "demo.Digest", "demo.Echo", "demo.Note", "Ends with 0"] {
        assert!(help.contains(name), "{help}");
    }
}
