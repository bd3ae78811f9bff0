//! Handlers with their types erased: bytes in, bytes out.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Poll, Waker};

use moorline_protocol::{
    ErrorCode, Format, HandledTypes, Kind, MessageFamily, MessageIndex, Request, StreamMessage,
};
use moorline_session::{Answer, Failure, IncomingStream, RawStream, Stream};
use serde::de::DeserializeOwned;

use crate::context::Context;

/// The body is not of the type it should be.
pub(crate) struct Undecodable;

pub(crate) type PostHandler = Box<dyn FnMut(&Context, &[u8]) -> Result<(), Undecodable>>;
pub(crate) type RequestHandler = Box<dyn FnMut(&Context, &[u8]) -> Result<Reply, Undecodable>>;
pub(crate) type StreamHandler =
    Box<dyn FnMut(&Context, &[u8], IncomingStream) -> Result<Work, Undecodable>>;
pub(crate) type RawHandler = Box<dyn FnMut(&Context, IncomingStream) -> Work>;
/// What is done with a stream.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()>>>;
/// What the rest of a handler comes to.
pub(crate) type Rest = Pin<Box<dyn Future<Output = Said>>>;

/// How far a request handler got.
pub(crate) enum Reply {
    Done(Said),
    /// It waits for something: whoever polls this to the end has the answer.
    Pending(Rest),
}

/// An encoded answer.
pub(crate) enum Said {
    Good(Vec<u8>),
    App(Vec<u8>),
    Fault(ErrorCode, Box<str>),
}

impl Said {
    pub(crate) fn answer(&self) -> Answer<'_> {
        match self {
            Said::Good(body) => Answer::Good(body),
            Said::App(body) => Answer::App(body),
            Said::Fault(code, text) => Answer::Fault(*code, text),
        }
    }

    fn of<Q: Request>(result: &Result<Q::Response, Failure<Q::Error>>, format: Format) -> Self {
        let mut body = Vec::new();
        let encoded = match result {
            Ok(response) => format.encode(response, &mut body),
            Err(Failure::App(error)) => format.encode(error, &mut body),
            Err(Failure::Fault(code, text)) => return Said::Fault(*code, text.clone()),
        };
        match (encoded, result) {
            (Ok(()), Ok(_)) => Said::Good(body),
            (Ok(()), Err(_)) => Said::App(body),
            (Err(error), _) => {
                let text = format!("the answer could not be encoded: {error}");
                Said::Fault(ErrorCode::INTERNAL, text.into())
            }
        }
    }
}

/// What one side handles.
#[derive(Default)]
pub(crate) struct Handlers {
    posts: Vec<Option<PostHandler>>,
    requests: Vec<Option<RequestHandler>>,
    streams: Vec<Option<StreamHandler>>,
    raw: BTreeMap<Box<str>, RawHandler>,
    pub(crate) handled: HandledTypes,
    /// Changes when the tables do.
    pub(crate) version: u64,
}

impl Handlers {
    pub(crate) fn post(&mut self, kind: Kind) -> Option<&mut PostHandler> {
        entry(&mut self.posts, kind)
    }

    pub(crate) fn request(&mut self, kind: Kind) -> Option<&mut RequestHandler> {
        entry(&mut self.requests, kind)
    }

    pub(crate) fn stream(&mut self, kind: Kind) -> Option<&mut StreamHandler> {
        entry(&mut self.streams, kind)
    }

    pub(crate) fn raw(&mut self, name: &str) -> Option<&mut RawHandler> {
        self.raw.get_mut(name)
    }

    pub(crate) fn add_stream(&mut self, index: MessageIndex, handler: StreamHandler) {
        self.changed(index);
        put(&mut self.streams, index, handler);
    }

    pub(crate) fn add_raw(&mut self, name: &str, handler: RawHandler) {
        self.raw.insert(name.into(), handler);
    }

