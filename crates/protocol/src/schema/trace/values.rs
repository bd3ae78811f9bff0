//! Values for what stands before the part of a type that is of interest.

use serde::de::{Deserializer, Visitor};

use super::explorer::{Explorer, Stop};

/// Which value was taken at each place of a run where there were several. After a run that came to
/// nothing the last choice that has others left is changed, so that all are tried in the end.
#[derive(Debug, Default)]
pub(super) struct Choices {
    /// What was chosen, and of how many.
    made: Vec<(usize, usize)>,
    /// How many of them were used in this run.
    used: usize,
}

impl Choices {
    pub(super) fn choose(&mut self, of: usize) -> usize {
        if self.used == self.made.len() {
            self.made.push((0, of));
        }
        let (chosen, _) = self.made[self.used];
        self.used += 1;
        chosen
    }

    /// Makes ready for the next run. `false` when there is nothing left to try.
    pub(super) fn advance(&mut self) -> bool {
        self.made.truncate(self.used);
        self.used = 0;
        while let Some((chosen, of)) = self.made.pop() {
            if chosen + 1 < of {
                self.made.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}

/// Texts that somebody's `FromStr` takes.
pub(super) const TEXTS: [&str; 18] = [
    "a",
    "",
    "0",
    "1.0.0",
    "127.0.0.1",
    "127.0.0.1:80",
    "::1",
    "[::1]:80",
    "10.0.0.0/8",
    "a@b.cc",
    "http://a.bc/",
    "2000-01-01",
    "2000-01-01T00:00:00Z",
    "00:00:00",
    "P1D",
    "00000000-0000-4000-8000-000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "true",
];

/// Bytes of lengths that identifiers, keys and checksums have.
pub(super) const BYTES: [&[u8]; 8] =
    [&[], &[1], &[0; 4], &[0; 8], &[0; 12], &[0; 16], &[0; 32], &[0; 64]];

/// Numbers: one that is not zero, one that is, and a few more.
pub(super) const NUMBERS: [u8; 5] = [1, 0, 2, 12, 100];

/// A value of a kind that is up to the reader.
pub(super) fn any<V: Visitor<'static>>(
    explorer: Explorer<'_>,
    visitor: V,
) -> Result<V::Value, Stop> {
    match explorer.run.choices.choose(7) {
        0 => visitor.visit_unit(),
        1 => explorer.deserialize_u64(visitor),
        2 => explorer.deserialize_str(visitor),
        3 => explorer.deserialize_bool(visitor),
        4 => explorer.deserialize_bytes(visitor),
        5 => explorer.deserialize_f64(visitor),
        _ => explorer.deserialize_seq(visitor),
    }
}
