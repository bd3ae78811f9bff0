//! Frames into units. Immutable once the connection is open, so that any thread encodes.

mod control;
mod dict;
mod flow;
mod fragment;
mod place;
mod stream;
mod topic;

use moorline_buffers::{PoolExhausted, SendBuffer};

use self::control::cut;
use self::flow::Flow;
use self::place::{Overhead, Parts, append_unit};
use super::meta::{self, META_LEN_MAX};
use super::put::Put;
use super::unit::{self, Flags, Op};
use crate::code::ErrorCode;
use crate::dictionary::HandledTypes;
use crate::format::Format;
use crate::frame::{Frame, Kind, Meta, Pieces};
use crate::limits::{TEXT_MAX, UNIT_COST, UNIT_MAX};
use crate::registry::MessageRegistry;
use crate::seam::{Abilities, EncodeError, Encoder, Lane};

/// The longest header of a unit.
pub(super) const HEADER_LEN_MAX: usize = 4;

/// The longest integer.
const UINT_LEN_MAX: usize = 9;

/// What can stand before the body of a post or request: two ids and the metadata.
const CALL_HEAD_MAX: usize = 2 * UINT_LEN_MAX + META_LEN_MAX;

/// What can stand before the detail of an ERROR: an id, a code and a text.
const TEXT_HEAD_MAX: usize = UINT_LEN_MAX + 5 + 3 + TEXT_MAX;

/// The encoder of `msgpack` and `msgpack-plain`: the units are the same.
#[derive(Debug)]
pub(crate) struct MsgpackEncoder {
    registry: MessageRegistry,
    /// Whole units, header included, do not get longer than this.
    unit_max: usize,
}

impl MsgpackEncoder {
    /// `block_max` is what the peer takes in one record, or what our blocks hold if that is less.
    pub(crate) fn new(registry: MessageRegistry, block_max: usize) -> Self {
        Self { registry, unit_max: block_max.min(UNIT_MAX) }
    }

    /// Tells the first `types` types, those of the digest, to a peer with another list.
    pub(crate) fn announce_first(
        &self,
        types: u32,
        handled: &HandledTypes,
        out: &mut SendBuffer,
    ) -> Result<(), PoolExhausted> {
        let mut hashes = self.registry.hashes(0);
        hashes.truncate(types as usize);
        dict::append(0, &hashes, handled, self.unit_max.min(out.block_max()), out)?;
        Ok(())
    }
}

impl Encoder for MsgpackEncoder {
    fn format(&self) -> Format {
        Format::MessagePack
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            credit: true,
            limits: true,
            cancel: true,
            typed_errors: true,
            deadlines: true,
            dictionary: true,
            farewell: true,
            pings: true,
            streams: true,
            topics: true,
        }
    }

    fn encode(
        &self,
        frame: &Frame<'_>,
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        match frame {
            Frame::Post { kind, meta, body } => {
                self.call(None, (kind, meta), body.bytes(), lane, out)
            }
            Frame::Request { id, kind, meta, body } => {
                self.call(Some(*id), (kind, meta), body.bytes(), lane, out)
            }
            Frame::Response { id, body } => self.response(*id, body.bytes(), lane, out),
            Frame::Error { id, code, message, detail } => {
                self.error(*id, (*code, message), detail.bytes(), lane, out)
            }
            Frame::Open { stream, opening, credit, meta } => {
                self.open(*stream, opening, *credit, meta, out)
            }
            Frame::Data { stream, body, acknowledge } => {
                self.data(*stream, body.bytes(), *acknowledge, lane, out)
            }
            Frame::End { stream, trailer } => self.end(*stream, trailer.bytes(), out),
            Frame::Subscribe { id, alias, topic, retained, meta } => {
                self.subscribe((*id, *alias), (topic, *retained), meta, out)
            }
            Frame::Publish { alias, kind, body, retained } => {
                self.publish(*alias, kind, (body.bytes(), *retained), lane, out)
            }
            Frame::Lagged { alias, count } => self.lagged(*alias, *count, out),
            Frame::Aborted(pieces) => {
                let flow = if *pieces == Pieces::Data { Flow::Data } else { Flow::Requests };
                Ok(control::abort(flow.fragment_id(lane), out)?)
            }
            Frame::Types(_) => Err(EncodeError::Unsupported("a table: announce it")),
            Frame::Partial | Frame::Piece { .. } | Frame::Refused(_) => {
                Err(EncodeError::Unsupported("what only a receiver sees"))
            }
            _ => Ok(control::append(frame, out)?),
        }
    }

    fn cost(&self, body_len: usize) -> u64 {
        let payload = CALL_HEAD_MAX + body_len;
        let units = if HEADER_LEN_MAX + payload <= self.unit_max {
            Overhead { units: 1, bytes: HEADER_LEN_MAX }
        } else {
            fragment::overhead(payload, self.unit_max)
        };
        (payload + units.bytes) as u64 + units.units as u64 * UNIT_COST
    }

    fn announce(
        &self,
        told: u32,
        handled: &HandledTypes,
        out: &mut SendBuffer,
    ) -> Result<u32, EncodeError> {
        let hashes = self.registry.hashes(told);
        Ok(dict::append(told, &hashes, handled, self.unit_max.min(out.block_max()), out)?)
    }
}

