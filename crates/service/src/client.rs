//! A client: what stands above the sessions it has one after the other.
//!
//! `machine.rs` says what it does next, `task.rs` does it, `shared.rs` is what both and all handles
//! have in common. Posts that wait are in `queue.rs`, requests that wait in `call.rs`.

mod back_off;
mod builder;
mod call;
mod clients;
mod machine;
mod queue;
mod shared;
mod subscription;
mod task;

use std::fmt;
use std::sync::Arc;

use moorline_protocol::{CloseReason, ErrorCode, Farewell, Message, Request, StreamMessage};
use moorline_session::{RawStream, SendError, SessionId, SessionRef, Stream};
use serde::de::DeserializeOwned;

pub use self::back_off::BackOff;
pub use self::builder::ClientBuilder;
pub use self::call::{ClientCall, ClientCallFuture};
pub(crate) use self::clients::Clients;
pub use self::machine::ClientState;
use self::machine::Input;
pub(crate) use self::shared::Shared;
pub use self::subscription::{ClientSubscribe, ClientSubscription};
use crate::error::{Error, Result};

/// Somebody at an address, over as many connections as it takes. Cloning it is cheap; dropping it does
/// not close it.
///
/// It has one id for as long as it lives, and one session after the other under that id:
/// [`Service::acquire`](crate::Service::acquire) finds the one of now, and
/// [`subscribe_close`](crate::Service::subscribe_close) fires once, when the client is over. Handlers are those
/// of the service, whichever connection a message comes by; [`Context::client`](crate::Context::client)
/// tells them which client it is.
///
/// Every method may be called from any thread and any callback, in any state.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

/// What becomes of posts while there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhileDown {
    /// `send` fails with [`SendError::Down`].
    #[default]
    Fail,
    /// They wait, in order, and leave before all others once there is a connection. What does not fit
    /// any more fails with [`SendError::DownFull`].
    Queue {
        /// Bytes that may wait, and 64 for each post; at most half of `outbox_bytes`, so that one
        /// session takes all of them.
        bytes: usize,
    },
    /// They are dropped and counted: see [`Client::dropped_posts`] and
    /// [`SessionUp`](struct@moorline_session::SessionUp).
    Drop,
}

impl WhileDown {
    /// Whether a session would take all that may wait.
    fn check(self, outbox_bytes: usize) -> Result<()> {
        match self {
            WhileDown::Queue { bytes } if bytes > outbox_bytes / 2 => {
                Err(Error::QueueAboveOutbox { bytes, limit: outbox_bytes / 2 })
            }
            _ => Ok(()),
        }
    }
}

