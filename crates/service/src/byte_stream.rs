//! Streams of bytes, as the runtime's I/O traits want them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use moorline_session::{RawStream, SendError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A raw stream that can be read and written like a socket: `ByteStream::from(session.open_raw("log")?)`.
///
/// Shutting down its writing side finishes this direction. Dropped before that, the stream is reset,
/// and the other side sees an error instead of an early end.
#[derive(Debug)]
pub struct ByteStream(RawStream);

impl From<RawStream> for ByteStream {
    fn from(stream: RawStream) -> Self {
        Self(stream)
    }
}

impl ByteStream {
    /// As [`Stream::keep`](moorline_session::Stream::keep).
    pub fn keep<T: std::any::Any + Send>(&self, value: T) {
        self.0.keep(value);
    }

    /// The stream itself.
    #[must_use]
    pub fn into_inner(self) -> RawStream {
        self.0
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.0.poll_read(cx, to.initialize_unfilled()));
        let n = read.map_err(|error| io::Error::new(io::ErrorKind::ConnectionReset, error))?;
        to.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, from).map_err(broken)
    }

    /// Lets out what is queued, as [`SessionRef::flush`](moorline_session::SessionRef::flush) does. It
    /// does not wait for it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.session().flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.finish() {
            Ok(()) | Err(SendError::Finished) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(broken(error))),
        }
    }
}

fn broken(error: SendError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}
