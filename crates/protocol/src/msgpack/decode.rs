//! One unit into one frame.

mod stream;

use std::sync::Arc;

use moorline_buffers::RecvPool;

use super::head::{Head, Window, code, last_words, whole};
use super::reassembly::{Fragment, Reassembly};
use super::setup::bitmap;
use super::unit::{Fields, Flags, Op};
use crate::closed::{CloseReason, Violation};
use crate::code::ErrorCode;
use crate::dictionary::PeerTypes;
use crate::frame::{Body, Cost, Frame};
use crate::limits::{TYPES_MAX, UNIT_COST};
use crate::registry::MessageRegistry;

/// Decodes what an open peer sends. It keeps the peer's table of types and the messages that came in
/// part; which requests, streams and subscriptions there are, the session knows.
#[derive(Debug)]
pub(super) struct Decoder {
    registry: MessageRegistry,
    types: Arc<PeerTypes>,
    reassembly: Reassembly,
}

impl Decoder {
    pub(super) fn new(
        registry: MessageRegistry,
        types: Arc<PeerTypes>,
        pool: RecvPool,
        message_max: u64,
    ) -> Self {
        Self { registry, types, reassembly: Reassembly::new(pool, message_max) }
    }

    pub(super) fn park(&mut self) {
        self.reassembly.park();
    }

    //= docs/PROTOCOL.md#1
    /// `unit_len` is the whole length of the unit, for its cost. Returns the frame and what it
    /// takes of which window.
    pub(super) fn decode<'b>(
        &mut self,
        ty: u8,
        payload: &'b [u8],
        unit_len: usize,
    ) -> Result<(Frame<'b>, Cost), CloseReason> {
        let (op, flags) = Op::split(ty)?;
        let mut fields = Fields::new(payload);
        let cost = unit_len as u64 + UNIT_COST;
        if op == Op::Publish
            && let Some(frame) = stream::lagged(flags, payload)?
        {
            return Ok((frame, Cost::Session(cost)));
        }
        match op {
            Op::Post | Op::Request | Op::Response | Op::Error | Op::Data | Op::Publish => {
                let head = Head::read(&self.types, op, flags, &mut fields)?;
                self.check_vacant(&head)?;
                let cost = head.window().cost(cost);
                Ok((head.with_body(Body::Borrowed(fields.rest()))?, cost))
            }
            Op::Frag => self.fragment(flags, fields, cost),
            Op::Open => {
                let frame = stream::open(&self.types, flags, &mut fields)?;
                Ok((frame, Cost::Session(cost)))
            }
            Op::Subscribe => {
                let (id, frame) = stream::subscribe(flags, &mut fields)?;
                self.reassembly.check_vacant(id)?;
                Ok((frame, Cost::Session(cost)))
            }
            _ => Ok((self.small(op, flags, fields)?, Cost::Exempt)),
        }
    }

    fn check_vacant(&self, head: &Head) -> Result<(), Violation> {
        if let Head::Request { id, .. } = head { self.reassembly.check_vacant(*id) } else { Ok(()) }
    }

    /// Units that are short, all of them exempt from credit.
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
            Op::Credit => return stream::credit(&mut fields),
            Op::Ack => return stream::ack(&mut fields),
            Op::End => return stream::end(&mut fields),
            Op::Reset => return stream::reset(&mut fields),
            Op::Unsubscribe => Frame::Unsubscribe { alias: fields.uint()? },
            Op::FragAbort => {
                let refused = self.reassembly.abort(fid(&mut fields)?)?;
                refused.map_or(Frame::Partial, Frame::Refused)
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
            other => return misplaced(other),
        };
        whole(&fields)?;
        Ok(frame)
    }

    fn dict(&mut self, fields: &mut Fields<'_>) -> Result<Frame<'static>, Violation> {
        let told = Told::read(fields)?;
        let Told { first, hashes, handles } = &told;
        let types = self.types.extended(&self.registry, *first, hashes, *handles)?;
        self.types = Arc::clone(&types);
        Ok(Frame::Types(types))
    }

    //= docs/PROTOCOL.md#8
    fn fragment<'b>(
        &mut self,
        flags: Flags,
        mut fields: Fields<'_>,
        cost: u64,
    ) -> Result<(Frame<'b>, Cost), CloseReason> {
        let fid = fid(&mut fields)?;
        let (window, fragment) = if flags.x() {
            self.first_fragment(fid, fields)?
        } else {
            self.reassembly.go_on(fid, fields.rest())?
        };
        let frame = match fragment {
            Fragment::Partial(missing @ 1..) if matches!(window, Window::Stream(_)) => {
                Frame::Piece { missing }
            }
            Fragment::Partial(_) => Frame::Partial,
            Fragment::Refused(refused) => Frame::Refused(refused),
            Fragment::Whole(head, body) => head.with_body(Body::Owned(body))?,
        };
        Ok((frame, window.cost(cost)))
    }

    fn first_fragment(
        &mut self,
        fid: u8,
        mut fields: Fields<'_>,
    ) -> Result<(Window, Fragment), Violation> {
        // What does not fit a byte has the sign bit, and no unit has that.
        let inner = u8::try_from(fields.uint()?).unwrap_or(u8::MAX);
        let (op, flags) = Op::split(inner)?;
        let total = fields.uint()?;
        let chunk = fields.rest();
        let mut inside = Fields::new(chunk);
        let head = Head::read(&self.types, op, flags, &mut inside)?;
        self.check_vacant(&head)?;
        let window = head.window();
        let body = inside.rest();
        let head_len = chunk.len() - body.len();
        Ok((window, self.reassembly.begin(fid, head, total, head_len, body)?))
    }
}

/// A unit that needs something the sender never may say here.
fn misplaced(op: Op) -> Result<Frame<'static>, Violation> {
    match op {
        //= docs/PROTOCOL.md#1
        Op::Ignorable18 | Op::Ignorable19 | Op::Ignorable1A | Op::Ignorable1B => Ok(Frame::Partial),
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
