//! What we say while the connection is being confirmed.

use std::sync::Arc;

use moorline_buffers::{BlockPool, SendBuffer};

use crate::closed::CloseReason;
use crate::code::ErrorCode;
use crate::frame::Frame;
use crate::limits::SETUP_MAX;
use crate::msgpack::encode::MsgpackEncoder;
use crate::msgpack::handshake::Side;
use crate::msgpack::preamble::Caps;
use crate::msgpack::setup;
use crate::msgpack::unit::{self, Op};
use crate::seam::{Encoder, Lane, Sealing};
use crate::settings::Local;

/// Our sending half, until a session takes it over.
pub(super) struct Voice {
    pub(super) sealing: Box<dyn Sealing>,
    pub(super) encoder: MsgpackEncoder,
    blocks: BlockPool,
    block_max: usize,
    setup_said: bool,
}

impl Voice {
    pub(super) fn new(local: &Arc<Local>, peer: &Caps, sealing: Box<dyn Sealing>) -> Self {
        let block_max = peer.record_capacity().min(local.blocks.payload_capacity());
        let encoder = MsgpackEncoder::new(local.registry.clone(), block_max);
        Self { sealing, encoder, blocks: local.blocks.clone(), block_max, setup_said: false }
    }

    //= docs/PROTOCOL.md#2
    /// Our SETUP, alone in its record; our list of types behind it where the peer has another.
    pub(super) fn say_setup(
        &mut self,
        side: &Side,
        digests_differ: bool,
        out: &mut SendBuffer,
    ) -> Result<(), CloseReason> {
        let mut payload = [0; SETUP_MAX];
        let len = setup::write(&side.local, side.types, &side.handled, &mut payload);
        let header_len = unit::header_len(len);
        let mut chain = self.chain();
        let unit = chain.reserve(header_len + len)?;
        unit::write_header(unit, Op::Setup.ty(), len);
        unit[header_len..header_len + len].copy_from_slice(&payload[..len]);
        chain.commit(header_len + len);
        chain.close_tail();
        if digests_differ {
            self.encoder.announce_first(side.types, &side.handled, &mut chain)?;
        }
        self.seal(chain, out)?;
        self.setup_said = true;
        Ok(())
    }

    /// CLOSE: nobody else can say it, since the session does not have our sending half yet.
    pub(super) fn say_goodbye(&mut self, code: ErrorCode, text: &str, out: &mut SendBuffer) {
        let mut chain = self.chain();
        let close = Frame::Close { code, message: text.into() };
        // The connection is over already; if not even this can be said, it ends without.
        if self.setup_said && self.encoder.encode(&close, Lane::Normal, &mut chain).is_ok() {
            drop(self.seal(chain, out));
        }
    }

    fn chain(&self) -> SendBuffer {
        SendBuffer::with_block_max(&self.blocks, self.block_max)
    }

    fn seal(&mut self, mut chain: SendBuffer, out: &mut SendBuffer) -> Result<(), CloseReason> {
        while let Some(block) = chain.pop_block() {
            self.sealing.seal(block, out)?;
        }
        Ok(())
    }
}
