//! The lanes against the simplest thing that could be right: lines of blocks, and for each block the
//! question whether it may go. What a block holds is known to both, so nothing is lost in silence.

use std::collections::BTreeMap;

use moorline_buffers::BlockPoolConfig;
use moorline_protocol::ErrorCode;
use moorline_protocol::limits::{BLOCK_COST_MAX, UNIT_COST};
use prop::sample::Index;
use proptest::prelude::*;

use super::*;
use crate::outbox::on_stream::OPENS;
use crate::outbox::streams::{Owed, StreamTerms};

const BLOCK: usize = 8 * 1024;
const STREAM_WINDOW: u64 = 64 * 1024;
const CALLS_WINDOW: u64 = 128 * 1024;

/// Which line, in an order that maps like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Posts,
    Requests,
    Answers,
    Stream(u32),
}

impl Name {
    fn flow(self) -> Flow {
        match self {
            Name::Posts => Flow::Posts,
            Name::Requests => Flow::Requests,
            Name::Answers => Flow::Answers,
            Name::Stream(id) => Flow::Stream(id),
        }
    }
}

/// A block that waits, as the model sees it.
#[derive(Debug, Clone, Default)]
struct Piece {
    /// Length and mark of each unit.
    units: Vec<(usize, u32)>,
    weight: u64,
    /// A message in pieces of this length begins here; ends here.
    begins: Option<u64>,
    ends: bool,
    /// Nothing more goes in.
    closed: bool,
    /// It is of a request that may be cut, which ends at this byte of its line.
    cut_at: Option<u64>,
    /// The OPENs of these streams are in it.
    opens: Vec<(Lane, u32)>,
}

impl Piece {
    fn len(&self) -> usize {
        self.units.iter().map(|(len, _)| len).sum()
    }
}

#[derive(Debug, Default)]
struct Line {
    pieces: VecDeque<Piece>,
    appended: u64,
    /// Length of the message that is on its way in pieces.
    open: Option<u64>,
    /// A stream's OPEN has not left.
    opening: bool,
    credit: u64,
    /// Bytes of its lane that have gone by while it might have gone.
    passed: usize,
    /// Long messages of other streams in its lane that began while its own might have.
    outrun: usize,
}

struct Both {
    lanes: Lanes,
    streams: Streams,
    credit: SendCredit,
    calls_told: u64,
    told: BTreeMap<u32, u64>,
    lines: BTreeMap<(Lane, Name), Line>,
    /// What the model has of the session's credit.
    calls_credit: u64,
    long_max: u64,
    marks: u32,
    /// Bytes of higher lanes since a lane last sent, and those while it might have sent.
    since: [usize; 3],
    waited: [usize; 3],
    appended: u64,
    taken: u64,
    given_up: u64,
}

fn cost(len: usize) -> u64 {
    len as u64 + UNIT_COST
}

impl Both {
    fn new(message_max: u64) -> Self {
        let pool = BlockPool::new(BlockPoolConfig::messages());
        let terms = StreamTerms {
            dialed: true,
            own_max: 1_000,
            of_peer_max: 0,
            send_window: STREAM_WINDOW,
            receive_window: STREAM_WINDOW,
            credit: true,
            limits: true,
            unread_max: u64::MAX,
        };
        Self {
            lanes: Lanes::new(&pool, BLOCK, message_max),
            streams: Streams::new(&terms, &pool, BLOCK),
            credit: SendCredit::new(CALLS_WINDOW),
            calls_told: CALLS_WINDOW,
            told: BTreeMap::new(),
            lines: BTreeMap::new(),
            calls_credit: CALLS_WINDOW,
            long_max: message_max * 2,
            marks: 0,
            since: [0; 3],
            waited: [0; 3],
            appended: 0,
            taken: 0,
            given_up: 0,
        }
    }

    fn key(lane: Lane, name: Name) -> (Lane, Name) {
        let shared = lane == Lane::Bulk && name == Name::Posts;
        (lane, if shared { Name::Requests } else { name })
    }

