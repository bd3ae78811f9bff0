//! The gofast protocols, of 2016 and 2017, under Moorline's sessions.
//!
//! ```text
//!  received bytes                                                        bytes to send
//!       |  connection  has the peer said who it is?                            ^
//!       |  meeting     whoami, both ways                                       |
//!       v                                                                      |
//!  sight     where a frame ends, its kind, its opaque          outlet    count, put together
//!       v                                                                      ^
//!  compress  take off its layers                               pieces    what is long, in blocks
//!       v                                                                      ^
//!  message   id and body                                       packet    frame around a body
//!       v                                                                      ^
//!  decoder   which exchange?         <-- exchanges -->         encoder   which opaque?
//!       |                                                                      |
//!     frame                                                                  frame
//! ```
//!
//! # What it is
//!
//! A second wire protocol behind the seam of `moorline-protocol`, in two dialects, registered as
//! `gofast` and `gofast-2016`. Handlers, posts, requests and streams of an application work over it
//! unchanged, with real gofast peers and between two of us. `docs/PROTOCOL.md` has its bytes in
//! section 11.
//!
//! | a session's | becomes | to a real gofast peer |
//! |---|---|---|
//! | post | post | |
//! | request, good answer | request, and its answer | an answer has the request's id unless `answer` gave one |
//! | bad answer | a word of ours | not sent, counted: the caller's own patience is the guard |
//! | cancel | a word of ours | not sent; a late answer is dropped |
//! | stream: open, messages | start, messages | all messages have the id of the opening one |
//! | end of one way | finish | behind it a question, whose answer ends the other way if its own finish does not |
//! | last value, stream of bytes | a word of ours, a reserved id | `Unsupported` |
//! | reset | a word of ours and finish | finish |
//! | ping, barrier | ping, its echo | a question whoami, its answer, because it does not flush an echo |
//! | goodbye, drain | words of ours | the end of the bytes |
//! | credit | nothing | |
//! | deadline, priority, trace of a call | nothing: they hold on this side | |
//! | key of an idempotent call, acknowledged messages, topics | `Unsupported` | |
//!
//! A "word of ours" is a message of a reserved id that two of us send each other: `extension` has
//! them. A message without an id of its own ([`register_message!`](moorline_protocol::register_message)
//! with `id = ..`) is `Unsupported` at the call, one above the peer's buffer `TooLarge`.
//!
//! # What it must never know
//!
//! Sockets, tasks, clocks (time is an argument); session ids; what a message means to the
//! application. gofast has no keys: whoever listens needs `Peers::anonymous()`, spelled out.
//!
//! # Where to start
//!
//! [`Gofast`] makes connections, [`GofastSettings`] has gofast's settings under their names, and
//! [`GofastStats`] its statistics. [`Dialect`] is all in which the two differ.
//!
//! # The loop
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Instant;
//!
//! use moorline_buffers::{RecvBuffer, SendBuffer};
//! use moorline_gofast::{Dialect, Gofast, GofastSettings};
//! use moorline_protocol::*;
//! # use moorline_buffers::{BlockPool, BlockPoolConfig, RecvPool};
//! # use moorline_noise::{Peer, Peers, Provider, PublicKey, Refusal, Suites};
//! # struct Anybody;
//! # impl Admission for Anybody {
//! #     fn admit(&self, key: Option<&PublicKey>) -> Result<Peer, Refusal> {
//! #         Peers::anonymous().admit(key, None, 0)
//! #     }
//! # }
//! # fn local() -> Arc<Local> {
//! #     Arc::new(Local {
//! #         provider: Provider::pure(),
//! #         identity: None,
//! #         suites: Suites::default(),
//! #         realm: String::new(),
//! #         registry: MessageRegistry::empty(),
//! #         settings: Settings::default(),
//! #         recv: RecvPool::default(),
//! #         blocks: BlockPool::new(BlockPoolConfig::messages()),
//! #         boot_id: [7; 8],
//! #         pending: Default::default(),
//! #         agent: "doctest".into(),
//! #     })
//! # }
//!
//! /// What stands for the network, and one look at what it brought.
//! fn turn(
//!     from: &mut SendBuffer,
//!     to: (&mut Box<dyn Protocol>, &mut RecvBuffer, &mut SendBuffer),
//! ) -> Result<Option<Box<Opened>>, CloseReason> {
//!     while let Some(block) = from.pop_block() {
//!         to.1.extend_from_slice(block.bytes())?;
//!     }
//!     match to.0.next(Instant::now(), to.1, to.2)? {
//!         Step::Opened(opened) => Ok(Some(opened)),
//!         Step::Frame(..) | Step::NeedBytes => Ok(None),
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let gofast = Gofast::with(
//!     Dialect::Y2017,
//!     GofastSettings { tags: "gzip".into(), ..GofastSettings::default() },
//! )?;
//! let (here, there) = (local(), local());
//! let handled = HandledTypes::new();
//! let mut dialer = gofast.initiator(here.clone(), handled.clone(), Remote::Unverified)?;
//! let mut listener = gofast.responder(there.clone(), handled, Box::new(Anybody))?;
//! let (mut up, mut down) = (SendBuffer::new(&here.blocks), SendBuffer::new(&there.blocks));
//! let (mut at_dialer, mut at_listener) = (here.recv.acquire(4096)?, there.recv.acquire(4096)?);
//!
//! dialer.start(Instant::now(), &mut up)?;
//! listener.start(Instant::now(), &mut down)?;
//! let (mut opened, mut met) = (None, None);
//! while opened.is_none() || met.is_none() {
//!     met = met.or(turn(&mut up, (&mut listener, &mut at_listener, &mut down))?);
//!     opened = opened.or(turn(&mut down, (&mut dialer, &mut at_dialer, &mut up))?);
//! }
//! let peer = opened.expect("the loop waits for it").peer;
//! assert_eq!(&*peer.agent, "doctest/1");
//! assert_eq!(gofast.stats().statistics().n_txreq, 2, "each side has asked");
//! # Ok(())
//! # }
//! ```
//!
//! # Design decisions
//!
//! - **Numbers of two worlds meet in one table**, behind a short lock (decision 0013). Where counting
//!   is enough there is no table: posts, pings, whoami and requests each have their place in the
//!   range of opaques.
//! - **An opaque of ours is used again only when both ends are known and ours has left**: the writer's
//!   side looks at what leaves, and counts it there as well.
//! - **Overlapping ranges are found out**, at the meeting or with the first frame: an opaque of ours
//!   that stands for nothing we have begun ends the connection with that reason.
//! - **What would kill a real peer is never sent**: a frame above its buffer, a gzip stream that ends.
//! - **Heads of CBOR are written and read here**, 30 lines; `minicbor` is the reader that tests hold
//!   every frame to (decision 0014).

#![forbid(unsafe_code)]

mod compress;
mod connection;
mod decoder;
mod dialect;
mod encoder;
mod exchanges;
mod extension;
mod factory;
mod head;
mod ids;
pub mod limits;
mod message;
mod opaques;
mod outlet;
mod packet;
mod pieces;
mod settings;
mod shared;
mod sight;
mod stats;
mod whoami;

pub use dialect::Dialect;
pub use factory::{GOFAST, GOFAST_2016, Gofast};
pub use settings::GofastSettings;
pub use stats::{ConnectionStats, GofastStats, Statistics};
