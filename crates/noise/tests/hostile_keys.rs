//! Peers with bad keys, wrong keys, or our own; and when the caller is asked about them.
#![expect(clippy::unwrap_used, reason = "a failure here is the failure of the test that called")]

mod above_modulus;
mod dialogue;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use above_modulus::AboveModulus;
use data_encoding::HEXLOWER;
use dialogue::{all, identity, pair, pair_of, read, write};
use moorline_noise::provider::{Dh, DhKey, Kem, PrimitiveError};
use moorline_noise::{
    Handshake, HandshakeConfig, HandshakeError, Identity, Provider, PublicKey, Suite,
};

/// All points of order 1, 2, 4 and 8 on the curve and its twist, in every spelling below 2^255.
const LOW_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn low_order_points() -> impl Iterator<Item = [u8; 32]> {
    let plain = LOW_ORDER.map(|text| HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap());
    // The highest bit does not count, so each has a second spelling.
    let dressed = plain.map(|mut point: [u8; 32]| {
        point[31] |= 0x80;
        point
    });
    plain.into_iter().chain(dressed)
}

fn config<'a>(
    suite: Suite,
    local: Option<&'a Identity>,
    remote: Option<PublicKey>,
    provider: Provider,
) -> HandshakeConfig<'a> {
    HandshakeConfig { suite, prologue: b"dialogue", local, remote, provider }
}

#[test]
fn ephemeral_keys_of_low_order_are_refused() {
    for suite in Suite::ALL {
        for point in low_order_points() {
            let (mut initiator, mut responder) = pair(suite, 1);
            let genuine = write(&mut initiator, b"");
            let mut forged = genuine.clone();
            forged[..32].copy_from_slice(&point);
            if suite.responder_is_known() {
                assert_eq!(read(&mut responder, &forged), Err(HandshakeError::LowOrder));
            } else {
                // In XX the first Diffie-Hellman is the responder's own answer.
                read(&mut responder, &forged).unwrap();
                let error = responder.write(b"", &mut [0; 4_096]).unwrap_err();
                assert_eq!(error, HandshakeError::LowOrder);
                continue;
            }
            read(&mut responder, &genuine).unwrap();
            let mut answer = write(&mut responder, b"");
            answer[..32].copy_from_slice(&point);
            assert_eq!(read(&mut initiator, &answer), Err(HandshakeError::LowOrder));
        }
    }
}

#[test]
fn static_keys_of_low_order_are_refused() {
    let me = identity(1);
    for point in low_order_points() {
        let pinned = Some(PublicKey::from_bytes(point));
        let config = config(Suite::IkHfsChaCha, Some(&me), pinned, Provider::pure());
        let mut initiator = Handshake::initiator(config).unwrap();
        let error = initiator.write(b"", &mut [0; 4_096]).unwrap_err();
        assert_eq!(error, HandshakeError::LowOrder);

        let liar = Provider { dh: leak(Claims(point)), ..Provider::pure() };
        let liar = Identity::generate(&liar).unwrap();
        for suite in [Suite::XxHfsChaCha, Suite::Xx] {
            let (mut initiator, mut responder) = pair_of(suite, 1, &me, &liar);
            read(&mut responder, &write(&mut initiator, b"")).unwrap();
            let answer = write(&mut responder, b"");
            let expected = if has_one_spelling(&point) {
                HandshakeError::LowOrder
            } else {
                HandshakeError::NotCanonical
            };
            assert_eq!(read(&mut initiator, &answer), Err(expected));
        }
    }
}

/// As text a key is held to that, too.
fn has_one_spelling(point: &[u8; 32]) -> bool {
    PublicKey::from_bytes(*point).to_line().parse::<PublicKey>().is_ok()
}

