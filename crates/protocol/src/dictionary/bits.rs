//! A set of small numbers.

/// One bit for each number. The last word is never zero, so that equal sets are equal values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// Low bit first, as many as there are.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        let mut bits = Self(words.collect());
        while bits.0.last() == Some(&0) {
            bits.0.pop();
        }
        bits
    }

    /// Low bit first, without zero bytes at the end.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        bytes
    }

    pub(super) fn insert(&mut self, number: usize) {
        let (word, bit) = (number / 64, number % 64);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << bit;
    }

    pub(super) fn remove(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word &= !(1 << (number % 64));
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_set_and_its_bytes_say_the_same(
            numbers in proptest::collection::btree_set(0_usize..700, 0..40),
        ) {
            let mut bits = Bits::default();
            numbers.iter().for_each(|number| bits.insert(*number));
            let bytes = bits.to_bytes();
            prop_assert_ne!(bytes.last(), Some(&0));
            prop_assert_eq!(&Bits::from_bytes(&bytes), &bits);
            let padded = [&bytes[..], &[0; 20]].concat();
            prop_assert_eq!(&Bits::from_bytes(&padded), &bits);
            for number in 0..800 {
                prop_assert_eq!(bits.contains(number), numbers.contains(&number));
            }
            let mut rest = bits;
            for number in &numbers {
                rest.remove(*number);
                prop_assert!(!rest.contains(*number));
                rest.remove(900);
            }
            prop_assert_eq!(rest, Bits::default(), "equal sets are equal values");
        }
    }
}
