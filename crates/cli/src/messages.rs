//! The messages of the demonstration: plain structs, registered by name.

use std::fmt;

use moorline::register_message;
use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::tally::Totals;

/// Says who comes. A request.
#[derive(Serialize, Deserialize)]
pub(crate) struct Login {
    /// Any name that is not empty.
    pub(crate) name: String,
}

/// The answer to [`Login`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Welcome {
    /// A few kind words.
    pub(crate) greeting: String,
    /// What the server's peer list calls the caller.
    pub(crate) listed_as: String,
}

/// Why a [`Login`] is turned down.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LoginRefused {
    /// For people.
    pub(crate) reason: String,
}

impl fmt::Display for LoginRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Asks for the SHA-256 of some bytes. A request.
#[derive(Serialize, Deserialize)]
pub(crate) struct Digest {
    /// At most as many as fit into a message.
    pub(crate) data: Bytes,
}

/// The answer to [`Digest`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Digested {
    /// 64 hexadecimal digits, as `sha256sum` prints them.
    pub(crate) sha256: String,
    /// How many bytes there were.
    pub(crate) size: u64,
}

/// Asks to be answered with itself. A request.
#[derive(Serialize, Deserialize)]
pub(crate) struct Echo {
    /// Any number.
    pub(crate) id: u64,
    /// Any text.
    pub(crate) name: String,
    /// Any bytes.
    pub(crate) data: Bytes,
}

/// Something to be known and not answered. A post.
#[derive(Serialize, Deserialize)]
pub(crate) struct Note {
    /// Any text.
    pub(crate) text: String,
}

/// Asks the server to compare what both sides have counted in this session. Before it answers it
/// asks back, by [`Confirm`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Finish {}

/// What one side has to say of the other's count: the answer to [`Finish`] and to [`Confirm`].
#[derive(Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// What is different, for people; empty if nothing is.
    pub(crate) difference: String,
}

/// The server's request to the client: are these your totals as well?
#[derive(Serialize, Deserialize)]
pub(crate) struct Confirm {
    /// What the server has counted.
    pub(crate) totals: Totals,
}

register_message!(Login as "demo.Login" => Welcome, LoginRefused);
register_message!(Digest as "demo.Digest" => Digested);
register_message!(Echo as "demo.Echo" => Echo);
register_message!(Note as "demo.Note");
register_message!(Finish as "demo.Finish" => Verdict);
register_message!(Confirm as "demo.Confirm" => Verdict);

/// What `moor serve --help` and `moor call --help` say of the messages.
pub(crate) const HELP: &str = r#"Messages:
  demo.Login   request  {"name": "ada"}
                        -> {"greeting": "...", "listed_as": "..."}; an empty name is refused
  demo.Digest  request  {"data": BYTES}
                        -> {"sha256": 64 hex digits, "size": number of bytes}
  demo.Echo    request  {"id": 7, "name": "text", "data": BYTES}
                        -> the same again
  demo.Note    post     {"text": "..."}
                        -> null, once the other side has dispatched it
  In JSON, BYTES are an array of numbers or a base64 string; answers have a base64 string.
  A message has 16 MiB at most.

In the demonstration also, not for `moor call`:
  demo.Finish  request  the client is done; the server then asks it by
  demo.Confirm request  whether both have counted the same"#;
