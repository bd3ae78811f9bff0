//! How bytes become frames and back, for whoever drives a connection.
//!
//! ```text
//!               Protocol::next                                Encoder::encode     Sealing::seal
//!  RecvBuffer ------------------> Frame --> (a session) --> Frame ------------> Block ---------> wire
//!               handshake, records,                           any thread          the writer
//!               reassembly, dictionary
//! ```
//!
//! # What it is
//!
//! Three things that belong together. The **seam** every wire protocol stands behind: [`Protocol`],
//! [`Encoder`] and [`Sealing`], with [`Frame`] as the word both sides have in common. **Typed
//! messages**: [`Message`], [`register_message!`] and the [`MessageRegistry`] that numbers them. And
//! the first protocol, [`msgpack`], sealed or in clear; others are crates of their own, which
//! [`register_protocol!`] makes known by name.
//!
//! # What it must never know
//!
//! Sockets, tasks, clocks (time is an argument); session ids; what a message means to the
//! application; which other protocols exist.
//!
//! # Where to start
//!
//! [`Message`] and [`register_message!`] for types, [`schema`] for what they look like and may become.
//! [`Protocol`] for the seam, and [`ProtocolFactory`] for how a connection comes into being.
//! [`msgpack`] for the protocol, in the order a byte travels; `docs/PROTOCOL.md` for its bytes. All
//! numbers stand in [`limits`], all reasons to end in [`CloseReason`].
//!
//! # The loop
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Instant;
//!
//! use moorline_buffers::{BlockPool, BlockPoolConfig, RecvBuffer, RecvPool, SendBuffer};
//! use moorline_noise::{Identity, Peer, Peers, Provider, PublicKey, Refusal, Suites};
//! use moorline_protocol::*;
//!
//! /// A connection as its driver sees it; a real one has a socket as well.
//! struct End {
//!     protocol: Box<dyn Protocol>,
//!     input: RecvBuffer,
//!     out: SendBuffer,
//!     opened: Option<Box<Opened>>,
//! }
//!
//! /// One turn. The law of the seam: pull until there is nothing left, then write, then wait.
//! fn turn(end: &mut End, seen: &mut Vec<u64>) -> Result<(), CloseReason> {
//!     loop {
//!         match end.protocol.next(Instant::now(), &mut end.input, &mut end.out)? {
//!             Step::NeedBytes => return Ok(()),
//!             Step::Opened(opened) => end.opened = Some(opened),
//!             Step::Frame(Frame::Ping { nonce }, _cost) => seen.push(nonce),
//!             Step::Frame(..) => {}
//!         }
//!     }
//! }
//!
//! /// What stands for the network here.
//! fn carry(from: &mut SendBuffer, to: &mut RecvBuffer) -> Result<(), CloseReason> {
//!     while let Some(block) = from.pop_block() {
//!         to.extend_from_slice(block.bytes())?;
//!     }
//!     Ok(())
//! }
//! #
//! # struct List(Peers);
//! # impl Admission for List {
//! #     fn admit(&self, key: Option<&PublicKey>) -> Result<Peer, Refusal> {
//! #         self.0.admit(key, None, 0)
//! #     }
//! # }
//! # fn local() -> Result<Arc<Local>, Box<dyn std::error::Error>> {
//! #     let provider = Provider::pure();
//! #     Ok(Arc::new(Local {
//! #         provider,
//! #         identity: Some(Arc::new(Identity::generate(&provider)?)),
//! #         suites: Suites::default(),
//! #         realm: String::new(),
//! #         registry: MessageRegistry::empty(),
//! #         settings: Settings::default(),
//! #         recv: RecvPool::default(),
//! #         blocks: BlockPool::new(BlockPoolConfig::messages()),
//! #         boot_id: [7; 8],
//! #         pending: Default::default(),
//! #         agent: "doctest".into(),
//! #     }))
//! # }
//! # fn end(local: &Arc<Local>, protocol: Box<dyn Protocol>) -> Result<End, CloseReason> {
//! #     let input = local.recv.acquire(protocol.read_capacity())?;
//! #     Ok(End { protocol, input, out: SendBuffer::new(&local.blocks), opened: None })
//! # }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Each side has an identity, pools and limits in a `Local`; the dialer knows whom it calls.
//! let (ours, theirs) = (local()?, local()?);
//! let key = theirs.identity.as_ref().map(|identity| identity.public());
//! let msgpack = ProtocolRegistry::registered()?;
//! let msgpack = msgpack.find("msgpack")?;
//! let handled = HandledTypes::new();
//! let anyone = Box::new(List(Peers::anyone()));
//! let mut dialer = end(&ours, msgpack.initiator(ours.clone(), handled.clone(), key.into())?)?;
//! let mut listener = end(&theirs, msgpack.responder(theirs.clone(), handled, anyone)?)?;
//!
//! let mut seen = Vec::new();
//! dialer.protocol.start(Instant::now(), &mut dialer.out)?;
//! listener.protocol.start(Instant::now(), &mut listener.out)?;
//! while dialer.opened.is_none() || listener.opened.is_none() {
//!     carry(&mut dialer.out, &mut listener.input)?;
//!     turn(&mut listener, &mut seen)?;
//!     carry(&mut listener.out, &mut dialer.input)?;
//!     turn(&mut dialer, &mut seen)?;
//! }
//!
//! // Open: any thread encodes, the writer seals, and the wire carries whole blocks.
//! let opened = dialer.opened.as_mut().expect("the loop above waits for it");
//! let mut outbox = SendBuffer::with_block_max(&ours.blocks, opened.block_max);
//! opened.encoder.encode(&Frame::Ping { nonce: 42 }, Lane::Normal, &mut outbox)?;
//! while let Some(block) = outbox.pop_block() {
//!     opened.sealing.seal(block, &mut dialer.out)?;
//! }
//! carry(&mut dialer.out, &mut listener.input)?;
//! turn(&mut listener, &mut seen)?;
//! assert_eq!(seen, [42]);
//! # Ok(())
//! # }
//! ```
//!
//! # Design decisions
//!
//! - **Three parts, because three owners use them.** What is received belongs to the driver alone.
//!   What encodes does not change once the connection is open, so any thread shares it. What seals
//!   has a counter that must not run apart from the order on the wire, so the writer owns it.
//! - **At most one thing a call.** There is no queue of events inside: a frame borrows the receive
//!   buffer, and is looked at before the next one is made.
//! - **An error is final.** Once [`Protocol::next`] has failed, it says the same for ever. What the
//!   peer is still told before the connection is open, a CLOSE of a confirmed handshake, is in the
//!   chain of outgoing bytes already; after that a session says it.
//! - **Outsiders cost little.** Nothing is computed before the first message is whole and has the
//!   length its suite gives it, and nothing but handshake messages is sent before the first record
//!   verifies.
//! - **Memory follows what arrived.** A message in pieces grows by doubling, never by what its first
//!   piece announces; one that is too long, or that no buffer can be had for, is refused by itself
//!   and the connection goes on.
//! - **Costs are computed here, spent elsewhere.** Encoder and decoder count a unit alike, its whole
//!   length and a surcharge, and say of which window; the session keeps the windows.
//! - **Units are checked here, numbers elsewhere.** Whether a unit is whole and well-formed is settled
//!   before a frame is made of it. Which requests, streams and subscriptions there are, the session
//!   knows, which has both sides' numbers; of a request in pieces only this crate knows before it is
//!   whole, so that one number is guarded here.
//! - **Frame and lane decide how a message goes in pieces.** Each flow of a lane has a number of its
//!   own among fragments, so that an encoder need not know what else is on its way.

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
pub mod named;
mod pending;
mod registry;
pub mod schema;
mod seam;
mod settings;

pub use closed::{
    CloseReason, Ending, Farewell, HandshakeFailure, HandshakeRefusal, Violation, printable,
};
pub use code::ErrorCode;
pub use dictionary::{HandledTypes, PeerTypes};
pub use factory::{ProtocolEntry, ProtocolFactory, ProtocolRegistry, Remote, SetupError};
pub use format::Format;
pub use frame::{Body, Cost, Frame, Kind, Meta, Opening, Overflow, Pieces, Refused, RefusedKind};
pub use message::{Message, MessageFamily, NoError, Request, StreamMessage};
pub use pending::PendingHandshakes;
pub use registry::{MessageIndex, MessageRegistry, Place, Registration, RegistryError};
pub use seam::{
    Abilities, EncodeError, Encoder, Lane, Opened, PeerFacts, PeerLimits, Protocol, Sealing, Step,
};
pub use settings::{Admission, Local, SettingOutOfBounds, Settings};

#[doc(hidden)]
pub use inventory;
