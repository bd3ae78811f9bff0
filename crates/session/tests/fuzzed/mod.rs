//! What the fuzz target `session_script` does with its bytes. The target in `fuzz/` and the replay of
//! its corpus, `tests/corpora.rs`, both run this.
#![allow(dead_code, clippy::unwrap_used, reason = "a target may fail loudly")]

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use moorline_protocol::limits::{STREAMS_MIN, WINDOW_MIN};
use moorline_protocol::{
    Body, CloseReason, ErrorCode, Farewell, Frame, Lane, Meta, Opening, Pieces, Settings,
};
use moorline_session::{Answer, CallError, Core, Responder, Stream, Ticket};

use crate::support::{Echo, Note, Range, Script, Sorry, Task, echo, kind_of, note};

type Call = Task<Result<Echo, CallError<Sorry>>>;

/// Bytes of a script, one number after the other; 0 behind its end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit.max(1)
    }

    /// Few bytes, or many.
    fn len(&mut self) -> usize {
        let byte = usize::from(self.byte());
        if byte < 200 { byte } else { (byte - 199) * 1_500 }
    }

    /// A number near those in use, or one at an edge.
    fn number(&mut self) -> u64 {
        match self.byte() {
            byte @ 0..200 => byte.into(),
            200..220 => u64::from(self.byte()) << 10,
            220..235 => 1 << 31,
            235..245 => u32::MAX.into(),
            _ => u64::MAX,
        }
    }

    /// Mostly a number that may be said; now and then one that may not.
    fn id(&mut self, likely: impl FnOnce(u32) -> u32) -> u32 {
        match self.byte() {
            250.. => u32::try_from(self.number()).unwrap_or(u32::MAX),
            byte => likely(byte.into()),
        }
    }
}

/// What the application has in hand.
#[derive(Default)]
struct App {
    ups: Vec<Stream<Note, u64>>,
    downs: Arc<Mutex<Vec<Stream<u64, Note>>>>,
    tasks: Arc<Mutex<Vec<Responder>>>,
    calls: Vec<Call>,
    /// Streams that the peer has opened.
    opened: u32,
}

fn look<T>(future: impl Future<Output = T>) -> Option<T> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// The bytes say what a peer and an application do, in turn. Whatever it is, nothing panics, memory
/// stays within what limits say, and every call and stream ends. Returns why the session ended, if
/// the script ended it.
pub(crate) fn session_script(data: &[u8]) -> Option<CloseReason> {
    let settings = Settings {
        message_max: 2 * WINDOW_MIN,
        initiation_window: WINDOW_MIN,
        stream_window: WINDOW_MIN,
        streams_max: STREAMS_MIN,
        in_flight_max: 16,
        ..Settings::default()
    };
    let mut script = Script::between(settings, settings);
    let mut app = App::default();
    let downs = Arc::clone(&app.downs);
    script.side.on_open = Box::new(move |stream, body| match body {
        [0, ..] => stream.reject(ErrorCode(1), "no"),
        _ => downs.lock().unwrap().push(stream.accept()),
    });
    let tasks = Arc::clone(&app.tasks);
    script.side.on_request = Box::new(move |core: &mut Core, ticket: Ticket, body: &[u8]| {
        if body.len().is_multiple_of(2) {
            return core.answer(ticket, Answer::Good(body));
        }
        let (responder, deferred) = core.defer(ticket);
        core.attach_abort(deferred, Box::new(|| {}));
        tasks.lock().unwrap().push(responder);
        Ok(())
    });
    let mut bytes = Bytes(data);
    while !bytes.0.is_empty() && script.side.ended.is_none() {
        match bytes.below(8) {
            0..4 => peer(&mut script, &mut app, &mut bytes),
            4 | 5 => application(&mut script, &mut app, &mut bytes),
            6 => _ = script.side.wake(script.now),
            _ => world(&mut script, &mut bytes),
        }
        check_memory(&script);
    }
    comes_to_its_end(script, app)
}

