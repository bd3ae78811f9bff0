//! Streams both ways. gofast's end of a stream ends it both ways at once, a session's only one:
//!
//! * Between two of us each side ends its own way, and both ends make an end.
//! * A real gofast peer is done with a stream when it has said or heard its end. What it sends after
//!   it has heard ours is lost; that it has heard it a ping right behind the end tells, and then the
//!   session hears an end as well. When it has said its own end nothing more may be said on an opaque
//!   of its own, which may stand for another stream by then.
//!
//! A stream is over when both ends are known and ours has left: one that is queued may still be given
//! up, because the session resets the stream, and then another must be said. Of the opaques of ours
//! that are free the one that rested longest is taken.

use std::collections::{HashMap, VecDeque};

/// Streams by the session's numbers.
#[derive(Debug)]
pub(crate) struct Streams {
    /// The peer is one of us: streams end one way at a time.
    half: bool,
    live: HashMap<u32, Stream>,
    /// The session's numbers of ours, by place; 0 where there is none.
    ours: Vec<u32>,
    free: VecDeque<u32>,
    of_peer: HashMap<u64, u32>,
    next_of_peer: u32,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    opaque: u64,
    /// The id of its opening message, which all others on it have.
    message: u64,
    /// Of ours: which.
    place: Option<u32>,
    said_end: bool,
    /// Our end has left.
    end_left: bool,
    /// The peer sends nothing more, as far as the session needs to know.
    heard_end: bool,
    /// The session has forgotten it.
    forgotten: bool,
    /// Nothing may be said any more.
    mute: bool,
}

/// What is to be written for an end or a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) opaque: u64,
    pub(crate) message: u64,
    /// An end.
    pub(crate) end: bool,
    /// A ping, whose answer says that the end was heard.
    pub(crate) ping: bool,
}

/// What came of the peer's beginning a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// Its number for the session.
    New(u32),
    /// The opaque stood for another one, which is over by that: the session hears so first.
    Over(u32),
    /// The opaque stands for one that is not over.
    InUse,
    /// The numbers of this session are used up.
    NoNumber,
}

/// What the peer's end of a stream means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndSaid {
    /// The session hears it.
    Told(u32),
    /// It knows already, or does not want to know.
    Known,
    /// There is no such stream.
    Unknown,
}

impl Streams {
    pub(crate) fn new(half: bool, dials: bool, ours_max: u32) -> Self {
        Self {
            half,
            live: HashMap::new(),
            ours: vec![0; ours_max as usize],
            free: (0..ours_max).collect(),
            of_peer: HashMap::new(),
            // Who dials has the even numbers (PROTOCOL 6).
            next_of_peer: 2 + u32::from(dials),
        }
    }

    /// A place for a stream of ours. `None`: all are taken.
    pub(crate) fn begin_ours(
        &mut self,
        number: u32,
        message: u64,
        opaque_of: impl FnOnce(u32) -> u64,
    ) -> Option<u64> {
        let place = self.free.pop_front()?;
        let opaque = opaque_of(place);
        self.ours[place as usize] = number;
        self.live.insert(number, Stream::new(opaque, message, Some(place)));
        Some(opaque)
    }

    /// It could not be opened after all: nobody has heard of it.
    pub(crate) fn withdraw(&mut self, number: u32) {
        if let Some(place) = self.live.remove(&number).and_then(|stream| stream.place) {
            self.ours[place as usize] = 0;
            self.free.push_front(place);
        }
    }

    /// The peer begins a stream.
    pub(crate) fn begin_of_peer(&mut self, opaque: u64, message: u64) -> Begun {
        if let Some(&number) = self.of_peer.get(&opaque) {
            let Some(old) = self.live.get_mut(&number).filter(|old| old.said_end && !self.half)
            else {
                return Begun::InUse;
            };
            let untold = !old.heard_end && !old.forgotten;
            // It would not have begun another one without having heard our end.
            old.heard_end = true;
            old.end_left = true;
            self.settle(number);
            if untold {
                return Begun::Over(number);
            }
        }
        let number = self.next_of_peer;
        let Some(next) = number.checked_add(2) else { return Begun::NoNumber };
        self.next_of_peer = next;
        self.of_peer.insert(opaque, number);
        self.live.insert(number, Stream::new(opaque, message, None));
        Begun::New(number)
    }

    /// Opaque and message id of what is said on a stream. `None`: nothing more may be.
    pub(crate) fn say(&self, number: u32) -> Option<(u64, u64)> {
        let stream = self.live.get(&number).filter(|stream| !stream.mute && !stream.said_end)?;
        // A real peer that has said its end hears nothing more.
        if stream.heard_end && !self.half {
            return None;
        }
        Some((stream.opaque, stream.message))
    }

    /// The session ends its way.
    pub(crate) fn say_end(&mut self, number: u32) -> Option<Last> {
        let half = self.half;
        let stream = self.live.get_mut(&number).filter(|stream| !stream.said_end)?;
        stream.said_end = true;
        stream.end_left = stream.mute;
        let last = Last {
            opaque: stream.opaque,
            message: stream.message,
            end: !stream.mute,
            ping: !half && !stream.heard_end,
        };
        self.settle(number);
        Some(last)
    }

