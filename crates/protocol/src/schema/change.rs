//! What is different between two schemas, and what it means for peers that are not built anew.

use std::fmt;

use crate::registry::Place;

/// One difference between two schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub(super) verdict: Verdict,
    pub(super) what: String,
    pub(super) advice: &'static str,
    /// Wire names of the messages it concerns, sorted.
    pub(super) messages: Vec<String>,
    pub(super) old_line: u32,
    pub(super) new_line: u32,
    pub(super) place: Option<Place>,
}

/// Whether programs of before and after a change understand each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// They do.
    Compatible,
    /// They do, as long as what [`Change::advice`] says is kept to.
    Careful,
    /// They do not.
    Incompatible,
}

impl Change {
    /// What it means.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What is different.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to do about it; empty where there is nothing to do.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        self.advice
    }

    /// The wire names of the messages it is found in, sorted.
    #[must_use]
    pub fn messages(&self) -> &[String] {
        &self.messages
    }

    /// The line of the old text it is about, from 1; `None` where there is no text.
    #[must_use]
    pub fn old_line(&self) -> Option<u32> {
        (self.old_line != 0).then_some(self.old_line)
    }

    /// The line of the new text it is about, from 1; `None` where there is no text, or where what
    /// it is about is gone.
    #[must_use]
    pub fn new_line(&self) -> Option<u32> {
        (self.new_line != 0).then_some(self.new_line)
    }

    /// Where the first of the messages is registered, if it is in this process.
    #[must_use]
    pub const fn place(&self) -> Option<Place> {
        self.place
    }

    /// The change as a line that editors find their way by, `old.txt:7: error: ..`; an error where
    /// it is incompatible, a warning where it needs care, else a note. `old` and `new` are the files
    /// the schemas were read from; without `new` what is in no old line is told by its source.
    #[must_use]
    pub fn located(&self, old: &str, new: Option<&str>) -> String {
        let at = match (self.old_line(), new.zip(self.new_line()), self.place) {
            (Some(line), _, _) => format!("{old}:{line}"),
            (None, Some((new, line)), _) => format!("{new}:{line}"),
            (None, None, Some(place)) => place.to_string(),
            (None, None, None) => format!("{old}:1"),
        };
        let word = match self.verdict {
            Verdict::Incompatible => "error",
            Verdict::Careful => "warning",
            Verdict::Compatible => "note",
        };
        format!("{at}: {word}: {self}")
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.messages.join(", "), self.what)?;
        if !self.advice.is_empty() {
            write!(f, ": {}", self.advice)?;
        }
        Ok(())
    }
}
