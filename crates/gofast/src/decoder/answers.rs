//! What comes on opaques of ours: answers, and echoes of pings.

use std::borrow::Cow;

use moorline_buffers::RecvBuffer;
use moorline_protocol::{Body, CloseReason, Frame};

use super::{Decoder, ECHO_OF_CUT, ECHO_OF_END, ECHO_OF_PING, Heard, OVERLAP, Said, Short, What};
use crate::dialect::OURS;
use crate::extension::Word;
use crate::opaques::Meaning;
use crate::sight::broken;
use crate::stats::Counters;
use crate::whoami::{marked, ping_said};

impl Decoder {
    /// An answer to something of ours: nobody else may use our opaques.
    //= docs/PROTOCOL.md#11
    pub(super) fn answer(
        &mut self,
        frame: &[u8],
        meaning: Meaning,
        said: Said,
    ) -> Result<Heard, CloseReason> {
        Counters::add(&self.shared.counters.n_rxresp, 1);
        match meaning {
            Meaning::Request(id) if self.shared.lock().requests.answered(id) => {
                let failed = self.shared.ours && self.is(&said, OURS);
                let what = if failed { What::Error(id) } else { What::Response(id) };
                Ok(Heard::Message(what, said.body))
            }
            Meaning::Pings => {
                let asked = if self.shared.ours {
                    ping_said(self.shared.dialect, self.body(&said, frame)).and_then(marked)
                } else {
                    // Who it is we know.
                    self.shared.lock().asked.answered()
                };
                let (mark, number) = asked.ok_or(broken("an echo that is not what was said"))?;
                self.echo(mark, number)
            }
            _ => Err(OVERLAP.into()),
        }
    }

    fn echo(&mut self, mark: u8, number: u64) -> Result<Heard, CloseReason> {
        match (mark, u32::try_from(number)) {
            (ECHO_OF_PING, _) => Ok(Heard::Say(Short::Pong(number))),
            (ECHO_OF_END, Ok(stream)) => {
                if self.shared.lock().streams.hear_echo(stream) {
                    return Ok(Heard::Say(Short::End(stream)));
                }
                self.drop_trailers();
                Ok(Heard::Nothing)
            }
            (ECHO_OF_CUT, Ok(id)) => {
                let waits = self.shared.lock().requests.answered(id);
                Ok(if waits { Heard::Say(Short::Cut(id)) } else { Heard::Nothing })
            }
            _ => Err(broken("an echo that is not what was said").into()),
        }
    }
}

/// Why a request has failed, said by one of us.
pub(super) fn error(id: u32, body: Body<'_>) -> Result<Frame<'_>, CloseReason> {
    const RULE: &str = "a failure that cannot be read";
    match body {
        Body::Borrowed(bytes) => {
            let Some(Word::Error { code, text, detail }) = Word::decode(bytes) else {
                return Err(broken(RULE).into());
            };
            let message = Cow::Borrowed(text);
            Ok(Frame::Error { id, code, message, detail: Body::Borrowed(detail) })
        }
        Body::Owned(mut buffer) => {
            let Some(Word::Error { code, text, detail }) = Word::decode(buffer.readable()) else {
                return Err(broken(RULE).into());
            };
            let message = Cow::Owned(text.to_owned());
            let head_len = buffer.readable().len() - detail.len();
            RecvBuffer::consume(&mut buffer, head_len);
            Ok(Frame::Error { id, code, message, detail: Body::Owned(buffer) })
        }
    }
}
