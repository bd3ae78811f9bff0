//! Clients that outlive their connections, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

#[path = "client/callbacks.rs"]
mod callbacks;
#[path = "client/calls.rs"]
mod calls;
#[path = "client/endings.rs"]
mod endings;
#[path = "client/lives.rs"]
mod lives;
#[path = "client/posts.rs"]
mod posts;
#[path = "client/server.rs"]
mod server;
#[path = "client/topics.rs"]
mod topics;
