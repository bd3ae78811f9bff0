//! The bytes that are still to be read, and the numbers in front of them.

use crate::format::DecodeFault;

/// Ends what has begun without a count.
pub(super) const BREAK: u8 = 0xff;

/// The low five bits of a head without a number: a count that is not known, or a break.
const NO_ARGUMENT: u8 = 31;

/// What a value is: the high three bits of its first byte.
pub(super) mod major {
    pub(in super::super) const UNSIGNED: u8 = 0;
    pub(in super::super) const NEGATIVE: u8 = 1;
    pub(in super::super) const BYTES: u8 = 2;
    pub(in super::super) const TEXT: u8 = 3;
    pub(in super::super) const ARRAY: u8 = 4;
    pub(in super::super) const MAP: u8 = 5;
    pub(in super::super) const TAG: u8 = 6;
}

/// The major type of a value that begins with this byte.
pub(super) const fn major_of(initial: u8) -> u8 {
    initial >> 5
}

/// Whether the value that begins with this byte ends at a break.
pub(super) const fn ends_at_break(initial: u8) -> bool {
    initial & 0x1f == NO_ARGUMENT && matches!(major_of(initial), major::BYTES..=major::MAP)
}

/// The end of a body. A copy looks ahead.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'de>(&'de [u8]);

impl<'de> Input<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn first(&self) -> Result<u8, DecodeFault> {
        self.0.first().copied().ok_or(DecodeFault::Truncated)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'de [u8], DecodeFault> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(DecodeFault::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeFault> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeFault::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, DecodeFault> {
        self.take_array().map(|[byte]| byte)
    }

    /// The number that `initial` has in itself or behind it, in shortest form or not.
    #[inline]
    pub(super) fn argument(&mut self, initial: u8) -> Result<u64, DecodeFault> {
        match initial & 0x1f {
            small @ 0..=23 => Ok(small.into()),
            24 => Ok(u8::from_be_bytes(self.take_array()?).into()),
            25 => Ok(u16::from_be_bytes(self.take_array()?).into()),
            26 => Ok(u32::from_be_bytes(self.take_array()?).into()),
            27 => Ok(u64::from_be_bytes(self.take_array()?)),
            _ => Err(DecodeFault::Marker(initial)),
        }
    }

    /// The content of a string that is in one piece and begins with `initial`.
    #[inline]
    pub(super) fn string(&mut self, initial: u8) -> Result<&'de [u8], DecodeFault> {
        let len = usize::try_from(self.argument(initial)?).or(Err(DecodeFault::Truncated))?;
        self.take(len)
    }
}

/// A string in pieces, all of which have been found whole and of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pieces<'de> {
    /// From the first piece on, up to the end of the body.
    from_first: Input<'de>,
    /// Of all pieces together, and so below that of the body.
    len: usize,
}

impl<'de> Pieces<'de> {
    /// Moves `input` over the pieces and their break, behind `initial`.
    pub(super) fn read(input: &mut Input<'de>, initial: u8) -> Result<Self, DecodeFault> {
        let mut pieces = Self { from_first: *input, len: 0 };
        loop {
            let first = input.byte()?;
            if first == BREAK {
                return Ok(pieces);
            }
            if major_of(first) != major_of(initial) {
                return Err(DecodeFault::Marker(first));
            }
            let piece = input.string(first)?;
            // No character may be cut in two, says RFC 8949 in 3.2.3.
            if major_of(initial) == major::TEXT && std::str::from_utf8(piece).is_err() {
                return Err(DecodeFault::Utf8);
            }
            pieces.len += piece.len();
        }
    }

    /// Shows all pieces to `take`, one after the other, as long as it says `Some`.
    pub(super) fn each(self, take: &mut dyn FnMut(&[u8]) -> Option<()>) -> Option<()> {
        let mut rest = self.from_first;
        // The break has no length, and is the first that has none.
        while let Ok(piece) = rest.byte().and_then(|first| rest.string(first)) {
            take(piece)?;
        }
        Some(())
    }

    /// All pieces in one.
    pub(super) fn joined(self) -> Vec<u8> {
        let mut joined = Vec::with_capacity(self.len);
        self.each(&mut |piece| {
            joined.extend_from_slice(piece);
            Some(())
        });
        joined
    }

    /// The same for text.
    pub(super) fn joined_text(self) -> Result<String, DecodeFault> {
        String::from_utf8(self.joined()).or(Err(DecodeFault::Utf8))
    }
}

/// A float of 16 bits, exactly: five bits of exponent, ten of mantissa.
pub(super) fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let mantissa = u32::from(bits & 0x3ff);
    let magnitude = match exponent {
        // Multiples of 2^-24, which 32 bits have without loss.
        0 => (f32::from(bits & 0x3ff) / 16_777_216.0).to_bits(),
        // Infinities, and what is no number.
        31 => 0xff << 23 | mantissa << 13,
        _ => (exponent + 127 - 15) << 23 | mantissa << 13,
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_read_exactly() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0x3e00, 1.5),
            (0x7bff, 65_504.0),
            (0x0001, 5.960_464_5e-8),
            (0x0400, 6.103_515_6e-5),
            (0xc400, -4.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(bits).to_bits(), f32::to_bits(value), "{bits:#06x}");
        }
        assert_eq!(half(0x8000).to_bits(), (-0.0_f32).to_bits());
        assert!(half(0x7e00).is_nan());
    }

    /// By the formula of RFC 8949, appendix D.
    #[test]
    fn all_halves_are_what_the_formula_says() {
        for bits in 0..=u16::MAX {
            let (exponent, mantissa) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
            let magnitude = match exponent {
                0 => mantissa * 2_f64.powi(-24),
                31 if mantissa == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (mantissa + 1024.0) * 2_f64.powi(exponent - 25),
            };
            let value = if bits >> 15 == 1 { -magnitude } else { magnitude };
            let ours = f64::from(half(bits));
            assert!(ours == value || ours.is_nan() && value.is_nan(), "{bits:#06x}: {ours}");
        }
    }
}
