//! How much may be on its way in pieces at once, and who is let in next.

use moorline_protocol::Lane;

/// Messages in pieces share two bounds of the receiver (PROTOCOL 8), one for answers and one for
/// all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Initiations,
    Answers,
}

/// How much is on its way in pieces.
#[derive(Debug)]
pub(crate) struct LongMessages {
    /// What the receiver puts up with at once.
    max: u64,
    pub(super) open: [u64; 2],
    /// Lanes whose message did not fit beside them, since they last began one.
    pub(super) kept_out: [[bool; 3]; 2],
    /// Some has come to its end since somebody looked.
    pub(super) released: bool,
}

impl LongMessages {
    pub(crate) const fn new(max: u64) -> Self {
        Self { max, open: [0; 2], kept_out: [[false; 3]; 2], released: false }
    }

    /// One alone always may: the receiver takes it by itself.
    ///
    /// A lane above one that was kept out leaves half of the room alone, which any message fits
    /// into: or it could fill all of it again and again, and the lower one would wait for ever.
    pub(super) fn may_begin(&mut self, lane: Lane, group: Group, len: u64) -> bool {
        let open = self.open[group as usize];
        let below = &self.kept_out[group as usize][lane as usize + 1..];
        let max = if below.contains(&true) { self.max / 2 } else { self.max };
        let may = open == 0 || open.saturating_add(len) <= max;
        self.kept_out[group as usize][lane as usize] |= !may;
        may
    }

    pub(super) fn begin(&mut self, lane: Lane, group: Group, len: u64) {
        self.open[group as usize] += len;
        // Those above may fill all of the room again.
        self.released |= std::mem::take(&mut self.kept_out[group as usize][lane as usize]);
    }

    pub(super) fn end(&mut self, group: Group, len: u64) {
        self.open[group as usize] -= len;
        self.released = true;
        // Who still waits is looked at again, and one alone always may.
        if self.open[group as usize] == 0 {
            self.kept_out[group as usize] = [false; 3];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two streams above, each with one message behind the other, always fill all of the room.
    #[test]
    fn a_lane_that_always_fills_the_room_lets_a_lower_one_in() {
        let (len, group) = (100, Group::Initiations);
        let mut long = LongMessages::new(2 * len);
        for _ in 0..2 {
            assert!(long.may_begin(Lane::High, group, len));
            long.begin(Lane::High, group, len);
        }
        assert!(!long.may_begin(Lane::Bulk, group, len));
        assert!(long.may_begin(Lane::High, Group::Answers, len), "they have room of their own");
        long.end(group, len);
        assert!(!long.may_begin(Lane::High, group, len), "half of the room is left alone");
        assert!(long.may_begin(Lane::Bulk, group, len));
        long.begin(Lane::Bulk, group, len);
        long.end(group, len);
        assert!(long.may_begin(Lane::High, group, len), "nobody below waits any more");
    }

    #[test]
    fn one_alone_always_may_and_whoever_was_kept_out_is_forgotten() {
        let mut long = LongMessages::new(200);
        assert!(long.may_begin(Lane::High, Group::Answers, 1_000));
        long.begin(Lane::High, Group::Answers, 1_000);
        assert!(!long.may_begin(Lane::Normal, Group::Answers, 1));
        long.end(Group::Answers, 1_000);
        for _ in 0..2 {
            assert!(long.may_begin(Lane::High, Group::Answers, 100));
            long.begin(Lane::High, Group::Answers, 100);
        }
    }
}
