//! Both ends of one window against sums that are kept apart: nothing is created, nothing is lost.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const WINDOW: u64 = 64 * 1024;

#[derive(Debug, Clone)]
enum Event {
    /// A short message of this cost.
    Short(u64),
    /// One in so many pieces that each cost this.
    Long(u64, usize),
    /// What is on its way arrives, so much of it.
    Arrive(usize),
    /// The application takes a message.
    Take,
    /// The receiver says what is due, the sender hears it.
    Tell,
    /// A round trip begins or ends.
    Sample(bool),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let cost = || 33..=u64::from(BLOCK_COST_MAX);
    let event = prop_oneof![
        4 => cost().prop_map(Event::Short),
        2 => (cost(), 1..20usize).prop_map(|(cost, count)| Event::Long(cost, count)),
        6 => (1..9usize).prop_map(Event::Arrive),
        4 => Just(Event::Take),
        3 => Just(Event::Tell),
        1 => any::<bool>().prop_map(Event::Sample),
    ];
    prop::collection::vec(event, 1..200)
}

/// A piece, or all, of a message.
#[derive(Debug, Clone, Copy)]
struct Unit {
    cost: u64,
    ends: bool,
    is_piece: bool,
    /// Bytes of its message that come behind it.
    missing: u64,
}

/// A message in so many pieces that each cost this.
fn pieces(cost: u64, count: usize) -> impl Iterator<Item = Unit> {
    (1..=count).map(move |at| {
        let missing = (cost - UNIT_COST) * (count - at) as u64;
        Unit { cost, ends: at == count, is_piece: true, missing }
    })
}

struct Both {
    sender: SendCredit,
    receiver: ReceiveCredit,
    /// Wants to leave; has left.
    queued: VecDeque<Unit>,
    under_way: VecDeque<Unit>,
    /// Costs of messages that nobody has taken, and whether they came in pieces.
    unread: VecDeque<(u64, bool)>,
    incomplete: u64,
    taken: u64,
    sent: u64,
}

impl Both {
    fn new() -> Self {
        Self {
            sender: SendCredit::new(WINDOW),
            receiver: ReceiveCredit::new(WINDOW),
            queued: VecDeque::new(),
            under_way: VecDeque::new(),
            unread: VecDeque::new(),
            incomplete: 0,
            taken: 0,
            sent: 0,
        }
    }

    fn leave(&mut self) {
        while let Some(unit) = self.queued.front().copied() {
            if !self.sender.spend(unit.cost) {
                assert!(self.sender.available() < unit.cost, "nothing is refused that fits");
                break;
            }
            self.sent += unit.cost;
            self.under_way.extend(self.queued.pop_front());
        }
    }

    fn arrive(&mut self) -> bool {
        let Some(unit) = self.under_way.pop_front() else { return false };
        self.receiver.receive(unit.cost).expect("the sender keeps to what it was told");
        match unit {
            Unit { is_piece: true, ends: false, cost, missing } => {
                self.receiver.part(cost, missing);
                self.incomplete += cost;
            }
            Unit { is_piece: true, cost, .. } => {
                let whole = self.receiver.whole(cost);
                assert_eq!(whole, std::mem::take(&mut self.incomplete) + cost);
                self.unread.push_back((whole, true));
            }
            Unit { cost, .. } => self.unread.push_back((cost, false)),
        }
        true
    }

    fn take(&mut self) -> bool {
        let Some((cost, is_long)) = self.unread.pop_front() else { return false };
        self.receiver.take(cost);
        if is_long {
            self.receiver.long_taken();
        }
        self.taken += cost;
        true
    }

    fn tell(&mut self) -> bool {
        let Some(total) = self.receiver.due() else { return false };
        // More only for what has begun.
        let ordinary = self.taken + self.incomplete + self.receiver.window();
        assert!(total == ordinary || total > ordinary && self.incomplete > 0);
        self.sender.raise(total).unwrap();
        assert!(!self.receiver.is_due(), "it was just told");
        true
    }

    fn check(&self) {
        let on_way: u64 = self.under_way.iter().map(|unit| unit.cost).sum();
        let unread: u64 = self.unread.iter().map(|(cost, _)| cost).sum();
        assert_eq!(self.sent, self.taken + self.incomplete + unread + on_way, "conserved");
        assert_eq!((self.sender.spent, self.receiver.received), (self.sent, self.sent - on_way));
        assert!(self.sender.spent <= self.sender.total);
        assert_eq!(self.sender.total, self.receiver.told);
        // Nothing is granted far ahead of what has come.
        assert!(
            self.receiver.told <= self.taken + self.incomplete + unread + self.receiver.window()
        );
    }
}

proptest! {
    #[test]
    fn what_is_told_is_what_was_taken_and_the_window(events in events()) {
        let mut both = Both::new();
        for event in events {
            match event {
                Event::Short(cost) => {
                    both.queued.push_back(Unit { cost, ends: true, is_piece: false, missing: 0 });
                }
                Event::Long(cost, count) => both.queued.extend(pieces(cost, count)),
                Event::Arrive(count) => (0..count).for_each(|_| _ = both.arrive()),
                Event::Take => _ = both.take(),
                Event::Tell => _ = both.tell(),
                Event::Sample(true) => both.receiver.begin_sample(),
                Event::Sample(false) => both.receiver.end_sample(16 * WINDOW),
            }
            both.leave();
            both.check();
        }
        // Who reads gets everything, whatever stood still before.
        while both.arrive() | both.take() | both.tell() {
            both.leave();
            both.check();
        }
        prop_assert!(both.queued.is_empty() && both.under_way.is_empty(), "it locks");
        prop_assert_eq!(both.taken, both.sent);
        prop_assert!(both.sender.available() > both.receiver.window() / 2);
    }

    /// Who reads nothing still gets the messages that are on their way, however long, so that they
    /// are in nobody's way; but not a third one.
    #[test]
    fn who_reads_nothing_gets_two_messages_above_the_window_and_no_third(
        cost in 16_000..=u64::from(BLOCK_COST_MAX),
        count in 20..200usize,
    ) {
        let mut both = Both::new();
        for _ in 0..4 {
            both.queued.extend(pieces(cost, count));
        }
        both.leave();
        while both.arrive() {
            both.tell();
            both.leave();
            both.check();
        }
        prop_assert!((1..=2).contains(&both.unread.len()), "{:?}", both.unread);
        prop_assert_eq!(both.incomplete, 0, "it stands still in the middle");
        let whole = cost * count as u64;
        prop_assert_eq!(both.sent, both.unread.len() as u64 * whole);
        while both.take() | both.tell() | both.arrive() {
            both.leave();
        }
        prop_assert_eq!(both.taken, 4 * whole);
    }
}