/// X25519 does not look at the highest bit, and works modulo a prime: a key could come under another
/// name than the one it is listed by, and agree on everything.
#[test]
fn a_static_key_has_one_spelling() {
    let (me, other) = (identity(1), identity(2));
    let mut point = *other.public().as_bytes();
    point[31] |= 0x80;
    let disguised = Provider { dh: leak(Claims(point)), ..Provider::pure() };
    let disguised = other.on(&disguised);
    assert_eq!(disguised.public(), PublicKey::from_bytes(point));
    for suite in Suite::ALL.into_iter().filter(|suite| suite.initiator_has_key()) {
        let (mut initiator, mut responder) = pair_of(suite, 1, &disguised, &me);
        let mut shows_it = write(&mut initiator, b"");
        if suite.messages() == 3 {
            read(&mut responder, &shows_it).unwrap();
            read(&mut initiator, &write(&mut responder, b"")).unwrap();
            shows_it = write(&mut initiator, b"");
        }
        let mut asked = false;
        let error = responder.read(&shows_it, &mut [0; 64], &mut |_| {
            asked = true;
            true
        });
        assert_eq!((error, asked), (Err(HandshakeError::NotCanonical), false), "{suite}");
    }
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Says that its public key is this.
struct Claims([u8; 32]);

impl Dh for Claims {
    fn key(&self, secret: &[u8; 32]) -> Box<dyn DhKey> {
        Box::new(Claimed { public: self.0, inner: Provider::pure().dh.key(secret) })
    }
}

struct Claimed {
    public: [u8; 32],
    inner: Box<dyn DhKey>,
}

impl DhKey for Claimed {
    fn public(&self) -> [u8; 32] {
        self.public
    }

    fn agree(&self, public: &[u8; 32], shared: &mut [u8; 32]) -> Result<(), PrimitiveError> {
        self.inner.agree(public, shared)
    }
}

#[test]
fn kem_keys_outside_the_modulus_are_refused_before_anything_is_answered() {
    let (one, two) = (identity(1), identity(2));
    for suite in Suite::ALL.into_iter().filter(|suite| suite.is_hybrid()) {
        let liar = Provider { kem: &AboveModulus, ..Provider::pure() };
        let local = suite.initiator_has_key().then_some(&one);
        let remote = suite.responder_is_known().then(|| two.public());
        let mut initiator = Handshake::initiator(config(suite, local, remote, liar)).unwrap();
        let message = write(&mut initiator, b"");
        let responder = config(suite, Some(&two), None, Provider::pure());
        let mut responder = Handshake::responder(responder).unwrap();
        assert_eq!(read(&mut responder, &message), Err(HandshakeError::KemKey), "{suite}");
    }
}

#[test]
fn the_provider_refuses_such_keys_as_well() {
    let mut public = [0; 1_184];
    let rng = Provider::pure().rng;
    let _secret = AboveModulus.generate(rng, &mut public).unwrap();
    let error = Provider::pure().kem.encapsulate(rng, &public, &mut [0; 1_088], &mut [0; 32]);
    assert_eq!(error, Err(PrimitiveError::Refused));
}

#[test]
fn nobody_talks_to_a_peer_with_its_own_key() {
    let me = identity(1);
    for suite in Suite::ALL.into_iter().filter(|suite| suite.initiator_has_key()) {
        let dials_itself = config(suite, Some(&me), Some(me.public()), Provider::pure());
        assert_eq!(Handshake::initiator(dials_itself).err(), Some(HandshakeError::OwnKey));
    }
    let (mut initiator, mut responder) = pair_of(Suite::XxHfsChaCha, 1, &me, &identity(1));
    read(&mut responder, &write(&mut initiator, b"")).unwrap();
    let answer = write(&mut responder, b"");
    let mut asked = false;
    let error = initiator.read(&answer, &mut [0; 64], &mut |_| {
        asked = true;
        true
    });
    assert_eq!((error, asked), (Err(HandshakeError::OwnKey), false));
}

#[test]
fn a_pinned_key_is_held_to_where_the_peer_shows_its_own() {
    let (one, two) = (identity(1), identity(2));
    let pinned = Some(identity(3).public());
    let dialer = config(Suite::XxHfsChaCha, Some(&one), pinned, Provider::pure());
    let mut initiator = Handshake::initiator(dialer).unwrap();
    let listener = config(Suite::XxHfsChaCha, Some(&two), None, Provider::pure());
    let mut responder = Handshake::responder(listener).unwrap();
    read(&mut responder, &write(&mut initiator, b"")).unwrap();
    let answer = write(&mut responder, b"");
    assert_eq!(read(&mut initiator, &answer), Err(HandshakeError::Unpinned));
    assert_eq!(initiator.remote_static(), None);
}

/// Counts what admission is to spare.
struct Counting(Arc<AtomicUsize>);

impl Dh for Counting {
    fn key(&self, secret: &[u8; 32]) -> Box<dyn DhKey> {
        let inner = Provider::pure().dh.key(secret);
        Box::new(Counted { agreed: Arc::clone(&self.0), inner })
    }
}

struct Counted {
    agreed: Arc<AtomicUsize>,
    inner: Box<dyn DhKey>,
}

impl DhKey for Counted {
    fn public(&self) -> [u8; 32] {
        self.inner.public()
    }

    fn agree(&self, public: &[u8; 32], shared: &mut [u8; 32]) -> Result<(), PrimitiveError> {
        self.agreed.fetch_add(1, Ordering::Relaxed);
        self.inner.agree(public, shared)
    }
}

#[test]
fn admission_is_asked_before_the_second_diffie_hellman() {
    let (one, two) = (identity(1), identity(2));
    for suite in [Suite::IkHfsChaCha, Suite::IkHfsAes, Suite::Ik] {
        let agreed = Arc::new(AtomicUsize::new(0));
        let provider = Provider { dh: leak(Counting(Arc::clone(&agreed))), ..Provider::pure() };
        let counted = two.on(&provider);
        let mut responder =
            Handshake::responder(config(suite, Some(&counted), None, provider)).unwrap();
        let (mut initiator, _) = pair_of(suite, 1, &one, &two);
        let message = write(&mut initiator, b"");

        let mut asked = Vec::new();
        let refused = responder.read(&message, &mut [0; 64], &mut |key| {
            asked.push((*key, agreed.load(Ordering::Relaxed)));
            false
        });
        assert_eq!(refused, Err(HandshakeError::NotAdmitted));
        assert_eq!(asked, [(one.public(), 1)]);
        assert_eq!(agreed.load(Ordering::Relaxed), 1);
        assert_eq!(responder.remote_static(), None);

        // A list that was read again may say otherwise: the handshake is as it was.
        responder.read(&message, &mut [0; 64], &mut all).unwrap();
        assert_eq!(responder.remote_static(), Some(&one.public()));
    }
}

#[test]
fn admission_is_not_asked_about_forged_keys() {
    let (mut initiator, mut responder) = pair(Suite::IkHfsChaCha, 1);
    let mut message = write(&mut initiator, b"");
    // Inside the sealed static key, behind the ephemeral and the ML-KEM key.
    message[32 + 1_200] ^= 1;
    let error = responder.read(&message, &mut [0; 64], &mut |_| panic!("asked about a forged key"));
    assert_eq!(error, Err(HandshakeError::Tag));
}

#[test]
fn an_xx_responder_learns_the_initiator_last_and_may_still_refuse() {
    let (mut initiator, mut responder) = pair(Suite::XxHfsChaCha, 1);
    read(&mut responder, &write(&mut initiator, b"")).unwrap();
    read(&mut initiator, &write(&mut responder, b"")).unwrap();
    let last = write(&mut initiator, b"");
    let refused = responder.read(&last, &mut [0; 64], &mut |_| false);
    assert_eq!(refused, Err(HandshakeError::NotAdmitted));
    assert!(!responder.is_finished());
    assert_eq!(responder.finish().err(), Some(HandshakeError::NotOver));
}

#[test]
fn a_pinned_responder_with_another_key_cannot_answer() {
    let (one, two, three) = (identity(1), identity(2), identity(3));
    for suite in Suite::ALL.into_iter().filter(|suite| suite.responder_is_known()) {
        let (mut initiator, _) = pair_of(suite, 1, &one, &two);
        let (_, mut responder) = pair_of(suite, 1, &one, &three);
        let message = write(&mut initiator, b"");
        assert_eq!(read(&mut responder, &message), Err(HandshakeError::Tag));
    }
}
