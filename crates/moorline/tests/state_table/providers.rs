//! Providers whose keys no honest peer has, and one that counts what it is asked.

#[path = "../../../noise/tests/above_modulus/mod.rs"]
mod above_modulus;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use moorline_noise::provider::{Aead, AeadContext, Cipher, Dh, DhKey, PrimitiveError};
use moorline_noise::{Provider, PublicKey};

/// Ephemeral keys are the point 0, and whatever is agreed on with it is what everybody knows.
pub(crate) fn of_low_order() -> Provider {
    Provider { dh: &Zero, ..Provider::pure() }
}

/// ML-KEM keys are above the modulus.
pub(crate) fn above_modulus() -> Provider {
    Provider { kem: &above_modulus::AboveModulus, ..Provider::pure() }
}

struct Zero;

impl Dh for Zero {
    fn key(&self, _secret: &[u8; 32]) -> Box<dyn DhKey> {
        Box::new(Zero)
    }
}

impl DhKey for Zero {
    fn public(&self) -> [u8; 32] {
        [0; 32]
    }

    fn agree(&self, _public: &[u8; 32], shared: &mut [u8; 32]) -> Result<(), PrimitiveError> {
        *shared = [0; 32];
        Ok(())
    }
}

/// A provider, and how often keys of its own agreed with others.
pub(crate) fn counting() -> (Provider, Arc<AtomicUsize>) {
    let count = Arc::default();
    let dh = Box::leak(Box::new(Counting(Arc::clone(&count))));
    (Provider { dh, ..Provider::pure() }, count)
}

struct Counting(Arc<AtomicUsize>);

impl Dh for Counting {
    fn key(&self, secret: &[u8; 32]) -> Box<dyn DhKey> {
        let key = Provider::pure().dh.key(secret);
        Box::new(CountingKey { key, count: Arc::clone(&self.0) })
    }
}

struct CountingKey {
    key: Box<dyn DhKey>,
    count: Arc<AtomicUsize>,
}

impl DhKey for CountingKey {
    fn public(&self) -> [u8; 32] {
        self.key.public()
    }

    fn agree(&self, public: &[u8; 32], shared: &mut [u8; 32]) -> Result<(), PrimitiveError> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.key.agree(public, shared)
    }
}

/// Seals another key wherever it is given this one: a peer that says it is somebody else.
pub(crate) fn showing(shown: [u8; 32], instead_of: PublicKey) -> Provider {
    let aead = Box::leak(Box::new(Showing { shown, instead_of: *instead_of.as_bytes() }));
    Provider { aead, ..Provider::pure() }
}

#[derive(Clone, Copy)]
struct Showing {
    shown: [u8; 32],
    instead_of: [u8; 32],
}

impl Aead for Showing {
    fn context(&self, cipher: Cipher, key: &[u8; 32]) -> Box<dyn AeadContext> {
        Box::new(ShowingContext {
            showing: *self,
            inner: Provider::pure().aead.context(cipher, key),
        })
    }
}

struct ShowingContext {
    showing: Showing,
    inner: Box<dyn AeadContext>,
}

impl AeadContext for ShowingContext {
    fn seal(
        &self,
        nonce: &[u8; 12],
        ad: &[u8],
        body: &mut [u8],
        tag: &mut [u8; 16],
    ) -> Result<(), PrimitiveError> {
        if *body == self.showing.instead_of {
            body.copy_from_slice(&self.showing.shown);
        }
        self.inner.seal(nonce, ad, body, tag)
    }

    fn open(
        &self,
        nonce: &[u8; 12],
        ad: &[u8],
        body: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), PrimitiveError> {
        self.inner.open(nonce, ad, body, tag)
    }
}
