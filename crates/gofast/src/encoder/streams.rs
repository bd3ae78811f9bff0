//! Frames about streams.

use moorline_buffers::SendBuffer;
use moorline_protocol::limits::UNIT_MAX;
use moorline_protocol::{EncodeError, Frame, Lane, Opening};

use super::{GofastEncoder, Target, check};
use crate::decoder::ECHO_OF_END;
use crate::dialect::RAW;
use crate::exchanges::Last;
use crate::extension::Word;
use crate::packet::{Inner, Kind, Packet};
use crate::pieces::{Flow, Way};
use crate::stats::Counters;

impl GofastEncoder {
    pub(super) fn on_stream(
        &self,
        frame: &Frame<'_>,
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<(), EncodeError> {
        match frame {
            Frame::Open { stream, opening, meta, .. } => {
                check(meta)?;
                self.open(*stream, opening, lane, out)
            }
            Frame::Data { acknowledge: true, .. } => {
                Err(EncodeError::Unsupported("messages that are acknowledged"))
            }
            Frame::Data { stream, body, .. } => {
                let Some((opaque, id)) = self.shared.lock().streams.say(*stream) else {
                    // The peer has ended it: what is still on its way there is dropped and counted.
                    Counters::add(&self.shared.counters.n_mdrops, 1);
                    return Ok(());
                };
                let way = Some(Way::of(Flow::Data, lane));
                let target = Target { kind: Kind::Message, opaque, id, way };
                self.message(target, [body.bytes(), &[]], out)
            }
            Frame::End { stream, trailer } => self.end(*stream, trailer.bytes(), lane, out),
            Frame::Reset { stream, code, message } => {
                let Some(last) = self.shared.lock().streams.say_reset(*stream) else {
                    return Ok(());
                };
                if self.shared.ours {
                    let word = Word::Reset { code: *code, text: self.cut(message) };
                    self.word(on(&last), word, out)?;
                }
                self.last(*stream, &last, out)
            }
            _ => Ok(()),
        }
    }

    fn open(
        &self,
        stream: u32,
        opening: &Opening<'_>,
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<(), EncodeError> {
        let shared = &*self.shared;
        let id = match opening {
            Opening::Typed { kind, .. } => shared.ids.of(kind)?,
            Opening::Raw { .. } if shared.ours => shared.dialect.id_of(RAW),
            Opening::Raw { .. } => return Err(EncodeError::Unsupported("streams of bytes")),
        };
        let begun =
            shared.lock().streams.begin_ours(stream, id, |place| shared.opaques.stream(place));
        let opaque = begun.ok_or(EncodeError::Streams { limit: shared.opaques.streams() })?;
        // Sessions queue it among the requests.
        let way = Some(Way::of(Flow::Requests, lane));
        let target = Target { kind: Kind::Start, opaque, id, way };
        let result = match opening {
            Opening::Typed { body, .. } => self.message(target, [body.bytes(), &[]], out),
            Opening::Raw { name } => self.message(target, [name.as_bytes(), &[]], out),
        };
        if result.is_err() {
            shared.lock().streams.withdraw(stream);
        }
        result
    }

    fn end(
        &self,
        stream: u32,
        trailer: &[u8],
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<(), EncodeError> {
        if !trailer.is_empty() {
            if !self.shared.ours {
                return Err(EncodeError::Unsupported("a last value at the end of a stream"));
            }
            if trailer.len() > UNIT_MAX {
                return Err(EncodeError::Unsupported(
                    "a last value longer than 16 KiB; send it as a message on the stream before its \
                     end",
                ));
            }
            if let Some((opaque, _)) = self.shared.lock().streams.say(stream) {
                let way = Some(Way::of(Flow::Data, lane));
                let target = Target { kind: Kind::Message, opaque, id: 0, way };
                self.word(target, Word::Trailer(trailer), out)?;
            }
        }
        let Some(last) = self.shared.lock().streams.say_end(stream) else { return Ok(()) };
        let said = self.last(stream, &last, out);
        if said.is_err() {
            self.shared.lock().streams.withdraw_end(stream);
        }
        said
    }

    /// What is due when a stream ends.
    fn last(&self, stream: u32, last: &Last, out: &mut SendBuffer) -> Result<(), EncodeError> {
        if last.end {
            let packet = Packet {
                dialect: self.shared.dialect,
                kind: Kind::End,
                opaque: last.opaque,
                inner: Inner::End,
            };
            self.append(&packet, None, out)?;
        }
        if last.ask {
            self.ping(ECHO_OF_END, stream.into(), out)?;
        }
        Ok(())
    }
}

fn on(last: &Last) -> Target {
    Target { kind: Kind::Message, opaque: last.opaque, id: last.message, way: None }
}
