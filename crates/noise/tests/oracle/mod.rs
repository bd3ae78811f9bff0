//! snow, taught ML-KEM-768 and fed the same randomness as our side.

use std::sync::{Arc, Mutex};

use ml_kem::ml_kem_768::{DecapsulationKey, EncapsulationKey};
use ml_kem::{Decapsulate, KeyExport};
use moorline_noise::{Role, Suite};
use snow::params::{CipherChoice, DHChoice, HashChoice, KemChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Kem, Random};
use snow::{Builder, Error, HandshakeState};

use crate::dialogue::next_byte;

/// What a side is built from; the fields mean what they do in our configuration.
pub(crate) struct Oracle<'a> {
    pub(crate) suite: Suite,
    pub(crate) role: Role,
    pub(crate) prologue: &'a [u8],
    pub(crate) local: Option<&'a [u8; 32]>,
    pub(crate) remote: Option<&'a [u8; 32]>,
    pub(crate) seed: u64,
}

impl Oracle<'_> {
    pub(crate) fn build(&self) -> HandshakeState {
        let rng = Seeded(Arc::new(Mutex::new(self.seed)));
        let mut builder = Builder::with_resolver(params(self.suite), Box::new(Resolver(rng)))
            .prologue(self.prologue)
            .unwrap();
        if let Some(local) = self.local {
            builder = builder.local_private_key(local).unwrap();
        }
        if let Some(remote) = self.remote {
            builder = builder.remote_public_key(remote).unwrap();
        }
        match self.role {
            Role::Initiator => builder.build_initiator().unwrap(),
            Role::Responder => builder.build_responder().unwrap(),
        }
    }
}

/// snow knows one KEM by name only. Its parameters are parsed with that one, and then carry our name
/// into the transcript and our KEM through the resolver.
fn params(suite: Suite) -> NoiseParams {
    let parsed: NoiseParams = suite.name().replace("MLKEM768", "Kyber1024").parse().unwrap();
    NoiseParams::new(
        suite.name().to_owned(),
        parsed.base,
        parsed.handshake,
        parsed.dh,
        parsed.kem,
        parsed.cipher,
        parsed.hash,
    )
}

#[derive(Clone)]
struct Seeded(Arc<Mutex<u64>>);

impl Random for Seeded {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap();
        out.fill_with(|| next_byte(&mut state));
        Ok(())
    }
}

struct Resolver(Seeded);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(self.0.clone()))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }

    fn resolve_kem(&self, _choice: &KemChoice) -> Option<Box<dyn Kem>> {
        Some(Box::new(MlKem768 { rng: self.0.clone(), secret: None, public: Vec::new() }))
    }
}

/// snow gives no randomness to an encapsulation, so this draws from the side's own.
struct MlKem768 {
    rng: Seeded,
    secret: Option<DecapsulationKey>,
    public: Vec<u8>,
}

impl Kem for MlKem768 {
    fn name(&self) -> &'static str {
        "MLKEM768"
    }

    fn pub_len(&self) -> usize {
        1_184
    }

    fn ciphertext_len(&self) -> usize {
        1_088
    }

    fn shared_secret_len(&self) -> usize {
        32
    }

    fn generate(&mut self, rng: &mut dyn Random) {
        let mut seed = [0; 64];
        rng.try_fill_bytes(&mut seed).unwrap();
        let secret = DecapsulationKey::from_seed(seed.into());
        self.public = secret.encapsulation_key().to_bytes().to_vec();
        self.secret = Some(secret);
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn encapsulate(
        &self,
        public: &[u8],
        shared: &mut [u8],
        ciphertext: &mut [u8],
    ) -> Result<(usize, usize), Error> {
        let key = EncapsulationKey::new(public.try_into().unwrap()).map_err(|_| Error::Kem)?;
        let mut random = [0; 32];
        self.rng.clone().try_fill_bytes(&mut random)?;
        let (made, secret) = key.encapsulate_deterministic(&random.into());
        ciphertext.copy_from_slice(made.as_slice());
        shared.copy_from_slice(secret.as_slice());
        Ok((shared.len(), ciphertext.len()))
    }

    fn decapsulate(&self, ciphertext: &[u8], shared: &mut [u8]) -> Result<usize, Error> {
        let secret = self.secret.as_ref().unwrap();
        shared.copy_from_slice(secret.decapsulate(ciphertext.try_into().unwrap()).as_slice());
        Ok(shared.len())
    }
}
