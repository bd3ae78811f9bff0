use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use moorline_protocol::{Body, ErrorCode, Frame};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Handle;
use crate::errors::{SendError, StreamError};
use crate::limits::{EARLY_FLUSH_POSTS, LINK_ABOVE};
use crate::outbox::{Outgoing, Taken};
use crate::scratch::{keep_scratch, take_scratch, with_scratch};
use crate::session_ref::Shared;

/// What sends on a stream. Dropped before it has finished, the stream is reset.
pub struct StreamSender<T> {
    handle: Arc<Handle>,
    message: PhantomData<fn(T)>,
}

/// What receives on a stream. Dropped, what still comes is thrown away; the other direction goes
/// on.
pub struct StreamReceiver<T> {
    handle: Arc<Handle>,
    message: PhantomData<fn() -> T>,
}

impl<T: Serialize> StreamSender<T> {
    pub(super) fn new(handle: Arc<Handle>) -> Self {
        Self { handle, message: PhantomData }
    }

    /// Queues a message. It never blocks and never drops in silence.
    ///
    /// # Errors
    /// [`SendError::Full`] where 1 MiB waits on this stream already, [`SendError::StreamOver`]
    /// where it has ended; nothing was sent then, in no part.
    pub fn send(&mut self, message: &T) -> Result<(), SendError> {
        self.queue(message, false).map(drop)
    }

    /// As [`send`](Self::send), but waits for room instead of failing with `Full`.
    ///
    /// # Errors
    /// As `send`, without `Full`.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing was sent.
    pub async fn send_wait(&mut self, message: &T) -> Result<(), SendError> {
        self.queue_wait(message, false).await.map(drop)
    }

    /// Sends, and waits until the peer's application has received it.
    ///
    /// # Errors
    /// As [`send_wait`](Self::send_wait); [`SendError::StreamOver`] also where the stream ended
    /// before the word came, and then nobody knows.
    ///
    /// # Cancel safety
    /// Dropped, what was queued is sent all the same.
    pub async fn send_acked(&mut self, message: &T) -> Result<(), SendError> {
        let count = self.queue_wait(message, true).await?;
        let handle = &*self.handle;
        poll_fn(|cx| {
            let mut waker = Some(cx.waker().clone());
            let polled = handle.shared.lock().poll_acked(handle.id, count, &mut waker);
            drop(waker);
            polled
        })
        .await
    }

    /// Says that nothing more comes from this side. The other direction stays open.
    ///
    /// # Errors
    /// The stream has ended, or was finished before.
    pub fn finish(&mut self) -> Result<(), SendError> {
        self.handle.finish(&[])
    }

    /// As [`finish`](Self::finish), with a last value that the peer finds behind everything else: a
    /// checksum, a count, a reason. It must fit one unit: 16 KiB.
    ///
    /// # Errors
    /// As `finish`, and where the value cannot be encoded or is too long.
    pub fn finish_with<U: Serialize>(&mut self, trailer: &U) -> Result<(), SendError> {
        with_scratch(|bytes| {
            self.handle.shared.encode_body(trailer, bytes)?;
            self.handle.finish(bytes)
        })
    }

    /// Ends the stream now, both ways. The peer sees code (from 1 up) and text.
    pub fn reset(self, code: ErrorCode, text: &str) {
        self.handle.reset(code, text);
    }

    /// Waits until less than half of what may be queued is, or until waiting is no use.
    ///
    /// # Cancel safety
    /// It only waits.
    pub async fn room(&mut self) {
        poll_fn(|cx| self.handle.poll_room(cx)).await;
    }

    async fn queue_wait(&mut self, message: &T, acknowledge: bool) -> Result<u64, SendError> {
        loop {
            match self.queue(message, acknowledge) {
                Err(SendError::Full { .. }) => self.room().await,
                result => return result,
            }
        }
    }

    fn queue(&mut self, message: &T, acknowledge: bool) -> Result<u64, SendError> {
        with_scratch(|body| {
            self.handle.shared.encode_body(message, body)?;
            self.handle.queue(body, acknowledge)
        })
    }
}

