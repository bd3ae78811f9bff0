//! Both ends of the initiation window (PROTOCOL 8): running totals, never differences.

use moorline_protocol::limits::WINDOW_MAX;
use moorline_protocol::{CloseReason, ErrorCode, Violation};

/// What the peer lets us send: `spent <= total`, always.
#[derive(Debug)]
pub(crate) struct SendCredit {
    total: u64,
    spent: u64,
}

impl SendCredit {
    pub(crate) const fn new(window: u64) -> Self {
        Self { total: window, spent: 0 }
    }

    /// For a protocol that does not count.
    pub(crate) const fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    pub(crate) const fn available(&self) -> u64 {
        self.total - self.spent
    }

    /// Takes `cost` out of the window, if it fits.
    pub(crate) fn spend(&mut self, cost: u64) -> bool {
        let fits = cost <= self.available();
        if fits {
            self.spent += cost;
        }
        fits
    }

    /// The peer's word: one below the last is ignored, one above the largest window is a fault.
    //= docs/PROTOCOL.md#8
    pub(crate) fn raise(&mut self, total: u64) -> Result<(), CloseReason> {
        if total > self.spent.saturating_add(WINDOW_MAX) {
            return Err(Violation::with_code(8, "a window above 2^31", ErrorCode::FLOW).into());
        }
        self.total = self.total.max(total);
        Ok(())
    }
}

/// What we let the peer send: `received <= told`, always.
#[derive(Debug)]
pub(crate) struct ReceiveCredit {
    window: u64,
    told: u64,
    received: u64,
    taken: u64,
}

impl ReceiveCredit {
    pub(crate) const fn new(window: u64) -> Self {
        Self { window, told: window, received: 0, taken: 0 }
    }

    /// For a protocol that does not count: what comes costs nothing.
    pub(crate) const fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// A unit has come. Beyond the credit, the session ends.
    //= docs/PROTOCOL.md#9
    pub(crate) fn receive(&mut self, cost: u64) -> Result<(), CloseReason> {
        self.received = self.received.saturating_add(cost);
        if self.received > self.told {
            return Err(
                Violation::with_code(9, "more sent than credit allows", ErrorCode::FLOW).into()
            );
        }
        Ok(())
    }

    /// A handler has taken it, it was lost on purpose, or it is part of a message still incomplete.
    pub(crate) fn take(&mut self, cost: u64) {
        self.taken = self.taken.saturating_add(cost);
    }

    /// The total to tell now: each time half a window has been taken.
    pub(crate) fn due(&mut self) -> Option<u64> {
        let total = self.taken.saturating_add(self.window);
        if total - self.told >= self.window / 2 {
            self.told = total;
            Some(total)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_moves_by_halves() {
        let mut credit = ReceiveCredit::new(100);
        credit.receive(60).unwrap();
        assert_eq!(credit.due(), None);
        credit.take(49);
        assert_eq!(credit.due(), None);
        credit.take(1);
        assert_eq!(credit.due(), Some(150));
        assert_eq!(credit.due(), None);
        credit.receive(90).unwrap();
        assert!(credit.receive(1).is_err());
    }

    #[test]
    fn a_falling_total_is_ignored_and_an_enormous_one_refused() {
        let mut credit = SendCredit::new(100);
        assert!(credit.spend(100));
        assert!(!credit.spend(1));
        credit.raise(50).unwrap();
        assert_eq!(credit.available(), 0);
        credit.raise(170).unwrap();
        assert_eq!(credit.available(), 70);
        assert!(credit.raise(u64::MAX).is_err());
    }
}
