//! One direction of one connection: bytes on their way.

use std::collections::VecDeque;
use std::time::Duration;

use crate::dice::Dice;
use crate::link::Link;

/// Bytes arrive in their order, in pieces, at their times; at most `link.buffer` are on the way.
pub(crate) struct Pipe {
    link: Link,
    dice: Dice,
    way: VecDeque<Piece>,
    in_flight: usize,
    /// When the sender has sent everything it was given, at the bandwidth of the link.
    sent_at: Duration,
    /// Nothing arrives before what was sent before it.
    last_at: Duration,
    /// The sender takes nothing, as if its kernel's buffer were full.
    pub(crate) stalled: bool,
    /// Nothing arrives, but nothing is lost either.
    pub(crate) parted: bool,
    /// After so many bytes more the connection is cut.
    pub(crate) cut_after: Option<u64>,
    end: End,
    reader_gone: bool,
}

struct Piece {
    at: Duration,
    bytes: Vec<u8>,
    read: usize,
}

#[derive(PartialEq, Eq)]
enum End {
    /// More may come.
    Open,
    /// After what is on the way nothing comes; the reader sees it then.
    Closed(Duration),
    /// The kernel says that the connection is no more.
    Reset,
}

/// What a look at the received bytes gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Nothing,
    Bytes(usize),
    Eof,
    Reset,
}

impl Pipe {
    pub(crate) fn new(link: Link, dice: Dice) -> Self {
        Self {
            link,
            dice,
            way: VecDeque::new(),
            in_flight: 0,
            sent_at: Duration::ZERO,
            last_at: Duration::ZERO,
            stalled: false,
            parted: false,
            cut_after: None,
            end: End::Open,
            reader_gone: false,
        }
    }

    // ---- the sender ------------------------------------------------------------------------

    /// Takes what there is room for; how much. What nobody can read any more is taken and lost.
    pub(crate) fn write(&mut self, now: Duration, bytes: &[u8]) -> usize {
        if self.end != End::Open || self.reader_gone {
            return bytes.len();
        }
        let taken = self.room().min(bytes.len());
        let mut rest = &bytes[..taken];
        while !rest.is_empty() {
            let len = self.link.chunk(&mut self.dice).min(rest.len());
            self.send(now, &rest[..len]);
            rest = &rest[len..];
        }
        taken
    }

    fn send(&mut self, now: Duration, bytes: &[u8]) {
        self.sent_at = self.sent_at.max(now) + self.link.sending(bytes.len());
        self.last_at = self.last_at.max(self.sent_at + self.link.way(&mut self.dice));
        self.in_flight += bytes.len();
        self.way.push_back(Piece { at: self.last_at, bytes: bytes.to_vec(), read: 0 });
    }

    pub(crate) fn has_room(&self) -> bool {
        self.room() > 0 || self.end != End::Open || self.reader_gone
    }

    fn room(&self) -> usize {
        if self.stalled { 0 } else { self.link.buffer - self.in_flight.min(self.link.buffer) }
    }

    /// Nothing comes after what was written.
    pub(crate) fn close(&mut self, now: Duration) {
        if self.end == End::Open {
            let way = self.sent_at.max(now) + self.link.way(&mut self.dice);
            self.end = End::Closed(self.last_at.max(way));
        }
    }

    /// The sender's process is gone: of what is on its way something arrives, then nothing.
    pub(crate) fn crash(&mut self, now: Duration) {
        let kept = self.dice.below(self.way.len() + 1);
        self.way.truncate(kept);
        self.count();
        self.close(now);
    }

    // ---- the reader ------------------------------------------------------------------------

