//! What frames of the peer do to streams.

use super::*;
use crate::limits::UNREAD_MESSAGES;

impl Streams {
    /// OPEN of the peer.
    //= docs/PROTOCOL.md#6
    pub(crate) fn opened_by_peer(
        &mut self,
        id: u32,
        lane: Lane,
        credit: u64,
    ) -> Result<Verdict, CloseReason> {
        if id < 2 || id & 1 == self.parity {
            let rule = "OPEN with a number that is not the sender's";
            return Err(Violation::protocol(6, rule).into());
        }
        if id <= self.highest_of_peer {
            let rule = "OPEN with a number that was used before";
            return Err(Violation::protocol(6, rule).into());
        }
        self.highest_of_peer = id;
        //= docs/PROTOCOL.md#9
        // Who was not told is refused a while, and no longer: refusals are to be read as well.
        let patience = if self.limits { 1 } else { 2 };
        if self.of_peer >= self.of_peer_max.saturating_mul(patience) {
            let rule = "more streams than may be open";
            return Err(Violation::with_code(9, rule, ErrorCode::FLOW).into());
        }
        SendCredit::new(0).raise(credit)?;
        self.of_peer += 1;
        self.insert(id, lane, credit, None);
        // Streams that are over may still have handlers: the peer cannot know, and may try again.
        let lingering = self.open.len() - self.live() as usize;
        if lingering > self.of_peer_max as usize || self.of_peer > self.of_peer_max {
            return Ok(Verdict::Refuse(ErrorCode::OVERLOADED));
        }
        Ok(Verdict::Accept)
    }

    /// What a unit names: a stream that is there, or nothing where it comes late.
    //= docs/PROTOCOL.md#6
    fn named(&mut self, id: u32) -> Result<Option<&mut Stream>, CloseReason> {
        let ours = id & 1 == self.parity;
        let known = if ours { id < self.next_own } else { id <= self.highest_of_peer };
        if id < 2 || !known {
            return Err(Violation::protocol(6, "a stream that was never opened").into());
        }
        let stream = self.open.get_mut(&id).map(|stream| &mut **stream);
        if stream.as_ref().is_some_and(|stream| stream.opens_at.is_some()) {
            return Err(Violation::protocol(6, "a stream that was not opened yet").into());
        }
        Ok(stream)
    }

    /// The stream alone is to blame, but a peer that makes us reset one after the other tries our
    /// patience as if it did so itself.
    //= docs/PROTOCOL.md#9
    fn flow_fault(&mut self, id: u32, text: &str) {
        self.faults_of_peer += 1;
        self.reset(id, ErrorCode::FLOW, text);
    }

    /// Part of a long message: it is credited as it comes, or a message above the window would
    /// never end.
    pub(crate) fn part_received(
        &mut self,
        id: u32,
        cost: u64,
        missing: u64,
    ) -> Result<(), CloseReason> {
        let Some(stream) = self.named(id)? else { return Ok(()) };
        if stream.end.is_some() {
            return Ok(());
        }
        if stream.received.receive(cost).is_err() {
            self.flow_fault(id, "more sent than credit allows");
            return Ok(());
        }
        stream.received.part(cost, missing);
        if stream.received.is_due() {
            self.mark_due(id);
        }
        Ok(())
    }

    /// DATA that the protocol could not take.
    pub(crate) fn refused(
        &mut self,
        id: u32,
        code: ErrorCode,
        text: &str,
    ) -> Result<(), CloseReason> {
        if self.named(id)?.is_some() {
            self.reset(id, code, text);
        }
        Ok(())
    }

