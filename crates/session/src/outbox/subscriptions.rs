//! What this side is subscribed to at the peer: an inbox for each subscription.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::task::{Poll, Waker};
use std::time::Duration;

use moorline_protocol::{
    Body, CloseReason, EncodeError, Frame, Kind, Lane, Meta, Overflow, Violation,
};

use super::Outbox;
use super::lanes::Flow;
use crate::backlog::{Backlog, Next};
use crate::errors::{SendError, SubscriptionError};
use crate::limits::{SCRATCH_CAPACITY_MIN, SPARE_BODIES_MAX, SPARE_BODY_BYTES_MAX, WAITING_COST};
use crate::requests::{Left, Reply, keep_waker};

#[derive(Default)]
pub(crate) struct Subscriptions {
    entries: BTreeMap<u64, Entry>,
    /// The last number that was given; none is given twice.
    last: u64,
    /// UNSUBSCRIBEs to be said.
    leaving: Vec<Leaving>,
}

/// A subscription that is to end, once its SUBSCRIBE has left: before that the peer has not heard
/// of its number.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    alias: u64,
    lane: Lane,
    left_at: u64,
}

struct Entry {
    inbox: Backlog<Arrived>,
    inbox_bytes: usize,
    overflow: Overflow,
    leaving: Leaving,
    waker: Option<Waker>,
    spare: Vec<Vec<u8>>,
    /// Why nothing more comes.
    over: Option<SubscriptionError>,
}

/// A message that nobody has read yet.
pub(crate) struct Arrived {
    pub(crate) kind: Kind,
    pub(crate) body: Reply,
    pub(crate) retained: bool,
}

/// A SUBSCRIBE of ours.
pub(crate) struct NewSubscription<'a> {
    pub(crate) topic: &'a str,
    pub(crate) retained: bool,
    pub(crate) meta: &'a Meta,
    pub(crate) inbox_bytes: usize,
    pub(crate) timeout: Option<Duration>,
}

/// What was given up: to be dropped outside the lock.
pub(crate) struct Remains {
    _entry: Entry,
}

impl Outbox {
    /// Queues a SUBSCRIBE. Returns the slot that its answer comes to, and its number.
    pub(crate) fn subscribe(&mut self, new: &NewSubscription<'_>) -> Result<(u32, u64), SendError> {
        self.takes_new()?;
        if !self.encoder.abilities().topics {
            return Err(SendError::Unsupported("topics"));
        }
        //= docs/PROTOCOL.md#6
        // All in one lane, whatever is published to them, so that their numbers ascend on the wire.
        let lane = Lane::High;
        let id = self.requests.open(new.timeout, lane)?;
        let alias = self.subscriptions.as_ref().map_or(0, |all| all.last) + 1;
        let start = self.lanes.position(lane, Flow::Requests);
        let frame = Frame::Subscribe {
            id,
            alias,
            topic: Cow::Borrowed(new.topic),
            retained: new.retained,
            meta: new.meta.clone(),
        };
        let chain = self.lanes.chain(lane, Flow::Requests);
        if let Err(error) = self.encoder.encode(&frame, lane, chain) {
            self.requests.withdraw(id);
            return Err(error.into());
        }
        self.lanes.appended(lane, Flow::Requests, start, false);
        self.count_call(lane, Some(id), start);
        let left_at = self.lanes.position(lane, Flow::Requests);
        let entry = Entry {
            inbox: Backlog::new(new.meta.overflow),
            inbox_bytes: new.inbox_bytes,
            overflow: new.meta.overflow,
            leaving: Leaving { alias, lane, left_at },
            waker: None,
            spare: Vec::new(),
            over: None,
        };
        let all = self.subscriptions.get_or_insert_default();
        all.last = alias;
        all.entries.insert(alias, entry);
        Ok((id, alias))
    }

    /// The peer has refused: there is nothing to end.
    #[must_use]
    pub(crate) fn forget_subscription(&mut self, alias: u64) -> Option<Remains> {
        let entry = self.subscriptions.as_mut()?.entries.remove(&alias)?;
        Some(Remains { _entry: entry })
    }

    /// Nobody reads it any more: the peer is told, unless it has been.
    #[must_use]
    pub(crate) fn unsubscribe(&mut self, alias: u64) -> Option<Remains> {
        let speaks = self.speaks();
        let all = self.subscriptions.as_deref_mut()?;
        let entry = all.entries.remove(&alias)?;
        if entry.over.is_none() && speaks {
            all.leaving.push(entry.leaving);
        }
        Some(Remains { _entry: entry })
    }

    /// The next message of a subscription; `spare` is a buffer that is not needed any more.
    pub(crate) fn poll_subscription(
        &mut self,
        alias: u64,
        waker: &mut Option<Waker>,
        spare: Vec<u8>,
    ) -> Poll<Result<Arrived, SubscriptionError>> {
        let entry = self.subscriptions.as_mut().and_then(|all| all.entries.get_mut(&alias));
        entry.expect("a subscription is kept for its reader").poll(waker, spare)
    }

    /// Whether somebody waits for what the peer publishes.
    pub(super) fn is_subscribed(&self) -> bool {
        let waits = |all: &Subscriptions| all.entries.values().any(|entry| entry.over.is_none());
        self.subscriptions.as_deref().is_some_and(waits)
    }

    /// Topics this side is subscribed to.
    pub(crate) fn subscribed_here(&self) -> usize {
        let open = |all: &Subscriptions| all.entries.values().filter(|e| e.over.is_none()).count();
        self.subscriptions.as_deref().map_or(0, open)
    }

