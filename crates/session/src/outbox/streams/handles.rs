//! What our handles do to streams.

use super::*;

impl Streams {
    /// The number of the next stream of ours, if the peer allows one more.
    pub(crate) const fn next(&self) -> Result<u32, SendError> {
        if self.own >= self.own_max {
            return Err(SendError::Streams { limit: self.own_max });
        }
        // None is used twice, and no session has more.
        if self.next_own > u32::MAX - 2 {
            return Err(SendError::Unsupported("more than 2^31 streams in one session"));
        }
        Ok(self.next_own)
    }

    /// Its OPEN is queued and ends at `opens_at` among the requests of the lane of OPENs.
    pub(crate) fn opened_by_us(&mut self, id: u32, lane: Lane, opens_at: u64) {
        self.next_own += 2;
        self.own += 1;
        self.insert(id, lane, self.send_window, Some(opens_at));
    }

    /// What the peer may send on a new stream at first.
    pub(crate) const fn receive_window(&self) -> u64 {
        self.receive_window
    }

    /// Where the queues that hold something end now.
    pub(crate) fn ends(&self, ends: &mut Vec<End>) {
        let queues = self.open.iter().filter(|(_, stream)| !stream.queue.chain.is_empty());
        ends.extend(
            queues.map(|(id, stream)| (stream.lane, Flow::Stream(*id), stream.queue.appended())),
        );
    }

    /// Whether a stream has sent up to `end`, or never will.
    pub(crate) fn has_left(&self, id: u32, end: u64) -> bool {
        self.open.get(&id).is_none_or(|stream| stream.queue.left >= end)
    }

    /// Nothing leaves any more but the farewell.
    pub(crate) fn silence(&mut self) {
        self.due.clear();
        for stream in self.open.values_mut() {
            stream.drop_outgoing();
        }
    }

    fn writable(&mut self, id: u32) -> Result<&mut Stream, SendError> {
        let stream = self.get(id).ok_or(SendError::Finished)?;
        if let Some(end) = &stream.end {
            return Err(SendError::StreamOver(end.clone()));
        }
        if stream.finish == Finish::No { Ok(stream) } else { Err(SendError::Finished) }
    }

    /// Whether so many bytes more may be queued on a stream; its lane.
    pub(crate) fn admit(&mut self, id: u32, size: usize) -> Result<Lane, SendError> {
        let stream = self.writable(id)?;
        let queued = stream.queue.chain.len();
        // As for posts: who was told that there is room is not refused, however large the message.
        if queued > STREAM_QUEUE_BYTES / 2 && queued.saturating_add(size) > STREAM_QUEUE_BYTES {
            return Err(SendError::Full { queued, limit: STREAM_QUEUE_BYTES });
        }
        Ok(stream.lane)
    }

    /// The lane of a stream that is not finished yet. END is short: it goes behind whatever waits.
    pub(crate) fn lane_to_finish(&mut self, id: u32) -> Result<Lane, SendError> {
        self.writable(id).map(|stream| stream.lane)
    }

    /// The chain to append to; [`appended`](Self::appended) is to follow.
    pub(crate) fn chain(&mut self, id: u32) -> &mut SendBuffer {
        &mut self.get(id).expect("it was admitted").queue.chain
    }

    /// DATA was appended, from `start` of the queue on. Returns how many that makes, and whether
    /// the stream now wants into the round.
    pub(crate) fn appended(
        &mut self,
        id: u32,
        start: u64,
        is_long: bool,
        acknowledge: bool,
    ) -> (u64, bool) {
        let stream = self.get(id).expect("it was admitted");
        stream.sent += 1;
        if acknowledge {
            stream.ack_wanted = stream.sent;
        }
        if is_long {
            stream.queue.appended_long(start);
        }
        (stream.sent, stream.wants_in())
    }

    /// Where the next byte of a stream will stand in its queue.
    pub(crate) fn position(&self, id: u32) -> u64 {
        self.open.get(&id).map_or(0, |stream| stream.queue.appended())
    }

    /// END was appended. Says whether the stream now wants into the round.
    pub(crate) fn finished_by_us(&mut self, id: u32) -> bool {
        let stream = self.get(id).expect("it was admitted");
        stream.finish = Finish::At(stream.queue.appended());
        // Some protocols have nothing to say there, where the peer has said its own.
        if stream.queue.chain.is_empty() {
            stream.finish = Finish::Left;
            self.settle(id);
            return false;
        }
        stream.wants_in()
    }

