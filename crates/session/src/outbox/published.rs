//! What this side publishes to the peer: a queue for each of its subscriptions, from which messages
//! go to their lane only while little else waits there. So what has to be left out is left out of
//! the queue, and never of what is sealed or about to be.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use moorline_protocol::{Body, EncodeError, Frame, Kind, Lane, Overflow};

use super::Outbox;
use super::lanes::Flow;
use crate::backlog::{Backlog, Next};
use crate::board::{Audience, Publication};
use crate::limits::{
    PUBLISH_AHEAD_BYTES, SUBSCRIPTION_QUEUE_BYTES, SUBSCRIPTIONS_QUEUE_BYTES, WAITING_COST,
};

/// The subscriptions of a peer.
#[derive(Default)]
pub(crate) struct Published {
    outlets: BTreeMap<u64, Outlet>,
    /// By lane: those that have something to say, in turns.
    rounds: [VecDeque<u64>; 3],
    /// What waits in all queues.
    queued: usize,
    /// There was no memory: the next message, or the next block that leaves, tries again.
    starved: bool,
}

/// One subscription of the peer's.
struct Outlet {
    backlog: Backlog<Delivered>,
    lane: Lane,
    in_round: bool,
    audience: Arc<Audience>,
}

/// One message on its way to one subscription.
struct Delivered {
    publication: Arc<Publication>,
    retained: bool,
}

/// What a peer wants of a topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) alias: u64,
    pub(crate) lane: Lane,
    pub(crate) overflow: Overflow,
}

/// What became of a message for one subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It waits for its turn.
    Taken,
    /// Something was left out, which the subscriber will hear of.
    LeftOut,
    /// The subscription is over, or its session takes nothing new.
    Gone,
}

impl Outbox {
    /// How many topics the peer is subscribed to.
    pub(crate) fn subscribed_by_peer(&self) -> usize {
        self.published.as_ref().map_or(0, |published| published.outlets.len())
    }

    /// The peer has subscribed.
    pub(crate) fn open_outlet(&mut self, wanted: Wanted, audience: Arc<Audience>) {
        let Wanted { alias, lane, overflow } = wanted;
        let outlet = Outlet { backlog: Backlog::new(overflow), lane, in_round: false, audience };
        self.published.get_or_insert_default().outlets.insert(alias, outlet);
    }

    /// The peer wants nothing more under this number. Returns what it was subscribed to, which is
    /// to be told outside this lock.
    #[must_use]
    pub(crate) fn close_outlet(&mut self, alias: u64) -> Option<Arc<Audience>> {
        let published = self.published.as_deref_mut()?;
        let outlet = published.outlets.remove(&alias)?;
        published.queued -= outlet.backlog.size();
        if outlet.in_round {
            published.rounds[outlet.lane as usize].retain(|&other| other != alias);
        }
        Some(outlet.audience)
    }

    /// The session ends: what the peer was subscribed to, by its numbers.
    pub(crate) fn take_outlets(&mut self) -> Vec<(u64, Arc<Audience>)> {
        let outlets = self.published.take().map(|published| published.outlets);
        let outlets = outlets.into_iter().flatten();
        outlets.map(|(alias, outlet)| (alias, outlet.audience)).collect()
    }

    /// Queues a message for one subscription.
    pub(crate) fn publish(
        &mut self,
        alias: u64,
        publication: &Arc<Publication>,
        (retained, fits): (bool, bool),
    ) -> Offered {
        if self.takes_new().is_err() {
            return Offered::Gone;
        }
        let Some(published) = self.published.as_deref_mut() else { return Offered::Gone };
        published.put(alias, Delivered { publication: Arc::clone(publication), retained }, fits)
    }

    /// Bytes of what is published that wait for their turn.
    pub(super) fn published_len(&self) -> usize {
        self.published.as_ref().map_or(0, |published| published.queued)
    }

    /// Whether something that is published can go to its lane now.
    pub(super) fn can_pull_published(&self) -> bool {
        self.published.as_ref().is_some_and(|published| {
            let may = |lane: &Lane| {
                published.waits(*lane) && self.lanes.posts_len(*lane) < PUBLISH_AHEAD_BYTES
            };
            !published.starved && Lane::ALL.iter().any(may)
        })
    }

    /// A block has left, and with it went memory.
    pub(super) fn published_may_go_on(&mut self) {
        if let Some(published) = &mut self.published {
            published.starved = false;
        }
    }

    /// Moves what is published to its lanes, while fewer bytes than that wait there.
    pub(super) fn pull_published(&mut self, ahead: usize) {
        let Some(mut published) = self.published.take_if(|published| !published.starved) else {
            return;
        };
        for lane in Lane::ALL {
            while published.waits(lane) && self.lanes.posts_len(lane) < ahead {
                if self.pull_next(&mut published, lane).is_err() {
                    published.starved = true;
                    break;
                }
            }
        }
        self.published = Some(published);
    }

