//! Messages that wait for a reader who may not keep up: bounded, and nothing is left out without
//! being counted in its place.

use std::collections::VecDeque;

use moorline_protocol::Overflow;

/// What has been put in is either taken out or counted, where it would have come out: who takes
/// [`Next::Item`]s and adds up [`Next::Missed`]s knows the number of each message.
pub(crate) struct Backlog<T> {
    items: VecDeque<Waiting<T>>,
    /// The sum of their sizes.
    size: usize,
    overflow: Overflow,
    /// Left out behind all that waits, and not told yet.
    missed_behind: u64,
    /// Left out, ever.
    left_out: u64,
    /// It has lost something that it must not lose: nothing more is taken.
    closed: bool,
}

struct Waiting<T> {
    item: T,
    size: usize,
    /// Left out right before it, and not told yet.
    missed_before: u64,
}

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next<T> {
    Item(T),
    /// So many were left out here.
    Missed(u64),
}

impl<T> Backlog<T> {
    pub(crate) const fn new(overflow: Overflow) -> Self {
        Self {
            items: VecDeque::new(),
            size: 0,
            overflow,
            missed_behind: 0,
            left_out: 0,
            closed: false,
        }
    }

    /// Puts a message behind the others, of which `size_max` in all may wait; one alone always may.
    /// What is left out for it, or itself, goes to `lose`.
    pub(crate) fn put(&mut self, item: T, size: usize, size_max: usize, mut lose: impl FnMut(T)) {
        let full = |backlog: &Self| {
            !backlog.items.is_empty() && backlog.size.saturating_add(size) > size_max
        };
        if self.overflow == Overflow::DropOldest {
            while full(self) {
                self.leave_out_oldest().into_iter().for_each(&mut lose);
            }
        } else if self.closed || full(self) {
            self.miss(1);
            return lose(item);
        }
        let missed_before = std::mem::take(&mut self.missed_behind);
        self.size += size;
        self.items.push_back(Waiting { item, size, missed_before });
    }

    fn leave_out_oldest(&mut self) -> Option<T> {
        let oldest = self.items.pop_front()?;
        self.size -= oldest.size;
        self.left_out = self.left_out.saturating_add(1);
        self.put_back_missed(oldest.missed_before.saturating_add(1));
        Some(oldest.item)
    }

    /// Counts messages that come no further than here, behind all that waits.
    pub(crate) fn miss(&mut self, count: u64) {
        self.left_out = self.left_out.saturating_add(count);
        // What has ended at a loss has nothing more to say of later ones.
        if !self.closed || !self.items.is_empty() || self.missed_behind > 0 {
            self.missed_behind = self.missed_behind.saturating_add(count);
        }
        self.closed |= self.overflow == Overflow::Close;
    }

    /// The one that came out last comes no further, after all: it is counted where it was.
    pub(crate) fn lost(&mut self) {
        self.left_out = self.left_out.saturating_add(1);
        self.put_back_missed(1);
        self.closed |= self.overflow == Overflow::Close;
    }

    /// These could not be told after all.
    pub(crate) fn put_back_missed(&mut self, count: u64) {
        let before = match self.items.front_mut() {
            Some(front) => &mut front.missed_before,
            None => &mut self.missed_behind,
        };
        *before = before.saturating_add(count);
    }

    pub(crate) fn next(&mut self) -> Option<Next<T>> {
        let missed = match self.items.front_mut() {
            Some(front) => &mut front.missed_before,
            None => &mut self.missed_behind,
        };
        match std::mem::take(missed) {
            0 => {
                let front = self.items.pop_front()?;
                self.size -= front.size;
                Some(Next::Item(front.item))
            }
            count => Some(Next::Missed(count)),
        }
    }

