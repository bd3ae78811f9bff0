//! Who goes next: three lanes, and in each of them flows that take turns (PROTOCOL 8).
//!
//! A higher lane goes first, but a lower one that has waited while 256 KiB went by gets one block in
//! between, so that nothing starves. Within a lane flows go round by deficit: each may send one
//! block's worth of bytes a round, whatever its blocks are filled with. Within a flow nothing
//! overtakes.

mod long;

use std::collections::VecDeque;

use moorline_buffers::{Block, BlockPool, SendBuffer};
use moorline_protocol::Lane;

pub(crate) use self::long::{Group, LongMessages};
use super::streams::Streams;
use crate::credit::SendCredit;
use crate::limits::{FLOW_QUANTUM, LANE_WAIT_BYTES};

/// Where a message waits. Messages of one flow leave in the order they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Posts,
    Requests,
    Answers,
    Stream(u32),
}

/// Up to where a flow reaches: that many bytes of it have been queued, ever.
pub(crate) type End = (Lane, Flow, u64);

/// Bytes of one flow that wait, and how many have left before.
pub(crate) struct Queue {
    pub(crate) chain: SendBuffer,
    /// Bytes that have left, ever.
    pub(crate) left: u64,
    /// Bytes it may send before others have their turn.
    deficit: usize,
    pub(crate) state: FlowState,
    /// Where its messages in pieces lie.
    long: VecDeque<(u64, u64)>,
}

/// Whether a flow stands in the round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlowState {
    /// Nothing waits.
    Empty,
    /// It is in the round.
    Ready,
    /// It is not, although something waits: for credit, or for something else to leave first.
    Blocked,
}

impl Queue {
    pub(crate) fn new(chain: SendBuffer) -> Self {
        Self {
            chain,
            left: 0,
            deficit: FLOW_QUANTUM,
            state: FlowState::Empty,
            long: VecDeque::new(),
        }
    }

    /// Where the next byte that is appended will stand.
    pub(crate) fn appended(&self) -> u64 {
        self.left + self.chain.len() as u64
    }

    /// A message in pieces was appended, from `start` on. What follows begins with a block of its
    /// own, so that the rest of this one can be given up.
    pub(crate) fn appended_long(&mut self, start: u64) {
        self.chain.close_tail();
        self.long.push_back((start, self.appended()));
    }

    /// Gives up what waits: it counts as having left. Returns the length of a long message whose
    /// first part had left before.
    #[must_use]
    pub(crate) fn give_up(&mut self) -> u64 {
        let amid = self.is_amid_long();
        let cut = self.long.front().filter(|_| amid).map_or(0, |(start, end)| end - start);
        self.left = self.appended();
        self.chain.clear();
        self.long.clear();
        self.state = FlowState::Empty;
        cut
    }

    /// Gives up what waits before `end`, which must be where a block begins; whether it is.
    fn skip_to(&mut self, end: u64, long: &mut LongMessages) -> bool {
        let mut at = self.left;
        while self.chain.front().is_some_and(|block| at + block.len() as u64 <= end) {
            at += self.chain.pop_block().map_or(0, |block| block.len() as u64);
        }
        self.advance(at, Group::Initiations, long);
        at == end
    }

    /// Everything before `to` has left, or never will.
    fn advance(&mut self, to: u64, group: Group, long: &mut LongMessages) {
        let from = std::mem::replace(&mut self.left, to);
        while let Some((start, end)) = self.long.pop_front_if(|(_, end)| *end <= to) {
            if start < from {
                long.end(group, end - start);
            }
        }
    }

    /// Whether a message in pieces is on its way, or begins with the next block.
    pub(crate) fn next_is_long(&self) -> bool {
        let next = self.left + self.chain.front().map_or(0, |block| block.len() as u64);
        self.long.front().is_some_and(|(start, _)| *start < next)
    }

    /// Whether a message in pieces is on its way: begun, and not at its end.
    pub(crate) fn is_amid_long(&self) -> bool {
        self.long.front().is_some_and(|(start, _)| *start < self.left)
    }

    /// Its next block, if it may be sent: `credit` is where its weight is taken from.
    pub(crate) fn offer(
        &mut self,
        credit: Option<&mut SendCredit>,
        (lane, group): (Lane, Group),
        long: &mut LongMessages,
    ) -> Offer {
        let Some(front) = self.chain.front() else {
            self.state = FlowState::Empty;
            return Offer::Leave;
        };
        if self.deficit < front.len() {
            self.deficit += FLOW_QUANTUM;
            return Offer::NextRound;
        }
        let begins = self.next_is_long() && !self.is_amid_long();
        let len = self.long.front().map_or(0, |(start, end)| end - start);
        if begins && !long.may_begin(lane, group, len) {
            self.state = FlowState::Blocked;
            return Offer::Wait;
        }
        if credit.is_some_and(|credit| !credit.spend(front.weight().into())) {
            self.state = FlowState::Blocked;
            return Offer::Leave;
        }
        if begins {
            long.begin(lane, group, len);
        }
        let block = self.chain.pop_block().expect("it was just looked at");
        self.deficit -= block.len();
        // What begins and ends in this block is counted both times.
        let to = self.left + block.len() as u64;
        if begins {
            self.left = self.long.front().map_or(self.left, |(start, _)| *start + 1);
        }
        self.advance(to, group, long);
        let rest = !self.chain.is_empty();
        if !rest {
            self.state = FlowState::Empty;
        }
        Offer::Take(block, rest)
    }
}

