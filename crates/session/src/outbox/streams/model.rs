//! Two tables of streams with lines of units between them, in any order of what handles do and of
//! what leaves and arrives, against plain counts: nobody breaks a rule of the other, each reader gets
//! what was sent, nobody sleeps beside a message, and in the end nothing is left of any stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Wake;

use moorline_buffers::{BlockPoolConfig, RecvPool};
use moorline_protocol::limits::BLOCK_COST_MAX;
use prop::sample::Index;
use proptest::prelude::*;

use super::*;

const WINDOW: u64 = 64 * 1024;
const STREAMS_MAX: u32 = 6;

#[derive(Debug, Clone)]
enum Do {
    Open,
    /// So many units of this cost each, and whether the other side is to acknowledge them.
    Send(Index, u64, usize, bool),
    Finish(Index),
    Reset(Index),
    DropSender(Index),
    DropReceiver(Index),
    Read(Index),
    /// So many units leave.
    Leave(usize),
    /// What is owed to the peer is said.
    Say,
    /// So many units arrive; streams opened by them are turned down, or taken.
    Arrive(usize, bool),
    /// A round trip begins or ends.
    Sample(bool),
}

fn any_do() -> impl Strategy<Value = (usize, Do)> {
    let index = any::<Index>;
    let act = prop_oneof![
        3 => Just(Do::Open),
        8 => (index(), 33..=u64::from(BLOCK_COST_MAX), 1..6_usize, prop::bool::weighted(0.2))
            .prop_map(|(who, cost, units, acknowledge)| Do::Send(who, cost, units, acknowledge)),
        2 => index().prop_map(Do::Finish),
        1 => index().prop_map(Do::Reset),
        1 => index().prop_map(Do::DropSender),
        1 => index().prop_map(Do::DropReceiver),
        6 => index().prop_map(Do::Read),
        6 => (1..9_usize).prop_map(Do::Leave),
        4 => Just(Do::Say),
        8 => (1..9_usize, prop::bool::weighted(0.1))
            .prop_map(|(count, rejects)| Do::Arrive(count, rejects)),
        1 => any::<bool>().prop_map(Do::Sample),
    ];
    (0..2_usize, act)
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Open(u32),
    Part {
        id: u32,
        cost: u64,
        missing: u64,
    },
    Data {
        id: u32,
        number: u32,
        cost: u64,
        acknowledge: bool,
        is_long: bool,
    },
    /// With how many DATA came before it.
    End(u32, u32),
    Credit(u32, u64),
    Ack(u32, u64),
    Reset(u32),
}

/// What a side knows of a stream: as much as its application could.
#[derive(Default)]
struct Handle {
    sender: bool,
    receiver: bool,
    sent: u32,
    finished: bool,
    read: u32,
    heard_end: bool,
    /// Asleep until the bell rings.
    waits: bool,
    bell: Arc<Bell>,
    /// Costs of what has left and of what has come, and the credit that was heard of.
    left: u64,
    come: u64,
    granted: u64,
}

#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

struct Side {
    streams: Streams,
    handles: BTreeMap<u32, Handle>,
    /// OPENs that wait; each of them takes one byte.
    opens: VecDeque<u32>,
    opens_queued: u64,
    opens_left: u64,
    round: VecDeque<u32>,
    long: LongMessages,
    /// All units that were ever queued: a block says which one it is.
    units: Vec<Unit>,
    /// What is on its way to the other side.
    line: VecDeque<Unit>,
}

struct Both {
    sides: [Side; 2],
    blocks: BlockPool,
    buffers: RecvPool,
}

impl Side {
    fn new(dialed: bool, unread_max: u64, blocks: &BlockPool) -> Self {
        let terms = StreamTerms {
            dialed,
            own_max: STREAMS_MAX,
            of_peer_max: STREAMS_MAX,
            send_window: WINDOW,
            receive_window: WINDOW,
            credit: true,
            limits: true,
            unread_max,
        };
        Self {
            streams: Streams::new(&terms, blocks, 1_024),
            handles: BTreeMap::new(),
            opens: VecDeque::new(),
            opens_queued: 0,
            opens_left: 0,
            round: VecDeque::new(),
            long: LongMessages::new(u64::MAX),
            units: Vec::new(),
            line: VecDeque::new(),
        }
    }

