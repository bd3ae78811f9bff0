//! One post to many sessions: in one order, encoded once, and to as many as there may be.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "broadcasts/many.rs"]
mod many;
#[path = "broadcasts/sequenced.rs"]
mod sequenced;
mod support;
