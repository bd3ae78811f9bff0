//! What both sides of a session count, to be compared at its end.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use moorline::{NewSession, Service, SessionClosed, SessionId, topic};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Counts of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Notes, in the order they came.
    pub(crate) notes: u64,
    /// SHA-256 of all notes one after the other, each with a line end: a note that was lost, added,
    /// changed or moved makes another one.
    pub(crate) notes_sha256: String,
    /// Answers to Digest.
    pub(crate) digests: u64,
    /// Bytes in them.
    pub(crate) bytes: u64,
}

impl Totals {
    /// Where `theirs` is not the same, in words; empty if it is.
    pub(crate) fn difference(&self, theirs: &Totals) -> String {
        let mut text = String::new();
        let mut compare = |what: &str, ours: &dyn std::fmt::Display, theirs: String| {
            let ours = ours.to_string();
            if ours != theirs {
                let separator = if text.is_empty() { "" } else { "; " };
                let _ = write!(text, "{separator}{what}: {ours} here, {theirs} there");
            }
        };
        compare("notes", &self.notes, theirs.notes.to_string());
        compare("SHA-256 of the notes", &self.notes_sha256, theirs.notes_sha256.clone());
        compare("digests", &self.digests, theirs.digests.to_string());
        compare("bytes", &self.bytes, theirs.bytes.to_string());
        text
    }
}

#[derive(Default)]
struct Tally {
    notes: u64,
    hash: Sha256,
    digests: u64,
    bytes: u64,
}

/// The tallies of all open sessions of a service.
#[derive(Clone, Default)]
pub(crate) struct Tallies {
    open: Arc<Mutex<HashMap<SessionId, Tally>>>,
}

impl Tallies {
    /// Keeps a tally of each session of `protocol` from now on, for as long as it is open.
    pub(crate) fn follow(&self, service: &Service, protocol: &str) {
        let tallies = self.clone();
        service.subscribe(topic(protocol, NewSession), move |session| {
            tallies.lock().insert(session.id, Tally::default());
        });
        let tallies = self.clone();
        service.subscribe(topic(protocol, SessionClosed), move |session| {
            tallies.lock().remove(&session.id);
        });
    }

    pub(crate) fn note(&self, id: SessionId, text: &str) {
        if let Some(tally) = self.lock().get_mut(&id) {
            tally.notes += 1;
            tally.hash.update(text);
            tally.hash.update("\n");
        }
    }

    pub(crate) fn digest(&self, id: SessionId, size: u64) {
        if let Some(tally) = self.lock().get_mut(&id) {
            tally.digests += 1;
            tally.bytes += size;
        }
    }

    /// The counts so far; `None` if the session is not open.
    pub(crate) fn totals(&self, id: SessionId) -> Option<Totals> {
        self.lock().get(&id).map(|tally| Totals {
            notes: tally.notes,
            notes_sha256: HEXLOWER.encode(&tally.hash.clone().finalize()),
            digests: tally.digests,
            bytes: tally.bytes,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Tally>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SHA-256 as `sha256sum` prints it.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_both_sides() {
        let ours = Totals { notes: 3, notes_sha256: "a".into(), digests: 2, bytes: 10 };
        assert_eq!(ours.difference(&ours), "");
        let theirs = Totals { notes: 2, bytes: 9, ..ours.clone() };
        assert_eq!(ours.difference(&theirs), "notes: 3 here, 2 there; bytes: 10 here, 9 there");
    }

    #[test]
    fn hexadecimal_is_that_of_sha256sum() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256_hex(b""), empty);
    }
}
