//! What a peer gets that misuses streams, and what an application gets that does not read them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::{Arc, Mutex};

use moorline_protocol::limits::WINDOW_MIN;
use moorline_protocol::{Body, CloseReason, ErrorCode, Frame, Meta, Opening, Settings};
use moorline_session::{SendError, Stream, StreamError};
use support::{Note, OUTBOX, Pair, Range, Script, encoded, kind_of, note, now};

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

/// Each stream may hold a window and two long messages, so only a sum bounds what one peer can put
/// into the memory of an application that reads none of them.
#[test]
fn what_nobody_reads_is_bounded_over_all_streams_together() {
    let settings = Settings { message_max: 100_000, ..Settings::default() };
    let limit = 8 * settings.message_max;
    let mut pair = Pair::with(settings, OUTBOX);
    let accepted = accept_all(&mut pair);
    let mut ups: Vec<Up> = (0..20).map(|n| pair.a.session.open(&Range(n)).unwrap()).collect();
    for (n, up) in ups.iter_mut().enumerate() {
        up.send(&note(n as u64, 90_000)).unwrap();
        pair.settle();
    }
    let mut downs = std::mem::take(&mut *accepted.lock().unwrap());
    for (n, (up, down)) in ups.iter_mut().zip(&mut downs).enumerate() {
        let received = now(down.recv()).expect("a message, or the reason why there is none");
        // Each of them takes a buffer of 128 KiB.
        if n < 6 {
            assert_eq!(received.unwrap(), Some(note(n as u64, 90_000)));
            up.send(&note(7, 90_000)).unwrap();
            pair.settle();
            assert_eq!(now(down.recv()).unwrap().unwrap(), Some(note(7, 90_000)), "room again");
        } else {
            let here = received.unwrap_err();
            assert_eq!(reset_code(&here), ErrorCode::OVERLOADED);
            let says = [format!("the limit is {limit}"), "message_max".to_owned()];
            assert!(says.iter().all(|part| here.to_string().contains(part)), "{here}");
            let SendError::StreamOver(there) = up.send(&note(0, 1)).unwrap_err() else { panic!() };
            assert_eq!(reset_code(&there), ErrorCode::OVERLOADED);
        }
    }
    assert!(pair.a.ended.is_none() && pair.b.ended.is_none());
    // What is thrown away unread makes room as well.
    drop((ups, downs));
    pair.settle();
    let (mut up, mut down) = one(&mut pair);
    up.send(&note(1, 90_000)).unwrap();
    pair.settle();
    assert_eq!(now(down.recv()).unwrap().unwrap(), Some(note(1, 90_000)));
}

fn open(stream: u32) -> Frame<'static> {
    let opening = Opening::Typed { kind: kind_of::<Range>(), body: Body::Borrowed(b"\x91\x03") };
    Frame::Open { stream, opening, credit: WINDOW_MIN, meta: Meta::default() }
}

fn data(stream: u32, body: &[u8]) -> Frame<'_> {
    Frame::Data { stream, body: Body::Borrowed(body), acknowledge: false }
}

fn end(stream: u32) -> Frame<'static> {
    Frame::End { stream, trailer: Body::EMPTY }
}

/// A session that keeps what the script opens.
fn keeping() -> (Script, Arc<Mutex<Vec<Down>>>) {
    let mut script = Script::new();
    let kept = Arc::<Mutex<Vec<Down>>>::default();
    let keep = Arc::clone(&kept);
    script.side.on_open = Box::new(move |stream, _| keep.lock().unwrap().push(stream.accept()));
    (script, kept)
}

