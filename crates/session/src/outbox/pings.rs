//! Pings of ours, and who waits for their answers.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use super::lanes::End;
use crate::errors::SendError;
use crate::limits::PINGS_MAX;
use crate::requests::keep_waker;

/// `answered <= sent <= last`, always; what waits is numbered from above the first to the last,
/// ascending.
#[derive(Default)]
pub(crate) struct Pings {
    waiting: VecDeque<(u64, Option<Waker>)>,
    /// Those that have not left: what is to leave before each.
    behind: VecDeque<Vec<End>>,
    last: u64,
    sent: u64,
    answered: u64,
}

impl Pings {
    /// A ping that leaves once all of `behind` has; its number.
    pub(crate) fn wait_for(&mut self, behind: Vec<End>) -> Result<u64, SendError> {
        if self.waiting.len() >= PINGS_MAX {
            return Err(SendError::Barriers { limit: PINGS_MAX });
        }
        self.last += 1;
        self.waiting.push_back((self.last, None));
        self.behind.push_back(behind);
        Ok(self.last)
    }

    /// Whether somebody, or this side itself, waits for an answer.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The youngest one, sent or not.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// The youngest one that has left.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether the next one may leave.
    pub(crate) fn may_leave(&self, has_left: impl Fn(&End) -> bool) -> bool {
        self.behind.front().is_some_and(|behind| behind.iter().all(has_left))
    }

    /// The number of the next one, if it may leave. It counts as sent.
    pub(crate) fn next_to_leave(&mut self, has_left: impl Fn(&End) -> bool) -> Option<u64> {
        let behind = self.behind.front_mut()?;
        behind.retain(|end| !has_left(end));
        if !behind.is_empty() {
            return None;
        }
        self.behind.pop_front();
        self.sent += 1;
        Some(self.sent)
    }

    /// Ready when `nonce` is answered. What is left in `waker` is to be dropped outside the lock.
    pub(crate) fn poll(&mut self, nonce: u64, waker: &mut Option<Waker>) -> Poll<()> {
        if nonce <= self.answered {
            return Poll::Ready(());
        }
        if let Ok(at) = self.waiting.binary_search_by_key(&nonce, |(number, _)| *number) {
            keep_waker(&mut self.waiting[at].1, waker);
        }
        Poll::Pending
    }

    /// All pings up to `nonce` are answered; `false` if it was never sent.
    pub(crate) fn answered(&mut self, nonce: u64, wakers: &mut Vec<Waker>) -> bool {
        if nonce > self.sent {
            return false;
        }
        self.answered = self.answered.max(nonce);
        while self.waiting.front().is_some_and(|(number, _)| *number <= nonce) {
            wakers.extend(self.waiting.pop_front().and_then(|(_, waker)| waker));
        }
        true
    }

    /// The session ends: nobody waits any longer.
    pub(crate) fn close(&mut self, wakers: &mut Vec<Waker>) {
        self.behind.clear();
        wakers.extend(self.waiting.drain(..).filter_map(|(_, waker)| waker));
    }

    pub(crate) fn park(&mut self) {
        self.waiting.shrink_to_fit();
        self.behind.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use moorline_protocol::Lane;

    use super::super::lanes::Flow;
    use super::*;

    #[test]
    fn a_pong_answers_all_pings_before_it_and_none_after() {
        let mut pings = Pings::default();
        for _ in 0..3 {
            let nonce = pings.wait_for(Vec::new()).unwrap();
            assert_eq!(pings.next_to_leave(|_| true), Some(nonce));
            assert!(pings.poll(nonce, &mut Some(Waker::noop().clone())).is_pending());
        }
        let mut wakers = Vec::new();
        assert!(pings.answered(2, &mut wakers));
        assert_eq!(wakers.len(), 2);
        assert!(pings.poll(1, &mut None).is_ready() && pings.poll(2, &mut None).is_ready());
        assert!(pings.poll(3, &mut None).is_pending());
        assert!(pings.answered(1, &mut wakers), "an old one changes nothing");
        assert!(!pings.answered(4, &mut wakers), "never sent");
    }

    #[test]
    fn they_do_not_pile_up() {
        let mut pings = Pings::default();
        for _ in 0..PINGS_MAX {
            pings.wait_for(Vec::new()).unwrap();
            pings.next_to_leave(|_| true).unwrap();
        }
        assert_eq!(pings.wait_for(Vec::new()), Err(SendError::Barriers { limit: PINGS_MAX }));
        pings.answered(1, &mut Vec::new());
        assert!(pings.wait_for(Vec::new()).is_ok());
    }

    #[test]
    fn they_leave_in_order_and_each_behind_what_was_queued_before_it() {
        let mut pings = Pings::default();
        pings
            .wait_for(vec![(Lane::High, Flow::Posts, 10), (Lane::Bulk, Flow::Stream(2), 7)])
            .unwrap();
        pings.wait_for(Vec::new()).unwrap();
        assert!(!pings.may_leave(|(_, flow, _)| *flow == Flow::Posts));
        assert_eq!(pings.next_to_leave(|(_, flow, _)| *flow == Flow::Posts), None);
        assert_eq!(pings.next_to_leave(|_| true), Some(1));
        assert_eq!(pings.next_to_leave(|_| true), Some(2));
        assert_eq!(pings.next_to_leave(|_| true), None);
    }
}