    // ---- what handles do -------------------------------------------------------------------

    fn open(&mut self) {
        let next = match self.streams.next() {
            Ok(next) => next,
            Err(error) => {
                assert!(matches!(error, SendError::Streams { limit: STREAMS_MAX }), "{error}");
                return;
            }
        };
        self.opens_queued += 1;
        self.streams.opened_by_us(next, Lane::Normal, self.opens_queued);
        self.opens.push_back(next);
        self.take_up(next);
    }

    fn take_up(&mut self, id: u32) {
        let handle = Handle { sender: true, receiver: true, granted: WINDOW, ..Handle::default() };
        assert!(self.handles.insert(id, handle).is_none(), "number {id} is used again");
    }

    /// A stream with such a handle.
    fn pick(&self, who: &Index, has: impl Fn(&Handle) -> bool) -> Option<u32> {
        let all: Vec<u32> =
            self.handles.iter().filter(|(_, handle)| has(handle)).map(|(id, _)| *id).collect();
        (!all.is_empty()).then(|| *who.get(&all))
    }

    fn send(&mut self, id: u32, cost: u64, count: usize, acknowledge: bool) {
        let Ok(_) = self.streams.admit(id, 4 * count) else { return };
        let handle = self.handles.get_mut(&id).unwrap();
        let (start, number) = (self.streams.position(id), handle.sent);
        handle.sent += 1;
        for missing in (1..count).rev() {
            self.queue(id, Unit::Part { id, cost, missing: cost * missing as u64 }, cost);
        }
        let is_long = count > 1;
        self.queue(id, Unit::Data { id, number, cost, acknowledge, is_long }, cost);
        let (sent, ready) = self.streams.appended(id, start, is_long, acknowledge);
        assert_eq!(sent, u64::from(number) + 1);
        self.round.extend(ready.then_some(id));
    }

    /// Each unit gets a block of its own.
    fn queue(&mut self, id: u32, unit: Unit, cost: u64) {
        let chain = self.streams.chain(id);
        let mark = u32::try_from(self.units.len()).unwrap();
        chain.extend_from_slice(&mark.to_le_bytes()).unwrap();
        chain.add_weight(u32::try_from(cost).unwrap());
        chain.close_tail();
        self.units.push(unit);
    }

    fn finish(&mut self, id: u32) {
        let Ok(_) = self.streams.lane_to_finish(id) else { return };
        let handle = self.handles.get_mut(&id).unwrap();
        handle.finished = true;
        let unit = Unit::End(id, handle.sent);
        self.queue(id, unit, 0);
        let ready = self.streams.finished_by_us(id);
        self.round.extend(ready.then_some(id));
    }

    fn drop_sender(&mut self, id: u32) {
        self.streams.sender_gone(id);
        self.handles.get_mut(&id).unwrap().sender = false;
    }

    fn drop_receiver(&mut self, id: u32) {
        self.streams.receiver_gone(id);
        self.handles.get_mut(&id).unwrap().receiver = false;
    }

    /// Whether something came of it. `sent` is what the other side has sent, if it has finished.
    fn read(&mut self, id: u32, sent: Option<u32>) -> bool {
        let handle = self.handles.get_mut(&id).unwrap();
        let (mut scratch, mut waker) = (Vec::new(), Some(Waker::from(Arc::clone(&handle.bell))));
        let polled = self.streams.poll_next(id, &mut waker, &mut scratch);
        let woken = handle.bell.0.swap(false, SeqCst);
        let waited = std::mem::replace(&mut handle.waits, polled.is_pending());
        assert!(!waited || woken || polled.is_pending(), "{id}: it sleeps beside what has come");
        match polled {
            Poll::Pending => false,
            Poll::Ready(Ok(Some(taken))) => {
                let bytes = match &taken {
                    Taken::Copied => &scratch[..],
                    Taken::Whole(buffer) => buffer.readable(),
                };
                assert_eq!(bytes, handle.read.to_le_bytes(), "{id}: messages come in order");
                assert!(!handle.heard_end, "{id}: a message behind the end");
                handle.read += 1;
                true
            }
            Poll::Ready(Ok(None)) => {
                assert_eq!(Some(handle.read), sent, "{id}: half is taken for all");
                let trailer = self.streams.trailer(id);
                let first = !std::mem::replace(&mut handle.heard_end, true);
                let expected = first.then(|| handle.read.to_le_bytes().to_vec());
                assert_eq!(trailer, expected, "{id}: the trailer comes once");
                false
            }
            Poll::Ready(Err(end)) => {
                assert!(matches!(end, StreamError::Reset { .. }), "{id}: {end}");
                false
            }
        }
    }

