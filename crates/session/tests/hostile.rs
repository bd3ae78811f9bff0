//! What a peer gets that breaks the rules, or only looks as if it did.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use moorline_protocol::{Body, CloseReason, Cost, ErrorCode, Frame, Meta, Settings};
use moorline_session::{Answer, CallError, Executed};
use support::{Echo, Note, Script, Task, echo, encoded, kind_of, log, note};

fn post(body: &[u8]) -> Frame<'_> {
    Frame::Post { kind: kind_of::<Note>(), meta: Meta::default(), body: Body::Borrowed(body) }
}

fn request(id: u32, body: &[u8]) -> Frame<'_> {
    let (kind, meta) = (kind_of::<Echo>(), Meta::default());
    Frame::Request { id, kind, meta, body: Body::Borrowed(body) }
}

fn response(id: u32, body: &[u8]) -> Frame<'_> {
    Frame::Response { id, body: Body::Borrowed(body) }
}

fn violation(script: &Script) -> (ErrorCode, &'static str) {
    match script.ended() {
        CloseReason::Violation(violation) => (violation.code, violation.rule),
        other => panic!("{other}"),
    }
}

/// Keeps the requests of the script open.
fn defer_all(script: &mut Script) -> support::Log<moorline_session::Responder> {
    let (keep, kept) = log();
    script.side.on_request = Box::new(move |core, ticket, _| {
        keep.lock().unwrap().push(core.defer(ticket).0);
        Ok(())
    });
    kept
}

//= docs/PROTOCOL.md#6
#[test]
fn an_answer_to_a_request_never_asked_ends_the_session() {
    for frame in [
        response(0, b"\xc0"),
        response(u32::MAX, b"\xc0"),
        Frame::Error { id: 3, code: ErrorCode(1), message: "".into(), detail: Body::EMPTY },
    ] {
        let mut script = Script::new();
        let heard = script.say(&[frame]);
        assert_eq!(violation(&script), (ErrorCode::PROTOCOL, "an answer to a request never asked"));
        assert_eq!(heard, ["close -12"]);
    }
}

#[test]
fn an_answer_to_a_request_that_has_not_left_ends_the_session() {
    let mut script = Script::new();
    script.side.blocked = true;
    let task = Task::start(script.side.session.request(echo(1, 1)));
    script.say(&[response(0, b"\xc0")]);
    assert_eq!(violation(&script).1, "an answer to a request not yet sent");
    let error = task.done().unwrap_err();
    assert_eq!(error.executed(), Executed::No);
}

#[test]
fn a_request_answered_twice_ends_the_session_and_the_first_answer_stands() {
    let mut script = Script::new();
    let task = Task::start(script.side.session.request(echo(1, 1)));
    script.settle();
    let body = encoded(&echo(5, 2));
    script.say(&[response(0, &body), response(0, &body)]);
    assert_eq!(violation(&script).1, "an answer to a request never asked");
    assert_eq!(task.done().unwrap(), echo(5, 2));
}

//= docs/PROTOCOL.md#6
#[test]
fn a_request_on_a_live_number_ends_the_session() {
    let mut script = Script::new();
    let _kept = defer_all(&mut script);
    script.say(&[request(4, b"\xc0"), request(4, b"\xc0")]);
    assert_eq!(violation(&script), (ErrorCode::PROTOCOL, "a request on a number in use"));
}

//= docs/PROTOCOL.md#6
#[test]
fn a_call_that_was_taken_back_keeps_its_number_until_its_handler_is_gone() {
    let mut script = Script::new();
    let kept = defer_all(&mut script);
    assert_eq!(script.say(&[request(4, b"\xc0"), Frame::Cancel { id: 4 }]), [""; 0]);
    kept.lock().unwrap().clear();
    script.settle();
    assert_eq!(script.heard, ["error 4 -1"]);
    script.say(&[request(4, b"\xc0"), Frame::Cancel { id: 4 }, request(4, b"\xc0")]);
    assert_eq!(violation(&script), (ErrorCode::PROTOCOL, "a request on a number in use"));
}