fn peer(script: &mut Script, app: &mut App, bytes: &mut Bytes<'_>) {
    let (op, lane) = (bytes.below(20), Lane::ALL[bytes.below(3)]);
    let (opened, meta) = (app.opened, Meta::default());
    // Of streams the peer's own are even; what it answers are the session's requests.
    let id = match op {
        1..=4 | 10 => bytes.id(|byte| byte % 12),
        8 | 9 => bytes.id(|_| opened.wrapping_add(1).wrapping_mul(2)),
        _ => bytes.id(|byte| if byte < 20 { 0 } else { 2 + 2 * (byte % opened.max(1)) }),
    };
    if matches!(op, 3 | 4) && app.calls.is_empty() || opened == 0 && matches!(op, 5..=7 | 11..=14) {
        return;
    }
    let content = vec![bytes.byte(); if matches!(op, 0..9 | 19) { bytes.len() } else { 0 }];
    let body = Body::Borrowed(&content);
    let (message, code) = ("".into(), ErrorCode(-i32::from(bytes.byte() % 20)));
    let frame = match op {
        0 => Frame::Post { kind: kind_of::<Note>(), meta, body },
        1 | 2 => Frame::Request { id, kind: kind_of::<Echo>(), meta, body },
        3 => Frame::Response { id, body },
        4 => Frame::Error { id, code, message, detail: body },
        5 | 6 => Frame::Data { stream: id, acknowledge: content.len() % 3 == 0, body },
        7 => Frame::End { stream: id, trailer: body },
        8 | 9 => {
            app.opened = (id / 2).max(opened);
            let opening = Opening::Typed { kind: kind_of::<Range>(), body };
            Frame::Open { stream: id, opening, credit: bytes.number() << 9, meta }
        }
        10 => Frame::Cancel { id },
        11 | 12 => Frame::Credit { stream: id, total: bytes.number() << 9 },
        13 => Frame::Reset { stream: id, code, message },
        14 => Frame::Ack { stream: id, count: bytes.id(|byte| byte % 3).into() },
        15 => Frame::Ping { nonce: bytes.number() },
        16 => Frame::Pong { nonce: bytes.id(|byte| byte % 2).into() },
        17 => Frame::GoAway { code, message, obeyed: id % 2 == 0 },
        18 => Frame::Aborted(if id % 2 == 0 { Pieces::Data } else { Pieces::Request }),
        _ => return script.throw(&content),
    };
    script.murmur(&frame, lane);
}

fn application(script: &mut Script, app: &mut App, bytes: &mut Bytes<'_>) {
    let session = script.side.session.clone();
    let mut downs = app.downs.lock().unwrap();
    let (op, at) = (bytes.below(14), bytes.below(app.ups.len().max(downs.len()).max(1)));
    match op {
        0 => app.ups.extend(session.open_with_priority(bytes.byte(), &Range(1))),
        1 | 2 => {
            if let Some(up) = app.ups.get_mut(at) {
                let _ = up.send(&note(1, bytes.len()));
            }
        }
        3 => app.ups.get_mut(at).into_iter().for_each(|up| _ = up.finish()),
        4 if at < app.ups.len() => app.ups.swap_remove(at).reset(ErrorCode(3), "enough"),
        5 if at < app.ups.len() => drop(app.ups.swap_remove(at)),
        6 | 7 => downs.get_mut(at).into_iter().for_each(|down| _ = look(down.recv())),
        8 => downs.get_mut(at).into_iter().for_each(|down| _ = down.send(&7)),
        9 if at < downs.len() => drop(downs.swap_remove(at)),
        10 => app.calls.push(Task::start(session.request(echo(1, bytes.len())))),
        11 if !app.calls.is_empty() => drop(app.calls.swap_remove(0)),
        12 => _ = session.send_with_priority(bytes.byte(), &note(1, bytes.len())),
        _ => {
            drop(downs);
            let task = app.tasks.lock().unwrap().pop();
            task.into_iter().for_each(|task| task.answer(Answer::Good(&[0; 50])));
        }
    }
}

fn world(script: &mut Script, bytes: &mut Bytes<'_>) {
    match bytes.below(6) {
        0 => script.side.blocked = true,
        1 => script.side.unblock(),
        2 => {
            script.now += Duration::from_secs(bytes.byte().into());
            script.side.tick(script.now);
        }
        3 => _ = script.side.session.close(),
        _ => {
            script.settle();
            script.heard.clear();
        }
    }
}

/// Twice the largest message in pieces for each group, the windows of the streams that may be there
/// and of those whose handlers linger, with a message each above it, and what is read into.
fn check_memory(script: &Script) {
    let held = script.side.link.local.recv.stats().in_use_bytes;
    let message = 2 * 2 * 65_536;
    assert!(held <= 4 * message + 2 * 2 * 8 * message + (4 << 20), "{held} bytes");
    assert!(script.side.session.queued_bytes() <= 64 << 20);
}

/// However it stands, it ends, and so does everybody who waits.
fn comes_to_its_end(mut script: Script, mut app: App) -> Option<CloseReason> {
    let reason = script.side.ended.clone();
    if reason.is_none() {
        script.side.end(CloseReason::ByUs(Farewell::ordinary()));
    }
    assert!(app.calls.iter_mut().all(Task::look), "every call ends");
    for up in &mut app.ups {
        assert!(matches!(look(up.recv()), Some(Ok(None) | Err(_))), "every stream ends");
        assert!(up.send(&note(1, 1)).is_err());
    }
    for down in &mut *app.downs.lock().unwrap() {
        let mut reads = std::iter::from_fn(|| look(down.recv()));
        let end = reads
            .find(|read| !matches!(read, Ok(Some(_)) | Err(moorline_session::StreamError::Decode)));
        assert!(end.is_some(), "what has come is read, then its end is");
    }
    let recv = script.side.link.local.recv.clone();
    drop((script, app));
    assert_eq!(recv.stats().in_use, 0, "nothing is kept");
    reason
}
