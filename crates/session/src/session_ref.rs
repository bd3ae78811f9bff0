//! A cheap handle to a session: everything an application does with one.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::Waker;

use moorline_buffers::{BlockPool, SendBuffer};
use moorline_protocol::limits::UNIT_MAX;
use moorline_protocol::{
    Body, CloseReason, Encoder, ErrorCode, Farewell, Frame, HandledTypes, Kind, Lane, Message,
    MessageIndex, MessageRegistry, Meta, Opened, PeerFacts, PeerLimits, Request, Settings,
};

use crate::call::Call;
use crate::close::{CloseSubscription, SessionEnd};
use crate::counters::Wire;
use crate::errors::{SendError, our_fault};
use crate::hub::Hub;
use crate::id::SessionId;
use crate::incoming::lane_for;
use crate::lasting::Connection;
use crate::limits::{EARLY_FLUSH_CALLS, EARLY_FLUSH_POSTS, LINK_ABOVE, UNIT_HEAD_MAX};
use crate::outbox::{Flush, Need, Outbox, OutboxTerms, Phase, Signals};
use crate::room::Room;
use crate::scratch::with_scratch;
use crate::stream::{Attached, attach};

/// A session, seen from any thread. Cloning it is cheap; it does not keep the session open.
#[derive(Clone)]
pub struct SessionRef {
    pub(crate) shared: Arc<Shared>,
}

/// What all handles of a session and its driver have in common.
pub(crate) struct Shared {
    pub(crate) id: SessionId,
    pub(crate) protocol: &'static str,
    pub(crate) direction: Direction,
    pub(crate) address: Box<str>,
    pub(crate) peer: PeerFacts,
    pub(crate) limits: PeerLimits,
    pub(crate) encoder: Arc<dyn Encoder>,
    pub(crate) registry: MessageRegistry,
    pub(crate) blocks: BlockPool,
    pub(crate) block_max: usize,
    /// A body that is no longer goes out in one unit.
    pub(crate) unit_body_max: usize,
    pub(crate) context: Attached,
    desk: Attached,
    /// Its id outlives it.
    pub(crate) lasting: Option<Connection>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) flusher: OnceLock<Weak<dyn Flusher>>,
    /// Somebody waits until the kernel has what was queued. Written under the outbox's lock.
    pub(crate) flush_awaited: AtomicBool,
    pub(crate) wire: Wire,
    outbox: Mutex<Outbox>,
}

/// Who opened the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The peer.
    Accepted,
    /// This side.
    Connected,
}

/// Writes what is queued, if nobody else is at it: how a sender gets a full batch out by itself
/// without this crate knowing a socket.
pub trait Flusher: Send + Sync {
    /// Never blocks, never waits for a lock.
    fn flush(&self);
}

/// Where a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionStatus {
    /// Messages go both ways.
    Open,
    /// The peer takes nothing new; what was accepted is answered.
    PeerDrains,
    /// This side is closing; what was accepted for sending still goes out.
    Closing,
    /// It is over.
    Closed(CloseReason),
}

/// What a new session is made of.
pub struct SessionParts<'a> {
    /// What the protocol said when it opened.
    pub opened: &'a Opened,
    /// Name of the protocol.
    pub protocol: &'static str,
    /// Who opened the connection.
    pub direction: Direction,
    /// Address of the peer, for people.
    pub address: Box<str>,
    /// Message types of this side.
    pub registry: MessageRegistry,
    /// Blocks come from here.
    pub blocks: BlockPool,
    /// What this side handles now.
    pub handled: HandledTypes,
    /// Bytes to be queued at most.
    pub outbox_bytes: usize,
    /// Limits of this side.
    pub settings: Settings,
}

impl SessionRef {
    pub(crate) fn new(
        id: SessionId,
        hub: Arc<Hub>,
        parts: SessionParts<'_>,
        lasting: Option<Connection>,
    ) -> Self {
        let opened = parts.opened;
        let block_max = opened.block_max.min(parts.blocks.payload_capacity());
        let unit_body_max = block_max.min(UNIT_MAX) - UNIT_HEAD_MAX;
        let terms = OutboxTerms {
            bytes_max: parts.outbox_bytes,
            settings: parts.settings,
            dialed: parts.direction == Direction::Connected,
            unit_body_max,
        };
        let mut outbox = Outbox::new(opened, &parts.blocks, parts.handled, &terms);
        outbox.set_flush(hub.flush_default());
        if lasting.is_some() {
            outbox.count_posts();
        }
        let shared = Shared {
            id,
            protocol: parts.protocol,
            direction: parts.direction,
            address: parts.address,
            peer: opened.peer.clone(),
            limits: opened.limits,
            encoder: Arc::clone(&opened.encoder),
            registry: parts.registry,
            block_max,
            unit_body_max,
            context: Attached::new(),
            desk: Attached::new(),
            lasting,
            blocks: parts.blocks,
            hub,
            flusher: OnceLock::new(),
            flush_awaited: AtomicBool::new(false),
            wire: Wire::default(),
            outbox: Mutex::new(outbox),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Its id, unique over time.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.shared.id
    }

    /// Who is at the other end: key, name on our list, suite. It never changes.
    #[must_use]
    pub fn peer(&self) -> &PeerFacts {
        &self.shared.peer
    }

    /// Address of the peer, for people and logs.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// Name of the protocol it speaks.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        self.shared.protocol
    }

