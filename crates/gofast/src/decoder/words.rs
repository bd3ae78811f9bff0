//! Words that two of us have, and gofast has not.

use moorline_protocol::limits::UNIT_MAX;
use moorline_protocol::{CloseReason, Farewell, Frame};

use super::{Decoder, Heard, Said, Short};
use crate::extension::Word;
use crate::sight::broken;
use crate::stats::Counters;

const RULE: &str = "a word between two of us that cannot be read";

impl Decoder {
    /// One that came as a post.
    pub(super) fn word_posted(
        &mut self,
        opaque: u64,
        said: &Said,
        frame: &[u8],
    ) -> Result<Heard, CloseReason> {
        match Word::decode(self.body(said, frame)).ok_or(broken(RULE))? {
            // Nothing, where the answer is on its way already.
            Word::Cancel => Ok(match self.shared.lock().requests.slot_of(opaque) {
                Some(id) => Heard::Say(Short::Cancel(id)),
                None => Heard::Nothing,
            }),
            Word::GoAway { obeyed, code, text } => {
                let message = text.to_owned().into();
                Ok(other(Frame::GoAway { code, message, obeyed }))
            }
            Word::Close { code, text } => {
                let message = text.to_owned();
                self.farewell = Some(Farewell::new(code, &message));
                Ok(other(Frame::Close { code, message: message.into() }))
            }
            _ => Err(broken(RULE).into()),
        }
    }

    /// One that came on a stream.
    pub(super) fn word_on_stream(
        &mut self,
        opaque: u64,
        stream: u32,
        said: &Said,
        frame: &[u8],
    ) -> Result<Heard, CloseReason> {
        match Word::decode(self.body(said, frame)).ok_or(broken(RULE))? {
            Word::Reset { code, text } => {
                let message = text.to_owned();
                self.trailers.retain(|(of, _)| *of != stream);
                let at = self.shared.stream_at(opaque);
                let told = at.and_then(|at| self.shared.lock().streams.hear_reset(at));
                Ok(told.map_or(Heard::Nothing, |stream| {
                    other(Frame::Reset { stream, code, message: message.into() })
                }))
            }
            Word::Trailer(value) => {
                if value.len() > UNIT_MAX {
                    return Err(broken("a last value longer than 16 KiB").into());
                }
                if self.trailers.iter().any(|(of, _)| *of == stream) {
                    return Err(broken("a second last value of a stream").into());
                }
                let mut buffer = self.pool.acquire(value.len())?;
                buffer.extend_from_slice(value)?;
                buffer.mark_opened(value.len());
                // Those that this side has reset meanwhile have ends that may never come.
                self.drop_trailers();
                if self.shared.lock().streams.is_heard(stream) {
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

fn other(frame: Frame<'static>) -> Heard {
    Heard::Say(Short::Other(Box::new(frame)))
}
