//! # What it is
//! Sessions on sockets: a [`Service`] accepts and dials by URL, drives each connection with one
//! task, hands messages to handlers, and drains in order.
//!
//! # What it must never know
//! How frames are laid out, keys and how they are used, message types (handlers are type-erased, by
//! local index), or any protocol by name: those come from the registry.
//!
//! # Where to start
//! [`Service::builder`], then [`Service::accept`] and [`Service::connect`], or
//! [`Service::client`] where the connection is to come back. The path of a byte
//! stands at the top of `driver.rs`.
//!
//! # The loop
//! ```
//! use moorline_protocol::register_message;
//! use moorline_service::{Identity, Peers, Service};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Add(u32, u32);
//! #[derive(Serialize, Deserialize)]
//! struct Sum(u32);
//! register_message!(Add => Sum);
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> moorline_service::Result<()> {
//! let server =
//!     Service::builder().identity(Identity::generate()?).peers(Peers::anyone()).build()?;
//! server.handle_now(|_cx, Add(a, b)| Ok(Sum(a + b)));
//! let at = server.accept("mem://sums", "msgpack").await?;
//!
//! let client = Service::builder().identity(Identity::generate()?).build()?;
//! let session = client.connect(&at.url().to_string(), "msgpack").await?;
//! let Sum(five) = session.request(Add(2, 3)).await?;
//! assert_eq!(five, 5);
//! client.shutdown().await?;
//! server.shutdown().await
//! # }
//! ```
//!
//! # Design decisions
//! * One task drives one connection, both ways: separate tasks for reading and writing are no
//!   faster and cost memory for each idle session.
//! * A turn reads once, hands out every frame of that read, and writes everything that is ready
//!   with one system call. A sender that has filled a batch writes it itself, if nobody else is at
//!   it (`writer.rs`): otherwise both sides of a busy connection take turns.
//! * Handlers are called inline with the body still in the receive buffer. An async handler is
//!   polled once in a box that goes round; only if it waits does it become a task.
//! * Handlers of one session alone are laid over a copy of the service's: whoever has none pays one
//!   comparison a frame, and dispatch is the same for all.
//! * A session has one timer however many alarms: they stand in a sorted list, and a driver sleeps until
//!   the first.
//! * Reading never waits for writing: what a peer does not read is bounded by limits that refuse
//!   its next request, not by not listening to it.
//! * A session ends with its connection; who wants another has a [`Client`], which stands above its
//!   sessions. What it does next is decided by a machine without clock or socket.
//! * Nothing of an idle session is kept but its state machines: no buffer, no block, no timer.

#![forbid(unsafe_code)]

mod acceptor;
mod address;
mod builder;
mod byte_stream;
mod client;
pub mod config;
mod connection;
mod connector;
mod context;
mod dispatch;
mod doorway;
mod drain;
mod driver;
mod ends;
mod error;
mod handler;
mod handler_times;
mod handlers;
mod housekeeping;
mod intake;
mod introspect;
mod keys;
mod known_peers;
mod lifetime;
pub mod limits;
mod listen;
#[cfg(feature = "metrics")]
mod metrics;
mod opening;
mod owner;
mod peers;
mod provider;
mod refusals;
mod required;
mod revocation;
pub mod schema;
mod seats;
mod service;
mod shards;
mod snapshot;
mod spare;
mod state;
mod stream_handler;
mod tasks;
mod timer;
mod topics;
pub mod transport;
mod writer;

pub use acceptor::Acceptor;
pub use address::{Address, AddressError};
pub use builder::ServiceBuilder;
pub use byte_stream::ByteStream;
pub use client::{
    BackOff, Client, ClientBuilder, ClientCall, ClientCallFuture, ClientState, ClientSubscribe,
    ClientSubscription, WhileDown,
};
pub use context::Context;
pub use drain::{DrainReport, LeftBehind};
pub use error::{Error, KeyFileError, Result};
pub use handlers::{SessionHandlers, Unhandled};
pub use introspect::Introspect;
pub use keys::Identity;
pub use known_peers::{FirstContact, KnownPeers};
pub use listen::Listen;
#[doc(hidden)]
pub use moorline_protocol::inventory;
pub use owner::{Alarm, Owner, OwnerError};
pub use peers::Peers;
#[doc(hidden)]
pub use provider::ProviderOffer;
pub use service::Service;
pub use snapshot::{
    EndedSession, Handled, LimitsSnapshot, ListenerSnapshot, PoolSnapshot, ServiceSnapshot,
    Snapshot, TypeSnapshot,
};
pub use topics::TopicOffer;