    /// Name of a message type of this side.
    #[must_use]
    pub fn name_of(&self, index: MessageIndex) -> Option<&'static str> {
        self.shared.registry.name_of(index)
    }

    /// Who opened the connection.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.shared.direction
    }

    /// Where it stands now. It may have moved on by the time you look.
    #[must_use]
    pub fn status(&self) -> SessionStatus {
        match self.shared.lock().phase() {
            Phase::Open => SessionStatus::Open,
            Phase::PeerDrains => SessionStatus::PeerDrains,
            Phase::Closing(_) | Phase::Farewell(_) => SessionStatus::Closing,
            Phase::Closed(reason) => SessionStatus::Closed(reason.clone()),
        }
    }

    /// Whether new messages are accepted. `status` says why not.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.shared.lock().phase(), Phase::Open)
    }

    /// Bytes queued and not yet taken for sealing.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.shared.lock().queued()
    }

    /// Queues a post. It never blocks, and never drops in silence.
    ///
    /// # Errors
    /// The message was not accepted, in no part; the error says why.
    pub fn send<M: Message>(&self, message: &M) -> Result<(), SendError> {
        let shared = &*self.shared;
        shared.send(message, Lane::Normal)
    }

    /// As [`send`](Self::send), ahead of ordinary messages (priority 6 or 7) or behind them (0 or
    /// 1). Posts keep their order among those of the same third: 0 to 1, 2 to 5, 6 to 7.
    ///
    /// # Errors
    /// As `send`.
    pub fn send_with_priority<M: Message>(
        &self,
        priority: u8,
        message: &M,
    ) -> Result<(), SendError> {
        self.shared.send(message, Lane::of(priority))
    }

    /// As [`send`](Self::send), but waits for [`room`](Self::room) instead of failing with `Full`.
    ///
    /// # Errors
    /// As `send`, without `Full`.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing was sent.
    pub async fn send_wait<M: Message>(&self, message: &M) -> Result<(), SendError> {
        loop {
            match self.send(message) {
                Err(SendError::Full { .. }) => Room::new(&self.shared, Need::Bytes).await,
                result => return result,
            }
        }
    }

    /// Asks, and waits for the one answer: `session.request(q).timeout(d).await`.
    ///
    /// Nothing is sent before the first poll. Dropping the future takes the request back: the peer
    /// drops its handler.
    pub fn request<Q: Request>(&self, request: Q) -> Call<Q> {
        Call::new(self.clone(), request)
    }

    /// Waits until at most half of the outbox is taken and a request has a slot, or until the
    /// session is no longer open.
    ///
    /// # Cancel safety
    /// It only waits.
    pub async fn room(&self) {
        Room::new(&self.shared, Need::BytesAndSlot).await;
    }

    /// Waits until at most half of the outbox is taken, or until the session is no longer open.
    ///
    /// # Cancel safety
    /// It only waits.
    pub async fn room_for_post(&self) {
        Room::new(&self.shared, Need::Bytes).await;
    }

    /// Waits until the peer has dispatched everything that was sent, said on streams and published to it
    /// before.
    ///
    /// # Errors
    /// The session ended first.
    ///
    /// # Cancel safety
    /// It only waits; dropped, what was sent stays sent.
    pub async fn barrier(&self) -> Result<(), SendError> {
        let nonce = self.shared.append(Outbox::append_ping)?;
        let pong = poll_fn(|cx| {
            let mut waker = Some(cx.waker().clone());
            let polled = self.shared.lock().poll_pong(nonce, &mut waker);
            drop(waker);
            polled
        });
        pong.await.map_err(SendError::Closed)
    }

    /// When posts, requests and what is said on streams leave, from now on; default is
    /// [`Flush::Auto`], or what the service was built with.
    pub fn set_flush(&self, flush: Flush) {
        let _ = self.shared.append(|outbox| {
            outbox.set_flush(flush);
            Ok::<_, SendError>(())
        });
    }

    /// Lets out what is queued, and hands it to the kernel now if the kernel takes it and nobody
    /// else is at it. With [`Flush::Auto`] it would leave a moment later anyway.
    pub fn flush(&self) {
        if self.shared.lock().uses_gate() {
            let _ = self.shared.append(|outbox| {
                outbox.release();
                Ok::<_, SendError>(())
            });
        }
        self.shared.flush();
    }

    /// [`flush`](Self::flush), and waits until everything that was queued before is with the kernel:
    /// as far as the peer's credit allows nothing of it is left in this process.
    ///
    /// # Errors
    /// The session ended first, or too many wait for the same.
    ///
    /// # Cancel safety
    /// It only waits; dropped, what was let out stays let out.
    pub async fn flush_wait(&self) -> Result<(), SendError> {
        let number = self.shared.append(|outbox| {
            self.shared.flush_awaited.store(true, Ordering::Release);
            outbox.append_flush()
        })?;
        self.shared.flush();
        let written = poll_fn(|cx| {
            let mut waker = Some(cx.waker().clone());
            let polled = self.shared.lock().poll_flushed(number, &mut waker);
            drop(waker);
            polled
        });
        written.await.map_err(SendError::Closed)
    }

    /// Closes in order: what was accepted for sending goes out, then the farewell. Returns at once;
    /// `false` if it was closing already.
    pub fn close(&self) -> bool {
        self.begin_close(Farewell::ordinary())
    }

    /// As [`close`](Self::close), with a code of the application (from 1 up) and a text that the
    /// peer gets to see.
    pub fn close_with(&self, code: ErrorCode, text: &str) -> bool {
        self.begin_close(Farewell::new(code, text))
    }

    /// Calls `hear` exactly once when the session ends, at once if it has ended. Where its id lasts
    /// over several connections that is its final end.
    pub fn on_close(&self, hear: impl FnOnce(&SessionEnd) + Send + 'static) -> CloseSubscription {
        self.shared.hub.subscribe_close(self.id(), hear)
    }

    /// Keeps a value of the application's with the session, for all its handles: who is logged in, a
    /// player's state. `Err` gives it back: there is one already.
    ///
    /// # Errors
    /// Something was attached before.
    pub fn attach<T: Any + Send + Sync>(&self, value: T) -> Result<(), T> {
        attach(&self.shared.context, value)
    }

    /// What was attached, if it is of this type.
    #[must_use]
    pub fn attached<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.shared.context.get()?.downcast_ref()
    }

    // ---- for whoever runs the sessions of a process ------------------------------------------

    /// Keeps a value of the driver's with the session, as [`attach`](Self::attach) keeps one of the
    /// application's. `Err` gives it back: there is one already.
    ///
    /// # Errors
    /// Something was attached before.
    pub fn attach_desk<T: Any + Send + Sync>(&self, value: T) -> Result<(), T> {
        attach(&self.shared.desk, value)
    }

    /// What the driver has attached, if it is of this type.
    #[must_use]
    pub fn desk<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.shared.desk.get()?.downcast_ref()
    }

    /// The message types of this side.
    #[must_use]
    pub fn registry(&self) -> &MessageRegistry {
        &self.shared.registry
    }

    /// Tells the peer what this side handles, if that has changed, ahead of whatever is sent from
    /// now on. It wakes nobody, so that it may be called under a lock: [`signal`](Self::signal) does.
    //= docs/PROTOCOL.md#4
    pub fn set_handled(&self, handled: HandledTypes) {
        let mut outbox = self.shared.lock();
        if let Err(error) = outbox.set_handled(handled) {
            outbox.fail(our_fault(error));
        }
    }

    /// Asks the driver for something.
    pub fn signal(&self, signals: Signals) {
        let _ = self.shared.append(|outbox| {
            outbox.signal(signals);
            Ok::<_, SendError>(())
        });
    }

    fn begin_close(&self, farewell: Farewell) -> bool {
        self.shared
            .append(|outbox| Ok::<_, SendError>(outbox.begin_close(farewell)))
            .unwrap_or(false)
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the outbox. Wakes the driver if it sleeps, and those who wait for room if
    /// there is some, after the lock is released.
    pub(crate) fn append<R, E>(
        &self,
        work: impl FnOnce(&mut Outbox) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut outbox = self.lock();
        let result = work(&mut outbox);
        outbox.release_if_full();
        let driver = if result.is_ok() { outbox.rouse() } else { None };
        let waiters = outbox.take_waiters();
        drop(outbox);
        driver.into_iter().chain(waiters).for_each(Waker::wake);
        result
    }

    pub(crate) fn flush(&self) {
        if let Some(flusher) = self.flusher.get().and_then(Weak::upgrade) {
            flusher.flush();
        }
    }

    pub(crate) fn encode_body<M: serde::Serialize>(
        &self,
        message: &M,
        body: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        self.encoder
            .format()
            .encode(message, body)
            .map_err(|error| SendError::Encode(error.to_string().into()))?;
        let (size, limit) = (body.len() as u64, self.limits.message_max);
        if size > limit { Err(SendError::TooLarge { size, limit }) } else { Ok(()) }
    }

    fn send<M: Message>(&self, message: &M, lane: Lane) -> Result<(), SendError> {
        let index = self.registry.index_of::<M>()?;
        with_scratch(|body| {
            self.encode_body(message, body)?;
            self.post(index, M::registration().name(), lane, body)
        })
    }

    pub(crate) fn post(
        &self,
        index: MessageIndex,
        name: &'static str,
        lane: Lane,
        body: &[u8],
    ) -> Result<(), SendError> {
        let frame = Frame::Post {
            kind: Kind::Known(index),
            meta: Meta::default(),
            body: Body::Borrowed(body),
        };
        let way = (lane, body.len() > self.unit_body_max);
        let queued = if body.len() <= LINK_ABOVE {
            self.append(|outbox| {
                outbox.admit(index, name, body.len())?;
                outbox.append_call(index, way, &frame)?;
                Ok::<_, SendError>(outbox.ready_len())
            })?
        } else {
            let mut outbox = self.lock();
            outbox.admit(index, name, body.len())?;
            let lent = outbox.lend_chain();
            drop(outbox);
            let mut encoded = lent.unwrap_or_else(|| self.chain());
            self.encoder.encode(&frame, lane, &mut encoded)?;
            self.append(|outbox| {
                outbox.admit(index, name, body.len())?;
                outbox.link_call(index, way, None, &mut encoded)?;
                outbox.keep_chain(encoded);
                Ok::<_, SendError>(0)
            })?
        };
        if queued >= EARLY_FLUSH_POSTS {
            self.flush();
        }
        Ok(())
    }

    /// Appends a request and returns its slot.
    pub(crate) fn request(
        &self,
        index: MessageIndex,
        name: &'static str,
        meta: Meta,
        timeout: Option<std::time::Duration>,
        body: &[u8],
    ) -> Result<u32, SendError> {
        let frame = |id, meta| Frame::Request {
            id,
            kind: Kind::Known(index),
            meta,
            body: Body::Borrowed(body),
        };
        let lane = lane_for(meta.priority, body.len());
        let way = (lane, body.len() > self.unit_body_max);
        let open = |outbox: &mut Outbox| {
            outbox.admit(index, name, body.len())?;
            outbox.requests.open(timeout, lane)
        };
        if body.len() <= LINK_ABOVE {
            let (id, queued) = self.append(|outbox| {
                let id = open(outbox)?;
                if let Err(error) = outbox.append_call(index, way, &frame(id, meta)) {
                    outbox.requests.withdraw(id);
                    return Err(SendError::from(error));
                }
                Ok((id, outbox.ready_len()))
            })?;
            if queued >= EARLY_FLUSH_CALLS {
                self.flush();
            }
            return Ok(id);
        }
        // The slot is taken first, because its number stands in front of the body.
        let mut outbox = self.lock();
        let id = open(&mut outbox)?;
        let lent = outbox.lend_chain();
        drop(outbox);
        let mut encoded = lent.unwrap_or_else(|| self.chain());
        let result = self.encoder.encode(&frame(id, meta), lane, &mut encoded);
        self.append(|outbox| {
            // The session may have ended or begun to close meanwhile: nothing follows a farewell.
            let linked = outbox
                .takes_new()
                .and_then(|()| Ok(result.map(drop)?))
                .and_then(|()| Ok(outbox.link_call(index, way, Some(id), &mut encoded)?));
            match linked {
                Ok(()) => outbox.keep_chain(encoded),
                Err(_) => outbox.requests.withdraw(id),
            }
            linked.map(|()| id)
        })
    }

    pub(crate) fn chain(&self) -> SendBuffer {
        SendBuffer::with_block_max(&self.blocks, self.block_max)
    }
}

impl fmt::Debug for SessionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRef")
            .field("id", &self.shared.id)
            .field("protocol", &self.shared.protocol)
            .field("address", &self.shared.address)
            .finish_non_exhaustive()
    }
}

impl PartialEq for SessionRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for SessionRef {}

impl std::hash::Hash for SessionRef {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.shared.id.hash(state);
    }
}