    /// One piece, or as much of it as `out` takes.
    pub(crate) fn read(&mut self, now: Duration, out: &mut [u8]) -> Read {
        if self.end == End::Reset {
            return Read::Reset;
        }
        if !self.readable(now) {
            return Read::Nothing;
        }
        let Some(piece) = self.way.front_mut() else { return Read::Eof };
        let left = &piece.bytes[piece.read..];
        let cut = usize::try_from(self.cut_after.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let len = left.len().min(out.len()).min(cut);
        out[..len].copy_from_slice(&left[..len]);
        piece.read += len;
        if piece.read == piece.bytes.len() {
            self.way.pop_front();
        }
        self.in_flight -= len;
        if let Some(rest) = &mut self.cut_after {
            *rest -= len as u64;
        }
        Read::Bytes(len)
    }

    pub(crate) fn readable(&self, now: Duration) -> bool {
        self.next_at().is_some_and(|at| at <= now)
    }

    /// When there is something to read, if it is on its way.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        match (&self.end, self.way.front()) {
            // Nothing comes behind the cut, which follows at the end of the turn.
            _ if self.reader_gone || self.is_spent() => None,
            (End::Reset, _) => Some(Duration::ZERO),
            _ if self.parted => None,
            (_, Some(piece)) => Some(piece.at),
            (End::Closed(at), None) => Some(*at),
            (End::Open, None) => None,
        }
    }

    /// The byte after which the connection was to be cut has been read.
    pub(crate) fn is_spent(&self) -> bool {
        self.cut_after == Some(0)
    }

    /// Nobody reads any more.
    pub(crate) fn abandon(&mut self) {
        self.reader_gone = true;
        self.way.clear();
        self.count();
    }

    // ---- the network -----------------------------------------------------------------------

    /// What is on the way is lost and nothing comes any more. It is seen at once, also by who is
    /// cut off.
    pub(crate) fn cut(&mut self) {
        self.way.clear();
        self.count();
        self.parted = false;
        self.cut_after = None;
        self.end = End::Closed(Duration::ZERO);
    }

    /// The same, and the kernel calls it an error.
    pub(crate) fn reset(&mut self) {
        self.cut();
        self.end = End::Reset;
    }

    fn count(&mut self) {
        self.in_flight = self.way.iter().map(|piece| piece.bytes.len() - piece.read).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(9);

    fn pipe(link: Link) -> Pipe {
        Pipe::new(link, Dice::seeded(1))
    }

    fn read_all(pipe: &mut Pipe, now: Duration) -> Vec<u8> {
        let mut all = Vec::new();
        let mut out = [0; 8];
        while let Read::Bytes(len) = pipe.read(now, &mut out) {
            assert!(len > 0);
            all.extend_from_slice(&out[..len]);
        }
        all
    }

    #[test]
    fn bytes_arrive_in_order_after_their_time_and_make_room() {
        let mut pipe = pipe(Link::chunks(1..=3).delay_ms(5).buffer(10));
        assert_eq!(pipe.write(Duration::ZERO, b"hello, world"), 10);
        assert!(!pipe.has_room());
        assert!(!pipe.readable(Duration::from_millis(4)));
        assert_eq!(read_all(&mut pipe, Duration::from_millis(5)), b"hello, wor");
        assert!(pipe.has_room());
    }

    #[test]
    fn a_slow_link_takes_its_time_for_each_byte() {
        let mut pipe = pipe(Link::chunks(10..=10).delay_ms(0).bandwidth(10));
        pipe.write(Duration::ZERO, &[1; 20]);
        assert_eq!(read_all(&mut pipe, Duration::from_secs(1)).len(), 10);
        assert_eq!(pipe.next_at(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn what_is_parted_waits_and_what_is_cut_is_lost() {
        let mut pipe = pipe(Link::default());
        pipe.write(Duration::ZERO, b"one");
        pipe.parted = true;
        assert_eq!(pipe.read(LATER, &mut [0; 8]), Read::Nothing);
        pipe.parted = false;
        assert_eq!(read_all(&mut pipe, LATER), b"one");
        pipe.write(LATER, b"two");
        pipe.cut();
        assert_eq!(pipe.read(LATER, &mut [0; 8]), Read::Eof);
        assert_eq!((pipe.in_flight, pipe.write(LATER, b"lost")), (0, 4));
        pipe.reset();
        assert_eq!(pipe.read(LATER, &mut [0; 8]), Read::Reset);
    }

    #[test]
    fn the_end_comes_after_the_bytes() {
        let mut pipe = pipe(Link::default());
        pipe.write(Duration::ZERO, b"last words");
        pipe.close(Duration::ZERO);
        assert_eq!(read_all(&mut pipe, LATER), b"last words");
        assert_eq!(pipe.read(LATER, &mut [0; 8]), Read::Eof);
    }

    #[test]
    fn exactly_so_many_bytes_come_before_a_cut() {
        let mut pipe = pipe(Link::default());
        pipe.write(Duration::ZERO, b"abcdef");
        pipe.cut_after = Some(4);
        let mut all = Vec::new();
        while !pipe.is_spent() {
            let mut out = [0; 8];
            let Read::Bytes(len) = pipe.read(LATER, &mut out) else { panic!("more was written") };
            all.extend_from_slice(&out[..len]);
        }
        assert_eq!(all, b"abcd");
        assert_eq!(pipe.read(LATER, &mut [0; 8]), Read::Nothing);
    }
}