    /// There was no memory for its end, so the session has not ended its way after all.
    pub(crate) fn withdraw_end(&mut self, number: u32) {
        if let Some(stream) = self.live.get_mut(&number) {
            stream.said_end = false;
        }
    }

    /// The session ends it both ways, and forgets it. What it had queued is given up, an end as well.
    pub(crate) fn say_reset(&mut self, number: u32) -> Option<Last> {
        let stream = self.live.get_mut(&number).filter(|stream| !stream.forgotten)?;
        stream.forgotten = true;
        stream.said_end = true;
        stream.end_left |= stream.mute;
        let last = Last {
            opaque: stream.opaque,
            message: stream.message,
            end: !stream.end_left,
            ping: !stream.heard_end,
        };
        self.settle(number);
        Some(last)
    }

    /// The end of a stream is on its way.
    pub(crate) fn end_left(&mut self, at: At) {
        let Some(number) = self.number(at) else { return };
        if let Some(stream) = self.live.get_mut(&number) {
            stream.end_left = true;
            self.settle(number);
        }
    }

    /// The stream that an opaque of the peer's, or a place of ours, stands for; and whether the
    /// session still hears what is said on it.
    pub(crate) fn find(&self, at: At) -> Option<(u32, bool)> {
        let number = self.number(at)?;
        let stream = self.live.get(&number)?;
        Some((number, !stream.forgotten && !stream.heard_end))
    }

    fn number(&self, at: At) -> Option<u32> {
        match at {
            At::Place(place) => self.ours.get(place as usize).copied().filter(|number| *number > 0),
            At::Opaque(opaque) => self.of_peer.get(&opaque).copied(),
        }
    }

    /// The peer has ended its way.
    pub(crate) fn hear_end(&mut self, at: At) -> EndSaid {
        let half = self.half;
        let Some(number) = self.number(at) else { return EndSaid::Unknown };
        let Some(stream) = self.live.get_mut(&number) else { return EndSaid::Unknown };
        let told = !stream.forgotten && !stream.heard_end;
        stream.heard_end = true;
        if !half && stream.place.is_none() {
            // Its opaque may stand for another stream from now on.
            stream.mute = true;
            stream.end_left = true;
            let opaque = stream.opaque;
            self.of_peer.remove(&opaque);
        }
        self.settle(number);
        if told { EndSaid::Told(number) } else { EndSaid::Known }
    }

    /// The peer has ended it both ways, with a reason. Its end follows. The number, if the session
    /// still knows it.
    pub(crate) fn hear_reset(&mut self, at: At) -> Option<u32> {
        let number = self.number(at)?;
        let stream = self.live.get_mut(&number).filter(|stream| !stream.forgotten)?;
        stream.forgotten = true;
        // We say nothing more on it, so there is nothing to wait for.
        stream.said_end = true;
        stream.end_left = true;
        stream.mute = true;
        self.settle(number);
        Some(number)
    }

    /// The answer to the ping behind our end came: the peer has heard it. Whether the session is to
    /// hear an end as well.
    pub(crate) fn hear_echo(&mut self, number: u32) -> bool {
        let Some(stream) = self.live.get_mut(&number).filter(|stream| stream.said_end) else {
            return false;
        };
        let told = !stream.forgotten && !stream.heard_end;
        stream.heard_end = true;
        stream.end_left = true;
        self.settle(number);
        told
    }

    /// Frees what is over.
    fn settle(&mut self, number: u32) {
        let Some(stream) = self.live.get(&number) else { return };
        if !(stream.said_end && stream.heard_end && stream.end_left) {
            return;
        }
        let Stream { opaque, place, .. } = *stream;
        self.live.remove(&number);
        match place {
            Some(place) => {
                self.ours[place as usize] = 0;
                self.free.push_back(place);
            }
            None => {
                if self.of_peer.get(&opaque) == Some(&number) {
                    self.of_peer.remove(&opaque);
                }
            }
        }
    }
}

/// Where a stream is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// One of ours.
    Place(u32),
    /// One of the peer's.
    Opaque(u64),
}

