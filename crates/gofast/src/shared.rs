//! What the parts of one open connection have in common.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moorline_protocol::Format;

use crate::compress::Press;
use crate::dialect::Dialect;
use crate::exchanges::{At, Exchanges};
use crate::ids::Ids;
use crate::opaques::{Meaning, Opaques};
use crate::stats::{Counters, Entered};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dialect: Dialect,
    pub(crate) format: Format,
    pub(crate) ids: Arc<Ids>,
    pub(crate) opaques: Opaques,
    /// The peer is one of us, and knows the words of [`extension`](crate::extension).
    pub(crate) ours: bool,
    /// The longest frame the peer takes.
    pub(crate) frame_max: u64,
    pub(crate) press: Press,
    /// Who we are, for whoever asks again.
    pub(crate) whoami: Vec<u8>,
    /// The beginning of it, for questions.
    pub(crate) asks: Vec<u8>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) exchanges: Mutex<Exchanges>,
    /// Among the open connections until the last part is gone.
    pub(crate) _entered: Entered,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Exchanges> {
        // Nothing that can panic runs under it.
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the stream of an opaque is to be looked for, if there can be one.
    pub(crate) fn stream_at(&self, opaque: u64) -> Option<At> {
        match self.opaques.meaning(opaque) {
            None => Some(At::Opaque(opaque)),
            Some(Meaning::Stream(place)) => Some(At::Place(place)),
            Some(_) => None,
        }
    }

    /// The end of a stream has left.
    pub(crate) fn end_left(&self, opaque: u64) {
        if let Some(at) = self.stream_at(opaque) {
            self.lock().streams.end_left(at);
        }
    }
}