    /// Units of these lengths, each whole in a block, as an encoder does it. `long`: one message in
    /// pieces, in blocks of its own. The real chain and the model's line get the same.
    fn fill(
        &mut self,
        lane: Lane,
        name: Name,
        lens: &[usize],
        long: bool,
        opens: Option<(Lane, u32)>,
    ) {
        let takes_credit = name != Name::Answers;
        let (start, chain) = match name {
            Name::Stream(id) => (self.streams.position(id), self.streams.chain(id)),
            _ => (self.lanes.position(lane, name.flow()), self.lanes.chain(lane, name.flow())),
        };
        let line = self.lines.entry(Self::key(lane, name)).or_default();
        assert_eq!(start, line.appended, "both count alike");
        let total: u64 = lens.iter().map(|len| *len as u64).sum();
        let mut own = SendBuffer::with_block_max(chain.pool(), BLOCK);
        for (at, &len) in lens.iter().enumerate() {
            self.marks += 1;
            let to = if long { &mut own } else { &mut *chain };
            let weight = if takes_credit { cost(len) } else { 1 };
            let heavy = u64::from(to.tail_weight()) + weight > BLOCK_COST_MAX.into();
            if long || takes_credit && heavy {
                to.close_tail();
            }
            let fits = line.pieces.back().is_some_and(|last| {
                let light = !takes_credit || last.weight + weight <= BLOCK_COST_MAX.into();
                !last.closed && light && last.len() + len <= BLOCK
            });
            if long || !fits {
                line.pieces.push_back(Piece::default());
            }
            let mut unit = vec![0; len];
            unit[..4].copy_from_slice(&self.marks.to_le_bytes());
            to.reserve(len).unwrap()[..len].copy_from_slice(&unit);
            to.commit(len);
            to.add_weight(u32::try_from(weight).unwrap());
            let piece = line.pieces.back_mut().unwrap();
            piece.units.push((len, self.marks));
            piece.weight += weight;
            piece.opens.extend(opens);
            if long {
                piece.begins = (at == 0).then_some(total);
                piece.ends = at + 1 == lens.len();
                piece.closed = true;
                piece.cut_at = (name == Name::Requests).then_some(start + total);
            }
        }
        if long {
            chain.append(&mut own);
        }
        line.appended += total;
        self.appended += total;
        match name {
            Name::Stream(id) => {
                if self.streams.appended(id, start, long, false).1 {
                    self.lanes.stream_ready(lane, id);
                }
            }
            _ => self.lanes.appended(lane, name.flow(), start, long),
        }
    }

    fn open(&mut self, lane: Lane) {
        let id = self.streams.next().unwrap();
        self.fill(OPENS, Name::Requests, &[40], false, Some((lane, id)));
        let opens_at = self.lanes.position(OPENS, Flow::Requests);
        self.streams.opened_by_us(id, lane, opens_at);
        let line = Line { opening: true, credit: STREAM_WINDOW, ..Line::default() };
        self.lines.insert((lane, Name::Stream(id)), line);
        self.told.insert(id, STREAM_WINDOW);
    }

    fn open_sum(&self, answers: bool) -> u64 {
        let of_group = |(_, name): &(Lane, Name)| (*name == Name::Answers) == answers;
        self.lines.iter().filter(|(key, _)| of_group(key)).filter_map(|(_, line)| line.open).sum()
    }

    fn is_stream(name: Name) -> bool {
        matches!(name, Name::Stream(_))
    }

    /// Whether another stream of the lane has a message in pieces on its way.
    fn is_taken(&self, lane: Lane, name: Name) -> bool {
        Self::is_stream(name)
            && self.lines.iter().any(|((other_lane, other), line)| {
                (*other_lane, Self::is_stream(*other)) == (lane, true)
                    && *other != name
                    && line.open.is_some()
            })
    }

    /// Whether the next block of a line may go.
    fn may_go(&self, (lane, name): (Lane, Name), kept_out: &[[bool; 3]; 2]) -> bool {
        let line = &self.lines[&(lane, name)];
        let Some(head) = line.pieces.front().filter(|_| !line.opening) else { return false };
        let credit = match name {
            Name::Answers => u64::MAX,
            Name::Stream(_) => line.credit,
            _ => self.calls_credit,
        };
        let answers = name == Name::Answers;
        let sum = self.open_sum(answers);
        let below = &kept_out[usize::from(answers)][lane as usize + 1..];
        let max = if below.contains(&true) { self.long_max / 2 } else { self.long_max };
        let may_begin = |len| sum == 0 || sum + len <= max;
        head.weight <= credit
            && head.begins.is_none_or(|len| may_begin(len) && !self.is_taken(lane, name))
    }

