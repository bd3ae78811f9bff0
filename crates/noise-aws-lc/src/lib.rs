//! The primitives of `moorline-noise` on aws-lc, for speed.
//!
//! # What it is
//! One function, [`provider`]: X25519, ML-KEM-768, ChaCha20-Poly1305, AES-256-GCM, SHA-256, HKDF and
//! randomness from aws-lc, through the safe API of `aws-lc-rs`. What goes over the wire is the same as
//! with [`Provider::pure`], byte for byte; only the time it takes differs.
//!
//! # What it must never know
//! Handshakes, suites, records: it is asked for one primitive at a time.
//!
//! # Where to start
//! [`provider`], handed to a `HandshakeConfig`, and to [`Identity::on`](moorline_noise::Identity::on)
//! for the static key. Who uses the crate `moorline` has it by default, through its feature `aws-lc`.
//!
//! # The loop
//! ```
//! use moorline_noise::{Handshake, HandshakeConfig, Identity, Provider, Suite};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (fast, pure) = (moorline_noise_aws_lc::provider(), Provider::pure());
//! let server = Identity::generate(&pure)?;
//! let config = |local, remote, provider| HandshakeConfig {
//!     suite: Suite::NkHfsAes, prologue: b"", local, remote, provider,
//! };
//! let mut dialed = Handshake::initiator(config(None, Some(server.public()), fast))?;
//! let mut listened = Handshake::responder(config(Some(&server), None, pure))?;
//!
//! let (mut wire, mut payload) = ([0; 2048], [0; 2048]);
//! let len = dialed.write(b"", &mut wire)?;
//! listened.read(&wire[..len], &mut payload, &mut |_| true)?;
//! let len = listened.write(b"", &mut wire)?;
//! dialed.read(&wire[..len], &mut payload, &mut |_| true)?;
//! assert_eq!(dialed.finish()?.binding, listened.finish()?.binding);
//! # Ok(()) }
//! ```
//!
//! # Design decisions
//! - **A crate, not a feature** of `moorline-noise`: that one stays free of C, and a provider is a
//!   value.
//! - **A C compiler is enough.** `aws-lc-sys` brings its sources and builds them with `cc`; neither
//!   cmake, nor bindgen, nor the network is needed (docs/decisions/0003).
//! - **HKDF is built from HMAC**, since the HKDF of `aws-lc-rs` keeps salts in memory that is not
//!   wiped, and in Noise the salt is the chaining key.
//! - **ML-KEM draws from aws-lc's own generator**, which the operating system feeds: its API takes no
//!   randomness. Known answers are therefore held against the pure provider, and this one against
//!   that.
#![forbid(unsafe_code)]

mod aead;
mod dh;
mod hash;
mod kem;
mod random;

use moorline_noise::Provider;

/// Everything from aws-lc.
#[must_use]
pub const fn provider() -> Provider {
    Provider {
        name: "aws-lc",
        rng: &random::AwsLcRandom,
        dh: &dh::X25519,
        kem: &kem::MlKem768,
        aead: &aead::Aeads,
        hash: &hash::Sha256,
    }
}
