//! X25519.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use moorline_noise::limits::KEY_LEN;
use moorline_noise::provider::{Dh, DhKey, PrimitiveError};

pub(crate) struct X25519;

impl Dh for X25519 {
    fn key(&self, secret: &[u8; KEY_LEN]) -> Box<dyn DhKey> {
        let secret = PrivateKey::from_private_key(&agreement::X25519, secret)
            .expect("any 32 bytes are an X25519 key");
        let made = secret.compute_public_key().expect("a secret key has its public half");
        let mut public = [0; KEY_LEN];
        public.copy_from_slice(made.as_ref());
        Box::new(X25519Key { secret, public })
    }
}

/// The expanded key lives in aws-lc's memory, which is wiped when it is freed.
struct X25519Key {
    secret: PrivateKey,
    public: [u8; KEY_LEN],
}

impl DhKey for X25519Key {
    fn public(&self) -> [u8; KEY_LEN] {
        self.public
    }

    /// aws-lc refuses a result that is all zero, which is what is not contributory.
    fn agree(
        &self,
        public: &[u8; KEY_LEN],
        shared: &mut [u8; KEY_LEN],
    ) -> Result<(), PrimitiveError> {
        let theirs = UnparsedPublicKey::new(&agreement::X25519, public);
        agreement::agree(&self.secret, theirs, PrimitiveError::Refused, |made| {
            shared.copy_from_slice(made);
            Ok(())
        })
    }
}
