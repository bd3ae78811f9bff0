//! Writing the fields of a payload into memory that is long enough for them.

use super::unit;

/// A cursor over the memory a payload is written to.
///
/// Whoever makes one has computed a bound for what goes in: running over the end is our bug.
pub(crate) struct Put<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Put<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    pub(crate) fn uint(&mut self, value: u64) {
        self.len += unit::write_uint(&mut self.out[self.len..], value);
    }

    pub(crate) fn int(&mut self, value: i32) {
        self.len += unit::write_int(&mut self.out[self.len..], value);
    }

    pub(crate) fn str(&mut self, text: &str) {
        self.len += unit::write_str(&mut self.out[self.len..], text);
    }

    pub(crate) fn bin(&mut self, bytes: &[u8]) {
        self.len += unit::write_bin(&mut self.out[self.len..], bytes);
    }

    pub(crate) fn nil(&mut self) {
        self.byte(0xc0);
    }

    /// The head of a map of so many pairs, fifteen at most.
    pub(crate) fn map(&mut self, pairs: u8) {
        debug_assert!(pairs <= 15, "maps of this protocol are small");
        self.byte(0x80 | (pairs & 0x0f));
    }

    /// The head of an array.
    pub(crate) fn array(&mut self, elements: u16) {
        match u8::try_from(elements) {
            Ok(few) if few <= 15 => self.byte(0x90 | few),
            _ => {
                self.byte(0xdc);
                self.raw(&elements.to_be_bytes());
            }
        }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.out[self.len] = byte;
        self.len += 1;
    }

    /// What was written, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}
