//! What peers send that they must not, and what each of it gets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

#[path = "hostile/first_record.rs"]
mod first_record;
#[path = "hostile/fragments.rs"]
mod fragments;
#[path = "hostile/handshake.rs"]
mod handshake;
#[path = "hostile/records.rs"]
mod records;
#[path = "hostile/streams.rs"]
mod streams;
#[path = "hostile/units.rs"]
mod units;
