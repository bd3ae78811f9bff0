//! What the fuzz target runs, and the replay of its corpus.

use moorline_gofast::{Dialect, GofastSettings};
use moorline_protocol::{Body, ErrorCode, Frame, Meta, Opening, Settings};

use crate::support::{Ask, Ours, Talk, Who, kind_of};

/// Bytes of a peer, met or not, in pieces; and whatever they ask for is answered, so that both
/// directions meet in the list of exchanges. Returns how many frames were heard.
///
/// The first byte says which dialect (bit 0), whether the peer is one of us (bit 1), whether both have
/// met (bit 2 unset), how long the pieces are, and whether we dial, with a request, a stream and a ping
/// of ours on their way (bit 7).
pub(crate) fn gofast_frames(data: &[u8]) -> usize {
    let Some((&choice, bytes)) = data.split_first() else { return 0 };
    let dialect = if choice & 1 == 0 { Dialect::Y2017 } else { Dialect::Y2016 };
    let tags = if choice & 2 == 0 { "gzip,lzw" } else { "lzw,moorline.32.16" };
    let settings = GofastSettings {
        buffersize: Some(4096),
        tags: "lzw,gzip".into(),
        opaque_start: Some(1000),
        opaque_end: Some(5999),
        ..GofastSettings::default()
    };
    let limits = Settings { in_flight_max: 32, streams_max: 16, ..Settings::default() };
    let dials = choice & 0x80 != 0;
    let mut ours = Ours::new(dialect, dials, settings, limits);
    if choice & 4 == 0 {
        ours = ours.meet(Who { buffersize: 4096, tags });
        if dials {
            say_first(&mut ours);
        }
    }
    let mut heard = 0;
    for piece in bytes.chunks(usize::from(choice >> 3 & 0xf) * 9 + 1) {
        let Ok(told) = ours.hear(piece) else { return heard };
        heard += told.len();
        for word in &told {
            answer(&mut ours, word);
        }
        assert!(ours.input.capacity() <= 512 * 1024, "memory follows what came");
    }
    heard
}

/// What is on its way when the peer's bytes come.
fn say_first(ours: &mut Ours) {
    let body = Body::Borrowed(b"ours");
    let (kind, meta) = (kind_of::<Ask>(), Meta::default());
    let opening = Opening::Typed { kind: kind_of::<Talk>(), body: Body::Borrowed(b"open") };
    for frame in [
        Frame::Request { id: 0, kind, meta, body },
        Frame::Open { stream: 2, opening, credit: 0, meta: Meta::default() },
        Frame::Ping { nonce: 7 },
    ] {
        assert!(ours.say(&frame).is_ok(), "it fits every peer");
    }
}

/// As a session would, more or less.
fn answer(ours: &mut Ours, told: &str) {
    let mut words = told.split(' ');
    let what = words.next().unwrap_or("");
    let number: u32 = words.next().and_then(|number| number.parse().ok()).unwrap_or(0);
    let body = Body::Borrowed(b"answer");
    let frames = match what {
        "request" if number.is_multiple_of(3) => {
            let (code, message) = (ErrorCode::UNIMPLEMENTED, "no".into());
            vec![Frame::Error { id: number, code, message, detail: Body::EMPTY }]
        }
        "request" => vec![Frame::Response { id: number, body }],
        "ping" => vec![Frame::Pong { nonce: number.into() }],
        "open" => vec![Frame::Data { stream: number, body, acknowledge: false }],
        "data" if number.is_multiple_of(4) => {
            vec![Frame::Reset { stream: number, code: ErrorCode(1), message: "no".into() }]
        }
        "end" => vec![Frame::End { stream: number, trailer: Body::EMPTY }],
        _ => Vec::new(),
    };
    for frame in frames {
        // What this peer cannot be told is refused, and that is all right.
        let _ = ours.say(&frame);
    }
    if what == "request"
        && let Some(opened) = &ours.opened
    {
        opened.encoder.finished(number);
    }
}