impl Stream {
    const fn new(opaque: u64, message: u64, place: Option<u32>) -> Self {
        Self {
            opaque,
            message,
            place,
            said_end: false,
            end_left: false,
            heard_end: false,
            forgotten: false,
            mute: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opaque(place: u32) -> u64 {
        1100 + u64::from(place)
    }

    fn streams(half: bool) -> Streams {
        Streams::new(half, true, 2)
    }

    #[test]
    fn between_two_of_us_both_ends_make_an_end() {
        let mut all = streams(true);
        assert_eq!(all.begin_ours(2, 113, opaque), Some(1100));
        assert_eq!(all.say(2), Some((1100, 113)));
        let last = Last { opaque: 1100, message: 113, end: true, ping: false };
        assert_eq!(all.say_end(2), Some(last));
        assert_eq!((all.say(2), all.say_end(2)), (None, None));
        assert_eq!(all.find(At::Place(0)), Some((2, true)), "the other way is open");
        assert_eq!(all.hear_end(At::Place(0)), EndSaid::Told(2));
        assert_eq!(all.find(At::Place(0)), Some((2, false)), "ours has not left");
        all.end_left(At::Place(0));
        assert_eq!(all.find(At::Place(0)), None);
        assert_eq!(all.hear_end(At::Place(0)), EndSaid::Unknown);
    }

    #[test]
    fn a_place_rests_as_long_as_it_can() {
        let mut all = streams(true);
        all.begin_ours(2, 113, opaque).unwrap();
        all.say_end(2).unwrap();
        all.end_left(At::Place(0));
        all.hear_end(At::Place(0));
        assert_eq!(all.begin_ours(4, 113, opaque), Some(1101));
        assert_eq!(all.begin_ours(6, 113, opaque), Some(1100));
        assert_eq!(all.begin_ours(8, 113, opaque), None, "all are taken");
        all.withdraw(6);
        assert_eq!(all.begin_ours(8, 113, opaque), Some(1100));
    }

    #[test]
    fn a_real_peer_ends_both_ways_and_its_opaque_serves_again_at_once() {
        let mut all = streams(false);
        assert_eq!(all.begin_of_peer(160_005, 113), Begun::New(3));
        assert_eq!(all.begin_of_peer(160_005, 113), Begun::InUse);
        assert_eq!(all.hear_end(At::Opaque(160_005)), EndSaid::Told(3));
        assert_eq!(all.begin_of_peer(160_005, 113), Begun::New(5));
        // The session has not ended its way of the first one: nothing of it is written.
        assert_eq!(all.say(3), None);
        let last = all.say_end(3).unwrap();
        assert!(!last.end && !last.ping);
        assert_eq!(all.say(5), Some((160_005, 113)));
        assert_eq!(all.find(At::Opaque(160_005)), Some((5, true)));
    }

    #[test]
    fn an_end_to_a_real_peer_is_over_with_its_echo() {
        let mut all = streams(false);
        all.begin_ours(2, 113, opaque).unwrap();
        let last = all.say_end(2).unwrap();
        assert!(last.end && last.ping);
        all.end_left(At::Place(0));
        assert_eq!(all.find(At::Place(0)), Some((2, true)), "what it sent before is heard");
        assert!(all.hear_echo(2) && !all.hear_echo(2));
        assert_eq!(all.find(At::Place(0)), None);
        // Of the peer's: it may begin the next one before the echo.
        assert_eq!(all.begin_of_peer(160_005, 113), Begun::New(3));
        all.say_end(3).unwrap();
        assert_eq!(all.begin_of_peer(160_005, 113), Begun::Over(3));
        assert_eq!(all.begin_of_peer(160_005, 113), Begun::New(5));
        assert!(!all.hear_echo(3));
    }

    #[test]
    fn what_was_reset_is_not_heard_any_more_until_the_peer_knows() {
        for half in [false, true] {
            let mut all = streams(half);
            all.begin_ours(2, 113, opaque).unwrap();
            let last = all.say_reset(2).unwrap();
            assert!(last.end && last.ping);
            assert_eq!((all.say_reset(2), all.find(At::Place(0))), (None, Some((2, false))));
            all.end_left(At::Place(0));
            assert!(!all.hear_echo(2), "the session has forgotten it");
            assert_eq!(all.find(At::Place(0)), None);
        }
    }

    #[test]
    fn a_reset_behind_an_end_says_another_unless_that_has_left() {
        for (half, left) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut all = streams(half);
            all.begin_ours(2, 113, opaque).unwrap();
            assert_eq!(all.say_end(2).unwrap().ping, !half);
            if left {
                all.end_left(At::Place(0));
            }
            let last = all.say_reset(2).unwrap();
            assert!(last.end != left && last.ping);
        }
        // One of the peer's, which has said its own end: ours is not there before it has left.
        let mut all = streams(true);
        assert_eq!(all.begin_of_peer(160_005, 113), Begun::New(3));
        all.hear_end(At::Opaque(160_005));
        all.say_end(3).unwrap();
        let last = all.say_reset(3).unwrap();
        assert!(last.end && !last.ping);
        all.end_left(At::Opaque(160_005));
        assert_eq!(all.find(At::Opaque(160_005)), None);
    }

    #[test]
    fn a_reset_of_the_peers_ends_it_when_its_end_has_come() {
        let mut all = streams(true);
        all.begin_ours(2, 113, opaque).unwrap();
        assert_eq!(all.hear_reset(At::Place(0)), Some(2));
        assert_eq!((all.say(2), all.say_reset(2), all.say_end(2)), (None, None, None));
        assert_eq!(all.hear_end(At::Place(0)), EndSaid::Known);
        assert_eq!(all.find(At::Place(0)), None);
    }
}
