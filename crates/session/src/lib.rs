//! # What it is
//! Which sessions exist, and how to speak to one safely from any thread: unique ids, cheap
//! handles, an outbox that never blocks and never drops in silence, requests in flight, credit, and
//! who wants to hear of an end.
//!
//! # What it must never know
//! Which protocol or transport carries a session, tokio, sockets, keys, the time: it is driven by
//! whoever owns a [`Core`], and time is an argument.
//!
//! # Where to start
//! [`SessionRef`] is what an application holds, [`Core`] what a driver owns, [`Hub`] what all
//! sessions of a process share.

#![forbid(unsafe_code)]

mod call;
mod calm;
mod close;
mod core;
mod credit;
mod errors;
mod hub;
mod id;
mod incoming;
pub mod limits;
mod outbox;
mod requests;
mod room;
mod scratch;
mod session_ref;
mod table;
mod topic;

pub use self::core::{Core, Counters, Delivery, EndPhase, SessionWriter};
pub use call::{Call, CallFuture};
pub use close::{CloseSubscription, SessionEnd};
pub use errors::{CallError, Executed, Failure, SendError};
pub use hub::Hub;
pub use id::SessionId;
pub use incoming::{Answer, Deferred, Responder, Ticket};
pub use outbox::Signals;
pub use scratch::with_scratch;
pub use session_ref::{Direction, Flusher, SessionParts, SessionRef, SessionStatus};
pub use table::{SessionTable, TableFull};
pub use topic::{
    AcceptFailed, ConnectFailed, Kind as EventKind, NewSession, PostDropped, SessionClosed,
    Subscription, SystemEvent, SystemMessage, Topic, group, topic,
};
