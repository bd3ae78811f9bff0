//! The pure provider against the Wycheproof vectors.

mod verdicts;

use moorline_noise::Provider;

#[test]
fn x25519() {
    verdicts::x25519(Provider::pure());
}

#[test]
fn ciphers() {
    verdicts::ciphers(Provider::pure());
}

#[test]
fn hkdf_sha256() {
    verdicts::hkdf_sha256(Provider::pure());
}

#[test]
fn ml_kem_768() {
    verdicts::ml_kem_768(Provider::pure(), verdicts::Kem::Scripted);
}
