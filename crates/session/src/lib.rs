//! Which sessions exist, and how to speak to one safely from any thread.
//!
//! ```text
//!  any thread:  SessionRef -- send, request --> Outbox (one short lock) --.
//!                   ^                                                     | blocks
//!                   | answers                                             v
//!  the driver:    Core <-- frames -- Protocol <-- bytes    Sealing <-- SessionWriter
//! ```
//!
//! # What it is
//!
//! Ids that are unique over time and a [table](SessionTable) of live sessions; cheap
//! [handles](SessionRef); an outbox that never blocks and never drops in silence; requests in
//! flight, each of which ends exactly once and says whether it may have run; [streams](Stream);
//! credit; who wants to
//! hear of an end ([`CloseSubscription`]) or of anything that happens to sessions ([`Topic`]); topics
//! that peers subscribe to ([`SessionRef::subscribe`], [`Hub::publish_to`]).
//!
//! # What it must never know
//!
//! Which protocol or transport carries a session: it asks for
//! [`Abilities`](moorline_protocol::Abilities), never for a name. Tokio, sockets, keys, the time:
//! it is driven by whoever owns a [`Core`], and time is an argument. Its futures wake whoever
//! polled them and need no runtime.
//!
//! # Where to start
//!
//! [`SessionRef`] is what an application holds, [`Core`] what the driver of a connection owns,
//! [`SessionWriter`] what whoever writes takes blocks from, [`Hub`] what all sessions of a process
//! share. Inside, a message goes through `session_ref.rs` and `outbox.rs`, which `outbox/lanes.rs`
//! empties; a received frame goes through `core.rs` and `core/frames.rs`, one of a stream through
//! `core/streams.rs` and `outbox/streams.rs`. All numbers stand in [`limits`].
//!
//! # The loop
//!
//! A driver takes turns: it pulls frames until there is none, then writes, then waits.
//!
//! ```
//! use std::time::Instant;
//!
//! use moorline_buffers::{RecvBuffer, SendBuffer};
//! use moorline_protocol::{CloseReason, Protocol, Sealing, Step};
//! use moorline_session::{Answer, Core, Delivery};
//! # use std::sync::Arc;
//! # use std::task::{Context, Poll, Waker};
//! # use moorline_buffers::{BlockPool, BlockPoolConfig, RecvPool};
//! # use moorline_noise::{Peer, Peers, Provider, PublicKey, Refusal, Suites};
//! # use moorline_protocol::msgpack::Msgpack;
//! # use moorline_protocol::{Admission, HandledTypes, Local, MessageRegistry, ProtocolFactory, Settings};
//! # use moorline_session::{Direction, Hub, SessionParts};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! # struct Hello(String);
//! # moorline_protocol::register_message!(Hello => Hello);
//!
//! fn turn(
//!     core: &mut Core,
//!     protocol: &mut dyn Protocol,
//!     input: &mut RecvBuffer, // what was read from the peer
//!     sealing: &mut dyn Sealing,
//!     wire: &mut SendBuffer, // what is to be written to the peer
//!     now: Instant,
//! ) -> Result<(), CloseReason> {
//!     core.begin_turn(now)?;
//!     while let Step::Frame(frame, cost) = protocol.next(now, input, wire)? {
//!         match core.handle_frame(now, frame, cost)? {
//!             Delivery::Post { .. } => {} // to a handler
//!             Delivery::Request { ticket, body, .. } => {
//!                 core.answer(ticket, Answer::Good(body.bytes()))?; // or core.defer(ticket)
//!             }
//!             _ => {}
//!         }
//!     }
//!     core.end_turn();
//!     while let Some(block) = core.writer().take_block()? {
//!         sealing.seal(block, wire)?;
//!     }
//!     core.writer().written(); // once the kernel has all of `wire`
//!     Ok(()) // now wait: for bytes, core.poll_work() and core.deadline()
//! }
//! # struct Anybody;
//! # impl Admission for Anybody {
//! #     fn admit(&self, key: Option<&PublicKey>) -> Result<Peer, Refusal> {
//! #         Peers::anonymous().admit(key, None, 0)
//! #     }
//! # }
//! # let local = Arc::new(Local {
//! #     provider: Provider::pure(),
//! #     identity: None,
//! #     suites: Suites::default(),
//! #     realm: String::new(),
//! #     registry: MessageRegistry::process()?,
//! #     settings: Settings::default(),
//! #     recv: RecvPool::default(),
//! #     blocks: BlockPool::new(BlockPoolConfig::messages()),
//! #     boot_id: [0; 8],
//! #     pending: Default::default(),
//! #     agent: String::new(),
//! # });
//! # let now = Instant::now();
//! # let handled = HandledTypes::new().with_any(true);
//! # let (plain, admission) = (Msgpack::plain(), Box::new(Anybody));
//! # let mut protocols = [
//! #     plain.initiator(Arc::clone(&local), handled.clone(), None.into())?,
//! #     plain.responder(Arc::clone(&local), handled.clone(), admission)?,
//! # ];
//! # let mut wires = [SendBuffer::new(&local.blocks), SendBuffer::new(&local.blocks)];
//! # let mut inputs = [local.recv.acquire(4096)?, local.recv.acquire(4096)?];
//! # let mut opened = [None, None];
//! # fn carry(wire: &mut SendBuffer, input: &mut RecvBuffer) {
//! #     while let Some(block) = wire.pop_block() {
//! #         input.reserve(block.len()).unwrap();
//! #         input.extend_from_slice(block.bytes()).unwrap();
//! #     }
//! # }
//! # for at in [0, 1] {
//! #     protocols[at].start(now, &mut wires[at])?;
//! # }
//! # for at in [0, 1, 0, 1, 0] {
//! #     if opened[at].is_none() {
//! #         if let Step::Opened(facts) = protocols[at].next(now, &mut inputs[at], &mut wires[at])? {
//! #             opened[at] = Some(facts);
//! #         }
//! #     }
//! #     carry(&mut wires[at], &mut inputs[1 - at]);
//! # }
//! # let hub = Hub::new(2, None);
//! # let core = |at: usize| {
//! #     let parts = SessionParts {
//! #         opened: opened[at].as_ref().expect("the handshake is done"),
//! #         protocol: "msgpack-plain",
//! #         direction: [Direction::Connected, Direction::Accepted][at],
//! #         address: "memory".into(),
//! #         registry: local.registry.clone(),
//! #         blocks: local.blocks.clone(),
//! #         handled: handled.clone(),
//! #         outbox_bytes: 1 << 20,
//! #         settings: local.settings,
//! #     };
//! #     hub.open(parts).map(|session| Core::new(session, local.settings))
//! # };
//! # let mut cores = [core(0)?, core(1)?];
//!
//! // Two sessions back to back; elsewhere, on any thread:
//! let session = hub.acquire(cores[0].session().id()).expect("it is open");
//! let mut call = Box::pin(session.request(Hello("ada".into())).into_future());
//! let mut cx = Context::from_waker(Waker::noop());
//! assert!(call.as_mut().poll(&mut cx).is_pending());
//! for at in [0, 1, 0] {
//!     let sealing = &mut *opened[at].as_mut().unwrap().sealing;
//!     turn(&mut cores[at], &mut *protocols[at], &mut inputs[at], sealing, &mut wires[at], now)?;
//!     carry(&mut wires[at], &mut inputs[1 - at]);
//! }
//! assert_eq!(call.as_mut().poll(&mut cx), Poll::Ready(Ok(Hello("ada".into()))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Design decisions
//!
//! * **One owner, many handles.** The driver owns the [`Core`] and needs no lock for what is
//!   received; senders share the outbox behind one lock that is held for an append and no longer.
//! * **Nothing of a user's runs or is dropped under a lock**: values are encoded before it and
//!   decoded after it, wakers are cloned before and woken or dropped after, and so are closures.
//! * **What can be refused is an error, what cannot waits.** `send` says `Full`; `room` waits for a
//!   place in a list that the future leaves when it is dropped, so who gives up costs nothing.
//! * **A slot is free when two have let go of it**: the peer by its one answer, the caller by taking
//!   it or going away. A CANCEL is a mark on the slot, so it cannot hit the next call in it; an
//!   answer to what has not left yet is a lie, and ends the session.
//! * **Nothing follows a farewell**, whoever appends: the outbox knows its phase and every lane asks.
//! * **Flows take turns.** Posts, requests, answers and each stream are queues of their own within three
//!   lanes, so that nothing short waits behind anything long; whatever wins, blocks leave whole.
//! * **A stream dropped unfinished is reset**: half of something is never taken for all of it.
//! * **Control replies are level-triggered**: of credit and pongs only the youngest is kept. Answers
//!   are counted until they leave, so errors cannot pile up for a peer that never reads.
//! * **Ids walk all 2^32 numbers in a large odd stride**, the table is a power of two: a lookup is one
//!   load and one compare, and a stale id finds nothing instead of a stranger.
//! * **What is left out is counted in its place.** One bounded queue (`backlog.rs`) serves both ends
//!   of a subscription and events alike: a message comes out, or is counted where it would have.
//! * **A broadcast in sequence has one row and no task**: each member has a place in it, one that is full
//!   waits for room like any sender, and its waker goes on from there.
//! * **Silence asks, and only a question that stands unanswered ends a session**, once everything
//!   that can be read has been: who stood still does not blame the peer. It is looked at when something
//!   happens, so a session at rest has no deadline.
//! * **What is held back is held by a gate before the flows**, opened for what is queued at that moment:
//!   answers and control pass by it, and whoever ends a session takes it away.
//! * **Nobody waits for whoever writes**: who finds somebody in the [`Booth`] knocks, and one more round
//!   is made. A driver that is about to sleep hears of all that others did meanwhile, above all of the
//!   end coming closer.
//! * **A deadline is a duration until a turn stamps it.** The turn that every request causes starts
//!   its clock, so this crate never asks for the time.

