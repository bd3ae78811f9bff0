//! What the end-to-end tests share: messages, services on every wire, and a clock that runs out.

#![allow(dead_code, unused_imports, reason = "each test file uses its part of it")]

mod hear;
mod messages;
mod raw_peer;
mod wire;

pub(crate) use hear::{Gate, Heard, hear};
pub(crate) use messages::{
    Ask, Blob, Chat, Fetch, Late, Nest, Note, Reject, Score, Told, blob, note, registry_of,
};
pub(crate) use raw_peer::{RawPeer, Said, local};
pub(crate) use wire::{Pair, Wire, run, run_on_one_thread, within};