/// What a flow says when it is its turn.
pub(crate) enum Offer {
    /// A block, and whether something is left behind it.
    Take(Block, bool),
    /// It has had its share of this round.
    NextRound,
    /// It has nothing, or no credit for it.
    Leave,
    /// It has a message in pieces, and others are on their way.
    Wait,
}

/// All lanes of a session. Those that few sessions use are made when they are first needed.
pub(crate) struct Lanes {
    pool: BlockPool,
    block_max: usize,
    normal: LaneQueue,
    others: Option<Box<[LaneQueue; 2]>>,
    /// Bytes that went by while the normal and the bulk lane had something to send.
    waited: [usize; 2],
    pub(crate) long: LongMessages,
    /// Flows with a message in pieces that wait until another has come to its end.
    waiting: Vec<(Lane, Flow)>,
    /// Only answers may leave.
    held: bool,
}

struct LaneQueue {
    posts: Queue,
    /// In the bulk lane posts as well: they share the numbers of their fragments.
    requests: Queue,
    answers: Queue,
    round: VecDeque<Flow>,
    /// The stream whose long message is on its way: the others wait with theirs.
    data_owner: Option<u32>,
}

impl Lanes {
    pub(crate) fn new(pool: &BlockPool, block_max: usize, message_max: u64) -> Self {
        Self {
            pool: pool.clone(),
            block_max,
            normal: LaneQueue::new(pool, block_max),
            others: None,
            waited: [0; 2],
            long: LongMessages::new(message_max.saturating_mul(2)),
            waiting: Vec::new(),
            held: false,
        }
    }

