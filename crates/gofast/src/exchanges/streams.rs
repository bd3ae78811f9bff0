//! Streams both ways. A session ends each way by itself, and what a peer of gofast makes of an end
//! depends on who it is:
//!
//! * One of us ends its own way, and both ends make an end.
//! * So does a real peer of 2017 with what it closes: it goes on hearing, and its opaque serves again
//!   when our end has come. What it sends after it has heard ours is lost; that it has heard it a
//!   question right behind the end tells, and then the session hears an end as well.
//! * A real peer of 2016 is done with a stream both ways when it has said its end: its opaque may
//!   stand for something else by then, so nothing more may be said on it.
//!
//! A stream is over when both ends are known and ours has left: one that is queued may still be given
//! up, because the session resets the stream, and then another must be said. An opaque of ours whose
//! other end has not come may still be closed by a late one, so it rests while there are others; of
//! those that are free the one that rested longest is taken.

use std::collections::{HashMap, VecDeque};

use crate::limits::FORGOTTEN_STREAMS_MAX;

/// What an end that the peer says means to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// One of us: its way is over, and it has words for the rest.
    OneWayOfOurs,
    /// A real peer of 2017: its way is over.
    OneWay,
    /// A real peer of 2016: all is over.
    BothWays,
}

/// Streams by the session's numbers.
#[derive(Debug)]
pub(crate) struct Streams {
    ends: Ends,
    live: HashMap<u32, Stream>,
    /// The session's numbers of ours, by place; 0 where there is none.
    ours: Vec<u32>,
    free: VecDeque<u32>,
    /// Places whose streams are over, though the peer's own end has not come: the longest first.
    resting: VecDeque<u32>,
    of_peer: HashMap<u64, u32>,
    next_of_peer: u32,
    /// How many of the peer's the session has forgotten, and the peer not yet.
    forgotten: usize,
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
    /// It has said so by an end.
    closed: bool,
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
    /// A question, whose answer says that the end was heard.
    pub(crate) ask: bool,
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
    /// Too many that the session has forgotten are not over for the peer.
    TooManyForgotten,
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
    pub(crate) fn new(ends: Ends, dials: bool, ours_max: u32) -> Self {
        Self {
            ends,
            live: HashMap::new(),
            ours: vec![0; ours_max as usize],
            free: (0..ours_max).collect(),
            resting: VecDeque::new(),
            of_peer: HashMap::new(),
            // Who dials has the even numbers (PROTOCOL 6).
            next_of_peer: 2 + u32::from(dials),
            forgotten: 0,
        }
    }

    /// A place for a stream of ours. `None`: all are taken.
    pub(crate) fn begin_ours(
        &mut self,
        number: u32,
        message: u64,
        opaque_of: impl FnOnce(u32) -> u64,
    ) -> Option<u64> {
        let place = self.free.pop_front().or_else(|| self.resting.pop_front())?;
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
            let real = self.ends != Ends::OneWayOfOurs;
            let old = self.live.get_mut(&number);
            let Some(old) = old.filter(|old| real && (old.said_end || old.heard_end)) else {
                return Begun::InUse;
            };
            let untold = !old.heard_end && !old.forgotten;
            // It would not have begun another one without being done with this one: it has heard our
            // end, or wants to hear no more.
            old.heard_end = true;
            old.mute();
            self.of_peer.remove(&opaque);
            self.settle(number);
            if untold {
                return Begun::Over(number);
            }
        }
        if self.forgotten >= FORGOTTEN_STREAMS_MAX {
            return Begun::TooManyForgotten;
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
        if stream.heard_end && self.ends == Ends::BothWays {
            return None;
        }
        Some((stream.opaque, stream.message))
    }

