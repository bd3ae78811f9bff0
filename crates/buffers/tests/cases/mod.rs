//! How many cases the properties are tried with, and from which seed.

use proptest::test_runner::{Config, RngSeed};

const CASES_DEBUG: u32 = 1_000;
const CASES_RELEASE: u32 = 10_000;

/// The same cases in every run; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` ask for others.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = if cfg!(debug_assertions) { CASES_DEBUG } else { CASES_RELEASE };
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0x6D6F_6F72);
    }
    config
}
