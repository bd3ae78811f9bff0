//! The compressions a peer can ask for, applied in the order it names them, and undone within bounds.

mod gzip;
mod lzw;

use std::sync::{Mutex, PoisonError};

use crate::dialect::{Dialect, Tags};
use crate::head::{HEAD_LEN_MAX, Head, major, put_head};
use crate::limits::{GZIP_PLAIN_MAX, NESTED_MAX, SCRATCH_BYTES_KEPT_MAX, SCRATCHES_KEPT_MAX};
use crate::packet::extend_with_message;

/// A compression by its name in a whoami.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Lzw,
}

impl Compression {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "gzip" => Some(Self::Gzip),
            "lzw" => Some(Self::Lzw),
            _ => None,
        }
    }

    const fn tag(self, tags: &Tags) -> u8 {
        match self {
            Self::Gzip => tags.gzip,
            Self::Lzw => tags.lzw,
        }
    }

    fn of(tag: u64, tags: &Tags) -> Option<Self> {
        let is = |compression: &Self| u64::from(compression.tag(tags)) == tag;
        [Self::Gzip, Self::Lzw].into_iter().find(is)
    }

    /// The longest message it is used for.
    const fn plain_max(self) -> usize {
        match self {
            Self::Gzip => GZIP_PLAIN_MAX,
            Self::Lzw => usize::MAX,
        }
    }
}

/// What a peer wants of what it is sent, and the memory for doing so.
#[derive(Debug)]
pub(crate) struct Press {
    chain: Vec<Compression>,
    gzip_level: u32,
    /// No layer may be longer: the peer has a buffer of so many bytes for each.
    layer_max: usize,
    kept: Mutex<Vec<Scratch>>,
}

/// What one compression needs; it goes round.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// The message, or the last layer around it.
    layer: Vec<u8>,
    packed: Vec<u8>,
    gzip: gzip::Packer,
    lzw: lzw::Packer,
}

impl Scratch {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.layer
    }
}

impl Press {
    pub(crate) fn new(chain: Vec<Compression>, gzip_level: u32, layer_max: u64) -> Self {
        let layer_max = usize::try_from(layer_max).unwrap_or(usize::MAX);
        Self { chain, gzip_level, layer_max, kept: Mutex::default() }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.chain.is_empty()
    }

    /// The message in all layers the peer wants. `None`: it had better go plain, because it would
    /// not become shorter, or not fit.
    //= docs/PROTOCOL.md#11
    pub(crate) fn press(&self, dialect: Dialect, id: u64, body: [&[u8]; 2]) -> Option<Scratch> {
        let mut scratch = self.scratch();
        scratch.layer.clear();
        extend_with_message(dialect, id, body, &mut scratch.layer);
        let plain_len = scratch.layer.len();
        let pressed = plain_len <= self.layer_max
            && self.chain.iter().all(|compression| {
                scratch.wrap(*compression, dialect.tags());
                scratch.layer.len() <= self.layer_max
            });
        if pressed && scratch.layer.len() < plain_len {
            return Some(scratch);
        }
        self.give_back(scratch);
        None
    }

    fn scratch(&self) -> Scratch {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Scratch {
            layer: Vec::new(),
            packed: Vec::new(),
            gzip: gzip::Packer::new(self.gzip_level),
            lzw: lzw::Packer::new(),
        })
    }

    pub(crate) fn give_back(&self, mut scratch: Scratch) {
        trim(&mut scratch.layer);
        trim(&mut scratch.packed);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < SCRATCHES_KEPT_MAX {
            kept.push(scratch);
        }
    }

    /// Idle: gives back what can be had again.
    pub(crate) fn park(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Vec::new();
    }
}

/// What one long message needed is not kept for the short ones that follow.
fn trim(buffer: &mut Vec<u8>) {
    if buffer.capacity() > SCRATCH_BYTES_KEPT_MAX {
        *buffer = Vec::new();
    }
}

