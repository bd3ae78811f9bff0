//! What two sessions say to each other when all is well, and when callers lose patience.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use moorline_protocol::{CloseReason, ErrorCode, Settings};
use moorline_session::{Answer, CallError, Executed, Responder, SendError, Ticket};
use support::{Echo, Log, Note, Pair, Sorry, Task, echo, encoded, log, note};

/// Side b leaves every answer to whoever takes its responders.
fn defer_all(pair: &mut Pair) -> Log<(Responder, Vec<u8>)> {
    let (keep, kept) = log();
    pair.b.on_request = Box::new(move |core, ticket: Ticket, body| {
        let (responder, _) = core.defer(ticket);
        keep.lock().unwrap().push((responder, body.to_vec()));
        Ok(())
    });
    kept
}

#[test]
fn posts_arrive_in_order_both_ways() {
    let mut pair = Pair::new();
    let (there, heard_there) = log();
    let (here, heard_here) = log();
    pair.b.on_post = Box::new(move |body| there.lock().unwrap().push(body.to_vec()));
    pair.a.on_post = Box::new(move |body| here.lock().unwrap().push(body.to_vec()));
    let notes: Vec<Note> =
        (0..500).map(|n| note(n, usize::try_from(n).unwrap() * 37 % 9_000)).collect();
    for note in &notes {
        pair.a.session.send(note).unwrap();
        pair.b.session.send(note).unwrap();
    }
    pair.settle();
    let expected: Vec<Vec<u8>> = notes.iter().map(encoded).collect();
    assert_eq!(*heard_there.lock().unwrap(), expected);
    assert_eq!(*heard_here.lock().unwrap(), expected);
}

#[test]
fn requests_go_both_ways_pipelined() {
    let mut pair = Pair::new();
    let mut tasks = Vec::new();
    for n in 0..100 {
        tasks.push((n, Task::start(pair.a.session.request(echo(n, 10)))));
        tasks.push((n, Task::start(pair.b.session.request(echo(n, 5_000)))));
    }
    pair.settle();
    for (n, task) in tasks {
        assert_eq!(task.done().unwrap().0, n);
    }
}

#[test]
fn answers_may_come_in_any_order_and_from_any_thread() {
    let mut pair = Pair::new();
    let kept = defer_all(&mut pair);
    let tasks: Vec<_> =
        (0..20).map(|n| Task::start(pair.a.session.request(echo(n, 6_000)))).collect();
    pair.settle();
    let responders = std::mem::take(&mut *kept.lock().unwrap());
    assert_eq!(responders.len(), 20);
    std::thread::spawn(move || {
        for (responder, body) in responders.into_iter().rev() {
            responder.answer(Answer::Good(&body));
        }
    })
    .join()
    .unwrap();
    pair.settle();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.done().unwrap().0, n as u64);
    }
}

#[test]
fn an_error_of_the_application_arrives_typed_and_a_fault_by_code() {
    let mut pair = Pair::new();
    pair.b.on_request =
        Box::new(|core, ticket, _| core.answer(ticket, Answer::App(&encoded(&Sorry(7)))));
    let task = Task::start(pair.a.session.request(echo(1, 1)));
    pair.settle();
    let error = task.done().unwrap_err();
    assert_eq!(error, CallError::App(Sorry(7)));
    assert_eq!(error.executed(), Executed::Yes);
    pair.b.on_request =
        Box::new(|core, ticket, _| core.answer(ticket, Answer::Fault(ErrorCode(9), "no")));
    let task = Task::start(pair.a.session.request(echo(1, 1)));
    pair.settle();
    assert_eq!(task.done().unwrap_err(), CallError::Fault(ErrorCode(9), "no".into()));
    pair.b.on_request = Box::new(|core, ticket, _| core.answer(ticket, Answer::Good(b"\xc0")));
    let task = Task::start(pair.a.session.request(echo(1, 1)));
    pair.settle();
    assert_eq!(task.done().unwrap_err(), CallError::Decode);
}

#[test]
fn a_full_outbox_says_so_and_wakes_who_waits_once_it_was_written() {
    // Less than half a window, so that no credit comes back that would wake anybody by accident.
    let mut pair = Pair::with(Settings::default(), 20_000);
    pair.settle();
    while pair.a.session.send(&note(1, 1_000)).is_ok() {}
    let full = pair.a.session.send(&note(1, 1_000)).unwrap_err();
    assert!(matches!(full, SendError::Full { queued, limit: 20_000 } if queued > 18_000), "{full}");
    let session = pair.a.session.clone();
    let mut room = Task::start(async move { session.room().await });
    let session = pair.a.session.clone();
    let mut patient = Task::start(async move { session.send_wait(&note(2, 3_000)).await });
    assert!(!room.look() && !patient.look());
    pair.settle();
    room.done();
    patient.done().unwrap();
    pair.settle();
    assert_eq!(pair.a.session.queued_bytes(), 0, "and what was sent then has left");
}

