//! Received frames into frames of a session, once the peer has said who it is.

mod answers;
mod words;

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use moorline_buffers::{RecvBuffer, RecvPool};
use moorline_protocol::limits::{READ_CAPACITY, UNIT_COST};
use moorline_protocol::{
    Body, CloseReason, Cost, ErrorCode, Farewell, Frame, Kind as Type, Meta, Opening, Step,
    Violation,
};

use crate::compress::{Unpress, Unpressed};
use crate::dialect::{HEARTBEAT, OURS, PING, RAW, WHOAMI};
use crate::exchanges::{Begun, EndSaid, NoSlot, Owed};
use crate::message;
use crate::packet::Kind;
use crate::shared::Shared;
use crate::sight::{Seen, Sight, broken, look};
use crate::stats::{Counters, Received};
use crate::whoami::{heartbeat_count, ping_said};

/// Begins the text of a ping that the session has asked for.
pub(crate) const ECHO_OF_PING: u8 = b'p';
/// Begins the text of a ping behind the end of a stream.
pub(crate) const ECHO_OF_END: u8 = b's';
/// Begins the text of a ping in the place of a long request that was given up.
pub(crate) const ECHO_OF_CUT: u8 = b'c';

/// The receiving half of an open connection.
pub(crate) struct Decoder {
    shared: Arc<Shared>,
    pool: RecvPool,
    unpress: Unpress,
    content_max: u64,
    /// Last values of streams whose end is about to follow.
    trailers: Vec<(u32, RecvBuffer)>,
    /// What the peer said when it closed.
    farewell: Option<Farewell>,
    /// A frame has come in part.
    amid: bool,
    received: Received,
    /// The body of this frame, where it was compressed.
    unpressed: Option<RecvBuffer>,
}

/// What a frame turned out to be. Small, since it is handed from place to place; only at the end is a
/// frame made of it.
enum Heard {
    /// Nothing that concerns the session.
    Nothing,
    /// Something without a body.
    Say(Short),
    /// The end of a stream, which comes before this frame: that is looked at again.
    EndFirst(u32),
    /// Something with a body.
    Message(What, BodyAt),
}

/// What has no body of its own.
enum Short {
    Cancel(u32),
    /// A request of ours never left as a whole.
    Cut(u32),
    Ping(u64),
    Pong(u64),
    Heartbeat(u64),
    /// Of a stream; its last value was kept.
    End(u32),
    /// Seldom said.
    Other(Box<Frame<'static>>),
}

/// What has a body.
enum What {
    Post(Type),
    Request(u32, Type),
    Response(u32),
    Open(u32, Type),
    OpenRaw(u32),
    Data(u32),
    Error(u32),
}

/// Where a body is.
enum BodyAt {
    /// Within the frame.
    Here(Range<usize>),
    /// It was compressed, and is in [`Decoder::unpressed`].
    Unpressed,
}

/// A message within a frame.
struct Said {
    id: u64,
    body: BodyAt,
}

//= docs/PROTOCOL.md#11
const OVERLAP: Violation = broken(
    "an opaque of ours stands for something that we have not begun: do the ranges of opaques \
     overlap?",
);

impl Decoder {
    pub(crate) fn new(
        shared: Arc<Shared>,
        pool: RecvPool,
        unpress: Unpress,
        content_max: u64,
    ) -> Self {
        Self {
            shared,
            pool,
            unpress,
            content_max,
            trailers: Vec::new(),
            farewell: None,
            amid: false,
            received: Received::default(),
            unpressed: None,
        }
    }

