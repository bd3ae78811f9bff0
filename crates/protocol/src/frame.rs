//! One delimited unit, whichever protocol carried it.

use std::borrow::Cow;
use std::time::Duration;

use moorline_buffers::RecvBuffer;

use crate::code::ErrorCode;
use crate::dictionary::PeerTypes;
use crate::registry::MessageIndex;

/// A unit between two sessions, protocol-neutral and the same in both directions: a protocol makes
/// it from bytes ([`Protocol::next`](crate::Protocol::next)) and an encoder makes bytes from it
/// ([`Encoder::encode`](crate::Encoder::encode)).
///
/// It borrows the receive buffer at most, never the protocol.
#[derive(Debug)]
#[non_exhaustive]
pub enum Frame<'b> {
    /// A message that gets no answer.
    Post {
        /// Which message.
        kind: Kind,
        /// What travels beside the body.
        meta: Meta,
        /// One encoded value.
        body: Body<'b>,
    },
    /// A message that gets exactly one answer.
    Request {
        /// The requester's slot, answered with the same number.
        id: u32,
        /// Which message.
        kind: Kind,
        /// What travels beside the body.
        meta: Meta,
        /// One encoded value.
        body: Body<'b>,
    },
    /// The good answer to a request.
    Response {
        /// The requester's slot.
        id: u32,
        /// One encoded value.
        body: Body<'b>,
    },
    /// The bad answer to a request.
    Error {
        /// The requester's slot.
        id: u32,
        /// What went wrong: negative codes are the framework's.
        code: ErrorCode,
        /// For people, at most [`TEXT_MAX`](crate::limits::TEXT_MAX) bytes.
        message: Cow<'b, str>,
        /// One encoded value, or empty.
        detail: Body<'b>,
    },
    /// The requester does not want the answer any more; an answer still follows.
    Cancel {
        /// The requester's slot.
        id: u32,
    },
    /// The peer may send this many bytes in all.
    Credit {
        /// 0 is the connection.
        stream: u32,
        /// A running total, never a difference.
        total: u64,
    },
    /// Answered by [`Frame::Pong`] at once.
    Ping {
        /// Echoed.
        nonce: u64,
    },
    /// Answers all pings up to `nonce`.
    Pong {
        /// That of the youngest ping answered.
        nonce: u64,
    },
    /// A sign of life that wants no answer.
    Heartbeat {
        /// How many came before, from 0.
        count: u64,
    },
    /// Start nothing new towards the sender.
    GoAway {
        /// Why.
        code: ErrorCode,
        /// For people.
        message: Cow<'b, str>,
        /// The sender obeys the other side's: nothing new follows from it.
        obeyed: bool,
    },
    /// Nothing follows.
    Close {
        /// Why.
        code: ErrorCode,
        /// For people.
        message: Cow<'b, str>,
    },
    /// The peer told its message types or what it handles; this table replaces the last one.
    Types(std::sync::Arc<PeerTypes>),
    /// A piece of a message that is still incomplete, or a unit that is skipped by rule: nothing
    /// but its cost concerns the session.
    Partial,
    /// A piece of a long message of a stream, which its cost names.
    Piece {
        /// Bytes of the message that are still to come.
        missing: u64,
    },
    /// A message that could not be taken, though the connection goes on.
    Refused(Refused),
    /// The peer begins a stream. Never fragmented.
    Open {
        /// Its number, above all that the opener has used.
        stream: u32,
        /// What it is for.
        opening: Opening<'b>,
        /// Bytes of DATA the other side may send on it at first.
        credit: u64,
        /// What travels beside the body.
        meta: Meta,
    },
    /// A message on a stream, or bytes of a raw one.
    Data {
        /// Which stream.
        stream: u32,
        /// One encoded value; on a raw stream, bytes.
        body: Body<'b>,
        /// The sender wants to know when the application has consumed it.
        acknowledge: bool,
    },
    /// The rest of a long message that is on its way in this lane never comes: its stream was reset,
    /// or its caller has gone. It is only encoded; whoever receives it forgets the beginning.
    Aborted(Pieces),
    /// Nothing more comes on this stream from the sender; the other way stays open.
    End {
        /// Which stream.
        stream: u32,
        /// One encoded value, or empty.
        trailer: Body<'b>,
    },
    /// The stream is over, both ways, at once.
    Reset {
        /// Which stream.
        stream: u32,
        /// Why.
        code: ErrorCode,
        /// For people.
        message: Cow<'b, str>,
    },
    /// The application has consumed so many DATA of the stream in all.
    Ack {
        /// Which stream.
        stream: u32,
        /// A running total of units.
        count: u64,
    },
    /// The peer wants what is published under a topic. Answered like a request.
    Subscribe {
        /// The requester's slot.
        id: u32,
        /// The subscriber's number for it, above all it has used: what is published comes under it.
        alias: u64,
        /// Which topic.
        topic: Cow<'b, str>,
        /// The last value that was published as retained is wanted first.
        retained: bool,
        /// What travels beside the topic.
        meta: Meta,
    },
    /// Nothing more is wanted under this number.
    Unsubscribe {
        /// The subscriber's number.
        alias: u64,
    },
    /// Something published, for one subscription.
    Publish {
        /// The subscriber's number.
        alias: u64,
        /// Which message.
        kind: Kind,
        /// One encoded value.
        body: Body<'b>,
        /// It was published before the subscription began.
        retained: bool,
    },
    /// Here messages of a subscription were left out, because it did not keep up.
    Lagged {
        /// The subscriber's number.
        alias: u64,
        /// So many, at least one.
        count: u64,
    },
}

