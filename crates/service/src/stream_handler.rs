//! Handlers of streams with their types erased.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use moorline_protocol::{ErrorCode, StreamMessage};
use moorline_session::{IncomingStream, Stream};
use serde::de::DeserializeOwned;

use crate::byte_stream::ByteStream;
use crate::context::Context;
use crate::handler::Undecodable;

/// The work of one stream, for a task of its own.
pub(crate) type StreamWork = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes streams that a message of one type opens.
pub(crate) trait StreamHandler: Send + Sync {
    /// A stream whose opening message cannot be read is rejected here.
    fn open(
        &self,
        cx: &Context,
        body: &[u8],
        stream: IncomingStream,
    ) -> Result<StreamWork, Undecodable>;
}

/// Takes streams of bytes that are opened under one name.
pub(crate) trait RawHandler: Send + Sync {
    fn open(&self, cx: &Context, stream: IncomingStream) -> StreamWork;
}

/// `handle_stream`
pub(crate) struct HandleStream<S, F>(F, PhantomData<fn(S)>);

impl<S, F> HandleStream<S, F> {
    pub(crate) fn new(handler: F) -> Self {
        Self(handler, PhantomData)
    }
}

impl<S, F, Fut> StreamHandler for HandleStream<S, F>
where
    S: StreamMessage + DeserializeOwned,
    F: Fn(Context, S, Stream<S::Down, S::Up>) -> Fut + Send + Sync,
    Fut: Future<Output = ()> + Send + 'static,
{
    fn open(
        &self,
        cx: &Context,
        body: &[u8],
        stream: IncomingStream,
    ) -> Result<StreamWork, Undecodable> {
        match cx.format.decode(body) {
            Ok(opening) => Ok(Box::pin((self.0)(cx.clone(), opening, stream.accept()))),
            Err(_) => {
                stream.reject(ErrorCode::DECODE, "the body is not of this message's type");
                Err(Undecodable)
            }
        }
    }
}

/// `handle_raw`
pub(crate) struct HandleRaw<F>(pub(crate) F);

impl<F, Fut> RawHandler for HandleRaw<F>
where
    F: Fn(Context, ByteStream) -> Fut + Send + Sync,
    Fut: Future<Output = ()> + Send + 'static,
{
    fn open(&self, cx: &Context, stream: IncomingStream) -> StreamWork {
        Box::pin((self.0)(cx.clone(), stream.accept_raw().into()))
    }
}
