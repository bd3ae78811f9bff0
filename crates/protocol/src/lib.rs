//! # What it is
//! How bytes become frames and back: the seam every wire protocol stands behind, typed messages and
//! their registry, and the `msgpack` protocol.
//!
//! # What it must never know
//! Sockets, tasks, clocks; session ids; what a message means to the application; which other
//! protocols exist.
//!
//! # Where to start
//! [`Message`] and [`register_message!`] for types, [`Protocol`] for the seam,
//! [`msgpack`] for the protocol, `docs/PROTOCOL.md` for its bytes.

#![forbid(unsafe_code)]

mod closed;
mod code;
mod dictionary;
mod factory;
mod format;
mod frame;
pub mod limits;
mod message;
pub mod msgpack;
mod registry;
mod seam;
mod settings;

pub use closed::{
    CloseReason, Ending, Farewell, HandshakeFailure, HandshakeRefusal, Violation, printable,
};
pub use code::ErrorCode;
pub use dictionary::{HandledTypes, PeerTypes};
pub use factory::{ProtocolEntry, ProtocolFactory, ProtocolRegistry, SetupError};
pub use format::Format;
pub use frame::{Body, Frame, Kind, Meta, Refused, RefusedKind, Unsupported};
pub use message::{Message, MessageFamily, NoError, Request, StreamMessage};
pub use registry::{MessageIndex, MessageRegistry, Registration, RegistryError};
pub use seam::{
    Abilities, EncodeError, Encoder, Opened, PeerFacts, PeerLimits, Protocol, Sealing, Step,
};
pub use settings::{Admission, Local, SettingOutOfBounds, Settings};

#[doc(hidden)]
pub use inventory;