    fn all_that_may(&self, kept_out: &[[bool; 3]; 2]) -> BTreeMap<(Lane, Name), bool> {
        self.lines.keys().map(|key| (*key, self.may_go(*key, kept_out))).collect()
    }

    /// One block; whether there was one.
    fn take(&mut self) -> bool {
        let before = self.lanes.long.kept_out;
        let may = self.all_that_may(&before);
        let taken = self.lanes.take(&mut self.credit, &mut self.streams);
        // Who was found to be kept out while the next block was looked for counts already.
        let mut after = self.lanes.long.kept_out;
        after.iter_mut().flatten().zip(before.iter().flatten()).for_each(|(a, b)| *a |= b);
        let must = self.all_that_may(&after);
        let lanes_may = Lane::ALL.map(|lane| must.iter().any(|(key, may)| key.0 == lane && *may));
        let Some((lane, flow, block)) = taken else {
            assert!(!lanes_may.contains(&true), "something may go and does not: {may:?}");
            return false;
        };
        let name = match flow {
            Flow::Posts => Name::Posts,
            Flow::Requests => Name::Requests,
            Flow::Answers => Name::Answers,
            Flow::Stream(id) => Name::Stream(id),
        };
        let key = (lane, name);
        assert!(may[&key], "{key:?} may not go");
        self.check_lanes(lane, lanes_may, block.len());
        self.check_turns(key, &must, block.len());
        self.leave(key, &block);
        true
    }

    /// A higher lane goes first, but who has waited long gets a block in between.
    fn check_lanes(&mut self, sent: Lane, may: [bool; 3], len: usize) {
        for lane in Lane::ALL {
            let at = lane as usize;
            if lane < sent && may[at] {
                assert!(self.since[sent as usize] >= LANE_WAIT_BYTES, "{sent:?} before {lane:?}");
            }
            if lane > sent {
                self.since[at] += len;
                self.waited[at] = if may[at] { self.waited[at] + len } else { 0 };
                let bound = LANE_WAIT_BYTES + 2 * BLOCK;
                assert!(self.waited[at] <= bound, "{lane:?} waits for {}", self.waited[at]);
            }
        }
        (self.since[sent as usize], self.waited[sent as usize]) = (0, 0);
    }

    /// Within a lane nobody waits for more than some rounds.
    fn check_turns(&mut self, went: (Lane, Name), may: &BTreeMap<(Lane, Name), bool>, len: usize) {
        let count = self.lines.keys().filter(|(lane, _)| *lane == went.0).count();
        let begins = self.lines[&went].pieces.front().is_some_and(|piece| piece.begins.is_some());
        let long_max = self.long_max;
        for (key, line) in self.lines.iter_mut().filter(|(key, _)| key.0 == went.0) {
            if *key == went || !may[key] {
                line.passed = 0;
            } else {
                line.passed += len;
                let bound = count * 2 * (FLOW_QUANTUM + BLOCK);
                assert!(line.passed <= bound, "{key:?} of {count} waits for {}", line.passed);
            }
            let wants = line.pieces.front().is_some_and(|piece| piece.begins.is_some());
            if *key == went || !may[key] && line.open.is_none() && !wants {
                line.outrun = 0;
            } else if begins && wants && Self::is_stream(went.1) && Self::is_stream(key.1) {
                line.outrun += usize::from(line.credit >= BLOCK_COST_MAX.into() && !line.opening);
                // Where the sum of all is what holds it up, others may be luckier.
                assert!(line.outrun <= 2 * count || long_max < 1 << 40, "{key:?} is outrun");
            }
        }
    }