    pub(crate) fn next<'b>(
        &mut self,
        now: Instant,
        input: &'b mut RecvBuffer,
    ) -> Result<Step<'b>, CloseReason> {
        loop {
            let arrived = input.unopened().len();
            input.mark_opened(arrived);
            let Some(seen) = self.look(input)? else {
                self.received.hand_on(&self.shared.counters);
                return Ok(Step::NeedBytes);
            };
            let heard = self.hear(now, input.readable(), &seen);
            let heard = heard.inspect_err(|_| self.drop_bytes(input.len()))?;
            match heard {
                Heard::Nothing => self.count(&seen, input),
                Heard::Say(short) => {
                    self.count(&seen, input);
                    return Ok(Step::Frame(self.short(short), Cost::Exempt));
                }
                Heard::EndFirst(stream) => {
                    return Ok(Step::Frame(self.short(Short::End(stream)), Cost::Exempt));
                }
                Heard::Message(what, body) => {
                    self.count_received(&seen);
                    let frame = input.take(seen.len);
                    let body = match body {
                        BodyAt::Here(range) => Body::Borrowed(&frame[range]),
                        BodyAt::Unpressed => self.unpressed.take().map_or(Body::EMPTY, Body::Owned),
                    };
                    return step(what, body, seen.len);
                }
            }
        }
    }

    /// The frame at the front, if all of it is there. Room is made for what is missing, by doubling
    /// and not by what it announces.
    fn look(&mut self, input: &mut RecvBuffer) -> Result<Option<Seen>, CloseReason> {
        let have = input.readable().len();
        let sight = look(self.shared.dialect, input.readable(), self.content_max);
        let sight = sight.inspect_err(|_| self.drop_bytes(have))?;
        let missing = match sight {
            Sight::Whole(seen) => {
                self.amid = false;
                return Ok(Some(seen));
            }
            Sight::Partly(seen) => seen.len - have,
            Sight::Missing(missing) => missing,
        };
        self.amid = have > 0;
        input.reserve(missing.min(have.max(READ_CAPACITY)))?;
        Ok(None)
    }

    /// Nothing more is looked at.
    fn drop_bytes(&mut self, count: usize) {
        self.received.hand_on(&self.shared.counters);
        Counters::add(&self.shared.counters.n_dropped, count as u64);
    }

    fn count(&mut self, seen: &Seen, input: &mut RecvBuffer) {
        self.count_received(seen);
        input.consume(seen.len);
    }

    fn count_received(&mut self, seen: &Seen) {
        self.received.packets += 1;
        self.received.bytes += seen.len as u64;
    }

    fn hear(&mut self, now: Instant, frame: &[u8], seen: &Seen) -> Result<Heard, CloseReason> {
        if self.farewell.is_some() {
            return Err(broken("nothing follows a farewell").into());
        }
        if seen.kind == Kind::End {
            return Ok(self.end(seen.opaque));
        }
        let said = self.open_message(&frame[seen.inner.clone()], seen.inner.start)?;
        match seen.kind {
            Kind::Post => self.post(now, frame, seen.opaque, said),
            Kind::Request => self.request(frame, seen.opaque, said),
            Kind::Start => self.start(frame, seen.opaque, said),
            Kind::Message | Kind::End => self.on_stream(frame, seen.opaque, said),
        }
    }

    /// The message within a packet, without its compressions. What is no message has id 0 and
    /// nothing inside.
    fn open_message(&mut self, inner: &[u8], start: usize) -> Result<Said, CloseReason> {
        let dialect = self.shared.dialect;
        let unpressed = self.unpress.open(dialect, inner).map_err(broken)?;
        let message = match &unpressed {
            Unpressed::Plain => inner,
            Unpressed::Message(message) => message,
        };
        let Some((id, range)) = message::read(dialect, message) else {
            Counters::add(&self.shared.counters.invalid, 1);
            return Ok(Said { id: 0, body: BodyAt::Here(start..start) });
        };
        let body = match unpressed {
            Unpressed::Plain => BodyAt::Here(start + range.start..start + range.end),
            Unpressed::Message(message) => {
                let body = &message[range];
                let mut buffer = self.pool.acquire(body.len())?;
                buffer.extend_from_slice(body)?;
                buffer.mark_opened(body.len());
                self.unpressed = Some(buffer);
                BodyAt::Unpressed
            }
        };
        Ok(Said { id, body })
    }

    /// The body of a message.
    fn body<'a>(&'a self, said: &Said, frame: &'a [u8]) -> &'a [u8] {
        match &said.body {
            BodyAt::Here(range) => &frame[range.clone()],
            BodyAt::Unpressed => self.unpressed.as_ref().map_or(&[], RecvBuffer::readable),
        }
    }

    /// One of gofast's own messages.
    #[inline]
    fn is(&self, said: &Said, built_in: u64) -> bool {
        said.id == self.shared.dialect.id_of(built_in)
    }

    fn post(
        &mut self,
        now: Instant,
        frame: &[u8],
        opaque: u64,
        said: Said,
    ) -> Result<Heard, CloseReason> {
        if self.shared.opaques.meaning(opaque).is_some() {
            return Err(OVERLAP.into());
        }
        self.received.posts += 1;
        if self.is(&said, HEARTBEAT) && said.id > 0 {
            Counters::add(&self.shared.counters.n_rxbeats, 1);
            self.shared.counters.heard(now);
            let count = heartbeat_count(self.shared.dialect, self.body(&said, frame));
            return Ok(Heard::Say(Short::Heartbeat(count.unwrap_or(0))));
        }
        if self.shared.ours && self.is(&said, OURS) {
            return self.word_posted(opaque, &said, frame);
        }
        let (kind, _) = self.shared.ids.kind(said.id);
        Ok(Heard::Message(What::Post(kind), said.body))
    }

    fn request(&mut self, frame: &[u8], opaque: u64, said: Said) -> Result<Heard, CloseReason> {
        if let Some(meaning) = self.shared.opaques.meaning(opaque) {
            return self.answer(frame, meaning, said);
        }
        Counters::add(&self.shared.counters.n_rxreq, 1);
        let owed = if self.is(&said, PING) {
            let text = ping_said(self.shared.dialect, self.body(&said, frame));
            Some(Owed::Ping(text.unwrap_or(&[]).to_vec()))
        } else {
            self.is(&said, WHOAMI).then_some(Owed::Whoami)
        };
        let mut exchanges = self.shared.lock();
        if let Some(owed) = owed {
            let number = exchanges.owed.note(opaque, owed);
            let too_many = || flow("more pings than answers that are read");
            return Ok(Heard::Say(Short::Ping(number.ok_or_else(too_many)?)));
        }
        let (kind, answer_id) = self.shared.ids.kind(said.id);
        match exchanges.requests.begin(opaque, answer_id) {
            Ok(id) => Ok(Heard::Message(What::Request(id, kind), said.body)),
            Err(NoSlot::InUse) => {
                Err(broken("a request on an opaque whose last one is not answered yet").into())
            }
            Err(NoSlot::TooMany) if self.shared.ours => {
                Err(flow("more requests than may be in flight (knob: `in_flight_max`)").into())
            }
            // It was not told how many we take, and cannot be told that this is one too many.
            Err(NoSlot::TooMany) => {
                Counters::add(&self.shared.counters.errors_unsaid, 1);
                Ok(Heard::Nothing)
            }
        }
    }

    fn start(&mut self, frame: &[u8], opaque: u64, said: Said) -> Result<Heard, CloseReason> {
        if self.shared.opaques.meaning(opaque).is_some() {
            return Err(OVERLAP.into());
        }
        let begun = self.shared.lock().streams.begin_of_peer(opaque, said.id);
        match begun {
            Begun::Over(stream) => Ok(Heard::EndFirst(stream)),
            Begun::InUse => Err(broken("a stream begun on an opaque that stands for one").into()),
            Begun::TooManyForgotten => {
                Err(flow("more streams that are reset than are ended").into())
            }
            Begun::NoNumber => Err(flow("more than 2^31 streams in one session").into()),
            Begun::New(stream) => {
                Counters::add(&self.shared.counters.n_rxstart, 1);
                if self.shared.ours && self.is(&said, RAW) {
                    std::str::from_utf8(self.body(&said, frame))
                        .map_err(|_| broken("the name of a stream of bytes is text"))?;
                    return Ok(Heard::Message(What::OpenRaw(stream), said.body));
                }
                let (kind, _) = self.shared.ids.kind(said.id);
                Ok(Heard::Message(What::Open(stream, kind), said.body))
            }
        }
    }

    fn on_stream(&mut self, frame: &[u8], opaque: u64, said: Said) -> Result<Heard, CloseReason> {
        let found =
            self.shared.stream_at(opaque).and_then(|at| self.shared.lock().streams.find(at));
        let Some((stream, is_heard)) = found else {
            Counters::add(&self.shared.counters.n_mdrops, 1);
            return Ok(Heard::Nothing);
        };
        self.received.messages += 1;
        if self.shared.ours && self.is(&said, OURS) {
            return self.word_on_stream(opaque, stream, &said, frame);
        }
        if !is_heard {
            Counters::add(&self.shared.counters.n_mdrops, 1);
            return Ok(Heard::Nothing);
        }
        Ok(Heard::Message(What::Data(stream), said.body))
    }

    fn end(&mut self, opaque: u64) -> Heard {
        let at = self.shared.stream_at(opaque);
        let said = at.map_or(EndSaid::Unknown, |at| self.shared.lock().streams.hear_end(at));
        if said == EndSaid::Unknown {
            Counters::add(&self.shared.counters.n_mdrops, 1);
        } else {
            Counters::add(&self.shared.counters.n_rxfin, 1);
        }
        let EndSaid::Told(stream) = said else {
            self.drop_trailers();
            return Heard::Nothing;
        };
        Heard::Say(Short::End(stream))
    }

    /// Last values of streams that are over, or that the session has forgotten.
    pub(crate) fn drop_trailers(&mut self) {
        if !self.trailers.is_empty() {
            let streams = &self.shared.lock().streams;
            self.trailers.retain(|(of, _)| streams.is_heard(*of));
        }
    }

    fn short(&mut self, short: Short) -> Frame<'static> {
        match short {
            Short::Cancel(id) => Frame::Cancel { id },
            Short::Cut(id) => {
                let (code, message) = (ErrorCode::CANCELLED, "".into());
                Frame::Error { id, code, message, detail: Body::EMPTY }
            }
            Short::Ping(nonce) => Frame::Ping { nonce },
            Short::Pong(nonce) => Frame::Pong { nonce },
            Short::Heartbeat(count) => Frame::Heartbeat { count },
            Short::End(stream) => {
                let place = self.trailers.iter().position(|(of, _)| *of == stream);
                let trailer = place.map(|place| Body::Owned(self.trailers.swap_remove(place).1));
                Frame::End { stream, trailer: trailer.unwrap_or(Body::EMPTY) }
            }
            Short::Other(frame) => *frame,
        }
    }

    /// gofast has no farewell: between two frames an end is a good one.
    pub(crate) fn eof(&mut self) -> CloseReason {
        if self.amid {
            return CloseReason::Truncated;
        }
        let farewell = self.farewell.take();
        if self.shared.ours {
            return farewell.map_or(CloseReason::Truncated, CloseReason::ByPeer);
        }
        CloseReason::ByPeer(Farewell::ordinary())
    }

    pub(crate) fn park(&mut self) {
        self.unpress.park();
    }
}

