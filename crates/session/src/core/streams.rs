//! Frames about streams.

use std::sync::Arc;

use moorline_protocol::{CloseReason, Cost, ErrorCode, Frame, Lane, Meta, Opening};

use super::{Core, Delivery};
use crate::outbox::Verdict;
use crate::stream::IncomingStream;

impl Core {
    /// The peer opens a stream.
    pub(super) fn open<'b>(
        &mut self,
        stream: u32,
        opening: Opening<'b>,
        credit: u64,
        meta: &Meta,
    ) -> Result<Delivery<'b>, CloseReason> {
        self.counters.streams += 1;
        let lane = meta.priority.map_or(Lane::Normal, Lane::of);
        let shared = &self.session.shared;
        let verdict = shared.lock().stream_opened(stream, lane, credit)?;
        let refusal = match verdict {
            Verdict::Refuse(code) => {
                Some((code, "too many streams still have their handlers".into()))
            }
            Verdict::Accept => self.refusal(meta),
        };
        if let Some((code, text)) = refusal {
            self.refuse_stream(stream, code, &text)?;
            return Ok(Delivery::Nothing);
        }
        let stream = IncomingStream::new(Arc::clone(&self.session.shared), stream);
        let opening = match opening {
            Opening::Typed { kind, body } => Opening::Typed { kind: self.known(kind), body },
            raw @ Opening::Raw { .. } => raw,
        };
        Ok(Delivery::Open { stream, opening, meta: meta.clone() })
    }

    /// Refuses a stream that the peer is to blame for, or that nobody takes.
    fn refuse_stream(
        &mut self,
        stream: u32,
        code: ErrorCode,
        text: &str,
    ) -> Result<(), CloseReason> {
        self.counters.streams_refused += 1;
        self.session.shared.lock().refuse_stream(stream, code, text);
        self.calm.strain()
    }

    /// Whatever names a stream. What comes late for one that is over is ignored.
    //= docs/PROTOCOL.md#6
    pub(super) fn on_stream(
        &mut self,
        frame: Frame<'_>,
        cost: Cost,
    ) -> Result<Delivery<'static>, CloseReason> {
        let mut outbox = self.session.shared.lock();
        match frame {
            Frame::Data { stream, body, acknowledge } => {
                let cost = if let Cost::Stream(_, cost) = cost { cost } else { 0 };
                self.counters.stream_messages += 1;
                outbox.stream_data(stream, body, acknowledge, cost)?;
            }
            Frame::Piece { missing } => {
                if let Cost::Stream(stream, cost) = cost {
                    outbox.stream_part(stream, cost, missing)?;
                }
            }
            Frame::Partial => {
                if let Cost::Stream(stream, cost) = cost {
                    outbox.stream_part(stream, cost, 0)?;
                }
            }
            Frame::End { stream, trailer } => {
                self.counters.stream_ends += 1;
                outbox.stream_ended(stream, trailer.bytes())?;
            }
            Frame::Reset { stream, code, message } => {
                self.calm.strain()?;
                outbox.stream_reset(stream, code, moorline_protocol::printable(&message))?;
            }
            Frame::Ack { stream, count } => outbox.stream_acked(stream, count)?,
            Frame::Credit { stream, total } => outbox.stream_credited(stream, total)?,
            _ => {}
        }
        // Kept in a list that is there already, so that a message allocates nothing.
        outbox.take_woken(&mut self.wakers);
        let faults = outbox.stream_faults();
        drop(outbox);
        (0..faults).try_for_each(|_| self.calm.strain())?;
        Ok(Delivery::Nothing)
    }
}
