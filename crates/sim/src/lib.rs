//! A test kit: two endpoints, the network between them, and time, all in one thread and all from
//! one seed.
//!
//! ```text
//!        a's handlers, tasks                                b's handlers, tasks
//!               |                                                  |
//!        Core + protocol --- bytes in pieces, late, cut off --- Core + protocol
//!                \_______________ one virtual clock _______________/
//! ```
//!
//! # What it is
//!
//! The layers below the service as they are, driven by a [`Pair`] instead of by sockets: one thing
//! happens at a time, which of them the dice say, and time passes only when nothing else can
//! happen. Applications test with it that their handlers cope when links are cut, networks part
//! and processes crash; the project tests itself with it, by random operations over thousands of
//! seeds.
//!
//! # What it must never know
//!
//! Real sockets, real time, a runtime, threads. It is a dev-dependency, never a normal one: nothing
//! that is shipped may stand on loaded dice.
//!
//! # Where to start
//!
//! [`Pair::seeded`] makes two sides, [`Endpoint`] is where handlers are registered, [`Pair::connect`]
//! gives a session as the service does, [`Pair::run_until`] waits for a future. What goes wrong is
//! done by [`Pair::cut`], [`Pair::partition`], [`Pair::stall`], [`Pair::crash`]; [`Link`] says what
//! the network is like when it is well. [`Pair::finish`] ends a test by looking whether anything was
//! left behind. `samples/sim-test` is an application tested like that.
//!
//! # The loop
//!
//! ```
//! use std::time::Duration;
//!
//! use moorline_protocol::{CloseReason, register_message};
//! use moorline_session::{CallError, Executed};
//! use moorline_sim::{Link, Pair};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Add(u64);
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Total(u64);
//! register_message!(Add => Total);
//!
//! let mut pair = Pair::seeded(7).link(Link::chunks(1..=3).delay_ms(40));
//! let mut total = 0;
//! pair.b().handle_now(move |_cx, add: Add| {
//!     total += add.0;
//!     Ok(Total(total))
//! });
//! let session = pair.connect()?;
//! assert_eq!(pair.run_until(session.request(Add(5))), Ok(Total(5)));
//!
//! // The request arrives, and its answer never does.
//! pair.partition_from(moorline_sim::Side::B);
//! let asked = pair.spawn(moorline_sim::Side::A, async move { session.request(Add(1)).await });
//! pair.run_for(Duration::from_secs(1));
//! pair.cut();
//! pair.settle();
//! let error = asked.take().expect("every call ends").unwrap_err();
//! assert_eq!(error, CallError::Closed { reason: CloseReason::Truncated, sent: true });
//! assert_eq!(error.executed(), Executed::Maybe);
//!
//! pair.heal();
//! let session = pair.connect()?;
//! assert_eq!(pair.run_until(session.request(Add(1))), Ok(Total(7)), "it had run");
//! println!("{}", pair.trace()); // one line for each event
//! let summary = pair.finish(); // nothing is left behind
//! println!("{summary:?}"); // the same for the same seed, bit for bit
//! # Ok::<(), CloseReason>(())
//! ```
//!
//! # Design decisions
//!
//! * **The real layers, not models of them.** Everything from the session down is what is shipped;
//!   only the driver is the kit's own, and it does what the service's does: turns, high-water marks,
//!   farewells, lingering. What is missing is written below.
//! * **Nothing is polled without a reason.** An end takes a turn when bytes, room, time, its work or
//!   its waker ask for it, a task when its waker was called. A lost wake-up shows as a test that
//!   says so, instead of as one that is slow.
//! * **One seed, many dice.** The order of turns, the network, keys and the test's own choices have
//!   dice of their own. The trace has checksums of all bytes, so that equal
//!   [hashes](Pair::trace_hash) mean equal runs; it has no real time, no address and no hash table's
//!   order in it. The suite is fixed, because the default one depends on the processor.
//! * **A link is a byte stream.** What is lost on the way comes later, and what is behind it too;
//!   only a cut loses anything, from some byte on. Datagrams would need another kind of link.
//! * **Rules are checked after each step**: what is queued and sealed stays below its limit, no
//!   request of one number runs twice at once, nothing reaches a handler after its session's end,
//!   and two sides of ours never break the protocol, whatever the network does. A test adds
//!   [its own](Pair::rule).
//! * **A panic in a handler fails the test**: it is an assertion, where the service would answer with
//!   an error. Whatever fails prints the last of the trace and the seed.
//! * **A crash drops, it does not forget.** Nothing is said to the peer, but memory comes back, and
//!   who subscribed to ends at the crashed side hears of them.
//!
//! Not simulated: senders that write by themselves (the service's early flush), several threads,
//! revoked keys, changes of keys by age.

#![forbid(unsafe_code)]

mod clock;
mod connection;
mod context;
mod dice;
mod end;
mod endpoint;
mod handlers;
pub mod limits;
mod link;
mod pair;
mod pipe;
mod script;
mod side;
mod tasks;
mod trace;
mod world;

pub use clock::{Clock, Sleep};
pub use context::Context;
pub use dice::Dice;
pub use endpoint::Endpoint;
pub use link::Link;
pub use pair::{Pair, Summary};
pub use side::Side;
pub use tasks::Task;
pub use world::Dialer;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
