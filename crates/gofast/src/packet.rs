//! Frames as they are written: prefix, kind, and a packet within a packet.
//!
//! ```text
//!  d9d9f7 | kind | bytes( opaque-tag  bytes( message-tag bf id-key ID data-key bytes(BODY) ff ) )
//!                                     `--- or compression-tag bytes( .. the same, compressed .. )
//! ```

use moorline_buffers::{PoolExhausted, SendBuffer};

use crate::dialect::Dialect;
use crate::head::{HEAD_LEN_MAX, Heads, head_len, major, put_head, put_wide};
use crate::pieces::{self, Way};

/// CBOR's own tag, which says that CBOR follows.
pub(crate) const PREFIX: [u8; 3] = [0xd9, 0xd9, 0xf7];

const BREAK: u8 = 0xff;

/// The byte behind the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Post = 0xc6,
    /// Or the answer to one: who receives it knows.
    Request = 0x81,
    Start = 0x9f,
    Message = 0xc7,
    End = 0xc8,
}

impl Kind {
    pub(crate) const fn of(byte: u8) -> Option<Self> {
        match byte {
            0xc6 => Some(Self::Post),
            0x81 => Some(Self::Request),
            0x9f => Some(Self::Start),
            0xc7 => Some(Self::Message),
            0xc8 => Some(Self::End),
            _ => None,
        }
    }
}

/// What a frame says, and on which opaque.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) kind: Kind,
    pub(crate) opaque: u64,
    pub(crate) inner: Inner<'a>,
}

/// What stands behind the opaque.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Inner<'a> {
    /// A message; the body is in two parts where that saves a copy.
    Message { id: u64, body: [&'a [u8]; 2] },
    /// A compression tag and a compressed message, encoded already.
    Wrapped(&'a [u8]),
    /// Nothing: the end of a stream.
    End,
}

/// Lengths within a frame, from the outside in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lens {
    /// The whole frame.
    pub(crate) frame: usize,
    /// Within the outer byte string.
    content: usize,
    /// Of the message, or of what is wrapped.
    inner: usize,
}

impl Packet<'_> {
    #[inline]
    pub(crate) fn lens(&self) -> Lens {
        let (inner, with_head) = match self.inner {
            Inner::Message { id, body } => {
                let len = message_len(id, body);
                (len, head_len(len as u64) + len)
            }
            Inner::Wrapped(wrapped) => {
                (wrapped.len(), head_len(wrapped.len() as u64) + wrapped.len())
            }
            Inner::End => (0, 1),
        };
        let content = head_len(self.opaque) + with_head;
        let frame = PREFIX.len() + 1 + head_len(content as u64) + content + self.trails();
        Lens { frame, content, inner }
    }

    /// Bytes of the whole frame.
    pub(crate) fn len(&self) -> usize {
        self.lens().frame
    }

    /// Appends the frame: in one block where it fits, else in pieces that go `way`, and are put
    /// together before they leave.
    #[inline]
    pub(crate) fn append(
        &self,
        lens: &Lens,
        way: Option<Way>,
        out: &mut SendBuffer,
    ) -> Result<(), TooLongOrNoMemory> {
        if lens.frame > out.block_max() {
            return self.append_in_pieces(lens, way, out);
        }
        let spare = out.reserve(lens.frame)?;
        let mut at = match spare.first_chunk_mut() {
            // What is written behind the last head the body overwrites.
            Some(heads) => self.put_heads(lens, heads),
            None => {
                let mut heads: Heads = [0; 64];
                let at = self.put_heads(lens, &mut heads);
                spare[..at].copy_from_slice(&heads[..at]);
                at
            }
        };
        let frame = &mut spare[..lens.frame];
        let [first, second] = self.body();
        frame[at..at + first.len()].copy_from_slice(first);
        at += first.len();
        if !second.is_empty() {
            frame[at..at + second.len()].copy_from_slice(second);
            at += second.len();
        }
        if at < frame.len() {
            frame[at] = BREAK;
        }
        out.commit(lens.frame);
        Ok(())
    }

    #[cold]
    fn append_in_pieces(
        &self,
        lens: &Lens,
        way: Option<Way>,
        out: &mut SendBuffer,
    ) -> Result<(), TooLongOrNoMemory> {
        let way = way.ok_or(TooLongOrNoMemory::TooLong { len: lens.frame })?;
        let mut heads: Heads = [0; 64];
        let len = self.put_heads(lens, &mut heads);
        let [first, second] = self.body();
        let tail = &[BREAK][..lens.frame - len - first.len() - second.len()];
        Ok(pieces::append(way, [&heads[..len], first, second, tail], out)?)
    }

    /// Writes everything up to the body and returns how long that is.
    #[inline]
    fn put_heads(&self, lens: &Lens, out: &mut Heads) -> usize {
        let [first, second, third] = PREFIX;
        out[..4].copy_from_slice(&[first, second, third, self.kind as u8]);
        let mut at = put_wide(out, 4, major::BYTES, lens.content as u64);
        at = put_wide(out, at, major::TAG, self.opaque);
        if let Inner::End = self.inner {
            out[at] = self.dialect.end_content();
            return at + 1;
        }
        at = put_wide(out, at, major::BYTES, lens.inner as u64);
        if let Inner::Message { id, body: [first, second] } = self.inner {
            out[at..at + 5].copy_from_slice(&self.dialect.opening());
            at = put_wide(out, at + 5, major::UINT, id);
            out[at..at + 2].copy_from_slice(&self.dialect.data_key());
            at = put_wide(out, at + 2, major::BYTES, (first.len() + second.len()) as u64);
        }
        at
    }

    #[inline]
    fn body(&self) -> [&[u8]; 2] {
        match self.inner {
            Inner::Message { body, .. } => body,
            Inner::Wrapped(wrapped) => [wrapped, &[]],
            Inner::End => [&[], &[]],
        }
    }

    #[inline]
    fn trails(&self) -> usize {
        if matches!(self.inner, Inner::End) { self.dialect.end_trails() } else { 0 }
    }
}

/// Why a frame could not be appended.
#[derive(Debug)]
pub(crate) enum TooLongOrNoMemory {
    /// It goes in no block, and may not go in pieces.
    TooLong {
        len: usize,
    },
    NoMemory(PoolExhausted),
}

impl From<PoolExhausted> for TooLongOrNoMemory {
    fn from(exhausted: PoolExhausted) -> Self {
        Self::NoMemory(exhausted)
    }
}

#[inline]
fn message_len(id: u64, [first, second]: [&[u8]; 2]) -> usize {
    let body_len = first.len() + second.len();
    5 + head_len(id) + 2 + head_len(body_len as u64) + body_len + 1
}

/// Appends a message by itself, for what is to be compressed.
pub(crate) fn extend_with_message(dialect: Dialect, id: u64, body: [&[u8]; 2], out: &mut Vec<u8>) {
    let [first, second] = body;
    let mut head = [0; HEAD_LEN_MAX];
    out.extend_from_slice(&dialect.opening());
    let len = put_head(&mut head, major::UINT, id);
    out.extend_from_slice(&head[..len]);
    out.extend_from_slice(&dialect.data_key());
    let len = put_head(&mut head, major::BYTES, (first.len() + second.len()) as u64);
    out.extend_from_slice(&head[..len]);
    out.extend_from_slice(first);
    out.extend_from_slice(second);
    out.push(BREAK);
}

#[cfg(test)]
pub(crate) mod tests;
