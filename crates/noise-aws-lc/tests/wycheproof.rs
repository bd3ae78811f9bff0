//! The provider on aws-lc against the Wycheproof vectors: the same tests as for the pure one.

#[path = "../../noise/tests/verdicts/mod.rs"]
mod verdicts;

use moorline_noise_aws_lc::provider;

#[test]
fn x25519() {
    verdicts::x25519(provider());
}

#[test]
fn ciphers() {
    verdicts::ciphers(provider());
}

#[test]
fn hkdf_sha256() {
    verdicts::hkdf_sha256(provider());
}

#[test]
fn ml_kem_768() {
    verdicts::ml_kem_768(provider(), verdicts::Kem::OwnRandomness);
}
