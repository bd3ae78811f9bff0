//! The streams of a session, ours and the peer's: what waits to be sent on each, what has come, and
//! how far each is from its end (PROTOCOL 6, 8).

mod handles;
mod leaving;
mod peer;

use std::collections::BTreeMap;
use std::task::{Poll, Waker};

use moorline_buffers::{BlockPool, SendBuffer};
use moorline_protocol::{Body, CloseReason, ErrorCode, Lane, Violation};

use super::inbox::{Inbox, Taken};
use super::lanes::{End, Flow, FlowState, Group, LongMessages, Offer, Queue};
use crate::credit::{ReceiveCredit, SendCredit};
use crate::errors::{SendError, StreamError};
use crate::limits::{STREAM_QUEUE_BYTES, WINDOW_GROWN_MAX, WINDOWS_GROWN_MAX};
use crate::requests::keep_waker;

/// All of them, by number.
pub(crate) struct Streams {
    open: BTreeMap<u32, Box<Stream>>,
    /// The lowest bit of our own numbers.
    parity: u32,
    next_own: u32,
    highest_of_peer: u32,
    /// How many count, ours and the peer's.
    own: u32,
    of_peer: u32,
    own_max: u32,
    of_peer_max: u32,
    send_window: u64,
    receive_window: u64,
    /// Both sides count bytes; if not, windows have no end.
    credit: bool,
    limits: bool,
    /// Bytes that came and that nobody has read, as far as no window bounds them.
    unread: u64,
    unread_max: u64,
    /// Those that owe the peer a word; each stands here once.
    due: Vec<u32>,
    /// Credit was told since somebody asked.
    pub(crate) told_credit: bool,
    /// How often the peer has made us reset one, by what it sent, since somebody asked.
    pub(crate) faults_of_peer: u32,
    /// How many have come to a good end since somebody asked.
    pub(crate) ended_well: u32,
    /// To be woken when the lock is released.
    pub(crate) woken: Vec<Waker>,
    pool: BlockPool,
    block_max: usize,
}

/// What a session's streams begin with.
pub(crate) struct StreamTerms {
    pub(crate) dialed: bool,
    pub(crate) own_max: u32,
    pub(crate) of_peer_max: u32,
    pub(crate) send_window: u64,
    pub(crate) receive_window: u64,
    /// Both sides count bytes.
    pub(crate) credit: bool,
    /// The peer knows how many it may have.
    pub(crate) limits: bool,
    pub(crate) unread_max: u64,
}

struct Stream {
    lane: Lane,
    /// It counts against a limit: until it is over on the wire.
    counts: bool,
    // Sending.
    queue: Queue,
    credit: SendCredit,
    /// Its OPEN ends here among the requests of the lane of OPENs, and has not left.
    opens_at: Option<u64>,
    sent: u64,
    acked: u64,
    ack_wanted: u64,
    finish: Finish,
    sender_gone: bool,
    writer: Option<Waker>,
    // Receiving.
    inbox: Inbox,
    received: ReceiveCredit,
    consumed: u64,
    ack_due: bool,
    /// Something was dropped that the peer waits for us to take.
    acks_lost: bool,
    /// END has come; and it came in time, so that nothing is missing before it.
    end_came: bool,
    peer_finished: bool,
    trailer: Vec<u8>,
    receiver_gone: bool,
    reader: Option<Waker>,
    // Both.
    end: Option<StreamError>,
    /// Length of a long message that was given up in the middle.
    cut: u64,
    /// We say RESET, and have not yet.
    reset_due: Option<(ErrorCode, Box<str>)>,
    is_due: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    No,
    /// END is queued and ends here.
    At(u64),
    Left,
}

/// A word that a stream owes the peer.
pub(crate) enum Owed {
    Credit { stream: u32, total: u64 },
    Ack { stream: u32, count: u64 },
    Reset { stream: u32, left: LeftRound, code: ErrorCode, text: Box<str> },
}

/// What becomes of a stream that is reset: it leaves the round of its lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeftRound {
    pub(crate) lane: Lane,
    /// Length of a long message that was on its way.
    pub(crate) cut: u64,
}

/// What to do about an OPEN of the peer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Refuse(ErrorCode),
}

impl Streams {
    pub(crate) fn new(terms: &StreamTerms, pool: &BlockPool, block_max: usize) -> Self {
        let parity = u32::from(!terms.dialed);
        Self {
            open: BTreeMap::new(),
            parity,
            next_own: 2 + parity,
            highest_of_peer: 0,
            own: 0,
            of_peer: 0,
            own_max: terms.own_max,
            of_peer_max: terms.of_peer_max,
            send_window: terms.send_window,
            receive_window: terms.receive_window,
            credit: terms.credit,
            limits: terms.limits,
            unread: 0,
            unread_max: terms.unread_max,
            due: Vec::new(),
            told_credit: false,
            faults_of_peer: 0,
            ended_well: 0,
            woken: Vec::new(),
            pool: pool.clone(),
            block_max,
        }
    }

