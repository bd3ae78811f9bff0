//! What an application can rely on whichever protocol carries its session: one set of tests, run for
//! each of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use moorline_gofast::{Dialect, Gofast, GofastSettings};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{CloseReason, ErrorCode, Format, ProtocolFactory, Settings};
use moorline_session::{Answer, CallError, SendError, Stream, StreamError};
use support::{Echo, Note, OUTBOX, Pair, Range, Side, Sorry, Swap, Task, echo, encoded, log, note};

/// What a protocol cannot do, the tests ask it not to.
#[derive(Clone, Copy)]
struct Subject {
    make: fn() -> Box<dyn ProtocolFactory>,
    /// Both sides say more than gofast can: errors, reasons, goodbye.
    rich: bool,
}

fn gofast(dialect: Dialect, extension: bool, tags: &str) -> Box<dyn ProtocolFactory> {
    let settings = GofastSettings {
        // The handlers of these tests read it.
        format: Format::MessagePack,
        buffersize: Some(4 << 20),
        tags: tags.into(),
        extension,
        ..GofastSettings::default()
    };
    Box::new(Gofast::with(dialect, settings).unwrap())
}

macro_rules! for_every_protocol {
    ($($test:ident)+) => {
        for_every_protocol! { @ msgpack true || Box::new(Msgpack::sealed()), $($test)+ }
        for_every_protocol! { @ msgpack_plain true || Box::new(Msgpack::plain()), $($test)+ }
        for_every_protocol! { @ gofast true || gofast(Dialect::Y2017, true, ""), $($test)+ }
        for_every_protocol! { @ gofast_2016 true || gofast(Dialect::Y2016, true, ""), $($test)+ }
        for_every_protocol! { @ gofast_bare false || gofast(Dialect::Y2017, false, ""), $($test)+ }
        for_every_protocol! { @ gofast_2016_bare false || gofast(Dialect::Y2016, false, ""), $($test)+ }
        for_every_protocol! { @ gofast_packed true || gofast(Dialect::Y2017, true, "gzip,lzw"), $($test)+ }
        for_every_protocol! { @ gofast_packed_bare false || gofast(Dialect::Y2016, false, "lzw"), $($test)+ }
    };
    (@ $name:ident $rich:literal $make:expr, $($test:ident)+) => {
        mod $name {
            use super::*;

            const SUBJECT: Subject = Subject { make: $make, rich: $rich };

            $(
                #[test]
                fn $test() {
                    super::$test(SUBJECT);
                }
            )+
        }
    };
}

for_every_protocol! {
    posts_arrive_in_their_order_both_ways
    requests_are_answered_whoever_asks
    slow_handlers_answer_in_any_order
    a_handler_that_fails_says_so_or_its_caller_gives_up
    streams_go_both_ways_whoever_opens_them
    many_streams_come_and_go
    a_stream_that_is_dropped_in_the_middle_ends_at_both_ends
    a_refused_stream_ends
    long_messages_are_whole_and_let_short_ones_pass
    a_long_request_given_up_in_the_middle_leaves_nothing_behind
    a_message_above_what_the_peer_takes_is_refused_by_itself
    a_barrier_stands_behind_what_was_sent
    a_session_that_closes_lets_out_what_it_has_and_ends_the_other
    a_peer_that_is_cut_off_ends_all_that_waits
}

fn pair(subject: Subject) -> Pair {
    pair_with(subject, Settings::default())
}

fn pair_with(subject: Subject, settings: Settings) -> Pair {
    Pair::over(&*(subject.make)(), settings, OUTBOX)
}

fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// What a handler of posts has read.
fn posts(side: &mut Side) -> support::Log<Note> {
    let (theirs, ours) = log();
    side.on_post = Box::new(move |body| {
        theirs.lock().unwrap().push(Format::MessagePack.decode(body).unwrap());
    });
    ours
}

fn posts_arrive_in_their_order_both_ways(subject: Subject) {
    let mut pair = pair(subject);
    let (at_a, at_b) = (posts(&mut pair.a), posts(&mut pair.b));
    let sent: Vec<_> = (0..500).map(|n| note(n, usize::try_from(n).unwrap() % 97)).collect();
    for note in &sent {
        pair.a.session.send(note).unwrap();
        pair.b.session.send(note).unwrap();
    }
    pair.settle();
    assert_eq!(*at_a.lock().unwrap(), sent);
    assert_eq!(*at_b.lock().unwrap(), sent);
}

