//! What stands before the body of a unit: ids, the message type, metadata.

use std::borrow::Cow;
use std::sync::Arc;

use super::meta;
use super::unit::{Fields, Flags, Op};
use crate::closed::{Violation, printable};
use crate::code::ErrorCode;
use crate::dictionary::PeerTypes;
use crate::frame::{Body, Frame, Kind, Meta, Unsupported};
use crate::limits::TEXT_MAX;

/// The head of a unit that has a body.
#[derive(Debug)]
pub(super) enum Head {
    Post {
        kind: Kind,
        meta: Meta,
    },
    Request {
        id: u32,
        kind: Kind,
        meta: Meta,
    },
    Response {
        id: u32,
    },
    Error {
        id: u32,
        code: ErrorCode,
    },
    Subscribe {
        id: u32,
    },
    /// It belongs to something that is over.
    Late,
}

/// What the decoder remembers of the numbers its peer has used.
#[derive(Debug)]
pub(super) struct Ids {
    pub(super) types: Arc<PeerTypes>,
    /// Lowest bit of the numbers of streams that the peer opens.
    parity: u32,
    highest_stream: u32,
    highest_alias: u64,
}

impl Ids {
    pub(super) fn new(types: Arc<PeerTypes>, peer_dialed: bool) -> Self {
        Self { types, parity: u32::from(!peer_dialed), highest_stream: 0, highest_alias: 0 }
    }

    /// Reads the head of a unit; its body is left.
    pub(super) fn read_head(
        &mut self,
        op: Op,
        flags: Flags,
        fields: &mut Fields<'_>,
    ) -> Result<Head, Violation> {
        Ok(match op {
            Op::Post => Head::Post { kind: self.kind(fields)?, meta: read_meta(flags, fields)? },
            Op::Request => {
                let (id, kind) = (fields.u32()?, self.kind(fields)?);
                let mut meta = read_meta(flags, fields)?;
                meta.idempotent = flags.x();
                Head::Request { id, kind, meta }
            }
            Op::Response => Head::Response { id: fields.u32()? },
            Op::Error => Head::Error { id: fields.u32()?, code: code(fields)? },
            Op::Data => {
                self.stream_was_opened(fields.u32()?)?;
                Head::Late
            }
            Op::Subscribe => {
                let id = fields.u32()?;
                self.subscribed(fields.uint()?)?;
                Head::Subscribe { id }
            }
            //= docs/PROTOCOL.md#6
            Op::Publish => {
                return Err(Violation::protocol(6, "PUBLISH to an alias never subscribed"));
            }
            _ => return Err(Violation::protocol(8, "a unit of this type is never fragmented")),
        })
    }

    //= docs/PROTOCOL.md#4
    /// A number the peer has not told may be told yet; 0 never can be.
    fn kind(&self, fields: &mut Fields<'_>) -> Result<Kind, Violation> {
        match fields.u32()? {
            0 => Err(Violation::protocol(4, "types are numbered from 1")),
            tid => Ok(self.types.kind(tid)),
        }
    }

    //= docs/PROTOCOL.md#6
    /// The peer opens a stream: a number of its own, above all it has used.
    pub(super) fn open_stream(&mut self, id: u32) -> Result<(), Violation> {
        if id < 2 || id & 1 != self.parity {
            return Err(Violation::protocol(6, "OPEN with a number that is not the sender's"));
        }
        if id <= self.highest_stream {
            return Err(Violation::protocol(6, "OPEN with a number that was used before"));
        }
        self.highest_stream = id;
        Ok(())
    }

    //= docs/PROTOCOL.md#6
    /// Every stream was refused, so whatever names one comes late: if it ever was opened.
    pub(super) fn stream_was_opened(&self, id: u32) -> Result<(), Violation> {
        if id < 2 || id & 1 != self.parity || id > self.highest_stream {
            return Err(Violation::protocol(6, "a stream that was never opened"));
        }
        Ok(())
    }

    fn subscribed(&mut self, alias: u64) -> Result<(), Violation> {
        if alias <= self.highest_alias {
            return Err(Violation::protocol(6, "SUBSCRIBE with an alias that was used before"));
        }
        self.highest_alias = alias;
        Ok(())
    }

    pub(super) fn was_subscribed(&self, alias: u64) -> Result<(), Violation> {
        if alias > self.highest_alias {
            return Err(Violation::protocol(6, "UNSUBSCRIBE of an alias never subscribed"));
        }
        Ok(())
    }
}

pub(super) fn read_meta(flags: Flags, fields: &mut Fields<'_>) -> Result<Meta, Violation> {
    if flags.meta() { meta::read(fields) } else { Ok(Meta::default()) }
}

pub(super) fn code(fields: &mut Fields<'_>) -> Result<ErrorCode, Violation> {
    match i32::try_from(fields.int()?) {
        Ok(code) => Ok(ErrorCode(code)),
        Err(_) => Err(Violation::protocol(1, "an error code beyond 32 bits")),
    }
}

/// A text of the peer's: used as it is only where it is short and cannot confuse a log.
pub(super) fn text<'a>(fields: &mut Fields<'a>) -> Result<Cow<'a, str>, Violation> {
    let text = fields.str()?;
    if text.len() <= TEXT_MAX && !text.contains(char::is_control) {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(printable(text).into()))
}

impl Head {
    /// Puts the body behind it.
    pub(super) fn with_body(self, body: Body<'_>) -> Result<Frame<'_>, Violation> {
        Ok(match self {
            Head::Post { kind, meta } => Frame::Post { kind, meta, body },
            Head::Request { id, kind, meta } => Frame::Request { id, kind, meta, body },
            Head::Response { id } => Frame::Response { id, body },
            Head::Error { id, code } => {
                let (message, detail) = split_error(body)?;
                Frame::Error { id, code, message, detail }
            }
            Head::Subscribe { id } => Frame::Unsupported(Unsupported::Subscription { id }),
            Head::Late => Frame::Partial,
        })
    }
}

/// The text of an ERROR, and what is behind it.
fn split_error(body: Body<'_>) -> Result<(Cow<'_, str>, Body<'_>), Violation> {
    match body {
        Body::Borrowed(bytes) => {
            let mut fields = Fields::new(bytes);
            let message = text(&mut fields)?;
            Ok((message, Body::Borrowed(fields.rest())))
        }
        Body::Owned(mut buffer) => {
            let mut fields = Fields::new(buffer.readable());
            let message = text(&mut fields)?.into_owned();
            let used = buffer.readable().len() - fields.rest().len();
            buffer.consume(used);
            Ok((Cow::Owned(message), Body::Owned(buffer)))
        }
    }
}
