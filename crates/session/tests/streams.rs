//! Streams: what goes up and down them, how they end, and what a peer gets that misuses them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use moorline_protocol::limits::{STREAM_WINDOW_DEFAULT, STREAMS_MIN, WINDOW_MIN};
use moorline_protocol::{CloseReason, ErrorCode, Settings};
use moorline_session::{RawStream, SendError, Stream, StreamError};
use support::{Note, OUTBOX, Pair, Range, Swap, Task, echo, encoded, note, now};

type Up = Stream<Note, u64>;
type Down = Stream<u64, Note>;

/// Side b accepts every stream and leaves it to the test.
fn accept_all(pair: &mut Pair) -> Arc<Mutex<Vec<Down>>> {
    let accepted = Arc::<Mutex<Vec<Down>>>::default();
    let keep = Arc::clone(&accepted);
    pair.b.on_open = Box::new(move |stream, _| keep.lock().unwrap().push(stream.accept()));
    accepted
}

/// One open stream, both ends.
fn one(pair: &mut Pair) -> (Up, Down) {
    let accepted = accept_all(pair);
    let up = pair.a.session.open(&Range(3)).unwrap();
    pair.settle();
    let down = accepted.lock().unwrap().pop().expect("the stream has arrived");
    (up, down)
}

fn reset_code(error: &StreamError) -> ErrorCode {
    match error {
        StreamError::Reset { code, .. } => *code,
        other => panic!("{other}"),
    }
}

#[test]
fn messages_go_both_ways_in_order_and_each_way_ends_by_itself() {
    let mut pair = Pair::new();
    let (mut up, mut down) = one(&mut pair);
    for n in 0..100 {
        up.send(&note(n, 100)).unwrap();
        down.send(&n).unwrap();
    }
    up.finish_with(&"all of it".to_owned()).unwrap();
    pair.settle();
    for n in 0..100 {
        assert_eq!(now(down.recv()).unwrap().unwrap(), Some(note(n, 100)));
        assert_eq!(now(up.recv()).unwrap().unwrap(), Some(n));
    }
    assert_eq!(now(down.recv()).unwrap().unwrap(), None);
    assert_eq!(down.trailer::<String>().unwrap().as_deref(), Some("all of it"));
    assert!(now(up.recv()).is_none(), "the other way is open");
    assert_eq!(up.send(&note(0, 0)), Err(SendError::Finished));
    down.send(&7).unwrap();
    down.finish().unwrap();
    pair.settle();
    assert_eq!(now(up.recv()).unwrap().unwrap(), Some(7));
    assert_eq!(now(up.recv()).unwrap().unwrap(), None);
    assert_eq!(up.trailer::<String>().unwrap(), None);
}

#[test]
fn the_listener_opens_streams_as_well() {
    let mut pair = Pair::new();
    let accepted = Arc::<Mutex<Vec<Down>>>::default();
    let keep = Arc::clone(&accepted);
    pair.a.on_open = Box::new(move |stream, _| keep.lock().unwrap().push(stream.accept()));
    let mut up = pair.b.session.open(&Range(1)).unwrap();
    up.send(&note(1, 1)).unwrap();
    pair.settle();
    let mut down = accepted.lock().unwrap().pop().unwrap();
    assert_eq!(now(down.recv()).unwrap().unwrap(), Some(note(1, 1)));
    assert_ne!(up.id() & 1, 0, "numbers of the side that accepted are odd");
}

#[test]
fn a_stream_can_be_rejected_and_nobody_waits() {
    let mut pair = Pair::new();
    pair.b.on_open = Box::new(|stream, _| stream.reject(ErrorCode(42), "no room"));
    let mut up = pair.a.session.open(&Range(1)).unwrap();
    up.send(&note(1, 1)).unwrap();
    pair.settle();
    let error = now(up.recv()).unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the peer reset the stream: application code 42, \"no room\"");
    assert_eq!(up.send(&note(1, 1)), Err(SendError::StreamOver(error)));
    // Nobody there takes it at all.
    pair.b.on_open = Box::new(|stream, _| drop(stream));
    let mut up = pair.a.session.open(&Range(1)).unwrap();
    pair.settle();
    let error = now(up.recv()).unwrap().unwrap_err();
    assert_eq!(reset_code(&error), ErrorCode::UNIMPLEMENTED);
}