impl MsgpackEncoder {
    /// A request where there is an `id`, else a post.
    fn call(
        &self,
        id: Option<u32>,
        (kind, meta): (&Kind, &Meta),
        body: &[u8],
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let tid = number_of(kind)?;
        let (mut ty, flow) = match id {
            Some(_) => (Op::Request.ty(), Flow::Requests),
            None => (Op::Post.ty(), Flow::Posts),
        };
        let mut head = [0; CALL_HEAD_MAX];
        let mut put = Put::new(&mut head);
        if let Some(id) = id {
            put.uint(id.into());
            if meta.idempotent {
                ty |= Flags::X;
            }
        }
        put.uint(tid.into());
        ty |= put_meta(meta, &mut put);
        let len = put.len();
        self.message(ty, flow, Parts([&head[..len], body]), lane, out)
    }

    fn response(
        &self,
        id: u32,
        body: &[u8],
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let mut head = [0; UINT_LEN_MAX];
        let len = unit::write_uint(&mut head, id.into());
        self.message(Op::Response.ty(), Flow::Answers, Parts([&head[..len], body]), lane, out)
    }

    fn error(
        &self,
        id: u32,
        (code, text): (ErrorCode, &str),
        detail: &[u8],
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let mut head = [0; TEXT_HEAD_MAX];
        let mut put = Put::new(&mut head);
        put.uint(id.into());
        put.int(code.0);
        put.str(cut(text));
        let len = put.len();
        self.message(Op::Error.ty(), Flow::Answers, Parts([&head[..len], detail]), lane, out)
    }

    /// A message, whole or in pieces.
    fn message(
        &self,
        ty: u8,
        flow: Flow,
        parts: Parts<'_>,
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let unit_max = self.unit_max.min(out.block_max());
        if HEADER_LEN_MAX + parts.len() > unit_max {
            return Ok(fragment::append(ty, (flow, lane), parts, unit_max, out)?);
        }
        Ok(append_unit(ty, flow.takes_credit(), parts, out)?)
    }

    /// A unit that never is in pieces; `what` says what it is to whoever made it too long.
    fn whole(
        &self,
        ty: u8,
        takes_credit: bool,
        parts: Parts<'_>,
        what: &'static str,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        if HEADER_LEN_MAX + parts.len() > self.unit_max.min(out.block_max()) {
            return Err(EncodeError::Unsupported(what));
        }
        Ok(append_unit(ty, takes_credit, parts, out)?)
    }
}

/// Our number of a type.
fn number_of(kind: &Kind) -> Result<u32, EncodeError> {
    match kind {
        Kind::Known(index) => Ok(index.tid()),
        Kind::Unknown { .. } => {
            Err(EncodeError::Unsupported("a message of a type this process does not have"))
        }
    }
}

/// Writes the metadata if there are any, and returns the flag that says so.
fn put_meta(meta: &Meta, put: &mut Put<'_>) -> u8 {
    if meta.is_empty() {
        return 0;
    }
    meta::write(meta, put);
    Flags::META
}

#[cfg(test)]
mod tests;
