//! gzip as gofast has it: a header, deflate that is flushed but never finished, no trailer. A reader
//! of gofast's that finds the end of a stream gives up its connection, so we write none; and read
//! what is finished as well, because everybody else does.

use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};

const HEADER_LEN: usize = 10;
const TRAILER_LEN: usize = 8;

/// How what was flushed ends; what ends otherwise is cut short.
const FLUSHED: [u8; 4] = [0, 0, 0xff, 0xff];

/// Room that is added at once while unpacking.
const STEP: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Packer {
    level: u32,
    deflate: Compress,
}

impl Packer {
    pub(super) fn new(level: u32) -> Self {
        Self { level, deflate: Compress::new(Compression::new(level), false) }
    }

    pub(super) fn pack(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let extra = match self.level {
            1 => 4,
            9 => 2,
            _ => 0,
        };
        out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, extra, 0xff]);
        self.deflate.reset();
        loop {
            let taken = usize::try_from(self.deflate.total_in()).expect("it was in a slice");
            let before = out.len();
            out.reserve(plain.len() - taken + plain.len() / 64 + 64);
            let room = out.capacity() - out.len();
            let status = self.deflate.compress_vec(&plain[taken..], out, FlushCompress::Sync);
            debug_assert!(status.is_ok(), "memory is all that deflate needs");
            // What did not fill the room was all there is.
            if out.len() - before < room || status.is_err() {
                return;
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Unpacker(Decompress);

impl Unpacker {
    pub(super) fn new() -> Self {
        Self(Decompress::new(false))
    }

    /// Appends at most `max` bytes to `out`, which is empty.
    pub(super) fn unpack(
        &mut self,
        packed: &[u8],
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), &'static str> {
        let body = &packed[header_len(packed)?..];
        self.0.reset(false);
        loop {
            if out.len() > max {
                return Err("a message becomes longer than our buffer when it is unpacked");
            }
            let taken = usize::try_from(self.0.total_in()).map_err(|_| BROKEN)?;
            out.reserve(STEP.min(max + 1 - out.len()));
            let (before, room) = (out.len(), out.capacity() - out.len());
            let status = self.0.decompress_vec(&body[taken..], out, FlushDecompress::None);
            match status.map_err(|_| BROKEN)? {
                Status::StreamEnd => {
                    let taken = usize::try_from(self.0.total_in()).map_err(|_| BROKEN)?;
                    return self.check(&body[taken..], out, max);
                }
                // All of it was taken, and there would have been room for more.
                _ if out.len() - before < room => {
                    let all = self.0.total_in() == body.len() as u64 && body.ends_with(&FLUSHED);
                    return if all && out.len() <= max { Ok(()) } else { Err(BROKEN) };
                }
                _ => {}
            }
        }
    }

    /// A stream that is finished has a trailer that must fit.
    fn check(&self, trailer: &[u8], out: &[u8], max: usize) -> Result<(), &'static str> {
        let mut crc = Crc::new();
        crc.update(out);
        let [sum, len] = [crc.sum(), crc.amount()].map(u32::to_le_bytes);
        if trailer.len() == TRAILER_LEN && trailer == [sum, len].concat() && out.len() <= max {
            return Ok(());
        }
        Err("a packed message does not match its checksum")
    }
}

const BROKEN: &str = "a packed message cannot be unpacked";

/// Length of the header with all that may be in it.
fn header_len(packed: &[u8]) -> Result<usize, &'static str> {
    const RULE: &str = "a packed message begins with the header of its format";
    let &[0x1f, 0x8b, 8, flags, _, _, _, _, _, _, ref rest @ ..] = packed else {
        return Err(RULE);
    };
    let mut at = HEADER_LEN;
    if flags & 4 != 0 {
        let &[low, high, ..] = rest else { return Err(RULE) };
        at += 2 + usize::from(u16::from_le_bytes([low, high]));
    }
    // A name and a comment, each up to a zero.
    for flag in [8, 16] {
        if flags & flag != 0 {
            let text = packed.get(at..).ok_or(RULE)?;
            at += text.iter().position(|byte| *byte == 0).ok_or(RULE)? + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    if at > packed.len() { Err(RULE) } else { Ok(at) }
}