#[test]
fn a_number_is_free_as_soon_as_its_answer_was_given() {
    let mut script = Script::new();
    let kept = defer_all(&mut script);
    for _ in 0..10 {
        script.say(&[request(4, b"\xc0")]);
        kept.lock().unwrap().pop().unwrap().answer(Answer::Good(b"\xc0"));
    }
    assert!(script.side.ended.is_none());
}

//= docs/PROTOCOL.md#9
#[test]
fn a_number_at_or_above_the_limit_ends_the_session() {
    let settings = Settings { in_flight_max: 16, ..Settings::default() };
    let mut script = Script::with(settings);
    assert_eq!(script.say(&[request(15, b"\xc0")]), ["response 15 1"]);
    script.say(&[request(16, b"\xc0")]);
    assert_eq!(violation(&script).0, ErrorCode::FLOW);
}

//= docs/PROTOCOL.md#9
#[test]
fn more_than_the_credit_ends_the_session() {
    let mut script = Script::new();
    let body = vec![0xc0; 16_000];
    let frames: Vec<_> = (0..70).map(|_| post(&body)).collect();
    script.say(&frames);
    assert_eq!(violation(&script), (ErrorCode::FLOW, "more sent than credit allows"));
}

//= docs/PROTOCOL.md#8
#[test]
fn a_window_above_2_to_the_31_ends_the_session_and_a_falling_one_is_ignored() {
    let mut script = Script::new();
    let largest = 1 << 31;
    for total in [0, 1 << 20, largest, 5] {
        script.say(&[Frame::Credit { stream: 0, total }]);
        assert!(script.side.ended.is_none(), "{total}");
    }
    script.say(&[Frame::Credit { stream: 0, total: largest + 1 }]);
    assert_eq!(violation(&script), (ErrorCode::FLOW, "a window above 2^31"));
}

//= docs/PROTOCOL.md#8
#[test]
fn pings_are_answered_by_the_youngest_and_a_pong_never_asked_ends_the_session() {
    let mut script = Script::new();
    let heard = script.say(&[Frame::Ping { nonce: 1 }, Frame::Ping { nonce: 3 }]);
    assert_eq!(heard, ["pong 3"]);
    let heard = script.say(&[Frame::Ping { nonce: 9 }, Frame::Ping { nonce: 2 }]);
    assert_eq!(heard, ["pong 9"], "nonces count up");
    script.say(&[Frame::Pong { nonce: 1 }]);
    assert_eq!(violation(&script).1, "a pong to a ping never sent");
}

//= docs/PROTOCOL.md#9
#[test]
fn cancelling_rapidly_ends_the_session_though_each_call_ends() {
    let mut script = Script::new();
    script.side.on_request = Box::new(|core, ticket, _| {
        let (responder, deferred) = core.defer(ticket);
        core.attach_abort(deferred, Box::new(move || drop(responder)));
        Ok(())
    });
    let mut rounds = 0;
    while script.side.ended.is_none() {
        script.say(&[request(0, b"\xc0"), Frame::Cancel { id: 0 }]);
        rounds += 1;
        assert!(rounds <= 1_001, "cancelled calls do not count as well ended");
    }
    assert_eq!(rounds, 1_001);
    assert_eq!(violation(&script).0, ErrorCode::CALM);
}

#[test]
fn patience_comes_back_with_time_and_with_calls_that_end_well() {
    let mut script = Script::new();
    for _ in 0..1_000 {
        script.say(&[Frame::Cancel { id: 7 }]);
    }
    script.now += Duration::from_secs(1);
    for _ in 0..33 {
        script.say(&[Frame::Cancel { id: 7 }]);
    }
    script.say(&[request(0, b"\xc0"), Frame::Cancel { id: 0 }]);
    assert!(script.side.ended.is_none());
    script.say(&[Frame::Cancel { id: 0 }]);
    assert_eq!(violation(&script).0, ErrorCode::CALM);
}

#[test]
fn a_cancel_of_what_is_over_or_never_was_is_ignored() {
    let mut script = Script::new();
    let heard = script.say(&[
        request(1, b"\xc0"),
        Frame::Cancel { id: 1 },
        Frame::Cancel { id: 1 },
        Frame::Cancel { id: u32::MAX },
    ]);
    assert_eq!(heard, ["response 1 1"], "exactly one answer");
}

