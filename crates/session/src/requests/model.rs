//! The table of requests against the simplest thing that could be right, in any order of events.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What the model knows of a slot.
#[derive(Debug, Default, Clone, PartialEq)]
struct Call {
    range: (u64, u64),
    due: Option<Instant>,
    answered: bool,
    gone: bool,
    /// How it ended, for a caller that has not looked yet.
    outcome: Option<&'static str>,
    /// Its caller has given up on it, and no CANCEL has left.
    cancel: bool,
}

#[derive(Debug, Clone)]
enum Event {
    Ask { secs: Option<u64>, len: u64 },
    Leave(u64),
    Answer { id: u32, large: bool },
    Take(prop::sample::Index),
    Drop(prop::sample::Index),
    Cancels,
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (prop::option::of(0..5u64), 1..20u64).prop_map(|(secs, len)| Event::Ask { secs, len }),
        2 => (0..40u64).prop_map(Event::Leave),
        4 => (0..5u32, any::<bool>()).prop_map(|(id, large)| Event::Answer { id, large }),
        2 => any::<prop::sample::Index>().prop_map(Event::Take),
        2 => any::<prop::sample::Index>().prop_map(Event::Drop),
        2 => Just(Event::Cancels),
        1 => (0..3u64).prop_map(Event::Wait),
    ];
    prop::collection::vec(event, 1..200)
}

const SLOTS: u32 = 4;
const SMALL: &[u8] = b"x";
const LARGE: &[u8] = &[0; 101];

struct Both {
    requests: Requests,
    calls: BTreeMap<u32, Call>,
    appended: u64,
    left: u64,
    /// Where requests end that were answered in the middle.
    cuts: Vec<u64>,
    now: Instant,
}

impl Both {
    fn waiting(&self) -> Vec<u32> {
        self.calls.iter().filter(|(_, call)| !call.gone).map(|(id, _)| *id).collect()
    }

    fn ask(&mut self, secs: Option<u64>, len: u64) {
        let timeout = secs.map(Duration::from_secs);
        match self.requests.open(timeout, Lane::Normal) {
            Ok(id) => {
                let range = (self.appended, self.appended + len);
                self.appended = range.1;
                self.requests.appended(id, range.0, range.1);
                self.requests.stamp(self.now);
                let due = timeout.map(|timeout| self.now + timeout);
                let vacant = self.calls.insert(id, Call { range, due, ..Call::default() });
                assert!(vacant.is_none(), "slot {id} was not free");
            }
            Err(_) => assert_eq!(self.calls.len(), SLOTS as usize),
        }
    }

    /// One that breaks a rule ends the session, but the table is the same after it.
    fn answer(&mut self, id: u32, large: bool) {
        let body = if large { LARGE } else { SMALL };
        let result = self.requests.respond(id, [self.left; 3], Body::Borrowed(body));
        let Some(call) = self.calls.get_mut(&id).filter(|call| !call.answered) else {
            assert!(result.is_err(), "nothing was asked in {id}");
            return;
        };
        if call.range.0 >= self.left {
            assert!(result.is_err(), "the request in {id} has not left");
            return;
        }
        assert!(result.is_ok());
        (call.answered, call.cancel) = (true, false);
        // Its rest stands in the way of whatever comes next.
        if call.range.1 > self.left {
            self.cuts.push(call.range.1);
        }
        if call.gone {
            self.calls.remove(&id);
        } else {
            call.outcome.get_or_insert(if large { "too large" } else { "response" });
        }
    }

    fn take(&mut self, id: u32) {
        let polled = self.requests.poll(id, &mut Some(Waker::noop().clone()), Vec::new);
        let call = self.calls.get_mut(&id).expect("it waits");
        let told = match polled {
            Poll::Pending => None,
            Poll::Ready(Outcome::Response(_)) => Some("response"),
            Poll::Ready(Outcome::TooLarge) => Some("too large"),
            Poll::Ready(Outcome::Timeout) => Some("timeout"),
            Poll::Ready(other) => panic!("{other:?}"),
        };
        assert_eq!(told, call.outcome.take());
        call.gone = told.is_some();
        if call.gone && call.answered {
            self.calls.remove(&id);
        }
    }

