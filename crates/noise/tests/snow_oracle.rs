//! Every suite in both roles against snow: four sides at once, two of ours and two of snow's, with
//! the same keys and the same randomness. Each message must be the same bytes whoever writes it, and
//! each reader gets the message of the other implementation.
#![expect(clippy::unwrap_used, reason = "a failure here is the failure of the test that called")]

mod dialogue;
mod oracle;

use dialogue::{Scripted, all, identity, next_byte};
use moorline_noise::{Handshake, HandshakeConfig, Provider, Role, Suite, Transport};
use oracle::Oracle;
use snow::{HandshakeState, TransportState};

#[test]
fn every_suite_agrees_with_snow_in_both_roles() {
    run(0..1_017);
}

#[test]
#[ignore = "takes a minute; the same as above with other figures"]
fn every_suite_agrees_with_snow_in_both_roles_ten_thousand_times() {
    run(1_017..11_017);
}

fn run(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let suite = Suite::ALL[usize::try_from(seed).unwrap() % Suite::ALL.len()];
        let mut draw = Draw(seed.wrapping_mul(0x0123_4567_89ab_cdef));
        let (mut initiators, mut responders) = four_sides(suite, &mut draw);
        for index in 0..suite.messages() {
            let payload = draw.bytes(512);
            let (writers, readers) = if index % 2 == 0 {
                (&mut initiators, &mut responders)
            } else {
                (&mut responders, &mut initiators)
            };
            exchange(writers, readers, index, &payload, &format!("seed {seed}, {suite}, {index}"));
        }
        let context = format!("seed {seed}, {suite}");
        let (mut initiators, mut responders) = (initiators.finish(), responders.finish());
        assert_eq!(initiators.ours.binding, responders.ours.binding, "{context}");
        for _epoch in 0..3 {
            for _record in 0..3 {
                records_agree(&mut initiators, &mut responders, &mut draw, &context);
                records_agree(&mut responders, &mut initiators, &mut draw, &context);
            }
            initiators.rekey_sending(&mut responders);
            responders.rekey_sending(&mut initiators);
        }
    }
}

/// One role, twice.
struct Both {
    ours: Handshake,
    snow: HandshakeState,
}

fn four_sides(suite: Suite, draw: &mut Draw) -> (Both, Both) {
    let prologue = draw.bytes(100);
    let (initiator_key, responder_key) = (draw.byte() | 1, draw.byte() & 0xfe);
    let (initiator, responder) = (identity(initiator_key), identity(responder_key));
    let both = |role, seed| {
        let (local, key) = match role {
            Role::Initiator => {
                let has = suite.initiator_has_key();
                (has.then_some(&initiator), has.then_some([initiator_key; 32]))
            }
            Role::Responder => (Some(&responder), Some([responder_key; 32])),
        };
        let dials_known = role == Role::Initiator && suite.responder_is_known();
        let remote = dials_known.then(|| responder.public());
        let provider = Scripted::seeded(seed);
        let config = HandshakeConfig { suite, prologue: &prologue, local, remote, provider };
        let ours = match role {
            Role::Initiator => Handshake::initiator(config).unwrap(),
            Role::Responder => Handshake::responder(config).unwrap(),
        };
        let (local, remote) = (key.as_ref(), remote.as_ref().map(|key| key.as_bytes()));
        let snow = Oracle { suite, role, prologue: &prologue, local, remote, seed }.build();
        Both { ours, snow }
    };
    let seeds = (draw.0 ^ 0x5555, draw.0 ^ 0xaaaa);
    (both(Role::Initiator, seeds.0), both(Role::Responder, seeds.1))
}

fn exchange(writers: &mut Both, readers: &mut Both, index: usize, payload: &[u8], context: &str) {
    let (mut ours, mut snow) = (vec![0; 4_096], vec![0; 4_096]);
    let len = writers.ours.write(payload, &mut ours).unwrap();
    ours.truncate(len);
    let len = writers.snow.write_message(payload, &mut snow).unwrap();
    snow.truncate(len);
    assert_eq!(ours, snow, "{context}");
    assert_eq!(len, writers.ours.suite().message_len(index, payload.len()), "{context}");

    let mut read = vec![0; 4_096];
    let len = readers.ours.read(&snow, &mut read, &mut all).unwrap();
    assert_eq!(read[..len], *payload, "{context}");
    let len = readers.snow.read_message(&ours, &mut read).unwrap();
    assert_eq!(read[..len], *payload, "{context}");
}

/// Both transports of one role.
struct Open {
    ours: Transport,
    snow: TransportState,
}

impl Both {
    fn finish(self) -> Open {
        assert!(self.ours.is_finished() && self.snow.is_handshake_finished());
        let hash = self.snow.get_handshake_hash().to_vec();
        let remote = self.snow.get_remote_static().map(<[u8]>::to_vec);
        let ours = self.ours.finish().unwrap();
        assert_eq!(ours.binding, *hash);
        assert_eq!(ours.remote.map(|key| key.as_bytes().to_vec()), remote);
        Open { ours, snow: self.snow.into_transport_mode().unwrap() }
    }
}

impl Open {
    fn rekey_sending(&mut self, to: &mut Open) {
        self.ours.sealer.rekey();
        self.snow.rekey_outgoing();
        to.ours.opener.rekey();
        to.snow.rekey_incoming();
    }
}

/// Equal records mean equal keys, nonces and cipher.
fn records_agree(from: &mut Open, to: &mut Open, draw: &mut Draw, context: &str) {
    let mut body = draw.bytes(300);
    body.push(7);
    let mut sealed = vec![0; body.len() + 16];
    let len = from.snow.write_message(&body, &mut sealed).unwrap();
    assert_eq!(len, sealed.len());
    assert_eq!(dialogue::seal(&mut from.ours, &body), sealed, "{context}");

    let mut opened = vec![0; sealed.len()];
    to.snow.read_message(&sealed, &mut opened).unwrap();
    let len = to.ours.opener.open(b"", &mut sealed).unwrap();
    assert_eq!(sealed[..len], *body, "{context}");
}

/// Figures that follow from a seed.
struct Draw(u64);

impl Draw {
    fn byte(&mut self) -> u8 {
        next_byte(&mut self.0)
    }

    /// Up to `max` bytes, now and then none.
    fn bytes(&mut self, max: usize) -> Vec<u8> {
        let len = (usize::from(self.byte()) << 8 | usize::from(self.byte())) % (max + 1);
        let len = if self.byte() < 32 { 0 } else { len };
        (0..len).map(|_| self.byte()).collect()
    }
}

/// The prologue, the name and both static keys are in the transcript: each of them must matter.
#[test]
fn sides_that_differ_in_the_prologue_never_agree() {
    let (one, two) = (identity(1), identity(2));
    for suite in Suite::ALL {
        let config = |prologue, local, remote| HandshakeConfig {
            suite,
            prologue,
            local,
            remote,
            provider: Provider::pure(),
        };
        let local = suite.initiator_has_key().then_some(&one);
        let remote = suite.responder_is_known().then(|| two.public());
        let mut initiator = Handshake::initiator(config(b"here", local, remote)).unwrap();
        let mut responder = Handshake::responder(config(b"there", Some(&two), None)).unwrap();
        let first = dialogue::write(&mut initiator, b"");
        let mut refused = dialogue::read(&mut responder, &first).is_err();
        if !refused {
            let second = dialogue::write(&mut responder, b"");
            refused = dialogue::read(&mut initiator, &second).is_err();
        }
        assert!(refused, "{suite}");
    }
}