    /// Whether anything would come out.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.missed_behind == 0
    }

    /// The sum of the sizes of what waits.
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    pub(crate) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Whether it has lost something that it must not lose.
    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn park(&mut self) {
        self.items.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 10;

    #[derive(Debug, Clone)]
    enum Do {
        Put(usize),
        Miss(u64),
        Take,
        TakeAndLose,
        TakeAndPutBack,
    }

    fn any_do() -> impl Strategy<Value = Do> {
        prop_oneof![
            6 => (0_usize..15).prop_map(Do::Put),
            1 => (1_u64..4).prop_map(Do::Miss),
            4 => Just(Do::Take),
            1 => Just(Do::TakeAndLose),
            1 => Just(Do::TakeAndPutBack),
        ]
    }

    fn any_overflow() -> impl Strategy<Value = Overflow> {
        proptest::sample::select(&[Overflow::DropOldest, Overflow::DropNewest, Overflow::Close])
    }

    /// Every message has a number, and comes out under it or is counted there.
    struct Reader {
        at: u64,
        missed: u64,
    }

    impl Reader {
        fn read(&mut self, next: Option<Next<u64>>) {
            match next {
                Some(Next::Item(number)) => {
                    assert_eq!(number, self.at, "it comes in its place");
                    self.at += 1;
                }
                Some(Next::Missed(count)) => {
                    assert!(count > 0);
                    self.at += count;
                    self.missed += count;
                }
                None => {}
            }
        }
    }

    fn act(backlog: &mut Backlog<u64>, reader: &mut Reader, put: &mut u64, what: &Do) {
        match *what {
            Do::Put(size) => {
                let mut lost = 0;
                let before = backlog.left_out();
                backlog.put(*put, size, MAX, |_| lost += 1);
                assert_eq!(backlog.left_out() - before, lost);
                *put += 1;
            }
            Do::Miss(count) => {
                backlog.miss(count);
                *put += count;
            }
            Do::Take => reader.read(backlog.next()),
            Do::TakeAndLose => match backlog.next() {
                Some(Next::Item(_)) => backlog.lost(),
                other => reader.read(other),
            },
            Do::TakeAndPutBack => match backlog.next() {
                Some(Next::Missed(count)) => backlog.put_back_missed(count),
                other => reader.read(other),
            },
        }
    }

    proptest! {
        #[test]
        fn each_message_comes_out_or_is_counted_in_its_place(
            overflow in any_overflow(),
            steps in proptest::collection::vec(any_do(), 0..200),
        ) {
            let mut backlog = Backlog::new(overflow);
            let (mut reader, mut put) = (Reader { at: 0, missed: 0 }, 0);
            for step in &steps {
                act(&mut backlog, &mut reader, &mut put, step);
                prop_assert!(backlog.size() <= MAX || backlog.items.len() == 1);
                let size: usize = backlog.items.iter().map(|waiting| waiting.size).sum();
                prop_assert_eq!(backlog.size(), size);
            }
            while let Some(next) = backlog.next() {
                reader.read(Some(next));
            }
            prop_assert!(backlog.is_empty());
            // Once it has told of a loss that it must not have, it need not tell of more.
            if overflow == Overflow::Close {
                prop_assert_eq!(backlog.is_closed(), backlog.left_out() > 0);
                prop_assert!(reader.at <= put);
            } else {
                prop_assert_eq!(reader.at, put);
                prop_assert_eq!(reader.missed, backlog.left_out());
                prop_assert!(!backlog.is_closed());
            }
        }
    }

    fn outcome(overflow: Overflow) -> Vec<Next<u64>> {
        let mut backlog = Backlog::new(overflow);
        for number in 0..4 {
            backlog.put(number, 5, MAX, |_| {});
        }
        std::iter::from_fn(|| backlog.next()).collect()
    }

    #[test]
    fn each_way_leaves_out_what_it_says() {
        use Next::{Item, Missed};
        assert_eq!(outcome(Overflow::DropOldest), [Missed(2), Item(2), Item(3)]);
        assert_eq!(outcome(Overflow::DropNewest), [Item(0), Item(1), Missed(2)]);
        assert_eq!(outcome(Overflow::Close), [Item(0), Item(1), Missed(2)]);
    }

    #[test]
    fn what_has_closed_takes_nothing_more_and_says_so_once() {
        let mut backlog = Backlog::new(Overflow::Close);
        (0..3).for_each(|number| backlog.put(number, 5, MAX, |_| {}));
        assert!(backlog.is_closed());
        while backlog.next().is_some() {}
        backlog.put(9, 1, MAX, |_| {});
        assert!(backlog.is_empty());
        assert_eq!(backlog.left_out(), 2);
    }
}
