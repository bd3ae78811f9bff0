//! Frames of a session into frames of gofast. It does not change once the connection is open, but for
//! the list of exchanges, so that any thread encodes.

mod control;
mod streams;

use std::sync::Arc;

use moorline_buffers::SendBuffer;
use moorline_protocol::{
    Abilities, Body, EncodeError, Encoder, ErrorCode, Format, Frame, HandledTypes, Kind as Type,
    Lane, Meta,
};

use crate::dialect::OURS;
use crate::extension::Word;
use crate::limits::FRAME_OVERHEAD_MAX;
use crate::packet::{Inner, Kind, Packet, TooLongOrNoMemory};
use crate::pieces::{Flow, Way};
use crate::shared::Shared;
use crate::stats::Counters;
use crate::whoami::ShortPing;

/// The encoder of one connection.
pub(crate) struct GofastEncoder {
    shared: Arc<Shared>,
}

/// What a frame is about: its opaque, its id, and how it goes when it is long.
#[derive(Clone, Copy)]
struct Target {
    kind: Kind,
    opaque: u64,
    id: u64,
    way: Option<Way>,
}

impl GofastEncoder {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Encoder for GofastEncoder {
    fn format(&self) -> Format {
        self.shared.format
    }

    //= docs/PROTOCOL.md#11
    fn abilities(&self) -> Abilities {
        let ours = self.shared.ours;
        Abilities {
            credit: false,
            limits: ours,
            cancel: ours,
            typed_errors: ours,
            deadlines: false,
            dictionary: false,
            farewell: ours,
            pings: true,
            streams: true,
            topics: false,
        }
    }

    fn encode(
        &self,
        frame: &Frame<'_>,
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        match frame {
            Frame::Post { kind, meta, body } => self.post((kind, meta), body, lane, out)?,
            Frame::Request { id, kind, meta, body } => {
                self.request(*id, (kind, meta), body, lane, out)?;
            }
            Frame::Response { id, body } => self.response(*id, body, lane, out)?,
            Frame::Error { id, code, message, detail } => {
                self.error(*id, (*code, message), detail, lane, out)?;
            }
            Frame::Open { .. } | Frame::Data { .. } | Frame::End { .. } | Frame::Reset { .. } => {
                self.on_stream(frame, lane, out)?;
            }
            _ => self.control(frame, lane, out)?,
        }
        // Without credit nothing costs anything.
        Ok(0)
    }

    fn cost(&self, body_len: usize) -> u64 {
        (FRAME_OVERHEAD_MAX + body_len) as u64
    }

    /// There is no dictionary: both sides have agreed on ids beforehand.
    fn announce(
        &self,
        _told: u32,
        _handled: &HandledTypes,
        _out: &mut SendBuffer,
    ) -> Result<u32, EncodeError> {
        Ok(u32::MAX)
    }

