//! Heads of CBOR items: a major type and a number, shortest form when written.

/// Longest head, in bytes.
pub(crate) const HEAD_LEN_MAX: usize = 9;

/// The major types that frames are made of.
pub(crate) mod major {
    pub(crate) const UINT: u8 = 0;
    pub(crate) const BYTES: u8 = 2;
    pub(crate) const TAG: u8 = 6;
}

/// A head that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) major: u8,
    /// `None`: up to a break.
    pub(crate) value: Option<u64>,
    /// Its own length in bytes.
    pub(crate) len: usize,
}

/// No head at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoHead;

impl Head {
    /// The head at the front of `bytes`; `None` where it is not whole.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, NoHead> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (major, low) = (first >> 5, first & 0x1f);
        match low {
            0..=23 => Ok(Some(Self { major, value: Some(low.into()), len: 1 })),
            24..=27 => {
                let number = &bytes[1..];
                let (value, len) = match low {
                    24 => (number.first().map(|byte| u64::from(*byte)), 2),
                    25 => (number.first_chunk().map(|two| u16::from_be_bytes(*two).into()), 3),
                    26 => (number.first_chunk().map(|four| u32::from_be_bytes(*four).into()), 5),
                    _ => (number.first_chunk().map(|eight| u64::from_be_bytes(*eight)), 9),
                };
                Ok(value.map(|value| Self { major, value: Some(value), len }))
            }
            31 => Ok(Some(Self { major, value: None, len: 1 })),
            _ => Err(NoHead),
        }
    }

    /// A head that must be there, of this major type and with a number.
    #[inline]
    pub(crate) fn expect(bytes: &[u8], major: u8) -> Option<(u64, usize)> {
        match Self::read(bytes) {
            Ok(Some(Self { major: found, value: Some(value), len })) if found == major => {
                Some((value, len))
            }
            _ => None,
        }
    }
}

/// Bytes of the shortest head with this number.
#[inline]
pub(crate) const fn head_len(value: u64) -> usize {
    match value {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// Writes the shortest head and returns its length. `out` has room for it.
#[inline]
pub(crate) fn put_head(out: &mut [u8], major: u8, value: u64) -> usize {
    let number = value.to_be_bytes();
    let major = major << 5;
    match head_len(value) {
        1 => {
            out[0] = major | number[7];
            1
        }
        2 => {
            out[0] = major | 24;
            out[1] = number[7];
            2
        }
        3 => {
            out[0] = major | 25;
            out[1..3].copy_from_slice(&number[6..]);
            3
        }
        5 => {
            out[0] = major | 26;
            out[1..5].copy_from_slice(&number[4..]);
            5
        }
        _ => {
            out[0] = major | 27;
            out[1..9].copy_from_slice(&number);
            9
        }
    }
}

/// Room for all heads of a frame, and for what [`put_wide`] writes behind the last one.
pub(crate) type Heads = [u8; 64];

/// The same as [`put_head`] without a choice of how much is copied: nine bytes are written, of which the
/// head is the first part. Returns where it ends.
#[inline]
pub(crate) fn put_wide(out: &mut Heads, at: usize, major: u8, value: u64) -> usize {
    let (len, low, shift) = match value {
        0..=23 => (1, value.to_be_bytes()[7], 0),
        24..=0xff => (2, 24, 56),
        0x100..=0xffff => (3, 25, 48),
        0x1_0000..=0xffff_ffff => (5, 26, 32),
        _ => (9, 27, 0),
    };
    let room = &mut out[at..at + HEAD_LEN_MAX];
    room[0] = major << 5 | low;
    room[1..].copy_from_slice(&(value << shift).to_be_bytes());
    at + len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_shortest_and_come_back() {
        for value in [0, 23, 24, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 1 << 32, u64::MAX] {
            let mut bytes = [0; HEAD_LEN_MAX];
            let len = put_head(&mut bytes, major::TAG, value);
            assert_eq!(len, head_len(value));
            let head = Head { major: major::TAG, value: Some(value), len };
            assert_eq!(Head::read(&bytes[..len]), Ok(Some(head)));
            for short in 0..len {
                assert_eq!(Head::read(&bytes[..short]), Ok(None));
            }
            let mut wide = [0; 64];
            assert_eq!(put_wide(&mut wide, 3, major::TAG, value), 3 + len);
            assert_eq!(wide[3..3 + len], bytes[..len]);
            let mut oracle = Vec::new();
            minicbor::Encoder::new(&mut oracle).tag(minicbor::data::Tag::new(value)).unwrap();
            assert_eq!(oracle, bytes[..len]);
        }
    }

    #[test]
    fn reserved_lengths_are_no_heads() {
        for low in 28..=30 {
            assert_eq!(Head::read(&[0x40 | low]), Err(NoHead));
        }
    }
}
