//! One unit into one frame.

use std::sync::Arc;

use moorline_buffers::RecvPool;

use super::head::{Ids, code, read_meta, text};
use super::reassembly::{Fragment, Reassembly};
use super::setup::bitmap;
use super::unit::{Fields, Flags, Op};
use crate::closed::{CloseReason, Violation};
use crate::code::ErrorCode;
use crate::dictionary::PeerTypes;
use crate::frame::{Body, Frame, Unsupported};
use crate::limits::{TYPES_MAX, UNIT_COST};
use crate::registry::MessageRegistry;

/// Decodes what an open peer sends. It keeps the peer's table of types, the messages that came in
/// part, and the numbers the peer has used.
#[derive(Debug)]
pub(super) struct Decoder {
    registry: MessageRegistry,
    ids: Ids,
    reassembly: Reassembly,
}

impl Decoder {
    pub(super) fn new(
        registry: MessageRegistry,
        types: Arc<PeerTypes>,
        peer_dialed: bool,
        (pool, message_max): (RecvPool, u64),
    ) -> Self {
        let reassembly = Reassembly::new(pool, message_max);
        Self { registry, ids: Ids::new(types, peer_dialed), reassembly }
    }

    pub(super) fn park(&mut self) {
        self.reassembly.park();
    }

    //= docs/PROTOCOL.md#1
    /// `unit_len` is the whole length of the unit, for its cost. Returns the frame and what it
    /// takes of the initiation window.
    pub(super) fn decode<'b>(
        &mut self,
        ty: u8,
        payload: &'b [u8],
        unit_len: usize,
    ) -> Result<(Frame<'b>, u64), CloseReason> {
        let (op, flags) = Op::split(ty)?;
        let mut fields = Fields::new(payload);
        let cost = unit_len as u64 + UNIT_COST;
        match op {
            Op::Post | Op::Request => {
                let head = self.ids.read_head(op, flags, &mut fields)?;
                self.reassembly.check_vacant(&head)?;
                Ok((head.with_body(Body::Borrowed(fields.rest()))?, cost))
            }
            Op::Response | Op::Error | Op::Data => {
                let head = self.ids.read_head(op, flags, &mut fields)?;
                Ok((head.with_body(Body::Borrowed(fields.rest()))?, 0))
            }
            Op::Frag => self.fragment(flags, fields, cost),
            Op::FragAbort => {
                let frame = match self.reassembly.abort(fid(&mut fields)?)? {
                    Some(refused) => Frame::Refused(refused),
                    None => Frame::Partial,
                };
                whole(&fields)?;
                Ok((frame, 0))
            }
            Op::Open => {
                let id = fields.u32()?;
                self.ids.open_stream(id)?;
                let (_tid, _credit) = (fields.u32()?, fields.uint()?);
                read_meta(flags, &mut fields)?;
                Ok((Frame::Unsupported(Unsupported::Stream { id }), cost))
            }
            Op::Subscribe => {
                let head = self.ids.read_head(op, flags, &mut fields)?;
                self.reassembly.check_vacant(&head)?;
                fields.str()?;
                read_meta(flags, &mut fields)?;
                whole(&fields)?;
                Ok((head.with_body(Body::EMPTY)?, cost))
            }
            _ => Ok((self.small(op, flags, fields)?, 0)),
        }
    }

    /// Units without a body, all of them exempt from credit.
    fn small<'b>(
        &mut self,
        op: Op,
        flags: Flags,
        mut fields: Fields<'b>,
    ) -> Result<Frame<'b>, Violation> {
        let frame = match op {
            Op::Cancel => Frame::Cancel { id: fields.u32()? },
            Op::Ping => Frame::Ping { nonce: fields.uint()? },
            Op::Pong => Frame::Pong { nonce: fields.uint()? },
            Op::Credit => {
                let (stream, total) = (fields.u32()?, fields.uint()?);
                if stream == 0 { Frame::Credit { stream, total } } else { self.late(stream)? }
            }
            Op::GoAway => {
                let (code, message) = (code(&mut fields)?, last_words(&mut fields)?);
                Frame::GoAway { code, message, obeyed: flags.x() }
            }
            Op::Close => {
                let (code, message) = (code(&mut fields)?, last_words(&mut fields)?);
                Frame::Close { code, message }
            }
            Op::Dict => self.dict(&mut fields)?,
            Op::End | Op::Reset | Op::Ack => {
                let stream = fields.u32()?;
                // The rest of what is late is nobody's business.
                return self.late(stream);
            }
            Op::Unsubscribe => {
                self.ids.was_subscribed(fields.uint()?)?;
                Frame::Partial
            }
            other => return misplaced(other),
        };
        whole(&fields)?;
        Ok(frame)
    }

    fn late(&self, stream: u32) -> Result<Frame<'static>, Violation> {
        self.ids.stream_was_opened(stream)?;
        Ok(Frame::Partial)
    }

    fn dict(&mut self, fields: &mut Fields<'_>) -> Result<Frame<'static>, Violation> {
        let told = Told::read(fields)?;
        let Told { first, hashes, handles } = &told;
        let types = self.ids.types.extended(&self.registry, *first, hashes, *handles)?;
        self.ids.types = Arc::clone(&types);
        Ok(Frame::Types(types))
    }

    //= docs/PROTOCOL.md#8
    fn fragment<'b>(
        &mut self,
        flags: Flags,
        mut fields: Fields<'_>,
        cost: u64,
    ) -> Result<(Frame<'b>, u64), CloseReason> {
        let fid = fid(&mut fields)?;
        let (initiates, fragment) = if flags.x() {
            self.first_fragment(fid, fields)?
        } else {
            self.reassembly.go_on(fid, fields.rest())?
        };
        let frame = match fragment {
            Fragment::Partial => Frame::Partial,
            Fragment::Refused(refused) => Frame::Refused(refused),
            Fragment::Whole(head, body) => head.with_body(Body::Owned(body))?,
        };
        Ok((frame, if initiates { cost } else { 0 }))
    }

    fn first_fragment(
        &mut self,
        fid: u8,
        mut fields: Fields<'_>,
    ) -> Result<(bool, Fragment), CloseReason> {
        // What does not fit a byte has the sign bit, and no unit has that.
        let inner = u8::try_from(fields.uint()?).unwrap_or(u8::MAX);
        let (op, flags) = Op::split(inner)?;
        let total = fields.uint()?;
        let chunk = fields.rest();
        let mut inside = Fields::new(chunk);
        let head = self.ids.read_head(op, flags, &mut inside)?;
        self.reassembly.check_vacant(&head)?;
        let answers = matches!(op, Op::Response | Op::Error);
        // A chunk of DATA takes the credit of its stream, not that of the connection.
        let initiates = !answers && op != Op::Data;
        let body = inside.rest();
        let head_len = chunk.len() - body.len();
        let fragment =
            self.reassembly.begin(fid, head, (answers, initiates), total, head_len, body)?;
        Ok((initiates, fragment))
    }
}

