//! How sessions end: everything ends once, in order, and says whether it may have run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_buffers::SendBuffer;
use moorline_protocol::{
    Abilities, Body, CloseReason, EncodeError, Encoder, ErrorCode, Farewell, Format, Frame,
    HandledTypes, Lane, Settings,
};
use moorline_session::{Answer, CallError, Direction, Executed, SendError, SessionStatus, Signals};
use support::{Echo, Pair, Script, Side, Sorry, Task, echo, log, note};

type Outcome = Result<Echo, CallError<Sorry>>;

fn ended(outcome: Outcome) -> (Executed, CloseReason) {
    let error = outcome.unwrap_err();
    let executed = error.executed();
    match error {
        CallError::Closed { reason, .. } => (executed, reason),
        other => panic!("{other}"),
    }
}

fn ordinary() -> Farewell {
    Farewell::ordinary()
}

#[test]
fn close_lets_out_what_was_accepted_then_ends_everything_once() {
    let mut pair = Pair::new();
    let (tell, heard) = log();
    pair.b.on_post = Box::new(move |body| tell.lock().unwrap().push(body.len()));
    let (tell, closes) = log();
    for n in 0..3 {
        let tell = tell.clone();
        pair.a.session.on_close(move |end| tell.lock().unwrap().push((n, end.reason.clone())));
    }
    for n in 0..100 {
        pair.a.session.send(&note(n, 20_000)).unwrap();
    }
    assert!(pair.a.session.close());
    assert!(!pair.a.session.close_with(ErrorCode(4), "again"), "it is closing already");
    assert_eq!(pair.a.session.status(), SessionStatus::Closing);
    let late = pair.a.session.send(&note(0, 1)).unwrap_err();
    assert_eq!(late, SendError::Closed(CloseReason::ByUs(ordinary())));
    pair.settle();
    assert_eq!(heard.lock().unwrap().len(), 100, "more than two windows of them");
    assert_eq!(pair.b.ended, Some(CloseReason::ByPeer(ordinary())));
    assert_eq!(pair.a.ended, Some(CloseReason::ByUs(ordinary())));
    let reason = Some(CloseReason::ByUs(ordinary()));
    let expected: Vec<_> = (0..3).map(|n| (n, reason.clone())).collect();
    assert_eq!(*closes.lock().unwrap(), expected);
    assert!(pair.a.hub.acquire(pair.a.session.id()).is_none());
    assert!(pair.a.hub.sessions().is_empty() && pair.b.hub.sessions().is_empty());
}

#[test]
fn an_end_says_of_each_call_whether_it_may_have_run() {
    let mut pair = Pair::new();
    pair.b.on_request = Box::new(|core, ticket, _| {
        std::mem::forget(core.defer(ticket));
        Ok(())
    });
    let sent = Task::start(pair.a.session.request(echo(1, 1)));
    pair.settle();
    pair.a.blocked = true;
    let queued = Task::start(pair.a.session.request(echo(2, 1)));
    let large = Task::start(pair.a.session.request(echo(3, 1_000_000)));
    let barrier = pair.a.session.clone();
    let barrier = Task::start(async move { barrier.barrier().await });
    let room = pair.a.session.clone();
    let room = Task::start(async move { room.room().await });
    pair.a.end(CloseReason::Truncated);
    assert_eq!(ended(sent.done()), (Executed::Maybe, CloseReason::Truncated));
    assert_eq!(ended(queued.done()), (Executed::No, CloseReason::Truncated));
    assert_eq!(ended(large.done()), (Executed::No, CloseReason::Truncated));
    assert_eq!(barrier.done(), Err(SendError::Closed(CloseReason::Truncated)));
    room.done();
    let after = Task::start(pair.a.session.request(echo(1, 1))).done().unwrap_err();
    assert_eq!(after, CallError::NotSent(SendError::Closed(CloseReason::Truncated)));
    assert_eq!(pair.a.session.queued_bytes(), 0);
    assert_eq!(pair.a.link.local.blocks.stats().in_use, 0);
}

