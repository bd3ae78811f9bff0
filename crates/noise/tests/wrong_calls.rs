//! Mistakes of the calling program, and a system without randomness: errors, and nothing changed.

mod dialogue;

use std::sync::atomic::{AtomicUsize, Ordering};

use dialogue::{Scripted, identity, pair, read, run, write};
use moorline_noise::provider::{RandomError, Rng};
use moorline_noise::{
    Blame, Exporter, Handshake, HandshakeConfig, HandshakeError, Identity, Opener, Provider,
    Sealer, Suite, Transport,
};

#[test]
fn what_a_suite_needs_must_be_there() {
    let me = identity(1);
    let bare = |suite| HandshakeConfig {
        suite,
        prologue: b"",
        local: None,
        remote: None,
        provider: Provider::pure(),
    };
    for suite in Suite::ALL {
        let error = Handshake::responder(bare(suite)).err();
        assert_eq!(error, Some(HandshakeError::IdentityMissing));
        let error = Handshake::initiator(bare(suite)).err();
        let expected = if suite.responder_is_known() {
            HandshakeError::RemoteMissing
        } else {
            HandshakeError::IdentityMissing
        };
        assert_eq!(error, Some(expected));
        let remote = Some(me.public());
        let error = Handshake::initiator(HandshakeConfig { remote, ..bare(suite) }).err();
        let expected = suite.initiator_has_key().then_some(HandshakeError::IdentityMissing);
        assert_eq!(error, expected);
    }
}

#[test]
fn a_call_out_of_turn_is_refused_and_changes_nothing() {
    let (mut initiator, mut responder) = pair(Suite::IkHfsChaCha, 1);
    let mut out = [0; 4_096];
    assert_eq!(responder.write(b"", &mut out), Err(HandshakeError::Turn));
    assert_eq!(read(&mut initiator, &[0; 1_184]), Err(HandshakeError::Turn));
    read(&mut responder, &write(&mut initiator, b"")).unwrap();
    assert_eq!(initiator.write(b"", &mut out), Err(HandshakeError::Turn));
    read(&mut initiator, &write(&mut responder, b"")).unwrap();
    assert_eq!(initiator.write(b"", &mut out), Err(HandshakeError::Over));
    assert_eq!(read(&mut responder, &[0; 80]), Err(HandshakeError::Over));
    assert!(!initiator.is_my_turn() && !responder.is_my_turn());
    let (ours, theirs) = run(initiator, responder);
    assert_eq!(ours.binding, theirs.binding);
}

#[test]
fn buffers_are_checked_before_anything_is_done() {
    let (mut initiator, mut responder) = pair(Suite::IkHfsChaCha, 2);
    let mut short = [0; 1_327];
    let error = initiator.write(&[0; 32], &mut short).unwrap_err();
    assert_eq!(error, HandshakeError::Buffer { needed: 1_328, given: 1_327 });
    assert_eq!(short, [0; 1_327]);
    let error = initiator.write(&[0; 65_000], &mut vec![0; 70_000]).unwrap_err();
    assert_eq!(error, HandshakeError::TooLong(66_296));
    assert_eq!(error.blame(), Blame::Caller);

    let message = write(&mut initiator, &[0; 32]);
    let error = responder.read(&message, &mut [0; 31], &mut dialogue::all).unwrap_err();
    assert_eq!(error, HandshakeError::Buffer { needed: 32, given: 31 });
    read(&mut responder, &message).unwrap();
}

#[test]
fn without_randomness_nothing_is_made_and_nothing_changes() {
    assert_eq!(Identity::generate(&Scripted::written(vec![])).err(), Some(RandomError));
    let (me, you) = (identity(1), identity(2));
    let rng: &'static Faltering = Box::leak(Box::new(Faltering(AtomicUsize::new(0))));
    let config = |local, remote, provider| HandshakeConfig {
        suite: Suite::IkHfsChaCha,
        prologue: b"",
        local: Some(local),
        remote,
        provider,
    };
    let falters = Provider { rng, ..Provider::pure() };
    let mut initiator = Handshake::initiator(config(&me, Some(you.public()), falters)).unwrap();
    let error = initiator.write(b"", &mut [0; 4_096]).unwrap_err();
    assert_eq!((error, error.blame()), (HandshakeError::Random(RandomError), Blame::System));
    assert!(initiator.is_my_turn());

    let mut responder = Handshake::responder(config(&you, None, Provider::pure())).unwrap();
    read(&mut responder, &write(&mut initiator, b"")).unwrap();
}

/// Has nothing the second time it is asked: for the ML-KEM key, after the ephemeral one is made.
struct Faltering(AtomicUsize);

impl Rng for Faltering {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            1 => Err(RandomError),
            _ => Provider::pure().rng.fill(out),
        }
    }
}

#[test]
fn everything_can_go_to_another_thread() {
    fn sends<T: Send + 'static>() {}
    fn shares<T: Sync>() {}
    sends::<Handshake>();
    sends::<Transport>();
    sends::<Sealer>();
    sends::<Opener>();
    shares::<Identity>();
    shares::<Provider>();
}

/// For a type that is `Clone`, both implementations fit and the call below does not compile.
trait SingleCopy<Marker> {
    fn there_is_one() {}
}

impl<T> SingleCopy<()> for T {}

impl<T: Clone> SingleCopy<u8> for T {}

#[test]
fn what_holds_a_secret_cannot_be_copied() {
    <Identity as SingleCopy<_>>::there_is_one();
    <Handshake as SingleCopy<_>>::there_is_one();
    <Transport as SingleCopy<_>>::there_is_one();
    <Sealer as SingleCopy<_>>::there_is_one();
    <Opener as SingleCopy<_>>::there_is_one();
    <Exporter as SingleCopy<_>>::there_is_one();
}

#[test]
fn debug_never_shows_a_key() {
    let (initiator, responder) = pair(Suite::IkHfsChaCha, 3);
    let text = format!("{initiator:?}");
    assert_eq!(text, "Handshake { suite: IkHfsChaCha, role: Initiator, next_message: 0, .. }");
    let (transport, _) = run(initiator, responder);
    let text = format!("{transport:?} {:?} {:?}", transport.sealer, transport.exporter);
    assert!(text.contains("records: 0") && !text.contains("binding"), "{text}");
}
