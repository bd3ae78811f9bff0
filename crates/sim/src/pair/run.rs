//! Steps: one thing happens at a time, and time passes only when nothing else can happen.

use std::time::Duration;

use super::Pair;
use crate::connection::Connection;
use crate::limits::{RUN_MAX, STEPS_AT_ONCE_MAX};
use crate::side::Side;

/// What time is allowed to pass for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// Bytes that are on their way.
    Bytes,
    /// Deadlines and sleepers as well.
    Anything,
}

impl Pair {
    /// Runs until the future is ready, which may take up to an hour of virtual time.
    ///
    /// # Panics
    /// If nothing will ever happen any more: a wake-up was lost, or nobody will say what it waits
    /// for.
    pub fn run_until<T: 'static>(
        &mut self,
        work: impl IntoFuture<Output = T, IntoFuture: 'static>,
    ) -> T {
        let task = self.world.tasks.spawn(None, work.into_future());
        let give_up = self.world.clock.passed() + RUN_MAX;
        loop {
            if let Some(result) = task.take() {
                return result;
            }
            assert!(
                self.step_until(give_up, For::Anything),
                "what the test waits for will never be ready: a wake-up was lost, or nobody has \
                 anything to do or to wait for within {RUN_MAX:?}"
            );
        }
    }

    /// Lets so much virtual time pass, with everything that happens in it.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.world.clock.passed() + time;
        while self.step_until(until, For::Anything) {}
        self.world.clock.advance(until);
    }

    /// Runs until nobody has anything to do and nothing is on its way. Time passes for bytes only,
    /// not for deadlines and sleepers.
    pub fn settle(&mut self) {
        while self.step_until(Duration::MAX, For::Bytes) {}
    }

    /// One thing happens, or time passes until something can. `false`: nothing will.
    pub fn step(&mut self) -> bool {
        self.step_until(Duration::MAX, For::Anything)
    }

    fn step_until(&mut self, until: Duration, what: For) -> bool {
        self.answer_dialers();
        if self.work() {
            self.steps += 1;
            self.steps_at_once += 1;
            assert!(self.steps_at_once < STEPS_AT_ONCE_MAX, "they keep each other busy for ever");
            self.check();
            return true;
        }
        match self.next_event(what) {
            Some(at) if at <= until => {
                self.world.clock.advance(at);
                self.steps_at_once = 0;
                true
            }
            _ => false,
        }
    }

    /// A turn of one end, or a poll of one task: whose, the dice say.
    fn work(&mut self) -> bool {
        let mut due: Vec<(usize, Side)> = Vec::new();
        for (at, connection) in self.connections.iter().enumerate() {
            let sides = Side::BOTH.into_iter();
            due.extend(
                sides
                    .filter(|side| connection.is_due(&self.endpoints[side.index()]))
                    .map(|side| (at, side)),
            );
        }
        let tasks = self.world.tasks.ready();
        if due.is_empty() && tasks == 0 {
            return false;
        }
        let next = self.order.below(due.len() + tasks);
        match due.get(next) {
            Some((at, side)) => {
                self.connections[*at].turn(&mut self.endpoints[side.index()]);
                self.connections.retain(|connection| !connection.is_over());
            }
            None => self.world.tasks.poll(next - due.len()),
        }
        true
    }

    fn next_event(&self, what: For) -> Option<Duration> {
        let clock = &self.world.clock;
        let mut events: Vec<Option<Duration>> = Vec::new();
        for Connection { ends, pipes, .. } in &self.connections {
            for side in Side::BOTH {
                let Some(end) = &ends[side.index()] else { continue };
                events.push(end.next_bytes(&pipes[side.other().index()]));
                if what == For::Anything {
                    events.push(end.deadline().map(|deadline| clock.offset(deadline)));
                }
            }
        }
        if what == For::Anything {
            events.push(clock.next_alarm());
        }
        events.into_iter().flatten().min()
    }

    /// Makes the connections that somebody asked for.
    fn answer_dialers(&mut self) {
        let calls = std::mem::take(&mut *self.world.calls.borrow_mut());
        for dialing in calls {
            let from = dialing.from;
            if self.endpoints.iter().any(|endpoint| !endpoint.is_up()) {
                self.world.say(from, format_args!("dials, and nobody is there"));
                let refused = std::io::ErrorKind::ConnectionRefused;
                dialing.answer(Err(moorline_protocol::CloseReason::Io(refused)));
                continue;
            }
            let number = self.made;
            self.made += 1;
            self.world.say(from, format_args!("#{number} dials"));
            let (link, dice) = (&self.link, &mut self.network);
            let mut made = Connection::new(number, &self.endpoints, dialing, link, dice);
            for (at, pipe) in made.pipes.iter_mut().enumerate() {
                pipe.parted = self.parted[at];
                pipe.stalled = self.stalled[at];
            }
            self.connections.push(made);
        }
    }
}
