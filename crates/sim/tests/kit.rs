//! What the kit itself promises.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use moorline_protocol::{Body, CloseReason, ErrorCode, Frame, HandshakeFailure, Kind, Settings};
use moorline_session::{CallError, Executed, SendError};
use moorline_sim::{Link, Pair, Side};
use support::{Echo, Feed, Note, Piece, Slow, Sorry};

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn echoing(mut pair: Pair) -> Pair {
    for side in Side::BOTH {
        pair.side(side).handle_now(|_, echo: Echo| Ok(echo));
        pair.side(side).handle(|cx, slow: Slow| async move {
            cx.clock().sleep(ms(slow.1)).await;
            Ok(Echo(slow.0, vec![]))
        });
    }
    pair
}

fn some_talk(seed: u64, plain: bool) -> (u64, String) {
    let pair = Pair::seeded(seed).link(Link::chunks(1..=90).jitter(ms(5)));
    let mut pair = echoing(if plain { pair.plain() } else { pair });
    let heard = Rc::new(RefCell::new(Vec::new()));
    let hear = Rc::clone(&heard);
    pair.b().on(move |_, note: Note| hear.borrow_mut().push(note.0));
    let session = pair.connect().unwrap();
    for number in 0..20 {
        session.send(&Note(number, vec![1; 50])).unwrap();
    }
    let answer = pair.run_until(session.request(Slow(1, 30)));
    assert_eq!(answer, Ok(Echo(1, vec![])));
    pair.settle();
    assert_eq!(*heard.borrow(), (0..20).collect::<Vec<_>>());
    let trace = pair.trace();
    (pair.finish().trace_hash, trace)
}

#[test]
fn a_seed_repeats_bit_for_bit_and_others_differ() {
    for plain in [true, false] {
        let (first, trace) = some_talk(7, plain);
        let (again, trace_again) = some_talk(7, plain);
        assert_eq!(trace, trace_again);
        assert_eq!(first, again);
        assert_ne!(first, some_talk(8, plain).0);
    }
}

#[test]
fn time_passes_only_in_the_simulation() {
    let mut pair = echoing(Pair::seeded(1).plain().link(Link::default().delay_ms(40)));
    let session = pair.connect().unwrap();
    let before = pair.clock().passed();
    pair.run_until(session.request(Echo(1, vec![]))).unwrap();
    assert_eq!(pair.clock().passed() - before, ms(80));
    let before = pair.clock().passed();
    let late = pair.run_until(session.request(Slow(1, 60_000)));
    assert_eq!(late, Err(CallError::Timeout { limit: Duration::from_secs(30) }));
    assert_eq!(pair.clock().passed() - before, Duration::from_secs(30));
    pair.finish();
}

#[test]
fn a_cut_ends_calls_on_both_sides_and_a_new_connection_goes_on() {
    let mut pair = echoing(Pair::seeded(3));
    let first = pair.connect().unwrap();
    let call = first.clone();
    let waiting = pair.spawn(Side::A, async move { call.request(Slow(1, 5_000)).await });
    pair.run_for(ms(100));
    pair.cut();
    pair.settle();
    let error = waiting.take().unwrap().unwrap_err();
    assert_eq!(error, CallError::Closed { reason: CloseReason::Truncated, sent: true });
    assert_eq!(error.executed(), Executed::Maybe);
    assert!(pair.a().sessions().is_empty() && pair.b().sessions().is_empty());
    let second = pair.connect().unwrap();
    assert_ne!(first.id(), second.id());
    pair.run_until(second.request(Echo(1, vec![]))).unwrap();
    pair.reset();
    pair.settle();
    let reset = CloseReason::Io(std::io::ErrorKind::ConnectionReset);
    assert_eq!(second.send(&Note(1, vec![])), Err(SendError::Closed(reset)));
    pair.finish();
}

#[test]
fn a_cut_at_a_byte_lets_exactly_so_many_through() {
    let mut pair = echoing(Pair::seeded(3).plain());
    let session = pair.connect().unwrap();
    pair.cut_after(Side::A, 1_000);
    let echo = session.request(Echo(1, vec![7; 5_000]));
    let error = pair.run_until(echo).unwrap_err();
    assert!(matches!(error, CallError::Closed { reason: CloseReason::Truncated, .. }), "{error}");
    assert!(!pair.trace().contains("hears request"), "it did not arrive whole");
    pair.finish();
}

