//! What handles and frames do to the streams of a session, where lanes and control are concerned.

use std::task::{Poll, Waker};

use moorline_buffers::SendBuffer;
use moorline_protocol::{Body, CloseReason, ErrorCode, Frame, Lane, MessageIndex, Meta, Opening};

use super::Outbox;
use super::inbox::Taken;
use super::lanes::Flow;
use super::streams::Verdict;
use crate::errors::{SendError, StreamError, our_fault};
use crate::limits::STREAM_QUEUE_BYTES;

/// The lane of every OPEN, whatever that of its stream: they must leave in the order of their
/// numbers.
//= docs/PROTOCOL.md#6
pub(super) const OPENS: Lane = Lane::High;

/// An OPEN of ours.
pub(crate) struct NewStream<'a> {
    pub(crate) lane: Lane,
    /// The type of the opening message, unless the stream is raw.
    pub(crate) index: Option<(MessageIndex, &'static str)>,
    /// What that message holds, or the name of the raw stream.
    pub(crate) body: &'a [u8],
    pub(crate) meta: Meta,
}

/// A message for a stream.
pub(crate) struct Outgoing<'a> {
    pub(crate) stream: u32,
    pub(crate) body: &'a [u8],
    /// It goes out in pieces.
    pub(crate) is_long: bool,
    pub(crate) acknowledge: bool,
}

impl Outbox {
    // ---- what handles do -------------------------------------------------------------------

    /// Queues an OPEN and returns its number.
    pub(crate) fn open_stream(&mut self, new: NewStream<'_>) -> Result<u32, SendError> {
        let NewStream { lane, index, body, meta } = new;
        match index {
            Some((index, name)) => {
                self.admit(index, name, body.len())?;
                self.tell(index)?;
            }
            None => self.takes_new()?,
        }
        if !self.encoder.abilities().streams {
            return Err(SendError::Unsupported("streams"));
        }
        let stream = self.streams.next()?;
        let opening = match index {
            Some((index, _)) => Opening::Typed {
                kind: moorline_protocol::Kind::Known(index),
                body: Body::Borrowed(body),
            },
            None => Opening::Raw { name: String::from_utf8_lossy(body) },
        };
        let credit = self.streams.receive_window();
        let frame = Frame::Open { stream, opening, credit, meta };
        let start = self.lanes.position(OPENS, Flow::Requests);
        self.encoder.encode(&frame, OPENS, self.lanes.chain(OPENS, Flow::Requests))?;
        self.lanes.appended(OPENS, Flow::Requests, start, false);
        let opens_at = self.lanes.position(OPENS, Flow::Requests);
        self.streams.opened_by_us(stream, lane, opens_at);
        self.sent.streams += 1;
        Ok(stream)
    }

    /// Queues DATA. Returns how many that makes, and the bytes that now wait.
    pub(crate) fn append_data(&mut self, out: &Outgoing<'_>) -> Result<(u64, usize), SendError> {
        let lane = self.streams.admit(out.stream, out.body.len())?;
        let start = self.streams.position(out.stream);
        let frame = Frame::Data {
            stream: out.stream,
            body: Body::Borrowed(out.body),
            acknowledge: out.acknowledge,
        };
        self.encoder.encode(&frame, lane, self.streams.chain(out.stream))?;
        Ok(self.count_data(lane, start, out))
    }

    /// The same where it was encoded outside the lock.
    pub(crate) fn link_data(
        &mut self,
        out: &Outgoing<'_>,
        encoded: &mut SendBuffer,
    ) -> Result<(u64, usize), SendError> {
        let lane = self.streams.admit(out.stream, out.body.len())?;
        let start = self.streams.position(out.stream);
        self.streams.chain(out.stream).append(encoded);
        Ok(self.count_data(lane, start, out))
    }

    fn count_data(&mut self, lane: Lane, start: u64, out: &Outgoing<'_>) -> (u64, usize) {
        let Outgoing { stream, is_long, acknowledge, .. } = *out;
        let (count, ready) = self.streams.appended(stream, start, is_long, acknowledge);
        self.sent.stream_messages += 1;
        if ready {
            self.lanes.stream_ready(lane, stream);
        }
        let queued = self.streams.chain(stream).len();
        if queued > STREAM_QUEUE_BYTES / 2 && self.is_shut() {
            self.release();
        }
        (count, self.unless_shut(queued))
    }

    /// The lane of a stream that takes so many bytes more now.
    pub(crate) fn admit_data(&mut self, stream: u32, size: usize) -> Result<Lane, SendError> {
        self.streams.admit(stream, size)
    }

    /// Queues END behind what was sent.
    pub(crate) fn finish_stream(&mut self, stream: u32, trailer: &[u8]) -> Result<(), SendError> {
        let lane = self.streams.lane_to_finish(stream)?;
        let frame = Frame::End { stream, trailer: Body::Borrowed(trailer) };
        self.encoder.encode(&frame, lane, self.streams.chain(stream))?;
        self.sent.stream_ends += 1;
        if self.streams.finished_by_us(stream) {
            self.lanes.stream_ready(lane, stream);
        }
        Ok(())
    }

