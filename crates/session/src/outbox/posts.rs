//! Which posts a lost connection leaves in doubt: counted only where somebody goes on without it.

use std::collections::VecDeque;

use moorline_protocol::Lane;

use super::Outbox;
use super::lanes::{Flow, Lanes};

/// `known <= left`, always.
#[derive(Default)]
pub(crate) struct Posts {
    /// Where those that have not left end, by lane.
    ends: [VecDeque<u64>; 3],
    left: u64,
    /// So many of those that have left were dispatched.
    known: u64,
    /// Pings on their way, and how many posts had left before each.
    asked: VecDeque<(u64, u64)>,
}

impl Posts {
    /// A post stands in its lane up to here.
    fn appended(&mut self, lane: Lane, end: u64) {
        self.ends[lane as usize].push_back(end);
    }

    /// Blocks have left.
    fn look_at(&mut self, lanes: &Lanes) {
        for (ends, lane) in self.ends.iter_mut().zip(Lane::ALL) {
            while ends.front().is_some_and(|&end| lanes.has_left(lane, Flow::Posts, end)) {
                ends.pop_front();
                self.left += 1;
            }
        }
    }

    /// A ping leaves behind all that have left.
    fn asked(&mut self, nonce: u64) {
        self.asked.push_back((nonce, self.left));
    }

    //= docs/PROTOCOL.md#8
    fn answered(&mut self, nonce: u64) {
        while let Some((_, left)) = self.asked.pop_front_if(|(asked, _)| *asked <= nonce) {
            self.known = left;
        }
    }

    /// Those that have not left, and those that have and of which nothing is known.
    fn in_doubt(&self) -> (u64, u64) {
        let unsent = self.ends.iter().map(|ends| ends.len() as u64).sum();
        (unsent, self.left - self.known)
    }

    fn park(&mut self) {
        self.ends.iter_mut().for_each(VecDeque::shrink_to_fit);
        self.asked.shrink_to_fit();
    }
}

impl Outbox {
    /// Counts them from now on.
    pub(crate) fn count_posts(&mut self) {
        self.posts.get_or_insert_default();
    }

    /// Posts that have not left, and posts that may have arrived or not; 0 unless they are counted.
    pub(crate) fn posts_in_doubt(&self) -> (u64, u64) {
        self.posts.as_ref().map_or((0, 0), |posts| posts.in_doubt())
    }

    pub(super) fn post_appended(&mut self, lane: Lane) {
        if let Some(posts) = &mut self.posts {
            posts.appended(lane, self.lanes.position(lane, Flow::Posts));
        }
    }

    pub(super) fn posts_may_have_left(&mut self) {
        if let Some(posts) = &mut self.posts {
            posts.look_at(&self.lanes);
        }
    }

    pub(super) fn pings_left(&mut self, nonces: std::ops::Range<u64>) {
        if let Some(posts) = &mut self.posts {
            nonces.for_each(|nonce| posts.asked(nonce));
        }
    }

    pub(super) fn ping_answered(&mut self, nonce: u64) {
        if let Some(posts) = &mut self.posts {
            posts.answered(nonce);
        }
    }

    pub(super) fn park_posts(&mut self) {
        if let Some(posts) = &mut self.posts {
            posts.park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_clears_up_what_left_before_its_ping_and_nothing_else() {
        let mut posts = Posts { left: 3, ..Posts::default() };
        posts.appended(Lane::Normal, 100);
        posts.asked(1);
        posts.left += 2;
        posts.asked(2);
        posts.left += 1;
        assert_eq!(posts.in_doubt(), (1, 6));
        posts.answered(1);
        assert_eq!(posts.in_doubt(), (1, 3));
        posts.answered(1);
        posts.answered(2);
        assert_eq!(posts.in_doubt(), (1, 1));
    }
}
