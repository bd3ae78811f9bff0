//! What `moor serve --log-json` writes, as a machine reads it.

use serde_json::Value;

use crate::programs::{Ended, Folder, Server, call_with};

const LOGIN: &str = r#"{"name":"a\nb"}"#;

/// The log of a server that has stopped: every line of it is one JSON object that says when, how
/// grave and what.
fn lines(ended: &Ended) -> Vec<Value> {
    let line = |text| {
        let line: Value = serde_json::from_str(text).expect("each line is JSON");
        assert!(line.is_object(), "{text}");
        for key in ["timestamp", "level", "message"] {
            assert!(line[key].as_str().is_some_and(|value| !value.is_empty()), "{key}: {text}");
        }
        let level = line["level"].as_str().unwrap();
        assert!(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level), "{text}");
        assert!(is_timestamp(line["timestamp"].as_str().unwrap()), "{text}");
        line
    };
    ended.stderr.lines().map(line).collect()
}

/// `2026-01-31T23:59:59.123456Z`, as RFC 3339 has it.
fn is_timestamp(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape.starts_with("0000-00-00T00:00:00") && shape.ends_with('Z')
}

#[track_caller]
fn the_one<'a>(lines: &'a [Value], message: &str) -> &'a Value {
    let found: Vec<_> = lines.iter().filter(|line| line["message"] == message).collect();
    let [line] = found[..] else { panic!("{} lines say {message:?}: {lines:?}", found.len()) };
    line
}

fn serve(folder: &Folder) -> Server {
    Server::start(folder.serving("tcp://127.0.0.1:0").arg("--log-json"))
}

#[test]
fn each_line_of_a_good_call_and_a_refused_one_is_an_object() {
    let folder = Folder::new();
    let stranger = folder.new_key("stranger.key");
    let server = serve(&folder);
    folder.call(&server.url, "demo.Login", LOGIN).expect_code(0);
    call_with(&folder.path("stranger.key"), &server.url, "demo.Login", LOGIN).expect_code(3);
    let url = server.url.clone();
    let log = server.interrupted().expect_code(0);
    let lines = lines(&log);

    let listening = the_one(&lines, "listening");
    assert_eq!((&listening["url"], &listening["level"]), (&url.into(), &"INFO".into()));
    assert!(listening["span"].is_null(), "no session had to do with it: {listening}");

    // What happens in a session names the session and whose it is.
    let list = std::fs::read_to_string(folder.path("peers")).unwrap();
    let client = list.split_whitespace().nth(1).unwrap().split(':').nth(1).unwrap();
    let opened = the_one(&lines, "session opened");
    let id = opened["span"]["id"].as_str().unwrap();
    assert!(!id.is_empty());
    for message in ["session opened", "login", "session closed"] {
        let line = the_one(&lines, message);
        assert_eq!(line["span"]["name"], "session", "{line}");
        assert_eq!(line["span"]["id"], id, "{line}");
        assert_eq!(line["span"]["peer"], client, "{line}");
    }
    assert!(opened["address"].as_str().unwrap().starts_with("tcp://127.0.0.1:"), "{opened}");

    let refused = the_one(&lines, "no session");
    assert_eq!(refused["level"], "WARN");
    assert_eq!(refused["cause"], "not_admitted");
    assert!(refused["peer"].as_str().unwrap().starts_with("tcp://127.0.0.1:"), "{refused}");
    assert!(refused["reason"].as_str().unwrap().contains(&stranger), "{refused}");
    assert!(refused["span"].is_null(), "it never was a session: {refused}");
}

#[test]
fn the_line_that_the_log_of_a_refusal_gives_lets_the_refused_one_in() {
    let folder = Folder::new();
    let stranger = folder.new_key("stranger.key");
    let call =
        |server: &Server| call_with(&folder.path("stranger.key"), &server.url, "demo.Login", LOGIN);
    let server = serve(&folder);
    call(&server).expect_code(3);
    let log = server.interrupted().expect_code(0);
    let lines = lines(&log);
    let reason = the_one(&lines, "no session")["reason"].as_str().unwrap();
    let line = &reason[reason.find("NAME ").expect("the line begins with a name to choose")..];
    assert_eq!(line, format!("NAME {stranger} role=ROLE"));

    let line = line.replace("NAME", "newcomer").replace("ROLE", "member");
    let peers = std::fs::read_to_string(folder.path("peers")).unwrap();
    std::fs::write(folder.path("peers"), format!("{peers}{line}\n")).unwrap();
    let server = serve(&folder);
    assert_eq!(call(&server).expect_code(0).json()["listed_as"], "newcomer");
    folder.call(&server.url, "demo.Login", LOGIN).expect_code(0);
    server.interrupted().expect_code(0);
}
