//! Values of a payload as MessagePack, always in their shortest form. All write to the front of
//! `out` and return how many bytes they wrote; an `out` that is too short is our bug.

/// How many bytes [`write_uint`] takes.
fn uint_len(value: u64) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0xFF => 2,
        0x100..=0xFFFF => 3,
        0x1_0000..=0xFFFF_FFFF => 5,
        _ => 9,
    }
}

/// Writes an id or a count.
pub(crate) fn write_uint(out: &mut [u8], value: u64) -> usize {
    let bytes = value.to_be_bytes();
    match uint_len(value) {
        1 => write(out, &[], &bytes[7..]),
        2 => write(out, &[0xCC], &bytes[7..]),
        3 => write(out, &[0xCD], &bytes[6..]),
        5 => write(out, &[0xCE], &bytes[4..]),
        _ => write(out, &[0xCF], &bytes),
    }
}

/// Writes a code.
pub(crate) fn write_int(out: &mut [u8], value: i32) -> usize {
    if let Ok(value) = u64::try_from(value) {
        return write_uint(out, value);
    }
    let bytes = value.to_be_bytes();
    match value {
        -0x20.. => write(out, &[], &bytes[3..]),
        -0x80.. => write(out, &[0xD0], &bytes[3..]),
        -0x8000.. => write(out, &[0xD1], &bytes[2..]),
        _ => write(out, &[0xD2], &bytes),
    }
}

/// Writes a text.
pub(crate) fn write_str(out: &mut [u8], text: &str) -> usize {
    let bytes = text.as_bytes();
    let [.., b3, b2, b1, b0] = bytes.len().to_be_bytes();
    match bytes.len() {
        0..=0x1F => write(out, &[0xA0 | b0], bytes),
        0x20..=0xFF => write(out, &[0xD9, b0], bytes),
        0x100..=0xFFFF => write(out, &[0xDA, b1, b0], bytes),
        _ => write(out, &[0xDB, b3, b2, b1, b0], bytes),
    }
}

/// Writes a binary.
pub(crate) fn write_bin(out: &mut [u8], bytes: &[u8]) -> usize {
    let [.., b3, b2, b1, b0] = bytes.len().to_be_bytes();
    match bytes.len() {
        0..=0xFF => write(out, &[0xC4, b0], bytes),
        0x100..=0xFFFF => write(out, &[0xC5, b1, b0], bytes),
        _ => write(out, &[0xC6, b3, b2, b1, b0], bytes),
    }
}

fn write(out: &mut [u8], head: &[u8], rest: &[u8]) -> usize {
    let len = head.len() + rest.len();
    out[..head.len()].copy_from_slice(head);
    out[head.len()..len].copy_from_slice(rest);
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What rmp-serde makes of the same value.
    fn oracle<T: serde::Serialize>(value: &T) -> Vec<u8> {
        rmp_serde::to_vec(value).unwrap()
    }

    fn written(write: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
        let mut out = vec![0; 70_010];
        let len = write(&mut out);
        out.truncate(len);
        out
    }

    #[test]
    fn integers_take_their_shortest_form() {
        for bit in 0..64 {
            for value in [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1, u64::MAX] {
                let bytes = written(|out| write_uint(out, value));
                assert_eq!(bytes, oracle(&value));
                assert_eq!(bytes.len(), uint_len(value));
            }
        }
        for value in [0, 1, -1, -32, -33, -128, -129, -32_768, -32_769, i32::MIN, 127, i32::MAX] {
            assert_eq!(written(|out| write_int(out, value)), oracle(&value), "{value}");
        }
    }

    #[test]
    fn texts_and_binaries_take_their_shortest_form() {
        for len in [0, 1, 31, 32, 255, 256, 65_535, 65_536] {
            let text = "x".repeat(len);
            assert_eq!(written(|out| write_str(out, &text)), oracle(&text), "{len}");
            let bin = written(|out| write_bin(out, text.as_bytes()));
            let (head, tail) = bin.split_at(bin.len() - len);
            assert_eq!(tail, text.as_bytes());
            assert_eq!(
                head.len(),
                if len < 256 {
                    2
                } else if len < 65_536 {
                    3
                } else {
                    5
                }
            );
            assert_eq!(crate::msgpack::unit::Fields::new(&bin).bin(), Ok(text.as_bytes()));
        }
    }
}
