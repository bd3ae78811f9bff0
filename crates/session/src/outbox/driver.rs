//! What the driver, and whoever holds the writer, does with the outbox.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Poll, Waker};

use moorline_buffers::{Block, SendBuffer};
use moorline_protocol::{
    CloseReason, EncodeError, ErrorCode, Farewell, Frame, HandledTypes, Lane, PeerTypes, Pieces,
};

use super::lanes::{End, Flow};
use super::on_stream::OPENS;
use super::streams::{LeftRound, Owed};
use super::{Finished, Outbox, Phase, Signals};
use crate::errors::our_fault;
use crate::heartbeat::Watch;
use crate::limits::PUBLISH_AHEAD_BYTES;
use crate::requests::{Left, Word, keep_waker};

impl Outbox {
    // ---- sleeping and waking ---------------------------------------------------------------

    /// Whether there is work for the driver; if not, its waker is kept. What is left in `waker` is
    /// to be dropped outside the lock.
    pub(crate) fn poll_work(&mut self, waker: &mut Option<Waker>) -> Poll<()> {
        self.sleep_unless(self.has_work(), waker)
    }

    /// The same where nothing can be written anyway: only what needs no writing is work then.
    pub(crate) fn poll_signals(&mut self, waker: &mut Option<Waker>) -> Poll<()> {
        let asked = self.signals != Signals::default() || self.end_moved;
        self.sleep_unless(asked || self.requests.has_unstamped(), waker)
    }

    fn sleep_unless(&mut self, work: bool, waker: &mut Option<Waker>) -> Poll<()> {
        self.awake = work;
        if work {
            return Poll::Ready(());
        }
        keep_waker(&mut self.driver, waker);
        Poll::Pending
    }

    /// All that a turn would do something about: what is forgotten here waits for the next turn,
    /// which may never come.
    pub(super) fn has_work(&self) -> bool {
        if self.signals != Signals::default() || self.end_moved || !self.control.is_empty() {
            return true;
        }
        if !self.speaks() {
            return false;
        }
        let farewell = self.obey || matches!(self.phase, Phase::Closing(_));
        self.lanes.is_ready()
            || self.can_pull_published()
            || self.has_unsubscribes(self.lanes.requests_left())
            || self.streams.owes()
            || self.pings.may_leave(|end| self.has_left(end))
            || self.flushes.as_ref().is_some_and(|all| all.may_leave(|end| self.has_left(end)))
            || self.has_untimed()
            || self.pong.is_some()
            || self.credit_total.is_some()
            || farewell && self.is_empty()
            || self.failed.is_some()
            || self.requests.has_unstamped()
            || self.requests.has_cancels(self.lanes.requests_left())
    }

    /// Whether nothing waits but control.
    fn is_empty(&self) -> bool {
        let lanes = self.lanes.calls_len() + self.lanes.answers_len();
        lanes + self.streams.queued() + self.published_len() == 0
    }

    /// Everything that has left is with the kernel; whether nobody waits for that any more.
    pub(crate) fn written(&mut self, wakers: &mut Vec<Waker>) -> bool {
        let Self { flushes, lanes, streams, .. } = self;
        let Some(flushes) = flushes else { return true };
        while let Some(number) = flushes.next_to_leave(|&(lane, flow, end)| match flow {
            Flow::Stream(stream) => streams.has_left(stream, end),
            _ => lanes.has_left(lane, flow, end),
        }) {
            flushes.answered(number, wakers);
        }
        !flushes.is_waiting()
    }

    fn has_left(&self, &(lane, flow, end): &End) -> bool {
        match flow {
            Flow::Stream(stream) => self.streams.has_left(stream, end),
            _ => self.lanes.has_left(lane, flow, end),
        }
    }

    /// A turn of the driver begins: until its end nobody needs to wake it.
    pub(crate) fn driver_is_awake(&mut self) {
        self.awake = true;
        self.end_moved = false;
    }

    pub(crate) fn take_signals(&mut self) -> Signals {
        std::mem::take(&mut self.signals)
    }

    pub(crate) fn take_roused(&mut self) -> bool {
        std::mem::take(&mut self.roused)
    }