    fn pull_next(&mut self, published: &mut Published, lane: Lane) -> Result<(), EncodeError> {
        let Some((alias, next)) = published.next(lane) else { return Ok(()) };
        match next {
            Next::Item(Delivered { publication, retained }) => {
                let kind = Kind::Known(publication.index);
                let body = Body::Borrowed(&publication.body);
                let frame = Frame::Publish { alias, kind, body, retained };
                let is_long = publication.body.len() > self.unit_body_max;
                let appended = self
                    .tell(publication.index)
                    .and_then(|()| self.append_published(&frame, lane, is_long));
                match appended {
                    Ok(()) => self.sent.publications += 1,
                    Err(_) => published.lost(alias),
                }
                appended
            }
            Next::Missed(count) => {
                let appended = self.append_published(&Frame::Lagged { alias, count }, lane, false);
                if appended.is_err() {
                    published.put_back_missed(alias, count);
                }
                appended
            }
        }
    }

    fn append_published(
        &mut self,
        frame: &Frame<'_>,
        lane: Lane,
        is_long: bool,
    ) -> Result<(), EncodeError> {
        let start = self.lanes.position(lane, Flow::Posts);
        self.encoder.encode(frame, lane, self.lanes.chain(lane, Flow::Posts))?;
        self.lanes.appended(lane, Flow::Posts, start, is_long);
        Ok(())
    }

    /// Drops what waits; the subscriptions stay.
    pub(super) fn clear_published(&mut self) {
        if let Some(published) = &mut self.published {
            published.rounds.iter_mut().for_each(VecDeque::clear);
            published.queued = 0;
            for outlet in published.outlets.values_mut() {
                outlet.backlog = Backlog::new(Overflow::DropOldest);
                outlet.in_round = false;
            }
        }
    }

    /// Idle: gives back what can be had again.
    pub(super) fn park_published(&mut self) {
        self.published.take_if(|published| published.outlets.is_empty());
        for published in self.published.iter_mut() {
            published.outlets.values_mut().for_each(|outlet| outlet.backlog.park());
        }
    }
}

impl Published {
    fn put(&mut self, alias: u64, delivered: Delivered, fits: bool) -> Offered {
        let Self { outlets, rounds, queued, starved } = self;
        let Some(outlet) = outlets.get_mut(&alias) else { return Offered::Gone };
        let (size_before, left_out_before) = (outlet.backlog.size(), outlet.backlog.left_out());
        let size = delivered.publication.body.len() + WAITING_COST;
        let others = *queued - size_before;
        let rest = SUBSCRIPTIONS_QUEUE_BYTES.saturating_sub(others);
        // One message alone may always wait for a peer, but not one for each of its subscriptions.
        if fits && (size <= rest || others == 0) {
            outlet.backlog.put(delivered, size, rest.min(SUBSCRIPTION_QUEUE_BYTES), drop);
        } else {
            outlet.backlog.miss(1);
        }
        *queued = *queued - size_before + outlet.backlog.size();
        *starved = false;
        if !outlet.in_round && !outlet.backlog.is_empty() {
            outlet.in_round = true;
            rounds[outlet.lane as usize].push_back(alias);
        }
        let left_out = outlet.backlog.left_out() > left_out_before;
        if left_out { Offered::LeftOut } else { Offered::Taken }
    }

    fn waits(&self, lane: Lane) -> bool {
        !self.rounds[lane as usize].is_empty()
    }

    /// What the subscription whose turn it is has to say; it goes to the end of the round.
    fn next(&mut self, lane: Lane) -> Option<(u64, Next<Delivered>)> {
        let round = &mut self.rounds[lane as usize];
        let alias = round.pop_front()?;
        let outlet = self.outlets.get_mut(&alias)?;
        let size_before = outlet.backlog.size();
        let next = outlet.backlog.next();
        self.queued -= size_before - outlet.backlog.size();
        outlet.in_round = !outlet.backlog.is_empty();
        if outlet.in_round {
            round.push_back(alias);
        }
        Some((alias, next?))
    }

    fn lost(&mut self, alias: u64) {
        self.again(alias, Backlog::lost);
    }

    fn put_back_missed(&mut self, alias: u64, count: u64) {
        self.again(alias, |backlog| backlog.put_back_missed(count));
    }

    /// It has something to say again, and did not get to it: it is next.
    fn again(&mut self, alias: u64, change: impl FnOnce(&mut Backlog<Delivered>)) {
        let Some(outlet) = self.outlets.get_mut(&alias) else { return };
        change(&mut outlet.backlog);
        if !std::mem::replace(&mut outlet.in_round, true) {
            self.rounds[outlet.lane as usize].push_front(alias);
        }
    }
}
