//! Takes one head after the other from a body, and keeps count of what the bytes still owe. Every
//! limit of a body is checked here and nowhere else.

use crate::format::{DecodeError, DecodeFault};
use crate::limits::DEPTH_MAX;

/// The marker of a value that is not there.
pub(crate) const NIL: u8 = 0xC0;

/// Whether a map begins with this marker.
pub(crate) const fn is_map(marker: u8) -> bool {
    matches!(marker, 0x80..=0x8F | 0xDE | 0xDF)
}

/// A place in a body.
///
/// `head <= at <= bytes.len()`; `depth <= DEPTH_MAX`; `owed` is how many values the open arrays and
/// maps have declared that nobody has begun to read.
#[derive(Debug)]
pub(crate) struct Cursor<'de> {
    bytes: &'de [u8],
    /// Where the last head began.
    head: usize,
    at: usize,
    owed: usize,
    depth: u32,
    /// What was wrong with the bytes themselves. A type may swallow the error, the body is refused
    /// all the same.
    broken: Option<DecodeError>,
}

/// What the containers around a value owe, and how many they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    owed: usize,
    depth: u32,
}

/// The first bytes of a value: all of it, but for an array or a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Head<'de> {
    Nil,
    Bool(bool),
    /// Any integer that is not negative, whatever its width was.
    Unsigned(u64),
    /// A negative integer, or a small one sent in a signed form.
    Signed(i64),
    Float32(f32),
    Float64(f64),
    Str(&'de str),
    Bin(&'de [u8]),
    /// How many elements it declares.
    Array(usize),
    /// How many pairs it declares.
    Map(usize),
}

impl Head<'_> {
    pub(crate) fn is_container(&self) -> bool {
        matches!(self, Head::Array(_) | Head::Map(_))
    }
}

impl<'de> Cursor<'de> {
    pub(crate) fn new(bytes: &'de [u8]) -> Self {
        Self { bytes, head: 0, at: 0, owed: 0, depth: 0, broken: None }
    }

