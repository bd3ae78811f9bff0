//! Everything that is left to chance, from one seed.

use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use moorline_noise::Provider;
use moorline_noise::provider::{RandomError, Rng};

/// A source of numbers that are the same for the same seed: `wyrand`, as in the crate `fastrand`.
///
/// Each part of a simulation throws dice of its own, [forked](Self::fork) from the first ones, so
/// that a change in how often one part throws them does not move all the others.
#[derive(Debug, Clone)]
pub struct Dice(fastrand::Rng);

impl Dice {
    /// Dice of this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Dice of their own, which depend on what was thrown so far.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    /// A number below `n`, which is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.usize(..n.max(1))
    }

    /// A number of this range.
    pub fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.u64(range)
    }

    /// `true` in so many of a hundred cases.
    pub fn chance(&mut self, percent: u8) -> bool {
        self.0.u8(..100) < percent
    }

    /// One of these, of which there is at least one.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// So many bytes.
    #[must_use]
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill(&mut bytes);
        bytes
    }
}

/// The pure Rust primitives with randomness of these dice. A provider refers to what lives for
/// ever, so the few bytes of the dice are never freed.
pub(crate) fn provider(dice: Dice) -> Provider {
    let rng: &'static Loaded = Box::leak(Box::new(Loaded(Mutex::new(dice))));
    Provider { name: "simulated", rng, ..Provider::pure() }
}

/// Anything but unpredictable: for tests.
struct Loaded(Mutex<Dice>);

impl Rng for Loaded {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.fill(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seed in an old report must still mean the same.
    #[test]
    fn the_numbers_of_a_seed_do_not_change() {
        let mut dice = Dice::seeded(7);
        let numbers: Vec<u64> = (0..3).map(|_| dice.between(0..=999)).collect();
        assert_eq!(numbers, [773, 222, 718]);
    }

    #[test]
    fn forked_dice_go_their_own_way() {
        let mut dice = Dice::seeded(7);
        let mut other = dice.fork();
        assert_ne!(dice.bytes(16), other.bytes(16));
        assert_eq!(Dice::seeded(7).fork().bytes(4), Dice::seeded(7).fork().bytes(4));
    }
}