    /// Whoever writes has asked for a block. A driver that waits for the end of the queue is to look
    /// once more when somebody has come there, even if it is in the middle of a turn: its waker, if it
    /// sleeps.
    #[must_use]
    pub(crate) fn block_taken(&mut self, is_one: bool) -> Option<Waker> {
        let had_some = std::mem::replace(&mut self.taken, is_one);
        if is_one || !had_some || !self.ends() {
            return None;
        }
        self.end_moved = true;
        self.rouse()
    }

    /// Whether the driver waits for the lanes to be empty, whoever empties them.
    pub(crate) const fn ends(&self) -> bool {
        self.drains || matches!(self.phase, Phase::Closing(_) | Phase::Farewell(_))
    }

    // ---- whether the peer is there ---------------------------------------------------------

    /// What decides whether the peer is asked, and whether anybody needs the session.
    pub(crate) fn watch(&self) -> Watch {
        let calls =
            !self.requests.all_answered() || self.streams_live() > 0 || self.is_subscribed();
        let queued = self.lanes.calls_len() + self.published_len() > 0 && !self.is_shut();
        Watch {
            speaks: self.speaks(),
            // After a GOAWAY nothing new is sent that could show that nobody is there any more.
            waits: calls
                || queued
                || self.unheard
                || self.pings.is_waiting()
                || matches!(self.phase, Phase::PeerDrains),
            busy: calls
                || self.subscribed_by_peer() > 0
                || self.lanes.calls_len() + self.lanes.answers_len() > 0,
        }
    }

    /// Asks the peer whether it is there: a ping that waits for nothing. Its number; where too many
    /// wait already, that of the youngest.
    pub(crate) fn ask(&mut self) -> u64 {
        self.pings.wait_for(Vec::new()).unwrap_or(self.pings.last())
    }

    /// The peer has been heard.
    pub(crate) const fn heard(&mut self) {
        self.unheard = false;
    }

    /// Whether messages have left since somebody asked.
    pub(crate) fn take_said(&mut self) -> bool {
        std::mem::take(&mut self.said)
    }

    // ---- what received frames change -------------------------------------------------------

    /// Links answers, so many of them, behind those of other threads; one that `is_long` comes
    /// alone. Nothing follows a farewell.
    //= docs/PROTOCOL.md#10
    pub(crate) fn link_answers(
        &mut self,
        (lane, is_long): (Lane, bool),
        answers: &mut SendBuffer,
        count: u64,
    ) {
        if self.speaks() {
            let start = self.lanes.position(lane, Flow::Answers);
            self.lanes.chain(lane, Flow::Answers).append(answers);
            self.lanes.appended(lane, Flow::Answers, start, is_long);
            self.answers_unread += count;
        } else {
            answers.clear();
        }
    }

    /// Answers that have not left yet.
    pub(crate) const fn answers_unread(&self) -> u64 {
        self.answers_unread
    }

    /// Exchanges the list of answered requests for an empty one: what is done about them may drop
    /// something of a user's, so it is done outside the lock.
    pub(crate) fn swap_finished(&mut self, empty: &mut Vec<Finished>) {
        debug_assert!(empty.is_empty(), "what was taken before has been dealt with");
        std::mem::swap(&mut self.finished, empty);
    }

    pub(crate) fn finished_len(&self) -> usize {
        self.finished.len()
    }

    //= docs/PROTOCOL.md#8
    pub(crate) fn set_pong(&mut self, nonce: u64) {
        self.pong = self.pong.max(Some(nonce));
    }

    pub(crate) fn set_credit(&mut self, total: u64) {
        self.credit_total = Some(total);
    }

    pub(crate) fn raise_credit(&mut self, total: u64) -> Result<(), CloseReason> {
        self.credit.raise(total)?;
        self.lanes.unblock_calls();
        Ok(())
    }

    /// Bytes of requests that have left, by lane.
    pub(crate) fn requests_left(&self) -> Left {
        self.lanes.requests_left()
    }

    pub(crate) fn set_types(&mut self, types: Arc<PeerTypes>) {
        self.types = types;
    }

    /// What this side handles has changed, or types were registered: the peer is told.
    pub(crate) fn set_handled(&mut self, handled: HandledTypes) -> Result<(), EncodeError> {
        if self.speaks() && handled != self.handled {
            self.handled = handled;
            self.told = self.encoder.announce(self.told, &self.handled, &mut self.control)?;
        }
        Ok(())
    }