    /// The model's front block is the one that went.
    fn leave(&mut self, key: (Lane, Name), block: &Block) {
        let line = self.lines.get_mut(&key).unwrap();
        let piece = line.pieces.pop_front().expect("it may go");
        assert_eq!((piece.len(), piece.weight), (block.len(), block.weight().into()));
        let mut at = 0;
        for (len, mark) in &piece.units {
            assert_eq!(block.bytes()[at..at + 4], mark.to_le_bytes(), "in order");
            at += len;
        }
        self.taken += block.len() as u64;
        line.open = match piece {
            Piece { ends: true, .. } => None,
            Piece { begins: Some(len), .. } => Some(len),
            _ => line.open,
        };
        match key.1 {
            Name::Answers => {}
            Name::Stream(_) => line.credit -= piece.weight,
            _ => self.calls_credit -= piece.weight,
        }
        assert_eq!(self.credit.available(), self.calls_credit);
        for (lane, id) in piece.opens {
            self.lines.get_mut(&(lane, Name::Stream(id))).expect("it is not over").opening = false;
        }
        if key == (OPENS, Name::Requests) {
            let left = self.lanes.requests_left()[OPENS as usize];
            for (lane, id) in self.streams.opens_left(left) {
                self.lanes.stream_ready(lane, id);
            }
        }
    }

    fn more_credit(&mut self, more: u64) {
        self.calls_told += more;
        self.calls_credit += more;
        self.credit.raise(self.calls_told).unwrap();
        self.lanes.unblock_calls();
    }

    fn more_for(&mut self, id: u32, lane: Lane, more: u64) {
        let line = self.lines.get_mut(&(lane, Name::Stream(id))).unwrap();
        if line.opening {
            return;
        }
        line.credit += more;
        let told = self.told.get_mut(&id).unwrap();
        *told += more;
        if let Some(lane) = self.streams.credited(id, *told).unwrap() {
            self.lanes.stream_ready(lane, id);
        }
    }

    /// The rest of a request that has begun is given up.
    fn cut(&mut self, lane: Lane) {
        let Some(line) = self.lines.get_mut(&(lane, Name::Requests)) else { return };
        let Some(end) = line.pieces.front().and_then(|piece| piece.cut_at) else { return };
        if line.open.is_none() {
            return;
        }
        assert!(self.lanes.cut_request(lane, end));
        while line.pieces.front().is_some_and(|piece| piece.cut_at == Some(end)) {
            self.given_up += line.pieces.pop_front().unwrap().len() as u64;
        }
        line.open = None;
        assert!(!self.lanes.cut_request(lane, end), "it is gone");
    }

    fn reset(&mut self, id: u32, lane: Lane) {
        let Self { streams, lanes, .. } = self;
        let line = &self.lines[&(lane, Name::Stream(id))];
        if line.opening {
            return;
        }
        streams.reset(id, ErrorCode(1), "");
        let mut cut = None;
        let mut at = 0;
        while let Some(word) = streams.next_owed(&mut at) {
            if let Owed::Reset { stream, left, .. } = word {
                lanes.stream_gone(left.lane, stream, left.cut);
                cut = Some(left.cut);
            }
        }
        assert_eq!(cut, Some(line.open.unwrap_or(0)));
        self.given_up += line.pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        self.lines.remove(&(lane, Name::Stream(id)));
    }

    fn invariants(&self) {
        assert_eq!(self.lanes.long.open, [self.open_sum(false), self.open_sum(true)]);
        for lane in Lane::ALL {
            let open = |name: fn(Name) -> bool| {
                let of_lane = self.lines.iter().filter(|((of, key), _)| *of == lane && name(*key));
                of_lane.filter(|(_, line)| line.open.is_some()).count()
            };
            assert!(open(Self::is_stream) <= 1, "one number for the data of a lane");
        }
        assert!(self.lanes.waiting.len() <= self.lines.len(), "each waits once");
        let waits = |line: &Line| line.pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let waiting: u64 = self.lines.values().map(waits).sum();
        assert_eq!(self.appended, self.taken + self.given_up + waiting, "nothing is lost");
        let queued = self.lanes.calls_len() + self.lanes.answers_len() + self.streams.queued();
        assert_eq!(queued as u64, waiting);
    }