fn requests_are_answered_whoever_asks(subject: Subject) {
    let mut pair = pair(subject);
    let mut calls = Vec::new();
    for n in 0..200 {
        let from = if n % 2 == 0 { &pair.a.session } else { &pair.b.session };
        calls.push((n, Task::start(from.request(echo(n, 50)))));
        if n % 7 == 0 {
            pair.settle();
        }
    }
    pair.settle();
    for (n, call) in calls {
        assert_eq!(call.done().unwrap(), echo(n, 50));
    }
    // Empty, and one after the other on the same slot.
    for n in 0..20 {
        let call = Task::start(pair.a.session.request(echo(n, 0)));
        pair.settle();
        assert_eq!(call.done().unwrap(), echo(n, 0));
    }
}

fn slow_handlers_answer_in_any_order(subject: Subject) {
    let mut pair = pair(subject);
    let (theirs, waiting) = log();
    pair.b.on_request = Box::new(move |core, ticket, body| {
        let (responder, _) = core.defer(ticket);
        theirs.lock().unwrap().push((responder, body.to_vec()));
        Ok(())
    });
    let mut calls: Vec<_> =
        (0..50).map(|n| Task::start(pair.a.session.request(echo(n, 9)))).collect();
    pair.settle();
    assert!(calls.iter_mut().all(|call| !call.look()));
    let mut waiting = std::mem::take(&mut *waiting.lock().unwrap());
    assert_eq!(waiting.len(), 50);
    while !waiting.is_empty() {
        let (responder, body) = waiting.remove(waiting.len() * 2 / 3);
        responder.answer(Answer::Good(&body));
        pair.settle();
        // Another one meanwhile, in a slot that has just become free or in its own.
        let call = Task::start(pair.a.session.request(echo(99, 0)));
        pair.settle();
        drop(call);
    }
    for (n, call) in (0..).zip(calls) {
        assert_eq!(call.done().unwrap(), echo(n, 9));
    }
}

fn a_handler_that_fails_says_so_or_its_caller_gives_up(subject: Subject) {
    let mut pair = pair(subject);
    pair.b.on_request = Box::new(|core, ticket, body| {
        let Echo(n, _) = Format::MessagePack.decode(body).unwrap();
        match n {
            0 => core.answer(ticket, Answer::App(&encoded(&Sorry(7)))),
            1 => core.answer(ticket, Answer::Fault(ErrorCode::UNIMPLEMENTED, "not here")),
            _ => core.answer(ticket, Answer::Good(body)),
        }
    });
    let own = Task::start(pair.a.session.request(echo(0, 0)));
    let fault = Task::start(pair.a.session.request(echo(1, 0)));
    let good = Task::start(pair.a.session.request(echo(2, 0)));
    pair.settle();
    assert_eq!(good.done().unwrap(), echo(2, 0));
    if subject.rich {
        assert_eq!(own.done(), Err(CallError::App(Sorry(7))));
        let not_here = CallError::Fault(ErrorCode::UNIMPLEMENTED, "not here".into());
        assert_eq!(fault.done(), Err(not_here));
    } else {
        // Nobody can tell: the time that every call has is the guard.
        let (mut own, mut fault) = (own, fault);
        assert!(!own.look() && !fault.look());
        pair.pass(Duration::from_secs(31));
        assert!(matches!(own.done(), Err(CallError::Timeout { .. })));
        assert!(matches!(fault.done(), Err(CallError::Timeout { .. })));
    }
    assert!(pair.a.ended.is_none() && pair.b.ended.is_none());
}

type Accepted<Down, Up> = Arc<Mutex<Vec<Stream<Down, Up>>>>;

fn accept_all<Down, Up>(side: &mut Side) -> Accepted<Down, Up>
where
    Down: serde::Serialize + Send + 'static,
    Up: serde::de::DeserializeOwned + Send + 'static,
{
    let accepted = Accepted::<Down, Up>::default();
    let keep = Arc::clone(&accepted);
    side.on_open = Box::new(move |stream, _| keep.lock().unwrap().push(stream.accept()));
    accepted
}

fn streams_go_both_ways_whoever_opens_them(subject: Subject) {
    let mut pair = pair(subject);
    for opens_a in [true, false] {
        let (from, to) =
            if opens_a { (&mut pair.a, &mut pair.b) } else { (&mut pair.b, &mut pair.a) };
        let accepted = accept_all::<Note, Note>(to);
        let mut up = from.session.open(&Swap).unwrap();
        up.send(&note(0, 3)).unwrap();
        pair.settle();
        let mut down = accepted.lock().unwrap().pop().unwrap();
        for n in 1..300 {
            up.send(&note(n, 30)).unwrap();
            down.send(&note(n, 40)).unwrap();
        }
        pair.settle();
        assert_eq!(now(down.recv()).unwrap().unwrap(), Some(note(0, 3)));
        for n in 1..300 {
            assert_eq!(now(down.recv()).unwrap().unwrap(), Some(note(n, 30)));
            assert_eq!(now(up.recv()).unwrap().unwrap(), Some(note(n, 40)));
        }
        up.finish().unwrap();
        down.finish().unwrap();
        pair.settle();
        assert_eq!(now(down.recv()).unwrap().unwrap(), None);
        assert_eq!(now(up.recv()).unwrap().unwrap(), None);
    }
}

