//! Who waits for room, one entry for each future that waits: it leaves when the future does.

use std::task::Waker;

use slab::Slab;

use crate::requests::keep_waker;

/// What a sender waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// At most half of what may be queued is.
    Bytes,
    /// That, and a slot for a request.
    BytesAndSlot,
}

/// Where a waiting future stands in the list.
#[derive(Debug)]
pub(crate) struct Place {
    need: Need,
    key: usize,
    number: u64,
}

#[derive(Default)]
pub(crate) struct Waiters {
    for_bytes: Slab<Waiter>,
    for_slot: Slab<Waiter>,
    /// Tells a waiter from the next one at the same key.
    next: u64,
}

struct Waiter {
    number: u64,
    waker: Option<Waker>,
}

impl Waiters {
    pub(crate) fn is_empty(&self) -> bool {
        self.for_bytes.is_empty() && self.for_slot.is_empty()
    }

    /// Waits on, or begins to. What is left in `waker` is to be dropped outside the lock.
    pub(crate) fn wait(
        &mut self,
        place: &mut Option<Place>,
        need: Need,
        waker: &mut Option<Waker>,
    ) {
        if let Some(waiter) = place.as_ref().and_then(|place| self.find(place)) {
            return keep_waker(&mut waiter.waker, waker);
        }
        let number = self.next;
        self.next += 1;
        let key = self.list(need).insert(Waiter { number, waker: waker.take() });
        *place = Some(Place { need, key, number });
    }

    /// Waits no more. The waker is to be dropped outside the lock.
    #[must_use]
    pub(crate) fn leave(&mut self, place: &Place) -> Option<Waker> {
        let waker = self.find(place)?.waker.take();
        self.list(place.need).remove(place.key);
        waker
    }

    /// Takes out those whose need is met.
    pub(crate) fn take(&mut self, bytes: bool, slot: bool) -> Vec<Waker> {
        let mut wakers = Vec::new();
        if bytes {
            wakers.extend(self.for_bytes.drain().filter_map(|waiter| waiter.waker));
        }
        if bytes && slot {
            wakers.extend(self.for_slot.drain().filter_map(|waiter| waiter.waker));
        }
        wakers
    }

    pub(crate) fn park(&mut self) {
        self.for_bytes.shrink_to_fit();
        self.for_slot.shrink_to_fit();
    }

    fn find(&mut self, place: &Place) -> Option<&mut Waiter> {
        let waiter = self.list(place.need).get_mut(place.key)?;
        (waiter.number == place.number).then_some(waiter)
    }

    fn list(&mut self, need: Need) -> &mut Slab<Waiter> {
        match need {
            Need::Bytes => &mut self.for_bytes,
            Need::BytesAndSlot => &mut self.for_slot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(waiters: &mut Waiters, place: &mut Option<Place>, need: Need) {
        waiters.wait(place, need, &mut Some(Waker::noop().clone()));
    }

    #[test]
    fn who_leaves_is_forgotten_and_waits_once_however_often_it_asks() {
        let mut waiters = Waiters::default();
        for _ in 0..1_000 {
            let mut place = None;
            wait(&mut waiters, &mut place, Need::Bytes);
            wait(&mut waiters, &mut place, Need::Bytes);
            assert_eq!(waiters.for_bytes.len(), 1);
            assert!(waiters.leave(&place.unwrap()).is_some());
        }
        assert!(waiters.is_empty());
        assert!(waiters.for_bytes.capacity() < 10);
    }

    #[test]
    fn each_need_is_met_by_itself() {
        let mut waiters = Waiters::default();
        let (mut bytes, mut slot) = (None, None);
        wait(&mut waiters, &mut bytes, Need::Bytes);
        wait(&mut waiters, &mut slot, Need::BytesAndSlot);
        assert_eq!(waiters.take(false, true).len(), 0);
        assert_eq!(waiters.take(true, false).len(), 1);
        assert_eq!(waiters.take(true, true).len(), 1);
        assert!(waiters.is_empty());
    }

    #[test]
    fn a_place_that_was_taken_over_is_not_left_by_its_former_owner() {
        let mut waiters = Waiters::default();
        let (mut first, mut second) = (None, None);
        wait(&mut waiters, &mut first, Need::Bytes);
        waiters.take(true, true);
        wait(&mut waiters, &mut second, Need::Bytes);
        assert!(waiters.leave(&first.unwrap()).is_none());
        assert!(waiters.leave(&second.unwrap()).is_some());
    }
}
