//! When what is queued leaves: at once, when somebody says so, or at intervals.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use moorline_protocol::{Frame, Meta, Settings};
use moorline_session::{Answer, Flush};
use support::{Pair, Script, Task, echo, encoded, kind_of, note};

fn manual() -> Script {
    let script = Script::new();
    script.side.session.set_flush(Flush::Manual);
    script
}

fn hear(script: &mut Script) -> Vec<String> {
    script.settle();
    std::mem::take(&mut script.heard)
}

const NOTHING: [&str; 0] = [];

#[test]
fn nothing_leaves_before_somebody_says_so() {
    let mut script = manual();
    let session = script.side.session.clone();
    session.send(&note(1, 1)).unwrap();
    session.send_with_priority(7, &note(2, 2)).unwrap();
    let _call = Task::start(session.request(echo(3, 3)));
    let (mut stream, _) = session.open(&support::Range(1)).unwrap().split();
    stream.send(&note(4, 4)).unwrap();
    assert_eq!(hear(&mut script), NOTHING);
    assert!(!script.side.wake(script.now), "the driver is left alone");
    session.flush();
    let heard = hear(&mut script);
    assert_eq!(heard.len(), 5, "{heard:?}");
    session.send(&note(1, 1)).unwrap();
    assert_eq!(hear(&mut script), NOTHING, "what came later waits for the next time");
    session.flush();
    assert_eq!(hear(&mut script), ["post 5"]);
}

#[test]
fn what_the_peer_waits_for_is_not_held_back() {
    let mut script = manual();
    script.side.session.send(&note(1, 1)).unwrap();
    let body = encoded(&echo(1, 10));
    let request = |id| Frame::Request {
        id,
        kind: kind_of::<support::Echo>(),
        meta: Meta::default(),
        body: moorline_protocol::Body::Borrowed(&body),
    };
    let heard = script.say(&[Frame::Ping { nonce: 1 }, request(1), request(2)]);
    assert_eq!(heard, ["pong 1", "response 1 14", "response 2 14"]);
    let kept = support::log();
    let keep = kept.0;
    script.side.on_request = Box::new(move |core, ticket, _| {
        keep.lock().unwrap().push(core.defer(ticket).0);
        Ok(())
    });
    assert_eq!(script.say(&[request(3)]), NOTHING);
    kept.1.lock().unwrap().pop().unwrap().answer(Answer::Good(&body));
    assert_eq!(hear(&mut script), ["response 3 14"], "also from another thread");
    // A call that is given up at the gate was never sent, and nobody hears of it.
    drop(Task::start(script.side.session.request(echo(1, 1))));
    assert_eq!(hear(&mut script), NOTHING);
}

#[test]
fn a_call_at_the_gate_has_its_deadline() {
    let mut script = manual();
    let call = script.side.session.request(echo(1, 1)).timeout(Duration::from_secs(1));
    let call = Task::start(call);
    assert_eq!(hear(&mut script), NOTHING);
    script.now += Duration::from_secs(1);
    script.side.tick(script.now);
    script.settle();
    assert!(call.done().is_err());
}

#[test]
fn a_barrier_and_the_end_of_a_session_let_everything_out() {
    let mut pair = Pair::new();
    let (keep, heard) = support::log();
    pair.b.on_post = Box::new(move |body| keep.lock().unwrap().push(body.len()));
    pair.a.session.set_flush(Flush::Manual);
    pair.a.session.send(&note(1, 1)).unwrap();
    let session = pair.a.session.clone();
    let barrier = Task::start(async move { session.barrier().await });
    pair.settle();
    barrier.done().unwrap();
    assert_eq!(heard.lock().unwrap().len(), 1);
    pair.a.session.send(&note(1, 1)).unwrap();
    pair.settle();
    assert_eq!(heard.lock().unwrap().len(), 1);
    pair.a.session.close();
    pair.settle();
    assert_eq!(heard.lock().unwrap().len(), 2);
    assert!(pair.a.ended.unwrap().is_ordinary());
}

#[test]
fn who_drains_lets_everything_out() {
    let mut script = manual();
    script.side.session.send(&note(1, 1)).unwrap();
    assert_eq!(hear(&mut script), NOTHING);
    let goaway =
        Frame::GoAway { code: moorline_protocol::ErrorCode(0), message: "".into(), obeyed: false };
    assert_eq!(script.say(&[goaway]), ["post 5", "goaway X"]);
}

#[test]
fn who_waits_for_room_does_not_wait_for_ever() {
    let mut pair = Pair::with(Settings::default(), 64 * 1024);
    pair.a.session.set_flush(Flush::Manual);
    let session = pair.a.session.clone();
    let writer = Task::start(async move {
        for n in 0..50 {
            session.send_wait(&note(n, 10_000)).await.unwrap();
        }
    });
    pair.settle();
    let mut writer = writer;
    for _ in 0..100 {
        if writer.look() {
            return;
        }
        pair.settle();
    }
    panic!("it waits for ever");
}

