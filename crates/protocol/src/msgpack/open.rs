//! An open connection: one unit after the other, until CLOSE.

use std::time::Instant;

use moorline_buffers::RecvBuffer;

use super::decode::Decoder;
use super::record::Units;
use super::unit::Op;
use crate::closed::{CloseReason, Farewell};
use crate::frame::Frame;
use crate::seam::Step;

/// The receiving half of an open connection.
pub(super) struct Open {
    units: Units,
    decoder: Decoder,
    /// What the peer said when it closed; nothing follows that.
    farewell: Option<Farewell>,
}

impl Open {
    pub(super) fn new(units: Units, decoder: Decoder) -> Self {
        Self { units, decoder, farewell: None }
    }

    pub(super) fn next<'b>(
        &mut self,
        now: Instant,
        input: &'b mut RecvBuffer,
    ) -> Result<Step<'b>, CloseReason> {
        if self.farewell.is_some() {
            return self.expect_silence(input);
        }
        let Some(unit) = self.units.next(now, input)? else {
            return Ok(Step::NeedBytes);
        };
        let outside = [Op::Hello, Op::Noise, Op::Record].map(Op::ty);
        if !self.units.is_sealed() && outside.contains(&unit.ty) {
            return Err(CloseReason::Tampered);
        }
        let payload = &input.take(unit.len)[unit.header_len..];
        let (frame, cost) = self.decoder.decode(unit.ty, payload, unit.len)?;
        if let Frame::Close { code, message } = &frame {
            self.farewell = Some(Farewell::new(*code, message));
        }
        Ok(Step::Frame(frame, cost))
    }

    //= docs/PROTOCOL.md#10
    /// Nothing follows a CLOSE: not one byte.
    fn expect_silence(&mut self, input: &mut RecvBuffer) -> Result<Step<'static>, CloseReason> {
        self.units.leave_record(input);
        if input.is_empty() { Ok(Step::NeedBytes) } else { Err(CloseReason::Tampered) }
    }

    //= docs/PROTOCOL.md#3
    /// An end without a CLOSE is never a clean one.
    pub(super) fn eof(&mut self) -> CloseReason {
        self.farewell.take().map_or(CloseReason::Truncated, CloseReason::ByPeer)
    }

    pub(super) fn park(&mut self) {
        self.units.park();
        self.decoder.park();
    }
}
