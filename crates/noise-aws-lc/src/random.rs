//! Randomness: aws-lc's generator, seeded and reseeded by the operating system.

use aws_lc_rs::rand;
use moorline_noise::RandomError;
use moorline_noise::provider::Rng;

pub(crate) struct AwsLcRandom;

impl Rng for AwsLcRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        rand::fill(out).map_err(|_unspecified| RandomError)
    }
}
