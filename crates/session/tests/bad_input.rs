//! Bad input, row by row: what PROTOCOL 6 and 9 say a peer gets. Here stand the rows that no other file
//! has; the others are
//!
//! | row | test |
//! |---|---|
//! | live id | `hostile.rs`: `a_request_on_a_live_number_ends_the_session`; `streams.rs`: `numbers_that_cannot_be_end_the_session` |
//! | vacant id | `hostile.rs`: `an_answer_to_a_request_never_asked_ends_the_session`, `a_request_answered_twice_..`, `an_answer_to_a_request_that_has_not_left_..` |
//! | late id | `streams.rs`: `what_comes_late_for_a_stream_that_is_over_is_ignored`; `hostile.rs`: `a_cancel_of_what_is_over_or_never_was_is_ignored` |
//! | too high id | `hostile.rs`: `a_number_at_or_above_the_limit_ends_the_session`; `streams.rs`: `numbers_that_cannot_be_..` |
//! | credit overflow | `hostile.rs`: `more_than_the_credit_ends_the_session`; `streams.rs`: `more_than_the_window_resets_the_stream_alone`; `lanes.rs`: `a_window_that_pieces_exceed_takes_nobody_down` |
//! | window above 2^31 | of a stream `streams.rs`: `more_than_the_window_..`; of the session and of OPEN here |
//! | fragment totals | `moorline-protocol`: `hostile/fragments.rs`; of DATA `streams.rs`: `a_message_above_the_limit_..` |
//! | rapid cancel | `hostile.rs`: `cancelling_rapidly_ends_the_session_though_each_call_ends`; its numbers here |
//! | made-you-reset | `lanes.rs`: `a_peer_that_makes_us_reset_by_..` |
//! | errors pile up unread | `hostile.rs`: `errors_do_not_pile_up_for_a_peer_that_never_reads` |
//! | answers unread, unclaimed | `hostile.rs`: `unread_answers_above_their_limit_..`, `answers_nobody_takes_fail_their_calls_above_a_limit` |
//! | handlers holding bytes | `hostile.rs`: `handlers_that_hold_much_refuse_new_requests` |
//! | DICT flood | `moorline-protocol`: `hostile/units.rs`: `more_types_than_there_may_be_are_flow` |
//! | tiny frames | `credit.rs`: `tiny_messages_are_bounded_by_their_surcharge_..`; on a stream here |
//! | ping flood | here; `hostile.rs`: `pings_are_answered_by_the_youngest_..` |
//! | reserved units | `moorline-protocol`: `hostile/units.rs`: `what_comes_from_a_later_version_..` |
//! | metadata from 64 up, below | `hostile.rs`: `unknown_metadata_that_matters_..`; `moorline-protocol`: `golden.rs` |
//! | body refused | `moorline`: `hostile_peer.rs`: `a_body_that_is_refused_costs_one_message`; DATA here |

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_protocol::limits::WINDOW_MIN;
use moorline_protocol::{Body, CloseReason, ErrorCode, Frame, Meta, Opening};
use moorline_session::limits::{CALM_BURST, CALM_PER_SECOND};
use moorline_session::{Stream, StreamError};
use support::{Echo, Note, Range, Script, Task, echo, encoded, kind_of, note, now};

type Down = Stream<u64, Note>;

fn open(stream: u32, credit: u64) -> Frame<'static> {
    let opening = Opening::Typed { kind: kind_of::<Range>(), body: Body::Borrowed(b"\x91\x03") };
    Frame::Open { stream, opening, credit, meta: Meta::default() }
}

fn data(stream: u32, body: &[u8]) -> Frame<'_> {
    Frame::Data { stream, body: Body::Borrowed(body), acknowledge: false }
}

fn keeping() -> (Script, Arc<Mutex<Vec<Down>>>) {
    let mut script = Script::new();
    let kept = Arc::<Mutex<Vec<Down>>>::default();
    let keep = Arc::clone(&kept);
    script.side.on_open = Box::new(move |stream, _| keep.lock().unwrap().push(stream.accept()));
    (script, kept)
}

fn code(script: &Script) -> ErrorCode {
    match script.ended() {
        CloseReason::Violation(violation) => violation.code,
        other => panic!("{other}"),
    }
}

#[test]
fn a_window_of_the_session_above_two_to_the_31_ends_it() {
    let mut script = Script::new();
    script.say(&[Frame::Credit { stream: 0, total: 1 << 31 }]);
    assert!(script.side.ended.is_none(), "the largest there may be");
    script.say(&[Frame::Credit { stream: 0, total: (1 << 31) + 1 }]);
    assert_eq!(code(&script), ErrorCode::FLOW);
}

#[test]
fn a_window_in_open_above_two_to_the_31_ends_the_session() {
    let (mut script, _kept) = keeping();
    script.say(&[open(2, 1 << 31)]);
    assert!(script.side.ended.is_none());
    script.say(&[open(4, (1 << 31) + 1)]);
    assert_eq!(code(&script), ErrorCode::FLOW);
}

