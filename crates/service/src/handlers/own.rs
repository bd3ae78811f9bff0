//! Handlers of one session: what it takes otherwise than its service does.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use moorline_protocol::{
    HandledTypes, Message, MessageFamily, MessageIndex, MessageRegistry, RegistryError, Request,
    StreamMessage,
};
use moorline_session::{Failure, Stream};
use serde::de::DeserializeOwned;

use super::{DefaultHandler, HandlerTable, Unhandled, place_of};
use crate::byte_stream::ByteStream;
use crate::context::Context;
use crate::error::Result;
use crate::handler::{Handle, HandleNow, OnPost, PostHandler, RequestHandler};
use crate::stream_handler::{HandleRaw, HandleStream, RawHandler, StreamHandler};

/// A change of the handlers of one session, made by [`Owner::handlers`](crate::Owner::handlers).
///
/// What is said here goes before what the service has, on this session alone; said twice, the last
/// counts.
pub struct SessionHandlers<'a> {
    registry: &'a MessageRegistry,
    pub(crate) change: OwnHandlers,
    mistake: Option<RegistryError>,
}

impl<'a> SessionHandlers<'a> {
    pub(crate) fn new(registry: &'a MessageRegistry) -> Self {
        Self { registry, change: OwnHandlers::default(), mistake: None }
    }

    /// As [`Service::on`](crate::Service::on).
    pub fn on<M, F>(&mut self, handler: F)
    where
        M: Message + DeserializeOwned + MessageFamily + for<'b> MessageFamily<View<'b> = M>,
        F: Fn(&Context, M) + Send + Sync + 'static,
    {
        self.on_view::<M, _>(handler);
    }

    /// As [`Service::on_view`](crate::Service::on_view).
    pub fn on_view<M, F>(&mut self, handler: F)
    where
        M: MessageFamily,
        F: for<'b> Fn(&Context, M::View<'b>) + Send + Sync + 'static,
    {
        let handler: Arc<dyn PostHandler> = Arc::new(OnPost::<M, F>::new(handler));
        self.with_index::<M::View<'static>>(|own, index| {
            own.posts.insert(index, Own::Handler(handler));
        });
    }

    /// As [`Service::handle`](crate::Service::handle).
    pub fn handle<Q, F, Fut>(&mut self, handler: F)
    where
        Q: Request + DeserializeOwned + 'static,
        F: Fn(Context, Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Q::Response, Failure<Q::Error>>> + Send + 'static,
    {
        self.request::<Q>(Arc::new(Handle::<Q, F, Fut>::new(handler, None)));
    }

    /// As [`Service::handle_within`](crate::Service::handle_within).
    pub fn handle_within<Q, F, Fut>(&mut self, time: Duration, handler: F)
    where
        Q: Request + DeserializeOwned + 'static,
        F: Fn(Context, Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Q::Response, Failure<Q::Error>>> + Send + 'static,
    {
        self.request::<Q>(Arc::new(Handle::<Q, F, Fut>::new(handler, Some(time))));
    }

    /// As [`Service::handle_now`](crate::Service::handle_now).
    pub fn handle_now<Q, F>(&mut self, handler: F)
    where
        Q: Request + DeserializeOwned + 'static,
        F: Fn(&Context, Q) -> Result<Q::Response, Failure<Q::Error>> + Send + Sync + 'static,
    {
        self.request::<Q>(Arc::new(HandleNow::<Q, F>::new(handler)));
    }

    fn request<Q: Request>(&mut self, handler: Arc<dyn RequestHandler>) {
        self.with_index::<Q>(|own, index| {
            own.requests.insert(index, Own::Handler(handler));
        });
    }

    /// As [`Service::handle_stream`](crate::Service::handle_stream).
    pub fn handle_stream<S, F, Fut>(&mut self, handler: F)
    where
        S: StreamMessage + DeserializeOwned + 'static,
        F: Fn(Context, S, Stream<S::Down, S::Up>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let handler: Arc<dyn StreamHandler> = Arc::new(HandleStream::<S, F>::new(handler));
        self.with_index::<S>(|own, index| {
            own.streams.insert(index, Own::Handler(handler));
        });
    }

    /// As [`Service::handle_raw`](crate::Service::handle_raw).
    pub fn handle_raw<F, Fut>(&mut self, name: &str, handler: F)
    where
        F: Fn(Context, ByteStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.change.raw.insert(name.into(), Own::Handler(Arc::new(HandleRaw(handler))));
    }

    /// As [`Service::default_handler`](crate::Service::default_handler).
    pub fn default_handler<F>(&mut self, handler: F)
    where
        F: Fn(&Context, &Unhandled<'_>) -> Option<Vec<u8>> + Send + Sync + 'static,
    {
        self.change.default = Some(Own::Handler(Arc::new(handler)));
    }

    /// Messages of type `M` have no handler on this session, whatever the service has: the peer is
    /// told so, unless there is a default handler, which gets them then.
    pub fn remove<M: Message>(&mut self) {
        self.with_index::<M>(|own, index| own.remove(index));
    }

    /// Streams of bytes under this name have no handler on this session.
    pub fn remove_raw(&mut self, name: &str) {
        self.change.raw.insert(name.into(), Own::Nobody);
    }

    /// This session has no default handler.
    pub fn remove_default(&mut self) {
        self.change.default = Some(Own::Nobody);
    }

    /// Messages of type `M` go to the service's handler again, if it has one.
    pub fn restore<M: Message>(&mut self) {
        self.with_index::<M>(|own, index| own.restore(index));
    }

    /// Streams of bytes under this name go to the service's handler again, if it has one.
    pub fn restore_raw(&mut self, name: &str) {
        self.change.raw.insert(name.into(), Own::AsService);
    }

    /// What has no handler goes to the service's default handler again, if it has one.
    pub fn restore_default(&mut self) {
        self.change.default = Some(Own::AsService);
    }

    /// Everything goes to the service's handlers again, but what is said after this.
    pub fn restore_all(&mut self) {
        self.change = OwnHandlers { anew: true, ..OwnHandlers::default() };
    }

    fn with_index<M: Message>(&mut self, add: impl FnOnce(&mut OwnHandlers, MessageIndex)) {
        match self.registry.index_of::<M>() {
            Ok(index) => add(&mut self.change, index),
            Err(error) => drop(self.mistake.get_or_insert(error)),
        }
    }

    /// The change, if there is no mistake in it.
    pub(crate) fn finish(self) -> Result<OwnHandlers, RegistryError> {
        self.mistake.map_or(Ok(self.change), Err)
    }
}

impl std::fmt::Debug for SessionHandlers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionHandlers").finish_non_exhaustive()
    }
}

