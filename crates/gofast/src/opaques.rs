//! Which opaque of this side stands for what. Where posts, pings, whoami and each request stand is a
//! matter of counting; only streams need to be remembered, because their numbers grow for ever.
//!
//! ```text
//!  start                                                                      end
//!    | posts | pings | request 0, 1, .. | stream 0, 1, .. |  unused  | ours | theirs |
//!                                                                      whoami of who listens, dials
//! ```

use crate::dialect::Dialect;
use crate::limits::OPAQUES_MIN;

const POSTS: u64 = 0;
const PINGS: u64 = 1;
const FIRST_REQUEST: u64 = 2;
/// Two at the end: sides that were given one range by mistake still say whoami on different opaques,
/// and so find out at once.
const WHOAMIS: u64 = 2;

/// The opaques of one side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opaques {
    start: u64,
    end: u64,
    holes: &'static [u64],
    /// Said for every post and looked at for every answer, so counted once.
    posts: u64,
    whoami: u64,
    requests: u32,
    streams: u32,
}

/// What an opaque of this side stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Posts,
    Pings,
    Whoami,
    Request(u32),
    /// The place of a stream, not its number.
    Stream(u32),
    Unused,
}

impl Opaques {
    /// # Errors
    /// Why this range cannot be used, in words for people.
    pub(crate) fn new(
        dialect: Dialect,
        (start, end): (u64, u64),
        dials: bool,
    ) -> Result<Self, String> {
        let allowed = dialect.opaques();
        if !allowed.contains(&start) || !allowed.contains(&end) || start > end {
            return Err(format!(
                "opaques {start} to {end} do not lie within {} to {} (settings `opaque_start` and \
                 `opaque_end`)",
                allowed.start(),
                allowed.end()
            ));
        }
        let holes = dialect.reserved_opaques();
        // What counts positions begins with one that can be used.
        let mut start = start;
        while holes.contains(&start) {
            start += 1;
        }
        let mut opaques = Self { start, end, holes, posts: 0, whoami: 0, requests: 0, streams: 0 };
        let count = opaques.count();
        if count < OPAQUES_MIN {
            return Err(format!(
                "opaques {start} to {end} are {count} but for reserved ones, at least {OPAQUES_MIN} \
                 are needed (settings `opaque_start` and `opaque_end`)"
            ));
        }
        opaques.posts = opaques.nth(POSTS);
        opaques.whoami = opaques.nth(count - if dials { 1 } else { 2 });
        opaques.share(1, 1);
        Ok(opaques)
    }

    /// Shares them out: a quarter for streams, the rest for requests, and of neither more than so
    /// many.
    pub(crate) fn share(&mut self, requests_max: u32, streams_max: u32) {
        let shared = self.count() - FIRST_REQUEST - WHOAMIS;
        let at_most =
            |count: u64, max: u32| u32::try_from(count).unwrap_or(u32::MAX).min(max.max(1));
        self.streams = at_most(shared / 4, streams_max);
        self.requests = at_most(shared - u64::from(self.streams), requests_max);
    }

    pub(crate) const fn requests(&self) -> u32 {
        self.requests
    }

    pub(crate) const fn streams(&self) -> u32 {
        self.streams
    }

    pub(crate) const fn posts(&self) -> u64 {
        self.posts
    }

    pub(crate) fn pings(&self) -> u64 {
        self.nth(PINGS)
    }

    pub(crate) const fn whoami(&self) -> u64 {
        self.whoami
    }

    pub(crate) fn request(&self, id: u32) -> u64 {
        debug_assert!(id < self.requests, "the session keeps below `in_flight_max`");
        self.nth(FIRST_REQUEST + u64::from(id))
    }

    pub(crate) fn stream(&self, place: u32) -> u64 {
        self.nth(FIRST_REQUEST + u64::from(self.requests) + u64::from(place))
    }

    /// `None`: it is not this side's.
    #[inline]
    pub(crate) fn meaning(&self, opaque: u64) -> Option<Meaning> {
        if !(self.start..=self.end).contains(&opaque) {
            return None;
        }
        if opaque == self.whoami {
            return Some(Meaning::Whoami);
        }
        let holes = self.holes.iter().filter(|hole| (self.start..=opaque).contains(hole));
        let below = holes.count() as u64;
        if below > 0 && self.holes.contains(&opaque) {
            return Some(Meaning::Unused);
        }
        let position = opaque - self.start - below;
        Some(match position {
            POSTS => Meaning::Posts,
            PINGS => Meaning::Pings,
            position => {
                let first_stream = FIRST_REQUEST + u64::from(self.requests);
                let (base, of) = if position < first_stream {
                    (FIRST_REQUEST, self.requests)
                } else {
                    (first_stream, self.streams)
                };
                match u32::try_from(position - base) {
                    Ok(place) if place < of && base == first_stream => Meaning::Stream(place),
                    Ok(place) if place < of => Meaning::Request(place),
                    _ => Meaning::Unused,
                }
            }
        })
    }

