//! The last look at what leaves: long frames are put together, packets are counted, and the ends of
//! our streams are noted, because only then may their opaques serve again.

use std::sync::Arc;

use moorline_buffers::{Block, SendBuffer};
use moorline_protocol::{CloseReason, Sealing};

use crate::opaques::Meaning;
use crate::packet::Kind;
use crate::pieces::{Gathered, Gathering};
use crate::shared::Shared;
use crate::sight::{Sight, look};
use crate::stats::Counters;

pub(crate) struct Outlet {
    shared: Arc<Shared>,
    gathering: Gathering,
}

impl Outlet {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, gathering: Gathering::default() }
    }

    /// `bytes` are whole frames, or the beginning of a long one.
    fn note(&self, mut bytes: &[u8]) {
        let mut sent = Sent::default();
        while let Ok(Sight::Whole(seen) | Sight::Partly(seen)) =
            look(self.shared.dialect, bytes, u64::MAX)
        {
            sent.packets += 1;
            match seen.kind {
                Kind::Post => sent.posts += 1,
                Kind::Start => sent.starts += 1,
                Kind::Message => sent.messages += 1,
                Kind::End => {
                    sent.ends += 1;
                    self.shared.end_left(seen.opaque);
                }
                Kind::Request => match self.shared.opaques.meaning(seen.opaque) {
                    Some(Meaning::Request(_) | Meaning::Pings) => sent.requests += 1,
                    _ => sent.answers += 1,
                },
            }
            bytes = bytes.get(seen.len..).unwrap_or(&[]);
        }
        sent.count(&self.shared.counters);
    }
}

/// What one block holds.
#[derive(Default)]
struct Sent {
    packets: u64,
    posts: u64,
    requests: u64,
    answers: u64,
    starts: u64,
    messages: u64,
    ends: u64,
}

impl Sent {
    fn count(&self, counters: &Counters) {
        Counters::add(&counters.n_tx, self.packets);
        Counters::add(&counters.n_txpost, self.posts);
        Counters::add(&counters.n_txreq, self.requests);
        Counters::add(&counters.n_txresp, self.answers);
        Counters::add(&counters.n_txstart, self.starts);
        Counters::add(&counters.n_txstream, self.messages);
        Counters::add(&counters.n_txfin, self.ends);
    }
}

impl Sealing for Outlet {
    fn seal(&mut self, block: Block, wire: &mut SendBuffer) -> Result<(), CloseReason> {
        let counters = Arc::clone(&self.shared.counters);
        Counters::add(&counters.n_flushes, 1);
        match self.gathering.take(block, wire)? {
            Gathered::Kept => {}
            Gathered::Frames(block) => {
                Counters::add(&counters.n_txbyte, block.len() as u64);
                self.note(block.bytes());
                wire.push_block(block);
            }
            Gathered::Whole(mut frame) => {
                Counters::add(&counters.n_txbyte, frame.len() as u64);
                if let Some(front) = frame.front() {
                    self.note(front.bytes());
                }
                wire.append(&mut frame);
            }
        }
        Ok(())
    }

    fn park(&mut self) {}
}
