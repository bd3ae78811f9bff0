use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use moorline_buffers::RecvBuffer;
use moorline_protocol::ErrorCode;

use super::Handle;
use crate::errors::{SendError, StreamError};
use crate::outbox::Taken;
use crate::session_ref::SessionRef;

/// A stream of bytes in both directions, without messages: for what has a framing of its own, and
/// for files.
///
/// It has the two polling functions that the I/O traits of a runtime are made of; `moorline-service`
/// makes it an `AsyncRead` and `AsyncWrite`. Dropped before it has finished, the stream is reset with
/// [`ErrorCode::CANCELLED`].
pub struct RawStream {
    handle: Arc<Handle>,
    /// What has come and is not read yet.
    rest: Rest,
    copied: Vec<u8>,
}

enum Rest {
    Nothing,
    /// From here on in `copied`.
    Copied(usize),
    Whole(Box<RecvBuffer>),
}

impl RawStream {
    pub(super) fn new(handle: Arc<Handle>) -> Self {
        Self { handle, rest: Rest::Nothing, copied: Vec::new() }
    }

    /// Reads what has come into `to`; 0 once the peer has finished.
    ///
    /// # Errors
    /// The stream was reset, or its session has ended.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut [u8],
    ) -> Poll<Result<usize, StreamError>> {
        if to.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            let n = self.read_rest(to);
            if n > 0 {
                return Poll::Ready(Ok(n));
            }
            self.copied.clear();
            let Self { handle, copied, .. } = self;
            match handle.poll_next(cx, copied) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(0)),
                Poll::Ready(Ok(Some(Taken::Copied))) => self.rest = Rest::Copied(0),
                Poll::Ready(Ok(Some(Taken::Whole(buffer)))) => self.rest = Rest::Whole(buffer),
            }
        }
    }

    fn read_rest(&mut self, to: &mut [u8]) -> usize {
        let from = match &self.rest {
            Rest::Nothing => return 0,
            Rest::Copied(at) => &self.copied[*at..],
            Rest::Whole(buffer) => buffer.readable(),
        };
        let n = from.len().min(to.len());
        to[..n].copy_from_slice(&from[..n]);
        let is_all = n == from.len();
        match &mut self.rest {
            _ if is_all => self.rest = Rest::Nothing,
            Rest::Nothing => {}
            Rest::Copied(at) => *at += n,
            Rest::Whole(buffer) => buffer.consume(n),
        }
        n
    }

    /// Queues some bytes of `from`, at most a unit of them; says how many.
    ///
    /// # Errors
    /// The stream has ended, or was finished.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<Result<usize, SendError>> {
        if from.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let n = from.len().min(self.handle.shared.unit_body_max);
        loop {
            match self.handle.queue(&from[..n], false) {
                Ok(_) => return Poll::Ready(Ok(n)),
                Err(SendError::Full { .. }) => match self.handle.poll_room(cx) {
                    Poll::Ready(()) => {}
                    Poll::Pending => return Poll::Pending,
                },
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Says that nothing more comes from this side.
    ///
    /// # Errors
    /// The stream has ended, or was finished before.
    pub fn finish(&mut self) -> Result<(), SendError> {
        self.handle.finish(&[])
    }

    /// Ends it now, both ways. The peer sees code (from 1 up) and text.
    pub fn reset(self, code: ErrorCode, text: &str) {
        self.handle.reset(code, text);
    }

    /// As [`Stream::keep`](super::Stream::keep).
    pub fn keep<T: std::any::Any + Send>(&self, value: T) {
        self.handle.keep(value);
    }

    /// The session it belongs to.
    #[must_use]
    pub fn session(&self) -> SessionRef {
        SessionRef { shared: Arc::clone(&self.handle.shared) }
    }
}

impl Drop for RawStream {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.handle.reset(ErrorCode::INTERNAL, "the handler panicked");
        }
        self.handle.gone(|outbox| {
            outbox.sender_gone(self.handle.id);
            outbox.receiver_gone(self.handle.id);
        });
    }
}

impl fmt::Debug for RawStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RawStream").field(&self.handle.id).finish()
    }
}