#[test]
fn a_partition_delays_and_loses_nothing() {
    let mut pair = echoing(Pair::seeded(4).plain());
    let session = pair.connect().unwrap();
    pair.partition();
    let task = pair.spawn(Side::A, {
        let session = session.clone();
        async move { session.request(Echo(5, vec![])).await }
    });
    pair.run_for(Duration::from_secs(10));
    assert!(!task.is_done());
    pair.heal();
    pair.settle();
    assert_eq!(task.take().unwrap(), Ok(Echo(5, vec![])));
    pair.partition();
    let error = pair.run_until(session.request(Echo(6, vec![])).timeout(ms(700))).unwrap_err();
    let timeout = CallError::Timeout { limit: ms(700) };
    assert_eq!((&error, error.executed()), (&timeout, Executed::Maybe));
    let refused = pair.connect().unwrap_err();
    assert_eq!(refused, CloseReason::HandshakeFailed(HandshakeFailure::Timeout));
    pair.finish();
}

#[test]
fn a_kernel_that_takes_nothing_fills_the_outbox_and_no_more() {
    let pair = Pair::seeded(5).plain().outbox_bytes(Side::A, 20_000);
    let mut pair = pair.link(Link::default().buffer(4_000));
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    pair.b().on(move |_, _: Note| counted.set(counted.get() + 1));
    let session = pair.connect().unwrap();
    pair.stall(Side::A);
    let mut sent = 0;
    let full = loop {
        match session.send(&Note(sent, vec![0; 1_000])) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        pair.settle();
    };
    assert!(matches!(full, SendError::Full { limit: 20_000, .. }), "{full}");
    assert_eq!(count.get(), 0);
    pair.unstall(Side::A);
    pair.settle();
    assert_eq!(count.get(), sent);
    pair.finish();
}

#[test]
fn a_crash_takes_tasks_and_state_and_a_program_starts_anew() {
    let mut pair = Pair::seeded(6);
    pair.program(Side::B, |b| {
        let count = Rc::new(Cell::new(0));
        b.handle_now(move |_, _: Echo| {
            count.set(count.get() + 1);
            Ok(Echo(count.get(), vec![]))
        });
    });
    let session = pair.connect().unwrap();
    let ended = Rc::new(RefCell::new(None));
    pair.run_until(session.request(Echo(0, vec![]))).unwrap();
    assert_eq!(pair.run_until(session.request(Echo(0, vec![]))).unwrap().0, 2);
    let keeps = Rc::clone(&ended);
    let at_b = pair.b().session().unwrap();
    let orphan = pair.spawn(Side::B, async move {
        *keeps.borrow_mut() = Some(at_b.barrier().await);
        std::future::pending::<()>().await;
    });
    pair.crash(Side::B);
    pair.settle();
    assert!(!session.is_open());
    assert_eq!(session.send(&Note(0, vec![])), Err(SendError::Closed(CloseReason::Truncated)));
    let refused = CloseReason::Io(std::io::ErrorKind::ConnectionRefused);
    assert_eq!(pair.connect().unwrap_err(), refused);
    pair.restart(Side::B);
    let session = pair.connect().unwrap();
    assert_eq!(pair.run_until(session.request(Echo(0, vec![]))).unwrap().0, 1);
    assert!(!orphan.is_done() && ended.borrow().is_none());
    pair.finish();
}

#[test]
fn a_dropped_task_takes_its_request_back() {
    let mut pair = echoing(Pair::seeded(7).plain());
    let session = pair.connect().unwrap();
    let task = pair.spawn(Side::A, async move { session.request(Slow(1, 60_000)).await });
    pair.run_for(ms(50));
    task.stop();
    pair.run_for(ms(50));
    assert!(pair.trace().contains("b #0 hears cancel 0"), "{}", pair.trace());
    assert!(pair.trace().contains("a #0 hears error 0"));
    pair.finish();
}

#[test]
fn an_application_says_no_and_both_sides_close_in_order() {
    let mut pair = Pair::seeded(8);
    pair.b().handle_now(|_, echo: Echo| Err(Sorry(echo.0).into()));
    let session = pair.connect().unwrap();
    let answer = pair.run_until(session.request(Echo(9, vec![])));
    assert_eq!(answer, Err(CallError::App(Sorry(9))));
    let other = pair.b().session().unwrap();
    session.close_with(ErrorCode(5), "done");
    pair.settle();
    let Err(SendError::Closed(CloseReason::ByPeer(farewell))) = other.send(&Note(1, vec![])) else {
        panic!("it is closed")
    };
    assert_eq!((farewell.code, &*farewell.text), (ErrorCode(5), "done"));
    pair.finish();
}

