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
/// `rest` is the end of `from_head`, which is the end of the body; `depth <= DEPTH_MAX`; `owed` is
/// how many values the open arrays and maps have declared that nobody has begun to read.
#[derive(Debug)]
pub(crate) struct Cursor<'de> {
    /// Length of the whole body.
    len: usize,
    /// What is still to be read.
    rest: &'de [u8],
    /// What was still to be read when the last head was taken.
    from_head: &'de [u8],
    owed: usize,
    depth: u32,
    /// What was wrong with the bytes themselves. A type may swallow the error, the body is refused
    /// all the same.
    broken: Option<DecodeError>,
}

/// What can be wrong with a head. Small, because it comes back from every one.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    Truncated,
    Utf8,
    Marker,
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
        Self { len: bytes.len(), rest: bytes, from_head: bytes, owed: 0, depth: 0, broken: None }
    }

    /// Bytes read so far.
    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.len - self.rest.len()
    }

    /// The next marker, left where it is.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<u8, DecodeError> {
        match self.rest.first() {
            Some(marker) => Ok(*marker),
            None => Err(self.refuse(self.rest, DecodeFault::Truncated)),
        }
    }

    /// Moves over a marker that [`peek`](Self::peek) has shown.
    #[inline]
    pub(crate) fn skip_marker(&mut self) {
        self.rest = self.rest.get(1..).expect("a marker was seen here");
    }

    /// Takes the next value if it is an integer of the most common kinds, without the detour over a
    /// [`Head`]: numbers are half of what bodies are made of.
    #[inline(always)]
    pub(crate) fn short_integer(&mut self) -> Option<u64> {
        let (value, rest) = match self.rest {
            [small @ 0x00..=0x7F, rest @ ..] => (u64::from(*small), rest),
            [0xCC, a, rest @ ..] => (u64::from(*a), rest),
            [0xCD, a, b, rest @ ..] => (u16::from_be_bytes([*a, *b]).into(), rest),
            [0xCE, a, b, c, d, rest @ ..] => (u32::from_be_bytes([*a, *b, *c, *d]).into(), rest),
            _ => return None,
        };
        self.rest = rest;
        Some(value)
    }

    /// The same for a string of up to 31 bytes. One that is not UTF-8 is left to be refused.
    #[inline(always)]
    pub(crate) fn short_str(&mut self) -> Option<&'de str> {
        let [marker @ 0xA0..=0xBF, rest @ ..] = self.rest else { return None };
        let (bytes, rest) = rest.split_at_checked(usize::from(marker & 0x1F))?;
        let text = std::str::from_utf8(bytes).ok()?;
        self.rest = rest;
        Some(text)
    }

    /// Takes the head of the next value.
    #[inline]
    pub(crate) fn head(&mut self) -> Result<Head<'de>, DecodeError> {
        self.from_head = self.rest;
        match self.any_head() {
            Ok(head) => Ok(head),
            Err(wrong) => Err(self.refuse_head(wrong)),
        }
    }

    #[cold]
    fn refuse_head(&mut self, wrong: Wrong) -> DecodeError {
        let fault = match (wrong, self.from_head) {
            (Wrong::Marker, [marker, ..]) => DecodeFault::Marker(*marker),
            (Wrong::Utf8, _) => DecodeFault::Utf8,
            _ => DecodeFault::Truncated,
        };
        self.refuse(self.from_head, fault)
    }

    /// Goes back to the head that was taken last: the type has no use for this value.
    pub(crate) fn put_back(&mut self) {
        self.rest = self.from_head;
    }

    #[inline]
    fn any_head(&mut self) -> Result<Head<'de>, Wrong> {
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
            0xC1 | 0xC7..=0xC9 | 0xD4..=0xD8 => return Err(Wrong::Marker),
        })
    }

    #[inline]
    fn length_8(&mut self) -> Result<usize, Wrong> {
        Ok(u8::from_be_bytes(self.take_array()?).into())
    }

    #[inline]
    fn length_16(&mut self) -> Result<usize, Wrong> {
        Ok(u16::from_be_bytes(self.take_array()?).into())
    }

    #[inline]
    fn length_32(&mut self) -> Result<usize, Wrong> {
        // Where an address has fewer bits, no body is that long either.
        usize::try_from(u32::from_be_bytes(self.take_array()?)).or(Err(Wrong::Truncated))
    }

    #[inline]
    fn str(&mut self, length: usize) -> Result<Head<'de>, Wrong> {
        std::str::from_utf8(self.take(length)?).map(Head::Str).or(Err(Wrong::Utf8))
    }

    #[inline]
    fn bin(&mut self, length: usize) -> Result<Head<'de>, Wrong> {
        self.take(length).map(Head::Bin)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'de [u8], Wrong> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Wrong::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline(always)]
    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Wrong::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Goes into an array or map whose head was just taken, and returns how many values it has:
    /// two for each pair of a map.
    ///
    /// Every declared value takes a byte at least, and those that the containers around it have
    /// declared do too. So all counts of a body together are never more than its length.
    //= docs/PROTOCOL.md#5
    #[inline]
    pub(crate) fn open(&mut self, head: &Head<'_>) -> Result<usize, DecodeError> {
        let values = match *head {
            Head::Array(elements) => Some(elements),
            Head::Map(pairs) => pairs.checked_mul(2),
            _ => Some(0),
        };
        let room = self.rest.len().saturating_sub(self.owed);
        let Some(values) = values.filter(|values| *values <= room) else {
            return Err(self.refuse(self.from_head, DecodeFault::TooMany));
        };
        if self.depth == DEPTH_MAX {
            return Err(self.refuse(self.from_head, DecodeFault::TooDeep));
        }
        self.depth += 1;
        self.owed += values;
        Ok(values)
    }

    /// Leaves the array or map that was opened last.
    #[inline]
    pub(crate) fn close(&mut self) {
        debug_assert!(self.depth > 0, "each close has its open");
        self.depth -= 1;
    }

    /// The level of the value that is read next, to be left in the end by [`leave`](Self::leave).
    #[inline]
    pub(crate) fn level(&self) -> Level {
        Level { owed: self.owed, depth: self.depth }
    }

    /// Whether values of containers inside `level` are still to be read.
    #[inline]
    pub(crate) fn owes_within(&self, level: Level) -> bool {
        self.owed > level.owed
    }

    /// Leaves all containers inside `level`.
    #[inline]
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
            None if self.rest.is_empty() => Ok(()),
            None => Err(DecodeError::new(self.offset(), DecodeFault::TrailingBytes)),
        }
    }

    #[cold]
    fn refuse(&mut self, from: &[u8], fault: DecodeFault) -> DecodeError {
        let offset = self.len - from.len();
        *self.broken.get_or_insert(DecodeError::new(offset, fault))
    }
}
