//! Records beside the cipher alone, handshakes beside their primitives and beside TLS.

mod raw;
mod tls;

use std::hint::black_box;

use moorline_noise::{Handshake, HandshakeConfig, Identity, Provider, Suite, Transport};

use crate::pairs::compare;
use crate::report::{Report, Unit};

const BODY: usize = 16 * 1024;
const HEADER: [u8; 4] = [0xc8, 0x40, 0x10, 0x1f];

pub(crate) fn run(report: &mut Report) {
    for provider in [Provider::pure(), moorline_noise_aws_lc::provider()] {
        records(report, provider);
    }
    for provider in [Provider::pure(), moorline_noise_aws_lc::provider()] {
        for suite in Suite::ALL {
            handshake(report, suite, provider);
        }
    }
    beside_tls(report);
}

/// Seal and open, beside the same cipher called without records around it.
fn records(report: &mut Report, provider: Provider) {
    for (suite, name) in [(Suite::NkHfsChaCha, "chacha"), (Suite::NkHfsAes, "aes")] {
        let (mut one, mut two) = Parties::new(suite, provider).run();
        let (mut body, mut tag) = (vec![7; BODY + 16], [0; 16]);
        let ours = || {
            one.sealer.seal(&HEADER, &mut body[..BODY], &mut tag).expect("it seals");
            body[BODY..].copy_from_slice(&tag);
            black_box(two.opener.open(&HEADER, &mut body).expect("it opens"));
        };
        let (mut raw_body, mut counter) = (vec![7; BODY], 0);
        let raw = raw::cipher(provider.name, suite.cipher());
        let baseline = || {
            raw(suite.cipher().nonce(counter), &HEADER, &mut raw_body);
            counter += 1;
        };
        let pair = compare(ours, baseline);
        let row = format!("record-16k-{name}-{}", provider.name);
        report.row("noise", &row, "cipher", Unit::GigabytesPerSecond(BODY), &pair);
    }
}

/// Both sides of a handshake, beside the key exchanges that it consists of.
fn handshake(report: &mut Report, suite: Suite, provider: Provider) {
    let parties = Parties::new(suite, provider);
    let ours = || {
        let _halves = black_box(parties.run());
    };
    let pair = compare(ours, || primitives(suite, provider));
    let row = format!("handshake-{:02x}-{}", suite.id(), provider.name);
    report.row("noise", &row, "primitives", Unit::NanosecondsPerStep(1), &pair);
}

/// What both sides of `suite` compute together: key pairs, agreements and the KEM. Hashes, key
/// derivation and the ciphers of the messages are left out, so that the sum flatters nobody.
fn primitives(suite: Suite, provider: Provider) {
    let agreements = match (suite.responder_is_known(), suite.initiator_has_key()) {
        (true, true) => 8,  // IK: es, ss, ee, se, on both sides
        (true, false) => 4, // NK: es, ee
        _ => 6,             // XX: ee, es, se
    };
    let keys = [[1; 32], [2; 32]].map(|secret| provider.dh.key(&secret));
    let public = keys[1].public();
    let mut shared = [0; 32];
    for _ in 0..agreements {
        keys[0].agree(&public, &mut shared).expect("a key of full order");
        black_box(&shared);
    }
    if suite.is_hybrid() {
        let (mut public, mut ciphertext) = ([0; 1_184], [0; 1_088]);
        let secret = provider.kem.generate(provider.rng, &mut public).expect("randomness");
        let kem = provider.kem;
        kem.encapsulate(provider.rng, &public, &mut ciphertext, &mut shared).expect("a good key");
        secret.decapsulate(&ciphertext, &mut shared).expect("a good key");
        black_box(&shared);
    }
}

/// The handshake of TLS 1.3 with the same hybrid key exchange, by rustls on aws-lc: with certificates
/// on both sides beside IK, on the server's alone beside NK.
fn beside_tls(report: &mut Report) {
    let provider = moorline_noise_aws_lc::provider();
    for (suite, mutual) in [(Suite::IkHfsAes, true), (Suite::NkHfsAes, false)] {
        let parties = Parties::new(suite, provider);
        let tls = tls::Parties::new(mutual);
        let ours = || {
            let _halves = black_box(parties.run());
        };
        let pair = compare(ours, || tls.run());
        let row = format!("handshake-{:02x}-{}", suite.id(), provider.name);
        let name = if mutual { "rustls-mutual" } else { "rustls-server" };
        report.row("noise", &row, name, Unit::NanosecondsPerStep(1), &pair);
    }
}

/// Two peers that know each other.
struct Parties {
    suite: Suite,
    provider: Provider,
    dialing: Identity,
    listening: Identity,
}

impl Parties {
    fn new(suite: Suite, provider: Provider) -> Parties {
        let generate = || Identity::generate(&provider).expect("randomness");
        Parties { suite, provider, dialing: generate(), listening: generate() }
    }

    fn run(&self) -> (Transport, Transport) {
        let &Parties { suite, provider, .. } = self;
        let config =
            |local, remote| HandshakeConfig { suite, prologue: &[0; 72], local, remote, provider };
        let local = suite.initiator_has_key().then_some(&self.dialing);
        let remote = suite.responder_is_known().then(|| self.listening.public());
        let mut initiator = Handshake::initiator(config(local, remote)).expect("all keys");
        let mut responder =
            Handshake::responder(config(Some(&self.listening), None)).expect("all keys");
        let (mut wire, mut payload) = ([0; 2_048], [0; 64]);
        while !initiator.is_finished() {
            let (writer, reader) = if initiator.is_my_turn() {
                (&mut initiator, &mut responder)
            } else {
                (&mut responder, &mut initiator)
            };
            let len = writer.write(&[0xca; 32], &mut wire).expect("its turn");
            reader.read(&wire[..len], &mut payload, &mut |_| true).expect("a genuine message");
        }
        (initiator.finish().expect("the end"), responder.finish().expect("the end"))
    }
}
