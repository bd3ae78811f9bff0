//! Two sessions with small windows, anything said in any order: what was accepted arrives or is
//! accounted for, nothing stands still that nobody holds up, and in the end nothing is left.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use moorline_gofast::{Dialect, Gofast, GofastSettings};
use moorline_protocol::limits::{STREAMS_MIN, WINDOW_MIN};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{ErrorCode, Format, ProtocolFactory, Settings, register_message};
use moorline_session::{CallError, SendError, Stream, StreamError, StreamReceiver, StreamSender};
use prop::sample::Index;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use support::{Echo, Log, Note, OUTBOX, Pair, Side, Sorry, Task, echo, log, note, now};

/// Opens a stream of notes both ways; the number says which it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Talk(u64);

register_message!(stream Talk as "test.Talk", id = 121: Note => Note);

type Sender = StreamSender<Note>;
type Answer = Result<Echo, CallError<Sorry>>;
type Acking = Task<(Sender, Result<(), SendError>)>;

#[derive(Debug, Clone)]
enum Event {
    Open { side: bool, priority: u8 },
    Send { end: Index, len: usize },
    SendAcked { end: Index, len: usize },
    Read { end: Index, count: usize },
    Finish(Index),
    Reset(Index),
    DropSender(Index),
    DropReceiver(Index),
    Post { side: bool, len: usize },
    Ask { side: bool, len: usize, priority: Option<u8> },
    Abandon(Index),
    Block { side: bool, blocked: bool },
    Step,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let len = || prop_oneof![3 => 0..3_000usize, 2 => 3_000..150_000usize];
    let end = any::<Index>;
    let event = prop_oneof![
        3 => (any::<bool>(), 0..8u8).prop_map(|(side, priority)| Event::Open { side, priority }),
        8 => (end(), len()).prop_map(|(end, len)| Event::Send { end, len }),
        2 => (end(), len()).prop_map(|(end, len)| Event::SendAcked { end, len }),
        8 => (end(), 1..9usize).prop_map(|(end, count)| Event::Read { end, count }),
        3 => end().prop_map(Event::Finish),
        1 => end().prop_map(Event::Reset),
        1 => end().prop_map(Event::DropSender),
        1 => end().prop_map(Event::DropReceiver),
        2 => (any::<bool>(), len()).prop_map(|(side, len)| Event::Post { side, len }),
        3 => (any::<bool>(), len(), prop::option::of(0..8u8))
            .prop_map(|(side, len, priority)| Event::Ask { side, len, priority }),
        1 => end().prop_map(Event::Abandon),
        1 => (any::<bool>(), any::<bool>())
            .prop_map(|(side, blocked)| Event::Block { side, blocked }),
        6 => Just(Event::Step),
    ];
    prop::collection::vec(event, 1..120)
}

/// One end of a stream.
struct End {
    talk: usize,
    sender: Option<Sender>,
    acking: Option<Acking>,
    receiver: Option<StreamReceiver<Note>>,
    sent: u64,
    finished: bool,
    got: u64,
    over: Option<Result<(), StreamError>>,
}

/// A stream: its ends, that of who opened it first.
#[derive(Default)]
struct Talks {
    ends: Vec<End>,
    /// Something was done that may lose what is on its way.
    spoilt: Vec<bool>,
}

impl End {
    fn new(talk: usize, stream: Stream<Note, Note>) -> Self {
        let (sender, receiver) = stream.split();
        Self {
            talk,
            sender: Some(sender),
            acking: None,
            receiver: Some(receiver),
            sent: 0,
            finished: false,
            got: 0,
            over: None,
        }
    }

    /// Reads so many messages, if they are there; whether it got on.
    fn read(&mut self, count: usize) -> bool {
        let before = (self.got, self.over.is_some());
        for _ in 0..count {
            let Some(receiver) = &mut self.receiver else { break };
            match now(receiver.recv()) {
                None => break,
                Some(Ok(Some(Note(number, _)))) => {
                    assert!(self.over.is_none(), "nothing comes behind an end");
                    assert_eq!(number, self.got, "in order, and none is lost");
                    self.got += 1;
                }
                Some(end) => {
                    let end = end.map(|none| assert!(none.is_none()));
                    let before = self.over.get_or_insert_with(|| end.clone());
                    assert_eq!(*before, end, "every handle sees one end");
                    break;
                }
            }
        }
        before != (self.got, self.over.is_some())
    }

    fn look(&mut self) {
        if self.acking.as_mut().is_some_and(Task::look) {
            let (sender, result) = self.acking.take().unwrap().done();
            self.sender = Some(sender);
            assert!(!matches!(result, Err(SendError::Full { .. })));
        }
    }
}

