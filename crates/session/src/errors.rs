//! What can go wrong with a message, sorted by whose doing it was.

use std::fmt;
use std::time::Duration;

use moorline_buffers::PoolExhausted;
use moorline_protocol::{CloseReason, EncodeError, ErrorCode, Farewell, RegistryError};

/// Why a message was not accepted for sending. It was not sent, in no part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session is no more, or goes away.
    #[error("the session is closed: {0}")]
    Closed(CloseReason),
    /// There is no session of this id, or no longer.
    #[error("there is no open session of this id")]
    NoSession,
    /// A client has no connection now, or had none in the time a call had. It goes on trying.
    #[error("{}", no_connection(*waited))]
    Down {
        /// How long a call has waited for one; 0 for what does not wait.
        waited: Duration,
    },
    /// A client has no connection, and as much waits for one as may.
    #[error(
        "{queued} bytes wait for a connection, the limit is {limit} (knob: `while_down` of the \
         client)"
    )]
    DownFull {
        /// Bytes waiting.
        queued: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The peer drains: it takes nothing new.
    #[error("the peer is shutting down and takes nothing new")]
    Draining,
    /// Too much is queued already. Wait with `room().await`, or send less.
    #[error("{queued} bytes are queued for the peer, the limit is {limit} (knob: `outbox_bytes`)")]
    Full {
        /// Bytes waiting.
        queued: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Too many barriers wait for the peer. Await some of them first.
    #[error("{limit} barriers wait for the peer, the limit is {limit}; await some of them first")]
    Barriers {
        /// Barriers allowed.
        limit: usize,
    },
    /// As many requests are in flight as the peer allows. Wait with `room().await`.
    #[error(
        "{limit} requests are in flight, as many as the peer allows (its knob: `in_flight_max`)"
    )]
    InFlight {
        /// Requests allowed.
        limit: u32,
    },
    /// As many streams of this side are open as the peer allows.
    #[error("{limit} streams are open, as many as the peer allows (its knob: `streams_max`)")]
    Streams {
        /// Streams allowed.
        limit: u32,
    },
    /// The stream was ended by this side: nothing follows.
    #[error("the stream was finished: nothing can follow")]
    Finished,
    /// The stream is over.
    #[error(transparent)]
    StreamOver(#[from] StreamError),
    /// Above the largest message the peer takes.
    #[error("the message has {size} bytes, the peer takes {limit} (its knob: `message_max`)")]
    TooLarge {
        /// Bytes of the encoded body.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The peer has said what it handles, and this is not among it.
    #[error("the peer does not handle \"{0}\"")]
    NotHandledByPeer(&'static str),
    /// The value could not be encoded.
    #[error("the message could not be encoded: {0}")]
    Encode(Box<str>),
    /// The message type could not be registered.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The system gave no random number for the key of an idempotent call.
    #[error("the system gave no random number for the key of an idempotent call")]
    NoRandomness,
    /// No memory.
    #[error(transparent)]
    Exhausted(#[from] PoolExhausted),
    /// The protocol of this session cannot say it.
    #[error("the protocol of this session cannot express {0}")]
    Unsupported(&'static str),
}

fn no_connection(waited: Duration) -> String {
    if waited.is_zero() {
        return "the client has no connection now: wait with `up().await`, or have posts wait (knob: \
                `while_down` of the client)"
            .into();
    }
    format!("the client had no connection for {} ms (knob: `timeout`)", waited.as_millis())
}

impl From<EncodeError> for SendError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Exhausted(exhausted) => SendError::Exhausted(exhausted),
            EncodeError::Unsupported(what) => SendError::Unsupported(what),
            EncodeError::TooLarge { size, limit } => SendError::TooLarge { size, limit },
            EncodeError::Streams { limit } => SendError::Streams { limit },
            _ => SendError::Unsupported("this message"),
        }
    }
}

/// What ends a session whose own frames cannot be encoded.
pub(crate) fn our_fault(error: EncodeError) -> CloseReason {
    match error {
        EncodeError::Exhausted(exhausted) => CloseReason::Exhausted(exhausted),
        _ => CloseReason::ByUs(Farewell::new(ErrorCode::UNSUPPORTED, "cannot be expressed")),
    }
}

/// Why a stream has ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// One side has ended it at once, both ways. What was on its way is lost.
    #[error("{} reset the stream: {code}{}", if *by_peer { "the peer" } else { "this side" }, quoted(text))]
    Reset {
        /// Why: negative codes are the framework's.
        code: ErrorCode,
        /// For people.
        text: Box<str>,
        /// It was the peer.
        by_peer: bool,
    },
    /// The session has ended.
    #[error("the session ended before the stream did: {0}")]
    Closed(CloseReason),
    /// A message came that is not of the declared type.
    #[error("a message of the stream is not of the declared type")]
    Decode,
}

