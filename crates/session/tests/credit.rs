//! Flow control between two sessions.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use moorline_protocol::{Frame, Settings};
use support::{Pair, Script, Task, echo, encoded, log, note};

fn narrow() -> Settings {
    Settings { initiation_window: 64 * 1024, ..Settings::default() }
}

//= docs/PROTOCOL.md#8
#[test]
fn without_credit_calls_wait_and_answers_do_not() {
    let mut script = Script::between(narrow(), Settings::default());
    for n in 0..20 {
        script.side.session.send(&note(n, 10_000)).unwrap();
    }
    script.settle();
    let sent: usize = script.heard.iter().filter(|said| said.starts_with("post")).count();
    assert_eq!(sent, 6, "{:?}", script.heard);
    script.heard.clear();
    let meta = moorline_protocol::Meta::default();
    let kind = support::kind_of::<support::Echo>();
    let body = moorline_protocol::Body::Borrowed(b"\xc0");
    let heard = script.say(&[Frame::Request { id: 0, kind, meta, body }, Frame::Ping { nonce: 1 }]);
    assert_eq!(heard, ["pong 1", "response 0 1"]);
    let heard = script.say(&[Frame::Credit { stream: 0, total: 96 * 1024 }]);
    assert_eq!(heard.len(), 3, "{heard:?}");
    let heard = script.say(&[Frame::Credit { stream: 0, total: 1 << 20 }]);
    assert_eq!(heard.len(), 11, "{heard:?}");
}

#[test]
fn a_call_without_credit_times_out_and_its_cancel_follows_it() {
    let mut script = Script::between(narrow(), Settings::default());
    for n in 0..20 {
        script.side.session.send(&note(n, 10_000)).unwrap();
    }
    // Behind the posts, whose lane goes first.
    let call = script.side.session.request(echo(1, 9_000)).priority(0);
    let call = Task::start(call.timeout(Duration::from_secs(1)));
    script.settle();
    script.now += Duration::from_secs(2);
    let now = script.now;
    script.side.tick(now);
    script.settle();
    assert_eq!(
        call.done().unwrap_err(),
        moorline_session::CallError::Timeout { limit: Duration::from_secs(1) }
    );
    script.heard.clear();
    let heard = script.say(&[Frame::Credit { stream: 0, total: 1 << 20 }]);
    let request = heard.iter().position(|said| said.starts_with("request 0"));
    assert!(request < heard.iter().position(|said| said == "cancel 0"), "{heard:?}");
}

//= docs/PROTOCOL.md#8
#[test]
fn a_message_larger_than_its_window_completes_both_ways_at_once() {
    let mut pair = Pair::with(narrow(), support::OUTBOX);
    let (tell, heard) = log();
    pair.b.on_post = Box::new(move |body| tell.lock().unwrap().push(body.len()));
    let there = note(1, 3 << 20);
    pair.a.session.send(&there).unwrap();
    let call = Task::start(pair.a.session.request(echo(2, 2 << 20)));
    let back = Task::start(pair.b.session.request(echo(3, 2 << 20)));
    pair.settle();
    assert_eq!(*heard.lock().unwrap(), [encoded(&there).len()]);
    assert_eq!(call.done().unwrap(), echo(2, 2 << 20));
    assert_eq!(back.done().unwrap(), echo(3, 2 << 20));
}

#[test]
fn full_windows_both_ways_never_deadlock() {
    let mut pair = Pair::with(narrow(), support::OUTBOX);
    let mut calls = Vec::new();
    for n in 0..300 {
        let len = usize::try_from(n).unwrap() * 97 % 20_000;
        calls.push(Task::start(pair.a.session.request(echo(n, len))));
        calls.push(Task::start(pair.b.session.request(echo(n, len))));
        pair.a.session.send(&note(n, 4_000)).unwrap();
        pair.b.session.send(&note(n, 4_000)).unwrap();
    }
    pair.settle();
    assert!(calls.into_iter().all(|call| call.done().is_ok()));
    assert_eq!(pair.a.session.queued_bytes() + pair.b.session.queued_bytes(), 0);
}

#[test]
fn tiny_messages_are_bounded_by_their_surcharge_and_get_through() {
    let mut pair = Pair::with(narrow(), support::OUTBOX);
    let (tell, heard) = log();
    pair.b.on_post = Box::new(move |body| tell.lock().unwrap().push(body.len()));
    for n in 0..20_000 {
        pair.a.session.send(&note(n, 0)).unwrap();
    }
    pair.settle();
    assert_eq!(heard.lock().unwrap().len(), 20_000);
}