#[test]
fn a_script_says_what_it_wants_and_hears_everything() {
    let mut pair = echoing(Pair::seeded(9).scripted(Side::A));
    let none = pair.spawn(Side::A, pair.dialer(Side::A).connect());
    pair.settle();
    assert!(!none.is_done(), "a script has no session");
    let index = pair.b().registry().index_of::<Echo>().unwrap();
    let body = [0x92, 0x07, 0xc4, 0x00];
    let request = |id| Frame::Request {
        id,
        kind: Kind::Known(index),
        meta: Default::default(),
        body: Body::Borrowed(&body),
    };
    pair.say(Side::A, &[request(3), Frame::Ping { nonce: 1 }]);
    assert_eq!(pair.heard(Side::A), ["pong 1", "response 3 of 3 B"]);
    pair.say(Side::A, &[Frame::Response { id: 1, body: Body::Borrowed(&body) }]);
    let heard = pair.heard(Side::A);
    assert_eq!(heard[0], format!("close {}", ErrorCode::PROTOCOL.0));
    assert!(pair.b().sessions().is_empty());
}

#[test]
#[should_panic(expected = "will never be ready")]
fn waiting_for_nothing_is_found() {
    Pair::seeded(1).plain().run_until(std::future::pending::<()>());
}

#[test]
#[should_panic(expected = "the rule \"few notes\" is broken: 3 notes")]
fn a_rule_of_the_test_is_looked_at_after_each_step() {
    let mut pair = Pair::seeded(1).plain().settings(Side::B, Settings::default());
    let count = Rc::new(Cell::new(0));
    let (counts, looks) = (Rc::clone(&count), count);
    pair.b().on(move |_, _: Note| counts.set(counts.get() + 1));
    pair.rule("few notes", move |_| match looks.get() {
        0..3 => Ok(()),
        more => Err(format!("{more} notes")),
    });
    let session = pair.connect().unwrap();
    for _ in 0..5 {
        session.send(&Note(1, vec![0; 2_000])).unwrap();
    }
    pair.settle();
}

/// The peer takes OPENs in the order of their numbers only, whatever their lanes.
#[test]
fn a_stream_that_is_more_urgent_may_overtake_one_opened_before() {
    let mut pair = Pair::seeded(1).plain();
    pair.b().handle_stream(|_, feed: Feed, mut stream| async move {
        while let Ok(Some(Piece(number, _))) = stream.recv().await {
            let _ = stream.send(&number);
        }
        assert_eq!(feed.0, 0);
        let _ = stream.finish();
    });
    let session = pair.connect().unwrap();
    let mut ordinary = session.open_with_priority(4, &Feed(0)).unwrap();
    let mut urgent = session.open_with_priority(7, &Feed(0)).unwrap();
    for stream in [&mut ordinary, &mut urgent] {
        stream.finish().unwrap();
    }
    assert_eq!(pair.run_until(async move { urgent.recv().await }), Ok(None));
    assert_eq!(pair.run_until(async move { ordinary.recv().await }), Ok(None));
    pair.finish();
}

#[test]
fn streams_end_with_their_session_and_their_handlers_with_them() {
    let mut pair = Pair::seeded(2);
    let left = Rc::new(Cell::new(0));
    let leaves = Rc::clone(&left);
    pair.b().handle_raw("bytes", move |cx, stream| {
        let leaves = Rc::clone(&leaves);
        async move {
            let _on_drop = OnDrop(Box::new(move || leaves.set(leaves.get() + 1)));
            cx.clock().sleep(Duration::from_secs(600)).await;
            drop(stream);
        }
    });
    let session = pair.connect().unwrap();
    let _stream = session.open_raw("bytes").unwrap();
    pair.settle();
    assert_eq!(left.get(), 0);
    pair.cut();
    pair.settle();
    assert_eq!(left.get(), 1);
    pair.finish();
}

struct OnDrop(Box<dyn Fn()>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        (self.0)();
    }
}
