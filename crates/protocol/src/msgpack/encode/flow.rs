//! Which numbers messages in pieces go under.

use crate::seam::Lane;

/// Messages that go out one after the other in each lane, so that one number for those in pieces is
/// enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Posts, and what is published.
    Posts,
    Requests,
    /// What all streams of the lane carry.
    Data,
    Answers,
}

impl Flow {
    //= docs/PROTOCOL.md#8
    /// The number of the message that is in pieces. A receiver takes any of the right group.
    pub(super) fn fragment_id(self, lane: Lane) -> u8 {
        match (self, lane) {
            (Flow::Posts, Lane::High) => 0,
            (Flow::Requests, Lane::High) => 1,
            (Flow::Posts, Lane::Normal) => 2,
            (Flow::Requests, Lane::Normal) => 3,
            (Flow::Posts | Flow::Requests, Lane::Bulk) => 4,
            (Flow::Data, Lane::High) => 5,
            (Flow::Data, Lane::Normal) => 6,
            (Flow::Data, Lane::Bulk) => 7,
            (Flow::Answers, Lane::High) => 8,
            (Flow::Answers, Lane::Normal) => 9,
            (Flow::Answers, Lane::Bulk) => 10,
        }
    }

    //= docs/PROTOCOL.md#8
    /// Answers get through at any time.
    pub(super) fn takes_credit(self) -> bool {
        self != Flow::Answers
    }
}
