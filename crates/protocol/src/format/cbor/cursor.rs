//! Takes one head after the other from a body, and keeps count of what the bytes still owe. Every
//! limit of a CBOR body is checked here and nowhere else.

use crate::format::{DecodeError, DecodeFault};
use crate::limits::DEPTH_MAX;

use super::head::{Head, is_big_number};
use super::input::{BREAK, Input, major, major_of};

/// What is still to come of the array or map that is read.
#[derive(Debug, Clone, Copy)]
enum Left {
    /// So many values: two for each pair of a map.
    Values(usize),
    /// Values up to a break, which may not stand between a key and its value.
    UntilBreak { pairs: bool, half: bool },
}

/// What is being read: how deep it is, what is left of it, and what it and all around it owe.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    /// Bytes that must follow at least: one for each declared value, one for each break.
    owed: usize,
    /// Arrays and maps, and the tags in front of them.
    depth: u32,
    left: Left,
}

impl Level {
    pub(super) const OUTERMOST: Self = Self { owed: 0, depth: 0, left: Left::Values(0) };
}

/// A place in a body.
///
/// `rest` is the end of `from_head`, which is the end of the body; `depth <= DEPTH_MAX`.
#[derive(Debug)]
pub(super) struct Cursor<'de> {
    /// Length of the whole body.
    len: usize,
    /// What is still to be read.
    rest: Input<'de>,
    /// What was still to be read when the last head was taken.
    from_head: Input<'de>,
    /// Tags of the head that was taken last.
    tags: u32,
    level: Level,
    /// What was wrong with the bytes themselves. A type may swallow the error, the body is refused
    /// all the same, and from then on nothing more comes.
    broken: Option<DecodeError>,
}