#[test]
fn a_flush_is_done_when_the_kernel_has_what_was_queued_before() {
    let mut script = manual();
    let session = script.side.session.clone();
    script.side.blocked = true;
    session.send(&note(1, 1)).unwrap();
    let clone = session.clone();
    let mut flushed = Task::start(async move { clone.flush_wait().await });
    session.send(&note(2, 2)).unwrap();
    script.settle();
    assert!(!flushed.look(), "the kernel takes nothing");
    script.side.unblock();
    script.settle();
    flushed.done().unwrap();
    // With nothing queued it is done at once, under any rule.
    for flush in [Flush::Manual, Flush::Auto] {
        session.set_flush(flush);
        script.settle();
        let clone = session.clone();
        let flushed = Task::start(async move { clone.flush_wait().await });
        script.settle();
        flushed.done().unwrap();
    }
    session.close();
    script.say(&[Frame::Close { code: moorline_protocol::ErrorCode(0), message: "".into() }]);
    let late = Task::start(async move { session.flush_wait().await });
    assert!(late.done().is_err());
}

#[test]
fn at_intervals_the_first_leaves_at_once_and_what_follows_waits_for_the_next() {
    let interval = Duration::from_millis(50);
    let mut script = Script::with(Settings { heartbeat: None, ..Settings::default() });
    let session = script.side.session.clone();
    session.set_flush(Flush::Every(interval));
    script.settle();
    assert_eq!(script.side.core().deadline(), None, "nothing waits, and no timer runs");
    session.send(&note(1, 1)).unwrap();
    assert_eq!(hear(&mut script), ["post 5"]);
    let begun = script.now;
    script.now += interval / 2;
    for n in 2..5 {
        session.send(&note(n, 1)).unwrap();
        assert_eq!(hear(&mut script), NOTHING);
    }
    assert_eq!(script.side.core().deadline(), Some(begun + interval));
    script.now = begun + interval;
    script.side.tick(script.now);
    assert_eq!(hear(&mut script), ["post 5"; 3]);
    assert_eq!(script.side.core().deadline(), None);
    session.send(&note(9, 1)).unwrap();
    assert_eq!(hear(&mut script), NOTHING);
    session.flush();
    assert_eq!(hear(&mut script), ["post 5"], "who cannot wait says so");
    assert_eq!(script.side.core().deadline(), None);
}

/// Otherwise the driver would be called for a time that has passed, again and again.
#[test]
fn the_time_of_what_was_given_up_is_forgotten() {
    let mut script = Script::new();
    let session = script.side.session.clone();
    let interval = Duration::from_millis(5);
    session.set_flush(Flush::Every(interval));
    let (mut stream, _receiver) =
        session.open::<support::Range>(&support::Range(1)).unwrap().split();
    assert_eq!(hear(&mut script).len(), 1, "the opening leaves at once");
    stream.send(&note(1, 1)).unwrap();
    assert_eq!(hear(&mut script), NOTHING);
    assert!(script.side.core().deadline().is_some(), "the message waits for its time");
    stream.reset(moorline_protocol::ErrorCode(7), "");
    assert_eq!(hear(&mut script).len(), 1);
    script.now += interval;
    script.side.tick(script.now);
    hear(&mut script);
    assert!(script.side.core().deadline().is_none_or(|deadline| deadline > script.now));
}

#[test]
fn who_waits_for_a_slot_does_not_wait_for_ever() {
    let mut script =
        Script::between(Settings { in_flight_max: 16, ..Settings::default() }, Settings::default());
    script.side.session.set_flush(Flush::Manual);
    let calls: Vec<_> =
        (0..15).map(|n| Task::start(script.side.session.request(echo(n, 1)))).collect();
    assert_eq!(hear(&mut script), NOTHING);
    let _last = Task::start(script.side.session.request(echo(15, 1)));
    assert_eq!(hear(&mut script).len(), 16, "the peer allows no more");
    drop(calls);
}

#[test]
fn a_full_stream_lets_everything_out() {
    let mut script = manual();
    let mut stream = script.side.session.open(&support::Range(1)).unwrap();
    while hear(&mut script).is_empty() {
        stream.send(&note(1, 100_000)).unwrap();
    }
}

#[test]
fn an_interval_beyond_all_clocks_is_a_long_one() {
    let mut script = Script::with(Settings { heartbeat: None, ..Settings::default() });
    let session = script.side.session.clone();
    session.set_flush(Flush::Every(Duration::MAX));
    session.send(&note(1, 1)).unwrap();
    assert_eq!(hear(&mut script), ["post 5"]);
    session.send(&note(2, 1)).unwrap();
    assert_eq!(hear(&mut script), NOTHING);
    session.set_flush(Flush::Auto);
    assert_eq!(hear(&mut script), ["post 5"]);
}