#[test]
fn what_is_dropped_in_the_middle_is_reset_and_what_came_before_is_received() {
    let mut pair = Pair::new();
    let (mut up, mut down) = one(&mut pair);
    up.send(&note(1, 10)).unwrap();
    pair.settle();
    drop(up);
    pair.settle();
    assert_eq!(now(down.recv()).unwrap().unwrap(), Some(note(1, 10)));
    let error = now(down.recv()).unwrap().unwrap_err();
    assert_eq!(reset_code(&error), ErrorCode::CANCELLED);
    assert!(matches!(down.send(&1), Err(SendError::StreamOver(_))));
}

#[test]
fn a_finished_sender_may_go_and_everything_still_arrives() {
    let mut pair = Pair::new();
    let (up, mut down) = one(&mut pair);
    let (mut sender, mut receiver) = up.split();
    for n in 0..2_000 {
        sender.send(&note(n, 100)).unwrap();
    }
    sender.finish().unwrap();
    drop(sender);
    let mut count = 0;
    loop {
        pair.settle();
        match now(down.recv()) {
            Some(Ok(Some(note))) => {
                assert_eq!(note.0, count);
                count += 1;
            }
            Some(Ok(None)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(count, 2_000);
    down.send(&5).unwrap();
    down.finish().unwrap();
    drop(down);
    pair.settle();
    assert_eq!(now(receiver.recv()).unwrap().unwrap(), Some(5));
    assert_eq!(now(receiver.recv()).unwrap().unwrap(), None);
}

#[test]
fn a_handler_that_has_said_all_and_goes_stops_a_peer_that_goes_on() {
    let mut pair = Pair::new();
    let (mut up, mut down) = one(&mut pair);
    down.send(&1).unwrap();
    down.finish().unwrap();
    drop(down);
    pair.settle();
    assert_eq!(now(up.recv()).unwrap().unwrap(), Some(1));
    assert_eq!(now(up.recv()).unwrap().unwrap(), None, "its end came before its reset");
    let error = up.send(&note(1, 1)).unwrap_err();
    assert!(matches!(error, SendError::StreamOver(_)), "{error}");
}

#[test]
fn who_does_not_read_is_not_sent_more_than_a_window_and_stops_nobody_else() {
    let mut pair = Pair::new();
    let (mut lazy, mut unread) = one(&mut pair);
    let (mut busy, mut read) = one(&mut pair);
    let sent = (0..).take_while(|&n| lazy.send(&note(n, 5_000)).is_ok()).count();
    pair.settle();
    let (queued, window) = (pair.a.session.queued_bytes(), STREAM_WINDOW_DEFAULT);
    assert!(queued as u64 > sent as u64 * 5_000 - window, "{queued} of {sent} messages wait");
    busy.send(&note(1, 5_000)).unwrap();
    let call = Task::start(pair.a.session.request(echo(1, 10)));
    pair.settle();
    assert_eq!(now(read.recv()).unwrap().unwrap(), Some(note(1, 5_000)));
    call.done().unwrap();
    for n in 0..sent {
        pair.settle();
        assert_eq!(now(unread.recv()).unwrap().unwrap().unwrap().0, n as u64);
    }
    pair.settle();
    assert_eq!(pair.a.session.queued_bytes(), 0);
}

#[test]
fn who_waits_for_room_on_a_stream_is_woken() {
    let mut pair = Pair::new();
    let (mut up, mut down) = one(&mut pair);
    while up.send(&note(1, 10_000)).is_ok() {}
    let mut patient = Task::start(async move {
        up.send_wait(&note(2, 10_000)).await.unwrap();
        up
    });
    pair.settle();
    assert!(!patient.look(), "the window is full");
    while now(down.recv()).is_some() {
        pair.settle();
        if patient.look() {
            return;
        }
    }
    panic!("never woken");
}

#[test]
fn a_message_larger_than_the_window_arrives_while_both_sides_send_one() {
    let settings = Settings { stream_window: WINDOW_MIN, ..Settings::default() };
    let mut pair = Pair::with(settings, OUTBOX);
    let accepted = Arc::<Mutex<Vec<Stream<Note, Note>>>>::default();
    let keep = Arc::clone(&accepted);
    pair.b.on_open = Box::new(move |stream, _| keep.lock().unwrap().push(stream.accept()));
    let mut up = pair.a.session.open(&Swap).unwrap();
    pair.settle();
    let mut down = accepted.lock().unwrap().pop().unwrap();
    for n in 0..3 {
        up.send(&note(n, 300_000)).unwrap();
        down.send(&note(n, 310_000)).unwrap();
        pair.settle();
    }
    for n in 0..3 {
        pair.settle();
        assert_eq!(now(down.recv()).unwrap().unwrap(), Some(note(n, 300_000)));
        assert_eq!(now(up.recv()).unwrap().unwrap(), Some(note(n, 310_000)));
    }
}

#[test]
fn long_messages_of_many_streams_do_not_get_mixed_up_and_full_windows_do_not_lock() {
    let settings = Settings { stream_window: WINDOW_MIN, ..Settings::default() };
    let mut pair = Pair::with(settings, OUTBOX);
    let accepted = accept_all(&mut pair);
    let mut ups: Vec<Up> = (0..8).map(|n| pair.a.session.open(&Range(n)).unwrap()).collect();
    for (n, up) in ups.iter_mut().enumerate() {
        for k in 0..3_u64 {
            up.send(&note(n as u64, 40_000 + usize::try_from(k).unwrap() * 100_000)).unwrap();
        }
    }
    pair.settle();
    let mut downs = std::mem::take(&mut *accepted.lock().unwrap());
    assert_eq!(downs.len(), 8);
    // The last ones are read first.
    for (n, down) in downs.iter_mut().enumerate().rev() {
        for k in 0..3 {
            pair.settle();
            let received = now(down.recv()).unwrap_or_else(|| panic!("{n} {k}"));
            assert_eq!(received.unwrap(), Some(note(n as u64, 40_000 + k * 100_000)));
        }
    }
}

/// The pieces of one lane have one number: who does not read must not keep it.
#[test]
fn long_messages_that_nobody_reads_are_in_nobodys_way() {
    for len in (100_000..400_000).step_by(7_000) {
        let settings = Settings { stream_window: WINDOW_MIN, ..Settings::default() };
        let mut pair = Pair::with(settings, OUTBOX);
        let (mut lazy, _unread) = one(&mut pair);
        let (mut busy, mut read) = one(&mut pair);
        lazy.send(&note(0, len)).unwrap();
        lazy.send(&note(1, len)).unwrap();
        pair.settle();
        busy.send(&note(2, 60_000)).unwrap();
        pair.settle();
        let received = now(read.recv()).unwrap_or_else(|| panic!("held up by {len} bytes"));
        assert_eq!(received.unwrap(), Some(note(2, 60_000)));
    }
}

#[test]
fn a_stream_reset_in_the_middle_of_a_long_message_leaves_the_way_free() {
    let settings = Settings { stream_window: WINDOW_MIN, ..Settings::default() };
    let mut pair = Pair::with(settings, OUTBOX);
    let (mut first, mut blocked) = one(&mut pair);
    let (mut second, mut other) = one(&mut pair);
    // Enough that is not read, so that the long one stands still in the middle.
    first.send(&note(0, 30_000)).unwrap();
    first.send(&note(1, 800_000)).unwrap();
    second.send(&note(2, 50_000)).unwrap();
    pair.a.wake(pair.now);
    first.reset(ErrorCode(9), "never mind");
    pair.settle();
    assert_eq!(now(other.recv()).unwrap().unwrap(), Some(note(2, 50_000)));
    while let Some(Ok(Some(_))) = now(blocked.recv()) {}
    assert_eq!(reset_code(&now(blocked.recv()).unwrap().unwrap_err()), ErrorCode(9));
    let (mut third, mut fresh) = one(&mut pair);
    third.send(&note(3, 100_000)).unwrap();
    pair.settle();
    assert_eq!(now(fresh.recv()).unwrap().unwrap(), Some(note(3, 100_000)));
}

#[test]
fn an_acknowledgement_says_that_the_application_has_it() {
    let mut pair = Pair::new();
    let (mut up, mut down) = one(&mut pair);
    let mut acked = Task::start(async move {
        up.send(&note(0, 1)).unwrap();
        let result = up.send_acked(&note(1, 1)).await;
        (up, result)
    });
    pair.settle();
    assert!(!acked.look(), "it has arrived, and nobody has taken it");
    assert_eq!(now(down.recv()).unwrap().unwrap(), Some(note(0, 1)));
    pair.settle();
    assert!(!acked.look());
    assert_eq!(now(down.recv()).unwrap().unwrap(), Some(note(1, 1)));
    pair.settle();
    let (mut up, result) = acked.done();
    result.unwrap();
    let acked = Task::start(async move { up.send_acked(&note(2, 1)).await });
    pair.settle();
    drop(down);
    pair.settle();
    assert!(matches!(acked.done(), Err(SendError::StreamOver(_))), "nobody will ever take it");
}

#[test]
fn bytes_of_a_raw_stream_arrive_as_they_were_written() {
    let mut pair = Pair::new();
    let accepted = Arc::<Mutex<Vec<RawStream>>>::default();
    let keep = Arc::clone(&accepted);
    pair.b.on_open = Box::new(move |stream, name| {
        assert_eq!(name, b"upload");
        keep.lock().unwrap().push(stream.accept_raw());
    });
    let mut raw = pair.a.session.open_raw("upload").unwrap();
    let bytes: Vec<u8> = (0..400_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (mut at, mut received) = (0, Vec::new());
    let cx = &mut Context::from_waker(Waker::noop());
    while received.len() < bytes.len() {
        while at < bytes.len()
            && let Poll::Ready(n) = raw.poll_write(cx, &bytes[at..])
        {
            at += n.unwrap();
        }
        if at == bytes.len() {
            let _ = raw.finish();
        }
        pair.settle();
        let mut accepted = accepted.lock().unwrap();
        let mut buffer = [0; 777];
        while let Poll::Ready(Ok(n @ 1..)) = accepted[0].poll_read(cx, &mut buffer) {
            received.extend_from_slice(&buffer[..n]);
        }
    }
    assert!(received == bytes);
    pair.settle();
    let mut accepted = accepted.lock().unwrap();
    assert!(matches!(accepted[0].poll_read(cx, &mut [0; 8]), Poll::Ready(Ok(0))));
    assert!(matches!(raw.poll_write(cx, b"x"), Poll::Ready(Err(SendError::Finished))));
    assert!(pair.a.session.open_raw(&"x".repeat(257)).is_err());
}

#[test]
fn streams_are_counted_until_they_are_over() {
    let settings = Settings { streams_max: STREAMS_MIN, ..Settings::default() };
    let mut pair = Pair::with(settings, OUTBOX);
    let accepted = accept_all(&mut pair);
    for _ in 0..5 {
        let mut ups: Vec<Up> =
            (0..STREAMS_MIN).map(|n| pair.a.session.open(&Range(n.into())).unwrap()).collect();
        let full = pair.a.session.open(&Range(9)).unwrap_err();
        assert_eq!(full, SendError::Streams { limit: STREAMS_MIN });
        pair.settle();
        for (up, down) in ups.iter_mut().zip(accepted.lock().unwrap().drain(..)) {
            let mut down = down;
            up.finish().unwrap();
            down.finish().unwrap();
            pair.settle();
        }
    }
    assert!(pair.a.ended.is_none() && pair.b.ended.is_none());
}

#[test]
fn the_end_of_a_session_is_the_end_of_its_streams() {
    let mut pair = Pair::new();
    let (mut up, mut down) = one(&mut pair);
    up.send(&note(1, 1)).unwrap();
    let waiting = Task::start(async move { up.recv().await });
    pair.settle();
    pair.a.session.close();
    pair.settle();
    assert!(matches!(waiting.done(), Err(StreamError::Closed(CloseReason::ByUs(_)))));
    assert_eq!(now(down.recv()).unwrap().unwrap(), Some(note(1, 1)), "it had come");
    assert!(matches!(now(down.recv()).unwrap(), Err(StreamError::Closed(CloseReason::ByPeer(_)))));
    assert!(down.send(&1).is_err());
}

#[test]
fn what_the_application_keeps_with_a_session_or_a_stream_stays_with_it() {
    let mut pair = Pair::new();
    let (up, _down) = one(&mut pair);
    up.attach(7_u32).unwrap();
    assert_eq!(up.attach(8_u32), Err(8));
    assert_eq!(up.attached::<u32>(), Some(&7));
    assert_eq!(up.attached::<u64>(), None);
    pair.a.session.attach("ada".to_owned()).unwrap();
    assert_eq!(pair.a.session.clone().attached::<String>().unwrap(), "ada");
}

#[test]
fn a_barrier_waits_for_streams_as_well() {
    let mut pair = Pair::new();
    let (mut up, mut down) = one(&mut pair);
    while up.send(&note(1, 10_000)).is_ok() {}
    let session = pair.a.session.clone();
    let mut barrier = Task::start(async move { session.barrier().await });
    pair.settle();
    assert!(!barrier.look(), "part of it waits for credit");
    while now(down.recv()).is_some() {
        pair.settle();
    }
    barrier.done().unwrap();
}

/// What leaves before a small request when megabytes of something else wait.
fn blocks_before_a_request(pair: &mut Pair) -> usize {
    const MARK: u64 = 0x1122_3344_5566_7788;
    assert!(pair.a.session.queued_bytes() > 4 << 20, "{}", pair.a.session.queued_bytes());
    let _call = Task::start(pair.a.session.request(echo(MARK, 40)));
    let mark = MARK.to_be_bytes();
    (0..)
        .find(|_| {
            let block = pair.a.writer.take_block().unwrap().expect("the request is in one of them");
            block.bytes().windows(8).any(|bytes| bytes == mark)
        })
        .expect("the search goes on for ever, or has found it")
}

//= docs/PROTOCOL.md#8
#[test]
fn a_small_request_waits_for_nothing_but_what_is_sealed_already() {
    let filled: [fn(&mut Pair); 4] = [
        |pair| (0..12).for_each(|n| pair.a.session.send(&note(n, 1 << 20)).unwrap()),
        |pair| {
            for n in 0..12 {
                std::mem::forget(Task::start(pair.a.session.request(echo(n, 1 << 20))));
            }
        },
        |pair| {
            for n in 0..12 {
                let mut up: Up = pair.a.session.open(&Range(n)).unwrap();
                up.send(&note(n, 1 << 20)).unwrap();
                std::mem::forget(up);
            }
        },
        |pair| {
            pair.a.on_request = Box::new(|core, ticket, _| {
                core.answer(ticket, moorline_session::Answer::Good(&encoded(&echo(0, 1 << 20))))
            });
            for n in 0..12 {
                let priority = u8::try_from(n % 2).unwrap();
                let call = pair.b.session.request(echo(n, 1)).priority(priority);
                std::mem::forget(Task::start(call));
            }
        },
    ];
    for (case, fill) in filled.into_iter().enumerate() {
        let mut pair = Pair::with(Settings::default(), 64 << 20);
        pair.settle();
        pair.a.blocked = true;
        fill(&mut pair);
        pair.settle();
        let before = blocks_before_a_request(&mut pair);
        assert!(before <= 2, "case {case}: {before} blocks go first");
    }
}
