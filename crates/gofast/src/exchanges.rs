//! Which exchanges are live, by the numbers of both worlds: gofast's opaques, recycled and with
//! holes, and a session's small slots for requests and growing numbers for streams.
//!
//! One for each connection, behind a short lock, because the driver, senders on any thread and the
//! writer all look at it: see decision 0013.

mod asked;
mod requests;
mod streams;

pub(crate) use self::asked::Asked;
pub(crate) use self::requests::{NoSlot, Owed, Owing, Requests};
pub(crate) use self::streams::{At, Begun, EndSaid, Ends, Last, Streams};

/// All of a connection.
#[derive(Debug)]
pub(crate) struct Exchanges {
    pub(crate) requests: Requests,
    pub(crate) streams: Streams,
    pub(crate) owed: Owing,
    pub(crate) asked: Asked,
}

impl Exchanges {
    /// Idle: gives back what can be had again.
    pub(crate) fn park(&mut self) {
        self.streams.park();
        self.owed.park();
        self.asked.park();
    }
}
