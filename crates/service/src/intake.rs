//! The receiving half of a connection: reads into a pooled buffer that it holds only while there is
//! something in it.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use moorline_buffers::{RecvBuffer, RecvPool, SendBuffer};
use moorline_protocol::{CloseReason, Protocol, Step};

use crate::transport::Reader;

/// Below this much room a read is not worth its system call.
const ROOM_MIN: usize = 8 * 1024;

pub(crate) struct Intake {
    reader: Box<dyn Reader>,
    pub(crate) protocol: Box<dyn Protocol>,
    buffer: Option<RecvBuffer>,
    pool: RecvPool,
    /// Bytes of the last read, until somebody has counted them.
    read: usize,
}

impl Intake {
    pub(crate) fn new(
        reader: Box<dyn Reader>,
        protocol: Box<dyn Protocol>,
        pool: RecvPool,
    ) -> Self {
        Self { reader, protocol, buffer: None, pool, read: 0 }
    }

    /// Reads once. An end of the bytes is an error that says what it means here.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        let (reader, buffer) = self.ready_to_read()?;
        let read = match reader.poll_read(cx, buffer.spare_mut()) {
            Poll::Ready(read) => read,
            Poll::Pending => {
                if buffer.is_empty() {
                    self.buffer = None;
                }
                return Poll::Pending;
            }
        };
        self.take_in(read)
    }

    /// As [`poll_read`](Self::poll_read), where that has just found nothing, without asking the runtime.
    pub(crate) fn try_read(&mut self) -> Poll<Result<(), CloseReason>> {
        let (reader, buffer) = self.ready_to_read()?;
        match reader.try_read(buffer.spare_mut()) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Poll::Pending,
            read => self.take_in(read),
        }
    }

    fn ready_to_read(&mut self) -> Result<(&mut dyn Reader, &mut RecvBuffer), CloseReason> {
        let Self { reader, protocol, buffer, pool, .. } = self;
        let capacity = protocol.read_capacity();
        let buffer = match buffer {
            Some(buffer) => {
                make_room(buffer, capacity)?;
                buffer
            }
            vacant => vacant.insert(pool.acquire(capacity)?),
        };
        Ok((&mut **reader, buffer))
    }

    fn take_in(&mut self, read: io::Result<usize>) -> Poll<Result<(), CloseReason>> {
        match (read, &mut self.buffer) {
            (Ok(0), _) => Poll::Ready(Err(self.protocol.handle_eof())),
            (Ok(count), Some(buffer)) => {
                buffer.commit(count);
                self.read = count;
                Poll::Ready(Ok(()))
            }
            (Err(error), _) if error.kind() == io::ErrorKind::Interrupted => Poll::Ready(Ok(())),
            (Err(error), _) => Poll::Ready(Err(CloseReason::Io(error.kind()))),
            (Ok(_), None) => unreachable!("it was read into a buffer"),
        }
    }

    /// Bytes that were read and not counted yet.
    pub(crate) fn take_read(&mut self) -> usize {
        std::mem::take(&mut self.read)
    }

    /// The handshake is over: what is left of its last read belongs to the session.
    pub(crate) fn begin_session(&mut self) {
        self.read = self.buffer.as_ref().map_or(0, RecvBuffer::len);
    }

    /// What the bytes read so far give next.
    pub(crate) fn next<'b>(
        buffer: &'b mut Option<RecvBuffer>,
        protocol: &mut dyn Protocol,
        now: Instant,
        out: &mut SendBuffer,
    ) -> Result<Step<'b>, CloseReason> {
        match buffer {
            Some(buffer) => protocol.next(now, buffer, out),
            None => Ok(Step::NeedBytes),
        }
    }

    /// The buffer and the protocol apart, because a frame borrows the one while the other goes on.
    pub(crate) fn parts(&mut self) -> (&mut Option<RecvBuffer>, &mut dyn Protocol) {
        (&mut self.buffer, &mut *self.protocol)
    }

    /// Reads and forgets, until the peer has sent all: so that what we sent last is not lost with
    /// a reset.
    pub(crate) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.buffer = None;
        let mut waste = [0; 1024];
        loop {
            match ready!(self.reader.poll_read(cx, &mut waste)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
    }
}

/// What is there is moved to the front, or the buffer grows, only where a read would be too small.
fn make_room(buffer: &mut RecvBuffer, capacity: usize) -> Result<(), CloseReason> {
    let wanted = capacity.saturating_sub(buffer.len()).max(1);
    if buffer.is_empty() || buffer.spare_mut().len() < wanted.min(ROOM_MIN) {
        buffer.reserve(wanted)?;
    }
    Ok(())
}
