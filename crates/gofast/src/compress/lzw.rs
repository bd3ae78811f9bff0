//! LZW as GIF has it: literals of 8 bits, least significant bit first.

use weezl::{BitOrder, LzwStatus, decode, encode};

const LITERAL_BITS: u8 = 8;

/// Room that is added at once.
const STEP: usize = 4 * 1024;

pub(super) struct Packer(encode::Encoder);

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    pub(super) fn new() -> Self {
        Self(encode::Encoder::new(BitOrder::Lsb, LITERAL_BITS))
    }

    pub(super) fn pack(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        self.0.reset();
        self.0.finish();
        let mut rest = plain;
        loop {
            let before = out.len();
            out.resize(before + STEP, 0);
            let done = self.0.encode_bytes(rest, &mut out[before..]);
            out.truncate(before + done.consumed_out);
            rest = &rest[done.consumed_in..];
            if matches!(done.status, Ok(LzwStatus::Done) | Err(_)) {
                debug_assert!(done.status.is_ok(), "every byte is a literal");
                return;
            }
        }
    }
}

pub(super) struct Unpacker(decode::Decoder);

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unpacker")
    }
}

impl Unpacker {
    pub(super) fn new() -> Self {
        Self(decode::Decoder::new(BitOrder::Lsb, LITERAL_BITS))
    }

    /// Appends at most `max` bytes to `out`, which is empty.
    pub(super) fn unpack(
        &mut self,
        packed: &[u8],
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), &'static str> {
        self.0.reset();
        let mut rest = packed;
        loop {
            if out.len() > max {
                return Err("a message becomes longer than our buffer when it is unpacked");
            }
            let before = out.len();
            out.resize(before + STEP.min(max + 1 - before), 0);
            let done = self.0.decode_bytes(rest, &mut out[before..]);
            out.truncate(before + done.consumed_out);
            rest = &rest[done.consumed_in..];
            match done.status {
                Ok(LzwStatus::Done) if rest.is_empty() && out.len() <= max => return Ok(()),
                Ok(LzwStatus::Ok) if done.consumed_in + done.consumed_out > 0 => {}
                _ => return Err("a packed message cannot be unpacked"),
            }
        }
    }
}
