//! Peers that misuse topics: each row by name.

use moorline_protocol::{Body, CloseReason, Frame, Meta, Overflow, Settings};
use moorline_session::limits::SUBSCRIPTIONS_MAX;
use moorline_session::{CallError, SubscriptionError};

use super::{Task, heard, lagged, now};
use crate::support::{Note, Script, encoded, kind_of, note};

fn subscribe(id: u32, alias: u64, topic: &'static str) -> Frame<'static> {
    Frame::Subscribe { id, alias, topic: topic.into(), retained: false, meta: Meta::default() }
}

fn publish(alias: u64, body: &[u8]) -> Frame<'_> {
    let kind = kind_of::<Note>();
    Frame::Publish { alias, kind, body: Body::Borrowed(body), retained: false }
}

fn response(id: u32) -> Frame<'static> {
    Frame::Response { id, body: Body::Borrowed(b"\xc0") }
}

/// A script whose session offers "news".
fn offering() -> Script {
    let script = Script::new();
    script.side.hub.offer_topic("news", |_| true);
    script
}

/// The rule that ended the session, and what the peer was told.
fn ends(mut script: Script, frames: &[Frame<'_>]) -> (&'static str, String) {
    let mut heard = script.say(frames);
    match script.ended() {
        CloseReason::Violation(violation) => (violation.rule, heard.pop().unwrap_or_default()),
        other => panic!("{other}"),
    }
}

//= docs/PROTOCOL.md#6
#[test]
fn numbers_that_cannot_be_end_the_session() {
    let body = encoded(&note(0, 1));
    let rows: [(&str, Vec<Frame<'_>>); 7] = [
        ("PUBLISH to an alias never subscribed", vec![publish(1, &body)]),
        ("PUBLISH to an alias never subscribed", vec![publish(0, &body)]),
        ("PUBLISH to an alias never subscribed", vec![Frame::Lagged { alias: 9, count: 1 }]),
        ("UNSUBSCRIBE of an alias never subscribed", vec![Frame::Unsubscribe { alias: 1 }]),
        (
            "SUBSCRIBE with an alias that was used before",
            vec![subscribe(0, 7, "news"), Frame::Unsubscribe { alias: 7 }, subscribe(1, 7, "news")],
        ),
        (
            "SUBSCRIBE with an alias that was used before",
            vec![subscribe(0, 7, "news"), subscribe(1, 6, "news")],
        ),
        ("SUBSCRIBE with an alias that was used before", vec![subscribe(0, 0, "news")]),
    ];
    for (rule, frames) in rows {
        assert_eq!(ends(offering(), &frames), (rule, "close -12".into()), "{frames:?}");
    }
}

//= docs/PROTOCOL.md#6
#[test]
fn a_number_of_a_request_that_runs_is_not_free_for_a_subscription() {
    let mut script = offering();
    let held = std::sync::Mutex::new(Vec::new());
    script.side.on_request = Box::new(move |core, ticket, _| {
        held.lock().unwrap().push(core.defer(ticket));
        Ok(())
    });
    let kind = kind_of::<crate::support::Echo>();
    let body = encoded(&crate::support::echo(1, 1));
    let request =
        Frame::Request { id: 3, kind, meta: Meta::default(), body: Body::Borrowed(&body) };
    let (rule, told) = ends(script, &[request, subscribe(3, 1, "news")]);
    assert_eq!((rule, told.as_str()), ("a request on a number in use", "close -12"));
}

//= docs/PROTOCOL.md#9
#[test]
fn a_number_above_the_limit_is_flow() {
    let settings = Settings { in_flight_max: 16, ..Settings::default() };
    let script = Script::with(settings);
    let (_, told) = ends(script, &[subscribe(16, 1, "news")]);
    assert_eq!(told, "close -11");
}

//= docs/PROTOCOL.md#9
#[test]
fn one_subscription_too_many_is_refused_until_another_ends() {
    let mut script = offering();
    let max = u64::try_from(SUBSCRIPTIONS_MAX).unwrap();
    for alias in 1..=max {
        assert_eq!(script.say(&[subscribe(0, alias, "news")])[0], "response 0 1");
    }
    let heard = script.say(&[subscribe(0, max + 1, "news")]);
    assert_eq!(heard, ["error 0 -5"]);
    let again = [Frame::Unsubscribe { alias: 5 }, subscribe(0, max + 2, "news")];
    assert_eq!(script.say(&again), ["response 0 1"]);
}

//= docs/PROTOCOL.md#6
#[test]
fn what_comes_late_is_ignored() {
    let mut script = offering();
    let gone = Frame::Unsubscribe { alias: 1 };
    let heard = script.say(&[subscribe(0, 1, "news"), gone, Frame::Unsubscribe { alias: 1 }]);
    assert_eq!(heard, ["response 0 1"]);
    // A refused one had a number as well.
    let heard = script.say(&[subscribe(0, 2, "secrets"), Frame::Unsubscribe { alias: 2 }]);
    assert_eq!(heard, ["error 0 -3"]);

    let task = Task::start(script.side.session.subscribe::<Note>("theirs"));
    assert!(script.say(&[])[0].contains("Subscribe"));
    script.say(&[response(0)]);
    let subscription = task.done().unwrap();
    drop(subscription);
    let body = encoded(&note(0, 1));
    let heard = script.say(&[publish(1, &body), Frame::Lagged { alias: 1, count: 3 }]);
    assert_eq!(heard, ["Unsubscribe { alias: 1 }"]);
    assert!(script.side.ended.is_none());
}

#[test]
fn what_overtakes_the_answer_is_kept_and_losses_of_the_peer_are_told_in_order() {
    let mut script = Script::new();
    let task = Task::start(script.side.session.subscribe::<Note>("theirs"));
    script.say(&[]);
    let bodies = [encoded(&note(0, 1)), encoded(&note(5, 1))];
    let lost = Frame::Lagged { alias: 1, count: 4 };
    script.say(&[publish(1, &bodies[0]), lost, publish(1, &bodies[1]), response(0)]);
    let mut subscription = task.done().unwrap();
    assert_eq!(heard(&mut subscription), [Ok(0), lagged(4), Ok(5)]);
    assert_eq!(subscription.left_out(), 4);
    script.say(&[publish(1, b"\xc1")]);
    assert_eq!(heard(&mut subscription), [Err(SubscriptionError::Decode)]);
    let end = Frame::Lagged { alias: 1, count: u64::MAX };
    let more = Frame::Lagged { alias: 1, count: u64::MAX };
    script.say(&[end, more]);
    assert_eq!(heard(&mut subscription), [lagged(u64::MAX)], "what cannot be is no overflow");
}

#[test]
fn a_loss_ends_a_subscription_that_must_have_none_and_the_peer_hears_of_it_once() {
    let mut script = Script::new();
    let how = script.side.session.subscribe::<Note>("theirs").overflow(Overflow::Close);
    let task = Task::start(how);
    let asked = script.say(&[]);
    assert!(asked[0].contains("overflow: Close"), "{asked:?}");
    script.say(&[response(0)]);
    let mut subscription = task.done().unwrap();
    let body = encoded(&note(0, 1));
    let lost = Frame::Lagged { alias: 1, count: 4 };
    let told = script.say(&[publish(1, &body), lost, publish(1, &body)]);
    assert_eq!(told, ["Unsubscribe { alias: 1 }"]);
    assert_eq!(heard(&mut subscription), [Ok(0), Err(SubscriptionError::Overflowed)]);
    drop(subscription);
    assert_eq!(script.say(&[]), Vec::<String>::new());
}

#[test]
fn a_refusal_and_an_end_leave_nothing_behind() {
    let mut script = Script::new();
    let task = Task::start(script.side.session.subscribe::<Note>("theirs"));
    script.say(&[]);
    let code = moorline_protocol::ErrorCode::FORBIDDEN;
    let error = Frame::Error { id: 0, code, message: "no".into(), detail: Body::EMPTY };
    assert_eq!(script.say(&[error]), Vec::<String>::new(), "there is nothing to end");
    assert!(matches!(task.done(), Err(CallError::Fault(said, _)) if said == code));
    let task = Task::start(script.side.session.subscribe::<Note>("theirs"));
    script.say(&[]);
    script.say(&[response(0)]);
    let mut subscription = task.done().unwrap();
    script.say(&[Frame::Ping { nonce: 1 }]);
    let code = moorline_protocol::ErrorCode(0);
    script.say(&[Frame::Close { code, message: "".into() }]);
    let end = now(subscription.recv()).unwrap();
    assert!(matches!(end, Err(SubscriptionError::Closed(_))), "{end:?}");
}

//= docs/PROTOCOL.md#9
#[test]
fn asking_for_what_there_is_not_costs_patience() {
    let mut script = Script::new();
    let mut alias = 0;
    let last = loop {
        alias += 1;
        let heard = script.say(&[subscribe(0, alias, "nothing")]);
        if heard.last().is_some_and(|told| told.starts_with("close")) {
            break heard;
        }
        assert!(alias < 2_000, "its patience has an end");
    };
    assert_eq!(last.last().unwrap(), "close -14");
}

/// Much of what is published waits in the queues of its subscriptions, where some of it may still be
/// left out: a barrier stands for all of it.
#[test]
fn a_barrier_leaves_behind_everything_that_was_published_before() {
    let mut script = offering();
    script.say(&[subscribe(0, 1, "news")]);
    let registry = &script.side.link.local.registry;
    for n in 0..40 {
        script.side.hub.publish_to(registry, "news", &note(n, 2_000), false).unwrap();
    }
    let session = script.side.session.clone();
    let _barrier = Task::start(async move { session.barrier().await });
    script.settle();
    let heard = std::mem::take(&mut script.heard);
    let ping = heard.iter().position(|frame| frame.starts_with("ping")).unwrap();
    assert_eq!(ping, heard.len() - 1, "{heard:?}");
    assert_eq!(heard.iter().filter(|frame| frame.starts_with("publish 1 ")).count(), 40);
}
