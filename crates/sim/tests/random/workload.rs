//! One simulation of random operations.

use std::rc::Rc;
use std::time::Duration;

use moorline_protocol::Settings;
use moorline_session::{Flush, SendError, SessionRef, Signals};
use moorline_sim::{Context, Dice, Endpoint, Link, Pair, Side, Summary, Task};

use crate::ledger::{Asked, Key, Shared, Totals, Waiting};
use crate::streams::{Plan, answer, feed};
use crate::support::{Echo, Feed, Round, Slow, Sorry, Word};
use crate::topics::{Reader, broadcast, follow, offer, process, publish};

/// Of so many seeds one is sealed: it costs ten times as much, and what is sealed is not what
/// these tests are about.
pub(crate) const SEALED_EACH: u64 = 10;

/// Of so many seeds one has a good network and no faults: then nothing at all may be lost.
const CALM_EACH: u64 = 4;

pub(crate) struct Workload {
    pair: Pair,
    dice: Dice,
    calm: bool,
    ledger: Shared,
    tasks: Vec<Task<()>>,
    /// Whether a connection is being made.
    dialing: Option<Task<bool>>,
}

impl Workload {
    pub(crate) fn seeded(seed: u64) -> Self {
        let mut dice = Dice::seeded(seed ^ 0x5eed);
        let calm = seed.is_multiple_of(CALM_EACH);
        let mut pair = Pair::seeded(seed);
        if !seed.is_multiple_of(SEALED_EACH) {
            pair = pair.plain();
        }
        pair = pair.link(if calm { Link::chunks(1..=4_000) } else { Link::any(&mut dice) });
        for side in Side::BOTH {
            let outbox = *dice.pick(&[3_000, 20_000, 1 << 20]);
            pair = pair.settings(side, some_settings(&mut dice)).outbox_bytes(side, outbox);
        }
        let ledger = Shared::default();
        for side in Side::BOTH {
            let ledger = Rc::clone(&ledger);
            pair.program(side, move |endpoint| program(endpoint, side, &ledger));
        }
        Self { pair, dice, calm, ledger, tasks: Vec::new(), dialing: None }
    }

    /// One of all the things that can be done.
    pub(crate) fn operate(&mut self) {
        let side = *self.dice.pick(&Side::BOTH);
        let Some((key, session)) = self.some_session(side) else {
            return self.get_connected(side);
        };
        match self.dice.below(125) {
            0..25 => self.post(&key, &session, 300),
            25..30 => self.post(&key, &session, 30_000),
            30..45 => self.ask(side, &session, 300),
            45..48 => self.ask(side, &session, 30_000),
            48..56 => self.ask_slowly(side, &session),
            56..60 => self.cancel(),
            78..82 => self.open(side, session),
            60..64 => self.post_patiently(side, key, session),
            64..68 => self.barrier(side, key, session),
            68 => {
                self.ledger.borrow_mut().closes(&key);
                session.close();
            }
            69 => session.signal(Signals { drain: true, ..Signals::default() }),
            70 => self.dial(side),
            71..78 if !self.calm => self.disturb(side),
            82..86 => self.pair.settle(),
            86..92 => self.publish(side),
            92..96 => self.subscribe(side, session),
            96..100 => self.broadcast(side),
            100..104 => self.set_flush(&session),
            104..106 => session.flush(),
            106..108 => self.flush_wait(side, session),
            _ => self.pass_time(),
        }
    }

    fn some_session(&mut self, side: Side) -> Option<(Key, SessionRef)> {
        let sessions = self.pair.side(side).sessions();
        if sessions.is_empty() {
            return None;
        }
        let session = self.dice.pick(sessions).clone();
        Some((self.ledger.borrow().key(side, &session), session))
    }

    fn pass_time(&mut self) {
        let most = *self.dice.pick(&[100, 10_000, 1_000_000]);
        let time = Duration::from_micros(self.dice.between(0..=most));
        self.pair.run_for(time);
    }

    // ---- connections -----------------------------------------------------------------------

    /// Without a session little can be done, so the network tends to recover then.
    fn get_connected(&mut self, side: Side) {
        for side in Side::BOTH {
            if !self.pair.side(side).is_up() {
                self.pair.restart(side);
            }
        }
        if self.dice.chance(50) {
            self.recover();
        }
        if self.dialing.as_ref().is_none_or(Task::is_done) {
            self.dial(side);
        }
        self.pass_time();
    }

    fn dial(&mut self, side: Side) {
        let dialing = self.pair.dialer(side).connect();
        self.dialing = Some(self.pair.spawn(side, async move { dialing.await.is_ok() }));
    }

