//! Frames, one by one.

use moorline_protocol::{
    Body, CloseReason, ErrorCode, Farewell, Frame, Kind, Lane, Meta, Refused, RefusedKind,
    Violation,
};

use std::time::Instant;

use super::{Core, Delivery};
use crate::errors::our_fault;
use crate::incoming::{Answer, Ticket, lane_for};
use crate::limits::{ANSWERS_BYTES_MAX, HELD_MESSAGES};
use crate::outbox::encode_answer;

impl Core {
    pub(super) fn post<'b>(&mut self, kind: Kind, meta: Meta, body: Body<'b>) -> Delivery<'b> {
        self.counters.posts += 1;
        Delivery::Post { kind, meta, body }
    }

    pub(super) fn request<'b>(
        &mut self,
        now: Instant,
        id: u32,
        kind: Kind,
        meta: Meta,
        body: Body<'b>,
    ) -> Result<Delivery<'b>, CloseReason> {
        self.counters.requests += 1;
        self.check_vacant(id)?;
        self.check_unread()?;
        if self.seen.farewell_said {
            // Its answer could not be sent any more, and the peer is told of the end anyway.
            self.counters.requests_refused += 1;
            return Ok(Delivery::Nothing);
        }
        if let Some((code, text)) = self.refusal(&meta) {
            self.counters.requests_refused += 1;
            self.answer_id(id, meta.priority, Answer::Fault(code, &text))?;
            return Ok(Delivery::Nothing);
        }
        let time = meta.deadline.or(self.session.shared.limits.timeout);
        let ticket = Ticket {
            id,
            held_bytes: body.len() as u64,
            due: time.and_then(|time| now.checked_add(time)),
            priority: meta.priority,
            own_time: None,
        };
        Ok(Delivery::Request { ticket, kind, meta, body })
    }

    /// A `rid` must be below the limit and not in use.
    //= docs/PROTOCOL.md#6
    pub(super) fn check_vacant(&mut self, id: u32) -> Result<(), CloseReason> {
        if id >= self.settings.in_flight_max {
            let rule = "a request number at or above max in flight";
            return Err(Violation::with_code(9, rule, ErrorCode::FLOW).into());
        }
        if self.incoming.is_running(id) {
            self.look_again();
        }
        if self.incoming.is_running(id) {
            return Err(Violation::protocol(6, "a request on a number in use").into());
        }
        Ok(())
    }

    /// A task may have answered since the turn began, and the peer may have read it.
    fn look_again(&mut self) {
        let mut outbox = self.session.shared.lock();
        outbox.swap_finished(&mut self.finished);
        self.seen.look_at(&outbox);
        drop(outbox);
        self.free_finished();
    }

    /// A peer that had read its answers would not have more of them coming than it may ask for:
    /// without this, errors pile up for one that never reads.
    //= docs/PROTOCOL.md#9
    pub(super) fn check_unread(&mut self) -> Result<(), CloseReason> {
        let allowed = u64::from(self.settings.in_flight_max) + u64::from(self.settings.streams_max);
        if self.in_flight() >= allowed {
            self.look_again();
        }
        if self.in_flight() >= allowed {
            let rule = "more requests than may be in flight";
            return Err(Violation::with_code(9, rule, ErrorCode::FLOW).into());
        }
        Ok(())
    }

    /// Requests of the peer that run, or whose answers have not left.
    fn in_flight(&self) -> u64 {
        self.incoming.running() as u64 + self.seen.answers_unread + self.answers_made
    }

    /// Why a request is not even looked at.
    pub(super) fn refusal(&self, meta: &Meta) -> Option<(ErrorCode, String)> {
        if self.draining && self.peer_obeyed {
            return Some((ErrorCode::DRAINING, "you said that nothing new follows".into()));
        }
        if let Some(key) = meta.unsupported {
            return Some((ErrorCode::UNSUPPORTED, format!("metadata key {key} is not known")));
        }
        let held_max = self.settings.message_max.saturating_mul(HELD_MESSAGES);
        if self.incoming.held_bytes() > held_max {
            let held = self.incoming.held_bytes();
            let text = format!("running handlers hold {held} bytes, the limit is {held_max}");
            return Some((ErrorCode::OVERLOADED, text));
        }
        let queued = self.seen.answers_queued + self.answers.len();
        // One long answer on its way must not turn away whoever asks meanwhile.
        let message_max = usize::try_from(self.settings.message_max).unwrap_or(usize::MAX);
        let limit = message_max.saturating_add(ANSWERS_BYTES_MAX);
        if queued > limit {
            let text = format!(
                "{queued} bytes of answers are unread, the limit is {limit} (knob: `message_max`)"
            );
            return Some((ErrorCode::OVERLOADED, text));
        }
        None
    }

    /// Ordinary answers wait for the end of the turn without a lock; those of other lanes go where
    /// they belong at once.
    pub(super) fn answer_id(
        &mut self,
        id: u32,
        priority: Option<u8>,
        answer: Answer<'_>,
    ) -> Result<(), CloseReason> {
        let shared = &*self.session.shared;
        let (len, frame) = (answer.len(), answer.frame(id, shared.limits.message_max));
        let lane = lane_for(priority, len);
        let is_long = len > shared.unit_body_max;
        if lane == Lane::Normal && !is_long {
            let encoded = encode_answer(&*shared.encoder, &frame, lane, &mut self.answers);
            self.answers_made += encoded.map_err(our_fault)?;
            shared.encoder.finished(id);
            self.counters.sent.answer(&frame);
            return Ok(());
        }
        let mut chain = shared.chain();
        let count = encode_answer(&*shared.encoder, &frame, lane, &mut chain).map_err(our_fault)?;
        shared.encoder.finished(id);
        self.counters.sent.answer(&frame);
        let mut outbox = shared.lock();
        outbox.link_answers((lane, is_long), &mut chain, count);
        self.seen.look_at(&outbox);
        Ok(())
    }

    /// A good answer.
    pub(super) fn response(
        &mut self,
        id: u32,
        body: Body<'_>,
    ) -> Result<Delivery<'static>, CloseReason> {
        self.counters.responses += 1;
        self.calm.ended_well();
        let mut outbox = self.session.shared.lock();
        let left = outbox.requests_left();
        let waker = outbox.requests.respond(id, left, body)?;
        drop(outbox);
        self.wakers.extend(waker);
        Ok(Delivery::Nothing)
    }

    /// A bad answer.
    pub(super) fn error(
        &mut self,
        id: u32,
        code: ErrorCode,
        message: &str,
        detail: Body<'_>,
    ) -> Result<Delivery<'static>, CloseReason> {
        self.counters.errors += 1;
        let said = (code, moorline_protocol::printable(message));
        let mut outbox = self.session.shared.lock();
        let left = outbox.requests_left();
        let waker = outbox.requests.fail(id, left, said, detail)?;
        drop(outbox);
        self.wakers.extend(waker);
        Ok(Delivery::Nothing)
    }

    /// The protocol could not take a message, though the session goes on.
    //= docs/PROTOCOL.md#9
    pub(super) fn refused(&mut self, refused: Refused) -> Result<Delivery<'static>, CloseReason> {
        self.counters.refused_bytes += refused.size;
        self.last_fault = Some(refused.code);
        match refused.what {
            RefusedKind::Post => {
                self.counters.posts += 1;
                self.drop_post(None, refused.code)?;
            }
            RefusedKind::Request { id } => {
                self.counters.requests += 1;
                self.check_vacant(id)?;
                self.check_unread()?;
                self.counters.requests_refused += 1;
                let text = if refused.code == ErrorCode::TOO_LARGE {
                    format!("{} bytes, the limit is {}", refused.size, refused.limit)
                } else {
                    String::new()
                };
                self.answer_id(id, None, Answer::Fault(refused.code, &text))?;
                self.calm.strain()?;
            }
            RefusedKind::Response { id } => {
                self.counters.responses += 1;
                let mut outbox = self.session.shared.lock();
                let left = outbox.requests_left();
                let waker = outbox.requests.refuse(id, left, &refused)?;
                drop(outbox);
                self.wakers.extend(waker);
            }
            // What the peer has taken back is no fault: its RESET says the rest.
            RefusedKind::Data { stream } if refused.code != ErrorCode::CANCELLED => {
                let text = format!("{} bytes, the limit is {}", refused.size, refused.limit);
                self.session.shared.lock().stream_refused(stream, refused.code, &text)?;
                self.calm.strain()?;
            }
            RefusedKind::Publish { alias } => {
                let waker = self.session.shared.lock().lagged(alias, 1)?;
                self.wakers.extend(waker);
            }
            _ => {}
        }
        Ok(Delivery::Nothing)
    }

    pub(super) fn control(&mut self, frame: Frame<'_>) -> Result<Delivery<'static>, CloseReason> {
        let shared = &self.session.shared;
        match frame {
            Frame::Cancel { id } => {
                self.counters.cancels += 1;
                self.calm.strain()?;
                self.incoming.cancel(id);
            }
            Frame::Credit { stream: 0, total } => shared.lock().raise_credit(total)?,
            Frame::Ping { nonce } => {
                self.counters.heartbeats += 1;
                shared.lock().set_pong(nonce);
            }
            Frame::Pong { nonce } => {
                if !shared.lock().pong_received(nonce, &mut self.wakers) {
                    return Err(Violation::protocol(8, "a pong to a ping never sent").into());
                }
                self.heartbeat.answered(nonce);
                self.end_sample(nonce);
            }
            // That somebody is there was noted already.
            Frame::Heartbeat { .. } => self.counters.heartbeats += 1,
            // An answer to what was never asked means nothing.
            Frame::GoAway { obeyed: true, .. } => self.peer_obeyed = self.draining,
            Frame::GoAway { obeyed: false, .. } => {
                let mut outbox = shared.lock();
                outbox.peer_drains();
                let waiters = outbox.take_waiters();
                drop(outbox);
                self.wakers.extend(waiters);
                return Ok(Delivery::PeerDrains);
            }
            Frame::Close { code, message } => {
                return Err(CloseReason::ByPeer(Farewell::new(code, &message)));
            }
            Frame::Types(types) => shared.lock().set_types(types),
            _ => return Err(Violation::protocol(1, "a unit this session cannot take").into()),
        }
        Ok(Delivery::Nothing)
    }
}