#[test]
fn handlers_stop_when_their_session_ends_and_their_answers_go_nowhere() {
    let mut pair = Pair::new();
    let (keep, kept) = log();
    let (tell, stopped) = log();
    pair.b.on_request = Box::new(move |core, ticket, _| {
        let (responder, deferred) = core.defer(ticket);
        keep.lock().unwrap().push(responder);
        let tell = tell.clone();
        core.attach_abort(deferred, Box::new(move || tell.lock().unwrap().push(())));
        Ok(())
    });
    let _calls: Vec<_> = (0..2).map(|n| Task::start(pair.a.session.request(echo(n, 1)))).collect();
    pair.settle();
    pair.b.end(CloseReason::Truncated);
    assert_eq!(stopped.lock().unwrap().len(), 2);
    let mut kept = std::mem::take(&mut *kept.lock().unwrap());
    kept.pop().unwrap().answer(Answer::Good(&[0; 100_000]));
    drop(kept);
    assert_eq!(pair.b.session.queued_bytes(), 0);
    assert_eq!(pair.b.link.local.blocks.stats().in_use, 0);
}

#[test]
fn an_abort_that_comes_after_the_stop_is_called_at_once() {
    let mut pair = Pair::new();
    let (tell, stopped) = log();
    let (keep, kept) = log();
    pair.b.on_request = Box::new(move |core, ticket, _| {
        keep.lock().unwrap().push(core.defer(ticket));
        Ok(())
    });
    let call = Task::start(pair.a.session.request(echo(1, 1)));
    pair.settle();
    drop(call);
    pair.settle();
    let (responder, deferred) = kept.lock().unwrap().pop().unwrap();
    pair.b.core().attach_abort(deferred, Box::new(move || tell.lock().unwrap().push(())));
    assert_eq!(stopped.lock().unwrap().len(), 1);
    drop(responder);
    pair.settle();
    assert_eq!(pair.a.core().counters().late_answers, 1);
}