    // ---- what leaves -----------------------------------------------------------------------

    /// One unit, if there is one that may.
    fn leave(&mut self) -> bool {
        if let Some(id) = self.opens.pop_front() {
            self.line.push_back(Unit::Open(id));
            self.opens_left += 1;
            let ready = self.streams.opens_left(self.opens_left);
            self.round.extend(ready.into_iter().map(|(_, id)| id));
            return true;
        }
        while let Some(id) = self.round.pop_front() {
            match self.streams.offer(id, &mut None, &mut self.long) {
                Offer::Take(block, rest) => {
                    let mark = u32::from_le_bytes(block.bytes().try_into().unwrap());
                    self.line.push_back(self.units[mark as usize]);
                    self.handles.get_mut(&id).unwrap().left += u64::from(block.weight());
                    self.round.extend(rest.then_some(id));
                    return true;
                }
                Offer::NextRound => self.round.push_back(id),
                Offer::Leave => {}
                Offer::Wait => unreachable!("each stream has a lane of its own here"),
            }
        }
        false
    }

    fn say(&mut self) -> bool {
        let mut at = 0;
        let before = self.line.len();
        while let Some(word) = self.streams.next_owed(&mut at) {
            match word {
                Owed::Credit { stream, total } => {
                    let come = self.handles[&stream].come;
                    let window = self.streams.open[&stream].received.window();
                    assert!(total <= come + window, "{stream}: more is granted than was taken");
                    self.line.push_back(Unit::Credit(stream, total));
                }
                Owed::Ack { stream, count } => self.line.push_back(Unit::Ack(stream, count)),
                Owed::Reset { stream, .. } => {
                    self.round.retain(|id| *id != stream);
                    self.line.push_back(Unit::Reset(stream));
                }
            }
        }
        assert!(!self.streams.owes());
        self.line.len() > before
    }

    // ---- what arrives ----------------------------------------------------------------------

    fn hear(&mut self, unit: Unit, rejects: bool, buffers: &RecvPool) {
        let streams = &mut self.streams;
        match unit {
            Unit::Open(id) => {
                let verdict = streams.opened_by_peer(id, Lane::Normal, WINDOW).unwrap();
                self.take_up(id);
                if rejects || verdict != Verdict::Accept {
                    self.streams.reset(id, ErrorCode::UNIMPLEMENTED, "");
                    self.drop_sender(id);
                    self.drop_receiver(id);
                }
            }
            Unit::Part { id, cost, missing } => {
                streams.part_received(id, cost, missing).unwrap();
                self.handles.get_mut(&id).unwrap().come += cost;
            }
            Unit::Data { id, number, cost, acknowledge, is_long } => {
                let bytes = number.to_le_bytes();
                let body = if is_long {
                    let mut buffer = buffers.acquire(bytes.len()).unwrap();
                    buffer.extend_from_slice(&bytes).unwrap();
                    buffer.mark_opened(bytes.len());
                    Body::Owned(buffer)
                } else {
                    Body::Borrowed(&bytes)
                };
                streams.received(id, body, acknowledge, cost).unwrap();
                self.handles.get_mut(&id).unwrap().come += cost;
            }
            Unit::End(id, sent) => streams.finished_by_peer(id, &sent.to_le_bytes()).unwrap(),
            Unit::Credit(id, total) => {
                let ready = streams.credited(id, total).unwrap();
                self.round.extend(ready.map(|_| id));
                let granted = &mut self.handles.get_mut(&id).unwrap().granted;
                assert!(total > *granted, "{id}: what is told anew is more");
                *granted = total;
            }
            Unit::Ack(id, count) => streams.acknowledged(id, count).unwrap(),
            Unit::Reset(id) => {
                if streams.reset_by_peer(id, ErrorCode(1), "".into()).unwrap().is_some() {
                    self.round.retain(|other| *other != id);
                }
            }
        }
    }

