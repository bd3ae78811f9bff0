//! What leaves of streams: their blocks, and the words they owe the peer.

use super::*;

impl Streams {
    /// Requests of the lane of OPENs have left up to `left`: of the streams whose OPEN was among
    /// them, those that want into the round of their own lane.
    pub(crate) fn opens_left(&mut self, left: u64) -> Vec<(Lane, u32)> {
        let mut ready = Vec::new();
        for (id, stream) in &mut self.open {
            if stream.opens_at.is_some_and(|at| at <= left) {
                stream.opens_at = None;
                stream.queue.state = FlowState::Empty;
                if stream.wants_in() {
                    ready.push((stream.lane, *id));
                }
            }
        }
        ready
    }

    /// Whether some OPEN has not left yet.
    pub(crate) fn any_opening(&self) -> bool {
        self.own > 0 && self.open.values().any(|stream| stream.opens_at.is_some())
    }

    /// The next block of a stream, if it may leave. Of the long messages in a lane one is on its way
    /// at a time: that of `owner`.
    pub(crate) fn offer(
        &mut self,
        id: u32,
        owner: &mut Option<u32>,
        long: &mut LongMessages,
    ) -> Offer {
        let Some(stream) = self.get(id) else { return Offer::Leave };
        if stream.queue.next_is_long() && owner.is_some_and(|owner| owner != id) {
            stream.queue.state = FlowState::Blocked;
            return Offer::Wait;
        }
        let place = (stream.lane, Group::Initiations);
        let offer = stream.queue.offer(Some(&mut stream.credit), place, long);
        if !matches!(offer, Offer::Take(..)) {
            return offer;
        }
        if stream.queue.is_amid_long() {
            *owner = Some(id);
        } else {
            owner.take_if(|owner| *owner == id);
        }
        if matches!(stream.finish, Finish::At(end) if end <= stream.queue.left) {
            stream.finish = Finish::Left;
        }
        if stream.queue.chain.len() <= STREAM_QUEUE_BYTES / 2 {
            let writer = stream.writer.take();
            self.woken.extend(writer);
        }
        self.settle(id);
        offer
    }

    /// Whether a stream stands in the round.
    pub(crate) fn state(&mut self, id: u32) -> Option<&mut FlowState> {
        self.get(id).map(|stream| &mut stream.queue.state)
    }

    /// Whether some stream owes the peer a word that may leave now.
    pub(crate) fn owes(&self) -> bool {
        self.due.iter().any(|id| self.open.get(id).is_some_and(|stream| stream.opens_at.is_none()))
    }

    /// The next word owed to the peer, from place `at` of the list on; the first call is with 0. Of
    /// credit and acknowledgements only the youngest is said.
    pub(crate) fn next_owed(&mut self, at: &mut usize) -> Option<Owed> {
        loop {
            let id = *self.due.get(*at)?;
            let Some(stream) = self.open.get_mut(&id) else {
                self.due.swap_remove(*at);
                continue;
            };
            // Nothing names a stream before its OPEN has left.
            if stream.opens_at.is_some() {
                *at += 1;
                continue;
            }
            if stream.end.is_none() {
                if std::mem::take(&mut stream.ack_due) {
                    return Some(Owed::Ack { stream: id, count: stream.consumed });
                }
                if !stream.peer_finished
                    && let Some(total) = stream.received.due()
                {
                    self.told_credit = true;
                    return Some(Owed::Credit { stream: id, total });
                }
            }
            stream.is_due = false;
            let reset = stream.reset_due.take();
            let left = LeftRound { lane: stream.lane, cut: std::mem::take(&mut stream.cut) };
            self.due.swap_remove(*at);
            if let Some((code, text)) = reset {
                self.uncount(id);
                self.settle(id);
                return Some(Owed::Reset { stream: id, left, code, text });
            }
            self.settle(id);
        }
    }

    /// A round trip begins.
    pub(crate) fn begin_sample(&mut self) {
        self.open.values_mut().for_each(|stream| stream.received.begin_sample());
    }

    /// It has ended: windows that hold the peer back grow, and together to a limit.
    pub(crate) fn end_sample(&mut self) {
        if !self.credit {
            return;
        }
        let mut all: u64 = self.open.values().map(|stream| stream.received.window()).sum();
        let mut due = Vec::new();
        for (id, stream) in &mut self.open {
            let window = stream.received.window();
            let room = WINDOWS_GROWN_MAX.saturating_sub(all);
            stream.received.end_sample(WINDOW_GROWN_MAX.min(window.saturating_add(room)));
            all += stream.received.window() - window;
            if stream.received.is_due() {
                due.push(*id);
            }
        }
        due.into_iter().for_each(|id| self.mark_due(id));
    }
}
