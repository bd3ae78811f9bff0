//! Bytes as a field of a message: binary on the wire, base64 in JSON.

use std::fmt;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Bytes that JSON has as a base64 string. Read from JSON they may also be an array of numbers, and
/// base64 of either alphabet, with or without padding.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&BASE64.encode_display(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Json)
        } else {
            deserializer.deserialize_byte_buf(Wire)
        }
    }
}

/// The wire: binary, or what other writers make of a list of bytes.
struct Wire;

impl<'de> Visitor<'de> for Wire {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(Bytes(bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Bytes, A::Error> {
        collect(elements)
    }
}

/// JSON: a string, or an array of numbers.
struct Json;

impl<'de> Visitor<'de> for Json {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numbers from 0 to 255, or a base64 string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
        [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD]
            .iter()
            .find_map(|alphabet| alphabet.decode(text.as_bytes()).ok())
            .map(Bytes)
            .ok_or_else(|| E::custom("the string is no base64; bytes may also be an array"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Bytes, A::Error> {
        collect(elements)
    }
}

/// What a list says of its length is not believed before its elements are there.
fn collect<'de, A: SeqAccess<'de>>(mut elements: A) -> Result<Bytes, A::Error> {
    let mut bytes = Vec::new();
    while let Some(byte) = elements.next_element()? {
        bytes.push(byte);
    }
    Ok(Bytes(bytes))
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<u8>, String> {
        let read: Result<Bytes, _> = serde_json::from_str(json);
        read.map(|bytes| bytes.0).map_err(|error| error.to_string())
    }

    #[test]
    fn json_takes_an_array_and_base64_of_any_kind() {
        for json in ["[251,255,1,0]", "\"+/8BAA==\"", "\"+/8BAA\"", "\"-_8BAA==\"", "\"-_8BAA\""] {
            assert_eq!(read(json), Ok(vec![251, 255, 1, 0]), "{json}");
        }
        assert_eq!(read("\"\""), Ok(vec![]));
        assert_eq!(read("[]"), Ok(vec![]));
    }

    #[test]
    fn json_that_is_no_bytes_says_why() {
        assert!(read("[256]").unwrap_err().contains("256"));
        assert!(read("\"a b\"").unwrap_err().contains("no base64"));
        assert!(read("7").unwrap_err().contains("an array of numbers"));
    }

    #[test]
    fn json_gets_base64() {
        let json = serde_json::to_string(&Bytes(vec![251, 255, 1, 0])).unwrap();
        assert_eq!(json, "\"+/8BAA==\"");
    }
}