struct World {
    pair: Pair,
    talks: Talks,
    accepted: [Log<(u64, Stream<Note, Note>)>; 2],
    posts: [Log<usize>; 2],
    posted: [Vec<usize>; 2],
    calls: Vec<(Echo, Task<Answer>)>,
    next_call: u64,
    /// Messages can be acknowledged.
    acks: bool,
    /// Streams end one way at a time.
    half: bool,
}

impl World {
    fn new() -> Self {
        Self::over(&Msgpack::plain(), 160_000)
    }

    /// Nobody counts bytes there, so what is unread must fit what a session holds.
    fn gofast(dialect: Dialect, extension: bool) -> Self {
        let format = Format::MessagePack;
        let settings = GofastSettings { format, extension, ..GofastSettings::default() };
        let gofast = Gofast::with(dialect, settings).unwrap();
        Self { acks: false, half: extension, ..Self::over(&gofast, 4 << 20) }
    }

    fn over(factory: &dyn ProtocolFactory, message_max: u64) -> Self {
        let settings = Settings {
            message_max,
            initiation_window: WINDOW_MIN,
            stream_window: WINDOW_MIN,
            streams_max: STREAMS_MIN,
            timeout: None,
            ..Settings::default()
        };
        let mut pair = Pair::over(factory, settings, OUTBOX);
        let keep = |side: &mut Side| {
            let (accepted, keep) = log();
            side.on_open = Box::new(move |stream, body| {
                let number = u64::from(*body.last().expect("a number below 128"));
                keep.lock().unwrap().push((number, stream.accept()));
            });
            let (posts, heard) = log();
            side.on_post = Box::new(move |body| heard.lock().unwrap().push(body.len()));
            (accepted, posts)
        };
        let (a, b) = (keep(&mut pair.a), keep(&mut pair.b));
        Self {
            pair,
            talks: Talks::default(),
            accepted: [a.0, b.0],
            posts: [a.1, b.1],
            posted: [vec![], vec![]],
            calls: vec![],
            next_call: 0,
            acks: true,
            half: true,
        }
    }

    fn side(&mut self, side: bool) -> &mut Side {
        if side { &mut self.pair.b } else { &mut self.pair.a }
    }

    fn end(&mut self, at: Index) -> Option<&mut End> {
        let ends = &mut self.talks.ends;
        let len = ends.len();
        (len > 0).then(|| &mut ends[at.index(len)])
    }

