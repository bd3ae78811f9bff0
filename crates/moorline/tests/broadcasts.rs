//! One post to many sessions, in one order.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "broadcasts/sequenced.rs"]
mod sequenced;
mod support;
