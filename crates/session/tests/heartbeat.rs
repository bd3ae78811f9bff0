//! Whether the peer is still there, in virtual time: silence asks, an unanswered question ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use moorline_protocol::{CloseReason, ErrorCode, Frame, Settings};
use moorline_session::{CallError, Executed};
use support::{Pair, Script, Task, echo, note};

const HEARTBEAT: Duration = Duration::from_secs(10);
const DEAD_AFTER: Duration = Duration::from_secs(20);

/// Time passes for the session, which says what it has to.
fn pass(script: &mut Script, time: Duration) -> Vec<String> {
    script.now += time;
    script.side.tick(script.now);
    script.settle();
    std::mem::take(&mut script.heard)
}

fn deadline(script: &mut Script) -> Option<Duration> {
    let now = script.now;
    script.side.core().deadline().map(|deadline| deadline - now)
}

//= docs/PROTOCOL.md#7
#[test]
fn a_silent_peer_is_asked_and_one_that_does_not_answer_is_dead() {
    let mut script = Script::new();
    let call = Task::start(script.side.session.request(echo(1, 10)).no_timeout());
    script.settle();
    script.heard.clear();
    assert_eq!(deadline(&mut script), Some(HEARTBEAT));
    assert_eq!(pass(&mut script, HEARTBEAT), ["ping 1"]);
    assert_eq!(pass(&mut script, DEAD_AFTER - Duration::from_millis(1)), [""; 0]);
    assert_eq!(pass(&mut script, Duration::from_millis(1)), ["close -16"]);
    let reason = CloseReason::Heartbeat { silence: HEARTBEAT + DEAD_AFTER, limit: DEAD_AFTER };
    assert_eq!(*script.ended(), reason);
    let error = call.done().unwrap_err();
    assert_eq!(
        (&error, error.executed()),
        (&CallError::Closed { reason, sent: true }, Executed::Maybe)
    );
    assert!(error.to_string().contains("30000 ms, the limit is 20000 ms (knob: `dead_after`)"));
}

#[test]
fn a_peer_that_answers_lives_however_long_a_call_takes() {
    let mut script = Script::new();
    let mut call = Task::start(script.side.session.request(echo(1, 10)).no_timeout());
    script.settle();
    script.heard.clear();
    for nonce in 1..=20 {
        assert_eq!(pass(&mut script, HEARTBEAT), [format!("ping {nonce}")]);
        assert_eq!(pass(&mut script, DEAD_AFTER / 2), [""; 0]);
        script.say(&[Frame::Pong { nonce }]);
    }
    assert!(!call.look() && script.side.ended.is_none());
}

#[test]
fn a_pong_that_waits_behind_much_else_is_not_missed() {
    let mut script = Script::new();
    let _call = Task::start(script.side.session.request(echo(1, 10)).no_timeout());
    script.settle();
    script.heard.clear();
    assert_eq!(pass(&mut script, HEARTBEAT), ["ping 1"]);
    for _ in 0..10 {
        assert_eq!(pass(&mut script, DEAD_AFTER / 2), [""; 0]);
        script.say(&[Frame::Credit { stream: 0, total: 1 << 20 }]);
    }
    assert!(script.side.ended.is_none());
    assert_eq!(pass(&mut script, DEAD_AFTER), ["close -16"]);
}

#[test]
fn a_slow_way_that_moves_is_a_sign_of_life() {
    let mut script = Script::new();
    let _call = Task::start(script.side.session.request(echo(1, 10)).no_timeout());
    script.settle();
    script.heard.clear();
    assert_eq!(pass(&mut script, HEARTBEAT), ["ping 1"]);
    for _ in 0..10 {
        assert_eq!(pass(&mut script, DEAD_AFTER / 2), [""; 0]);
        let now = script.now;
        script.side.core().way_moves(now);
    }
    assert_eq!(pass(&mut script, DEAD_AFTER), ["close -16"], "and then it stands still");
}

#[test]
fn nobody_is_asked_for_nothing_and_a_session_at_rest_has_no_deadline() {
    let mut script = Script::new();
    assert_eq!(deadline(&mut script), None);
    assert_eq!(pass(&mut script, Duration::from_secs(3_600)), [""; 0]);
    // A post that has left: whether it has arrived nobody knows, until the peer says anything.
    script.side.session.send(&note(1, 10)).unwrap();
    script.settle();
    assert_eq!(std::mem::take(&mut script.heard), ["ping 1", "post 14"], "checked on use");
    script.say(&[Frame::Pong { nonce: 1 }]);
    assert_eq!(deadline(&mut script), None);
    assert!(script.side.ended.is_none());
}