#![forbid(unsafe_code)]

mod backlog;
mod board;
mod booth;
mod broadcast;
mod call;
mod calm;
mod close;
mod core;
mod counters;
mod credit;
mod errors;
mod event_queue;
mod heartbeat;
mod hub;
mod id;
mod in_flight;
mod incoming;
mod lasting;
pub mod limits;
mod outbox;
mod requests;
mod room;
mod scratch;
mod session_ref;
mod snapshot;
mod stream;
mod subscription;
mod table;
mod topic;

pub use self::core::{Core, Delivery, EndPhase, SessionWriter, Unfinished};
pub use board::{PublishError, PublishReport};
pub use booth::{Booth, Stay};
pub use broadcast::{BroadcastReport, Broadcaster, Evicted, Sequenced};
pub use call::{Attempt, Call, CallFuture, CallTerms};
pub use close::{CloseSubscription, SessionEnd};
pub use counters::{Counters, STATISTICS, Sent};
pub use errors::{CallError, Executed, Failure, SendError, StreamError, SubscriptionError};
pub use event_queue::{EventQueue, Lagged};
pub use hub::Hub;
pub use id::SessionId;
pub use incoming::{Answer, Deferred, Responder, Ticket};
pub use lasting::{Keeper, LastingId};
pub use outbox::{Flush, Signals};
pub use scratch::with_scratch;
pub use session_ref::{Direction, Flusher, SessionParts, SessionRef, SessionStatus};
pub use snapshot::{QueuedBytes, SessionPhase, SessionSnapshot};
pub use stream::{IncomingStream, RawStream, Stream, StreamReceiver, StreamSender};
pub use subscription::{Published, RemoteSubscription, Subscribe, Subscribing};
pub use table::{SessionTable, TableFull};
pub use topic::{
    AcceptFailed, ConnectFailed, Kind as EventKind, NewSession, PostDropped, SessionClosed,
    SessionDown, SessionReady, SessionUp, Subscription, SystemEvent, SystemMessage, Topic, group,
    topic,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
