//! The sending half of a connection: takes blocks, seals them, writes them. Whoever holds its lock
//! writes; nobody waits for it.

use std::io::{ErrorKind, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::task::{Context, Poll};

use moorline_buffers::SendBuffer;
use moorline_protocol::{CloseReason, Sealing};
use moorline_session::{Flusher, SessionWriter};

use crate::limits::{SLICES_MAX, WIRE_HIGH_WATER};
use crate::transport::Writer;

/// Shared by the driver and by senders that have filled a batch.
pub(crate) struct WireWriter {
    socket: Arc<dyn Writer>,
    source: SessionWriter,
    half: Mutex<Half>,
    /// Somebody wanted to write while the lock was held: its holder looks at this after release.
    mark: AtomicBool,
}

/// Taking blocks, their nonces and their order on the wire have one owner.
struct Half {
    sealing: Box<dyn Sealing>,
    wire: SendBuffer,
    failed: Option<CloseReason>,
}

/// How far the writing got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// Everything there was.
    All,
    /// The kernel takes no more for now.
    Blocked,
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
        let half = Mutex::new(Half { sealing, wire, failed: None });
        Self { socket, source, half, mark: AtomicBool::new(false) }
    }

    /// Seals and writes what is there.
    pub(crate) fn pump(&self) -> Result<Written, CloseReason> {
        self.pump_marked().0
    }

    /// The same, and whether somebody else wanted to write meanwhile.
    ///
    /// `outbox/model.rs` of `moorline-session` has a copy of this loop, which is tried in every order.
    fn pump_marked(&self) -> (Result<Written, CloseReason>, bool) {
        let mut marked = false;
        loop {
            let mut half = match self.half.try_lock() {
                Ok(half) => half,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    self.mark.store(true, Ordering::SeqCst);
                    // The holder may have looked at the mark just before: then the lock is free.
                    match self.half.try_lock() {
                        Ok(half) => half,
                        Err(_) => return (Ok(Written::Busy), marked),
                    }
                }
            };
            let written = half.pump(&*self.socket, &self.source);
            drop(half);
            if !self.mark.swap(false, Ordering::SeqCst) {
                return (written, marked);
            }
            marked = true;
        }
    }

    /// Ready when the kernel takes more.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        self.socket.poll_writable(cx).map_err(|error| CloseReason::Io(error.kind()))
    }

    /// Nothing more will be written.
    pub(crate) fn shutdown(&self) {
        self.socket.shutdown();
    }

    /// Changes the sending key, because of its age. `false` if somebody else is writing just now.
    pub(crate) fn renew_key(&self) -> Result<bool, CloseReason> {
        let Ok(mut half) = self.half.try_lock() else { return Ok(false) };
        let Half { sealing, wire, .. } = &mut *half;
        sealing.renew_key(wire)?;
        Ok(true)
    }

    /// Seals what is left, however much is waiting already: nothing comes after it.
    pub(crate) fn seal_rest(&self) -> Result<(), CloseReason> {
        let mut half = self.half.lock().unwrap_or_else(PoisonError::into_inner);
        half.fill(&self.source, usize::MAX)
    }

    /// Idle: gives back what can be had again.
    pub(crate) fn park(&self) {
        if let Ok(mut half) = self.half.try_lock() {
            half.sealing.park();
            half.wire.park();
        }
    }
}

impl Flusher for WireWriter {
    fn flush(&self) {
        // What is left only the driver can go on with; and if it was the driver that came to a
        // locked door, it wants to know how the writing went.
        let (written, marked) = self.pump_marked();
        if marked || !matches!(written, Ok(Written::All | Written::Busy)) {
            self.source.rouse_driver();
        }
    }
}

impl Half {
    fn pump(
        &mut self,
        socket: &dyn Writer,
        source: &SessionWriter,
    ) -> Result<Written, CloseReason> {
        if let Some(reason) = &self.failed {
            return Err(reason.clone());
        }
        let result = self.pump_once(socket, source);
        if let Err(reason) = &result {
            self.failed = Some(reason.clone());
        }
        result
    }

    fn pump_once(
        &mut self,
        socket: &dyn Writer,
        source: &SessionWriter,
    ) -> Result<Written, CloseReason> {
        loop {
            self.fill(source, WIRE_HIGH_WATER)?;
            if self.wire.is_empty() {
                source.written();
                return Ok(Written::All);
            }
            if !write_once(socket, &mut self.wire)? {
                return Ok(Written::Blocked);
            }
        }
    }

    fn fill(&mut self, source: &SessionWriter, wire_max: usize) -> Result<(), CloseReason> {
        while self.wire.len() < wire_max {
            let Some(block) = source.take_block()? else { break };
            self.sealing.seal(block, &mut self.wire)?;
        }
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
