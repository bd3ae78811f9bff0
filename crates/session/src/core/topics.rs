//! Frames about topics.

use moorline_protocol::{CloseReason, ErrorCode, Frame, Lane, Meta, Violation};

use super::{Core, Delivery};
use crate::board::Decision;
use crate::incoming::Answer;
use crate::limits::SUBSCRIPTIONS_MAX;
use crate::outbox::Wanted;

/// What a good SUBSCRIBE is answered with: nil.
const TAKEN: &[u8] = &[0xC0];

/// A SUBSCRIBE of the peer's.
pub(super) struct Subscriber<'a> {
    pub(super) id: u32,
    pub(super) alias: u64,
    pub(super) topic: &'a str,
    pub(super) retained: bool,
    pub(super) meta: &'a Meta,
}

impl Core {
    /// The peer wants what is published under a topic. Who offers the topic decides at once.
    //= docs/PROTOCOL.md#6
    pub(super) fn subscribe(
        &mut self,
        subscriber: &Subscriber<'_>,
    ) -> Result<Delivery<'static>, CloseReason> {
        let &Subscriber { id, alias, meta, .. } = subscriber;
        self.check_vacant(id)?;
        if alias <= self.highest_alias {
            let rule = "SUBSCRIBE with an alias that was used before";
            return Err(Violation::protocol(6, rule).into());
        }
        self.highest_alias = alias;
        self.check_unread()?;
        if self.seen.farewell_said {
            // Its answer could not be sent any more, and the peer is told of the end anyway.
            self.counters.requests_refused += 1;
            return Ok(Delivery::Nothing);
        }
        match self.admit(subscriber) {
            Ok(()) => {
                self.calm.ended_well();
                self.answer_id(id, meta.priority, Answer::Good(TAKEN))?;
            }
            Err((code, text)) => {
                self.counters.requests_refused += 1;
                self.answer_id(id, meta.priority, Answer::Fault(code, &text))?;
                self.calm.strain()?;
            }
        }
        Ok(Delivery::Nothing)
    }

    fn admit(&mut self, subscriber: &Subscriber<'_>) -> Result<(), (ErrorCode, String)> {
        let &Subscriber { alias, topic, retained, meta, .. } = subscriber;
        if let Some(refusal) = self.refusal(meta) {
            return Err(refusal);
        }
        let session = &self.session;
        //= docs/PROTOCOL.md#9
        if session.shared.lock().subscribed_by_peer() >= SUBSCRIPTIONS_MAX {
            let text = format!("{SUBSCRIPTIONS_MAX} subscriptions, as many as there may be");
            return Err((ErrorCode::OVERLOADED, text));
        }
        let not_offered = || (ErrorCode::UNIMPLEMENTED, "this topic is not offered here".into());
        let audience = match session.shared.hub.board.decide(session, topic) {
            Decision::Yes(audience) => audience,
            Decision::NotOffered => return Err(not_offered()),
            Decision::Forbidden => {
                return Err((ErrorCode::FORBIDDEN, "this topic is not for you".into()));
            }
            Decision::Failed => {
                let text = "asking who may have this topic failed".into();
                return Err((ErrorCode::INTERNAL, text));
            }
        };
        let lane = meta.priority.map_or(Lane::Normal, Lane::of);
        let wanted = Wanted { alias, lane, overflow: meta.overflow };
        if audience.admit(&session.shared, wanted, retained) { Ok(()) } else { Err(not_offered()) }
    }

    /// What the peer says of subscriptions, but for SUBSCRIBE.
    //= docs/PROTOCOL.md#6
    pub(super) fn on_topic(&mut self, frame: Frame<'_>) -> Result<Delivery<'static>, CloseReason> {
        let shared = &self.session.shared;
        let waker = match frame {
            Frame::Publish { alias, kind, body, retained } => {
                self.counters.publications += 1;
                shared.lock().published(alias, (kind, body, retained))?
            }
            Frame::Lagged { alias, count } => shared.lock().lagged(alias, count)?,
            Frame::Unsubscribe { alias } => {
                if alias > self.highest_alias {
                    let rule = "UNSUBSCRIBE of an alias never subscribed";
                    return Err(Violation::protocol(6, rule).into());
                }
                let closed = shared.lock().close_outlet(alias);
                if let Some(audience) = closed {
                    shared.hub.board.leave(&audience, shared.id, alias);
                }
                None
            }
            _ => None,
        };
        self.wakers.extend(waker);
        Ok(Delivery::Nothing)
    }

    /// The session ends: the peer's subscriptions do.
    pub(super) fn leave_topics(&mut self) {
        let shared = &self.session.shared;
        let outlets = shared.lock().take_outlets();
        for (alias, audience) in outlets {
            shared.hub.board.leave(&audience, shared.id, alias);
        }
    }
}
