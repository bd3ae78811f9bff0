//! Which handler takes which message.

mod own;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use moorline_protocol::{HandledTypes, Kind, MessageIndex};

use crate::context::Context;
use crate::handler::{PostHandler, RequestHandler};
use crate::stream_handler::{RawHandler, StreamHandler};

pub(crate) use self::own::OwnHandlers;
pub use self::own::SessionHandlers;

/// A message that no other handler takes.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unhandled<'a> {
    /// Its name, if this process has registered the type.
    pub name: Option<&'static str>,
    /// The hash of its name, if the peer has told it.
    pub hash: Option<u64>,
    /// Whether an answer is wanted.
    pub is_request: bool,
    /// The encoded value: whole, and within the limits of depth and length.
    pub body: &'a [u8],
}

pub(crate) type DefaultHandler =
    Arc<dyn Fn(&Context, &Unhandled<'_>) -> Option<Vec<u8>> + Send + Sync>;

/// All handlers of a service. Drivers work with a snapshot that they look at once a turn.
#[derive(Default)]
pub(crate) struct Handlers {
    version: AtomicU64,
    table: Mutex<Arc<HandlerTable>>,
}

/// A snapshot: an array by message type, for posts and for requests.
#[derive(Clone, Default)]
pub(crate) struct HandlerTable {
    posts: Vec<Option<Arc<dyn PostHandler>>>,
    requests: Vec<Option<Arc<dyn RequestHandler>>>,
    streams: Vec<Option<Arc<dyn StreamHandler>>>,
    raw: BTreeMap<Box<str>, Arc<dyn RawHandler>>,
    pub(crate) default: Option<DefaultHandler>,
    pub(crate) handled: HandledTypes,
}

impl HandlerTable {
    pub(crate) fn post(&self, kind: Kind) -> Option<&Arc<dyn PostHandler>> {
        entry(&self.posts, kind)
    }

    pub(crate) fn request(&self, kind: Kind) -> Option<&Arc<dyn RequestHandler>> {
        entry(&self.requests, kind)
    }

    pub(crate) fn stream(&self, kind: Kind) -> Option<&Arc<dyn StreamHandler>> {
        entry(&self.streams, kind)
    }

    fn takes(&self, index: MessageIndex) -> bool {
        let kind = Kind::Known(index);
        self.post(kind).is_some() || self.request(kind).is_some() || self.stream(kind).is_some()
    }

    pub(crate) fn raw(&self, name: &str) -> Option<&Arc<dyn RawHandler>> {
        self.raw.get(name)
    }
}

fn entry<T>(entries: &[Option<T>], kind: Kind) -> Option<&T> {
    match kind {
        Kind::Known(index) => entries.get(index.position()).and_then(Option::as_ref),
        Kind::Unknown { .. } => None,
    }
}

impl Handlers {
    /// Changes when the table does; one atomic load.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn snapshot(&self) -> Arc<HandlerTable> {
        Arc::clone(&self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `false` if there was one already; it stays.
    pub(crate) fn add_post(&self, index: MessageIndex, handler: Arc<dyn PostHandler>) -> bool {
        self.change(|table| {
            table.handled.insert(index);
            put(&mut table.posts, index, handler)
        })
    }

    /// `false` if there was one already; it stays.
    pub(crate) fn add_request(
        &self,
        index: MessageIndex,
        handler: Arc<dyn RequestHandler>,
    ) -> bool {
        self.change(|table| {
            table.handled.insert(index);
            put(&mut table.requests, index, handler)
        })
    }

    /// `false` if there was one already; it stays.
    pub(crate) fn add_stream(&self, index: MessageIndex, handler: Arc<dyn StreamHandler>) -> bool {
        self.change(|table| {
            table.handled.insert(index);
            put(&mut table.streams, index, handler)
        })
    }

    /// `false` if there was one already; it stays.
    pub(crate) fn add_raw(&self, name: &str, handler: Arc<dyn RawHandler>) -> bool {
        self.change(|table| match table.raw.entry(name.into()) {
            Entry::Vacant(place) => {
                place.insert(handler);
                true
            }
            Entry::Occupied(_) => false,
        })
    }

    pub(crate) fn set_default(&self, handler: DefaultHandler) {
        self.change(|table| {
            table.handled = std::mem::take(&mut table.handled).with_any(true);
            table.default = Some(handler);
        });
    }

    /// Drops all of them. What sessions that are still there have seen of them stays with these.
    pub(crate) fn clear(&self) {
        self.change(|table| *table = HandlerTable::default());
    }

    fn change<R>(&self, change: impl FnOnce(&mut HandlerTable) -> R) -> R {
        let mut current = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = HandlerTable::clone(&current);
        let result = change(&mut table);
        let before = std::mem::replace(&mut *current, Arc::new(table));
        self.version.fetch_add(1, Ordering::Release);
        drop(current);
        // What is dropped with it is the user's, and may do anything.
        drop(before);
        result
    }
}

fn put<T>(entries: &mut Vec<Option<T>>, index: MessageIndex, handler: T) -> bool {
    let place = place_of(entries, index);
    let vacant = place.is_none();
    if vacant {
        *place = Some(handler);
    }
    vacant
}

fn place_of<T>(entries: &mut Vec<Option<T>>, index: MessageIndex) -> &mut Option<T> {
    let position = index.position();
    if entries.len() <= position {
        entries.resize_with(position + 1, || None);
    }
    &mut entries[position]
}
