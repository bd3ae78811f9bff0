//! Both ends of a window, that of the session or that of a stream (PROTOCOL 8): running totals, never differences.

use moorline_protocol::limits::{BLOCK_COST_MAX, UNIT_COST, WINDOW_MAX};
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
    /// What has come of long messages that are not whole yet.
    parts: u64,
    /// Bytes of the youngest of them that are still to come.
    missing: u64,
    /// Long messages that are whole and that nobody has taken.
    long_unread: u32,
    /// What had come when the measurement of a round trip began.
    sampled_from: u64,
}

impl ReceiveCredit {
    pub(crate) const fn new(window: u64) -> Self {
        Self {
            window,
            told: window,
            received: 0,
            taken: 0,
            parts: 0,
            missing: 0,
            long_unread: 0,
            sampled_from: 0,
        }
    }

    /// For a protocol that does not count: what comes costs nothing.
    pub(crate) const fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// A unit has come. Beyond the credit, the session ends.
    //= docs/PROTOCOL.md#9
    pub(crate) fn receive(&mut self, cost: u64) -> Result<(), CloseReason> {
        let received = self.received.saturating_add(cost);
        if received > self.told {
            return Err(
                Violation::with_code(9, "more sent than credit allows", ErrorCode::FLOW).into()
            );
        }
        self.received = received;
        Ok(())
    }

    /// A handler has taken it, or it was lost on purpose.
    pub(crate) fn take(&mut self, cost: u64) {
        self.taken = self.taken.saturating_add(cost);
    }

    /// It is part of a message that is not whole yet, of which so many bytes are missing: credited
    /// now, or a message above the window would never be.
    pub(crate) fn part(&mut self, cost: u64, missing: u64) {
        self.parts = self.parts.saturating_add(cost);
        self.missing = missing;
    }

    /// The last part has come. Returns what the whole message costs, which is credited no longer:
    /// it will be when it is taken.
    pub(crate) fn whole(&mut self, last: u64) -> u64 {
        self.missing = 0;
        self.long_unread += 1;
        std::mem::take(&mut self.parts).saturating_add(last)
    }

    /// A long message was taken.
    pub(crate) const fn long_taken(&mut self) {
        self.long_unread = self.long_unread.saturating_sub(1);
    }

    /// Nobody reads any more.
    pub(crate) const fn all_long_taken(&mut self) {
        self.long_unread = 0;
    }

    /// What the peer may still send; `None` where nobody counts.
    pub(crate) const fn left(&self) -> Option<u64> {
        if self.window == u64::MAX { None } else { Some(self.told - self.received) }
    }

    pub(crate) const fn window(&self) -> u64 {
        self.window
    }

    /// A round trip begins.
    pub(crate) const fn begin_sample(&mut self) {
        self.sampled_from = self.received;
    }

    /// It has ended. What came within it is what the way holds: where that is half of the window, the
    /// window may be what holds the peer back, since credit is told by halves, and doubles up to
    /// `window_max`.
    //= docs/PROTOCOL.md#8
    pub(crate) fn end_sample(&mut self, window_max: u64) {
        if self.received - self.sampled_from >= self.window / 2 {
            self.window = self.window.max(self.window.saturating_mul(2).min(window_max));
        }
    }

    fn total(&self) -> u64 {
        self.taken.saturating_add(self.parts).saturating_add(self.window)
    }

    /// The total that a long message needs which has begun: it is in the way of others until it is
    /// whole, so one is brought to its end although another is unread. What is granted ends with the
    /// message, and a third one gets nothing.
    fn total_for_rest(&self) -> u64 {
        if self.missing == 0 || self.long_unread > 1 {
            return 0;
        }
        let around = (self.missing / 1024 + 2).saturating_mul(UNIT_COST + 16);
        let rest = self.missing.saturating_add(around).min(2 * u64::from(BLOCK_COST_MAX));
        self.received.saturating_add(rest)
    }

    /// Whether the peer is to hear of more: each time half a window has been taken, and before a
    /// long message runs out of credit in the middle.
    pub(crate) fn is_due(&self) -> bool {
        let runs_out = self.parts > 0 && self.told - self.received < BLOCK_COST_MAX.into();
        self.total().saturating_sub(self.told) >= self.window / 2
            || runs_out && self.total().max(self.total_for_rest()) > self.told
    }

    /// The total to tell now, if it is due.
    pub(crate) fn due(&mut self) -> Option<u64> {
        if !self.is_due() {
            return None;
        }
        self.told = self.total().max(self.total_for_rest());
        Some(self.told)
    }
}

#[cfg(test)]
mod model;
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

    #[test]
    fn a_message_above_the_window_comes_to_its_end_and_counts_until_it_is_taken() {
        let (window, part) = (256 * 1024, 16 * 1024);
        let mut credit = ReceiveCredit::new(window);
        let mut sent = 0;
        for _ in 0..100 {
            credit.receive(part).unwrap();
            credit.part(part, 1 << 20);
            sent += part;
            credit.due();
            assert!(credit.told >= sent + u64::from(BLOCK_COST_MAX), "{sent}");
        }
        credit.receive(part).unwrap();
        let whole = credit.whole(part);
        assert_eq!(whole, sent + part);
        assert_eq!(credit.due(), None);
        credit.take(whole);
        assert_eq!(credit.total(), whole + window);
    }

    #[test]
    fn a_window_that_a_round_trip_fills_grows_and_others_do_not() {
        let mut credit = ReceiveCredit::new(96_000);
        for (within, expected) in [(10_000, 96_000), (64_000, 192_000), (80_000, 192_000)] {
            credit.begin_sample();
            credit.receive(within).unwrap();
            credit.take(within);
            credit.due();
            credit.end_sample(300_000);
            assert_eq!(credit.window(), expected);
        }
        for _ in 0..5 {
            credit.begin_sample();
            for _ in 0..10 {
                credit.receive(50_000).unwrap();
                credit.take(50_000);
                credit.due();
            }
            credit.end_sample(300_000);
        }
        assert_eq!(credit.window(), 300_000);
    }

    #[test]
    fn a_message_gets_on_however_little_of_the_window_is_free() {
        let window = 64 * 1024;
        let mut credit = ReceiveCredit::new(window);
        credit.receive(window - u64::from(BLOCK_COST_MAX)).unwrap();
        for _ in 0..100 {
            credit.receive(BLOCK_COST_MAX.into()).unwrap();
            credit.part(BLOCK_COST_MAX.into(), 1 << 20);
            credit.due();
            assert!(credit.told - credit.received >= BLOCK_COST_MAX.into());
        }
    }
}