fn flow(rule: &'static str) -> Violation {
    Violation::with_code(11, rule, ErrorCode::FLOW)
}

/// The frame of a message, and what it would cost if anybody counted.
#[inline]
fn step(what: What, body: Body<'_>, len: usize) -> Result<Step<'_>, CloseReason> {
    let meta = Meta::default();
    let cost = len as u64 + UNIT_COST;
    // Nobody counts what is sent on it.
    let credit = 1 << 31;
    Ok(match what {
        What::Post(kind) => Step::Frame(Frame::Post { kind, meta, body }, Cost::Session(cost)),
        What::Request(id, kind) => {
            Step::Frame(Frame::Request { id, kind, meta, body }, Cost::Session(cost))
        }
        What::Response(id) => Step::Frame(Frame::Response { id, body }, Cost::Exempt),
        What::Open(stream, kind) => {
            let opening = Opening::Typed { kind, body };
            Step::Frame(Frame::Open { stream, opening, credit, meta }, Cost::Session(cost))
        }
        What::OpenRaw(stream) => {
            let name = String::from_utf8_lossy(body.bytes()).into_owned().into();
            let opening = Opening::Raw { name };
            Step::Frame(Frame::Open { stream, opening, credit, meta }, Cost::Session(cost))
        }
        What::Data(stream) => {
            let frame = Frame::Data { stream, body, acknowledge: false };
            Step::Frame(frame, Cost::Stream(stream, cost))
        }
        What::Error(id) => Step::Frame(answers::error(id, body)?, Cost::Exempt),
    })
}