/// So many cancels in a row are taken, and one more is not.
fn takes_cancels(script: &mut Script, count: u32) {
    for at in 0..count {
        script.say(&[Frame::Cancel { id: 1 }]);
        assert!(script.side.ended.is_none(), "after {at}");
    }
}

#[test]
fn patience_is_a_thousand_and_33_a_second_and_one_for_each_call_that_ends_well() {
    assert_eq!((CALM_BURST, CALM_PER_SECOND), (1_000, 33));
    let mut script = Script::new();
    takes_cancels(&mut script, 1_000);
    script.now += Duration::from_secs(3);
    takes_cancels(&mut script, 99);
    let (kind, meta) = (kind_of::<Echo>(), Meta::default());
    let request =
        |id| Frame::Request { id, kind, meta: meta.clone(), body: Body::Borrowed(b"\xc0") };
    assert_eq!(script.say(&[request(1), request(2)]).len(), 2);
    takes_cancels(&mut script, 2);
    script.say(&[Frame::Cancel { id: 1 }]);
    assert_eq!(code(&script), ErrorCode::CALM);
}

#[test]
fn tiny_messages_on_a_stream_are_bounded_by_their_surcharge() {
    let (mut script, kept) = keeping();
    script.say(&[open(2, WINDOW_MIN)]);
    let heard: Vec<_> = (0..9_000).map(|_| data(2, b"")).collect();
    // 256 KiB by 35 bytes: fewer than 7,500 of them.
    assert_eq!(script.say(&heard), [format!("reset 2 {}", ErrorCode::FLOW.0)]);
    let mut read = 0;
    while matches!(now(kept.lock().unwrap()[0].recv()), Some(Err(StreamError::Decode))) {
        read += 1;
    }
    assert!((7_000..7_500).contains(&read), "{read}");
}

#[test]
fn a_flood_of_pings_leaves_one_answer() {
    let mut script = Script::new();
    script.side.blocked = true;
    for nonce in 1..=5_000 {
        script.say(&[Frame::Ping { nonce }]);
    }
    assert_eq!(script.side.session.queued_bytes(), 0, "nothing piles up");
    script.side.unblock();
    script.settle();
    assert_eq!(script.heard, ["pong 5000"]);
}

#[test]
fn words_about_streams_do_not_pile_up_for_a_peer_that_never_reads() {
    let (mut script, kept) = keeping();
    script.say(&[open(2, WINDOW_MIN)]);
    script.side.blocked = true;
    let body = encoded(&note(1, 1_000));
    for _ in 0..200 {
        script.say(&[Frame::Data { stream: 2, body: Body::Borrowed(&body), acknowledge: true }]);
        assert!(matches!(now(kept.lock().unwrap()[0].recv()), Some(Ok(Some(_)))));
    }
    assert_eq!(script.side.session.queued_bytes(), 0);
    script.side.unblock();
    script.settle();
    let words = std::mem::take(&mut script.heard);
    assert_eq!(
        words.iter().filter(|word| word.starts_with("ack")).collect::<Vec<_>>(),
        ["ack 2 200"]
    );
    assert_eq!(words.iter().filter(|word| word.starts_with("credit 2 ")).count(), 1, "{words:?}");
}

#[test]
fn a_body_of_data_that_is_no_value_resets_its_stream_once() {
    let (mut script, kept) = keeping();
    // Nested beyond 32, cut short, and no MessagePack at all.
    let deep = [0x91; 40];
    script.say(&[open(2, WINDOW_MIN), data(2, &deep), data(2, b"\x92\x01"), data(2, b"\xc1")]);
    for _ in 0..3 {
        assert_eq!(now(kept.lock().unwrap()[0].recv()), Some(Err(StreamError::Decode)));
    }
    script.settle();
    assert_eq!(script.heard, [format!("reset 2 {}", ErrorCode::DECODE.0)]);
    assert!(script.side.ended.is_none());
}

#[test]
fn a_body_of_a_response_that_is_no_value_fails_that_call() {
    let mut script = Script::new();
    let call = Task::start(script.side.session.request(echo(1, 3)));
    script.side.unblock();
    script.settle();
    script.say(&[Frame::Response { id: 0, body: Body::Borrowed(b"\x91") }]);
    assert!(matches!(call.done(), Err(moorline_session::CallError::Decode)));
    assert!(script.side.ended.is_none());
}

#[test]
fn a_trailer_that_is_no_value_is_told_to_who_asks_and_to_the_peer() {
    let (mut script, kept) = keeping();
    script.say(&[open(2, WINDOW_MIN), Frame::End { stream: 2, trailer: Body::Borrowed(b"\x91") }]);
    let mut kept = kept.lock().unwrap();
    assert_eq!(now(kept[0].recv()), Some(Ok(None)));
    assert_eq!(kept[0].trailer::<u64>(), Err(StreamError::Decode));
    script.settle();
    assert_eq!(script.heard, [format!("reset 2 {}", ErrorCode::DECODE.0)]);
}
