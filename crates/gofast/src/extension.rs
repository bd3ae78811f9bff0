//! What two of us say to each other over gofast, though gofast has no words for it: bodies of one
//! reserved message id, which nobody else uses. Who is one of us says so by a name in its list of
//! tags; a real gofast peer is never sent any of this.
//!
//! | body | travels as | means |
//! |---|---|---|
//! | `01` code text detail | the answer to a request | it failed, and why |
//! | `02` | a post on the opaque of a request | its answer is not wanted any more |
//! | `03` code text | a message of a stream, its end follows | it is over both ways |
//! | `04` value | a message of a stream, its end follows | the last value |
//! | `05` obeyed code text | a post | start nothing new |
//! | `06` code text | a post | nothing follows |
//!
//! A code has 4 bytes, a text begins with its length in 2. Streams of bytes have a reserved id of
//! their own, and their name where others have an opening message.

use moorline_protocol::ErrorCode;
use moorline_protocol::limits::TEXT_MAX;

/// Longest part in front of a detail, a value or a name.
pub(crate) const WORD_HEAD_MAX: usize = 1 + 1 + 4 + 2 + TEXT_MAX;

/// Something said, with what it borrows from its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word<'a> {
    Error { code: ErrorCode, text: &'a str, detail: &'a [u8] },
    Cancel,
    Reset { code: ErrorCode, text: &'a str },
    Trailer(&'a [u8]),
    GoAway { obeyed: bool, code: ErrorCode, text: &'a str },
    Close { code: ErrorCode, text: &'a str },
}

/// The first part of a body; the second is what it borrows.
pub(crate) struct Head {
    bytes: [u8; WORD_HEAD_MAX],
    len: usize,
}

impl Head {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn said(&mut self, code: ErrorCode, text: &str) {
        self.put(&code.0.to_be_bytes());
        let text = &text[..text.floor_char_boundary(TEXT_MAX)];
        let len = u16::try_from(text.len()).expect("a text is cut to TEXT_MAX");
        self.put(&len.to_be_bytes());
        self.put(text.as_bytes());
    }
}

impl<'a> Word<'a> {
    /// The body, in two parts.
    pub(crate) fn encode(self) -> (Head, &'a [u8]) {
        let mut head = Head { bytes: [0; WORD_HEAD_MAX], len: 0 };
        let mut rest: &[u8] = &[];
        match self {
            Word::Error { code, text, detail } => {
                head.put(&[1]);
                head.said(code, text);
                rest = detail;
            }
            Word::Cancel => head.put(&[2]),
            Word::Reset { code, text } => {
                head.put(&[3]);
                head.said(code, text);
            }
            Word::Trailer(value) => {
                head.put(&[4]);
                rest = value;
            }
            Word::GoAway { obeyed, code, text } => {
                head.put(&[5, obeyed.into()]);
                head.said(code, text);
            }
            Word::Close { code, text } => {
                head.put(&[6]);
                head.said(code, text);
            }
        }
        (head, rest)
    }

    /// What a body says; `None` where it says nothing.
    pub(crate) fn decode(body: &'a [u8]) -> Option<Self> {
        let (&word, rest) = body.split_first()?;
        Some(match word {
            1 => {
                let (code, text, detail) = said(rest)?;
                Word::Error { code, text, detail }
            }
            2 if rest.is_empty() => Word::Cancel,
            3 => {
                let (code, text, _) = said(rest)?;
                Word::Reset { code, text }
            }
            4 => Word::Trailer(rest),
            5 => {
                let (&obeyed, rest) = rest.split_first()?;
                let (code, text, _) = said(rest)?;
                Word::GoAway { obeyed: obeyed != 0, code, text }
            }
            6 => {
                let (code, text, _) = said(rest)?;
                Word::Close { code, text }
            }
            _ => return None,
        })
    }
}

fn said(rest: &[u8]) -> Option<(ErrorCode, &str, &[u8])> {
    let (code, rest) = rest.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
    Some((ErrorCode(i32::from_be_bytes(*code)), std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_comes_back_and_no_beginning_of_one_panics() {
        let (code, text) = (ErrorCode(-7), "no, é");
        for word in [
            Word::Error { code, text, detail: b"detail" },
            Word::Cancel,
            Word::Reset { code, text },
            Word::Trailer(b"last"),
            Word::GoAway { obeyed: true, code, text },
            Word::Close { code, text: "" },
        ] {
            let (head, rest) = word.encode();
            let body = [head.bytes(), rest].concat();
            assert_eq!(Word::decode(&body), Some(word));
            (0..body.len()).for_each(|len| {
                assert!(Word::decode(&body[..len]) != Some(word) || len == body.len())
            });
        }
        let long = "x".repeat(10_000);
        let (head, _) = Word::Close { code, text: &long }.encode();
        let Some(Word::Close { text, .. }) = Word::decode(head.bytes()) else { panic!("a close") };
        assert_eq!(text.len(), TEXT_MAX);
        assert_eq!((Word::decode(&[]), Word::decode(&[9])), (None, None));
    }
}