fn closes_with(frames: &[Frame<'_>], code: ErrorCode, rule: &str) {
    let (mut script, _kept) = keeping();
    script.say(&[open(2)]);
    script.say(frames);
    let CloseReason::Violation(violation) = script.ended() else { panic!("{}", script.ended()) };
    assert_eq!((violation.code, violation.rule), (code, rule));
}

#[test]
fn numbers_that_cannot_be_end_the_session() {
    let never = "a stream that was never opened";
    closes_with(&[open(3)], ErrorCode::PROTOCOL, "OPEN with a number that is not the sender's");
    closes_with(&[open(2)], ErrorCode::PROTOCOL, "OPEN with a number that was used before");
    closes_with(&[data(4, b"\xc0")], ErrorCode::PROTOCOL, never);
    closes_with(&[data(3, b"\xc0")], ErrorCode::PROTOCOL, never);
    closes_with(&[end(6)], ErrorCode::PROTOCOL, never);
    closes_with(&[Frame::Ack { stream: 8, count: 0 }], ErrorCode::PROTOCOL, never);
    let reset = Frame::Reset { stream: 10, code: ErrorCode(1), message: "".into() };
    closes_with(&[reset], ErrorCode::PROTOCOL, never);
    closes_with(&[end(2), data(2, b"\xc0")], ErrorCode::PROTOCOL, "DATA behind END");
    closes_with(&[end(2), end(2)], ErrorCode::PROTOCOL, "a second END");
    let ack = Frame::Ack { stream: 2, count: 1 };
    closes_with(&[ack], ErrorCode::PROTOCOL, "ACK of what was never sent");
    let frames: Vec<_> = (2..=200).map(|n| open(2 * n)).collect();
    closes_with(&frames, ErrorCode::FLOW, "more streams than may be open");
}

#[test]
fn what_comes_late_for_a_stream_that_is_over_is_ignored() {
    let (mut script, kept) = keeping();
    script.say(&[open(2)]);
    kept.lock().unwrap().clear();
    script.settle();
    assert_eq!(std::mem::take(&mut script.heard), ["reset 2 -1"]);
    let reset = Frame::Reset { stream: 2, code: ErrorCode(1), message: "".into() };
    let ack = Frame::Ack { stream: 2, count: 7 };
    let credit = Frame::Credit { stream: 2, total: u64::MAX };
    let heard = script.say(&[data(2, b"\xc0"), end(2), ack, credit, reset]);
    assert!(heard.is_empty(), "{heard:?}");
    assert!(script.side.ended.is_none());
}

#[test]
fn more_than_the_window_resets_the_stream_alone() {
    let (mut script, kept) = keeping();
    script.say(&[open(2), open(4)]);
    let body = encoded(&note(1, 10_000));
    let heard: Vec<_> = (0..40).flat_map(|_| script.say(&[data(2, &body)])).collect();
    assert_eq!(heard, [format!("reset 2 {}", ErrorCode::FLOW.0)]);
    assert!(script.say(&[data(4, &body)]).is_empty());
    let mut kept = kept.lock().unwrap();
    assert_eq!(now(kept[1].recv()).unwrap().unwrap(), Some(note(1, 10_000)));
    let huge = Frame::Credit { stream: 4, total: 1 << 40 };
    assert_eq!(script.say(&[huge]), [format!("reset 4 {}", ErrorCode::FLOW.0)]);
}

#[test]
fn a_message_above_the_limit_resets_the_stream_and_says_the_numbers() {
    let settings = Settings { message_max: WINDOW_MIN, ..Settings::default() };
    let mut script = Script::with(settings);
    let kept = Arc::<Mutex<Vec<Down>>>::default();
    let keep = Arc::clone(&kept);
    script.side.on_open = Box::new(move |stream, _| keep.lock().unwrap().push(stream.accept()));
    script.say(&[open(2)]);
    let body = encoded(&note(1, 70_000));
    assert_eq!(script.say(&[data(2, &body)]), [format!("reset 2 {}", ErrorCode::TOO_LARGE.0)]);
    let error = now(kept.lock().unwrap()[0].recv()).unwrap().unwrap_err();
    assert!(error.to_string().contains("the limit is 65536"), "{error}");
}

#[test]
fn opening_and_resetting_in_a_hurry_ends_the_session() {
    let (mut script, kept) = keeping();
    for n in 1..2_000 {
        let reset = Frame::Reset { stream: 2 * n, code: ErrorCode(1), message: "".into() };
        script.say(&[open(2 * n), reset]);
        kept.lock().unwrap().clear();
        if let Some(CloseReason::Violation(violation)) = &script.side.ended {
            assert_eq!(violation.code, ErrorCode::CALM);
            assert!(n > 1_000, "after {n}");
            return;
        }
    }
    panic!("it went on for ever");
}

#[test]
fn a_body_that_is_no_value_of_the_type_resets_the_stream() {
    let (mut script, kept) = keeping();
    let good = encoded(&note(5, 1));
    script.say(&[open(2), data(2, b"\xa3abc"), data(2, &good)]);
    let mut kept = kept.lock().unwrap();
    assert_eq!(now(kept[0].recv()).unwrap(), Err(StreamError::Decode));
    script.settle();
    assert_eq!(script.heard, [format!("reset 2 {}", ErrorCode::DECODE.0)]);
    assert_eq!(now(kept[0].recv()).unwrap().unwrap(), Some(note(5, 1)), "it had come");
}
