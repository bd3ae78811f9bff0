//! Frames into units. Immutable once the connection is open, so that any thread encodes.

mod dict;
mod fragment;
mod place;

use moorline_buffers::{PoolExhausted, SendBuffer};

use self::place::{Overhead, Parts, append_unit};
use super::meta::{self, META_LEN_MAX};
use super::put::Put;
use super::unit::{self, Flags, Op};
use crate::code::ErrorCode;
use crate::dictionary::HandledTypes;
use crate::format::Format;
use crate::frame::{Frame, Kind, Meta, Unsupported};
use crate::limits::{TEXT_MAX, UNIT_COST, UNIT_MAX};
use crate::registry::MessageRegistry;
use crate::seam::{Abilities, EncodeError, Encoder};

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

    fn call(
        &self,
        op: Op,
        id: Option<u32>,
        (kind, meta): (&Kind, &Meta),
        body: &[u8],
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let &Kind::Known(index) = kind else {
            return Err(EncodeError::Unsupported("a message of a type this process does not have"));
        };
        let mut head = [0; CALL_HEAD_MAX];
        let mut put = Put::new(&mut head);
        if let Some(id) = id {
            put.uint(id.into());
        }
        put.uint(index.tid().into());
        let mut ty = op.ty();
        if meta.idempotent && op == Op::Request {
            ty |= Flags::X;
        }
        if !meta.is_empty() {
            ty |= Flags::META;
            meta::write(meta, &mut put);
        }
        let len = put.len();
        self.message(ty, true, Parts([&head[..len], body]), out)
    }

    fn error(
        &self,
        id: u32,
        (code, text): (ErrorCode, &str),
        detail: &[u8],
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let mut head = [0; TEXT_HEAD_MAX];
        let mut put = Put::new(&mut head);
        put.uint(id.into());
        put.int(code.0);
        put.str(cut(text));
        let len = put.len();
        self.message(Op::Error.ty(), false, Parts([&head[..len], detail]), out)
    }

    /// A message, whole or in pieces. `initiates` says whether it takes credit.
    fn message(
        &self,
        ty: u8,
        initiates: bool,
        parts: Parts<'_>,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let unit_max = self.unit_max.min(out.block_max());
        if HEADER_LEN_MAX + parts.len() > unit_max {
            return Ok(fragment::append(ty, initiates, parts, unit_max, out)?);
        }
        Ok(append_unit(ty, initiates, parts, out)?)
    }
}

impl Encoder for MsgpackEncoder {
    fn format(&self) -> Format {
        Format::MessagePack
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            credit: true,
            cancel: true,
            typed_errors: true,
            deadlines: true,
            dictionary: true,
            farewell: true,
            streams: false,
            topics: false,
        }
    }

    fn encode(&self, frame: &Frame<'_>, out: &mut SendBuffer) -> Result<u64, EncodeError> {
        match frame {
            Frame::Post { kind, meta, body } => {
                return self.call(Op::Post, None, (kind, meta), body.bytes(), out);
            }
            Frame::Request { id, kind, meta, body } => {
                return self.call(Op::Request, Some(*id), (kind, meta), body.bytes(), out);
            }
            Frame::Response { id, body } => {
                let mut head = [0; UINT_LEN_MAX];
                let len = unit::write_uint(&mut head, (*id).into());
                let parts = Parts([&head[..len], body.bytes()]);
                return self.message(Op::Response.ty(), false, parts, out);
            }
            Frame::Error { id, code, message, detail } => {
                return self.error(*id, (*code, message), detail.bytes(), out);
            }
            Frame::Unsupported(Unsupported::Subscription { id }) => {
                let text = "topics are not offered here";
                return self.error(*id, (ErrorCode::UNIMPLEMENTED, text), &[], out);
            }
            Frame::Unsupported(Unsupported::Stream { id }) => {
                numbers(Op::Reset, &[(*id).into()], Some(ErrorCode::UNIMPLEMENTED), out)
            }
            Frame::Cancel { id } => numbers(Op::Cancel, &[(*id).into()], None, out),
            Frame::Credit { stream, total } => {
                numbers(Op::Credit, &[(*stream).into(), *total], None, out)
            }
            Frame::Ping { nonce } => numbers(Op::Ping, &[*nonce], None, out),
            Frame::Pong { nonce } => numbers(Op::Pong, &[*nonce], None, out),
            Frame::GoAway { code, message, obeyed } => {
                let flag = if *obeyed { Flags::X } else { 0 };
                farewell(Op::GoAway.ty() | flag, *code, message, out)
            }
            Frame::Close { code, message } => farewell(Op::Close.ty(), *code, message, out),
            Frame::Types(_) => return Err(EncodeError::Unsupported("a table: announce it")),
            Frame::Partial | Frame::Refused(_) => {
                return Err(EncodeError::Unsupported("what only a receiver sees"));
            }
        }?;
        Ok(0)
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

/// A unit of ids and numbers, none of which takes credit.
fn numbers(
    op: Op,
    values: &[u64],
    code: Option<ErrorCode>,
    out: &mut SendBuffer,
) -> Result<u64, PoolExhausted> {
    let mut payload = [0; 3 * UINT_LEN_MAX];
    let mut put = Put::new(&mut payload);
    for value in values {
        put.uint(*value);
    }
    if let Some(code) = code {
        put.int(code.0);
    }
    let len = put.len();
    append_unit(op.ty(), false, Parts([&payload[..len], &[]]), out)
}

fn farewell(
    ty: u8,
    code: ErrorCode,
    text: &str,
    out: &mut SendBuffer,
) -> Result<u64, PoolExhausted> {
    let mut payload = [0; TEXT_HEAD_MAX];
    let mut put = Put::new(&mut payload);
    put.int(code.0);
    if !text.is_empty() {
        put.str(cut(text));
    }
    let len = put.len();
    append_unit(ty, false, Parts([&payload[..len], &[]]), out)
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_MAX)]
}

#[cfg(test)]
mod tests;
