//! Units of a stream that are never in pieces, and of topics, likewise.

use crate::closed::Violation;
use crate::dictionary::PeerTypes;
use crate::frame::{Body, Frame, Opening};
use crate::msgpack::head::{NO_STREAM, code, kind, last_words, name, read_meta, sid, whole};
use crate::msgpack::unit::{Fields, Flags};
use crate::msgpack::walk::walk;

//= docs/PROTOCOL.md#1
/// OPEN. Whether its number may be used is for the session to say, which knows the others.
pub(super) fn open<'b>(
    types: &PeerTypes,
    flags: Flags,
    fields: &mut Fields<'b>,
) -> Result<Frame<'b>, Violation> {
    let stream = sid(fields)?;
    let kind =
        if flags.x() { no_kind(fields).map(|()| None) } else { kind(types, fields).map(Some) }?;
    let credit = fields.uint()?;
    let meta = read_meta(flags, fields)?;
    let opening = match kind {
        Some(kind) => Opening::Typed { kind, body: Body::Borrowed(fields.rest()) },
        None => {
            let name = name(fields)?.into();
            whole(fields)?;
            Opening::Raw { name }
        }
    };
    Ok(Frame::Open { stream, opening, credit, meta })
}

/// A raw stream carries messages of no type.
fn no_kind(fields: &mut Fields<'_>) -> Result<(), Violation> {
    match fields.u32()? {
        0 => Ok(()),
        _ => Err(Violation::protocol(1, "a raw OPEN with a message type")),
    }
}

//= docs/PROTOCOL.md#1
/// END. A trailer that is malformed is left for whoever reads it: it concerns its stream alone.
pub(super) fn end<'b>(fields: &mut Fields<'b>) -> Result<Frame<'b>, Violation> {
    let stream = sid(fields)?;
    let trailer = fields.rest();
    if !trailer.is_empty() && walk(trailer).is_ok_and(|len| len < trailer.len()) {
        return Err(Violation::protocol(1, "END with more than one trailer"));
    }
    Ok(Frame::End { stream, trailer: Body::Borrowed(trailer) })
}

pub(super) fn reset<'b>(fields: &mut Fields<'b>) -> Result<Frame<'b>, Violation> {
    let (stream, code, message) = (sid(fields)?, code(fields)?, last_words(fields)?);
    whole(fields)?;
    Ok(Frame::Reset { stream, code, message })
}

//= docs/PROTOCOL.md#1
/// ACK. That of the connection has no meaning yet, so that nobody may mind it.
pub(super) fn ack(fields: &mut Fields<'_>) -> Result<Frame<'static>, Violation> {
    let (stream, count) = (fields.u32()?, fields.uint()?);
    whole(fields)?;
    match stream {
        0 => Ok(Frame::Partial),
        1 => Err(NO_STREAM),
        _ => Ok(Frame::Ack { stream, count }),
    }
}

//= docs/PROTOCOL.md#8
pub(super) fn credit(fields: &mut Fields<'_>) -> Result<Frame<'static>, Violation> {
    let (stream, total) = (fields.u32()?, fields.uint()?);
    whole(fields)?;
    if stream == 1 { Err(NO_STREAM) } else { Ok(Frame::Credit { stream, total }) }
}

/// SUBSCRIBE. Whether its numbers may be used is for the session to say.
pub(super) fn subscribe<'b>(
    flags: Flags,
    fields: &mut Fields<'b>,
) -> Result<(u32, Frame<'b>), Violation> {
    let (id, alias) = (fields.u32()?, fields.uint()?);
    let topic = name(fields)?.into();
    let meta = read_meta(flags, fields)?;
    whole(fields)?;
    Ok((id, Frame::Subscribe { id, alias, topic, retained: flags.x(), meta }))
}

//= docs/PROTOCOL.md#1
/// A PUBLISH of no type says that messages were left out; any other is `None`.
pub(super) fn lagged(flags: Flags, payload: &[u8]) -> Result<Option<Frame<'static>>, Violation> {
    let mut fields = Fields::new(payload);
    let alias = fields.uint()?;
    if fields.u32()? != 0 {
        return Ok(None);
    }
    let count = fields.uint()?;
    whole(&fields)?;
    if flags.x() || count == 0 {
        return Err(Violation::protocol(1, "a PUBLISH of no type that tells of no loss"));
    }
    Ok(Some(Frame::Lagged { alias, count }))
}