    fn finished(&self, id: u32) {
        self.shared.lock().requests.finished(id);
    }
}

impl GofastEncoder {
    #[inline]
    fn post(
        &self,
        (kind, meta): (&Type, &Meta),
        body: &Body<'_>,
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<(), EncodeError> {
        check(meta)?;
        let opaque = self.shared.opaques.posts();
        let way = Some(Way::of(Flow::Posts, lane));
        let target = Target { kind: Kind::Post, opaque, id: self.shared.ids.of(kind)?, way };
        self.message(target, [body.bytes(), &[]], out)
    }

    fn request(
        &self,
        id: u32,
        (kind, meta): (&Type, &Meta),
        body: &Body<'_>,
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<(), EncodeError> {
        check(meta)?;
        let opaque = self.shared.opaques.request(id);
        let way = Some(Way::of(Flow::Requests, lane));
        let target = Target { kind: Kind::Request, opaque, id: self.shared.ids.of(kind)?, way };
        self.message(target, [body.bytes(), &[]], out)?;
        self.shared.lock().requests.asked(id);
        Ok(())
    }

    fn response(
        &self,
        id: u32,
        body: &Body<'_>,
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<(), EncodeError> {
        let Some((opaque, answer_id)) = self.shared.lock().requests.owed(id) else {
            return Ok(());
        };
        let way = Some(Way::of(Flow::Answers, lane));
        let target = Target { kind: Kind::Request, opaque, id: answer_id, way };
        self.message(target, [body.bytes(), &[]], out)?;
        self.shared.lock().requests.answer_written(id);
        Ok(())
    }

    /// A real gofast peer cannot be told: it is counted, and the caller's own patience is the guard.
    //= docs/PROTOCOL.md#11
    fn error(
        &self,
        id: u32,
        (code, text): (ErrorCode, &str),
        detail: &Body<'_>,
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<(), EncodeError> {
        let Some((opaque, _)) = self.shared.lock().requests.owed(id) else { return Ok(()) };
        if self.shared.ours {
            let word = Word::Error { code, text: self.cut(text), detail: detail.bytes() };
            let way = Some(Way::of(Flow::Answers, lane));
            self.word(Target { kind: Kind::Request, opaque, id: 0, way }, word, out)?;
        } else {
            Counters::add(&self.shared.counters.errors_unsaid, 1);
        }
        self.shared.lock().requests.answer_written(id);
        Ok(())
    }

    /// One of the words that two of us have.
    fn word(
        &self,
        target: Target,
        word: Word<'_>,
        out: &mut SendBuffer,
    ) -> Result<(), EncodeError> {
        let (head, rest) = word.encode();
        let id = self.shared.dialect.id_of(OURS);
        self.message(Target { id, ..target }, [head.bytes(), rest], out)
    }

    /// A text that leaves room for the rest even where the peer's buffer is small.
    fn cut<'a>(&self, text: &'a str) -> &'a str {
        let max = usize::try_from(self.shared.frame_max / 4).unwrap_or(usize::MAX);
        &text[..text.floor_char_boundary(max)]
    }

    /// A ping, with a text by which its echo is known.
    fn ping(&self, mark: u8, number: u64, out: &mut SendBuffer) -> Result<(), EncodeError> {
        let ping = ShortPing::new(&self.shared, mark, number);
        self.append(&ping.packet(), None, out)
    }

    /// Appends a message, compressed as the peer wants it.
    #[inline]
    fn message(
        &self,
        Target { kind, opaque, id, way }: Target,
        body: [&[u8]; 2],
        out: &mut SendBuffer,
    ) -> Result<(), EncodeError> {
        let dialect = self.shared.dialect;
        let plain = Packet { dialect, kind, opaque, inner: Inner::Message { id, body } };
        let press = &self.shared.press;
        if press.is_idle() {
            return self.append(&plain, way, out);
        }
        let Some(pressed) = press.press(dialect, id, body) else {
            return self.append(&plain, way, out);
        };
        let packet = Packet { inner: Inner::Wrapped(pressed.bytes()), ..plain };
        let result = self.append(&packet, way, out);
        press.give_back(pressed);
        result
    }

    /// A frame above the buffer of a real peer would kill its connection: it is refused here.
    //= docs/PROTOCOL.md#11
    #[inline]
    fn append(
        &self,
        packet: &Packet<'_>,
        way: Option<Way>,
        out: &mut SendBuffer,
    ) -> Result<(), EncodeError> {
        let lens = packet.lens();
        let (size, limit) = (lens.frame as u64, self.shared.frame_max);
        if size > limit {
            return Err(EncodeError::TooLarge { size, limit });
        }
        packet.append(&lens, way, out).map_err(|error| match error {
            TooLongOrNoMemory::NoMemory(exhausted) => exhausted.into(),
            TooLongOrNoMemory::TooLong { len } => {
                EncodeError::TooLarge { size: len as u64, limit: out.block_max() as u64 }
            }
        })
    }
}

/// What would be promised to the caller and not kept is refused; what only helps is left out.
//= docs/PROTOCOL.md#11
fn check(meta: &Meta) -> Result<(), EncodeError> {
    if meta.idempotency_key.is_some() || meta.attempt > 0 {
        return Err(EncodeError::Unsupported("the key of an idempotent call"));
    }
    if meta.codec != 0 {
        return Err(EncodeError::Unsupported("a codec beside the connection's own"));
    }
    Ok(())
}