    /// All pings up to `nonce` are answered; `false` if it was never sent.
    pub(crate) fn pong_received(&mut self, nonce: u64, wakers: &mut Vec<Waker>) -> bool {
        self.ping_answered(nonce.min(self.pings.sent()));
        self.pings.answered(nonce, wakers)
    }

    /// The peer takes nothing new. What is queued still goes, then it is told so.
    //= docs/PROTOCOL.md#10
    pub(crate) fn peer_drains(&mut self) {
        if matches!(self.phase, Phase::Open) {
            self.phase = Phase::PeerDrains;
        }
        self.release_for_good();
        self.obey = true;
    }

    /// Asks the peer to start nothing new.
    pub(crate) fn append_goaway(&mut self, message: &str) -> Result<(), EncodeError> {
        self.release_for_good();
        self.drains = true;
        if !self.speaks() || !self.encoder.abilities().farewell {
            return Ok(());
        }
        let frame = Frame::GoAway { code: ErrorCode(0), message: message.into(), obeyed: false };
        self.encoder.encode(&frame, Lane::High, &mut self.control).map(drop)
    }

    /// Something the protocol has to say of its own accord.
    pub(crate) fn append_control(&mut self, frame: &Frame<'_>) -> Result<(), EncodeError> {
        if self.speaks() { self.say(frame) } else { Ok(()) }
    }

    // ---- blocks for the wire ---------------------------------------------------------------

    /// The next block for the wire.
    ///
    /// # Errors
    /// The session cannot go on: memory for a control frame or an answer could not be had.
    pub(crate) fn take_block(&mut self) -> Result<Option<Block>, CloseReason> {
        if !self.speaks() {
            return Ok(self.control.pop_block());
        }
        if let Some(reason) = &self.failed {
            return Err(reason.clone());
        }
        self.render_control().map_err(our_fault)?;
        if let Some(block) = self.control.pop_block() {
            return Ok(Some(block));
        }
        self.pull_published(PUBLISH_AHEAD_BYTES);
        self.shut_gate();
        let Self { lanes, streams, credit, .. } = self;
        if let Some((lane, flow, block)) = lanes.take(credit, streams) {
            self.said = true;
            // In the bulk lane posts and requests are one.
            self.unheard |= matches!(flow, Flow::Posts | Flow::Requests);
            self.published_may_go_on();
            self.posts_may_have_left();
            match flow {
                Flow::Answers => self.answers_unread -= u64::from(block.weight()),
                Flow::Requests if lane == OPENS => self.let_streams_speak(),
                Flow::Posts | Flow::Requests | Flow::Stream(_) => {}
            }
            return Ok(Some(block));
        }
        self.render_farewell().map_err(our_fault)?;
        Ok(self.control.pop_block())
    }

    /// Streams whose OPEN has just left may speak.
    fn let_streams_speak(&mut self) {
        if self.streams.any_opening() {
            let left = self.lanes.requests_left()[OPENS as usize];
            for (lane, stream) in self.streams.opens_left(left) {
                self.lanes.stream_ready(lane, stream);
            }
        }
    }

    fn render_control(&mut self) -> Result<(), EncodeError> {
        if let Some(total) = self.credit_total.take() {
            self.say(&Frame::Credit { stream: 0, total })?;
        }
        if let Some(nonce) = self.pong.take() {
            self.say(&Frame::Pong { nonce })?;
        }
        // Before the pings: a barrier stands for all that was said before it.
        self.render_unsubscribes()?;
        let Self { pings, lanes, streams, .. } = self;
        let first = pings.sent() + 1;
        while let Some(nonce) = pings.next_to_leave(|&(lane, flow, end)| match flow {
            Flow::Stream(stream) => streams.has_left(stream, end),
            _ => lanes.has_left(lane, flow, end),
        }) {
            self.encoder.encode(&Frame::Ping { nonce }, Lane::High, &mut self.control)?;
        }
        self.pings_left(first..self.pings.sent() + 1);
        self.render_streams()?;
        self.render_cancels()
    }

    fn render_cancels(&mut self) -> Result<(), EncodeError> {
        let Self { encoder, control, requests, lanes, .. } = self;
        let mut result = Ok(());
        requests.cancels(lanes.requests_left(), |word| {
            let (frame, lane) = match word {
                Word::Cancel(id) => (Frame::Cancel { id }, Lane::High),
                // The rest of it is not sent, and the peer answers as to a CANCEL.
                Word::Cut(lane, end) if lanes.cut_request(lane, end) => {
                    (Frame::Aborted(Pieces::Request), lane)
                }
                Word::Cut(..) => return,
            };
            if let Err(error) = encoder.encode(&frame, lane, control) {
                result = Err(error);
            }
        });
        result
    }