    /// Ready when half of the queue is free, or when waiting for it is no use.
    pub(crate) fn poll_room(&mut self, id: u32, waker: &mut Option<Waker>) -> Poll<()> {
        match self.writable(id) {
            Ok(stream) if stream.queue.chain.len() > STREAM_QUEUE_BYTES / 2 => {
                keep_waker(&mut stream.writer, waker);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// Ready when the peer's application has consumed `count` DATA.
    pub(crate) fn poll_acked(
        &mut self,
        id: u32,
        count: u64,
        waker: &mut Option<Waker>,
    ) -> Poll<Result<(), SendError>> {
        let Some(stream) = self.get(id) else { return Poll::Ready(Err(SendError::Finished)) };
        if stream.acked >= count {
            return Poll::Ready(Ok(()));
        }
        if let Some(end) = &stream.end {
            return Poll::Ready(Err(SendError::StreamOver(end.clone())));
        }
        keep_waker(&mut stream.writer, waker);
        Poll::Pending
    }

    /// What comes next: a message, the end, or why there is none.
    pub(crate) fn poll_next(
        &mut self,
        id: u32,
        waker: &mut Option<Waker>,
        scratch: &mut Vec<u8>,
    ) -> Poll<Result<Option<Taken>, StreamError>> {
        let credit = self.credit;
        let Some(stream) = self.get(id) else { return Poll::Ready(Ok(None)) };
        let held = stream.inbox.held(credit);
        if let Some((taken, cost, acknowledge)) = stream.inbox.take(scratch) {
            let read = held - stream.inbox.held(credit);
            stream.received.take(cost);
            if matches!(taken, Taken::Whole(_)) {
                stream.received.long_taken();
            }
            stream.consumed += 1;
            stream.ack_due |= acknowledge;
            let is_due = stream.ack_due || stream.received.is_due();
            self.unread -= read;
            if is_due {
                self.mark_due(id);
            }
            self.settle(id);
            return Poll::Ready(Ok(Some(taken)));
        }
        if stream.peer_finished {
            return Poll::Ready(Ok(None));
        }
        if let Some(end) = &stream.end {
            return Poll::Ready(Err(end.clone()));
        }
        keep_waker(&mut stream.reader, waker);
        Poll::Pending
    }

    /// What the peer said with its END, once everything before it was taken.
    pub(crate) fn trailer(&mut self, id: u32) -> Option<Vec<u8>> {
        let stream = self.get(id)?;
        let is_there =
            stream.peer_finished && stream.inbox.is_empty() && !stream.trailer.is_empty();
        is_there.then(|| std::mem::take(&mut stream.trailer))
    }

    /// Ends a stream both ways, now. What it held is gone; the peer hears why.
    pub(crate) fn reset(&mut self, id: u32, code: ErrorCode, text: &str) {
        let Some(stream) = self.get(id) else { return };
        if stream.end.is_some() || stream.is_done() {
            return;
        }
        stream.end = Some(StreamError::Reset { code, text: text.into(), by_peer: false });
        stream.reset_due = Some((code, text.into()));
        stream.drop_outgoing();
        let wakers = [stream.reader.take(), stream.writer.take()];
        self.woken.extend(wakers.into_iter().flatten());
        self.mark_due(id);
    }

    /// Nobody sends on it any more. Unfinished, it is over: half of something is not taken for all
    /// of it.
    pub(crate) fn sender_gone(&mut self, id: u32) {
        let Some(stream) = self.get(id) else { return };
        stream.sender_gone = true;
        if stream.finish == Finish::No {
            self.reset(id, ErrorCode::CANCELLED, "its sender is gone");
        }
        self.settle(id);
    }

    /// Nobody reads it any more: what comes is dropped, and what was to be acknowledged cannot be.
    pub(crate) fn receiver_gone(&mut self, id: u32) {
        let credit = self.credit;
        let Some(stream) = self.get(id) else { return };
        stream.receiver_gone = true;
        stream.acks_lost |= stream.inbox.wants_acks();
        let (lost, unread) = (stream.acks_lost, stream.inbox.held(credit));
        stream.received.take(stream.inbox.clear());
        stream.received.all_long_taken();
        let is_due = stream.received.is_due();
        self.unread -= unread;
        if lost {
            self.reset(id, ErrorCode::CANCELLED, "its receiver is gone");
        } else if is_due {
            self.mark_due(id);
        }
        self.settle(id);
    }
}

#[cfg(test)]
mod tests {
    use moorline_buffers::BlockPoolConfig;

    use super::super::StreamTerms;
    use super::*;

    #[test]
    fn a_session_whose_numbers_are_used_up_says_so_and_uses_none_twice() {
        let terms = StreamTerms {
            dialed: false,
            own_max: 8,
            of_peer_max: 8,
            send_window: 1,
            receive_window: 1,
            credit: true,
            limits: true,
            unread_max: 1,
        };
        let pool = BlockPool::new(BlockPoolConfig::messages());
        let mut streams = Streams::new(&terms, &pool, 1_024);
        streams.next_own = u32::MAX - 2;
        let last = streams.next().unwrap();
        streams.opened_by_us(last, Lane::Normal, 1);
        assert_eq!(last, u32::MAX - 2);
        assert!(matches!(streams.next(), Err(SendError::Unsupported(_))));
    }
}
