//! Messages in the order they were sent, as long as somebody has not got them.

use std::collections::VecDeque;
use std::sync::Arc;

use moorline_protocol::{Format, Lane, Message, MessageIndex, MessageRegistry, RegistryError};

use crate::errors::SendError;
use crate::session_ref::SessionRef;

/// One encoding for each format that a member has.
pub(super) type Bodies = Vec<(Format, Arc<[u8]>)>;

/// A message with its type erased.
pub(super) struct Encoded {
    index_of: fn(&MessageRegistry) -> Result<MessageIndex, RegistryError>,
    name: &'static str,
    bodies: Bodies,
}

impl Encoded {
    pub(super) fn of<M: Message>(bodies: &Bodies) -> Arc<Self> {
        let (index_of, name) = (MessageRegistry::index_of::<M>, M::registration().name());
        Arc::new(Self { index_of, name, bodies: bodies.clone() })
    }

    pub(super) fn is_in(&self, format: Format) -> bool {
        self.body(format).is_some()
    }

    fn body(&self, format: Format) -> Option<&[u8]> {
        self.bodies.iter().find(|(known, _)| *known == format).map(|(_, body)| &**body)
    }

    fn len(&self) -> u64 {
        self.bodies.iter().map(|(_, body)| body.len() as u64).sum()
    }

    /// As `send` does.
    pub(super) fn post(&self, session: &SessionRef) -> Result<(), SendError> {
        let shared = &*session.shared;
        let index = (self.index_of)(&shared.registry)?;
        let body = self.body(shared.encoder.format()).expect("it is in the format of each member");
        let (size, limit) = (body.len() as u64, shared.limits.message_max);
        if size > limit {
            return Err(SendError::TooLarge { size, limit });
        }
        shared.post(index, self.name, Lane::Normal, body)
    }
}

/// Numbers `first` up to `end`, this not included; the first of them is still needed.
#[derive(Default)]
pub(super) struct Row {
    messages: VecDeque<Waiting>,
    first: u64,
    /// Bytes of all messages there ever were.
    bytes: u64,
}

struct Waiting {
    message: Arc<Encoded>,
    /// Members that have not got it.
    left: usize,
    /// Bytes of all messages before it.
    before: u64,
}

impl Row {
    pub(super) fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Puts a message at the end, for so many; its number.
    pub(super) fn push(&mut self, message: Arc<Encoded>, members: usize) -> u64 {
        let (number, before) = (self.end(), self.bytes);
        self.bytes += message.len();
        self.messages.push_back(Waiting { message, left: members, before });
        self.trim();
        number
    }

    pub(super) fn message(&self, number: u64) -> Option<Arc<Encoded>> {
        self.messages.get(self.place(number)?).map(|waiting| Arc::clone(&waiting.message))
    }

    /// Messages and bytes from this one on.
    pub(super) fn behind(&self, next: u64) -> (u64, u64) {
        let before = self.place(next).and_then(|place| self.messages.get(place));
        (self.end() - next, self.bytes - before.map_or(self.bytes, |waiting| waiting.before))
    }

    /// A member has got those from `from` to `to`, this not included, or does not want them any more.
    pub(super) fn passed(&mut self, from: u64, to: u64) {
        for number in from..to {
            let place = self.place(number).expect("what somebody has not got is there");
            self.messages[place].left -= 1;
        }
        self.trim();
    }

    fn place(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    fn trim(&mut self) {
        while self.messages.front().is_some_and(|waiting| waiting.left == 0) {
            self.messages.pop_front();
            self.first += 1;
        }
        if self.messages.is_empty() {
            // A row that was long once does not stay so.
            self.messages.shrink_to(16);
        }
    }
}