/// What a session says of one message.
#[derive(Clone)]
enum Own<T> {
    Handler(T),
    Nobody,
    AsService,
}

impl<T: Clone> Own<T> {
    fn apply(&self, place: &mut Option<T>) {
        match self {
            Own::Handler(handler) => *place = Some(handler.clone()),
            Own::Nobody => *place = None,
            Own::AsService => {}
        }
    }
}

/// All that one session says, by message.
#[derive(Clone, Default)]
pub(crate) struct OwnHandlers {
    posts: BTreeMap<MessageIndex, Own<Arc<dyn PostHandler>>>,
    requests: BTreeMap<MessageIndex, Own<Arc<dyn RequestHandler>>>,
    streams: BTreeMap<MessageIndex, Own<Arc<dyn StreamHandler>>>,
    raw: BTreeMap<Box<str>, Own<Arc<dyn RawHandler>>>,
    /// `None`: nothing was said of it.
    default: Option<Own<DefaultHandler>>,
    /// As a change: what was said before counts no more.
    anew: bool,
}

impl OwnHandlers {
    fn remove(&mut self, index: MessageIndex) {
        self.posts.insert(index, Own::Nobody);
        self.requests.insert(index, Own::Nobody);
        self.streams.insert(index, Own::Nobody);
    }

    fn restore(&mut self, index: MessageIndex) {
        self.posts.insert(index, Own::AsService);
        self.requests.insert(index, Own::AsService);
        self.streams.insert(index, Own::AsService);
    }

    /// What is said now, after a change of it.
    pub(crate) fn changed(&self, change: Self) -> Self {
        if change.anew {
            return Self { anew: false, ..change };
        }
        let mut now = self.clone();
        now.posts.extend(change.posts);
        now.requests.extend(change.requests);
        now.streams.extend(change.streams);
        now.raw.extend(change.raw);
        now.default = change.default.or(now.default);
        now
    }

    /// The handlers of the session, where its service has those of `table`.
    pub(crate) fn over(&self, table: &HandlerTable) -> HandlerTable {
        let mut table = table.clone();
        for (&index, own) in &self.posts {
            own.apply(place_of(&mut table.posts, index));
        }
        for (&index, own) in &self.requests {
            own.apply(place_of(&mut table.requests, index));
        }
        for (&index, own) in &self.streams {
            own.apply(place_of(&mut table.streams, index));
        }
        for (name, own) in &self.raw {
            let mut place = table.raw.remove(name);
            own.apply(&mut place);
            place.into_iter().for_each(|handler| drop(table.raw.insert(name.clone(), handler)));
        }
        self.default.iter().for_each(|own| own.apply(&mut table.default));
        table.handled = self.handled(&table);
        table
    }

    fn handled(&self, table: &HandlerTable) -> HandledTypes {
        let mut handled = table.handled.clone();
        for &index in self.posts.keys().chain(self.requests.keys()).chain(self.streams.keys()) {
            if table.takes(index) {
                handled.insert(index);
            } else {
                handled.remove(index);
            }
        }
        handled.with_any(table.default.is_some())
    }
}