    pub(crate) fn add_post(&mut self, index: MessageIndex, handler: PostHandler) {
        self.changed(index);
        put(&mut self.posts, index, handler);
    }

    pub(crate) fn add_request(&mut self, index: MessageIndex, handler: RequestHandler) {
        self.changed(index);
        put(&mut self.requests, index, handler);
    }

    fn changed(&mut self, index: MessageIndex) {
        self.handled.insert(index);
        self.version += 1;
    }

    /// A process that starts anew has none.
    pub(crate) fn clear(&mut self) {
        *self = Self { version: self.version + 1, ..Self::default() };
    }
}

fn entry<T>(entries: &mut [Option<T>], kind: Kind) -> Option<&mut T> {
    match kind {
        Kind::Known(index) => entries.get_mut(index.position()).and_then(Option::as_mut),
        Kind::Unknown { .. } => None,
    }
}

fn put<T>(entries: &mut Vec<Option<T>>, index: MessageIndex, handler: T) {
    let position = index.position();
    if entries.len() <= position {
        entries.resize_with(position + 1, || None);
    }
    entries[position] = Some(handler);
}

pub(crate) fn on_owned<M: DeserializeOwned>(
    mut handler: impl FnMut(&Context, M) + 'static,
) -> PostHandler {
    Box::new(move |cx, body| {
        handler(cx, cx.format.decode(body).map_err(|_| Undecodable)?);
        Ok(())
    })
}

pub(crate) fn on_post<M: MessageFamily>(
    mut handler: impl for<'a> FnMut(&Context, M::View<'a>) + 'static,
) -> PostHandler {
    Box::new(move |cx, body| {
        handler(cx, cx.format.decode(body).map_err(|_| Undecodable)?);
        Ok(())
    })
}

pub(crate) fn handle_now<Q: Request + DeserializeOwned>(
    mut handler: impl FnMut(&Context, Q) -> Result<Q::Response, Failure<Q::Error>> + 'static,
) -> RequestHandler {
    Box::new(move |cx, body| {
        let request = cx.format.decode(body).map_err(|_| Undecodable)?;
        Ok(Reply::Done(Said::of::<Q>(&handler(cx, request), cx.format)))
    })
}

/// The future is polled once at once; only if it waits it becomes a task.
pub(crate) fn handle<Q, Fut>(mut handler: impl FnMut(Context, Q) -> Fut + 'static) -> RequestHandler
where
    Q: Request + DeserializeOwned,
    Fut: Future<Output = Result<Q::Response, Failure<Q::Error>>> + 'static,
{
    Box::new(move |cx, body| {
        let request = cx.format.decode(body).map_err(|_| Undecodable)?;
        let (work, format) = (handler(cx.clone(), request), cx.format);
        let mut rest: Rest = Box::pin(async move { Said::of::<Q>(&work.await, format) });
        let polled = rest.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop()));
        Ok(match polled {
            Poll::Ready(said) => Reply::Done(said),
            Poll::Pending => Reply::Pending(rest),
        })
    })
}

pub(crate) fn handle_stream<S, Fut>(
    mut handler: impl FnMut(Context, S, Stream<S::Down, S::Up>) -> Fut + 'static,
) -> StreamHandler
where
    S: StreamMessage + DeserializeOwned,
    Fut: Future<Output = ()> + 'static,
{
    Box::new(move |cx, body, stream| match cx.format.decode(body) {
        Ok(opening) => Ok(Box::pin(handler(cx.clone(), opening, stream.accept()))),
        Err(_) => {
            stream.reject(ErrorCode::DECODE, "the body is not of this message's type");
            Err(Undecodable)
        }
    })
}

pub(crate) fn handle_raw<Fut>(
    mut handler: impl FnMut(Context, RawStream) -> Fut + 'static,
) -> RawHandler
where
    Fut: Future<Output = ()> + 'static,
{
    Box::new(move |cx, stream| Box::pin(handler(cx.clone(), stream.accept_raw())))
}
