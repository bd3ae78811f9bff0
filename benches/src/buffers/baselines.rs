//! The same work without us.

use std::collections::VecDeque;
use std::hint::black_box;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// What one record holds, as much as one of our blocks.
const RECORD: usize = 16 * 1024;

/// What bytes are put into and leave again.
pub(super) trait Baseline {
    fn new(capacity: usize) -> Self;
    fn put(&mut self, piece: &[u8]);
    fn drain(&mut self, taken: usize);
    fn clear(&mut self);
}

/// A warm vector that bytes are copied into, one behind the other.
pub(super) struct Room {
    bytes: Vec<u8>,
    filled: usize,
}

impl Baseline for Room {
    fn new(capacity: usize) -> Self {
        Self { bytes: vec![1; capacity], filled: 0 }
    }

    #[inline]
    fn put(&mut self, piece: &[u8]) {
        self.bytes[self.filled..][..piece.len()].copy_from_slice(piece);
        self.filled += piece.len();
    }

    fn drain(&mut self, taken: usize) {
        self.bytes[..self.filled].chunks(taken).for_each(|chunk| {
            black_box(chunk);
        });
        self.clear();
    }

    fn clear(&mut self) {
        self.filled = 0;
    }
}

/// A `BytesMut` that stays where it is.
pub(super) struct Kept {
    bytes: BytesMut,
    capacity: usize,
}

impl Baseline for Kept {
    fn new(capacity: usize) -> Self {
        Self { bytes: BytesMut::with_capacity(capacity), capacity }
    }

    #[inline]
    fn put(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    fn drain(&mut self, taken: usize) {
        while self.bytes.has_remaining() {
            black_box(self.bytes.chunk());
            self.bytes.advance(self.bytes.remaining().min(taken));
        }
        self.bytes.reserve(self.capacity);
    }

    fn clear(&mut self) {
        self.bytes.clear();
    }
}

impl Kept {
    /// Unit by unit, each lent and passed over.
    pub(super) fn consume(&mut self, unit: usize) {
        while self.bytes.has_remaining() {
            black_box(&self.bytes[..unit]);
            self.bytes.advance(unit);
        }
        self.bytes.clear();
        self.bytes.reserve(self.capacity);
    }
}

/// A `BytesMut` whose full records are split off and handed on, and end when they are written.
pub(super) struct Records {
    open: BytesMut,
    full: VecDeque<Bytes>,
}

impl Baseline for Records {
    fn new(_: usize) -> Self {
        Self { open: BytesMut::with_capacity(RECORD), full: VecDeque::new() }
    }

    #[inline]
    fn put(&mut self, piece: &[u8]) {
        if self.open.len() + piece.len() <= RECORD {
            self.open.extend_from_slice(piece);
        } else {
            self.put_over_records(piece);
        }
    }

    fn drain(&mut self, taken: usize) {
        self.hand_on();
        while !self.full.is_empty() {
            let mut slices = [IoSlice::new(&[]); 64];
            let mut count = 0;
            for (slice, record) in slices.iter_mut().zip(&self.full) {
                *slice = IoSlice::new(record);
                count += 1;
            }
            black_box(&slices[..count]);
            self.advance(taken);
        }
    }

    fn clear(&mut self) {
        self.hand_on();
        self.full.clear();
    }
}

impl Records {
    #[inline(never)]
    fn put_over_records(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.open.len() == RECORD {
                self.hand_on();
            }
            let (now, later) = piece.split_at(piece.len().min(RECORD - self.open.len()));
            self.open.extend_from_slice(now);
            piece = later;
        }
    }

    fn hand_on(&mut self) {
        self.full.push_back(self.open.split().freeze());
        self.open.reserve(RECORD);
    }

    fn advance(&mut self, mut n: usize) {
        while let Some(front) = self.full.front_mut() {
            if n < front.len() {
                return front.advance(n);
            }
            n -= front.len();
            self.full.pop_front();
        }
    }
}