impl Client {
    /// Its id, the same over all connections.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.shared.lasting.id()
    }

    /// Where it dials.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    // ---- where it stands -------------------------------------------------------------------

    /// Where it stands now. It may have moved on by the time you look.
    #[must_use]
    pub fn state(&self) -> ClientState {
        self.shared.state()
    }

    /// Calls `hear` with each state from the next one on, in order, on the task of the client, up to
    /// [`ClientState::Closed`]. While it runs the client does nothing else, so it must not block. It may
    /// do anything to the client.
    pub fn on_change(&self, hear: impl Fn(&Client, &ClientState) + Send + Sync + 'static) {
        self.shared.listen(Arc::new(hear));
    }

    /// The session of now; `None` while there is none that takes anything new.
    #[must_use]
    pub fn session(&self) -> Option<SessionRef> {
        self.shared.session()
    }

    /// Waits until there is a connection, however often that is tried.
    ///
    /// # Errors
    /// The client is over, or is being closed.
    ///
    /// # Cancel safety
    /// It only waits.
    pub async fn up(&self) -> Result<SessionRef, CloseReason> {
        let shared = &*self.shared;
        let look = || match shared.is_over() {
            Some(reason) => Some(Err(reason)),
            None => shared.session().filter(SessionRef::is_open).map(Ok),
        };
        shared.wait_until(look).await
    }

    /// Waits until the client is over and everybody has been told, and says why.
    ///
    /// # Cancel safety
    /// It only waits.
    pub async fn closed(&self) -> CloseReason {
        self.shared.wait_until(|| self.shared.finished()).await
    }

    // ---- what it sends ---------------------------------------------------------------------

    /// Queues a post on the session of now. While there is none, [`WhileDown`] says what becomes of it.
    ///
    /// What was accepted by a session that is lost may or may not have arrived:
    /// [`SessionDown`](struct@moorline_session::SessionDown) says how many posts that concerns.
    ///
    /// # Errors
    /// As [`SessionRef::send`], and where there is no connection.
    pub fn send<M: Message>(&self, message: &M) -> Result<(), SendError> {
        self.shared.send(4, message)
    }

    /// As [`send`](Self::send), with the priority of [`SessionRef::send_with_priority`]. Posts that wait
    /// for a connection keep their order whatever it is.
    ///
    /// # Errors
    /// As `send`.
    pub fn send_with_priority<M: Message>(
        &self,
        priority: u8,
        message: &M,
    ) -> Result<(), SendError> {
        self.shared.send(priority, message)
    }

    /// As [`send`](Self::send), but waits for a connection, and for room, instead of failing for want
    /// of them. Where posts are dropped while there is none ([`WhileDown::Drop`]), this one is as well.
    ///
    /// # Errors
    /// As `send`, without `Full`, `Down`, `DownFull` and `Draining`.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing was sent.
    pub async fn send_wait<M: Message>(&self, message: &M) -> Result<(), SendError> {
        loop {
            match self.send(message) {
                Err(SendError::Full { .. }) => {
                    if let Some(session) = self.session() {
                        session.room_for_post().await;
                    }
                }
                Err(SendError::Down { .. } | SendError::DownFull { .. } | SendError::Draining) => {
                    self.up().await.map_err(SendError::Closed)?;
                }
                result => return result,
            }
        }
    }

    /// Asks, and waits for the one answer: `client.request(q).timeout(d).await`.
    ///
    /// It waits for a connection as long as its time allows. When the connection is lost after it has
    /// left, it ends with `Closed` and nobody knows whether it ran, unless it is
    /// [`idempotent`](ClientCall::idempotent): then it is sent again. A call that runs once as well needs
    /// a receiver that remembers keys.
    pub fn request<Q: Request>(&self, request: Q) -> ClientCall<Q> {
        ClientCall::new(Arc::clone(&self.shared), request)
    }

    /// Subscribes to a topic of the peer, on this connection and on each that follows:
    /// `client.subscribe::<Price>("prices").retained().await`. It is asked for at once when a connection
    /// is made, and no rule for dropping posts touches it.
    pub fn subscribe<M: Message + DeserializeOwned + 'static>(
        &self,
        topic: &str,
    ) -> ClientSubscribe<M> {
        ClientSubscribe::new(Arc::clone(&self.shared), topic)
    }

    /// Opens a stream on the session of now. A stream ends with its connection: what it carried only
    /// the application can take up again. Who wants to wait for a connection asks
    /// `client.up().await?.open(..)`.
    ///
    /// # Errors
    /// As [`SessionRef::open`], and [`SendError::Down`] while there is no connection.
    pub fn open<S: StreamMessage>(&self, message: &S) -> Result<Stream<S::Up, S::Down>, SendError> {
        self.for_stream()?.open(message)
    }

    /// As [`open`](Self::open), a stream of bytes.
    ///
    /// # Errors
    /// As there.
    pub fn open_raw(&self, name: &str) -> Result<RawStream, SendError> {
        self.for_stream()?.open_raw(name)
    }

    fn for_stream(&self) -> Result<SessionRef, SendError> {
        let down = || match self.shared.is_over() {
            Some(reason) => SendError::Closed(reason),
            None => SendError::Down { waited: std::time::Duration::ZERO },
        };
        self.session().ok_or_else(down)
    }

    /// Posts that went nowhere so far: those dropped under [`WhileDown::Drop`], and those that waited
    /// and that the next peer did not take.
    #[must_use]
    pub fn dropped_posts(&self) -> u64 {
        self.shared.dropped_posts()
    }

    /// Bytes of posts that wait for a connection.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued_bytes()
    }

    // ---- what is done to it ----------------------------------------------------------------

    /// Makes a new connection now: one that there is is dropped, with what was queued on it, and the
    /// count of attempts begins anew. It does nothing to a client that is being closed.
    pub fn reset(&self) {
        self.shared.apply(Input::Reset);
    }

    /// The network is another than before: whoever waits before dialing dials now, and who is dialing
    /// begins again. A session that is up is left alone, since it may well still work; whether its peer
    /// is there shows when something is sent, and [`reset`](Self::reset) does not wait for that.
    pub fn network_changed(&self) {
        self.shared.apply(Input::NetworkChanged);
    }

    /// Ends it: what was accepted by the session of now goes out, then the farewell; posts that wait
    /// for a connection are lost. Returns at once; `false` if it was being closed already.
    pub fn close(&self) -> bool {
        self.shared.apply(Input::Close(Farewell::ordinary()))
    }

    /// As [`close`](Self::close), with a code of the application (from 1 up) and a text that the
    /// peer gets to see.
    pub fn close_with(&self, code: ErrorCode, text: &str) -> bool {
        self.shared.apply(Input::Close(Farewell::new(code, text)))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id())
            .field("url", &self.shared.url)
            .field("state", &self.state())
            .finish()
    }
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Client {}