    fn recover(&mut self) {
        self.pair.heal();
        Side::BOTH.into_iter().for_each(|side| self.pair.unstall(side));
    }

    /// Networks and processes go wrong, and recover.
    fn disturb(&mut self, side: Side) {
        match self.dice.below(10) {
            0 => self.pair.partition(),
            1 => self.pair.partition_from(side),
            2..5 => self.recover(),
            5 => self.pair.stall(side),
            6 => self.pair.cut(),
            7 => self.pair.reset(),
            8 => self.pair.cut_after(side, self.dice.between(0..=20_000)),
            _ if self.pair.side(side).is_up() => self.pair.crash(side),
            _ => self.pair.restart(side),
        }
    }

    // ---- messages --------------------------------------------------------------------------

    fn post(&mut self, key: &Key, session: &SessionRef, len_max: usize) {
        let echoed = self.dice.chance(10);
        let len = self.dice.below(len_max);
        send(&self.ledger, key, session, len, echoed);
    }

    fn post_patiently(&mut self, side: Side, key: Key, session: SessionRef) {
        let (waiting, len) = (Waiting::begin(&self.ledger), self.dice.below(2_000));
        self.tasks.push(self.pair.spawn(side, async move {
            // Its number is only known when it is accepted, so it has none while it waits.
            while let Some(SendError::Full { .. }) = send(&waiting.0, &key, &session, len, false) {
                session.room().await;
            }
        }));
    }

    fn ask(&mut self, side: Side, session: &SessionRef, len_max: usize) {
        let number = self.ledger.borrow_mut().ask();
        let call = session.request(Echo(number, vec![1; self.dice.below(len_max)]));
        let asked = Asked(Rc::clone(&self.ledger), number);
        self.tasks.push(self.pair.spawn(side, async move {
            let result = call.await;
            asked.0.borrow_mut().ends(number, &result);
        }));
    }

    fn ask_slowly(&mut self, side: Side, session: &SessionRef) {
        let number = self.ledger.borrow_mut().ask();
        let time = *self.dice.pick(&[1, 100, 5_000, 40_000]);
        let mut call = session.request(Slow(number, time));
        if self.dice.chance(50) {
            call = call.timeout(Duration::from_millis(*self.dice.pick(&[0, 50, 200, 6_000])));
        }
        let asked = Asked(Rc::clone(&self.ledger), number);
        self.tasks.push(self.pair.spawn(side, async move {
            let result = call.await;
            asked.0.borrow_mut().ends(number, &result);
        }));
    }

    fn cancel(&mut self) {
        self.tasks.retain(|task| !task.is_done());
        if !self.tasks.is_empty() {
            let at = self.dice.below(self.tasks.len());
            self.tasks.swap_remove(at).stop();
        }
    }

    fn barrier(&mut self, side: Side, key: Key, session: SessionRef) {
        let waiting = Waiting::begin(&self.ledger);
        self.tasks.push(self.pair.spawn(side, async move {
            let accepted = waiting.0.borrow_mut().next_post(&key);
            if session.barrier().await.is_ok() {
                waiting.0.borrow().passed_barrier(&key, accepted);
            }
        }));
    }

    fn open(&mut self, side: Side, session: SessionRef) {
        let plan = Plan {
            pieces: self.dice.between(0..=20),
            len: *self.dice.pick(&[10, 1_000, 9_000]),
            priority: *self.dice.pick(&[0, 4, 4, 7]),
            acked: self.dice.chance(30),
        };
        let waiting = Waiting::begin(&self.ledger);
        self.tasks.push(self.pair.spawn(side, feed(session, plan, waiting)));
    }

    // ---- topics and broadcasts --------------------------------------------------------------

    fn publish(&mut self, side: Side) {
        let process = process(&self.ledger, side);
        publish(self.pair.side(side), process, &self.ledger, &mut self.dice);
    }

    fn subscribe(&mut self, side: Side, session: SessionRef) {
        let publisher = process(&self.ledger, side.other());
        let (reader, clock) = (Reader::any(&mut self.dice), self.pair.clock());
        let following = follow(session, reader, publisher, clock, Rc::clone(&self.ledger));
        self.tasks.push(self.pair.spawn(side, following));
    }

    fn broadcast(&mut self, side: Side) {
        let len_max = *self.dice.pick(&[100, 20_000]);
        let len = self.dice.below(len_max);
        let endpoint = self.pair.side(side);
        let Some(hub) = endpoint.hub() else { return };
        let key = |session: &SessionRef| self.ledger.borrow().key(side, session);
        let sessions = endpoint.sessions().iter().map(|session| (key(session), session.id()));
        broadcast(hub, &sessions.collect::<Vec<_>>(), &self.ledger, len);
    }