impl<T> StreamSender<T> {
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Handle {
    /// Queues DATA; how many that makes.
    pub(super) fn queue(&self, body: &[u8], acknowledge: bool) -> Result<u64, SendError> {
        let shared = &*self.shared;
        let is_long = body.len() > shared.unit_body_max;
        let out = Outgoing { stream: self.id, body, is_long, acknowledge };
        let (count, queued) = if body.len() <= LINK_ABOVE {
            shared.append(|outbox| outbox.append_data(&out))?
        } else {
            self.queue_long(shared, &out)?
        };
        if queued >= EARLY_FLUSH_POSTS {
            shared.flush();
        }
        Ok(count)
    }

    /// The same, encoded outside the lock.
    fn queue_long(&self, shared: &Shared, out: &Outgoing<'_>) -> Result<(u64, usize), SendError> {
        let mut outbox = shared.lock();
        let lane = outbox.admit_data(self.id, out.body.len())?;
        let lent = outbox.lend_chain();
        drop(outbox);
        let mut encoded = lent.unwrap_or_else(|| shared.chain());
        let frame = Frame::Data {
            stream: self.id,
            body: Body::Borrowed(out.body),
            acknowledge: out.acknowledge,
        };
        shared.encoder.encode(&frame, lane, &mut encoded)?;
        shared.append(|outbox| {
            let queued = outbox.link_data(out, &mut encoded)?;
            outbox.keep_chain(encoded);
            Ok(queued)
        })
    }

    pub(super) fn finish(&self, trailer: &[u8]) -> Result<(), SendError> {
        self.shared.append(|outbox| outbox.finish_stream(self.id, trailer))
    }

    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waker = Some(cx.waker().clone());
        let polled = self.shared.lock().poll_stream_room(self.id, &mut waker);
        drop(waker);
        polled
    }

    /// The next message, copied to `scratch` or in its own buffer.
    pub(super) fn poll_next(
        &self,
        cx: &mut Context<'_>,
        scratch: &mut Vec<u8>,
    ) -> Poll<Result<Option<Taken>, StreamError>> {
        let mut waker = Some(cx.waker().clone());
        let mut outbox = self.shared.lock();
        let (polled, owes) = outbox.poll_stream(self.id, &mut waker, scratch);
        let driver = if owes { outbox.rouse() } else { None };
        drop(outbox);
        drop(waker);
        driver.into_iter().for_each(std::task::Waker::wake);
        polled
    }

    /// A peer that sends what it should not is told, and may send no more of it.
    //= docs/PROTOCOL.md#9
    fn conclude<T, E>(&self, decoded: Result<T, E>) -> Result<T, StreamError> {
        decoded.map_err(|_| {
            self.reset(ErrorCode::DECODE, "a message is not of the type of the stream");
            StreamError::Decode
        })
    }

    pub(super) fn gone(&self, gone: impl FnOnce(&mut crate::outbox::Outbox)) {
        let _ = self.shared.append(|outbox| {
            gone(outbox);
            Ok::<_, SendError>(())
        });
    }
}

impl<T> Drop for StreamSender<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.handle.reset(ErrorCode::INTERNAL, "the handler panicked");
        }
        self.handle.gone(|outbox| outbox.sender_gone(self.handle.id));
    }
}

impl<T: DeserializeOwned> StreamReceiver<T> {
    pub(super) fn new(handle: Arc<Handle>) -> Self {
        Self { handle, message: PhantomData }
    }

    /// The next message, or `None` once the peer has finished.
    ///
    /// # Errors
    /// The stream was reset or its session has ended; what came before has been received by then.
    /// [`StreamError::Decode`] for a message that is not of type `T`: the stream is reset with
    /// [`ErrorCode::DECODE`]; what had come behind it is still received.
    ///
    /// # Cancel safety
    /// No message is lost.
    pub async fn recv(&mut self) -> Result<Option<T>, StreamError> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for whoever writes a future by hand.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>, StreamError>> {
        let mut scratch = take_scratch();
        let polled = self.handle.poll_next(cx, &mut scratch);
        let format = self.handle.shared.encoder.format();
        let decoded = polled.map(|taken| {
            let bytes: &[u8] = match &taken? {
                None => return Ok(None),
                Some(Taken::Copied) => &scratch,
                Some(Taken::Whole(buffer)) => {
                    return self.handle.conclude(format.decode(buffer.readable()).map(Some));
                }
            };
            self.handle.conclude(format.decode(bytes).map(Some))
        });
        keep_scratch(scratch);
        decoded
    }

    /// What the peer said when it finished, once: after [`recv`](Self::recv) has returned `None`.
    ///
    /// # Errors
    /// [`StreamError::Decode`]: it is not of type `U`, and what is left of the stream is reset.
    pub fn trailer<U: DeserializeOwned>(&mut self) -> Result<Option<U>, StreamError> {
        let bytes = self.handle.shared.lock().trailer(self.handle.id);
        let format = self.handle.shared.encoder.format();
        let decode = |bytes: Vec<u8>| self.handle.conclude(format.decode(&bytes));
        bytes.map(decode).transpose()
    }
}

impl<T> Drop for StreamReceiver<T> {
    fn drop(&mut self) {
        self.handle.gone(|outbox| outbox.receiver_gone(self.handle.id));
    }
}

impl<T> fmt::Debug for StreamSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamSender").field(&self.handle.id).finish()
    }
}

impl<T> fmt::Debug for StreamReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamReceiver").field(&self.handle.id).finish()
    }
}