//= docs/PROTOCOL.md#9
#[test]
fn errors_do_not_pile_up_for_a_peer_that_never_reads() {
    let settings = Settings { in_flight_max: 16, streams_max: 8, ..Settings::default() };
    let mut script = Script::with(settings);
    script.side.on_request = Box::new(|core, ticket, _| {
        core.answer(ticket, Answer::Fault(ErrorCode(1), &"long ".repeat(100)))
    });
    script.side.blocked = true;
    for _ in 0..24 {
        script.say(&[request(0, b"\xc0")]);
        assert!(script.side.ended.is_none());
    }
    assert!(script.side.session.queued_bytes() < 24 * 600);
    script.say(&[request(0, b"\xc0")]);
    assert_eq!(violation(&script), (ErrorCode::FLOW, "more requests than may be in flight"));
}

#[test]
fn a_peer_that_reads_may_ask_for_ever() {
    let settings = Settings { in_flight_max: 16, streams_max: 8, ..Settings::default() };
    let mut script = Script::with(settings);
    for round in 0..200 {
        let frames: Vec<_> = (0..16).map(|id| request(id, b"\xc0")).collect();
        let heard = script.say(&frames);
        assert!(heard.iter().filter(|said| said.starts_with("response")).count() == 16, "{round}");
    }
}

//= docs/PROTOCOL.md#9
#[test]
fn unread_answers_above_their_limit_refuse_new_requests() {
    let mut script = Script::new();
    // Of three there are 4 MiB more than the largest message has.
    let large = vec![0; 8 << 20];
    let answer = large.clone();
    script.side.on_request =
        Box::new(move |core, ticket, _| core.answer(ticket, Answer::Good(&answer)));
    script.side.blocked = true;
    let requests: Vec<_> = (0..4).map(|id| request(id, b"\xc0")).collect();
    script.say(&requests);
    assert_eq!(script.side.core().counters().requests_refused, 1);
    script.side.unblock();
    script.settle();
    let heard: Vec<_> = script.heard.iter().filter(|said| *said != "partial").collect();
    let size = large.len();
    // What is short does not wait behind what is long.
    let response = |id| format!("response {id} {size}");
    assert_eq!(heard, ["error 3 -5", &response(0), &response(1), &response(2)]);
}

//= docs/PROTOCOL.md#9
#[test]
fn handlers_that_hold_much_refuse_new_requests() {
    let settings = Settings { message_max: 64 * 1024, ..Settings::default() };
    let mut script = Script::with(settings);
    let kept = defer_all(&mut script);
    let body = vec![0xc0; 60_000];
    for id in 0..3 {
        assert!(!script.say(&[request(id, &body)]).contains(&"error".to_owned()));
    }
    let heard = script.say(&[request(3, &body)]);
    assert!(heard.contains(&"error 3 -5".to_owned()), "{heard:?}");
    kept.lock().unwrap().clear();
    let heard = script.say(&[request(3, &body)]);
    assert!(!heard.contains(&"error 3 -5".to_owned()), "{heard:?}");
}

//= docs/PROTOCOL.md#9
#[test]
fn answers_nobody_takes_fail_their_calls_above_a_limit() {
    let settings = Settings { message_max: 64 * 1024, ..Settings::default() };
    let mut script = Script::with(settings);
    let tasks: Vec<_> =
        (0..4).map(|n| Task::start(script.side.session.request(echo(n, 1)))).collect();
    script.settle();
    let body = encoded(&echo(0, 40_000));
    for id in 0..4 {
        script.say(&[response(id, &body)]);
    }
    let results: Vec<_> = tasks.into_iter().map(Task::done).collect();
    assert!(results[..3].iter().all(Result::is_ok));
    let (size, limit) = (body.len() as u64, 128 * 1024);
    let error = results[3].as_ref().unwrap_err();
    assert_eq!(*error, CallError::AnswerTooLarge { size, held: 3 * size, limit });
    assert!(error.to_string().contains("the limit is 131072 (twice the knob `message_max`)"));
}