    // ---- flushing --------------------------------------------------------------------------

    fn set_flush(&mut self, session: &SessionRef) {
        let every = Duration::from_micros(self.dice.between(0..=300_000));
        session.set_flush(*self.dice.pick(&[Flush::Auto, Flush::Manual, Flush::Every(every)]));
    }

    fn flush_wait(&mut self, side: Side, session: SessionRef) {
        let waiting = Waiting::begin(&self.ledger);
        self.tasks.push(self.pair.spawn(side, async move {
            if session.flush_wait().await.is_ok() {
                waiting.0.borrow_mut().flushed();
            }
        }));
    }

    // ---- the end ---------------------------------------------------------------------------

    /// The faults stop, and everything comes to its end.
    pub(crate) fn finish(mut self) -> (Summary, Totals) {
        self.recover();
        for side in Side::BOTH {
            let sessions = self.pair.side(side).sessions();
            sessions.iter().for_each(|session| session.set_flush(Flush::Auto));
        }
        self.pair.settle();
        // Longer than any deadline.
        self.pair.run_for(Duration::from_secs(60));
        self.ledger.borrow().check_all_ended();
        self.ledger.borrow().topics.check_all_counted();
        let summary = self.pair.finish();
        self.ledger.borrow().check_all_closed();
        if self.calm {
            self.ledger.borrow().check_all_heard();
        }
        let totals = self.ledger.borrow().totals();
        (summary, totals)
    }
}

fn some_settings(dice: &mut Dice) -> Settings {
    let default = Settings::default();
    Settings {
        message_max: *dice.pick(&[64 * 1024, default.message_max]),
        initiation_window: *dice.pick(&[64 * 1024, default.initiation_window]),
        in_flight_max: *dice.pick(&[16, 64, default.in_flight_max]),
        record_log2: *dice.pick(&[12, 14, 16]),
        ..default
    }
}

/// What runs on a side, each time it starts.
fn program(endpoint: &mut Endpoint, side: Side, ledger: &Shared) {
    let at = usize::from(side == Side::B);
    ledger.borrow_mut().boots[at] += 1;
    let ours = Rc::clone(ledger);
    let look = Rc::new(move |cx: &Context| {
        let key = ours.borrow().key(side, cx.session());
        ours.borrow_mut().watch(key, cx.session());
    });
    offer(endpoint);
    let (looks, ours) = (Rc::clone(&look), Rc::clone(ledger));
    endpoint.on(move |cx, round: Round| {
        looks(cx);
        let key = ours.borrow().key(side, cx.session());
        ours.borrow_mut().topics.round_heard(key, &round);
    });
    let (looks, ours) = (Rc::clone(&look), Rc::clone(ledger));
    endpoint.on(move |cx, word: Word| {
        looks(cx);
        ours.borrow_mut().heard(&word.from, word.number);
        if word.echoed {
            let key = ours.borrow().key(side, cx.session());
            send(&ours, &key, cx.session(), word.filler.len(), false);
        }
    });
    let (looks, ours) = (Rc::clone(&look), Rc::clone(ledger));
    endpoint.handle_now(move |cx, echo: Echo| {
        looks(cx);
        ours.borrow_mut().runs(echo.0);
        if echo.0.is_multiple_of(7) { Err(Sorry(echo.0).into()) } else { Ok(echo) }
    });
    let (looks, ours) = (Rc::clone(&look), Rc::clone(ledger));
    endpoint.handle_stream(move |cx, opening: Feed, stream| {
        looks(&cx);
        answer(opening, stream, Rc::clone(&ours))
    });
    let (looks, ours) = (look, Rc::clone(ledger));
    endpoint.handle(move |cx: Context, slow: Slow| {
        looks(&cx);
        ours.borrow_mut().runs(slow.0);
        let looks = Rc::clone(&looks);
        async move {
            cx.clock().sleep(Duration::from_millis(slow.1)).await;
            // It would have been stopped with its session.
            looks(&cx);
            Ok(Echo(slow.0, vec![]))
        }
    });
}

/// Sends a post with the next number, if it is accepted; why not otherwise.
fn send(
    ledger: &Shared,
    key: &Key,
    session: &SessionRef,
    len: usize,
    echoed: bool,
) -> Option<SendError> {
    let number = ledger.borrow_mut().next_post(key);
    let word = Word { from: key.clone(), number, echoed, filler: vec![7; len] };
    match session.send(&word) {
        Ok(()) => {
            ledger.borrow_mut().accepted(key);
            None
        }
        Err(error) => Some(error),
    }
}
