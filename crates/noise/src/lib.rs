//! Hybrid post-quantum Noise for two equal peers: handshake, records, identities and peer lists.
//!
//! # What it is
//! The Noise protocol framework, revision 34, with the hybrid forward secrecy extension on
//! ML-KEM-768: patterns IK, XX and NK as lists of tokens, and one interpreter that runs them. What a
//! finished handshake leaves are two one-way halves that seal and open records in place, a value to
//! bind to, and a source of further keys. Around it stand what decides who may talk to whom:
//! [`Identity`], [`PublicKey`] and [`Peers`].
//!
//! # What it must never know
//! Messages, sessions, files, sockets, a runtime or the time. It sees `&mut [u8]`; time is an
//! argument of [`Peers::admit`]; randomness comes through its [`Provider`] alone. It does not
//! fragment, retry, or put lengths on the wire, and it says nothing to a peer that fails.
//!
//! # Where to start
//! [`Handshake`], then [`Sealer`] and [`Opener`]. [`Suite`] says which handshake, [`Suites`] which
//! are taken at all.
//!
//! # The loop
//! ```
//! use moorline_noise::{Handshake, HandshakeConfig, Identity, Peers, Provider, Suite, prologue};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let provider = Provider::pure();
//! let (server, client) = (Identity::generate(&provider)?, Identity::generate(&provider)?);
//! let peers = Peers::nobody().with("client", client.public());
//! let (suite, prologue) = (Suite::IkHfsChaCha, prologue(&[0; 16], "home", None));
//!
//! let config = |local, remote| HandshakeConfig {
//!     suite, prologue: &prologue, local: Some(local), remote, provider,
//! };
//! let mut dialed = Handshake::initiator(config(&client, Some(server.public())))?;
//! let mut listened = Handshake::responder(config(&server, None))?;
//!
//! // Whose turn it is writes, the other reads, until both are finished.
//! let (mut wire, mut payload) = ([0; 2048], [0; 2048]);
//! while !dialed.is_finished() || !listened.is_finished() {
//!     let (writer, reader) = if dialed.is_my_turn() {
//!         (&mut dialed, &mut listened)
//!     } else {
//!         (&mut listened, &mut dialed)
//!     };
//!     let len = writer.write(b"capabilities", &mut wire)?;
//!     let len = reader.read(&wire[..len], &mut payload, &mut |key| {
//!         peers.admit(Some(key), None, 1_800_000_000).is_ok()
//!     })?;
//!     assert_eq!(&payload[..len], b"capabilities");
//! }
//! let (mut dialed, mut listened) = (dialed.finish()?, listened.finish()?);
//! assert_eq!(dialed.binding, listened.binding);
//!
//! // From here on records: the tag follows the body.
//! let (mut record, header) = (*b"hello................", [0xc8, 0, 21, 0x1f]);
//! let (body, tag) = record.split_last_chunk_mut::<16>().unwrap();
//! dialed.sealer.seal(&header, body, tag)?;
//! let len = listened.opener.open(&header, &mut record)?;
//! assert_eq!(&record[..len], b"hello");
//! # Ok(()) }
//! ```
//!
//! # Design decisions
//! - **Patterns are data.** A suite is a line in a table, and every suite is tested alike against an
//!   independent implementation.
//! - **One type for a handshake, another for what it leaves.** Whose turn it is, is data like the
//!   pattern; only [`Handshake::finish`] gives keys (docs/decisions/0008).
//! - **Clone, then commit.** A message works on a copy of the state that only success puts in place,
//!   so a forged message never spoils the genuine one. An [`Opener`] is the opposite: its first
//!   failure wipes the buffer and its key, because behind a stream a bad tag is an attack.
//! - **Admission before expense.** The caller is asked about the peer's key as soon as it is in hand,
//!   before the second Diffie-Hellman.
//! - **The provider is a value.** Primitives are trait objects, called once a record or a token;
//!   another implementation is another value, never a feature.
//! - **Secrets are boxed**, wiped on drop, and neither cloned nor printed; the one copy there is, of
//!   the working state, has a name of its own and wipes itself as well.
//! - **Errors carry blame** ([`HandshakeError::blame`]), and none quotes a byte of a peer or a key.
#![forbid(unsafe_code)]

mod handshake;
mod handshake_error;
mod identity;
mod kem_key;
pub mod limits;
mod pattern;
mod peers;
mod prologue;
pub mod provider;
mod public_key;
mod pure;
mod record;
mod secret;
mod suite;
mod symmetric;
mod transport;

pub use handshake::{Handshake, HandshakeConfig};
pub use handshake_error::{Blame, HandshakeError};
pub use identity::{Identity, KeyError};
pub use peers::{Peer, PeerLineError, Peers, PeersError, Refusal};
pub use prologue::prologue;
pub use provider::{Provider, RandomError};
pub use public_key::{Fingerprint, PublicKey, PublicKeyError};
pub use record::{Opener, RecordError, Sealer};
pub use suite::{Role, Suite, Suites};
pub use transport::{Exporter, Transport};
