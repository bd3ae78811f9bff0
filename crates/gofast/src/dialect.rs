//! The two dialects, as far as they differ: tags, keys, how a stream ends, what is reserved.

use std::ops::RangeInclusive;

/// Which gofast the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// That of 2016, up to commit b01883d.
    Y2016,
    /// That of 2017, which is the current one.
    Y2017,
}

/// The messages that both dialects have, by the last digit of their ids.
pub(crate) const PING: u64 = 1;
pub(crate) const WHOAMI: u64 = 2;
pub(crate) const HEARTBEAT: u64 = 3;
/// What only two of us say to each other: see [`extension`](crate::extension).
pub(crate) const OURS: u64 = 0xF;
/// What is said on streams of bytes, between two of us as well.
pub(crate) const RAW: u64 = 0xE;

/// CBOR tags of one dialect.
pub(crate) struct Tags {
    pub(crate) message: u8,
    pub(crate) id: u8,
    pub(crate) data: u8,
    pub(crate) gzip: u8,
    pub(crate) lzw: u8,
}

const TAGS_2016: Tags = Tags { message: 37, id: 39, data: 40, gzip: 41, lzw: 42 };
const TAGS_2017: Tags = Tags { message: 43, id: 44, data: 45, gzip: 46, lzw: 47 };

impl Dialect {
    /// The name its protocol is registered under.
    #[must_use]
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Y2016 => crate::GOFAST_2016,
            Self::Y2017 => crate::GOFAST,
        }
    }

    /// Opaques a side may use, but for those [`reserved`](Self::reserved_opaques).
    //= docs/PROTOCOL.md#11
    #[must_use]
    pub const fn opaques(self) -> RangeInclusive<u64> {
        match self {
            Self::Y2016 => 256..=55_798,
            Self::Y2017 => 266..=15_309_735,
        }
    }

    /// Opaques within that range that mean something else as tags.
    #[must_use]
    pub const fn reserved_opaques(self) -> &'static [u64] {
        match self {
            Self::Y2016 => &[],
            Self::Y2017 => &[1001, 1002, 1003, 22_098, 55_799],
        }
    }

    /// Message ids that are gofast's own.
    #[must_use]
    pub const fn reserved_ids(self) -> RangeInclusive<u64> {
        match self {
            Self::Y2016 => 0..=0xF,
            Self::Y2017 => 0x1000..=0x100F,
        }
    }

    /// One of gofast's own messages.
    pub(crate) const fn id_of(self, built_in: u64) -> u64 {
        *self.reserved_ids().start() + built_in
    }

    pub(crate) const fn tags(self) -> &'static Tags {
        match self {
            Self::Y2016 => &TAGS_2016,
            Self::Y2017 => &TAGS_2017,
        }
    }

    /// What a message begins with: its tag, the start of a map, the key of its id.
    pub(crate) const fn opening(self) -> [u8; 5] {
        let tags = self.tags();
        [0xd8, tags.message, 0xbf, self.key_head(), tags.id]
    }

    /// The key of its data.
    pub(crate) const fn data_key(self) -> [u8; 2] {
        [self.key_head(), self.tags().data]
    }

    /// Keys are tags in 2017, unsigned integers before.
    const fn key_head(self) -> u8 {
        match self {
            Self::Y2016 => 0x18,
            Self::Y2017 => 0xd8,
        }
    }

    /// What stands behind the opaque in the end of a stream, within its byte string.
    pub(crate) const fn end_content(self) -> u8 {
        match self {
            Self::Y2016 => 0xff,
            Self::Y2017 => 0x40,
        }
    }

    /// Bytes of the end of a stream that its length does not count: the break that closes the array
    /// begun by its start.
    pub(crate) const fn end_trails(self) -> usize {
        match self {
            Self::Y2016 => 0,
            Self::Y2017 => 1,
        }
    }

    /// Where each side's opaques lie unless set, so that two of us agree without a word. Whoever
    /// listens keeps clear of gofast's clients, which have 1000 to 5000 unless set and 160,000 onwards in
    /// its examples; whoever dials, of its servers from 1000 on.
    #[must_use]
    pub const fn default_range(self, dials: bool) -> (u64, u64) {
        match (self, dials) {
            (Self::Y2016, false) => (40_000, 44_999),
            (Self::Y2016, true) => (30_000, 34_999),
            (Self::Y2017, false) => (200_000, 204_999),
            (Self::Y2017, true) => (160_000, 164_999),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_ranges_lie_within_bounds_and_apart_from_each_other_and_gofasts() {
        for dialect in [Dialect::Y2016, Dialect::Y2017] {
            let ((listens, until), (dials, end)) =
                (dialect.default_range(false), dialect.default_range(true));
            assert!(dials < end && end < listens && listens < until);
            assert!(dialect.opaques().contains(&dials) && dialect.opaques().contains(&until));
            // A client of gofast's, by default and in its examples; a server in them.
            for (start, last) in [(1000, 5000), (160_000, 200_000 - 1)] {
                assert!(listens > last || until < start);
            }
            assert!(dials > 5000);
        }
    }
}
