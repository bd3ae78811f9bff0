//! # What it is
//! Typed sessions between two equal peers, over any byte transport: posts, requests, streams and
//! topics in both directions on one connection, encrypted, mutually authenticated and post-quantum by
//! default.
//! This crate is the face of the layers below: re-exports and defaults, no logic.
//!
//! # What it must never know
//! How anything works: whoever needs one layer alone depends on that layer's crate.
//!
//! # Where to start
//! Register messages with [`register_message!`], describe a [`Service`] with [`Service::builder`],
//! hang handlers on it, [`Service::accept`] or [`Service::connect`], and speak through a
//! [`SessionRef`].
//!
//! # The loop
//! A server and a client in one process, over the in-memory transport:
//!
//! ```standalone_crate
//! use moorline::{Identity, Peers, Service, register_message};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Hello { name: String }
//! #[derive(Serialize, Deserialize)]
//! struct Greeting { text: String }
//! register_message!(Hello => Greeting); // request => response
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> moorline::Result<()> {
//! let server =
//!     Service::builder().identity(Identity::generate()?).peers(Peers::anyone()).build()?;
//! server.handle(|_cx, hello: Hello| async move {
//!     Ok(Greeting { text: format!("hello, {}", hello.name) })
//! });
//! let at = server.accept("mem://greetings", "msgpack").await?;
//!
//! let client = Service::builder().identity(Identity::generate()?).build()?;
//! let session = client.connect(&at.url().to_string(), "msgpack").await?;
//! let greeting = session.request(Hello { name: "ada".into() }).await?;
//! assert_eq!(greeting.text, "hello, ada");
//!
//! client.shutdown().await?;
//! server.shutdown().await
//! # }
//! ```
//!
//! # Features
//! * `aws-lc` (default): services use the cryptographic primitives of aws-lc unless
//!   [`ServiceBuilder::provider`] says otherwise. It needs a C compiler and nothing else. Without it
//!   (`default-features = false`) everything is pure Rust; on the wire there is no difference.
//! * `dns`: names resolved by DNS servers of your own choice, by `transport::dns`.
//! * `config`: knobs of a service from files, the environment and the command line, in the module of
//!   that name.
//! * `metrics`: what services count, once a second, to the recorder of the crate `metrics` that the program
//!   has installed.
//! * `gofast`: the protocols `gofast` and `gofast-2016` are there beside `msgpack`, with their settings
//!   and statistics in the module of that name.
//!
//! # Design decisions
//! * Layers are crates; this one only names them. What is exported here is what an application of
//!   ordinary needs touches; everything else is one crate further down.
//! * Deny by default: a service that says nothing of [`Peers`] lets nobody in.
//! * No type of a crate below version 1.0 stands in a public signature.

#![forbid(unsafe_code)]

pub use moorline_buffers::PoolStats;
pub use moorline_noise::{Fingerprint, Peer, PeersError, Provider, PublicKey, Suite, Suites};
pub use moorline_protocol::{
    CloseReason, ErrorCode, Farewell, Message, MessageFamily, MessageRegistry, NoError, Overflow,
    PeerFacts, RegistryError, Request, Settings, SetupError, StreamMessage, link, named,
    register_message, register_protocol,
};
pub use moorline_service::{
    Acceptor, Address, Alarm, BackOff, ByteStream, Client, ClientBuilder, ClientCall, ClientState,
    ClientSubscribe, ClientSubscription, Context, DrainReport, Error, FirstContact, Identity,
    KeyFileError, KnownPeers, LeftBehind, Listen, Owner, OwnerError, Peers, Result, Service,
    ServiceBuilder, SessionHandlers, TopicOffer, Unhandled, WhileDown, transport,
};
pub use moorline_session::{
    AcceptFailed, BroadcastReport, Broadcaster, Call, CallError, CloseSubscription, ConnectFailed,
    Direction, EventQueue, Evicted, Executed, Failure, Flush, Lagged, NewSession, PostDropped,
    PublishError, PublishReport, Published, RawStream, RemoteSubscription, SendError, Sequenced,
    SessionClosed, SessionDown, SessionEnd, SessionId, SessionReady, SessionRef, SessionStatus,
    SessionUp, Stream, StreamError, StreamReceiver, StreamSender, Subscribe, Subscription,
    SubscriptionError, SystemMessage, Topic, group, topic,
};

/// What messages look like, in a file that is committed beside them: a change that breaks peers turns
/// the build red (PROTOCOL 5). The guide shows it under "Changing messages".
pub mod schema {
    pub use moorline_protocol::schema::{Change, ParseError, Schema, Verdict};
    pub use moorline_service::schema::{assert_compatible, assert_schema_compatible};
}

/// The knobs of a service as values: what is set, by whom, and what is in force. With the feature `config`
/// they are read from files, the environment and the command line.
pub mod config {
    #[cfg(feature = "config")]
    pub use moorline_config::{LayerError, Layers};
    pub use moorline_service::config::{Config, ConfigError, Explained, Kind, Knob, Source, Value};
}

/// What [`Service::snapshot`] and [`SessionRef::snapshot`] tell: the state of a service and of its
/// sessions, for whoever operates it.
pub mod state {
    pub use moorline_service::{
        EndedSession, Handled, Introspect, LimitsSnapshot, ListenerSnapshot, PoolSnapshot,
        ServiceSnapshot, Snapshot, TypeSnapshot,
    };
    pub use moorline_session::{Counters, QueuedBytes, Sent, SessionPhase, SessionSnapshot};
}

/// The protocols `gofast` and `gofast-2016`: their settings and statistics. They are registered as they
/// are by default; a service gets its own by [`ServiceBuilder::protocol`].
#[cfg(feature = "gofast")]
pub mod gofast {
    pub use moorline_gofast::{
        ConnectionStats, Dialect, Gofast, GofastSettings, GofastStats, Statistics,
    };
    pub use moorline_protocol::Format;
}

#[cfg(feature = "aws-lc")]
moorline_service::offer_provider!(moorline_noise_aws_lc::provider);

/// The guide's code blocks, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/GUIDE.md")]
mod guide {}