#[test]
fn a_message_above_the_outbox_limit_is_taken_alone() {
    let mut pair = Pair::with(Settings::default(), 1_000);
    pair.a.session.send(&note(1, 50_000)).unwrap();
    assert!(matches!(pair.a.session.send(&note(1, 1)), Err(SendError::Full { .. })));
    pair.settle();
    pair.a.session.send(&note(1, 1)).unwrap();
}

#[test]
fn whoever_was_told_of_room_is_not_refused() {
    let mut pair = Pair::with(Settings::default(), 3_000);
    pair.settle();
    pair.a.session.send(&note(1, 1_200)).unwrap();
    Task::start({
        let session = pair.a.session.clone();
        async move { session.room().await }
    })
    .done();
    // Above half of the outbox, and above what is left of it.
    pair.a.session.send(&note(2, 2_500)).unwrap();
    assert!(matches!(pair.a.session.send(&note(3, 1)), Err(SendError::Full { .. })));
}

#[test]
fn no_more_requests_are_in_flight_than_the_peer_allows() {
    let mut pair = Pair::with(Settings { in_flight_max: 16, ..Settings::default() }, 1 << 20);
    let kept = defer_all(&mut pair);
    let mut tasks: Vec<_> =
        (0..16).map(|n| Task::start(pair.a.session.request(echo(n, 1)))).collect();
    let refused = Task::start(pair.a.session.request(echo(16, 1))).done().unwrap_err();
    assert_eq!(refused, CallError::NotSent(SendError::InFlight { limit: 16 }));
    assert_eq!((refused.executed(), refused.retryable()), (Executed::No, true));
    let session = pair.a.session.clone();
    let mut room = Task::start(async move { session.room().await });
    let session = pair.a.session.clone();
    let post = Task::start(async move { session.send_wait(&note(2, 3_000)).await });
    post.done().expect("a post needs no slot");
    pair.settle();
    assert!(!room.look());
    let (responder, body) = kept.lock().unwrap().pop().unwrap();
    responder.answer(Answer::Good(&body));
    pair.settle();
    tasks.pop().unwrap().done().unwrap();
    room.done();
    // A slot that a caller has left is free only when the answer is here.
    drop(tasks.pop());
    let last = Task::start(pair.a.session.request(echo(0, 1)));
    let refused = Task::start(pair.a.session.request(echo(16, 1))).done();
    assert!(matches!(refused, Err(CallError::NotSent(SendError::InFlight { .. }))));
    pair.settle();
    kept.lock().unwrap().clear();
    pair.settle();
    last.done().unwrap_err();
    Task::start(pair.a.session.request(echo(16, 1)));
}

#[test]
fn a_dropped_call_stops_its_handler_and_frees_its_slot() {
    let mut pair = Pair::new();
    let (tell, stopped) = log();
    pair.b.on_request = Box::new(move |core, ticket, _| {
        let (responder, deferred) = core.defer(ticket);
        let tell = tell.clone();
        let stop = move || {
            tell.lock().unwrap().push("stopped");
            drop(responder);
        };
        core.attach_abort(deferred, Box::new(stop));
        Ok(())
    });
    let task = Task::start(pair.a.session.request(echo(1, 1)));
    pair.settle();
    drop(task);
    pair.settle();
    assert_eq!(*stopped.lock().unwrap(), ["stopped"]);
    assert_eq!(pair.a.core().counters().late_answers, 1);
    assert_eq!(pair.b.core().counters().cancels, 1);
}

#[test]
fn a_cancel_leaves_also_if_the_driver_was_just_about_to_sleep() {
    let mut pair = Pair::new();
    let kept = defer_all(&mut pair);
    let task = Task::start(pair.a.session.request(echo(1, 1)));
    pair.settle();
    // The driver has done everything of its turn but looking whether there is more.
    let now = pair.now;
    pair.a.core().begin_turn(now).unwrap();
    pair.a.core().end_turn();
    drop(task);
    let waker = std::task::Waker::noop();
    let cx = &mut std::task::Context::from_waker(waker);
    assert!(pair.a.core().poll_work(cx).is_ready());
    kept.lock().unwrap().clear();
}

#[test]
fn a_request_without_credit_or_kernel_still_has_its_deadline() {
    let settings = Settings { heartbeat: None, ..Settings::default() };
    let mut pair = Pair::with(settings, support::OUTBOX);
    pair.settle();
    pair.a.blocked = true;
    let now = pair.now;
    pair.a.core().begin_turn(now).unwrap();
    pair.a.core().end_turn();
    let _task = Task::start(pair.a.session.request(echo(1, 1)));
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    assert!(pair.a.core().poll_signals(cx).is_ready(), "its clock is to be started");
    pair.a.core().begin_turn(now).unwrap();
    assert!(pair.a.core().poll_signals(cx).is_pending());
    assert_eq!(pair.a.core().deadline(), Some(now + Duration::from_secs(30)));
}

