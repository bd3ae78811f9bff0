//! What goes over a stream, but for the units that are only numbers.

use moorline_buffers::SendBuffer;

use super::place::Parts;
use super::{Flow, MsgpackEncoder, UINT_LEN_MAX, number_of, put_meta};
use crate::frame::{Meta, Opening};
use crate::limits::NAME_MAX;
use crate::msgpack::meta::META_LEN_MAX;
use crate::msgpack::put::Put;
use crate::msgpack::unit::{self, Flags, Op};
use crate::seam::{EncodeError, Lane};

/// What can stand before the body of an OPEN: two ids, the credit, the metadata; or all of it, where
/// the body is a name.
const OPEN_HEAD_MAX: usize = 3 * UINT_LEN_MAX + META_LEN_MAX + NAME_LEN_MAX;

/// The longest name as a value.
pub(super) const NAME_LEN_MAX: usize = 3 + NAME_MAX;

impl MsgpackEncoder {
    //= docs/PROTOCOL.md#1
    pub(super) fn open(
        &self,
        stream: u32,
        opening: &Opening<'_>,
        credit: u64,
        meta: &Meta,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let mut head = [0; OPEN_HEAD_MAX];
        let mut put = Put::new(&mut head);
        let (mut ty, tid) = match opening {
            Opening::Typed { kind, .. } => (Op::Open.ty(), number_of(kind)?),
            Opening::Raw { .. } => (Op::Open.ty() | Flags::X, 0),
        };
        put.uint(stream.into());
        put.uint(tid.into());
        put.uint(credit);
        ty |= put_meta(meta, &mut put);
        let body = match opening {
            Opening::Typed { body, .. } => body.bytes(),
            Opening::Raw { name } => {
                put.str(checked(name)?);
                &[]
            }
        };
        let len = put.len();
        let too_long = "a message longer than a unit (16 KiB, or the peer's record) that opens a \
                        stream; open it with less, and send the rest on it";
        self.whole(ty, true, Parts([&head[..len], body]), too_long, out)
    }

    pub(super) fn data(
        &self,
        stream: u32,
        body: &[u8],
        acknowledge: bool,
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let mut head = [0; UINT_LEN_MAX];
        let len = unit::write_uint(&mut head, stream.into());
        let ty = Op::Data.ty() | if acknowledge { Flags::X } else { 0 };
        self.message(ty, Flow::Data, Parts([&head[..len], body]), lane, out)
    }

    //= docs/PROTOCOL.md#8
    /// It takes no credit, so it must be short.
    pub(super) fn end(
        &self,
        stream: u32,
        trailer: &[u8],
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let mut head = [0; UINT_LEN_MAX];
        let len = unit::write_uint(&mut head, stream.into());
        let too_long = "a trailer longer than a unit (16 KiB, or the peer's record); send it as a \
                        message on the stream before its end";
        self.whole(Op::End.ty(), false, Parts([&head[..len], trailer]), too_long, out)
    }
}

//= docs/PROTOCOL.md#1
/// A name that the peer will not take for a broken rule.
pub(super) fn checked(name: &str) -> Result<&str, EncodeError> {
    if name.len() > NAME_MAX {
        return Err(EncodeError::Unsupported("a stream or topic name above 256 bytes"));
    }
    if name.contains(char::is_control) {
        return Err(EncodeError::Unsupported("a stream or topic name with control characters"));
    }
    Ok(name)
}
