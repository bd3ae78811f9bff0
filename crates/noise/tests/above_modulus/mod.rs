//! ML-KEM keys that no honest peer has.

use moorline_noise::Provider;
use moorline_noise::provider::{Kem, KemSecret, PrimitiveError, RandomError, Rng};

/// Makes keys whose last coefficient is 3329.
pub(crate) struct AboveModulus;

impl Kem for AboveModulus {
    fn generate(
        &self,
        rng: &dyn Rng,
        public: &mut [u8; 1_184],
    ) -> Result<Box<dyn KemSecret>, RandomError> {
        let secret = Provider::pure().kem.generate(rng, public)?;
        public[1_150] = public[1_150] & 0x0f | 0x10;
        public[1_151] = 0xd0;
        Ok(secret)
    }

    fn encapsulate(
        &self,
        rng: &dyn Rng,
        public: &[u8; 1_184],
        ciphertext: &mut [u8; 1_088],
        shared: &mut [u8; 32],
    ) -> Result<(), PrimitiveError> {
        Provider::pure().kem.encapsulate(rng, public, ciphertext, shared)
    }
}
