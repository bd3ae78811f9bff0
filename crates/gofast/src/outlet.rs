//! The last look at what leaves: long frames are put together, packets are counted, and the ends of
//! our streams are noted, because only then may their opaques serve again.

use std::sync::Arc;

use moorline_buffers::{Block, SendBuffer};
use moorline_protocol::{CloseReason, ErrorCode, Sealing, Violation};

use crate::decoder::ECHO_OF_CUT;
use crate::message;
use crate::opaques::Meaning;
use crate::packet::{Kind, TooLongOrNoMemory};
use crate::pieces::{Gathered, Gathering};
use crate::shared::Shared;
use crate::sight::{Sight, look};
use crate::stats::Counters;
use crate::whoami::{ShortPing, Whoami, marked};

pub(crate) struct Outlet {
    shared: Arc<Shared>,
    gathering: Gathering,
}

impl Outlet {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, gathering: Gathering::default() }
    }

    /// A request that was given up before all of it was here. The peer has seen nothing of it, and
    /// will not answer; but its caller's session waits for an answer. A ping asks for one.
    fn forget(&self, frame: &SendBuffer, wire: &mut SendBuffer) -> Result<(), CloseReason> {
        let bytes = frame.front().map_or(&[][..], Block::bytes);
        let Ok(Sight::Partly(seen)) = look(self.shared.dialect, bytes, u64::MAX) else {
            return Ok(());
        };
        if seen.kind != Kind::Request {
            return Ok(());
        }
        if let Some(Meaning::Request(id)) = self.shared.opaques.meaning(seen.opaque) {
            let ping = ShortPing::new(&self.shared, ECHO_OF_CUT, id.into());
            let mut chain = SendBuffer::new(wire.pool());
            let packet = ping.packet();
            packet.append(&packet.lens(), None, &mut chain).map_err(|error| match error {
                TooLongOrNoMemory::NoMemory(exhausted) => exhausted.into(),
                TooLongOrNoMemory::TooLong { .. } => CloseReason::Truncated,
            })?;
            if let Some(front) = chain.front() {
                self.note(front.bytes())?;
            }
            wire.append(&mut chain);
        }
        Ok(())
    }

    /// `bytes` are whole frames, or the beginning of a long one.
    fn note(&self, mut bytes: &[u8]) -> Result<(), CloseReason> {
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
                    Some(Meaning::Request(_)) => sent.requests += 1,
                    Some(Meaning::Pings) => {
                        sent.requests += 1;
                        self.asked(bytes.get(seen.inner).unwrap_or(&[]))?;
                    }
                    _ => sent.answers += 1,
                },
            }
            bytes = bytes.get(seen.len..).unwrap_or(&[]);
        }
        sent.count(&self.shared.counters);
        Ok(())
    }

    /// A question leaves. A real peer's answers say nothing but that they are answers.
    fn asked(&self, message: &[u8]) -> Result<(), CloseReason> {
        let shared = &*self.shared;
        if shared.ours {
            return Ok(());
        }
        let (_, body) = message::read(shared.dialect, message).expect("we have written it");
        let text = Whoami::asked(shared.dialect, &shared.asks, &message[body]);
        let (mark, number) = text.and_then(marked).expect("each has a mark and a number");
        if shared.lock().asked.note(mark, number) {
            return Ok(());
        }
        const RULE: &str = "a peer answers what it is asked, and reads on";
        Err(Violation::with_code(11, RULE, ErrorCode::FLOW).into())
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
                self.note(block.bytes())?;
                wire.push_block(block);
            }
            Gathered::Whole(mut frame) => {
                Counters::add(&counters.n_txbyte, frame.len() as u64);
                if let Some(front) = frame.front() {
                    self.note(front.bytes())?;
                }
                wire.append(&mut frame);
            }
            Gathered::Forgotten(frame) => self.forget(&frame, wire)?,
        }
        Ok(())
    }

    fn park(&mut self) {
        self.shared.press.park();
        self.shared.lock().park();
    }
}