#[test]
fn a_handler_that_panics_says_so() {
    let mut pair = Pair::new();
    let (keep, kept) = log();
    pair.b.on_request = Box::new(move |core, ticket, _| {
        keep.lock().unwrap().push(core.defer(ticket).0);
        Ok(())
    });
    let call = Task::start(pair.a.session.request(echo(1, 1)));
    pair.settle();
    let responder = kept.lock().unwrap().pop().unwrap();
    let thread = std::thread::Builder::new().name("a handler".into());
    let handler = thread.spawn(move || {
        let _responder = responder;
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(handler.unwrap().join().is_err());
    pair.settle();
    let error = call.done().unwrap_err();
    assert_eq!(error, CallError::Fault(ErrorCode::INTERNAL, "the handler panicked".into()));
}

//= docs/PROTOCOL.md#10
#[test]
fn a_drain_finishes_what_runs_and_starts_nothing_new() {
    let mut pair = Pair::new();
    let (keep, kept) = log();
    pair.b.on_request = Box::new(move |core, ticket, _| {
        keep.lock().unwrap().push(core.defer(ticket).0);
        Ok(())
    });
    let call = Task::start(pair.a.session.request(echo(1, 1)));
    pair.settle();
    // Accepted before the peer's word arrives: it still goes out, and is answered.
    pair.a.blocked = true;
    let queued = Task::start(pair.a.session.request(echo(2, 1)));
    let room = pair.a.session.clone();
    let waits = Task::start(async move { room.send_wait(&note(1, 1)).await });
    waits.done().unwrap();
    pair.b.session.signal(Signals { drain: true, ..Signals::default() });
    pair.settle();
    assert_eq!(pair.a.session.status(), SessionStatus::PeerDrains);
    assert_eq!(pair.a.session.send(&note(1, 1)), Err(SendError::Draining));
    let barrier = pair.a.session.clone();
    let barrier = Task::start(async move { barrier.barrier().await });
    assert_eq!(barrier.done(), Err(SendError::Draining));
    pair.a.unblock();
    pair.settle();
    assert!(pair.b.ended.is_none(), "two handlers run");
    // Handlers that run may call back.
    let back = Task::start(pair.b.session.request(echo(3, 1)));
    pair.settle();
    assert_eq!(back.done().unwrap(), echo(3, 1));
    for responder in std::mem::take(&mut *kept.lock().unwrap()) {
        responder.answer(Answer::Good(&support::encoded(&echo(9, 0))));
    }
    pair.settle();
    assert_eq!((call.done().unwrap().0, queued.done().unwrap().0), (9, 9));
    assert_eq!(pair.b.ended, Some(CloseReason::ByUs(ordinary())));
    assert_eq!(pair.a.ended, Some(CloseReason::ByPeer(ordinary())));
}

#[test]
fn both_may_drain_at_once() {
    let mut pair = Pair::new();
    let call = Task::start(pair.a.session.request(echo(1, 100_000)));
    pair.a.session.send(&note(1, 100_000)).unwrap();
    for side in [&pair.a, &pair.b] {
        side.session.signal(Signals { drain: true, ..Signals::default() });
    }
    pair.settle();
    call.done().unwrap();
    for side in [&pair.a, &pair.b] {
        assert!(side.ended.as_ref().unwrap().is_ordinary(), "{:?}", side.ended);
    }
}

//= docs/PROTOCOL.md#10
#[test]
fn goaway_x_overtakes_nothing_and_close_follows_everything() {
    let mut script = Script::new();
    script.side.blocked = true;
    let last = note(1, 30_000);
    script.side.session.send(&last).unwrap();
    let goaway = Frame::GoAway { code: ErrorCode(0), message: "".into(), obeyed: false };
    script.say(&[goaway]);
    script.side.session.close();
    script.side.unblock();
    script.heard.clear();
    script.settle();
    let post = format!("post {}", support::encoded(&last).len());
    assert_eq!(script.heard, ["partial", &*post, "goaway X", "close 0"]);
}

#[test]
fn a_goaway_x_that_was_not_asked_for_means_nothing() {
    let mut script = Script::new();
    let unasked = Frame::GoAway { code: ErrorCode(0), message: "".into(), obeyed: true };
    script.say(&[unasked]);
    script.side.session.signal(Signals { drain: true, ..Signals::default() });
    script.settle();
    assert_eq!(script.heard, ["goaway"]);
    assert!(!script.side.core().is_drained());
}

#[test]
fn a_drain_that_takes_too_long_is_cut() {
    let mut pair = Pair::new();
    pair.b.on_request = Box::new(|core, ticket, _| {
        std::mem::forget(core.defer(ticket));
        Ok(())
    });
    let call = Task::start(pair.a.session.request(echo(1, 1)));
    pair.settle();
    pair.b.session.signal(Signals { drain: true, ..Signals::default() });
    pair.settle();
    assert!(pair.b.ended.is_none());
    pair.b.session.signal(Signals { cut: true, ..Signals::default() });
    pair.settle();
    let (executed, reason) = ended(call.done());
    assert_eq!(executed, Executed::Maybe);
    assert!(matches!(reason, CloseReason::ByPeer(said) if said.code == ErrorCode::DRAINING));
}

#[test]
fn farewells_that_cross_end_both_sides_by_themselves() {
    let mut pair = Pair::new();
    pair.settle();
    let (tell, closes) = log();
    for side in [&pair.a, &pair.b] {
        let tell = tell.clone();
        side.session.on_close(move |end| tell.lock().unwrap().push(end.reason.clone()));
    }
    pair.a.session.close_with(ErrorCode(5), "five");
    pair.b.session.close_with(ErrorCode(6), "six");
    // Both have said their farewell before either hears the other's.
    assert!(pair.a.wake(pair.now) && pair.b.wake(pair.now));
    pair.settle();
    let by_us = |code, text| Some(CloseReason::ByUs(Farewell::new(ErrorCode(code), text)));
    let mut heard = closes.lock().unwrap().clone();
    heard.sort_by_key(|reason| reason == &by_us(6, "six"));
    assert_eq!(heard, [by_us(5, "five"), by_us(6, "six")]);
}

//= docs/PROTOCOL.md#10
#[test]
fn nothing_follows_a_farewell_whoever_appends() {
    let mut script = Script::new();
    let (keep, kept) = log();
    script.side.on_request = Box::new(move |core, ticket, _| {
        keep.lock().unwrap().push(core.defer(ticket).0);
        Ok(())
    });
    let (kind, meta) = (support::kind_of::<Echo>(), Default::default());
    script.say(&[Frame::Request { id: 0, kind, meta, body: Body::Borrowed(b"\xc0") }]);
    let abandoned = Task::start(script.side.session.request(echo(1, 1)));
    script.settle();
    script.heard.clear();
    script.side.session.close();
    script.settle();
    assert_eq!(script.heard, ["close 0"]);
    drop(abandoned);
    kept.lock().unwrap().pop().unwrap().answer(Answer::Good(&[0xc0; 10_000]));
    let barrier = script.side.session.clone();
    Task::start(async move { barrier.barrier().await }).done().unwrap_err();
    script.side.core().drain().unwrap();
    script.side.core().set_handled(moorline_protocol::HandledTypes::new()).unwrap();
    script.heard.clear();
    script.side.unblock();
    script.say(&[Frame::Ping { nonce: 1 }]);
    assert!(script.heard.is_empty(), "{:?}", script.heard);
}

/// Does something in the middle of encoding a request.
struct Meddler {
    encoder: Arc<dyn Encoder>,
    meddle: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Encoder for Meddler {
    fn format(&self) -> Format {
        self.encoder.format()
    }

    fn abilities(&self) -> Abilities {
        self.encoder.abilities()
    }

    fn encode(
        &self,
        frame: &Frame<'_>,
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let meddle =
            self.meddle.lock().unwrap().take_if(|_| matches!(frame, Frame::Request { .. }));
        if let Some(meddle) = meddle {
            meddle();
        }
        self.encoder.encode(frame, lane, out)
    }

    fn cost(&self, body_len: usize) -> u64 {
        self.encoder.cost(body_len)
    }

    fn announce(
        &self,
        told: u32,
        handled: &HandledTypes,
        out: &mut SendBuffer,
    ) -> Result<u32, EncodeError> {
        self.encoder.announce(told, handled, out)
    }
}

//= docs/PROTOCOL.md#10
#[test]
fn a_large_request_that_is_overtaken_by_the_farewell_is_not_sent_after_it() {
    let mut script = Script::new();
    let [link, side] = support::links([Settings::default(); 2], script.now);
    let mut side = side;
    let opened = side.opened.as_mut().unwrap();
    let meddler = Arc::new(Meddler { encoder: opened.encoder.clone(), meddle: Mutex::default() });
    opened.encoder = meddler.clone();
    script.link = link;
    script.side = Side::new(side, Direction::Accepted, support::OUTBOX);
    script.settle();
    let (session, writer) = (script.side.session.clone(), script.side.writer.clone());
    *meddler.meddle.lock().unwrap() = Some(Box::new(move || {
        session.close();
        let farewell = writer.take_block().unwrap().expect("the farewell is written meanwhile");
        assert!(farewell.len() < 10);
    }));
    let call = Task::start(script.side.session.request(echo(1, 50_000)));
    let error = call.done().unwrap_err();
    assert_eq!(error, CallError::NotSent(SendError::Closed(CloseReason::ByUs(ordinary()))));
    script.side.unblock();
    script.settle();
    assert_eq!((script.heard.len(), script.side.session.queued_bytes()), (0, 0));
}

#[test]
fn calls_time_out_also_while_closing() {
    let mut pair = Pair::with(Settings::default(), support::OUTBOX);
    pair.b.on_request = Box::new(|core, ticket, _| {
        std::mem::forget(core.defer(ticket));
        Ok(())
    });
    let call = Task::start(pair.a.session.request(echo(1, 1)).timeout(Duration::from_secs(1)));
    pair.settle();
    pair.a.blocked = true;
    pair.a.session.close();
    pair.pass(Duration::from_secs(1));
    assert_eq!(call.done().unwrap_err(), CallError::Timeout { limit: Duration::from_secs(1) });
}