    /// Bytes read so far.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next marker, left where it is.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<u8, DecodeError> {
        match self.bytes.get(self.at) {
            Some(marker) => Ok(*marker),
            None => Err(self.refuse(self.at, DecodeFault::Truncated)),
        }
    }

    /// Moves over a marker that [`peek`](Self::peek) has shown.
    #[inline]
    pub(crate) fn skip_marker(&mut self) {
        debug_assert!(self.at < self.bytes.len(), "a marker was seen here");
        self.at += 1;
    }

    /// Takes the head of the next value.
    pub(crate) fn head(&mut self) -> Result<Head<'de>, DecodeError> {
        self.head = self.at;
        self.any_head().map_err(|fault| self.refuse(self.head, fault))
    }

    /// Goes back to the head that was taken last: the type has no use for this value.
    pub(crate) fn put_back(&mut self) {
        self.at = self.head;
    }

    fn any_head(&mut self) -> Result<Head<'de>, DecodeFault> {
        let [marker] = self.take_array()?;
        Ok(match marker {
            0x00..=0x7F => Head::Unsigned(marker.into()),
            0x80..=0x8F => Head::Map(usize::from(marker & 0x0F)),
            0x90..=0x9F => Head::Array(usize::from(marker & 0x0F)),
            0xA0..=0xBF => self.str(usize::from(marker & 0x1F))?,
            NIL => Head::Nil,
            0xC2 => Head::Bool(false),
            0xC3 => Head::Bool(true),
            0xC4 => self.length_8().and_then(|length| self.bin(length))?,
            0xC5 => self.length_16().and_then(|length| self.bin(length))?,
            0xC6 => self.length_32().and_then(|length| self.bin(length))?,
            0xCA => Head::Float32(f32::from_be_bytes(self.take_array()?)),
            0xCB => Head::Float64(f64::from_be_bytes(self.take_array()?)),
            0xCC => Head::Unsigned(u8::from_be_bytes(self.take_array()?).into()),
            0xCD => Head::Unsigned(u16::from_be_bytes(self.take_array()?).into()),
            0xCE => Head::Unsigned(u32::from_be_bytes(self.take_array()?).into()),
            0xCF => Head::Unsigned(u64::from_be_bytes(self.take_array()?)),
            0xD0 => Head::Signed(i8::from_be_bytes(self.take_array()?).into()),
            0xD1 => Head::Signed(i16::from_be_bytes(self.take_array()?).into()),
            0xD2 => Head::Signed(i32::from_be_bytes(self.take_array()?).into()),
            0xD3 => Head::Signed(i64::from_be_bytes(self.take_array()?)),
            0xD9 => self.length_8().and_then(|length| self.str(length))?,
            0xDA => self.length_16().and_then(|length| self.str(length))?,
            0xDB => self.length_32().and_then(|length| self.str(length))?,
            0xDC => Head::Array(self.length_16()?),
            0xDD => Head::Array(self.length_32()?),
            0xDE => Head::Map(self.length_16()?),
            0xDF => Head::Map(self.length_32()?),
            0xE0..=0xFF => Head::Signed(i8::from_be_bytes([marker]).into()),
            0xC1 | 0xC7..=0xC9 | 0xD4..=0xD8 => return Err(DecodeFault::Marker(marker)),
        })
    }

    fn length_8(&mut self) -> Result<usize, DecodeFault> {
        Ok(u8::from_be_bytes(self.take_array()?).into())
    }

    fn length_16(&mut self) -> Result<usize, DecodeFault> {
        Ok(u16::from_be_bytes(self.take_array()?).into())
    }

    fn length_32(&mut self) -> Result<usize, DecodeFault> {
        // Where an address has fewer bits, no body is that long either.
        usize::try_from(u32::from_be_bytes(self.take_array()?)).or(Err(DecodeFault::Truncated))
    }

    fn str(&mut self, length: usize) -> Result<Head<'de>, DecodeFault> {
        std::str::from_utf8(self.take(length)?).map(Head::Str).or(Err(DecodeFault::Utf8))
    }

    fn bin(&mut self, length: usize) -> Result<Head<'de>, DecodeFault> {
        self.take(length).map(Head::Bin)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'de [u8], DecodeFault> {
        let (taken, _) =
            self.bytes[self.at..].split_at_checked(length).ok_or(DecodeFault::Truncated)?;
        self.at += length;
        Ok(taken)
    }

    #[inline]
    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeFault> {
        let taken = self.bytes[self.at..].first_chunk().ok_or(DecodeFault::Truncated)?;
        self.at += N;
        Ok(*taken)
    }

    /// Goes into an array or map whose head was just taken, and returns how many values it has:
    /// two for each pair of a map.
    ///
    /// Every declared value takes a byte at least, and those that the containers around it have
    /// declared do too. So all counts of a body together are never more than its length.
    //= docs/PROTOCOL.md#5
    pub(crate) fn open(&mut self, head: &Head<'_>) -> Result<usize, DecodeError> {
        let values = match *head {
            Head::Array(elements) => Some(elements),
            Head::Map(pairs) => pairs.checked_mul(2),
            _ => Some(0),
        };
        let room = self.remaining().saturating_sub(self.owed);
        let Some(values) = values.filter(|values| *values <= room) else {
            return Err(self.refuse(self.head, DecodeFault::TooMany));
        };
        if self.depth == DEPTH_MAX {
            return Err(self.refuse(self.head, DecodeFault::TooDeep));
        }
        self.depth += 1;
        self.owed += values;
        Ok(values)
    }

    /// Leaves the array or map that was opened last.
    pub(crate) fn close(&mut self) {
        debug_assert!(self.depth > 0, "each close has its open");
        self.depth -= 1;
    }

    /// The level of the value that is read next, to be left in the end by [`leave`](Self::leave).
    pub(crate) fn level(&self) -> Level {
        Level { owed: self.owed, depth: self.depth }
    }

    /// Whether values of containers inside `level` are still to be read.
    pub(crate) fn owes_within(&self, level: Level) -> bool {
        self.owed > level.owed
    }

    /// Leaves all containers inside `level`.
    pub(crate) fn leave(&mut self, level: Level) {
        self.owed = level.owed;
        self.depth = level.depth;
    }

    /// One of the declared values is read next.
    #[inline]
    pub(crate) fn take_value(&mut self) {
        debug_assert!(self.owed > 0, "it was declared");
        self.owed -= 1;
    }

    /// Nothing may follow, and nothing may have been wrong.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        match self.broken {
            Some(error) => Err(error),
            None if self.remaining() == 0 => Ok(()),
            None => Err(DecodeError::new(self.at, DecodeFault::TrailingBytes)),
        }
    }

    #[cold]
    fn refuse(&mut self, offset: usize, fault: DecodeFault) -> DecodeError {
        *self.broken.get_or_insert(DecodeError::new(offset, fault))
    }
}