    fn render_streams(&mut self) -> Result<(), EncodeError> {
        let mut at = 0;
        while let Some(word) = self.streams.next_owed(&mut at) {
            match word {
                Owed::Credit { stream, total } => self.say(&Frame::Credit { stream, total })?,
                Owed::Ack { stream, count } => self.say(&Frame::Ack { stream, count })?,
                Owed::Reset { stream, left, code, text } => {
                    self.say(&Frame::Reset { stream, code, message: Cow::Borrowed(&text) })?;
                    self.leave_round(stream, left)?;
                }
            }
        }
        Ok(())
    }

    /// A stream is over. The rest of a long message of its never comes, which the peer has to know,
    /// because the number of its fragments is used again.
    pub(super) fn leave_round(&mut self, stream: u32, left: LeftRound) -> Result<(), EncodeError> {
        let LeftRound { lane, cut } = left;
        self.lanes.stream_gone(lane, stream, cut);
        if cut > 0 && self.speaks() {
            let frame = Frame::Aborted(Pieces::Data);
            self.encoder.encode(&frame, lane, &mut self.control)?;
        }
        Ok(())
    }

    fn say(&mut self, frame: &Frame<'_>) -> Result<(), EncodeError> {
        self.encoder.encode(frame, Lane::High, &mut self.control).map(drop)
    }

    /// What overtakes nothing queued before it: GOAWAY X and CLOSE.
    //= docs/PROTOCOL.md#8
    fn render_farewell(&mut self) -> Result<(), EncodeError> {
        if !self.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.obey) && self.encoder.abilities().farewell {
            let frame = Frame::GoAway { code: ErrorCode(0), message: "".into(), obeyed: true };
            self.encoder.encode(&frame, Lane::High, &mut self.control)?;
        }
        if let Phase::Closing(farewell) = &self.phase {
            let farewell = farewell.clone();
            self.encode_close(&farewell)?;
            self.phase = Phase::Farewell(farewell);
        }
        Ok(())
    }

    fn encode_close(&mut self, farewell: &Farewell) -> Result<(), EncodeError> {
        if !self.encoder.abilities().farewell {
            return Ok(());
        }
        let message = Cow::Borrowed(&*farewell.text);
        self.say(&Frame::Close { code: farewell.code, message })
    }

    /// Says goodbye now: what is queued is dropped and its size returned.
    pub(crate) fn cut_short(&mut self, farewell: Farewell) -> Result<usize, EncodeError> {
        if !self.speaks() {
            return Ok(0);
        }
        let lost = self.queued() - self.control.len();
        self.lanes.clear();
        self.clear_published();
        self.streams.silence();
        self.answers_unread = 0;
        self.encode_close(&farewell)?;
        self.phase = Phase::Farewell(farewell);
        Ok(lost)
    }

    /// The end: every call ends, everybody who waits is woken, all memory goes back.
    pub(crate) fn close(&mut self, reason: &CloseReason, wakers: &mut Vec<Waker>) {
        if matches!(self.phase, Phase::Closed(_)) {
            return;
        }
        self.phase = Phase::Closed(reason.clone());
        self.requests.close(reason, self.lanes.requests_left(), wakers);
        self.streams.close(reason, wakers);
        self.clear_published();
        self.close_subscriptions(reason, wakers);
        wakers.extend(self.take_waiters());
        self.pings.close(wakers);
        self.flushes.iter_mut().for_each(|flushes| flushes.close(wakers));
        // A task that has ended takes no harm from being woken, and its waker is not dropped here.
        wakers.extend(self.driver.take());
        self.control.clear();
        self.lanes.clear();
        self.answers_unread = 0;
        self.park();
    }

    /// Idle: gives back what can be had again.
    pub(crate) fn park(&mut self) {
        self.requests.park();
        self.spare = None;
        self.control.park();
        self.lanes.park();
        self.streams.park();
        self.park_published();
        self.park_subscriptions();
        self.pings.park();
        self.park_posts();
        self.park_gate();
        self.waiters.park();
        self.finished.shrink_to_fit();
    }
}
