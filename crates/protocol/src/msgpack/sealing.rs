//! Blocks of units made ready for the wire.

use moorline_buffers::{Block, BlockPool, SendBuffer};
use moorline_noise::Sealer;

use super::record::{EXT_16, HEADER_LEN, TAG_LEN};
use super::unit::{self, Op};
use crate::closed::CloseReason;
use crate::limits::{KEY_BYTES_MAX, KEY_RECORDS_MAX};
use crate::seam::Sealing;

/// The sending half of `msgpack`.
pub(super) struct RecordSealing {
    sealer: Sealer,
    /// For the records that carry a change of keys.
    blocks: BlockPool,
    limits: KeyLimits,
}

/// How long a sender keeps a key.
#[derive(Debug, Clone, Copy)]
struct KeyLimits {
    records: u64,
    bytes: u64,
}

impl RecordSealing {
    pub(super) fn new(sealer: Sealer, blocks: BlockPool) -> Self {
        let limits = KeyLimits { records: KEY_RECORDS_MAX, bytes: KEY_BYTES_MAX };
        Self { sealer, blocks, limits }
    }

    //= docs/PROTOCOL.md#3
    /// KEY_UPDATE is alone in its record, the last one under the old key.
    fn update_key(&mut self, wire: &mut SendBuffer) -> Result<(), CloseReason> {
        let mut block = self.blocks.acquire()?;
        let len = unit::header_len(0);
        unit::write_header(block.spare_mut(), Op::KeyUpdate.ty(), 0);
        block.commit(len);
        self.seal_block(block, wire)?;
        self.sealer.rekey();
        Ok(())
    }

    //= docs/PROTOCOL.md#3
    fn seal_block(&mut self, mut block: Block, wire: &mut SendBuffer) -> Result<(), CloseReason> {
        let sealed_len = u16::try_from(block.len() + TAG_LEN).expect("a block fits a record");
        let wrapped = block.wrap(HEADER_LEN, TAG_LEN);
        let [high, low] = sealed_len.to_be_bytes();
        let header = [EXT_16, high, low, Op::Record.ty()];
        wrapped.head.copy_from_slice(&header);
        let mut tag = [0; TAG_LEN];
        // The key is replaced long before it is used up, so only a broken cipher ends here.
        let sealed = self.sealer.seal(&header, wrapped.body, &mut tag);
        sealed.map_err(|_broken| CloseReason::Tampered)?;
        wrapped.tail.copy_from_slice(&tag);
        wire.push_block(block);
        Ok(())
    }
}

impl Sealing for RecordSealing {
    fn seal(&mut self, block: Block, wire: &mut SendBuffer) -> Result<(), CloseReason> {
        if block.is_empty() {
            // A record is never empty (PROTOCOL 3).
            return Ok(());
        }
        // One record is left for the update itself.
        let worn = self.sealer.records() + 1 >= self.limits.records
            || self.sealer.bytes() + block.len() as u64 > self.limits.bytes;
        if worn {
            self.update_key(wire)?;
        }
        self.seal_block(block, wire)
    }

    fn renew_key(&mut self, wire: &mut SendBuffer) -> Result<(), CloseReason> {
        if self.sealer.records() == 0 { Ok(()) } else { self.update_key(wire) }
    }

    fn park(&mut self) {
        self.sealer.park();
    }
}

/// The sending half of `msgpack-plain`: blocks go out as they are.
pub(super) struct PlainSealing;

impl Sealing for PlainSealing {
    fn seal(&mut self, block: Block, wire: &mut SendBuffer) -> Result<(), CloseReason> {
        wire.push_block(block);
        Ok(())
    }

    fn park(&mut self) {}
}

#[cfg(test)]
impl RecordSealing {
    /// Changes keys after so many records, so that a test lives to see it.
    pub(super) fn with_records_max(mut self, records: u64) -> Self {
        self.limits.records = records;
        self
    }

    /// Changes keys after so many bytes.
    pub(super) fn with_bytes_max(mut self, bytes: u64) -> Self {
        self.limits.bytes = bytes;
        self
    }
}