impl<'de> Cursor<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        let rest = Input::new(bytes);
        Self {
            len: bytes.len(),
            rest,
            from_head: rest,
            tags: 0,
            level: Level::OUTERMOST,
            broken: None,
        }
    }

    /// Bytes read so far.
    #[inline]
    pub(super) fn offset(&self) -> usize {
        self.len - self.rest.len()
    }

    /// The first byte of the next value behind its tags, all left where it is.
    pub(super) fn peek(&mut self) -> Result<u8, DecodeError> {
        let mut ahead = self.rest;
        self.tags = 0;
        match self.behind_tags(&mut ahead) {
            Ok((initial, _)) => Ok(initial),
            Err(fault) => Err(self.refuse(self.rest, fault)),
        }
    }

    /// Takes the head of the next value.
    #[inline]
    pub(super) fn head(&mut self) -> Result<Head<'de>, DecodeError> {
        self.from_head = self.rest;
        match self.any_head() {
            Ok(head) => Ok(head),
            Err(fault) => Err(self.refuse(self.from_head, fault)),
        }
    }

    /// Goes back to the head that was taken last: the type has no use for this value.
    pub(super) fn put_back(&mut self) {
        self.rest = self.from_head;
    }

    fn any_head(&mut self) -> Result<Head<'de>, DecodeFault> {
        let mut rest = self.rest;
        self.tags = 0;
        let (initial, tag) = self.behind_tags(&mut rest)?;
        let head = Head::read(&mut rest, initial, tag)?;
        self.rest = rest;
        Ok(head)
    }

    /// Moves `input` behind the first byte of a value, and returns that and the tag before it. A tag
    /// is around its value as an array is, so it counts as one level.
    #[inline]
    fn behind_tags(&mut self, input: &mut Input<'de>) -> Result<(u8, Option<u64>), DecodeFault> {
        let mut tag = None;
        loop {
            let initial = input.byte()?;
            if major_of(initial) != major::TAG {
                return Ok((initial, tag));
            }
            if self.level.depth + self.tags == DEPTH_MAX {
                return Err(DecodeFault::TooDeep);
            }
            if tag.is_some_and(is_big_number) {
                return Err(DecodeFault::Marker(initial));
            }
            self.tags += 1;
            tag = Some(input.argument(initial)?);
        }
    }

    /// Goes into the array or map whose head was just taken. Returns where it stands, to
    /// [`leave`](Self::leave) it to.
    ///
    /// Every declared value takes a byte at least, and so does every break. So all counts of a body
    /// together are never more than its length.
    //= docs/PROTOCOL.md#5
    pub(super) fn open(&mut self, head: &Head<'_>) -> Result<Level, DecodeError> {
        let around = self.level;
        let (count, pairs) = match *head {
            Head::Array(count) => (count, false),
            Head::Map(count) => (count, true),
            _ => (Some(0), false),
        };
        let room = self.rest.len().saturating_sub(around.owed);
        let (left, owed) = match count {
            Some(count) => {
                let values = if pairs { count.checked_mul(2) } else { Some(count) };
                let values = values.and_then(|values| usize::try_from(values).ok());
                let Some(values) = values.filter(|values| *values <= room) else {
                    return Err(self.refuse(self.from_head, DecodeFault::TooMany));
                };
                (Left::Values(values), values)
            }
            None if room == 0 => return Err(self.refuse(self.from_head, DecodeFault::Truncated)),
            None => (Left::UntilBreak { pairs, half: false }, 1),
        };
        let depth = around.depth + self.tags + 1;
        if depth > DEPTH_MAX {
            return Err(self.refuse(self.from_head, DecodeFault::TooDeep));
        }
        self.level = Level { owed: around.owed + owed, depth, left };
        Ok(around)
    }

    /// Leaves what was opened at `around`.
    pub(super) fn leave(&mut self, around: Level) {
        self.level = around;
    }

    /// Whether one more value comes in what was opened last; it is read next then. A break is taken.
    #[inline]
    pub(super) fn more(&mut self) -> Result<bool, DecodeError> {
        if self.broken.is_some() {
            return Ok(false);
        }
        match self.level.left {
            Left::Values(0) => Ok(false),
            Left::Values(left) => {
                self.level.left = Left::Values(left - 1);
                self.level.owed -= 1;
                Ok(true)
            }
            Left::UntilBreak { pairs, half } => self.more_before_break(pairs, half),
        }
    }

    fn more_before_break(&mut self, pairs: bool, half: bool) -> Result<bool, DecodeError> {
        match self.rest.first() {
            Err(fault) => Err(self.refuse(self.rest, fault)),
            Ok(BREAK) if half => Err(self.refuse(self.rest, DecodeFault::Marker(BREAK))),
            Ok(BREAK) => {
                self.rest.byte().expect("a break was seen here");
                self.level.left = Left::Values(0);
                self.level.owed -= 1;
                Ok(false)
            }
            Ok(_) => {
                self.level.left = Left::UntilBreak { pairs, half: pairs && !half };
                Ok(true)
            }
        }
    }

    /// Whether the map that was opened last has had a key without its value.
    pub(super) fn is_between_key_and_value(&self) -> bool {
        match self.level.left {
            Left::Values(left) => !left.is_multiple_of(2),
            Left::UntilBreak { half, .. } => half,
        }
    }

    /// How many values what was opened last still has, if that is known.
    pub(super) fn declared(&self) -> Option<usize> {
        match self.level.left {
            Left::Values(left) => Some(left),
            Left::UntilBreak { .. } => None,
        }
    }

    /// What was wrong with the bytes.
    pub(super) fn check_whole(&self) -> Result<(), DecodeError> {
        self.broken.map_or(Ok(()), Err)
    }

    /// Nothing may follow, and nothing may have been wrong.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        self.check_whole()?;
        match self.rest.len() {
            0 => Ok(()),
            _ => Err(DecodeError::new(self.offset(), DecodeFault::TrailingBytes)),
        }
    }

    #[cold]
    fn refuse(&mut self, from: Input<'_>, fault: DecodeFault) -> DecodeError {
        let offset = self.len - from.len();
        *self.broken.get_or_insert(DecodeError::new(offset, fault))
    }
}