/// A unit that needs something the sender never may say here.
fn misplaced(op: Op) -> Result<Frame<'static>, Violation> {
    match op {
        //= docs/PROTOCOL.md#1
        Op::Ignorable18 | Op::Ignorable19 | Op::Ignorable1A | Op::Ignorable1B => Ok(Frame::Partial),
        Op::Publish => Err(Violation::protocol(6, "PUBLISH to an alias never subscribed")),
        Op::Setup => Err(Violation::protocol(4, "a second SETUP")),
        Op::KeyUpdate => Err(Violation::protocol(3, "KEY_UPDATE where there is no key")),
        _ => Err(Violation::protocol(1, "a unit that stands only outside records")),
    }
}

fn fid(fields: &mut Fields<'_>) -> Result<u8, Violation> {
    match u8::try_from(fields.uint()?) {
        Ok(fid) if fid < 16 => Ok(fid),
        _ => Err(Violation::protocol(8, "a fragment number above 15")),
    }
}

/// The text of a farewell, which may be left out.
fn last_words<'a>(fields: &mut Fields<'a>) -> Result<std::borrow::Cow<'a, str>, Violation> {
    if fields.is_empty() { Ok("".into()) } else { text(fields) }
}

fn whole(fields: &Fields<'_>) -> Result<(), Violation> {
    if fields.is_empty() {
        return Ok(());
    }
    Err(Violation::protocol(1, "something follows the last field of a unit"))
}

/// What a DICT tells.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) first: u32,
    pub(super) hashes: Vec<u64>,
    pub(super) handles: Option<&'a [u8]>,
}

impl<'a> Told<'a> {
    //= docs/PROTOCOL.md#4
    pub(super) fn read(fields: &mut Fields<'a>) -> Result<Self, Violation> {
        let first = fields.u32()?;
        let count = fields.array_len()?;
        if first == 0 {
            return Err(Violation::protocol(4, "types are numbered from 1"));
        }
        if first as usize - 1 + count > TYPES_MAX as usize {
            let rule = "more than 4,096 message types";
            return Err(Violation::with_code(9, rule, ErrorCode::FLOW));
        }
        let hashes = (0..count).map(|_| fields.uint()).collect::<Result<_, _>>()?;
        let says_nothing = fields.rest().first() == Some(&0xc0);
        let handles = if says_nothing {
            fields.skip_value()?;
            None
        } else {
            Some(bitmap(fields)?)
        };
        whole(fields)?;
        Ok(Self { first, hashes, handles })
    }
}