#[test]
fn a_call_times_out_and_its_late_answer_goes_to_nobody() {
    let mut pair = Pair::new();
    let kept = defer_all(&mut pair);
    let mut task = Task::start(pair.a.session.request(echo(1, 1)).timeout(Duration::from_secs(1)));
    pair.settle();
    pair.a.now_is(pair.now + Duration::from_millis(999));
    assert!(!task.look());
    pair.a.now_is(pair.now + Duration::from_secs(1));
    let error = task.done().unwrap_err();
    assert_eq!(
        (&error, error.executed()),
        (&CallError::Timeout { limit: Duration::from_secs(1) }, Executed::Maybe)
    );
    let (responder, body) = kept.lock().unwrap().pop().unwrap();
    responder.answer(Answer::Good(&body));
    pair.settle();
    assert_eq!(pair.a.core().counters().late_answers, 1);
    // The slot serves the next call.
    let task = Task::start(pair.a.session.request(echo(2, 1)));
    pair.settle();
    let (responder, body) = kept.lock().unwrap().pop().unwrap();
    responder.answer(Answer::Good(&body));
    pair.settle();
    assert_eq!(task.done().unwrap(), Echo(2, vec![9]));
}

#[test]
fn deadlines_pass_in_a_session_that_is_never_at_rest() {
    let mut pair = Pair::new();
    let kept = defer_all(&mut pair);
    let task = Task::start(pair.a.session.request(echo(1, 1)).timeout(Duration::from_secs(1)));
    pair.settle();
    pair.now += Duration::from_secs(2);
    pair.b.session.send(&note(1, 1)).unwrap();
    pair.settle();
    assert_eq!(
        task.done().unwrap_err(),
        CallError::Timeout { limit: Duration::from_secs(1) },
        "nobody called handle_timeout"
    );
    kept.lock().unwrap().clear();
}

#[test]
fn the_callee_stops_at_the_deadline_by_itself() {
    let mut pair = Pair::new();
    let (tell, fates) = log();
    pair.b.on_request = Box::new(move |core, ticket, _| {
        assert!(ticket.due().is_some());
        let (responder, deferred) = core.defer(ticket);
        let tell = tell.clone();
        let stop = move || {
            tell.lock().unwrap().push("stopped");
            drop(responder);
        };
        core.attach_abort(deferred, Box::new(stop));
        Ok(())
    });
    let mut task = Task::start(pair.a.session.request(echo(1, 1)).timeout(Duration::from_secs(1)));
    pair.settle();
    // Only the callee's clock moves.
    pair.now += Duration::from_secs(1);
    let now = pair.now;
    pair.b.tick(now);
    pair.now -= Duration::from_secs(1);
    pair.settle();
    assert_eq!(*fates.lock().unwrap(), ["stopped"]);
    assert!(task.look());
    // Whichever side looks at its clock first: for the caller its time is over.
    assert_eq!(task.done().unwrap_err(), CallError::Timeout { limit: Duration::from_secs(1) });
}

#[test]
fn a_barrier_is_passed_when_all_before_it_was_dispatched() {
    let mut pair = Pair::new();
    let (tell, heard) = log();
    pair.b.on_post = Box::new(move |body| tell.lock().unwrap().push(body.len()));
    for n in 0..50 {
        pair.a.session.send(&note(n, 10_000)).unwrap();
    }
    let session = pair.a.session.clone();
    let barrier = Task::start(async move { session.barrier().await });
    pair.settle();
    assert_eq!(heard.lock().unwrap().len(), 50);
    barrier.done().unwrap();
}

#[test]
fn an_idle_session_holds_no_block_and_little_else() {
    let mut pair = Pair::new();
    let tasks: Vec<_> =
        (0..200).map(|n| Task::start(pair.a.session.request(echo(n, 3_000)))).collect();
    pair.settle();
    tasks.into_iter().for_each(|task| drop(task.done()));
    pair.a.core().park();
    pair.b.core().park();
    for side in [&pair.a, &pair.b] {
        assert_eq!(side.link.local.blocks.stats().in_use, 0);
        assert_eq!(side.link.local.recv.stats().in_use, 1, "the test's own input");
    }
    let task = Task::start(pair.a.session.request(echo(1, 1)));
    pair.settle();
    task.done().unwrap();
}

#[test]
fn a_driver_that_is_dropped_ends_its_session_all_the_same() {
    let mut pair = Pair::new();
    let task = Task::start(pair.a.session.request(echo(1, 1)));
    drop(pair.a.core.take());
    let error = task.done().unwrap_err();
    assert!(matches!(error, CallError::Closed { reason: CloseReason::ByUs(_), sent: false }));
    assert!(pair.a.hub.acquire(pair.a.session.id()).is_none());
}
