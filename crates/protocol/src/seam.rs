//! The seam between a session and the bytes of its connection.
//!
//! A protocol is driven, it never drives. It has three parts, because three owners use them:
//!
//! | part | owner | does |
//! |---|---|---|
//! | [`Protocol`] | the driver | takes received bytes and time, yields at most one [`Frame`] a call |
//! | [`Encoder`] | anybody, it does not change once open | makes a frame into bytes of a block |
//! | [`Sealing`] | the writer | makes a full block ready for the wire |
//!
//! The law of the seam: **after any call and before waiting: pull frames until there is none, then
//! write, then wait for the earliest of: socket readable; socket writable, if something is to be
//! written; outbox not empty, if the wire chain is below its high-water mark; the protocol's or
//! session's next deadline.**

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moorline_buffers::{Block, PoolExhausted, RecvBuffer, SendBuffer};
use moorline_noise::{Peer, PublicKey};

use crate::closed::CloseReason;
use crate::dictionary::{HandledTypes, PeerTypes};
use crate::format::Format;
use crate::frame::{Cost, Frame};

/// The receiving half of one connection, without I/O: handshake, records, reassembly, dictionary.
pub trait Protocol: Send {
    /// Called once, before anything else: the initiator's first bytes go to `out`, and the clock of
    /// the handshake starts.
    ///
    /// # Errors
    /// Only for want of memory.
    fn start(&mut self, now: Instant, out: &mut SendBuffer) -> Result<(), CloseReason>;

    /// Looks at what is in `input` and yields at most one thing. Bytes owed to the peer during the
    /// handshake are appended to `out`, ready for the wire; once open it is left alone.
    ///
    /// # Errors
    /// The connection is over for this reason; [`CloseReason::ending`] says how.
    fn next<'b>(
        &mut self,
        now: Instant,
        input: &'b mut RecvBuffer,
        out: &mut SendBuffer,
    ) -> Result<Step<'b>, CloseReason>;

    /// Capacity the receive buffer should have for the next read, in bytes: small before the peer
    /// is confirmed.
    fn read_capacity(&self) -> usize;

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    fn deadline(&self) -> Option<Instant>;

    /// Time has passed.
    ///
    /// # Errors
    /// The handshake took too long.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), CloseReason>;

    /// What the protocol itself has to say on an open connection since
    /// [`handle_timeout`](Self::handle_timeout) was called, such as a sign of life at its time. To be
    /// asked for until there is nothing more; the driver hands it to its session, which says it in
    /// its turn.
    fn owed(&mut self) -> Option<Frame<'static>> {
        None
    }

    /// The peer sends no more bytes. Says what that means here.
    fn handle_eof(&mut self) -> CloseReason;

    /// Idle: whatever can be rebuilt is dropped.
    fn park(&mut self);
}

/// What one look at the received bytes gave.
#[derive(Debug)]
pub enum Step<'b> {
    /// Nothing whole is there: read more.
    NeedBytes,
    /// The peer is verified and its settings are known. Comes once, before any frame.
    Opened(Box<Opened>),
    /// A frame, and what it takes of which window.
    Frame(Frame<'b>, Cost),
}

/// What an opened connection hands to the session.
pub struct Opened {
    /// Goes to the writer.
    pub sealing: Box<dyn Sealing>,
    /// Goes to the session.
    pub encoder: Arc<dyn Encoder>,
    /// Who is there.
    pub peer: PeerFacts,
    /// What the peer allows us.
    pub limits: PeerLimits,
    /// The peer's message types, as far as told.
    pub types: Arc<PeerTypes>,
    /// How many of our own types the peer knows by now.
    pub told: u32,
    /// The most payload a block may hold: the peer's record capacity, or less.
    pub block_max: usize,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("peer", &self.peer).field("limits", &self.limits).finish()
    }
}

/// Immutable facts about the peer of an open connection.
#[derive(Debug, Clone)]
pub struct PeerFacts {
    /// Its key; `None` where the protocol has none.
    pub key: Option<PublicKey>,
    /// What our peer list says of it; `None` on the side that dialed.
    pub listed: Option<Peer>,
    /// Name of the cipher suite, or "none".
    pub suite: &'static str,
    /// The handshake hash: equal on both sides, and on no other connection. Zeros without suite.
    pub binding: [u8; 32],
    /// What software the peer says it is; escaped, at most 64 bytes.
    pub agent: Box<str>,
}

/// What the peer allows this side, from its SETUP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerLimits {
    /// Largest message in bytes.
    pub message_max: u64,
    /// First initiation window in bytes: that much may be sent before any credit comes.
    pub initiation_window: u64,
    /// First window of each stream that this side opens, in bytes.
    pub stream_window: u64,
    /// Requests of ours in flight.
    pub in_flight_max: u32,
    /// Streams of ours open at once.
    pub streams_max: u32,
    /// Used for requests of the peer's that name no deadline.
    pub timeout: Option<Duration>,
}

