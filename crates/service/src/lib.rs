//! # What it is
//! Sessions on sockets: a [`Service`] accepts and dials by URL, drives each connection with one
//! task, hands messages to handlers, and drains in order.
//!
//! # What it must never know
//! How frames are laid out, keys and how they are used, message types (handlers are type-erased, by
//! local index), or any protocol by name: those come from the registry.
//!
//! # Where to start
//! [`Service::builder`], then [`Service::accept`] and [`Service::connect`]. The path of a byte
//! stands at the top of `driver.rs`.

#![forbid(unsafe_code)]

mod acceptor;
mod address;
mod builder;
mod connection;
mod connector;
mod context;
mod dispatch;
mod doorway;
mod driver;
mod error;
mod handler;
mod handlers;
mod intake;
mod keys;
pub mod limits;
mod opening;
mod refusals;
mod service;
mod spare;
mod tasks;
mod timer;
pub mod transport;
mod writer;

pub use acceptor::Acceptor;
pub use address::{Address, AddressError};
pub use builder::ServiceBuilder;
pub use context::Context;
pub use error::{Error, KeyFileError, Result};
pub use handlers::Unhandled;
pub use keys::{Identity, Peers};
pub use service::Service;