    /// All the credit there is: everything leaves.
    fn drain(&mut self) {
        self.more_credit(1 << 24);
        // An OPEN may stand behind a long message that waits for one of a stream without credit.
        for _ in 0..3 {
            while self.take() {}
            for (lane, id) in self.streams() {
                self.more_for(id, lane, 1 << 24);
            }
        }
        while self.take() {}
        self.invariants();
        assert!(self.lines.values().all(|line| line.pieces.is_empty()), "everything leaves");
        assert_eq!(self.lanes.long.open, [0, 0]);
        assert!(!self.lanes.is_ready());
    }

    fn streams(&self) -> Vec<(Lane, u32)> {
        let id = |(lane, name): &(Lane, Name)| match name {
            Name::Stream(id) => Some((*lane, *id)),
            _ => None,
        };
        self.lines.keys().filter_map(id).collect()
    }
}

#[derive(Debug, Clone)]
enum Event {
    Short { lane: usize, flow: Index, lens: Vec<usize> },
    Long { lane: usize, flow: Index, len: usize },
    Open(usize),
    Credit(u64),
    StreamCredit(Index, u64),
    Take(usize),
    Cut(usize),
    Reset(Index),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let lens = prop::collection::vec(prop_oneof![4 => 4..200usize, 1 => 200..BLOCK], 1..12);
    let event = prop_oneof![
        5 => (0..3usize, any::<Index>(), lens)
            .prop_map(|(lane, flow, lens)| Event::Short { lane, flow, lens }),
        4 => (0..3usize, any::<Index>(), 1..60_000usize)
            .prop_map(|(lane, flow, len)| Event::Long { lane, flow, len }),
        2 => (0..3usize).prop_map(Event::Open),
        2 => (1..60_000u64).prop_map(Event::Credit),
        3 => (any::<Index>(), 1..60_000u64).prop_map(|(of, more)| Event::StreamCredit(of, more)),
        5 => (1..12usize).prop_map(Event::Take),
        1 => (0..3usize).prop_map(Event::Cut),
        1 => any::<Index>().prop_map(Event::Reset),
    ];
    prop::collection::vec(event, 1..150)
}

/// Where something goes: a flow of the lane, or one of its streams.
fn name(both: &Both, lane: Lane, flow: Index) -> Name {
    let streams = both.streams().into_iter().filter(|(of, _)| *of == lane);
    let names: Vec<_> = [Name::Posts, Name::Requests, Name::Answers]
        .into_iter()
        .chain(streams.map(|(_, id)| Name::Stream(id)))
        .collect();
    *flow.get(&names)
}

fn pieces(len: usize) -> Vec<usize> {
    let mut lens = vec![BLOCK; len / BLOCK];
    lens.push((len % BLOCK).max(4));
    lens
}

fn happens(both: &mut Both, event: Event) {
    match event {
        Event::Short { lane, flow, lens } => {
            let lane = Lane::ALL[lane];
            let name = name(both, lane, flow);
            lens.iter().for_each(|len| both.fill(lane, name, &[*len], false, None));
        }
        Event::Long { lane, flow, len } => {
            let lane = Lane::ALL[lane];
            let name = name(both, lane, flow);
            both.fill(lane, name, &pieces(len), true, None);
        }
        Event::Open(lane) => both.open(Lane::ALL[lane]),
        Event::Credit(more) => both.more_credit(more),
        Event::StreamCredit(of, more) => {
            let streams = both.streams();
            if !streams.is_empty() {
                let (lane, id) = *of.get(&streams);
                both.more_for(id, lane, more);
            }
        }
        Event::Take(count) => {
            (0..count).for_each(|_| _ = both.take());
        }
        Event::Cut(lane) => both.cut(Lane::ALL[lane]),
        Event::Reset(of) => {
            let streams = both.streams();
            if !streams.is_empty() {
                let (lane, id) = *of.get(&streams);
                both.reset(id, lane);
            }
        }
    }
    both.invariants();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn blocks_leave_as_the_model_says(roomy in any::<bool>(), events in events()) {
        let mut both = Both::new(if roomy { 1 << 50 } else { 40_000 });
        events.into_iter().for_each(|event| happens(&mut both, event));
        both.drain();
    }
}

mod cases;
