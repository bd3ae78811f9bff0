//! Who may send when, and who waits for what, as an application and a hostile peer find out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_protocol::limits::WINDOW_MIN;
use moorline_protocol::{Body, CloseReason, ErrorCode, Frame, Meta, Opening, Settings};
use moorline_session::Stream;
use support::{Note, Pair, Range, Script, Task, encoded, kind_of, note};

type Up = Stream<Note, u64>;
type Down = Stream<u64, Note>;

/// Does something that must come to an end, in a thread of its own: what spins cannot be stopped.
fn comes_to_an_end(work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    match ended.recv_timeout(Duration::from_secs(60)) {
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => thread.join().unwrap(),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it spins"),
    }
}

fn one(pair: &mut Pair) -> (Up, Down) {
    let accepted = Arc::<Mutex<Vec<Down>>>::default();
    let keep = Arc::clone(&accepted);
    pair.b.on_open = Box::new(move |stream, _| keep.lock().unwrap().push(stream.accept()));
    let up = pair.a.session.open(&Range(3)).unwrap();
    pair.settle();
    let down = accepted.lock().unwrap().pop().expect("the stream has arrived");
    (up, down)
}

#[test]
fn a_stream_can_be_finished_however_much_waits_on_it() {
    let mut pair = Pair::new();
    let (mut up, mut down) = one(&mut pair);
    up.send(&note(1, 3_000_000)).unwrap();
    up.finish().unwrap();
    drop(up);
    let received = Task::start(async move { (down.recv().await, down.recv().await, down) });
    pair.settle();
    let (first, end, _down) = received.done();
    assert_eq!(first.unwrap(), Some(note(1, 3_000_000)));
    assert_eq!(end.unwrap(), None);
}

#[test]
fn who_waits_to_send_much_on_a_stream_sleeps_until_it_fits() {
    comes_to_an_end(|| {
        let mut pair = Pair::new();
        let (mut up, _down) = one(&mut pair);
        pair.a.blocked = true;
        up.send(&note(1, 600_000)).unwrap();
        let mut waiting = Task::start(async move { (up.send_wait(&note(2, 900_000)).await, up) });
        pair.settle();
        assert!(!waiting.look());
        pair.a.unblock();
        pair.settle();
        waiting.done().0.unwrap();
    });
}

#[test]
fn who_waits_to_post_much_sleeps_until_it_fits() {
    comes_to_an_end(|| {
        let mut pair = Pair::with(Settings::default(), 100_000);
        pair.a.blocked = true;
        pair.a.session.send(&note(1, 60_000)).unwrap();
        let session = pair.a.session.clone();
        let large = Task::start(async move { session.send_wait(&note(2, 90_000)).await });
        let session = pair.a.session.clone();
        let small = Task::start(async move { session.send_wait(&note(3, 10)).await });
        small.done().unwrap();
        let mut large = large;
        pair.settle();
        assert!(!large.look());
        pair.a.unblock();
        pair.settle();
        large.done().unwrap();
    });
}

#[test]
fn streams_of_all_lanes_are_opened_in_the_order_of_their_numbers() {
    let mut pair = Pair::new();
    let accepted = Arc::<Mutex<Vec<Down>>>::default();
    let keep = Arc::clone(&accepted);
    pair.b.on_open = Box::new(move |stream, _| keep.lock().unwrap().push(stream.accept()));
    let open = |priority| pair.a.session.open_with_priority(priority, &Range(1)).unwrap();
    let _streams: Vec<Up> = [0, 4, 7, 4, 0].into_iter().map(open).collect();
    pair.settle();
    assert!(pair.a.ended.is_none(), "{:?}", pair.a.ended);
    let numbers: Vec<_> = accepted.lock().unwrap().iter().map(Stream::id).collect();
    assert_eq!(numbers, [2, 4, 6, 8, 10]);
}

// ---- a peer that misuses them --------------------------------------------------------------

fn open(stream: u32) -> Frame<'static> {
    let opening = Opening::Typed { kind: kind_of::<Range>(), body: Body::Borrowed(b"\x91\x03") };
    Frame::Open { stream, opening, credit: WINDOW_MIN, meta: Meta::default() }
}

fn data(stream: u32, body: &[u8]) -> Frame<'_> {
    Frame::Data { stream, body: Body::Borrowed(body), acknowledge: false }
}

fn keeping(settings: Settings) -> (Script, Arc<Mutex<Vec<Down>>>) {
    let mut script = Script::with(settings);
    let kept = Arc::<Mutex<Vec<Down>>>::default();
    let keep = Arc::clone(&kept);
    script.side.on_open = Box::new(move |stream, _| keep.lock().unwrap().push(stream.accept()));
    (script, kept)
}

#[test]
fn a_window_that_pieces_exceed_takes_nobody_down() {
    let (mut script, kept) = keeping(Settings::default());
    script.say(&[open(2)]);
    let body = encoded(&note(1, 400_000));
    // All at once: there is no turn in between to tell the peer of more credit.
    assert_eq!(script.say(&[data(2, &body)]), [format!("reset 2 {}", ErrorCode::FLOW.0)]);
    kept.lock().unwrap().clear();
    script.settle();
    assert!(script.side.ended.is_none());
}

/// Opens streams one after the other and misuses each, until patience ends.
fn tries_patience(settings: Settings, misuse: impl Fn(u32) -> Frame<'static>) {
    let (mut script, kept) = keeping(settings);
    for n in 1..2_000 {
        script.say(&[open(2 * n), misuse(2 * n)]);
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
fn a_peer_that_makes_us_reset_by_windows_too_large_tries_our_patience() {
    tries_patience(Settings::default(), |stream| Frame::Credit { stream, total: 1 << 40 });
}

#[test]
fn a_peer_that_makes_us_reset_by_sending_too_much_tries_our_patience() {
    const BODY: &[u8] = &[0; 64 * 1024 + 1];
    let settings = Settings { stream_window: WINDOW_MIN, ..Settings::default() };
    tries_patience(settings, |stream| data(stream, BODY));
}

#[test]
fn what_counts_as_short_is_one_unit_whatever_travels_beside_it() {
    let [link, _other] = support::links([Settings::default(); 2], std::time::Instant::now());
    let opened = link.opened.as_ref().unwrap();
    let meta = Meta {
        deadline: Some(Duration::MAX),
        priority: Some(7),
        idempotent: true,
        attempt: u32::MAX,
        trace: Some(Box::new([1; 25])),
        idempotency_key: Some(Box::new([2; 16])),
        codec: u8::MAX,
        overflow: moorline_protocol::Overflow::Close,
        unsupported: None,
    };
    let unit_max = opened.block_max.min(moorline_protocol::limits::UNIT_MAX);
    let body = vec![0; unit_max - moorline_session::limits::UNIT_HEAD_MAX];
    let (kind, body) = (kind_of::<support::Echo>(), Body::Borrowed(&body));
    let frame = Frame::Request { id: 4_095, kind, meta, body };
    let blocks = &link.local.blocks;
    let mut chain = moorline_buffers::SendBuffer::with_block_max(blocks, opened.block_max);
    let cost = opened.encoder.encode(&frame, moorline_protocol::Lane::Normal, &mut chain).unwrap();
    assert_eq!(cost, chain.len() as u64 + moorline_protocol::limits::UNIT_COST, "one surcharge");
}
