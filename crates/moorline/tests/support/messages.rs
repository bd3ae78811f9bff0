//! The messages of the tests.

use std::fmt;

use moorline::{MessageRegistry, register_message};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) number: u64,
    pub(crate) text: String,
}
register_message!(Note as "e2e.Note", id = 101);

/// A post that borrows from the receive buffer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chat<'a> {
    pub(crate) from: &'a str,
    pub(crate) text: &'a str,
}
register_message!(Chat<'_> as "e2e.Chat", id = 102);

/// A request with a typed error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) number: u64,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) number: u64,
}
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reject {
    pub(crate) why: String,
}
register_message!(Ask as "e2e.Ask", id = 103 => Told, Reject);

/// A request whose handlers take their time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Late {
    pub(crate) number: u64,
}
register_message!(Late as "e2e.Late", id = 104 => Told);

/// A message most tests have no handler for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Score {
    pub(crate) points: u64,
}
register_message!(Score as "e2e.Score", id = 105 => Told);

/// A message that a reader follows as deep as its peer says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Nest {
    pub(crate) inner: Vec<Nest>,
}
register_message!(Nest as "e2e.Nest", id = 106 => Told);

/// Bytes there and back, as a post and as a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blob {
    pub(crate) data: Bytes,
}
register_message!(Blob as "e2e.Blob", id = 107 => Blob);

/// Bytes on demand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fetch {}
register_message!(Fetch as "e2e.Fetch", id = 108 => Blob);

/// Bytes that are read and written in one piece: byte by byte, ten mebibytes take a debug build
/// seconds.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bin;
        impl Visitor<'_> for Bin {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bin)
    }
}

pub(crate) fn note(number: u64) -> Note {
    Note { number, text: format!("note {number}") }
}

/// Bytes of which no two neighbouring kilobytes are alike.
pub(crate) fn blob(len: usize) -> Blob {
    let byte = |at: usize| u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 0xff).unwrap();
    Blob { data: Bytes((0..len).map(byte).collect()) }
}

/// A registry of some types, so that two services of one process know different ones.
pub(crate) fn registry_of(types: &[&'static moorline_protocol::Registration]) -> MessageRegistry {
    let registry = MessageRegistry::empty();
    for registration in types {
        registry.add(registration).unwrap();
    }
    registry
}