    fn check(&mut self) {
        self.streams.woken.drain(..).for_each(Waker::wake);
        let streams = &self.streams;
        assert_eq!(streams.faults_of_peer, 0, "two of ours keep to their credit");
        assert!(streams.own <= STREAMS_MAX && streams.of_peer <= STREAMS_MAX);
        let counted = streams.open.values().filter(|stream| stream.counts).count();
        assert_eq!(counted, streams.live() as usize);
        let held: u64 = streams.open.values().map(|stream| stream.inbox.held(true)).sum();
        assert_eq!(streams.unread, held);
        for (id, stream) in &streams.open {
            let handle = &self.handles[id];
            assert_eq!(stream.credit.available(), handle.granted - handle.left, "{id}");
            assert_eq!(stream.is_due, streams.due.contains(id), "{id}: it stands there once");
        }
    }
}

impl Both {
    fn new(unread_max: u64) -> Self {
        let blocks = BlockPool::new(BlockPoolConfig::messages());
        let sides = [true, false].map(|dialed| Side::new(dialed, unread_max, &blocks));
        Self { sides, blocks, buffers: RecvPool::default() }
    }

    fn act(&mut self, at: usize, what: &Do) {
        let side = &mut self.sides[at];
        let pick = |who, has: fn(&Handle) -> bool| side.pick(who, has);
        match what {
            Do::Open => side.open(),
            Do::Send(who, cost, count, acknowledge) => {
                if let Some(id) = pick(who, |handle| handle.sender) {
                    side.send(id, *cost, *count, *acknowledge);
                }
            }
            Do::Finish(who) => {
                pick(who, |handle| handle.sender).into_iter().for_each(|id| side.finish(id));
            }
            Do::Reset(who) => {
                if let Some(id) = pick(who, |handle| handle.sender || handle.receiver) {
                    side.streams.reset(id, ErrorCode(7), "");
                }
            }
            Do::DropSender(who) => {
                pick(who, |handle| handle.sender).into_iter().for_each(|id| side.drop_sender(id));
            }
            Do::DropReceiver(who) => {
                pick(who, |handle| handle.receiver)
                    .into_iter()
                    .for_each(|id| side.drop_receiver(id));
            }
            Do::Read(who) => {
                if let Some(id) = pick(who, |handle| handle.receiver) {
                    self.read(at, id);
                }
            }
            Do::Leave(count) => (0..*count).for_each(|_| _ = side.leave()),
            Do::Say => _ = side.say(),
            Do::Arrive(count, rejects) => (0..*count).for_each(|_| _ = self.arrive(at, *rejects)),
            Do::Sample(true) => side.streams.begin_sample(),
            Do::Sample(false) => side.streams.end_sample(),
        }
        self.sides[at].check();
    }

    fn read(&mut self, at: usize, id: u32) -> bool {
        let other = self.sides[1 - at].handles.get(&id).filter(|handle| handle.finished);
        let sent = other.map(|handle| handle.sent);
        self.sides[at].read(id, sent)
    }

    fn arrive(&mut self, at: usize, rejects: bool) -> bool {
        let Some(unit) = self.sides[1 - at].line.pop_front() else { return false };
        self.sides[at].hear(unit, rejects, &self.buffers);
        true
    }

