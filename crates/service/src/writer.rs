//! The sending half of a connection: takes blocks, seals them, writes them. Whoever is inside its
//! [`Booth`] writes; nobody waits for it.

use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};

use moorline_buffers::SendBuffer;
use moorline_protocol::{CloseReason, Sealing};
use moorline_session::{Booth, Flusher, SessionWriter, Stay};

use crate::limits::{SLICES_MAX, WIRE_HIGH_WATER, WRITE_STAY_BYTES};
use crate::transport::Writer;

/// Shared by the driver and by senders that have filled a batch.
pub(crate) struct WireWriter {
    socket: Arc<dyn Writer>,
    source: SessionWriter,
    half: Booth<Half>,
}

/// Taking blocks, their nonces and their order on the wire have one owner.
struct Half {
    sealing: Box<dyn Sealing>,
    wire: SendBuffer,
    /// Where in it the last message ends; what follows is control.
    said_to: usize,
    /// Bytes sealed since the session opened, and writes made.
    sealed: u64,
    writes: u64,
    failed: Option<CloseReason>,
}

/// How far the writing got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// Everything there was.
    All,
    /// The kernel takes no more for now.
    Blocked,
    /// The kernel takes more, and so much has been written already that others have their turn.
    More,
    /// Somebody else is writing; who it is finishes the work or wakes the driver.
    Busy,
}

impl WireWriter {
    /// `wire` holds what the handshake left to be written.
    pub(crate) fn new(
        socket: Arc<dyn Writer>,
        source: SessionWriter,
        sealing: Box<dyn Sealing>,
        wire: SendBuffer,
    ) -> Self {
        let half = Half { sealing, wire, said_to: 0, sealed: 0, writes: 0, failed: None };
        let half = Booth::new(half);
        Self { socket, source, half }
    }

    /// Seals and writes what is there.
    pub(crate) fn pump(&self) -> Result<Written, CloseReason> {
        self.knock().map_or(Ok(Written::Busy), |stay| stay.result)
    }

    fn knock(&self) -> Option<Stay<Result<Written, CloseReason>>> {
        // However many knock: nobody is kept inside for others for longer than that.
        let mut budget = WRITE_STAY_BYTES;
        self.half.knock(|half| half.pump(&*self.socket, &self.source, &mut budget))
    }

    /// Ready when the kernel takes more.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        self.socket.poll_writable(cx).map_err(|error| CloseReason::Io(error.kind()))
    }

    /// Nothing more will be written.
    pub(crate) fn shutdown(&self) {
        self.socket.shutdown();
    }

    // What the driver does inside beside writing. It pumps after each of them, and so does the work
    // of those who knock meanwhile.

    /// Changes the sending key, because of its age. `false` if somebody else is writing just now.
    pub(crate) fn renew_key(&self) -> Result<bool, CloseReason> {
        self.half.step_in(Half::renew_key).map_or(Ok(false), |stay| stay.result.map(|()| true))
    }

    /// Seals what is left, however much is waiting already: nothing comes after it. `None` if somebody
    /// else is writing just now.
    pub(crate) fn seal_rest(&self) -> Option<Result<(), CloseReason>> {
        let stay = self.half.step_in(|half| half.fill(&self.source, usize::MAX));
        stay.map(|stay| stay.result)
    }

    /// Sealed bytes of messages that the kernel has not taken; 0 too while somebody else is writing.
    pub(crate) fn unwritten(&self) -> usize {
        self.half.step_in(|half| half.said_to).map_or(0, |stay| stay.result)
    }

    /// Idle: gives back what can be had again.
    pub(crate) fn park(&self) {
        let _ = self.half.step_in(|half| {
            half.sealing.park();
            half.wire.park();
        });
    }
}

impl Flusher for WireWriter {
    fn flush(&self) {
        // What is left only the driver can go on with; and if it was the driver that knocked, it
        // wants to know how the writing went.
        let stay = self.knock();
        if stay.is_some_and(|stay| stay.knocked || stay.result != Ok(Written::All)) {
            self.source.rouse_driver();
        }
    }
}

impl Half {
    fn pump(
        &mut self,
        socket: &dyn Writer,
        source: &SessionWriter,
        budget: &mut usize,
    ) -> Result<Written, CloseReason> {
        if let Some(reason) = &self.failed {
            return Err(reason.clone());
        }
        let result = self.pump_once(socket, source, budget);
        if let Err(reason) = &result {
            self.failed = Some(reason.clone());
        }
        result
    }

    fn pump_once(
        &mut self,
        socket: &dyn Writer,
        source: &SessionWriter,
        budget: &mut usize,
    ) -> Result<Written, CloseReason> {
        loop {
            self.fill(source, WIRE_HIGH_WATER)?;
            if self.wire.is_empty() {
                source.written();
                return Ok(Written::All);
            }
            if *budget == 0 {
                return Ok(Written::More);
            }
            self.writes += 1;
            source.count_written(self.sealed, self.writes);
            let before = self.wire.len();
            if !write_once(socket, &mut self.wire)? {
                return Ok(Written::Blocked);
            }
            let written = before - self.wire.len();
            self.said_to = self.said_to.saturating_sub(written);
            *budget = budget.saturating_sub(written);
        }
    }

    fn fill(&mut self, source: &SessionWriter, wire_max: usize) -> Result<(), CloseReason> {
        while self.wire.len() < wire_max {
            let Some(block) = source.take_block()? else { break };
            let (is_message, before) = (block.weight() > 0, self.wire.len());
            self.sealing.seal(block, &mut self.wire)?;
            self.sealed += (self.wire.len() - before) as u64;
            if is_message {
                self.said_to = self.wire.len();
            }
        }
        Ok(())
    }

    fn renew_key(&mut self) -> Result<(), CloseReason> {
        let before = self.wire.len();
        self.sealing.renew_key(&mut self.wire)?;
        self.sealed += (self.wire.len() - before) as u64;
        Ok(())
    }
}

/// One vectored write. `false` if the kernel takes nothing now.
pub(crate) fn write_once(socket: &dyn Writer, wire: &mut SendBuffer) -> Result<bool, CloseReason> {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let count = wire.io_slices(&mut slices);
    match socket.try_write(&slices[..count]) {
        Ok(0) => Err(CloseReason::Io(ErrorKind::WriteZero)),
        Ok(written) => {
            wire.advance(written);
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
        Err(error) => Err(CloseReason::Io(error.kind())),
    }
}