    fn collect(&mut self) {
        for accepted in &self.accepted {
            for (number, stream) in accepted.lock().unwrap().drain(..) {
                let talk = usize::try_from(number).unwrap();
                self.talks.ends.push(End::new(talk, stream));
            }
        }
        self.talks.ends.iter_mut().for_each(End::look);
        for (_, call) in &mut self.calls {
            call.look();
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Open { side, priority } => {
                let talk = self.talks.spoilt.len();
                let session = self.side(side).session.clone();
                match session.open_with_priority(priority, &Talk(talk as u64)) {
                    Ok(stream) => {
                        self.talks.ends.push(End::new(talk, stream));
                        self.talks.spoilt.push(false);
                    }
                    Err(error) => assert!(matches!(error, SendError::Streams { .. }), "{error}"),
                }
            }
            Event::Send { end, len } => {
                let Some(end) = self.end(end) else { return };
                let Some(sender) = &mut end.sender else { return };
                match sender.send(&note(end.sent, len)) {
                    Ok(()) => end.sent += 1,
                    Err(SendError::Finished) => assert!(end.finished),
                    Err(SendError::StreamOver(_) | SendError::Full { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Event::SendAcked { end, len } if !self.acks => self.happens(Event::Send { end, len }),
            Event::SendAcked { end, len } => {
                let Some(end) = self.end(end) else { return };
                if end.finished || end.acking.is_some() {
                    return;
                }
                let Some(mut sender) = end.sender.take() else { return };
                // Whether the one to be acknowledged is queued cannot be seen: it is if this is.
                if sender.send(&note(end.sent, 1)).is_err() {
                    end.sender = Some(sender);
                    return;
                }
                let message = note(end.sent + 1, len);
                end.sent += 2;
                end.acking = Some(Task::start(async move {
                    let result = sender.send_acked(&message).await;
                    (sender, result)
                }));
            }
            Event::Read { end, count } => {
                if let Some(end) = self.end(end) {
                    end.read(count);
                }
            }
            Event::Finish(end) => {
                let Some(end) = self.end(end) else { return };
                if let Some(sender) = &mut end.sender {
                    end.finished |= sender.finish().is_ok();
                }
            }
            Event::Reset(end) => self.spoil(end, |end| {
                if let Some(sender) = end.sender.take() {
                    sender.reset(ErrorCode(7), "enough");
                }
            }),
            Event::DropSender(end) => {
                self.spoil(end, |end| (end.sender, end.acking) = (None, None))
            }
            Event::DropReceiver(end) => self.spoil(end, |end| end.receiver = None),
            other => self.happens_beside(other),
        }
    }

    fn spoil(&mut self, end: Index, how: impl FnOnce(&mut End)) {
        if let Some(end) = self.end(end) {
            how(end);
            let talk = end.talk;
            self.talks.spoilt[talk] = true;
        }
    }

    fn happens_beside(&mut self, event: Event) {
        match event {
            Event::Post { side, len } => {
                let message = note(0, len);
                let session = self.side(side).session.clone();
                if session.send(&message).is_ok() {
                    self.posted[usize::from(side)].push(support::encoded(&message).len());
                }
            }
            Event::Ask { side, len, priority } => {
                self.next_call += 1;
                let question = echo(self.next_call, len);
                let mut call = self.side(side).session.request(question.clone()).no_timeout();
                if let Some(priority) = priority {
                    call = call.priority(priority);
                }
                self.calls.push((question, Task::start(call)));
            }
            Event::Abandon(at) => {
                if !self.calls.is_empty() {
                    let at = at.index(self.calls.len());
                    self.calls.swap_remove(at);
                }
            }
            Event::Block { side, blocked } => {
                let side = self.side(side);
                if blocked { side.blocked = true } else { side.unblock() }
            }
            _ => _ = self.pair.step(),
        }
    }

    /// Everybody reads, and the kernel takes everything: until nothing moves any more.
    fn calm_down(&mut self) {
        self.pair.a.unblock();
        self.pair.b.unblock();
        loop {
            self.pair.settle();
            self.collect();
            let read = |end: &mut End| end.read(10_000);
            if !self.talks.ends.iter_mut().map(read).fold(false, |any, got| any | got)
                && !self.pair.step()
            {
                break;
            }
        }
        assert!(self.pair.a.ended.is_none(), "{:?}", self.pair.a.ended);
        assert!(self.pair.b.ended.is_none(), "{:?}", self.pair.b.ended);
    }

    fn check(&mut self) {
        for (question, call) in self.calls.drain(..) {
            let answer = call.result.expect("it is answered");
            match answer {
                Ok(answer) => assert_eq!(answer, question),
                // Too many came at once for what is kept for callers.
                Err(CallError::AnswerTooLarge { .. }) => assert!(question.1.len() > 1_000),
                Err(error) => panic!("{error}"),
            }
        }
        for (posted, heard) in self.posted.iter().zip(self.posts.iter().rev()) {
            assert_eq!(*posted, *heard.lock().unwrap(), "posts arrive, in order");
        }
        // Who ends both ways loses what the other side still says.
        let ends = if self.half { &self.talks.ends[..] } else { &[] };
        for (at, end) in ends.iter().enumerate() {
            let others = ends.iter().enumerate();
            let mut others = others.filter(|(other, it)| *other != at && it.talk == end.talk);
            let Some((_, other)) = others.next() else {
                // It was refused.
                assert!(end.receiver.is_none() || matches!(end.over, Some(Err(_))));
                continue;
            };
            assert!(end.got <= other.sent);
            if !self.talks.spoilt[end.talk] {
                assert!(end.acking.is_none(), "all is read, so all is acknowledged");
                assert_eq!(end.got, other.sent, "all that was sent is here");
                assert_eq!(end.over.is_some(), other.finished);
            }
            if let Some(Ok(())) = &end.over {
                assert!(other.finished && end.got == other.sent, "half is not taken for all");
            }
        }
    }

    /// Nothing is left: neither bytes nor places.
    fn check_empty(&mut self) {
        self.talks.ends.clear();
        self.calm_down();
        for side in [&self.pair.a, &self.pair.b] {
            assert_eq!(side.session.queued_bytes(), 0);
            let held = side.link.local.recv.stats().in_use;
            assert!(held <= 1, "{held} buffers beside the one that is read into");
        }
        for side in [false, true] {
            let open = |_| self.side(side).session.open(&Talk(0)).expect("all places are free");
            let streams: Vec<_> = (0..STREAMS_MIN).map(open).collect();
            self.pair.settle();
            assert_eq!(self.accepted[usize::from(!side)].lock().unwrap().len(), streams.len());
            drop(streams);
            self.pair.settle();
            self.accepted[usize::from(!side)].lock().unwrap().clear();
            self.pair.settle();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_accepted_arrives_and_in_the_end_nothing_is_left(events in events()) {
        let mut world = World::new();
        for event in events {
            world.happens(event);
            world.collect();
        }
        world.calm_down();
        world.check();
        world.check_empty();
    }

    #[test]
    fn over_gofast_as_well(events in events(), newer in any::<bool>(), ours in any::<bool>()) {
        let dialect = if newer { Dialect::Y2017 } else { Dialect::Y2016 };
        let mut world = World::gofast(dialect, ours);
        for event in events {
            world.happens(event);
            world.collect();
        }
        world.calm_down();
        world.check();
        world.check_empty();
    }
}
