//! Handles of streams: what sends, what receives, and what the peer has opened.

mod half;
mod raw;

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use moorline_protocol::{ErrorCode, Lane, Meta, StreamMessage};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::half::{StreamReceiver, StreamSender};
pub use self::raw::RawStream;
use crate::errors::{SendError, StreamError};
use crate::outbox::NewStream;
use crate::scratch::with_scratch;
use crate::session_ref::{SessionRef, Shared};

/// A stream of typed messages, in both directions: `Out` is what this side sends.
///
/// Each direction ends by itself, with [`finish`](Self::finish); both end at once when one side
/// resets. Dropped before it has finished, a stream is reset with [`ErrorCode::CANCELLED`]: half of
/// something is never taken for all of it.
pub struct Stream<Out, In> {
    sender: StreamSender<Out>,
    receiver: StreamReceiver<In>,
}

impl<Out: Serialize, In: DeserializeOwned> Stream<Out, In> {
    fn new(handle: Arc<Handle>) -> Self {
        let sender = StreamSender::new(Arc::clone(&handle));
        Self { sender, receiver: StreamReceiver::new(handle) }
    }

    /// As [`StreamSender::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&mut self, message: &Out) -> Result<(), SendError> {
        self.sender.send(message)
    }

    /// As [`StreamSender::send_wait`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing was sent.
    pub async fn send_wait(&mut self, message: &Out) -> Result<(), SendError> {
        self.sender.send_wait(message).await
    }

    /// As [`StreamSender::send_acked`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Dropped, what was queued is sent all the same.
    pub async fn send_acked(&mut self, message: &Out) -> Result<(), SendError> {
        self.sender.send_acked(message).await
    }

    /// As [`StreamReceiver::recv`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// No message is lost.
    pub async fn recv(&mut self) -> Result<Option<In>, StreamError> {
        self.receiver.recv().await
    }

    /// As [`StreamReceiver::trailer`].
    ///
    /// # Errors
    /// As there.
    pub fn trailer<T: DeserializeOwned>(&mut self) -> Result<Option<T>, StreamError> {
        self.receiver.trailer()
    }

    /// As [`StreamSender::finish`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(&mut self) -> Result<(), SendError> {
        self.sender.finish()
    }

    /// As [`StreamSender::finish_with`].
    ///
    /// # Errors
    /// As there.
    pub fn finish_with<T: Serialize>(&mut self, trailer: &T) -> Result<(), SendError> {
        self.sender.finish_with(trailer)
    }

    /// Ends it now, both ways. What is on its way is lost; the peer sees code (from 1 up) and text.
    pub fn reset(self, code: ErrorCode, text: &str) {
        self.handle().reset(code, text);
    }

    /// Both directions apart, for two tasks.
    #[must_use]
    pub fn split(self) -> (StreamSender<Out>, StreamReceiver<In>) {
        (self.sender, self.receiver)
    }

    /// The session it belongs to.
    #[must_use]
    pub fn session(&self) -> SessionRef {
        SessionRef { shared: Arc::clone(&self.handle().shared) }
    }

    /// Its number, unique within the session.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.handle().id
    }

    /// Keeps a value of the application's with the stream, for both halves. `Err` gives it back:
    /// there is one already.
    ///
    /// # Errors
    /// Something was attached before.
    pub fn attach<T: Any + Send + Sync>(&self, value: T) -> Result<(), T> {
        attach(&self.handle().context, value)
    }

    /// What was attached, if it is of this type.
    #[must_use]
    pub fn attached<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.handle().context.get()?.downcast_ref()
    }

    /// Keeps a value, of which there may be many, until both halves of the stream are dropped: what
    /// is to end with it.
    pub fn keep<T: Any + Send>(&self, value: T) {
        self.handle().keep(value);
    }

    fn handle(&self) -> &Handle {
        self.sender.handle()
    }
}

impl<Out, In> fmt::Debug for Stream<Out, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.sender.handle().id).finish()
    }
}

/// A place for one value of the application's.
pub(crate) type Attached = OnceLock<Box<dyn Any + Send + Sync>>;

pub(crate) fn attach<T: Any + Send + Sync>(place: &Attached, value: T) -> Result<(), T> {
    let refused = |value: Box<dyn Any + Send + Sync>| {
        *value.downcast().expect("it comes back as it was given")
    };
    place.set(Box::new(value)).map_err(refused)
}