    fn insert(&mut self, id: u32, lane: Lane, send_window: u64, opens_at: Option<u64>) {
        let mut queue = Queue::new(SendBuffer::with_block_max(&self.pool, self.block_max));
        if opens_at.is_some() {
            queue.state = FlowState::Blocked;
        }
        let (credit, received) = if self.credit {
            (SendCredit::new(send_window), ReceiveCredit::new(self.receive_window))
        } else {
            (SendCredit::unlimited(), ReceiveCredit::unlimited())
        };
        let stream = Stream {
            lane,
            counts: true,
            queue,
            credit,
            opens_at,
            sent: 0,
            acked: 0,
            ack_wanted: 0,
            finish: Finish::No,
            sender_gone: false,
            writer: None,
            inbox: Inbox::default(),
            received,
            consumed: 0,
            ack_due: false,
            acks_lost: false,
            end_came: false,
            peer_finished: false,
            trailer: Vec::new(),
            receiver_gone: false,
            reader: None,
            end: None,
            cut: 0,
            reset_due: None,
            is_due: false,
        };
        self.open.insert(id, Box::new(stream));
    }

    /// How many are not over.
    pub(crate) const fn live(&self) -> u32 {
        self.own + self.of_peer
    }

    /// Bytes that wait on all of them.
    pub(crate) fn queued(&self) -> usize {
        self.open.values().map(|stream| stream.queue.chain.len()).sum()
    }

    fn get(&mut self, id: u32) -> Option<&mut Stream> {
        self.open.get_mut(&id).map(|stream| &mut **stream)
    }

    fn mark_due(&mut self, id: u32) {
        if let Some(stream) = self.open.get_mut(&id)
            && !std::mem::replace(&mut stream.is_due, true)
        {
            self.due.push(id);
        }
    }

    /// The session is over, and so is every stream.
    pub(crate) fn close(&mut self, reason: &CloseReason, wakers: &mut Vec<Waker>) {
        self.due.clear();
        (self.own, self.of_peer) = (0, 0);
        self.open.retain(|_, stream| {
            stream.counts = false;
            if stream.end.is_none() && !stream.is_done() {
                stream.end = Some(StreamError::Closed(reason.clone()));
            }
            stream.reset_due = None;
            stream.drop_outgoing();
            wakers.extend(stream.reader.take());
            wakers.extend(stream.writer.take());
            !(stream.sender_gone && stream.receiver_gone)
        });
        self.unread = self.open.values().map(|stream| stream.inbox.held(self.credit)).sum();
        wakers.append(&mut self.woken);
    }

    /// It counts no more: the last unit about it has left or come.
    fn uncount(&mut self, id: u32) {
        let Some(stream) = self.open.get_mut(&id) else { return };
        if std::mem::take(&mut stream.counts) {
            let count = if id & 1 == self.parity { &mut self.own } else { &mut self.of_peer };
            *count -= 1;
        }
    }

    /// Looks whether a stream has come to its end, on the wire and for its handles.
    fn settle(&mut self, id: u32) {
        let Some(stream) = self.open.get_mut(&id) else { return };
        if stream.is_done() && stream.counts {
            self.ended_well += u32::from(stream.end.is_none());
            self.uncount(id);
        }
        let Some(stream) = self.open.get_mut(&id) else { return };
        let handles_gone = stream.sender_gone && stream.receiver_gone;
        // Ours is said; what the peer would still send nobody would hear.
        if handles_gone
            && stream.end.is_none()
            && stream.finish == Finish::Left
            && !stream.peer_finished
        {
            self.reset(id, ErrorCode::CANCELLED, "nobody reads it");
            return;
        }
        if handles_gone && !stream.counts && stream.reset_due.is_none() {
            debug_assert!(stream.inbox.is_empty(), "its receiver took it along");
            self.open.remove(&id);
        }
    }

    /// Idle: gives back what can be had again.
    pub(crate) fn park(&mut self) {
        self.due.shrink_to_fit();
        self.woken = Vec::new();
        for stream in self.open.values_mut() {
            stream.queue.chain.park();
            stream.inbox.park();
        }
    }
}

impl Stream {
    /// Both sides have said END, and what was to be acknowledged is. For the peer a stream like that is
    /// over, and does not count, even if we are about to reset it.
    //= docs/PROTOCOL.md#6
    fn is_done(&self) -> bool {
        self.end_came
            && self.finish == Finish::Left
            && self.acked >= self.ack_wanted
            && !self.ack_due
            && !self.acks_lost
            && !self.inbox.wants_acks()
    }

    /// Whether it is to be put into the round now.
    fn wants_in(&mut self) -> bool {
        let wants = self.queue.state == FlowState::Empty && !self.queue.chain.is_empty();
        if wants {
            self.queue.state = FlowState::Ready;
        }
        wants
    }

    fn waits_for_credit_only(&self) -> bool {
        let weight = self.queue.chain.front().map_or(0, |block| block.weight());
        u64::from(weight) <= self.credit.available()
    }

    fn drop_outgoing(&mut self) {
        self.cut += self.queue.give_up();
    }
}

#[cfg(test)]
mod model;