impl Scratch {
    /// One more layer; none where the message is too long for it.
    fn wrap(&mut self, compression: Compression, tags: &Tags) {
        if self.layer.len() > compression.plain_max() {
            return;
        }
        self.packed.clear();
        match compression {
            Compression::Gzip => self.gzip.pack(&self.layer, &mut self.packed),
            Compression::Lzw => self.lzw.pack(&self.layer, &mut self.packed),
        }
        let mut head = [0; 2 * HEAD_LEN_MAX];
        let mut len = put_head(&mut head, major::TAG, compression.tag(tags).into());
        len += put_head(&mut head[len..], major::BYTES, self.packed.len() as u64);
        self.layer.clear();
        self.layer.extend_from_slice(&head[..len]);
        self.layer.extend_from_slice(&self.packed);
    }
}

/// Undoes what a peer has compressed as we have asked it to.
#[derive(Debug)]
pub(crate) struct Unpress {
    wanted: Vec<Compression>,
    /// No layer may become longer.
    layer_max: usize,
    layer: Vec<u8>,
    unpacked: Vec<u8>,
    gzip: Option<gzip::Unpacker>,
    lzw: Option<lzw::Unpacker>,
}

/// What a message turned out to be.
pub(crate) enum Unpressed<'a> {
    /// It was not compressed.
    Plain,
    /// What was inside.
    Message(&'a [u8]),
}

impl Unpress {
    pub(crate) fn new(wanted: Vec<Compression>, layer_max: u64) -> Self {
        let layer_max = usize::try_from(layer_max).unwrap_or(usize::MAX);
        let (layer, unpacked) = (Vec::new(), Vec::new());
        Self { wanted, layer_max, layer, unpacked, gzip: None, lzw: None }
    }

    /// Takes off all layers.
    ///
    /// # Errors
    /// The rule that was broken.
    //= docs/PROTOCOL.md#11
    pub(crate) fn open(
        &mut self,
        dialect: Dialect,
        inner: &[u8],
    ) -> Result<Unpressed<'_>, &'static str> {
        trim(&mut self.layer);
        trim(&mut self.unpacked);
        for nested in 0..=NESTED_MAX {
            let layer = if nested == 0 { inner } else { &self.layer };
            let tag = Head::expect(layer, major::TAG).ok_or("a message begins with a tag")?;
            if tag.0 == u64::from(dialect.tags().message) {
                return Ok(if nested == 0 {
                    Unpressed::Plain
                } else {
                    Unpressed::Message(&self.layer)
                });
            }
            let packed = layer_content(layer, tag.1)?;
            let compression = Compression::of(tag.0, dialect.tags());
            let wanted = compression.filter(|compression| self.wanted.contains(compression));
            self.unpacked.clear();
            match wanted.ok_or("a message is compressed as we have not asked for")? {
                Compression::Gzip => {
                    let unpacker = self.gzip.get_or_insert_with(gzip::Unpacker::new);
                    unpacker.unpack(packed, &mut self.unpacked, self.layer_max)?;
                }
                Compression::Lzw => {
                    let unpacker = self.lzw.get_or_insert_with(lzw::Unpacker::new);
                    unpacker.unpack(packed, &mut self.unpacked, self.layer_max)?;
                }
            }
            std::mem::swap(&mut self.layer, &mut self.unpacked);
        }
        Err("a message is compressed more than four times")
    }

    /// Idle: gives back what can be had again.
    pub(crate) fn park(&mut self) {
        (self.layer, self.unpacked, self.gzip, self.lzw) = (Vec::new(), Vec::new(), None, None);
    }
}

/// The byte string behind a compression's tag, which fills the layer.
fn layer_content(layer: &[u8], tag_len: usize) -> Result<&[u8], &'static str> {
    let rule = "a compressed message fills its packet";
    let (len, head_len) = Head::expect(&layer[tag_len..], major::BYTES).ok_or(rule)?;
    let content = &layer[tag_len + head_len..];
    if content.len() as u64 == len { Ok(content) } else { Err(rule) }
}

#[cfg(test)]
mod tests;