/// What the halves of a stream have in common.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: u32,
    pub(crate) context: Attached,
    kept: Mutex<Vec<Box<dyn Any + Send>>>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>, id: u32) -> Arc<Self> {
        Arc::new(Self { shared, id, context: Attached::new(), kept: Mutex::default() })
    }

    pub(crate) fn keep<T: Any + Send>(&self, value: T) {
        let value = Box::new(value);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(value);
    }

    pub(crate) fn reset(&self, code: ErrorCode, text: &str) {
        let _ = self.shared.append(|outbox| {
            outbox.reset_stream(self.id, code, text);
            Ok::<_, SendError>(())
        });
    }
}

/// A stream the peer has opened, until it is accepted or rejected. Dropped, it is rejected with
/// [`ErrorCode::UNIMPLEMENTED`].
#[must_use = "dropping it rejects the stream"]
pub struct IncomingStream {
    shared: Arc<Shared>,
    id: u32,
    taken: bool,
}

impl IncomingStream {
    pub(crate) fn new(shared: Arc<Shared>, id: u32) -> Self {
        Self { shared, id, taken: false }
    }

    /// Takes it: `Out` is what this side sends.
    #[must_use]
    pub fn accept<Out: Serialize, In: DeserializeOwned>(mut self) -> Stream<Out, In> {
        Stream::new(self.take())
    }

    /// Takes it as a stream of bytes.
    #[must_use]
    pub fn accept_raw(mut self) -> RawStream {
        RawStream::new(self.take())
    }

    /// Turns it down; the peer sees code and text.
    pub fn reject(mut self, code: ErrorCode, text: &str) {
        self.refuse(code, text);
    }

    fn take(&mut self) -> Arc<Handle> {
        self.taken = true;
        Handle::new(Arc::clone(&self.shared), self.id)
    }

    fn refuse(&mut self, code: ErrorCode, text: &str) {
        self.taken = true;
        let _ = self.shared.append(|outbox| {
            outbox.refuse_stream(self.id, code, text);
            Ok::<_, SendError>(())
        });
    }
}

impl Drop for IncomingStream {
    fn drop(&mut self) {
        if !self.taken {
            self.refuse(ErrorCode::UNIMPLEMENTED, "nobody takes such a stream");
        }
    }
}

impl fmt::Debug for IncomingStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IncomingStream").field(&self.id).finish()
    }
}

impl SessionRef {
    /// Opens a stream. It returns at once, before the peer has heard of it: whether the peer takes
    /// it shows when something is received.
    ///
    /// # Errors
    /// It was not opened; the error says why.
    pub fn open<S: StreamMessage>(&self, message: &S) -> Result<Stream<S::Up, S::Down>, SendError> {
        self.open_with_priority(4, message)
    }

    /// As [`open`](Self::open): everything on the stream goes ahead of what is ordinary (priority 6
    /// or 7) or behind it (0 or 1), on both sides.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with_priority<S: StreamMessage>(
        &self,
        priority: u8,
        message: &S,
    ) -> Result<Stream<S::Up, S::Down>, SendError> {
        let shared = &self.shared;
        let index = shared.registry.index_of::<S>()?;
        with_scratch(|body| {
            shared.encode_body(message, body)?;
            let name = S::registration().name();
            Ok(Stream::new(self.open_handle(priority, Some((index, name)), body)?))
        })
    }

    /// Opens a stream of bytes under a name that both sides know.
    ///
    /// # Errors
    /// As [`open`](Self::open), and where the name is longer than
    /// [`NAME_MAX`](moorline_protocol::limits::NAME_MAX) bytes.
    pub fn open_raw(&self, name: &str) -> Result<RawStream, SendError> {
        let limit = moorline_protocol::limits::NAME_MAX as u64;
        if name.len() as u64 > limit {
            return Err(SendError::TooLarge { size: name.len() as u64, limit });
        }
        Ok(RawStream::new(self.open_handle(4, None, name.as_bytes())?))
    }

    fn open_handle(
        &self,
        priority: u8,
        index: Option<(moorline_protocol::MessageIndex, &'static str)>,
        body: &[u8],
    ) -> Result<Arc<Handle>, SendError> {
        let told = (priority != 4).then(|| priority.min(7));
        let meta = Meta { priority: told, ..Meta::default() };
        let id = self.shared.append(|outbox| {
            outbox.open_stream(NewStream { lane: Lane::of(priority), index, body, meta })
        })?;
        Ok(Handle::new(Arc::clone(&self.shared), id))
    }
}