    /// Everything leaves and arrives, and whoever reads gets it.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            for at in [0, 1] {
                while self.sides[at].say() | self.sides[at].leave() | self.arrive(at, false) {
                    moved = true;
                }
                self.sides[at].check();
                let ids: Vec<u32> = self.sides[at].handles.keys().copied().collect();
                for id in ids {
                    moved |= self.sides[at].handles[&id].receiver && self.read(at, id);
                }
                self.sides[at].check();
            }
            if !moved {
                return;
            }
        }
    }

    /// What was sent on streams that live has been read where somebody reads.
    fn check_all_read(&self) {
        for (at, side) in self.sides.iter().enumerate() {
            for (id, stream) in &side.streams.open {
                let (handle, other) = (&side.handles[id], &self.sides[1 - at].handles[id]);
                if stream.end.is_none() && handle.receiver {
                    assert_eq!(handle.read, other.sent, "{id} stands still");
                    assert_eq!(handle.heard_end, other.finished, "{id}");
                }
            }
        }
    }

    fn check_nothing_is_left(&self) {
        for side in &self.sides {
            let Streams { open, own, of_peer, unread, .. } = &side.streams;
            assert!(open.is_empty() && !side.streams.owes(), "{:?}", open.keys());
            assert_eq!((*own, *of_peer, *unread), (0, 0, 0));
        }
        assert_eq!(self.blocks.stats().in_use + self.buffers.stats().in_use, 0);
    }
}

fn events() -> impl Strategy<Value = Vec<(usize, Do)>> {
    prop::collection::vec(any_do(), 1..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn streams_begin_and_end_as_their_handles_say(
        events in events(),
        unread_max in prop::sample::select(vec![10, u64::MAX]),
        closes in any::<bool>(),
    ) {
        let mut both = Both::new(unread_max);
        events.iter().for_each(|(at, what)| both.act(*at, what));
        if closes {
            for side in &mut both.sides {
                let mut wakers = Vec::new();
                side.streams.close(&CloseReason::Truncated, &mut wakers);
            }
        } else {
            both.settle();
            both.check_all_read();
        }
        for side in &mut both.sides {
            let ids: Vec<u32> = side.handles.keys().copied().collect();
            for id in ids {
                // Some are finished before they are dropped, and what is not is reset.
                if side.handles[&id].sender && id & 2 == 0 {
                    side.finish(id);
                }
            }
        }
        if !closes {
            both.settle();
            both.check_all_read();
        }
        for side in &mut both.sides {
            let ids: Vec<u32> = side.handles.keys().copied().collect();
            for id in ids {
                let Handle { sender, receiver, .. } = side.handles[&id];
                if sender {
                    side.drop_sender(id);
                }
                if receiver {
                    side.drop_receiver(id);
                }
            }
        }
        if !closes {
            both.settle();
        }
        both.check_nothing_is_left();
    }
}

/// The other side cannot know of the reset: it opens the next one as soon as both have said END.
#[test]
fn a_stream_about_to_be_reset_is_over_with_the_end_of_the_peer() {
    let mut both = Both::new(u64::MAX);
    for _ in 0..STREAMS_MAX {
        both.sides[0].open();
        assert!(both.sides[0].leave() && both.arrive(1, false));
    }
    both.sides[1].finish(2);
    assert!(both.sides[1].leave() && both.arrive(0, false));
    both.sides[0].finish(2);
    assert!(both.sides[0].leave());
    both.sides[1].streams.reset(2, ErrorCode(7), "");
    both.sides[0].open();
    assert!(both.sides[0].leave());
    assert!(both.arrive(1, false) && both.arrive(1, false), "END, and the OPEN behind it");
    assert_eq!(both.sides[1].streams.of_peer, STREAMS_MAX);
}

/// Whoever waits for the word would wait for ever.
#[test]
fn who_drops_what_was_to_be_acknowledged_says_so_even_when_both_have_finished() {
    let mut both = Both::new(u64::MAX);
    both.sides[0].open();
    assert!(both.sides[0].leave() && both.arrive(1, false));
    both.sides[1].finish(2);
    assert!(both.sides[1].leave() && both.arrive(0, false));
    both.sides[0].send(2, 33, 1, true);
    both.sides[0].finish(2);
    for _ in 0..2 {
        assert!(both.sides[0].leave() && both.arrive(1, false));
    }
    both.sides[1].drop_receiver(2);
    assert!(both.sides[1].say() && both.arrive(0, false));
    let polled = both.sides[0].streams.poll_acked(2, 1, &mut None);
    assert!(matches!(polled, Poll::Ready(Err(SendError::StreamOver(_)))), "{polled:?}");
}