/// The sending half of an open connection: owned by the writer.
pub trait Sealing: Send {
    /// Makes `block` ready for the wire and pushes it to `wire`, preceded or followed by whatever
    /// the protocol owes at this point (a change of keys).
    ///
    /// # Errors
    /// The key is used up, or memory is: the connection must end.
    fn seal(&mut self, block: Block, wire: &mut SendBuffer) -> Result<(), CloseReason>;

    /// Changes the key now, where there is one and it was used: for whoever has a clock, when the
    /// key is [`KEY_AGE_MAX`](crate::limits::KEY_AGE_MAX) old. What was used too often is changed
    /// by [`seal`](Self::seal) itself.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    fn renew_key(&mut self, wire: &mut SendBuffer) -> Result<(), CloseReason> {
        let _ = wire;
        Ok(())
    }

    /// Idle: whatever can be rebuilt is dropped.
    fn park(&mut self);
}

/// Makes frames into bytes. What it can say does not change once the connection is open, and any thread
/// encodes with it; what it must remember of exchanges lies behind a short lock of its own.
pub trait Encoder: Send + Sync {
    /// How bodies are encoded.
    fn format(&self) -> Format;

    /// What can be said over this protocol.
    fn abilities(&self) -> Abilities;

    /// Appends `frame` to `out`, a chain of its lane: one unit in one block, or several fragments
    /// where it is longer than a block. Adds the cost of each unit to the weight of its block, and
    /// returns the sum: what the frame takes of its window, 0 if it is exempt.
    ///
    /// Of long messages, which go out in pieces, at most one may be on its way at a time among the
    /// posts of a lane, its requests, its answers, and the data of all streams in it; in
    /// [`Lane::Bulk`] posts and requests together count as one. Whoever takes blocks off the
    /// chains sees to it.
    ///
    /// # Errors
    /// Memory, or a frame that this protocol cannot express. Nothing is appended then.
    fn encode(
        &self,
        frame: &Frame<'_>,
        lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError>;

    /// What [`encode`](Self::encode) will return for a post or request whose body has `body_len`
    /// bytes, or a little more.
    fn cost(&self, body_len: usize) -> u64;

    /// Tells the peer all types from number `told` on and what is handled now. Returns how many
    /// types the peer then knows. Does nothing where the protocol has no dictionary.
    ///
    /// # Errors
    /// Memory.
    fn announce(
        &self,
        told: u32,
        handled: &HandledTypes,
        out: &mut SendBuffer,
    ) -> Result<u32, EncodeError>;

    /// The session has done with the number of a request of the peer's: it was answered, and may be
    /// given to another. For protocols that number the peer's requests themselves, because the
    /// peer's own numbers are not small.
    fn finished(&self, id: u32) {
        let _ = id;
    }
}

//= docs/PROTOCOL.md#8
/// Who goes before whom. Control goes before all of them and has no lane of its own here: its units
/// are short and never in pieces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Priorities 6 and 7.
    High,
    /// Priorities 2 to 5, and everything that names none.
    #[default]
    Normal,
    /// Priorities 0 and 1, and what is long and has no order to keep.
    Bulk,
}

impl Lane {
    /// All, in the order they are served.
    pub const ALL: [Lane; 3] = [Lane::High, Lane::Normal, Lane::Bulk];

    /// The lane of a priority, 0 to 7.
    #[must_use]
    pub const fn of(priority: u8) -> Self {
        match priority {
            0 | 1 => Lane::Bulk,
            2..=5 => Lane::Normal,
            _ => Lane::High,
        }
    }
}

/// What a protocol can say. A session asks this, never the protocol's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a list of independent abilities")]
pub struct Abilities {
    /// Both sides count bytes; without it nothing is held back.
    pub credit: bool,
    /// Each side knows how many requests and streams the other takes at once; who has more is to
    /// blame. Without it a stream too many is refused by itself.
    pub limits: bool,
    /// A request can be taken back.
    pub cancel: bool,
    /// An error has a code and a typed detail.
    pub typed_errors: bool,
    /// A deadline travels with a request.
    pub deadlines: bool,
    /// Types are numbered by the sender and told by name.
    pub dictionary: bool,
    /// Goodbye is said before the connection ends.
    pub farewell: bool,
    /// A peer that is asked says that it is there.
    pub pings: bool,
    /// Streams within the session.
    pub streams: bool,
    /// Topics the peer subscribes to.
    pub topics: bool,
}

/// Why a frame could not be encoded: our side's doing, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// No memory for it.
    #[error(transparent)]
    Exhausted(#[from] PoolExhausted),
    /// This protocol has no such frame.
    #[error("this protocol cannot express {0}")]
    Unsupported(&'static str),
    /// The peer has said how much it takes at once, and this is more.
    #[error("the message has {size} bytes, the peer takes {limit}")]
    TooLarge {
        /// Bytes it would have on the wire.
        size: u64,
        /// Bytes the peer takes.
        limit: u64,
    },
    /// As many streams of this side are open as the protocol can tell apart.
    #[error("{limit} streams are open or not quite over, as many as there can be")]
    Streams {
        /// Streams it can tell apart.
        limit: u32,
    },
}
