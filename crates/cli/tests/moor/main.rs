//! The real binary, as people and scripts use it.

#![forbid(unsafe_code)]
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as tests do")]

mod by_hand;
mod config;
mod demo;
#[cfg(target_os = "linux")]
mod descriptors;
mod first_contact;
mod keys;
mod logs;
mod peer_lists;
mod programs;
mod rotation;
mod schema;
