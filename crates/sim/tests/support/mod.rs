//! Messages of the tests.

#![allow(dead_code, reason = "each test file uses its part of it")]

use moorline_protocol::register_message;
use serde::{Deserialize, Serialize};

/// A post.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note(pub(crate) u64, pub(crate) Vec<u8>);

/// A request that is answered by what it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Echo(pub(crate) u64, pub(crate) Vec<u8>);

/// A request that is answered after so many milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slow(pub(crate) u64, pub(crate) u64);

/// An application's error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sorry(pub(crate) u64);

/// A post that says whose it is, and which: of a session as its sender sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Word {
    pub(crate) from: (u8, u32, String),
    pub(crate) number: u64,
    pub(crate) echoed: bool,
    pub(crate) filler: Vec<u8>,
}

/// Opens a stream of so many pieces up, and of their numbers down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Feed(pub(crate) u64);

/// A piece of a stream, by its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Piece(pub(crate) u64, pub(crate) Vec<u8>);

/// What a process publishes, by its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct News {
    pub(crate) process: (u8, u32),
    pub(crate) number: u64,
    pub(crate) filler: Vec<u8>,
}

/// A broadcast, by its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Round(pub(crate) u64, pub(crate) Vec<u8>);

register_message!(News as "test.News");
register_message!(Round as "test.Round");
register_message!(stream Feed as "test.Feed": Piece => u64);
register_message!(Word as "test.Word");
register_message!(Note as "test.Note");
register_message!(Echo as "test.Echo" => Echo, Sorry);
register_message!(Slow as "test.Slow" => Echo, Sorry);

impl std::fmt::Display for Sorry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sorry, {}", self.0)
    }
}