fn many_streams_come_and_go(subject: Subject) {
    // Far more than there are at once, and than there are opaques for streams.
    let mut pair = pair_with(subject, Settings { streams_max: 8, ..Settings::default() });
    let at_b = accept_all::<u64, Note>(&mut pair.b);
    let at_a = accept_all::<u64, Note>(&mut pair.a);
    for n in 0..300 {
        let (from, accepted) =
            if n % 3 == 0 { (&pair.b.session, &at_a) } else { (&pair.a.session, &at_b) };
        let mut up = from.open(&Range(n)).unwrap();
        up.send(&note(n, 5)).unwrap();
        pair.settle();
        let mut down = accepted.lock().unwrap().pop().unwrap();
        down.send(&n).unwrap();
        pair.settle();
        assert_eq!(now(up.recv()).unwrap().unwrap(), Some(n));
        assert_eq!(now(down.recv()).unwrap().unwrap(), Some(note(n, 5)));
        // Whoever ends first.
        if n % 2 == 0 {
            up.finish().unwrap();
            pair.settle();
            assert_eq!(now(down.recv()).unwrap().unwrap(), None);
            down.finish().unwrap();
        } else {
            down.finish().unwrap();
            up.finish().unwrap();
        }
        pair.settle();
        assert_eq!(now(up.recv()).unwrap().unwrap(), None);
        assert!(pair.a.ended.is_none() && pair.b.ended.is_none(), "stream {n}");
    }
}

fn a_stream_that_is_dropped_in_the_middle_ends_at_both_ends(subject: Subject) {
    let mut pair = pair(subject);
    let accepted = accept_all::<u64, Note>(&mut pair.b);
    for n in 0..50 {
        let mut up = pair.a.session.open(&Range(n)).unwrap();
        up.send(&note(n, 10)).unwrap();
        pair.settle();
        let mut down = accepted.lock().unwrap().pop().unwrap();
        down.send(&1).unwrap();
        drop(up);
        pair.settle();
        assert_eq!(now(down.recv()).unwrap().unwrap(), Some(note(n, 10)));
        match now(down.recv()).unwrap() {
            Err(StreamError::Reset { code: ErrorCode::CANCELLED, by_peer: true, .. }) => {
                assert!(subject.rich);
            }
            Ok(None) => assert!(!subject.rich),
            other => panic!("{other:?}"),
        }
        drop(down);
        pair.settle();
    }
    assert!(pair.a.ended.is_none() && pair.b.ended.is_none());
}

fn a_refused_stream_ends(subject: Subject) {
    let mut pair = pair(subject);
    pair.b.on_open = Box::new(|stream, _| stream.reject(ErrorCode(42), "no room"));
    for n in 0..50 {
        let mut up = pair.a.session.open(&Range(n)).unwrap();
        up.send(&note(n, 10)).unwrap();
        pair.settle();
        match now(up.recv()).unwrap() {
            Err(error) => {
                let told = "the peer reset the stream: application code 42, \"no room\"";
                assert_eq!((subject.rich, error.to_string().as_str()), (true, told));
            }
            Ok(end) => assert_eq!((subject.rich, end), (false, None)),
        }
        drop(up);
        pair.settle();
    }
    assert!(pair.a.ended.is_none() && pair.b.ended.is_none());
}

fn long_messages_are_whole_and_let_short_ones_pass(subject: Subject) {
    let mut pair = pair(subject);
    let at_b = posts(&mut pair.b);
    let accepted = accept_all::<Note, Note>(&mut pair.b);
    let mut up = pair.a.session.open(&Swap).unwrap();
    // Around the length of a block, and far beyond it.
    let lens = [16_200, 16_288, 16_300, 16_330, 16_340, 16_384, 33_000, 300_000];
    let mut calls = Vec::new();
    for (n, len) in (0..).zip(lens) {
        pair.a.session.send(&note(n, len)).unwrap();
        pair.a.session.send_with_priority(7, &note(n, len)).unwrap();
        up.send(&note(n, len)).unwrap();
        calls.push((n, len, Task::start(pair.a.session.request(echo(n, len)))));
        calls.push((n, len, Task::start(pair.a.session.request(echo(n, len)).priority(0))));
    }
    pair.settle();
    let mut down = accepted.lock().unwrap().pop().unwrap();
    for (n, len) in (0..).zip(lens) {
        pair.settle();
        assert_eq!(now(down.recv()).unwrap().unwrap(), Some(note(n, len)));
    }
    pair.settle();
    for (n, len, call) in calls {
        assert_eq!(call.done().unwrap(), echo(n, len));
    }
    let mut got: Vec<_> = at_b.lock().unwrap().iter().map(|note| (note.0, note.1.len())).collect();
    got.sort_unstable();
    let mut sent: Vec<_> = (0..).zip(lens).flat_map(|sent| [sent, sent]).collect();
    sent.sort_unstable();
    assert_eq!(got, sent);
    assert!(pair.a.ended.is_none() && pair.b.ended.is_none());
}

