//! Posts that wait for a connection, encoded, in one piece of memory.

use moorline_protocol::{Lane, MessageIndex};
use moorline_session::{SendError, SessionRef};

use crate::limits::QUEUED_POST_COST;

/// `bytes` holds the bodies of `posts`, one after the other.
#[derive(Default)]
pub(crate) struct Queue {
    posts: Vec<Queued>,
    bytes: Vec<u8>,
    limit: usize,
}

/// What stands in front of a body.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) index: MessageIndex,
    pub(crate) name: &'static str,
    pub(crate) lane: Lane,
}

struct Queued {
    head: Head,
    len: usize,
}

/// Posts that a session did not take.
#[derive(Default)]
pub(crate) struct Refused {
    pub(crate) count: u64,
    pub(crate) last: Option<(&'static str, SendError)>,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Puts a post behind the others, which it does not overtake, whatever its lane.
    pub(crate) fn push(&mut self, head: Head, body: &[u8]) -> Result<(), SendError> {
        let queued = self.cost();
        let after = queued.saturating_add(body.len()).saturating_add(QUEUED_POST_COST);
        if after > self.limit {
            return Err(SendError::DownFull { queued, limit: self.limit });
        }
        self.bytes.extend_from_slice(body);
        self.posts.push(Queued { head, len: body.len() });
        Ok(())
    }

    /// What it counts as: the bodies, and something for each.
    fn cost(&self) -> usize {
        self.bytes.len() + self.posts.len() * QUEUED_POST_COST
    }

    pub(crate) fn len(&self) -> usize {
        self.posts.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Hands everything to a session. Its memory goes back.
    pub(crate) fn drain_into(&mut self, session: &SessionRef) -> Refused {
        let mut refused = Refused::default();
        let mut rest = &*self.bytes;
        for Queued { head: Head { index, name, lane }, len } in self.posts.drain(..) {
            let (body, after) = rest.split_at(len);
            rest = after;
            if let Err(error) = session.send_encoded((index, name), lane, body) {
                refused.count += 1;
                refused.last = Some((name, error));
            }
        }
        *self = Self::new(self.limit);
        refused
    }
}

#[cfg(test)]
mod tests {
    use moorline_protocol::MessageRegistry;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Waits;
    moorline_protocol::register_message!(Waits as "queue.Waits");

    #[test]
    fn it_takes_what_fits_and_says_what_does_not() {
        let index = MessageRegistry::process().unwrap().index_of::<Waits>().unwrap();
        let head = Head { index, name: "queue.Waits", lane: Lane::Normal };
        let limit = 10 * (QUEUED_POST_COST + 10);
        let mut queue = Queue::new(limit);
        for _ in 0..10 {
            queue.push(head, &[0; 10]).unwrap();
        }
        let full = Err(SendError::DownFull { queued: limit, limit });
        assert_eq!(queue.push(head, &[]), full, "an empty body costs as well");
        assert_eq!((queue.len(), queue.bytes()), (10, 100));
        assert!(Queue::default().push(head, &[]).is_err());
    }
}