    /// DATA.
    pub(crate) fn received(
        &mut self,
        id: u32,
        body: Body<'_>,
        acknowledge: bool,
        cost: u64,
    ) -> Result<(), CloseReason> {
        let &mut Self { credit, unread, unread_max, .. } = self;
        let Some(stream) = self.named(id)? else { return Ok(()) };
        if stream.end.is_some() {
            stream.acks_lost |= acknowledge;
            return Ok(());
        }
        if stream.peer_finished {
            return Err(Violation::protocol(6, "DATA behind END").into());
        }
        if stream.received.receive(cost).is_err() {
            self.flow_fault(id, "more sent than credit allows");
            return Ok(());
        }
        let whole = match &body {
            Body::Owned(_) => stream.received.whole(cost),
            Body::Borrowed(_) => cost,
        };
        if stream.receiver_gone {
            stream.acks_lost |= acknowledge;
            stream.received.take(whole);
            stream.received.all_long_taken();
            stream.consumed += 1;
            if acknowledge {
                self.reset(id, ErrorCode::CANCELLED, "its receiver is gone");
            } else if stream.received.is_due() {
                self.mark_due(id);
            }
            return Ok(());
        }
        let held = stream.inbox.held(credit);
        if unread.saturating_add(Inbox::holds(&body, credit)) > unread_max {
            stream.acks_lost |= acknowledge;
            stream.received.all_long_taken();
            self.reset(id, ErrorCode::OVERLOADED, &unread_text(unread, unread_max));
            return Ok(());
        }
        stream.inbox.put(body, whole, acknowledge);
        let reader = stream.reader.take();
        let held_now = stream.inbox.held(credit);
        self.unread += held_now - held;
        self.woken.extend(reader);
        Ok(())
    }

    /// END.
    pub(crate) fn finished_by_peer(&mut self, id: u32, trailer: &[u8]) -> Result<(), CloseReason> {
        let Some(stream) = self.named(id)? else { return Ok(()) };
        if std::mem::replace(&mut stream.end_came, true) {
            return Err(Violation::protocol(6, "a second END").into());
        }
        if stream.end.is_none() {
            stream.peer_finished = true;
            stream.trailer.extend_from_slice(trailer);
            let reader = stream.reader.take();
            self.woken.extend(reader);
        }
        self.settle(id);
        Ok(())
    }

    /// RESET. Says whether the stream was there, and how.
    pub(crate) fn reset_by_peer(
        &mut self,
        id: u32,
        code: ErrorCode,
        text: Box<str>,
    ) -> Result<Option<LeftRound>, CloseReason> {
        let Some(stream) = self.named(id)? else { return Ok(None) };
        // What we were about to say is said.
        stream.reset_due = None;
        if stream.end.is_none() {
            stream.end = Some(StreamError::Reset { code, text, by_peer: true });
        }
        stream.drop_outgoing();
        let left = LeftRound { lane: stream.lane, cut: std::mem::take(&mut stream.cut) };
        let wakers = [stream.reader.take(), stream.writer.take()];
        self.woken.extend(wakers.into_iter().flatten());
        self.uncount(id);
        self.settle(id);
        Ok(Some(left))
    }

    /// CREDIT. Says whether the stream now wants into the round of its lane.
    pub(crate) fn credited(&mut self, id: u32, total: u64) -> Result<Option<Lane>, CloseReason> {
        let Some(stream) = self.named(id)? else { return Ok(None) };
        if stream.credit.raise(total).is_err() {
            self.flow_fault(id, "a window above 2^31");
            return Ok(None);
        }
        let blocked = stream.queue.state == FlowState::Blocked;
        if blocked && stream.opens_at.is_none() && stream.waits_for_credit_only() {
            stream.queue.state = FlowState::Ready;
            return Ok(Some(stream.lane));
        }
        Ok(None)
    }

    /// ACK.
    pub(crate) fn acknowledged(&mut self, id: u32, count: u64) -> Result<(), CloseReason> {
        let Some(stream) = self.named(id)? else { return Ok(()) };
        if count > stream.sent {
            return Err(Violation::protocol(6, "ACK of what was never sent").into());
        }
        stream.acked = stream.acked.max(count);
        let writer = stream.writer.take();
        self.woken.extend(writer);
        self.settle(id);
        Ok(())
    }
}

/// Both sides read it: the number, the limit and the knob.
fn unread_text(unread: u64, limit: u64) -> String {
    format!(
        "unread messages take {unread} bytes of memory on the streams of this session, the limit is \
         {limit} (knob: message_max, of which it is {UNREAD_MESSAGES} times)"
    )
}