    fn give_up(&mut self, id: u32) {
        drop(self.requests.abandon(id));
        let call = self.calls.get_mut(&id).expect("it waits");
        let timed_out = call.outcome == Some("timeout");
        (call.gone, call.outcome, call.due) = (true, None, None);
        // A call that ran out of time has given up before.
        call.cancel |= !call.answered && !timed_out;
        if call.answered {
            self.calls.remove(&id);
        }
    }

    fn cancels(&mut self) {
        let mut sent = Vec::new();
        let ready = self.requests.has_cancels([self.left; 3]);
        self.requests.cancels([self.left; 3], |word| sent.push(word));
        sent.sort_unstable();
        let due = self.calls.iter().filter(|(_, call)| call.cancel && call.range.0 < self.left);
        let mut expected: Vec<_> = due
            .map(|(id, call)| match call.range.1 <= self.left {
                true => Word::Cancel(*id),
                false => Word::Cut(Lane::Normal, call.range.1),
            })
            .chain(self.cuts.drain(..).map(|end| Word::Cut(Lane::Normal, end)))
            .collect();
        expected.sort_unstable();
        assert_eq!((ready, &sent), (!expected.is_empty(), &expected));
        let left = self.left;
        self.calls
            .values_mut()
            .filter(|call| call.range.0 < left)
            .for_each(|call| call.cancel = false);
        for word in sent {
            if let Word::Cut(_, end) = word {
                self.left = self.left.max(end);
            }
        }
    }

    fn wait(&mut self, secs: u64) {
        self.now += Duration::from_secs(secs);
        self.requests.expire(self.now, &mut Vec::new());
        for call in self.calls.values_mut().filter(|call| !call.gone && call.outcome.is_none()) {
            if call.due.is_some_and(|due| due <= self.now) {
                (call.outcome, call.cancel, call.due) = (Some("timeout"), true, None);
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.requests.slots.len(), self.calls.len());
        let held = self.calls.values().filter(|call| call.outcome == Some("response")).count();
        assert_eq!(self.requests.held_bytes, held as u64);
        let first = self.calls.values().filter(|call| call.outcome.is_none() && !call.gone);
        let first = first.filter_map(|call| call.due).min();
        let told = self.requests.deadline();
        assert!(first.is_none() || told.is_some_and(|told| Some(told) <= first), "never too late");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_call_ends_once_and_no_cancel_strays(events in events()) {
        let mut both = Both {
            requests: Requests::new(SLOTS, 100, true),
            calls: BTreeMap::new(),
            appended: 0,
            left: 0,
            cuts: Vec::new(),
            now: Instant::now(),
        };
        for event in events {
            match event {
                Event::Ask { secs, len } => both.ask(secs, len),
                Event::Leave(bytes) => both.left = (both.left + bytes).min(both.appended),
                Event::Answer { id, large } => both.answer(id, large),
                Event::Take(which) | Event::Drop(which) if both.waiting().is_empty() => {
                    let _ = which;
                }
                Event::Take(which) => both.take(*which.get(&both.waiting())),
                Event::Drop(which) => both.give_up(*which.get(&both.waiting())),
                Event::Cancels => both.cancels(),
                Event::Wait(secs) => both.wait(secs),
            }
            both.check();
        }
        // The end: who still waits hears of it, once, and whether it may have run.
        let (left, mut wakers) = (both.left, Vec::new());
        both.requests.close(&CloseReason::Truncated, [left; 3], &mut wakers);
        for id in both.waiting() {
            let polled = both.requests.poll(id, &mut None, Vec::new);
            let call = &both.calls[&id];
            match (polled, call.outcome) {
                (Poll::Ready(Outcome::Closed { sent, .. }), None) => {
                    prop_assert_eq!(sent, call.range.1 <= left);
                }
                (Poll::Ready(_), Some(_)) => {}
                (other, told) => panic!("{other:?} where {told:?} was due"),
            }
        }
        prop_assert!(both.requests.slots.is_empty());
    }
}