/// Of what a long message is part that is given up in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pieces {
    /// Of the requests of a lane.
    Request,
    /// Of the data of its streams.
    Data,
}

/// What a stream is for.
#[derive(Debug)]
pub enum Opening<'b> {
    /// Messages, as registered for the type of the opening one.
    Typed {
        /// Which message.
        kind: Kind,
        /// One encoded value.
        body: Body<'b>,
    },
    /// Bytes, under a name both sides know.
    Raw {
        /// At most [`NAME_MAX`](crate::limits::NAME_MAX) bytes.
        name: Cow<'b, str>,
    },
}

/// What a unit takes of the windows (PROTOCOL 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Nothing: answers and control always get through.
    Exempt,
    /// Of the initiation window.
    Session(u64),
    /// Of the window of one stream.
    Stream(u32, u64),
}

/// A message the protocol itself had to turn down, e.g. above `message_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// What it was.
    pub what: RefusedKind,
    /// Why: [`ErrorCode::TOO_LARGE`], [`ErrorCode::CANCELLED`] (the peer took it back) or
    /// [`ErrorCode::OVERLOADED`] (no buffer could be had for it).
    pub code: ErrorCode,
    /// Bytes announced.
    pub size: u64,
    /// Bytes allowed.
    pub limit: u64,
}

/// Which kind of unit was refused, and what it needs so that nobody waits for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedKind {
    /// Dropped, counted and reported.
    Post,
    /// The session answers with an error.
    Request {
        /// The requester's slot.
        id: u32,
    },
    /// Our call fails.
    Response {
        /// Our slot.
        id: u32,
    },
    /// The session resets the stream.
    Data {
        /// Which stream.
        stream: u32,
    },
    /// Counted as lost for its subscription.
    Publish {
        /// The subscriber's number.
        alias: u64,
    },
}

/// Which message type a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A type of this process: an index into its registry.
    Known(MessageIndex),
    /// A type this process has not registered.
    Unknown {
        /// The sender's number for it.
        tid: u32,
        /// The hash of its name, where the sender has told it.
        hash: Option<u64>,
    },
}

/// An encoded value: in the receive buffer, or in a pooled buffer of its own where it came in
/// pieces.
#[derive(Debug)]
pub enum Body<'b> {
    /// Bytes of the receive buffer, or of the sender's scratch.
    Borrowed(&'b [u8]),
    /// A reassembled message; the body is what is `readable()`.
    Owned(RecvBuffer),
}

impl Body<'_> {
    /// A body of no bytes.
    pub const EMPTY: Body<'static> = Body::Borrowed(&[]);

    /// The encoded value.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Body::Borrowed(bytes) => bytes,
            Body::Owned(buffer) => buffer.readable(),
        }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether there is no byte at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What travels beside the body of a post or request (PROTOCOL 1, metadata keys).
///
/// The default is "nothing said": it costs no byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Time left until nobody waits any more. `None`: the requester's default.
    pub deadline: Option<Duration>,
    /// 0 to 7; `None` is 4.
    pub priority: Option<u8>,
    /// The caller says that running twice does no harm.
    pub idempotent: bool,
    /// Which attempt this is, from 0.
    pub attempt: u32,
    /// W3C trace context: 16 bytes trace, 8 span, 1 flags.
    pub trace: Option<Box<[u8; 25]>>,
    /// Tells attempts of one call apart from other calls.
    pub idempotency_key: Option<Box<[u8; 16]>>,
    /// Number of the body codec; 0 is the protocol's own.
    pub codec: u8,
    /// Of a subscription: what is left out when it does not keep up.
    pub overflow: Overflow,
    /// A key from 64 up that this side does not know: the call is answered with
    /// [`ErrorCode::UNSUPPORTED`].
    pub unsupported: Option<u64>,
}

impl Meta {
    /// Whether nothing at all was said, so that no metadata map is sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deadline.is_none()
            && self.priority.is_none()
            && self.attempt == 0
            && self.trace.is_none()
            && self.idempotency_key.is_none()
            && self.codec == 0
            && self.overflow == Overflow::DropOldest
    }
}

/// What happens to a subscription that is not read as fast as it is published to. Whatever is left
/// out is counted and told, in its place among the messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest message that waits makes room for the newest: for what is outdated soon.
    #[default]
    DropOldest,
    /// What waits stays, and the newest is left out: where the beginning counts.
    DropNewest,
    /// The subscription ends, behind what waits: where a gap makes the rest useless.
    Close,
}
