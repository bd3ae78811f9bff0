//! What has come on a stream and nobody has read yet.

use std::collections::VecDeque;

use moorline_buffers::RecvBuffer;
use moorline_protocol::Body;

use crate::limits::{INBOX_KEEP_MAX, WAITING_COST};

/// Messages in the order they came. Short ones lie behind each other in one ring, so that many of
/// them take little more than their bytes; long ones keep the buffer they were put together in.
#[derive(Default)]
pub(crate) struct Inbox {
    items: VecDeque<Item>,
    bytes: VecDeque<u8>,
    acks_wanted: u32,
    /// Memory of the messages that have buffers of their own.
    long_bytes: u64,
}

struct Item {
    /// Bytes in the ring; the buffer where there is one.
    len: u32,
    buffer: Option<Box<RecvBuffer>>,
    /// What it took of the window.
    cost: u64,
    acknowledge: bool,
}

/// A message that was taken out.
pub(crate) enum Taken {
    /// It was copied to the scratch.
    Copied,
    Whole(Box<RecvBuffer>),
}

impl Inbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) const fn wants_acks(&self) -> bool {
        self.acks_wanted > 0
    }

    /// What it holds beyond what a window bounds: its long messages, and where nothing is counted by
    /// credit, all there is.
    pub(crate) fn held(&self, credit: bool) -> u64 {
        let short = if credit { 0 } else { self.bytes.len() + self.items.len() * WAITING_COST };
        self.long_bytes + short as u64
    }

    /// What a message would add to that.
    pub(crate) fn holds(body: &Body<'_>, credit: bool) -> u64 {
        match body {
            // What it takes, and not what it says: a message of two bytes may come in pieces as well.
            Body::Owned(buffer) => buffer.capacity() as u64,
            Body::Borrowed(bytes) if !credit => (bytes.len() + WAITING_COST) as u64,
            Body::Borrowed(_) => 0,
        }
    }

    pub(crate) fn put(&mut self, body: Body<'_>, cost: u64, acknowledge: bool) {
        let (len, buffer) = match body {
            Body::Borrowed(bytes) => {
                self.bytes.extend(bytes);
                (u32::try_from(bytes.len()).expect("a unit is shorter than 64 KiB"), None)
            }
            Body::Owned(buffer) => (0, Some(Box::new(buffer))),
        };
        self.long_bytes += buffer.as_ref().map_or(0, |buffer| buffer.capacity() as u64);
        self.acks_wanted += u32::from(acknowledge);
        self.items.push_back(Item { len, buffer, cost, acknowledge });
    }

    /// The next message, copied to `scratch` or in its own buffer; what it took of the window, and
    /// whether the peer waits for it to be taken.
    pub(crate) fn take(&mut self, scratch: &mut Vec<u8>) -> Option<(Taken, u64, bool)> {
        let item = self.items.pop_front()?;
        self.acks_wanted -= u32::from(item.acknowledge);
        let taken = match item.buffer {
            Some(buffer) => {
                self.long_bytes -= buffer.capacity() as u64;
                Taken::Whole(buffer)
            }
            None => {
                let len = item.len as usize;
                let (front, back) = self.bytes.as_slices();
                let from_front = len.min(front.len());
                scratch.extend_from_slice(&front[..from_front]);
                scratch.extend_from_slice(&back[..len - from_front]);
                self.bytes.drain(..len);
                Taken::Copied
            }
        };
        Some((taken, item.cost, item.acknowledge))
    }

    /// Drops everything. Returns what it took of the window.
    pub(crate) fn clear(&mut self) -> u64 {
        let cost = self.items.iter().map(|item| item.cost).sum();
        *self = Self::default();
        cost
    }

    /// Idle: gives back what can be had again.
    pub(crate) fn park(&mut self) {
        if self.items.is_empty() && self.bytes.capacity() > INBOX_KEEP_MAX {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let mut inbox = Inbox::default();
        let mut scratch = Vec::new();
        for round in 0..50_u8 {
            for len in [0, 1, 200] {
                inbox.put(Body::Borrowed(&vec![round; len]), 7, len == 1);
            }
            assert!(inbox.wants_acks());
            for len in [0, 1, 200] {
                scratch.clear();
                let (_, cost, acknowledge) = inbox.take(&mut scratch).unwrap();
                assert_eq!((cost, acknowledge), (7, len == 1));
                assert_eq!(scratch, vec![round; len]);
            }
        }
        assert!(inbox.is_empty() && !inbox.wants_acks());
        assert!(inbox.take(&mut scratch).is_none());
    }

    #[test]
    fn what_is_dropped_is_counted() {
        let mut inbox = Inbox::default();
        inbox.put(Body::Borrowed(b"abc"), 35, false);
        inbox.put(Body::Borrowed(b"abc"), 35, true);
        assert_eq!(inbox.clear(), 70);
        assert!(!inbox.wants_acks());
        assert_eq!(inbox.clear(), 0);
    }
}