#[test]
fn who_wants_to_keeps_an_idle_session_alive() {
    let keep_alive = Some(Duration::from_secs(3));
    let mut script = Script::with(Settings { keep_alive, ..Settings::default() });
    for nonce in 1..=5 {
        assert_eq!(deadline(&mut script), keep_alive);
        assert_eq!(pass(&mut script, Duration::from_secs(3)), [format!("ping {nonce}")]);
        script.say(&[Frame::Pong { nonce }]);
    }
    assert_eq!(pass(&mut script, Duration::from_secs(3)), ["ping 6"]);
    assert_eq!(pass(&mut script, DEAD_AFTER), ["close -16"]);
}

#[test]
fn a_session_that_nobody_needs_is_closed_if_asked_for() {
    let minute = Duration::from_secs(60);
    let settings = Settings { idle_timeout: Some(minute), ..Settings::default() };
    let mut pair = Pair::with(settings, support::OUTBOX);
    pair.settle();
    let call = Task::start(pair.a.session.request(echo(1, 10)).no_timeout());
    let (keep, kept) = support::log();
    pair.b.on_request = Box::new(move |core, ticket, _| {
        keep.lock().unwrap().push(core.defer(ticket).0);
        Ok(())
    });
    pair.settle();
    for _ in 0..20 {
        pair.pass(minute / 4);
    }
    assert!(pair.a.session.is_open(), "a call runs");
    kept.lock()
        .unwrap()
        .pop()
        .unwrap()
        .answer(moorline_session::Answer::Good(&support::encoded(&echo(1, 0))));
    pair.settle();
    call.done().unwrap();
    pair.pass(minute / 2);
    pair.a.session.send(&note(1, 1)).unwrap();
    pair.settle();
    pair.pass(minute - Duration::from_millis(1));
    assert!(pair.a.session.is_open(), "a message went less than a minute ago");
    pair.pass(Duration::from_millis(1));
    for side in [&pair.a, &pair.b] {
        assert!(side.ended.as_ref().unwrap().is_ordinary(), "{:?}", side.ended);
    }
}

#[test]
fn a_peer_that_only_pings_does_not_keep_a_session_from_being_idle() {
    let minute = Duration::from_secs(60);
    let settings = Settings { idle_timeout: Some(minute), ..Settings::default() };
    let mut script = Script::with(settings);
    for nonce in 1..4 {
        assert_eq!(pass(&mut script, minute / 4), [""; 0]);
        script.say(&[Frame::Ping { nonce }]);
    }
    assert_eq!(pass(&mut script, minute / 4), ["close 0"]);
}

#[test]
fn a_process_that_stood_still_reads_before_it_judges() {
    let mut pair = Pair::new();
    let call = Task::start(pair.a.session.request(echo(1, 10)).no_timeout());
    let (keep, kept) = support::log();
    pair.b.on_request = Box::new(move |core, ticket, _| {
        keep.lock().unwrap().push(core.defer(ticket).0);
        Ok(())
    });
    pair.settle();
    pair.now += HEARTBEAT;
    let now = pair.now;
    pair.a.now_is(now);
    // The ping goes, the pong comes, and side a stands still before it can read it.
    support::carry(&mut pair.a.link.wire, &mut pair.b.link.input);
    pair.b.unblock();
    pair.b.wake(now);
    support::carry(&mut pair.b.link.wire, &mut pair.a.link.input);
    pair.now += 10 * DEAD_AFTER;
    pair.a.unblock();
    pair.settle();
    assert!(pair.a.ended.is_none(), "{:?}", pair.a.ended);
    let answer = support::encoded(&echo(2, 0));
    kept.lock().unwrap().pop().unwrap().answer(moorline_session::Answer::Good(&answer));
    pair.settle();
    assert_eq!(call.done().unwrap().0, 2);
}

/// Nothing new is sent to it that could show that nobody is there any more.
#[test]
fn a_peer_that_has_asked_for_the_end_and_vanishes_is_found_out() {
    let mut script = Script::new();
    assert_eq!(deadline(&mut script), None, "at rest nobody is asked");
    script.say(&[Frame::GoAway { code: ErrorCode(0), message: "".into(), obeyed: false }]);
    script.heard.clear();
    assert_eq!(pass(&mut script, HEARTBEAT), ["ping 1"]);
    assert_eq!(pass(&mut script, DEAD_AFTER), ["close -16"]);
}
