//! A first look at received bytes: where a frame ends, what kind it is, on which opaque.

use std::ops::Range;

use moorline_protocol::Violation;

use crate::dialect::Dialect;
use crate::head::{Head, major};
use crate::packet::{Kind, PREFIX};

/// A frame, as far as its outside tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    /// Of the whole frame, in bytes.
    pub(crate) len: usize,
    pub(crate) opaque: u64,
    /// What stands behind the opaque: a message, maybe compressed. Empty for the end of a stream.
    pub(crate) inner: Range<usize>,
}

/// What can be said of bytes that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sight {
    /// So many more are needed to say anything, or to have all of it.
    Missing(usize),
    /// Its head is there, and not all of the rest.
    Partly(Seen),
    Whole(Seen),
}

/// The rule of this chapter of the protocol that a peer broke.
pub(crate) const fn broken(rule: &'static str) -> Violation {
    Violation::protocol(11, rule)
}

/// Looks at the frame at the front of `bytes`, of which no more than `content_max` are believed to be
/// within its outer byte string.
///
/// # Errors
/// It is no frame.
//= docs/PROTOCOL.md#11
#[inline]
pub(crate) fn look(dialect: Dialect, bytes: &[u8], content_max: u64) -> Result<Sight, Violation> {
    let Some(&[first, second, third, kind]) = bytes.first_chunk() else {
        return beginning(bytes);
    };
    if [first, second, third] != PREFIX {
        return Err(NO_PREFIX);
    }
    let kind = Kind::of(kind).ok_or(broken("a kind of frame that does not exist"))?;
    let mut at = PREFIX.len() + 1;
    let Some((content_len, head_len)) = number(&bytes[at..], major::BYTES)? else {
        return Ok(missing(bytes));
    };
    at += head_len;
    if content_len > content_max {
        return Err(Violation::with_code(
            11,
            "a packet is longer than the buffer we have told",
            moorline_protocol::ErrorCode::TOO_LARGE,
        ));
    }
    let beyond = broken("a packet is longer than any memory");
    let content_len = usize::try_from(content_len).map_err(|_| beyond)?;
    let end = at.checked_add(content_len).ok_or(beyond)?;
    let content = &bytes[at..end.min(bytes.len())];
    let Some((opaque, tag_len)) = number(content, major::TAG)? else {
        let torn = end <= bytes.len();
        return if torn {
            Err(broken("a packet begins with its opaque"))
        } else {
            Ok(Sight::Missing(end - bytes.len()))
        };
    };
    at += tag_len;
    let inner =
        match inner(dialect, kind, &bytes[at..end.min(bytes.len())], end.saturating_sub(at))? {
            Some(range) => at + range.start..at + range.end,
            None => return Ok(Sight::Missing(end - bytes.len())),
        };
    let len = end + if kind == Kind::End { dialect.end_trails() } else { 0 };
    let seen = Seen { kind, len, opaque, inner };
    if bytes.len() < len {
        return Ok(Sight::Partly(seen));
    }
    if len > end && bytes[end] != 0xff {
        return Err(broken("the end of a stream ends with a break"));
    }
    Ok(Sight::Whole(seen))
}

const NO_PREFIX: Violation = broken("a frame begins with d9d9f7");

/// What is wrong is seen as early as possible, however it comes.
fn beginning(bytes: &[u8]) -> Result<Sight, Violation> {
    if PREFIX.starts_with(bytes) || bytes == PREFIX { Ok(missing(bytes)) } else { Err(NO_PREFIX) }
}

fn missing(bytes: &[u8]) -> Sight {
    // A length of eight bytes needs four more than the shortest frame has.
    let wanted = if bytes.len() < crate::limits::FRAME_MIN { crate::limits::FRAME_MIN } else { 13 };
    Sight::Missing(wanted.saturating_sub(bytes.len()).max(1))
}

/// The number of a head that must have this major type; `None` where it is not whole.
#[inline]
fn number(bytes: &[u8], major: u8) -> Result<Option<(u64, usize)>, Violation> {
    let rule = broken("a head that is not what stands there in every packet");
    match Head::read(bytes) {
        Ok(None) => Ok(None),
        Ok(Some(Head { major: found, value: Some(value), len })) if found == major => {
            Ok(Some((value, len)))
        }
        _ => Err(rule),
    }
}

/// Where the message lies among the `len` bytes behind the opaque, of which some are there.
#[inline]
fn inner(
    dialect: Dialect,
    kind: Kind,
    bytes: &[u8],
    len: usize,
) -> Result<Option<Range<usize>>, Violation> {
    if kind == Kind::End {
        let Some(&first) = bytes.first() else {
            return if len == 0 {
                Err(broken("the end of a stream is cut short"))
            } else {
                Ok(None)
            };
        };
        if first != dialect.end_content() || len != 1 {
            return Err(broken("the end of a stream holds nothing but its opaque"));
        }
        return Ok(Some(0..0));
    }
    let Some((inner_len, head_len)) = number(bytes, major::BYTES)? else {
        return if bytes.len() == len { Err(broken("a packet holds a message")) } else { Ok(None) };
    };
    if inner_len != (len - head_len) as u64 {
        return Err(broken("a message fills its packet"));
    }
    Ok(Some(head_len..len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::tests::hex;

    const POST: &str = "d9d9f7c656da0002710350d82bbfd82c186fd82d456161616161ff";

    //= docs/PROTOCOL.md#11
    #[test]
    fn nine_bytes_are_enough_to_learn_how_many_follow() {
        for (frame, dialect) in [
            (POST, Dialect::Y2017),
            ("d9d9f7c846da0002710540ff", Dialect::Y2017),
            ("d9d9f7c844d907d4ff", Dialect::Y2016),
            (
                "d9d9f7815825da00027100581ed82bbfd82c191002d82d5206636c69656e740100000000000010000000ff",
                Dialect::Y2017,
            ),
        ] {
            let bytes = hex(frame);
            for len in 0..bytes.len() {
                match look(dialect, &bytes[..len], 4096).unwrap() {
                    Sight::Missing(more) => {
                        assert!((1..=bytes.len() - len).contains(&more), "{len}: {more}")
                    }
                    Sight::Partly(seen) => assert_eq!(seen.len, bytes.len()),
                    Sight::Whole(_) => panic!("{len} bytes of {frame}"),
                }
            }
            let Ok(Sight::Whole(seen)) = look(dialect, &bytes, 4096) else { panic!("{frame}") };
            assert_eq!(seen.len, bytes.len());
        }
    }

    #[test]
    fn an_announced_length_is_refused_before_it_is_waited_for() {
        // 5 GB, and just above the buffer.
        for head in ["5b000000012a05f200", "5a00001001"] {
            let bytes = hex(&format!("d9d9f7c6{head}"));
            let error = look(Dialect::Y2017, &bytes, 4096).unwrap_err();
            assert!(error.rule.contains("longer than the buffer"), "{error}");
        }
        let fits = hex("d9d9f7c65a00001000");
        assert!(matches!(look(Dialect::Y2017, &fits, 4096), Ok(Sight::Missing(_))));
    }
}