/// What a subscription to a topic of the peer has instead of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// So many messages were left out here. The subscription goes on.
    #[error("{0} messages were left out (knobs: `inbox_bytes` and `overflow` of the subscription)")]
    Lagged(u64),
    /// One message is not of the declared type. The subscription goes on.
    #[error("a message of the topic is not of the declared type")]
    Decode,
    /// A connection of the client was lost here, and what was published until the next one with it.
    /// The subscription is asked for again, and goes on.
    #[error("connection {epoch} was lost here; the subscription goes on with the next one")]
    Interrupted {
        /// The how-manieth connection of the client, from 1.
        epoch: u64,
    },
    /// The peer does not let a client have the topic any more: it is asked for again with the next
    /// connection.
    #[error("the peer does not give the topic: {0}; it is asked for again on the next connection")]
    Refused(ErrorCode),
    /// A message was left out, which this subscription does not put up with: it is over.
    #[error("the subscription has ended: it was not read in time (knob: `inbox_bytes`)")]
    Overflowed,
    /// The session has ended.
    #[error("the session has ended: {0}")]
    Closed(CloseReason),
}

impl SubscriptionError {
    /// Whether nothing more comes.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self, SubscriptionError::Overflowed | SubscriptionError::Closed(_))
    }
}

fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(", \"{text}\"") }
}

/// Why a call has no good answer. `E` is the application's own error type for this request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError<E> {
    /// The handler answered with an error of its own.
    App(E),
    /// The peer, or the framework on its side, refused or failed.
    Fault(ErrorCode, Box<str>),
    /// No answer in time.
    Timeout {
        /// The time it had, from when it was queued.
        limit: Duration,
    },
    /// The session ended first.
    Closed {
        /// Why.
        reason: CloseReason,
        /// Whether the request had left this process.
        sent: bool,
    },
    /// It was not sent at all.
    NotSent(SendError),
    /// An answer came that is not of the declared type.
    Decode,
    /// The answer is above what this side takes, or too many answers wait for their callers.
    AnswerTooLarge {
        /// Bytes of the answer, or as many as were announced.
        size: u64,
        /// Bytes of answers that their callers have not taken; 0 if these are not the reason.
        held: u64,
        /// Bytes allowed, for both together.
        limit: u64,
    },
}

/// Whether a call that failed may have run at the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executed {
    /// Certainly not: it is safe to call again.
    No,
    /// Nobody can know.
    Maybe,
    /// Yes: the handler ran, and it or its answer failed.
    Yes,
}

impl<E> CallError<E> {
    /// Whether the handler may have run.
    #[must_use]
    pub fn executed(&self) -> Executed {
        match self {
            CallError::NotSent(_) | CallError::Closed { sent: false, .. } => Executed::No,
            CallError::Fault(code, _) if code.certainly_not_executed() => Executed::No,
            CallError::App(_) | CallError::Decode | CallError::AnswerTooLarge { .. } => {
                Executed::Yes
            }
            _ => Executed::Maybe,
        }
    }

    /// Whether calling again as it is may help and cannot do harm.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            CallError::NotSent(error) => {
                use SendError::{Down, Full, InFlight};
                matches!(error, Full { .. } | InFlight { .. } | Down { .. })
            }
            CallError::Fault(code, _) => *code == ErrorCode::OVERLOADED,
            _ => false,
        }
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::App(error) => write!(f, "the handler answered: {error}"),
            CallError::Fault(code, text) if text.is_empty() => write!(f, "the call failed: {code}"),
            CallError::Fault(code, text) => write!(f, "the call failed: {code}, \"{text}\""),
            CallError::Timeout { limit } => write!(
                f,
                "no answer within {} ms (knob: `timeout` of the call, or of the service)",
                limit.as_millis()
            ),
            CallError::Closed { reason, sent: true } => {
                write!(f, "the session ended before the answer, the call may have run: {reason}")
            }
            CallError::Closed { reason, sent: false } => {
                write!(f, "the session ended before the request had left: {reason}")
            }
            CallError::NotSent(error) => write!(f, "not sent: {error}"),
            CallError::Decode => f.write_str("the answer is not of the declared type"),
            CallError::AnswerTooLarge { size, held: 0, limit } => write!(
                f,
                "the answer has {size} bytes, this side takes {limit} (knob: `message_max`)"
            ),
            CallError::AnswerTooLarge { size, held, limit } => write!(
                f,
                "the answer has {size} bytes, and {held} bytes of answers wait for their callers: \
                 the limit is {limit} (twice the knob `message_max`); take them sooner"
            ),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for CallError<E> {}

/// What a handler says when it has no good answer: its own typed error, or a code and a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure<E> {
    /// The application's error, typed.
    App(E),
    /// A code (positive codes are the application's) and a text for people.
    Fault(ErrorCode, Box<str>),
}

impl<E> Failure<E> {
    /// A fault with a code and a text.
    #[must_use]
    pub fn fault(code: ErrorCode, text: &str) -> Self {
        Failure::Fault(code, text.into())
    }
}

impl<E> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        Failure::App(error)
    }
}