    /// The session ends its way.
    pub(crate) fn say_end(&mut self, number: u32) -> Option<Last> {
        let stream = self.live.get_mut(&number).filter(|stream| !stream.said_end)?;
        stream.said_end = true;
        let last = Last {
            opaque: stream.opaque,
            message: stream.message,
            end: !stream.mute,
            ask: !stream.heard_end && self.ends != Ends::OneWayOfOurs,
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
        stream.said_end = true;
        let last = Last {
            opaque: stream.opaque,
            message: stream.message,
            end: !stream.end_left,
            // A real peer's own is over with our end.
            ask: !stream.heard_end && (stream.place.is_some() || self.ends == Ends::OneWayOfOurs),
        };
        self.forget(number);
        Some(last)
    }

    /// The session does not want to hear of it any more.
    fn forget(&mut self, number: u32) {
        if let Some(stream) = self.live.get_mut(&number) {
            stream.forgotten = true;
            self.forgotten += usize::from(stream.place.is_none());
        }
        self.settle(number);
    }

    /// The end of a stream is on its way.
    pub(crate) fn end_left(&mut self, at: At) {
        let Some(number) = self.number(at) else { return };
        // Where the peer has begun another one on its opaque it is not the end of that.
        if let Some(stream) = self.live.get_mut(&number).filter(|stream| stream.said_end) {
            stream.end_left = true;
            self.settle(number);
        }
    }

    /// The stream that an opaque of the peer's, or a place of ours, stands for; and whether the
    /// session still hears what is said on it.
    pub(crate) fn find(&self, at: At) -> Option<(u32, bool)> {
        let number = self.number(at)?;
        Some((number, self.is_heard(number)))
    }

    fn number(&self, at: At) -> Option<u32> {
        match at {
            At::Place(place) => self.ours.get(place as usize).copied().filter(|number| *number > 0),
            At::Opaque(opaque) => self.of_peer.get(&opaque).copied(),
        }
    }

    /// Whether the session still hears what is said on a stream.
    pub(crate) fn is_heard(&self, number: u32) -> bool {
        self.live.get(&number).is_some_and(|stream| !stream.forgotten && !stream.heard_end)
    }

    /// The peer has ended its way.
    pub(crate) fn hear_end(&mut self, at: At) -> EndSaid {
        let Some(number) = self.number(at) else { return self.hear_late_end(at) };
        let Some(stream) = self.live.get_mut(&number) else { return EndSaid::Unknown };
        let told = !stream.forgotten && !stream.heard_end;
        stream.heard_end = true;
        stream.closed = true;
        if self.ends == Ends::BothWays && stream.place.is_none() {
            // Its opaque may stand for another stream from now on.
            stream.mute();
            self.of_peer.remove(&stream.opaque);
        }
        self.settle(number);
        if told { EndSaid::Told(number) } else { EndSaid::Known }
    }

    /// What a place rested for.
    fn hear_late_end(&mut self, at: At) -> EndSaid {
        let At::Place(late) = at else { return EndSaid::Unknown };
        let Some(nth) = self.resting.iter().position(|place| *place == late) else {
            return EndSaid::Unknown;
        };
        self.resting.remove(nth);
        self.free.push_back(late);
        EndSaid::Known
    }

    /// The peer has ended it both ways, with a reason. Its end follows. The number, if the session
    /// still knows it.
    pub(crate) fn hear_reset(&mut self, at: At) -> Option<u32> {
        let number = self.number(at)?;
        let stream = self.live.get_mut(&number).filter(|stream| !stream.forgotten)?;
        // We say nothing more on it, so there is nothing to wait for.
        stream.said_end = true;
        stream.mute();
        self.forget(number);
        Some(number)
    }

    /// The answer to the question behind our end came: the peer has heard it. Whether the session is to
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

    pub(crate) fn park(&mut self) {
        self.live.shrink_to_fit();
        self.of_peer.shrink_to_fit();
    }

    /// Frees what is over.
    fn settle(&mut self, number: u32) {
        let Some(stream) = self.live.get(&number) else { return };
        let real = self.ends != Ends::OneWayOfOurs;
        // A real peer is done with its own when our end comes, and nobody here waits for more.
        let heard = stream.heard_end || (real && stream.forgotten && stream.place.is_none());
        if !(stream.said_end && heard && stream.end_left) {
            return;
        }
        let Stream { opaque, place, closed, forgotten, .. } = *stream;
        self.live.remove(&number);
        match place {
            Some(place) => {
                self.ours[place as usize] = 0;
                let rests = real && !closed;
                if rests { &mut self.resting } else { &mut self.free }.push_back(place);
            }
            None => {
                self.forgotten -= usize::from(forgotten);
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
            closed: false,
            forgotten: false,
            mute: false,
        }
    }

    /// Nothing more may be said on it, so there is no end of ours to wait for.
    const fn mute(&mut self) {
        self.mute = true;
        self.end_left = true;
    }
}

#[cfg(test)]
mod tests;
