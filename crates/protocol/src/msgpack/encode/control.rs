//! Units that are short, have no body, and take no credit.

use moorline_buffers::{PoolExhausted, SendBuffer};

use super::place::{Parts, append_unit};
use super::{TEXT_HEAD_MAX, UINT_LEN_MAX};
use crate::code::ErrorCode;
use crate::frame::Frame;
use crate::limits::TEXT_MAX;
use crate::msgpack::put::Put;
use crate::msgpack::unit::{Flags, Op};

/// Appends a frame of this kind; the caller has seen to all others.
pub(super) fn append(frame: &Frame<'_>, out: &mut SendBuffer) -> Result<u64, PoolExhausted> {
    match frame {
        Frame::Cancel { id } => numbers(Op::Cancel, &[(*id).into()], out),
        Frame::Credit { stream, total } => numbers(Op::Credit, &[(*stream).into(), *total], out),
        Frame::Ack { stream, count } => numbers(Op::Ack, &[(*stream).into(), *count], out),
        Frame::Unsubscribe { alias } => numbers(Op::Unsubscribe, &[*alias], out),
        Frame::Ping { nonce } => numbers(Op::Ping, &[*nonce], out),
        Frame::Pong { nonce } => numbers(Op::Pong, &[*nonce], out),
        Frame::Reset { stream, code, message } => {
            last_words(Op::Reset.ty(), Some(*stream), *code, message, out)
        }
        Frame::GoAway { code, message, obeyed } => {
            let flag = if *obeyed { Flags::X } else { 0 };
            last_words(Op::GoAway.ty() | flag, None, *code, message, out)
        }
        Frame::Close { code, message } => last_words(Op::Close.ty(), None, *code, message, out),
        _ => unreachable!("frames with a body have a place of their own"),
    }
}

//= docs/PROTOCOL.md#8
/// The rest of a message in pieces never comes.
pub(super) fn abort(fid: u8, out: &mut SendBuffer) -> Result<u64, PoolExhausted> {
    numbers(Op::FragAbort, &[fid.into()], out)
}

fn numbers(op: Op, values: &[u64], out: &mut SendBuffer) -> Result<u64, PoolExhausted> {
    let mut payload = [0; 2 * UINT_LEN_MAX];
    let mut put = Put::new(&mut payload);
    for value in values {
        put.uint(*value);
    }
    let len = put.len();
    append_unit(op.ty(), false, Parts([&payload[..len], &[]]), out)
}

/// A code and a text, about a stream or about the connection.
fn last_words(
    ty: u8,
    stream: Option<u32>,
    code: ErrorCode,
    text: &str,
    out: &mut SendBuffer,
) -> Result<u64, PoolExhausted> {
    let mut payload = [0; TEXT_HEAD_MAX];
    let mut put = Put::new(&mut payload);
    if let Some(stream) = stream {
        put.uint(stream.into());
    }
    put.int(code.0);
    if !text.is_empty() {
        put.str(cut(text));
    }
    let len = put.len();
    append_unit(ty, false, Parts([&payload[..len], &[]]), out)
}

pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_MAX)]
}