    /// How many messages have been left out, here or by the peer.
    pub(crate) fn left_out(&self, alias: u64) -> u64 {
        let entry = self.subscriptions.as_ref().and_then(|all| all.entries.get(&alias));
        entry.map_or(0, |entry| entry.inbox.left_out())
    }

    // ---- what frames do --------------------------------------------------------------------

    /// Something was published. What comes late for a subscription that is over is ignored.
    //= docs/PROTOCOL.md#6
    pub(crate) fn published(
        &mut self,
        alias: u64,
        arrived: (Kind, Body<'_>, bool),
    ) -> Result<Option<Waker>, CloseReason> {
        self.arrives(alias, |entry| entry.put(arrived))
    }

    /// So many were left out by the peer, or could not be taken.
    pub(crate) fn lagged(&mut self, alias: u64, count: u64) -> Result<Option<Waker>, CloseReason> {
        self.arrives(alias, |entry| entry.inbox.miss(count))
    }

    fn arrives(
        &mut self,
        alias: u64,
        put: impl FnOnce(&mut Entry),
    ) -> Result<Option<Waker>, CloseReason> {
        let all = self.subscriptions.as_deref_mut();
        let Some(all) = all.filter(|all| alias != 0 && alias <= all.last) else {
            return Err(Violation::protocol(6, "PUBLISH to an alias never subscribed").into());
        };
        let entry = all.entries.get_mut(&alias).filter(|entry| entry.over.is_none());
        let Some(entry) = entry else { return Ok(None) };
        put(entry);
        if entry.inbox.is_closed() {
            entry.over = Some(SubscriptionError::Overflowed);
            all.leaving.push(entry.leaving);
        }
        Ok(entry.waker.take())
    }

    /// The session has ended: what has arrived can still be read.
    pub(super) fn close_subscriptions(&mut self, reason: &CloseReason, wakers: &mut Vec<Waker>) {
        for all in self.subscriptions.iter_mut() {
            all.leaving = Vec::new();
            for entry in all.entries.values_mut() {
                entry.over.get_or_insert(SubscriptionError::Closed(reason.clone()));
                wakers.extend(entry.waker.take());
            }
        }
    }

    // ---- what the peer hears ---------------------------------------------------------------

    /// Whether an UNSUBSCRIBE can be said now.
    pub(super) fn has_unsubscribes(&self, left: Left) -> bool {
        self.subscriptions
            .as_ref()
            .is_some_and(|all| all.leaving.iter().any(|leaving| leaving.may_be_said(left)))
    }

    pub(super) fn render_unsubscribes(&mut self) -> Result<(), EncodeError> {
        let Self { encoder, control, subscriptions, lanes, .. } = self;
        let Some(all) = subscriptions else { return Ok(()) };
        if all.leaving.is_empty() {
            return Ok(());
        }
        let left = lanes.requests_left();
        let mut result = Ok(());
        all.leaving.retain(|leaving| {
            if result.is_err() || !leaving.may_be_said(left) {
                return true;
            }
            let frame = Frame::Unsubscribe { alias: leaving.alias };
            result = encoder.encode(&frame, Lane::High, control).map(drop);
            result.is_err()
        });
        result
    }

    /// Idle: gives back what can be had again.
    pub(super) fn park_subscriptions(&mut self) {
        for all in self.subscriptions.iter_mut() {
            all.leaving.shrink_to_fit();
            for entry in all.entries.values_mut() {
                entry.spare = Vec::new();
                entry.inbox.park();
            }
        }
    }
}

impl Leaving {
    const fn may_be_said(&self, left: Left) -> bool {
        self.left_at <= left[self.lane as usize]
    }
}

impl Entry {
    fn put(&mut self, (kind, body, retained): (Kind, Body<'_>, bool)) {
        let size = body.len() + WAITING_COST;
        let body = match body {
            Body::Owned(buffer) => Reply::Owned(buffer),
            Body::Borrowed(bytes) => {
                let mut copy = self.spare.pop().unwrap_or_default();
                copy.clear();
                copy.reserve(bytes.len().max(SCRATCH_CAPACITY_MIN));
                copy.extend_from_slice(bytes);
                Reply::Copied(copy)
            }
        };
        let Self { inbox, inbox_bytes, spare, .. } = self;
        inbox.put(Arrived { kind, body, retained }, size, *inbox_bytes, |lost| {
            if let Reply::Copied(buffer) = lost.body {
                keep_spare(spare, buffer);
            }
        });
    }

    fn poll(
        &mut self,
        waker: &mut Option<Waker>,
        spare: Vec<u8>,
    ) -> Poll<Result<Arrived, SubscriptionError>> {
        keep_spare(&mut self.spare, spare);
        match self.inbox.next() {
            Some(Next::Item(arrived)) => return Poll::Ready(Ok(arrived)),
            // Where a loss is the end, the end is what is told of it.
            Some(Next::Missed(count)) if self.overflow != Overflow::Close => {
                return Poll::Ready(Err(SubscriptionError::Lagged(count)));
            }
            _ => {}
        }
        if let Some(over) = &self.over {
            return Poll::Ready(Err(over.clone()));
        }
        keep_waker(&mut self.waker, waker);
        Poll::Pending
    }
}

/// A buffer serves the next message, unless there are enough or it has grown too large.
fn keep_spare(spare: &mut Vec<Vec<u8>>, buffer: Vec<u8>) {
    let useful = (1..=SPARE_BODY_BYTES_MAX).contains(&buffer.capacity());
    if useful && spare.len() < SPARE_BODIES_MAX {
        spare.push(buffer);
    }
}