    pub(crate) fn reset_stream(&mut self, stream: u32, code: ErrorCode, text: &str) {
        self.streams.reset(stream, code, text);
    }

    pub(crate) fn sender_gone(&mut self, stream: u32) {
        self.streams.sender_gone(stream);
    }

    pub(crate) fn receiver_gone(&mut self, stream: u32) {
        self.streams.receiver_gone(stream);
    }

    pub(crate) fn poll_stream_room(&mut self, stream: u32, waker: &mut Option<Waker>) -> Poll<()> {
        self.streams.poll_room(stream, waker)
    }

    pub(crate) fn poll_acked(
        &mut self,
        stream: u32,
        count: u64,
        waker: &mut Option<Waker>,
    ) -> Poll<Result<(), SendError>> {
        self.streams.poll_acked(stream, count, waker)
    }

    /// What comes next on a stream. `true` beside it: the driver has a word to say about it.
    pub(crate) fn poll_stream(
        &mut self,
        stream: u32,
        waker: &mut Option<Waker>,
        scratch: &mut Vec<u8>,
    ) -> (Poll<Result<Option<Taken>, StreamError>>, bool) {
        let polled = self.streams.poll_next(stream, waker, scratch);
        (polled, self.streams.owes())
    }

    pub(crate) fn trailer(&mut self, stream: u32) -> Option<Vec<u8>> {
        self.streams.trailer(stream)
    }

    // ---- what frames do --------------------------------------------------------------------

    /// Moves those who are to be woken to a list that is kept.
    pub(crate) fn take_woken(&mut self, wakers: &mut Vec<Waker>) {
        wakers.append(&mut self.streams.woken);
    }

    pub(crate) fn stream_opened(
        &mut self,
        stream: u32,
        lane: Lane,
        credit: u64,
    ) -> Result<Verdict, CloseReason> {
        self.streams.opened_by_peer(stream, lane, credit)
    }

    /// Nobody takes it: its handles never were.
    pub(crate) fn refuse_stream(&mut self, stream: u32, code: ErrorCode, text: &str) {
        self.streams.reset(stream, code, text);
        self.streams.sender_gone(stream);
        self.streams.receiver_gone(stream);
    }

    pub(crate) fn stream_part(
        &mut self,
        stream: u32,
        cost: u64,
        missing: u64,
    ) -> Result<(), CloseReason> {
        self.streams.part_received(stream, cost, missing)
    }

    pub(crate) fn stream_refused(
        &mut self,
        stream: u32,
        code: ErrorCode,
        text: &str,
    ) -> Result<(), CloseReason> {
        self.streams.refused(stream, code, text)
    }

    pub(crate) fn stream_data(
        &mut self,
        stream: u32,
        body: Body<'_>,
        acknowledge: bool,
        cost: u64,
    ) -> Result<(), CloseReason> {
        self.streams.received(stream, body, acknowledge, cost)
    }

    pub(crate) fn stream_ended(&mut self, stream: u32, trailer: &[u8]) -> Result<(), CloseReason> {
        self.streams.finished_by_peer(stream, trailer)
    }

    pub(crate) fn stream_reset(
        &mut self,
        stream: u32,
        code: ErrorCode,
        text: Box<str>,
    ) -> Result<(), CloseReason> {
        if let Some(left) = self.streams.reset_by_peer(stream, code, text)? {
            self.leave_round(stream, left).map_err(our_fault)?;
        }
        Ok(())
    }

    pub(crate) fn stream_credited(&mut self, stream: u32, total: u64) -> Result<(), CloseReason> {
        if let Some(lane) = self.streams.credited(stream, total)? {
            self.lanes.stream_ready(lane, stream);
        }
        Ok(())
    }

    pub(crate) fn stream_acked(&mut self, stream: u32, count: u64) -> Result<(), CloseReason> {
        self.streams.acknowledged(stream, count)
    }

    /// How many have come to a good end since this was last asked.
    pub(crate) fn streams_ended_well(&mut self) -> u32 {
        std::mem::take(&mut self.streams.ended_well)
    }

    /// How often the peer has made us reset a stream since this was last asked.
    pub(crate) fn stream_faults(&mut self) -> u32 {
        std::mem::take(&mut self.streams.faults_of_peer)
    }

    /// Whether the peer was told more credit for some stream since this was last asked.
    pub(crate) fn streams_told_credit(&mut self) -> bool {
        std::mem::take(&mut self.streams.told_credit)
    }

    /// A ping that measures a round trip: it overtakes what waits for credit.
    pub(crate) fn probe(&mut self) -> Option<u64> {
        let nonce = self.speaks().then(|| self.pings.wait_for(Vec::new()).ok()).flatten()?;
        self.streams.begin_sample();
        Some(nonce)
    }

    /// It has come back.
    pub(crate) fn end_sample(&mut self) {
        self.streams.end_sample();
    }

    pub(crate) const fn streams_live(&self) -> u32 {
        self.streams.live()
    }
}
