//! The check FIPS 203 asks for before an encapsulation key is used.

use crate::limits::KEM_PUBLIC_LEN;

/// The prime of ML-KEM.
const MODULUS: u16 = 3_329;

/// Bytes of the key that hold coefficients; the last 32 are a seed and may be anything.
const COEFFICIENT_BYTES: usize = KEM_PUBLIC_LEN - 32;

/// Whether every 12-bit coefficient is below the modulus (FIPS 203, 7.2). It stands here and not in
/// the provider so that it holds with every provider, and before anything is answered.
pub(crate) fn is_below_modulus(key: &[u8; KEM_PUBLIC_LEN]) -> bool {
    let (triples, _none_left) = key[..COEFFICIENT_BYTES].as_chunks::<3>();
    triples.iter().all(|[low, middle, high]| {
        let first = u16::from(*low) | (u16::from(*middle & 0x0f) << 8);
        let second = u16::from(*middle >> 4) | (u16::from(*high) << 4);
        first < MODULUS && second < MODULUS
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_coefficient_is_held_to_the_modulus_and_the_seed_is_not() {
        let mut key = [0; KEM_PUBLIC_LEN];
        key[COEFFICIENT_BYTES..].fill(0xff);
        assert!(is_below_modulus(&key));
        // 3329 is 0xd01 and 3328 is 0xd00.
        for triple in (0..COEFFICIENT_BYTES).step_by(3) {
            for (legal, refused) in
                [([0x00, 0x0d, 0], [0x01, 0x0d, 0]), ([0, 0, 0xd0], [0, 0x10, 0xd0])]
            {
                key[triple..triple + 3].copy_from_slice(&legal);
                assert!(is_below_modulus(&key));
                key[triple..triple + 3].copy_from_slice(&refused);
                assert!(!is_below_modulus(&key));
                key[triple..triple + 3].fill(0);
            }
        }
    }
}