    fn lane(&self, lane: Lane) -> Option<&LaneQueue> {
        match lane {
            Lane::Normal => Some(&self.normal),
            Lane::High => self.others.as_deref().map(|others| &others[0]),
            Lane::Bulk => self.others.as_deref().map(|others| &others[1]),
        }
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut LaneQueue {
        let Self { pool, block_max, normal, others, .. } = self;
        let make = || LaneQueue::new(pool, *block_max);
        match lane {
            Lane::Normal => normal,
            Lane::High => &mut others.get_or_insert_with(|| Box::new([make(), make()]))[0],
            Lane::Bulk => &mut others.get_or_insert_with(|| Box::new([make(), make()]))[1],
        }
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut LaneQueue> {
        std::iter::once(&mut self.normal).chain(self.others.as_deref_mut().into_iter().flatten())
    }

    fn all(&self) -> impl Iterator<Item = &LaneQueue> {
        std::iter::once(&self.normal).chain(self.others.as_deref().into_iter().flatten())
    }

    /// The chain to append to; [`appended`](Self::appended) is to follow.
    pub(crate) fn chain(&mut self, lane: Lane, flow: Flow) -> &mut SendBuffer {
        &mut self.lane_mut(lane).queue(lane, flow).chain
    }

    /// Where the next byte of a flow will stand.
    pub(crate) fn position(&mut self, lane: Lane, flow: Flow) -> u64 {
        self.lane_mut(lane).queue(lane, flow).appended()
    }

    /// Something was appended from `start` on: the flow stands in the round, unless it waits for
    /// something else.
    pub(crate) fn appended(&mut self, lane: Lane, flow: Flow, start: u64, is_long: bool) {
        let queues = self.lane_mut(lane);
        let queue = queues.queue(lane, flow);
        if is_long {
            queue.appended_long(start);
        }
        if queue.state == FlowState::Empty && !queue.chain.is_empty() {
            queue.state = FlowState::Ready;
            queue.deficit = FLOW_QUANTUM;
            queues.round.push_back(shared(lane, flow));
        }
    }

    /// The same for a stream, whose queue is its own.
    pub(crate) fn stream_ready(&mut self, lane: Lane, stream: u32) {
        self.lane_mut(lane).round.push_back(Flow::Stream(stream));
    }

    /// A stream is over and leaves the round; a long message of so many bytes was on its way.
    pub(crate) fn stream_gone(&mut self, lane: Lane, stream: u32, cut: u64) {
        let queues = self.lane_mut(lane);
        queues.round.retain(|&flow| flow != Flow::Stream(stream));
        queues.data_owner.take_if(|owner| *owner == stream);
        self.waiting.retain(|&waits| waits != (lane, Flow::Stream(stream)));
        if cut > 0 {
            self.long.end(Group::Initiations, cut);
        }
    }

    /// Gives up the rest of a long request, of which the first part has left; whether there is a
    /// rest.
    pub(crate) fn cut_request(&mut self, lane: Lane, end: u64) -> bool {
        let mut long = std::mem::replace(&mut self.long, LongMessages::new(0));
        let queues = self.lane_mut(lane);
        let queue = &mut queues.requests;
        let cut = queue.left < end && queue.skip_to(end, &mut long);
        if queue.state == FlowState::Blocked {
            queue.state = FlowState::Ready;
            queues.round.push_back(Flow::Requests);
        }
        self.long = long;
        cut
    }

    /// There is credit again.
    pub(crate) fn unblock_calls(&mut self) {
        for lane in self.all_mut() {
            for flow in [Flow::Posts, Flow::Requests] {
                let queue = if flow == Flow::Posts { &mut lane.posts } else { &mut lane.requests };
                if queue.state == FlowState::Blocked {
                    queue.state = FlowState::Ready;
                    lane.round.push_back(flow);
                }
            }
        }
    }

    /// Bytes of requests that have left, by lane.
    pub(crate) fn requests_left(&self) -> [u64; 3] {
        Lane::ALL.map(|lane| self.lane(lane).map_or(0, |lane| lane.requests.left))
    }

    /// Bytes of posts and requests that wait.
    pub(crate) fn calls_len(&self) -> usize {
        self.all().map(|lane| lane.posts.chain.len() + lane.requests.chain.len()).sum()
    }

    /// Bytes that wait in a lane, but for streams.
    pub(crate) fn lane_len(&self, lane: Lane) -> usize {
        let all =
            |lane: &LaneQueue| [&lane.posts, &lane.requests, &lane.answers].map(|q| q.chain.len());
        self.lane(lane).map_or(0, |lane| all(lane).into_iter().sum())
    }

    /// Bytes that wait where the posts of a lane do.
    pub(crate) fn posts_len(&self, lane: Lane) -> usize {
        let posts = |queues: &LaneQueue| match shared(lane, Flow::Posts) {
            Flow::Posts => queues.posts.chain.len(),
            _ => queues.requests.chain.len(),
        };
        self.lane(lane).map_or(0, posts)
    }

    /// Bytes of answers that wait.
    pub(crate) fn answers_len(&self) -> usize {
        self.all().map(|lane| lane.answers.chain.len()).sum()
    }

    /// Whether a flow stands in some round.
    pub(crate) fn is_ready(&self) -> bool {
        let held = self.held;
        let may_leave = |flow: &Flow| !held || *flow == Flow::Answers;
        let resumes = self.long.released && !self.waiting.is_empty();
        resumes || self.all().any(|lane| lane.round.iter().any(may_leave))
    }

    /// Whether only answers may leave from now on.
    pub(crate) const fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Where the flows that hold something end now: once all of it has left, so has everything that
    /// is queued at this moment.
    pub(crate) fn ends(&self, ends: &mut Vec<End>) {
        for lane in Lane::ALL {
            let Some(queues) = self.lane(lane) else { continue };
            for (flow, queue) in [
                (Flow::Posts, &queues.posts),
                (Flow::Requests, &queues.requests),
                (Flow::Answers, &queues.answers),
            ] {
                if !queue.chain.is_empty() {
                    ends.push((lane, flow, queue.appended()));
                }
            }
        }
    }

    /// Whether a flow that is no stream has left up to `end`.
    pub(crate) fn has_left(&self, lane: Lane, flow: Flow, end: u64) -> bool {
        let Some(queues) = self.lane(lane) else { return true };
        let queue = match flow {
            Flow::Posts => &queues.posts,
            Flow::Requests => &queues.requests,
            Flow::Answers => &queues.answers,
            Flow::Stream(_) => return true,
        };
        queue.left >= end
    }

    /// The next block that may leave.
    pub(crate) fn take(
        &mut self,
        credit: &mut SendCredit,
        streams: &mut Streams,
    ) -> Option<(Lane, Flow, Block)> {
        if std::mem::take(&mut self.long.released) {
            self.resume(streams);
        }
        self.order().find_map(|lane| {
            let (flow, block) = self.take_of(lane, credit, streams)?;
            self.count_waiting(lane, block.len());
            Some((lane, flow, block))
        })
    }

    fn take_of(
        &mut self,
        lane: Lane,
        credit: &mut SendCredit,
        streams: &mut Streams,
    ) -> Option<(Flow, Block)> {
        let Self { normal, others, long, waiting, held, .. } = self;
        let queues = match lane {
            Lane::Normal => normal,
            Lane::High => &mut others.as_deref_mut()?[0],
            Lane::Bulk => &mut others.as_deref_mut()?[1],
        };
        queues.take(lane, (credit, streams, long), waiting, *held)
    }

    /// Puts flows that waited with a message in pieces back into their rounds, and before those that
    /// have just sent one: who has many of them must not always be faster.
    fn resume(&mut self, streams: &mut Streams) {
        for (lane, flow) in std::mem::take(&mut self.waiting).into_iter().rev() {
            let queues = self.lane_mut(lane);
            let state = match flow {
                Flow::Stream(stream) => streams.state(stream),
                _ => Some(&mut queues.queue(lane, flow).state),
            };
            if let Some(state) = state.filter(|state| **state == FlowState::Blocked) {
                *state = FlowState::Ready;
                queues.round.push_front(flow);
            }
        }
    }

    /// Who has waited too long, then high, normal, bulk.
    fn order(&self) -> impl Iterator<Item = Lane> + use<> {
        let waited = self.waited;
        let late = [Lane::Bulk, Lane::Normal].into_iter();
        late.filter(move |lane| waited[*lane as usize - 1] >= LANE_WAIT_BYTES).chain(Lane::ALL)
    }

    /// The lanes below the one that has sent have waited for that much more.
    fn count_waiting(&mut self, sent: Lane, len: usize) {
        for lane in [Lane::Normal, Lane::Bulk] {
            let waits = lane > sent && self.lane(lane).is_some_and(|lane| !lane.round.is_empty());
            let waited = &mut self.waited[lane as usize - 1];
            *waited = if waits {
                *waited + len
            } else if lane == sent {
                0
            } else {
                *waited
            };
        }
    }

    /// Drops everything but what streams hold.
    pub(crate) fn clear(&mut self) {
        for lane in self.all_mut() {
            for queue in [&mut lane.posts, &mut lane.requests, &mut lane.answers] {
                queue.chain.clear();
                queue.long.clear();
                queue.state = FlowState::Empty;
            }
            lane.round.clear();
            lane.data_owner = None;
        }
        self.waiting.clear();
    }

    /// Idle: gives back what can be had again.
    pub(crate) fn park(&mut self) {
        for lane in self.all_mut() {
            for queue in [&mut lane.posts, &mut lane.requests, &mut lane.answers] {
                queue.chain.park();
            }
            lane.round.shrink_to_fit();
        }
    }
}

impl LaneQueue {
    fn new(pool: &BlockPool, block_max: usize) -> Self {
        let queue = || Queue::new(SendBuffer::with_block_max(pool, block_max));
        Self {
            posts: queue(),
            requests: queue(),
            answers: queue(),
            round: VecDeque::new(),
            data_owner: None,
        }
    }

    fn queue(&mut self, lane: Lane, flow: Flow) -> &mut Queue {
        match shared(lane, flow) {
            Flow::Posts => &mut self.posts,
            Flow::Requests => &mut self.requests,
            Flow::Answers => &mut self.answers,
            Flow::Stream(_) => unreachable!("a stream has a queue of its own"),
        }
    }

    fn take(
        &mut self,
        lane: Lane,
        (credit, streams, long): (&mut SendCredit, &mut Streams, &mut LongMessages),
        waiting: &mut Vec<(Lane, Flow)>,
        only_answers: bool,
    ) -> Option<(Flow, Block)> {
        while let Some(&flow) = self.round.front() {
            if only_answers && flow != Flow::Answers {
                let answers = self.round.iter().position(|flow| *flow == Flow::Answers)?;
                self.round.rotate_left(answers);
                continue;
            }
            let offer = match flow {
                Flow::Stream(stream) => streams.offer(stream, &mut self.data_owner, long),
                Flow::Answers => self.answers.offer(None, (lane, Group::Answers), long),
                _ => self.queue(lane, flow).offer(Some(credit), (lane, Group::Initiations), long),
            };
            match offer {
                Offer::Take(block, rest) => {
                    if !rest {
                        self.round.pop_front();
                    }
                    return Some((flow, block));
                }
                Offer::NextRound => self.round.rotate_left(1),
                Offer::Leave => drop(self.round.pop_front()),
                // Credit that comes meanwhile may bring it here again.
                Offer::Wait => {
                    self.round.pop_front();
                    if !waiting.contains(&(lane, flow)) {
                        waiting.push((lane, flow));
                    }
                }
            }
        }
        None
    }
}

/// Which flow one stands for: in the bulk lane posts and requests are one.
fn shared(lane: Lane, flow: Flow) -> Flow {
    if lane == Lane::Bulk && flow == Flow::Posts { Flow::Requests } else { flow }
}

#[cfg(test)]
mod model;
