//! SHA-256, and HKDF from its HMAC.

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use moorline_noise::limits::KEY_LEN;
use moorline_noise::provider::Hash;
use zeroize::Zeroizing;

pub(crate) struct Sha256;

impl Hash for Sha256 {
    fn digest(&self, parts: &[&[u8]]) -> [u8; KEY_LEN] {
        let mut hash = Context::new(&SHA256);
        for part in parts {
            hash.update(part);
        }
        let mut out = [0; KEY_LEN];
        out.copy_from_slice(hash.finish().as_ref());
        out
    }

    fn derive(&self, salt: &[u8; KEY_LEN], input: &[u8], outputs: &mut [&mut [u8; KEY_LEN]]) {
        let mut extracted = Zeroizing::new([0; KEY_LEN]);
        mac(salt, input, &mut extracted);
        // Each block covers the one before it and its own number.
        let mut covered = Zeroizing::new([0; KEY_LEN + 1]);
        let mut start = KEY_LEN;
        for (number, output) in (1_u8..).zip(outputs.iter_mut()) {
            covered[KEY_LEN] = number;
            mac(&extracted, &covered[start..], output);
            covered[..KEY_LEN].copy_from_slice(*output);
            start = 0;
        }
    }

    fn expand(&self, key: &[u8; KEY_LEN], info: &[&[u8]], output: &mut [u8; KEY_LEN]) {
        let mut covered = info.concat();
        covered.push(1);
        mac(key, &covered, output);
    }
}

/// HMAC without a copy of the result that nobody would wipe.
fn mac(key: &[u8; KEY_LEN], data: &[u8], output: &mut [u8; KEY_LEN]) {
    hmac::sign_to_buffer(&Key::new(HMAC_SHA256, key), data, output)
        .expect("the output has the length of the hash");
}