#[test]
fn what_is_not_done_here_is_refused_and_the_session_goes_on() {
    let mut script = Script::new();
    let topic = "news".into();
    let meta = Meta::default();
    let subscription = Frame::Subscribe { id: 2, alias: 1, topic, retained: false, meta };
    assert_eq!(script.say(&[subscription, request(2, b"\xc0")]), ["error 2 -3", "response 2 1"]);
}

#[test]
fn unknown_metadata_that_matters_refuses_the_request() {
    let mut script = Script::new();
    let meta = Meta { unsupported: Some(99), ..Meta::default() };
    let frame =
        Frame::Request { id: 1, kind: kind_of::<Echo>(), meta, body: Body::Borrowed(b"\xc0") };
    let now = script.now;
    script.side.core().handle_frame(now, frame, Cost::Exempt).unwrap();
    script.side.core().end_turn();
    script.side.write().unwrap();
    script.settle();
    assert_eq!(script.heard, ["error 1 -17"]);
}

#[test]
fn posts_that_reach_nobody_are_counted_told_and_cost_patience() {
    let mut script = Script::new();
    let (tell, told) = log();
    let topic = moorline_session::topic("msgpack-plain", moorline_session::PostDropped);
    script.side.hub.subscribe(topic, |_| true, move |event| tell.lock().unwrap().push(event.code));
    for _ in 0..1_000 {
        script.side.core().drop_post(Some(kind_of::<Note>()), ErrorCode::DECODE).unwrap();
        script.side.core().drop_post(None, ErrorCode::UNIMPLEMENTED).unwrap();
    }
    assert_eq!(script.side.core().counters().posts_dropped, 2_000);
    assert_eq!(told.lock().unwrap().len(), 2_000);
    assert!(script.side.core().drop_post(None, ErrorCode::DECODE).is_err());
}

#[test]
fn a_refusal_after_the_first_fragment_frees_the_slot_though_the_rest_is_still_queued() {
    let mut script = Script::new();
    let task = Task::start(script.side.session.request(echo(1, 3 << 20)));
    script.settle();
    assert!(script.side.session.queued_bytes() > 1 << 20, "credit holds the rest back");
    let code = ErrorCode::TOO_LARGE;
    script.say(&[Frame::Error { id: 0, code, message: "".into(), detail: Body::EMPTY }]);
    assert_eq!(task.done().unwrap_err(), CallError::Fault(code, "".into()));
    let next = Task::start(script.side.session.request(echo(2, 1)));
    script.say(&[Frame::Credit { stream: 0, total: 1 << 30 }]);
    let body = encoded(&echo(2, 1));
    script.say(&[response(0, &body)]);
    assert_eq!(next.done().unwrap(), echo(2, 1));
}

#[test]
fn a_cancel_never_hits_the_next_call_in_the_slot() {
    let mut script = Script::new();
    let first = Task::start(script.side.session.request(echo(1, 1)));
    script.settle();
    script.side.blocked = true;
    drop(first);
    let body = encoded(&echo(2, 1));
    script.say(&[response(0, &body)]);
    let second = Task::start(script.side.session.request(echo(2, 1)));
    script.side.unblock();
    script.heard.clear();
    script.settle();
    assert_eq!(script.heard.len(), 1, "{:?}", script.heard);
    assert!(script.heard[0].starts_with("request 0"));
    script.say(&[response(0, &body)]);
    second.done().unwrap();
}

#[test]
fn posts_of_a_closing_session_are_still_heard_but_its_calls_are_not_begun() {
    let mut script = Script::new();
    let (tell, heard) = log();
    script.side.on_post = Box::new(move |body| tell.lock().unwrap().push(body.len()));
    script.side.session.close();
    script.side.unblock();
    script.settle();
    assert_eq!(script.heard, ["close 0"]);
    script.heard.clear();
    let body = encoded(&note(1, 5));
    let said = script.say(&[post(&body), request(0, b"\xc0"), Frame::Ping { nonce: 1 }]);
    assert_eq!(said, Vec::<String>::new(), "nothing follows a CLOSE");
    assert_eq!(heard.lock().unwrap().len(), 1);
    let close = Frame::Close { code: ErrorCode::APPLICATION, message: "".into() };
    script.say(&[close]);
    assert!(matches!(script.ended(), CloseReason::ByUs(_)));
}
