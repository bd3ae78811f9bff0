//! Words that two of us have, and gofast has not.

use moorline_protocol::{CloseReason, Farewell, Frame};

use super::{Decoder, Heard};
use crate::extension::Word;
use crate::sight::broken;
use crate::stats::Counters;

const RULE: &str = "a word between two of us that cannot be read";

impl Decoder {
    /// One that came as a post.
    pub(super) fn word_posted(&mut self, opaque: u64, body: &[u8]) -> Result<Heard, CloseReason> {
        match Word::decode(body).ok_or(broken(RULE))? {
            // Nothing, where the answer is on its way already.
            Word::Cancel => Ok(match self.shared.lock().requests.slot_of(opaque) {
                Some(id) => Heard::Say(Frame::Cancel { id }),
                None => Heard::Nothing,
            }),
            Word::GoAway { obeyed, code, text } => {
                let message = text.to_owned().into();
                Ok(Heard::Say(Frame::GoAway { code, message, obeyed }))
            }
            Word::Close { code, text } => {
                self.farewell = Some(Farewell::new(code, text));
                Ok(Heard::Say(Frame::Close { code, message: text.to_owned().into() }))
            }
            _ => Err(broken(RULE).into()),
        }
    }

    /// One that came on a stream.
    pub(super) fn word_on_stream(
        &mut self,
        opaque: u64,
        stream: u32,
        body: &[u8],
    ) -> Result<Heard, CloseReason> {
        match Word::decode(body).ok_or(broken(RULE))? {
            Word::Reset { code, text } => {
                self.trailers.retain(|(of, _)| *of != stream);
                let at = self.stream_at(opaque);
                let told = at.and_then(|at| self.shared.lock().streams.hear_reset(at));
                Ok(told.map_or(Heard::Nothing, |stream| {
                    Heard::Say(Frame::Reset { stream, code, message: text.to_owned().into() })
                }))
            }
            Word::Trailer(value) => {
                if self.trailers.iter().any(|(of, _)| *of == stream) {
                    return Err(broken("a second last value of a stream").into());
                }
                let heard =
                    self.stream_at(opaque).and_then(|at| self.shared.lock().streams.find(at));
                if heard.is_some_and(|(_, is_heard)| is_heard) {
                    let mut buffer = self.pool.acquire(value.len())?;
                    buffer.extend_from_slice(value)?;
                    buffer.mark_opened(value.len());
                    self.trailers.push((stream, buffer));
                } else {
                    Counters::add(&self.shared.counters.n_mdrops, 1);
                }
                Ok(Heard::Nothing)
            }
            _ => Err(broken(RULE).into()),
        }
    }
}
