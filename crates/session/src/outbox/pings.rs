//! Pings of ours, and who waits for their answers.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use crate::errors::SendError;
use crate::limits::PINGS_MAX;
use crate::requests::keep_waker;

/// `answered <= sent`, always; what waits is numbered from above the one to the other, ascending.
#[derive(Default)]
pub(crate) struct Pings {
    waiting: VecDeque<(u64, Option<Waker>)>,
    sent: u64,
    answered: u64,
}

impl Pings {
    /// The number of the next ping. It counts once it is [`sent`](Self::sent).
    pub(crate) fn next(&self) -> Result<u64, SendError> {
        if self.waiting.len() >= PINGS_MAX {
            return Err(SendError::Barriers { limit: PINGS_MAX });
        }
        Ok(self.sent + 1)
    }

    pub(crate) fn sent(&mut self, nonce: u64) {
        self.sent = nonce;
        self.waiting.push_back((nonce, None));
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
        wakers.extend(self.waiting.drain(..).filter_map(|(_, waker)| waker));
    }

    pub(crate) fn park(&mut self) {
        self.waiting.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_answers_all_pings_before_it_and_none_after() {
        let mut pings = Pings::default();
        for _ in 0..3 {
            let nonce = pings.next().unwrap();
            pings.sent(nonce);
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
            let nonce = pings.next().unwrap();
            pings.sent(nonce);
        }
        assert_eq!(pings.next(), Err(SendError::Barriers { limit: PINGS_MAX }));
        pings.answered(1, &mut Vec::new());
        assert!(pings.next().is_ok());
    }
}
