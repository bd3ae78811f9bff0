//! What stands before the body of a unit: ids, the message type, metadata.

use std::borrow::Cow;

use super::meta;
use super::unit::{Fields, Flags, Op};
use crate::closed::{Violation, printable};
use crate::code::ErrorCode;
use crate::dictionary::PeerTypes;
use crate::frame::{Body, Cost, Frame, Kind, Meta, RefusedKind};
use crate::limits::{NAME_MAX, TEXT_MAX};

/// The head of a unit whose body may come in pieces.
#[derive(Debug)]
pub(super) enum Head {
    Post { kind: Kind, meta: Meta },
    Request { id: u32, kind: Kind, meta: Meta },
    Response { id: u32 },
    Error { id: u32, code: ErrorCode },
    Data { stream: u32, acknowledge: bool },
    Publish { alias: u64, kind: Kind, retained: bool },
}

/// Which window a message takes of, with all its pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Window {
    None,
    Session,
    Stream(u32),
}

impl Window {
    pub(super) fn cost(self, cost: u64) -> Cost {
        match self {
            Window::None => Cost::Exempt,
            Window::Session => Cost::Session(cost),
            Window::Stream(stream) => Cost::Stream(stream, cost),
        }
    }
}

impl Head {
    /// Reads the head of a unit; its body is left.
    pub(super) fn read(
        types: &PeerTypes,
        op: Op,
        flags: Flags,
        fields: &mut Fields<'_>,
    ) -> Result<Head, Violation> {
        Ok(match op {
            Op::Post => Head::Post { kind: kind(types, fields)?, meta: read_meta(flags, fields)? },
            Op::Request => {
                let (id, kind) = (fields.u32()?, kind(types, fields)?);
                let mut meta = read_meta(flags, fields)?;
                meta.idempotent = flags.x();
                Head::Request { id, kind, meta }
            }
            Op::Response => Head::Response { id: fields.u32()? },
            Op::Error => Head::Error { id: fields.u32()?, code: code(fields)? },
            Op::Data => Head::Data { stream: sid(fields)?, acknowledge: flags.x() },
            Op::Publish => {
                let (alias, kind) = (fields.uint()?, kind(types, fields)?);
                Head::Publish { alias, kind, retained: flags.x() }
            }
            _ => return Err(Violation::protocol(8, "a unit of this type is never fragmented")),
        })
    }

    //= docs/PROTOCOL.md#8
    pub(super) fn window(&self) -> Window {
        match self {
            Head::Post { .. } | Head::Request { .. } | Head::Publish { .. } => Window::Session,
            Head::Data { stream, .. } => Window::Stream(*stream),
            Head::Response { .. } | Head::Error { .. } => Window::None,
        }
    }

    //= docs/PROTOCOL.md#8
    /// Whether its pieces have the numbers of answers.
    pub(super) fn answers(&self) -> bool {
        matches!(self, Head::Response { .. } | Head::Error { .. })
    }

    /// What the session hears where it is not taken.
    pub(super) fn refused(&self) -> RefusedKind {
        match *self {
            Head::Post { .. } => RefusedKind::Post,
            Head::Request { id, .. } => RefusedKind::Request { id },
            Head::Response { id } | Head::Error { id, .. } => RefusedKind::Response { id },
            Head::Data { stream, .. } => RefusedKind::Data { stream },
            Head::Publish { alias, .. } => RefusedKind::Publish { alias },
        }
    }

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
            Head::Data { stream, acknowledge } => Frame::Data { stream, body, acknowledge },
            Head::Publish { alias, kind, retained } => {
                Frame::Publish { alias, kind, body, retained }
            }
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

//= docs/PROTOCOL.md#4
/// A number the peer has not told may be told yet; 0 never can be.
pub(super) fn kind(types: &PeerTypes, fields: &mut Fields<'_>) -> Result<Kind, Violation> {
    match fields.u32()? {
        0 => Err(Violation::protocol(4, "types are numbered from 1")),
        tid => Ok(types.kind(tid)),
    }
}

//= docs/PROTOCOL.md#6
/// The number of a stream. Which of them are open is for the session to say.
pub(super) fn sid(fields: &mut Fields<'_>) -> Result<u32, Violation> {
    match fields.u32()? {
        0 | 1 => Err(NO_STREAM),
        stream => Ok(stream),
    }
}

//= docs/PROTOCOL.md#6
/// Numbers begin with 2 and 3; 0 is the connection, and has no such units.
pub(super) const NO_STREAM: Violation =
    Violation::protocol(6, "a number below 2, which no stream has");

pub(super) fn read_meta(flags: Flags, fields: &mut Fields<'_>) -> Result<Meta, Violation> {
    if flags.meta() { meta::read(fields) } else { Ok(Meta::default()) }
}

pub(super) fn code(fields: &mut Fields<'_>) -> Result<ErrorCode, Violation> {
    match i32::try_from(fields.int()?) {
        Ok(code) => Ok(ErrorCode(code)),
        Err(_) => Err(Violation::protocol(1, "an error code beyond 32 bits")),
    }
}

/// The text of a farewell, which may be left out.
pub(super) fn last_words<'a>(fields: &mut Fields<'a>) -> Result<Cow<'a, str>, Violation> {
    if fields.is_empty() { Ok("".into()) } else { text(fields) }
}

/// A text of the peer's: used as it is only where it is short and cannot confuse a log.
fn text<'a>(fields: &mut Fields<'a>) -> Result<Cow<'a, str>, Violation> {
    let text = fields.str()?;
    if text.len() <= TEXT_MAX && !text.contains(char::is_control) {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(printable(text).into()))
}

//= docs/PROTOCOL.md#1
/// The name of a raw stream or topic. It is looked up, so that it cannot be escaped or cut.
pub(super) fn name<'a>(fields: &mut Fields<'a>) -> Result<&'a str, Violation> {
    let name = fields.str()?;
    if name.len() > NAME_MAX {
        return Err(Violation::protocol(1, "a stream or topic name above 256 bytes"));
    }
    if name.contains(char::is_control) {
        return Err(Violation::protocol(1, "a stream or topic name with control characters"));
    }
    Ok(name)
}

//= docs/PROTOCOL.md#1
/// Nothing follows the last field.
pub(super) fn whole(fields: &Fields<'_>) -> Result<(), Violation> {
    if fields.is_empty() {
        return Ok(());
    }
    Err(Violation::protocol(1, "something follows the last field of a unit"))
}
