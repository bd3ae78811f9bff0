//! The table of requests against the simplest thing that could be right, in any order of events.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What the model knows of a slot.
#[derive(Debug, Default, Clone, PartialEq)]
struct Call {
    lane: Lane,
    range: (u64, u64),
    due: Option<Instant>,
    answered: bool,
    gone: bool,
    /// How it ended, for a caller that has not looked yet.
    outcome: Option<&'static str>,
    /// Its caller has given up on it, and no CANCEL has left.
    cancel: bool,
}

impl Call {
    fn has_begun(&self, left: Left) -> bool {
        self.range.0 < left[self.lane as usize]
    }
}

#[derive(Debug, Clone)]
enum Event {
    Ask { secs: Option<u64>, len: u64, lane: usize },
    Leave(u64, usize),
    Answer { id: u32, large: bool },
    Take(prop::sample::Index),
    Drop(prop::sample::Index),
    Cancels,
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (prop::option::of(0..5u64), 1..20u64, 0..3usize)
            .prop_map(|(secs, len, lane)| Event::Ask { secs, len, lane }),
        3 => (0..40u64, 0..3usize).prop_map(|(bytes, lane)| Event::Leave(bytes, lane)),
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
    appended: Left,
    left: Left,
    /// Where requests end that were answered in the middle.
    cuts: Vec<(Lane, u64)>,
    now: Instant,
}

impl Both {
    fn waiting(&self) -> Vec<u32> {
        self.calls.iter().filter(|(_, call)| !call.gone).map(|(id, _)| *id).collect()
    }

    fn ask(&mut self, secs: Option<u64>, len: u64, lane: Lane) {
        let timeout = secs.map(Duration::from_secs);
        match self.requests.open(timeout, lane) {
            Ok(id) => {
                let appended = &mut self.appended[lane as usize];
                let range = (*appended, *appended + len);
                *appended = range.1;
                self.requests.appended(id, range.0, range.1);
                self.requests.stamp(self.now);
                let due = timeout.map(|timeout| self.now + timeout);
                let vacant = self.calls.insert(id, Call { lane, range, due, ..Call::default() });
                assert!(vacant.is_none(), "slot {id} was not free");
            }
            Err(_) => assert_eq!(self.calls.len(), SLOTS as usize),
        }
    }

    /// One that breaks a rule ends the session, but the table is the same after it.
    fn answer(&mut self, id: u32, large: bool) {
        let body = if large { LARGE } else { SMALL };
        let result = self.requests.respond(id, self.left, Body::Borrowed(body));
        let Some(call) = self.calls.get_mut(&id).filter(|call| !call.answered) else {
            assert!(result.is_err(), "nothing was asked in {id}");
            return;
        };
        let left = self.left[call.lane as usize];
        if call.range.0 >= left {
            assert!(result.is_err(), "the request in {id} has not left");
            return;
        }
        assert!(result.is_ok());
        (call.answered, call.cancel) = (true, false);
        // Its rest stands in the way of whatever comes next.
        if call.range.1 > left {
            self.cuts.push((call.lane, call.range.1));
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
            Poll::Ready(Outcome::TooLarge { .. }) => Some("too large"),
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
        let ready = self.requests.has_cancels(self.left);
        self.requests.cancels(self.left, |word| sent.push(word));
        sent.sort_unstable();
        let due = self.calls.iter().filter(|(_, call)| call.cancel && call.has_begun(self.left));
        let mut expected: Vec<_> = due
            .map(|(id, call)| match call.range.1 <= self.left[call.lane as usize] {
                true => Word::Cancel(*id),
                false => Word::Cut(call.lane, call.range.1),
            })
            .chain(self.cuts.drain(..).map(|(lane, end)| Word::Cut(lane, end)))
            .collect();
        expected.sort_unstable();
        assert_eq!((ready, &sent), (!expected.is_empty(), &expected));
        let left = self.left;
        self.calls
            .values_mut()
            .filter(|call| call.has_begun(left))
            .for_each(|call| call.cancel = false);
        for word in sent {
            if let Word::Cut(lane, end) = word {
                let left = &mut self.left[lane as usize];
                *left = end.max(*left);
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
            appended: [0; 3],
            left: [0; 3],
            cuts: Vec::new(),
            now: Instant::now(),
        };
        for event in events {
            match event {
                Event::Ask { secs, len, lane } => both.ask(secs, len, Lane::ALL[lane]),
                Event::Leave(bytes, lane) => {
                    both.left[lane] = (both.left[lane] + bytes).min(both.appended[lane]);
                }
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
        both.requests.close(&CloseReason::Truncated, left, &mut wakers);
        for id in both.waiting() {
            let polled = both.requests.poll(id, &mut None, Vec::new);
            let call = &both.calls[&id];
            match (polled, call.outcome) {
                (Poll::Ready(Outcome::Closed { sent, .. }), None) => {
                    prop_assert_eq!(sent, call.range.1 <= left[call.lane as usize]);
                }
                (Poll::Ready(_), Some(_)) => {}
                (other, told) => panic!("{other:?} where {told:?} was due"),
            }
        }
        prop_assert!(both.requests.slots.is_empty());
    }
}