fn a_long_request_given_up_in_the_middle_leaves_nothing_behind(subject: Subject) {
    let mut pair = pair_with(subject, Settings { in_flight_max: 16, ..Settings::default() });
    for n in 0..40 {
        let call = Task::start(pair.a.session.request(echo(n, 100_000)));
        // Some of it leaves before its caller has had enough.
        let block = pair.a.writer.take_block().unwrap().unwrap();
        let link = &mut pair.a.link;
        link.opened.as_mut().unwrap().sealing.seal(block, &mut link.wire).unwrap();
        drop(call);
        pair.settle();
        let next = Task::start(pair.a.session.request(echo(n, 10)));
        pair.settle();
        assert_eq!(next.done().unwrap(), echo(n, 10), "call {n}");
    }
    assert!(pair.a.ended.is_none() && pair.b.ended.is_none());
}

fn a_message_above_what_the_peer_takes_is_refused_by_itself(subject: Subject) {
    let mut pair = pair_with(subject, Settings { message_max: 4 << 20, ..Settings::default() });
    let at_b = posts(&mut pair.b);
    let refused = pair.a.session.send(&note(1, (4 << 20) + 1));
    assert!(matches!(refused, Err(SendError::TooLarge { .. })), "{refused:?}");
    let call = Task::start(pair.a.session.request(echo(1, (4 << 20) + 1)));
    let refused = call.done();
    assert!(matches!(refused, Err(CallError::NotSent(SendError::TooLarge { .. }))), "{refused:?}");
    pair.a.session.send(&note(2, 1)).unwrap();
    pair.settle();
    assert_eq!(*at_b.lock().unwrap(), [note(2, 1)]);
}

fn a_barrier_stands_behind_what_was_sent(subject: Subject) {
    let mut pair = pair(subject);
    let at_b = posts(&mut pair.b);
    for n in 0..100 {
        pair.a.session.send(&note(n, 100)).unwrap();
    }
    let session = pair.a.session.clone();
    let first = Task::start(async move { session.barrier().await });
    let session = pair.a.session.clone();
    let second = Task::start(async move { session.barrier().await });
    pair.settle();
    assert_eq!(at_b.lock().unwrap().len(), 100);
    assert_eq!((first.done(), second.done()), (Ok(()), Ok(())));
}

fn a_session_that_closes_lets_out_what_it_has_and_ends_the_other(subject: Subject) {
    let mut pair = pair(subject);
    let at_b = posts(&mut pair.b);
    for n in 0..100 {
        pair.a.session.send(&note(n, 1000)).unwrap();
    }
    pair.a.session.close();
    assert!(matches!(pair.a.session.send(&note(0, 0)), Err(SendError::Closed(_))));
    pair.settle();
    assert_eq!(at_b.lock().unwrap().len(), 100);
    if pair.b.ended.is_none() {
        // There is no farewell: the end of the bytes is one.
        assert!(!subject.rich);
        let reason = pair.b.link.protocol.handle_eof();
        pair.b.end(reason);
    }
    let reason = pair.b.ended.as_ref().unwrap();
    assert!(matches!(reason, CloseReason::ByPeer(_)) && reason.is_ordinary(), "{reason}");
}

fn a_peer_that_is_cut_off_ends_all_that_waits(subject: Subject) {
    let mut pair = pair(subject);
    pair.b.blocked = true;
    let call = Task::start(pair.a.session.request(echo(1, 1)));
    let mut up = pair.a.session.open(&Range(1)).unwrap();
    pair.settle();
    // Half a frame, then nothing.
    let input = &mut pair.a.link.input;
    input.extend_from_slice(&[0xd9, 0xd9, 0xf7]).unwrap();
    pair.a.poke();
    pair.settle();
    if pair.a.ended.is_none() {
        let reason = pair.a.link.protocol.handle_eof();
        assert_eq!(reason, CloseReason::Truncated);
        pair.a.end(reason);
    }
    assert!(matches!(call.done(), Err(CallError::Closed { .. })));
    assert!(matches!(now(up.recv()).unwrap(), Err(StreamError::Closed(_))));
}
