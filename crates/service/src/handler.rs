//! Handlers with their types erased: bytes in, bytes out.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use moorline_protocol::{ErrorCode, Format, Message, MessageFamily, Request};
use moorline_session::{Answer, Failure};
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::limits::RECYCLED_FUTURES_MAX;

/// The body is not of the type it should be.
pub(crate) struct Undecodable;

/// A handler of posts.
pub(crate) trait PostHandler: Send + Sync {
    fn call(&self, cx: &Context, body: &[u8]) -> Result<(), Undecodable>;
}

/// A handler of requests. What is to be said goes to `out`, encoded.
pub(crate) trait RequestHandler: Send + Sync {
    fn call(&self, cx: &Context, body: &[u8], out: &mut Vec<u8>) -> Result<Reply, Undecodable>;

    /// The time it has for an answer, where it has a say in that.
    fn time(&self) -> Option<Duration> {
        None
    }
}

/// How far a request handler got.
pub(crate) enum Reply {
    Done(Said),
    /// It waits for something: whoever polls this to the end has the answer.
    Pending(Pin<Box<dyn Future<Output = (Said, Vec<u8>)> + Send>>),
}

/// Which kind of answer the encoded bytes are.
pub(crate) enum Said {
    Good,
    App,
    Fault(ErrorCode, Box<str>),
}

impl Said {
    pub(crate) fn answer<'a>(&'a self, body: &'a [u8]) -> Answer<'a> {
        match self {
            Said::Good => Answer::Good(body),
            Said::App => Answer::App(body),
            Said::Fault(code, text) => Answer::Fault(*code, text),
        }
    }

    fn panicked<Q: Request>() -> Self {
        report_panic::<Q>();
        Said::Fault(ErrorCode::INTERNAL, "the handler panicked".into())
    }
}

/// The span of the driver tells which session it was.
fn report_panic<M: Message>() {
    tracing::error!(message_type = M::registration().name(), "a handler panicked");
}

/// Encodes what a handler of `Q` has said.
fn say<Q: Request>(
    result: Result<Q::Response, Failure<Q::Error>>,
    format: Format,
    out: &mut Vec<u8>,
) -> Said {
    out.clear();
    let (encoded, said) = match &result {
        Ok(response) => (format.encode(response, out), Said::Good),
        Err(Failure::App(error)) => (format.encode(error, out), Said::App),
        Err(Failure::Fault(code, text)) => return Said::Fault(*code, text.clone()),
    };
    match encoded {
        Ok(()) => said,
        Err(error) => {
            let text = format!("the answer could not be encoded: {error}");
            Said::Fault(ErrorCode::INTERNAL, text.into())
        }
    }
}

/// `on_view`, and with an owned message `on`.
pub(crate) struct OnPost<M, F>(F, PhantomData<fn(M)>);

impl<M, F> OnPost<M, F> {
    pub(crate) fn new(handler: F) -> Self {
        Self(handler, PhantomData)
    }
}

impl<M, F> PostHandler for OnPost<M, F>
where
    M: MessageFamily,
    F: for<'a> Fn(&Context, M::View<'a>) + Send + Sync,
{
    fn call(&self, cx: &Context, body: &[u8]) -> Result<(), Undecodable> {
        let message = cx.format.decode(body).map_err(|_| Undecodable)?;
        // What a panic costs is this message: the session goes on.
        if catch_unwind(AssertUnwindSafe(|| (self.0)(cx, message))).is_err() {
            report_panic::<M::View<'static>>();
        }
        Ok(())
    }
}

/// `handle_now`: the answer is there when the handler returns.
pub(crate) struct HandleNow<Q, F>(F, PhantomData<fn(Q)>);

impl<Q, F> HandleNow<Q, F> {
    pub(crate) fn new(handler: F) -> Self {
        Self(handler, PhantomData)
    }
}

impl<Q, F> RequestHandler for HandleNow<Q, F>
where
    Q: Request + DeserializeOwned,
    F: Fn(&Context, Q) -> Result<Q::Response, Failure<Q::Error>> + Send + Sync,
{
    fn call(&self, cx: &Context, body: &[u8], out: &mut Vec<u8>) -> Result<Reply, Undecodable> {
        let request = cx.format.decode(body).map_err(|_| Undecodable)?;
        let said = catch_unwind(AssertUnwindSafe(|| (self.0)(cx, request)))
            .map_or_else(|_| Said::panicked::<Q>(), |result| say::<Q>(result, cx.format, out));
        Ok(Reply::Done(said))
    }
}

/// `handle`: the future is polled once at once, in a box that goes round; only if it waits does
/// that box move to a task.
pub(crate) struct Handle<Q, F, Fut> {
    handler: F,
    time: Option<Duration>,
    recycled: Recycled<Fut>,
    request: PhantomData<fn(Q)>,
}

type Slot<Fut> = Pin<Box<Option<Fut>>>;

/// Boxes that futures of one handler have left.
struct Recycled<Fut>(Arc<Mutex<Vec<Slot<Fut>>>>);

impl<Fut> Clone for Recycled<Fut> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<Fut> Recycled<Fut> {
    fn acquire(&self) -> Slot<Fut> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Box::pin(None))
    }

    /// The future itself is dropped here, outside the lock.
    fn release(&self, mut slot: Slot<Fut>) {
        slot.set(None);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < RECYCLED_FUTURES_MAX {
            kept.push(slot);
        }
    }
}

impl<Q, F, Fut> Handle<Q, F, Fut> {
    pub(crate) fn new(handler: F, time: Option<Duration>) -> Self {
        Self { handler, time, recycled: Recycled(Arc::default()), request: PhantomData }
    }
}

impl<Q, F, Fut> RequestHandler for Handle<Q, F, Fut>
where
    Q: Request + DeserializeOwned + 'static,
    F: Fn(Context, Q) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Q::Response, Failure<Q::Error>>> + Send + 'static,
{
    fn call(&self, cx: &Context, body: &[u8], out: &mut Vec<u8>) -> Result<Reply, Undecodable> {
        let request: Q = cx.format.decode(body).map_err(|_| Undecodable)?;
        let mut slot = self.recycled.acquire();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            slot.set(Some((self.handler)(cx.clone(), request)));
            // If it is pending the task polls it again at once, with a waker that counts.
            poll_slot(&mut slot, Waker::noop())
        }));
        match polled {
            Ok(Poll::Ready(result)) => {
                self.recycled.release(slot);
                Ok(Reply::Done(say::<Q>(result, cx.format, out)))
            }
            Ok(Poll::Pending) => {
                let (recycled, format) = (self.recycled.clone(), cx.format);
                Ok(Reply::Pending(Box::pin(async move {
                    let result =
                        std::future::poll_fn(|task| poll_slot(&mut slot, task.waker())).await;
                    recycled.release(slot);
                    let mut body = Vec::new();
                    let said = say::<Q>(result, format, &mut body);
                    (said, body)
                })))
            }
            Err(_) => Ok(Reply::Done(Said::panicked::<Q>())),
        }
    }

    fn time(&self) -> Option<Duration> {
        self.time
    }
}

fn poll_slot<Fut: Future>(slot: &mut Slot<Fut>, waker: &Waker) -> Poll<Fut::Output> {
    let future = slot.as_mut().as_pin_mut().expect("a slot in use holds its future");
    future.poll(&mut std::task::Context::from_waker(waker))
}