    /// How many there are, without holes.
    fn count(&self) -> u64 {
        let holes = self.holes.iter().filter(|hole| (self.start..=self.end).contains(hole));
        self.end - self.start + 1 - holes.count() as u64
    }

    #[inline]
    fn nth(&self, position: u64) -> u64 {
        let mut opaque = self.start + position;
        for hole in self.holes {
            opaque += u64::from(*hole >= self.start && *hole <= opaque);
        }
        opaque
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opaques(start: u64, end: u64) -> Opaques {
        let mut opaques = Opaques::new(Dialect::Y2017, (start, end), true).unwrap();
        opaques.share(100, 20);
        opaques
    }

    #[test]
    fn each_has_one_meaning_and_reserved_ones_have_none() {
        let all = opaques(1000, 1199);
        assert_eq!((all.requests(), all.streams()), (100, 20));
        assert_eq!((all.posts(), all.pings(), all.whoami()), (1000, 1004, 1199));
        assert_eq!((all.request(0), all.stream(0)), (1005, 1105));
        for id in 0..all.requests() {
            assert_eq!(all.meaning(all.request(id)), Some(Meaning::Request(id)));
        }
        for place in 0..all.streams() {
            assert_eq!(all.meaning(all.stream(place)), Some(Meaning::Stream(place)));
        }
        assert_eq!(all.meaning(1000), Some(Meaning::Posts));
        assert_eq!(all.meaning(1004), Some(Meaning::Pings));
        assert_eq!(all.meaning(1199), Some(Meaning::Whoami));
        assert_eq!(all.meaning(1198), Some(Meaning::Unused));
        assert_eq!((all.meaning(999), all.meaning(1200)), (None, None));
    }

    #[test]
    fn a_range_may_begin_and_end_with_reserved_ones() {
        for (start, end, posts) in [
            (1001, 1200, 1004),
            (1003, 1200, 1004),
            (22_098, 22_300, 22_099),
            (55_799, 55_820, 55_800),
        ] {
            let all = opaques(start, end);
            assert_eq!((all.posts(), all.pings(), all.whoami()), (posts, posts + 1, end));
            for opaque in start..posts {
                assert_eq!(all.meaning(opaque), None);
            }
            assert_eq!(all.meaning(posts), Some(Meaning::Posts));
            assert_eq!(all.meaning(all.request(0)), Some(Meaning::Request(0)));
        }
        let all = opaques(900, 1003);
        assert_eq!(all.whoami(), 1000);
        for opaque in 1001..=1003 {
            assert_eq!(all.meaning(opaque), Some(Meaning::Unused), "not what is before it");
        }
        let why = Opaques::new(Dialect::Y2017, (1001, 1018), true).unwrap_err();
        assert!(why.contains("are 15 but for reserved"), "{why}");
    }

    #[test]
    fn a_small_range_is_shared_out_too() {
        let few = opaques(300, 315);
        assert_eq!((few.requests(), few.streams()), (9, 3));
        assert_eq!(few.stream(2), 313);
    }

    //= docs/PROTOCOL.md#11
    #[test]
    fn a_range_out_of_bounds_or_too_small_is_refused_with_its_numbers() {
        for (range, part) in [
            ((265, 1000), "266 to 15309735"),
            ((1000, 15_309_736), "266 to 15309735"),
            ((2000, 1000), "2000 to 1000"),
            ((1000, 1017), "are 15 but for reserved"),
        ] {
            let why = Opaques::new(Dialect::Y2017, range, false).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        assert!(Opaques::new(Dialect::Y2016, (256, 271), false).is_ok());
        assert!(Opaques::new(Dialect::Y2016, (255, 271), false).is_err());
        assert!(Opaques::new(Dialect::Y2016, (1000, 55_799), false).is_err());
    }

    #[test]
    fn sides_with_one_range_say_whoami_on_different_opaques() {
        let [dials, listens] =
            [true, false].map(|dials| Opaques::new(Dialect::Y2017, (1000, 2000), dials).unwrap());
        assert_ne!(dials.whoami(), listens.whoami());
    }
}
