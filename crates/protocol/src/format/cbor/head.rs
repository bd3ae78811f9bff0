//! The first bytes of a value, and what they say of it.

use crate::format::DecodeFault;

use super::input::{Input, Pieces, ends_at_break, half, major, major_of};

/// Integers above 64 bits are bytes behind one of these tags.
const TAG_BIG_POSITIVE: u64 = 2;
const TAG_BIG_NEGATIVE: u64 = 3;

/// Whether the bytes behind this tag are the digits of an integer.
pub(super) const fn is_big_number(tag: u64) -> bool {
    matches!(tag, TAG_BIG_POSITIVE | TAG_BIG_NEGATIVE)
}

/// Whether a value that begins with this byte stands for nothing: null, or undefined.
pub(super) const fn is_nil(initial: u8) -> bool {
    matches!(initial, 0xf6 | 0xf7)
}

/// Whether a map begins with this byte.
pub(super) const fn is_map(initial: u8) -> bool {
    major_of(initial) == major::MAP
}

/// The first bytes of a value, its tags included: all of it, but for an array or a map.
#[derive(Debug, Clone, Copy)]
pub(super) enum Head<'de> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    /// Above 64 bits.
    WideUnsigned(u128),
    /// Below 64 bits with a sign.
    WideSigned(i128),
    Float32(f32),
    Float64(f64),
    Text(&'de str),
    Bytes(&'de [u8]),
    TextPieces(Pieces<'de>),
    BytesPieces(Pieces<'de>),
    /// How many elements it declares; `None`: as many as come before a break.
    Array(Option<u64>),
    /// The same for pairs.
    Map(Option<u64>),
}

impl<'de> Head<'de> {
    /// The head that begins with `initial`, which is no tag, behind `tag`; `rest` begins behind that.
    #[inline]
    pub(super) fn read(
        rest: &mut Input<'de>,
        initial: u8,
        tag: Option<u64>,
    ) -> Result<Self, DecodeFault> {
        match tag {
            Some(TAG_BIG_POSITIVE) => big_number(rest, initial, false),
            Some(TAG_BIG_NEGATIVE) => big_number(rest, initial, true),
            _ => untagged(rest, initial),
        }
    }

    pub(super) fn is_container(&self) -> bool {
        matches!(self, Head::Array(_) | Head::Map(_))
    }
}

#[inline]
fn untagged<'de>(rest: &mut Input<'de>, initial: u8) -> Result<Head<'de>, DecodeFault> {
    let in_pieces = ends_at_break(initial);
    Ok(match major_of(initial) {
        major::UNSIGNED => Head::Unsigned(rest.argument(initial)?),
        major::NEGATIVE => negative(rest.argument(initial)?.into())?,
        major::BYTES if in_pieces => Head::BytesPieces(Pieces::read(rest, initial)?),
        major::BYTES => Head::Bytes(rest.string(initial)?),
        major::TEXT if in_pieces => Head::TextPieces(Pieces::read(rest, initial)?),
        major::TEXT => {
            let text = std::str::from_utf8(rest.string(initial)?).or(Err(DecodeFault::Utf8))?;
            Head::Text(text)
        }
        major::ARRAY if in_pieces => Head::Array(None),
        major::ARRAY => Head::Array(Some(rest.argument(initial)?)),
        major::MAP if in_pieces => Head::Map(None),
        major::MAP => Head::Map(Some(rest.argument(initial)?)),
        _ => match initial {
            0xf4 => Head::Bool(false),
            0xf5 => Head::Bool(true),
            nil if is_nil(nil) => Head::Nil,
            0xf9 => Head::Float32(half(u16::from_be_bytes(rest.take_array()?))),
            0xfa => Head::Float32(f32::from_be_bytes(rest.take_array()?)),
            0xfb => Head::Float64(f64::from_be_bytes(rest.take_array()?)),
            // Values that nobody has given a meaning, and breaks where nothing is to be ended.
            _ => return Err(DecodeFault::Marker(initial)),
        },
    })
}

/// The integer -1 - `distance`.
fn negative<'de>(distance: u128) -> Result<Head<'de>, DecodeFault> {
    let distance = i128::try_from(distance).or(Err(DecodeFault::BigNumber))?;
    Ok(i64::try_from(!distance).map_or(Head::WideSigned(!distance), Head::Signed))
}

/// An integer whose digits are bytes. Leading zeros are tolerated, more than 128 bits are not.
fn big_number<'de>(
    rest: &mut Input<'de>,
    initial: u8,
    is_negative: bool,
) -> Result<Head<'de>, DecodeFault> {
    let mut value = 0_u128;
    let mut add = |digits: &[u8]| {
        for digit in digits {
            value = value.checked_mul(256)? | u128::from(*digit);
        }
        Some(())
    };
    let added = match untagged(rest, initial)? {
        Head::Bytes(digits) => add(digits),
        Head::BytesPieces(pieces) => pieces.each(&mut add),
        _ => return Err(DecodeFault::Marker(initial)),
    };
    added.ok_or(DecodeFault::BigNumber)?;
    if is_negative {
        return negative(value);
    }
    Ok(u64::try_from(value).map_or(Head::WideUnsigned(value), Head::Unsigned))
}
