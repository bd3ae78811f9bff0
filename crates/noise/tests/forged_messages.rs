//! Messages that somebody altered on the way, and what they leave behind: nothing.
#![expect(clippy::unwrap_used, reason = "a failure here is the failure of the test that called")]

mod dialogue;

use dialogue::{all, next_byte, pair, read, write};
use moorline_noise::{Blame, Handshake, HandshakeError, Suite};
use proptest::prelude::*;

/// Every bit of every message is flipped, and each time the reader must refuse and be able to read
/// the genuine message all the same.
#[test]
fn no_flipped_bit_of_suite_01_is_read_and_none_spoils_the_genuine_message() {
    no_flipped_bit_is_read(Suite::IkHfsChaCha);
}

#[test]
fn no_flipped_bit_of_suite_21_is_read_and_none_spoils_the_genuine_message() {
    no_flipped_bit_is_read(Suite::IkHfsAes);
}

#[test]
fn no_flipped_bit_of_suite_03_is_read_and_none_spoils_the_genuine_message() {
    no_flipped_bit_is_read(Suite::NkHfsChaCha);
}

fn no_flipped_bit_is_read(suite: Suite) {
    let (mut initiator, mut responder) = pair(suite, 1);
    let first = write(&mut initiator, &[0x11; 32]);
    refuses_every_flip(&mut responder, &first, 1);
    let second = write(&mut responder, &[0x22; 32]);
    refuses_every_flip(&mut initiator, &second, 1);
    assert!(initiator.is_finished() && responder.is_finished());
    let (ours, theirs) = (initiator.finish().unwrap(), responder.finish().unwrap());
    assert_eq!(ours.binding, theirs.binding);
}

/// Message 1 of suite 02 is clear text, so a flip there may be read; the answer to it is then refused.
#[test]
fn no_flipped_bit_of_suite_02_gives_a_session() {
    let suite = Suite::XxHfsChaCha;
    let (mut initiator, _) = pair(suite, 1);
    let first = write(&mut initiator, b"");
    let (mut read_anyway, mut refused) = (0, 0);
    for bit in 0..first.len() * 8 {
        let (_, mut responder) = pair(suite, 1);
        let mut forged = first.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        if read(&mut responder, &forged).is_err() {
            refused += 1;
            continue;
        }
        read_anyway += 1;
        let answer = write(&mut responder, b"");
        assert_eq!(read(&mut initiator, &answer), Err(HandshakeError::Tag), "bit {bit}");
    }
    // What is refused at once is outside the modulus of ML-KEM.
    assert!(refused > 0 && read_anyway > refused, "{refused} and {read_anyway}");

    let (_, mut responder) = pair(suite, 1);
    read(&mut responder, &first).unwrap();
    let second = write(&mut responder, &[0x22; 32]);
    refuses_every_flip(&mut initiator, &second, 1);
    let third = write(&mut initiator, &[0x33; 32]);
    refuses_every_flip(&mut responder, &third, 1);
    let (ours, theirs) = (initiator.finish().unwrap(), responder.finish().unwrap());
    assert_eq!(ours.binding, theirs.binding);
}

/// Message 1 of IK and NK begins with a Diffie-Hellman, so all of it is authenticated.
#[test]
fn the_other_known_responder_suites_refuse_flips_alike() {
    for suite in Suite::ALL.into_iter().filter(|suite| suite.responder_is_known()) {
        let (mut initiator, mut responder) = pair(suite, 2);
        let first = write(&mut initiator, b"payload");
        refuses_every_flip(&mut responder, &first, 37);
        let second = write(&mut responder, b"payload");
        refuses_every_flip(&mut initiator, &second, 37);
    }
}

fn refuses_every_flip(reader: &mut Handshake, genuine: &[u8], step: usize) {
    let mut payload = vec![0; genuine.len()];
    for bit in (0..genuine.len() * 8).step_by(step) {
        let mut forged = genuine.to_vec();
        forged[bit / 8] ^= 1 << (bit % 8);
        let error = reader.read(&forged, &mut payload, &mut all).unwrap_err();
        assert_eq!(error.blame(), Blame::Peer, "bit {bit}: {error}");
        assert!(!reader.is_my_turn() && !reader.is_finished());
    }
    reader.read(genuine, &mut payload, &mut all).unwrap();
}

/// Message 1 of XX is clear text. A flip there is found when the answer comes, at the latest.
#[test]
fn a_flip_in_any_message_of_any_suite_never_gives_a_session() {
    for suite in Suite::ALL {
        for index in 0..suite.messages() {
            for step in 0..12 {
                flipped_session(suite, index, step);
            }
        }
    }
}

fn flipped_session(suite: Suite, flipped: usize, step: usize) {
    let (mut initiator, mut responder) = pair(suite, 3);
    for index in 0..suite.messages() {
        let (writer, reader) = if index % 2 == 0 {
            (&mut initiator, &mut responder)
        } else {
            (&mut responder, &mut initiator)
        };
        let mut message = write(writer, b"x");
        if index == flipped {
            let bit = message.len() * 8 * step / 12;
            message[bit / 8] ^= 1 << (bit % 8);
        }
        if read(reader, &message).is_err() {
            return;
        }
    }
    panic!("{suite}: a session in spite of a flip in message {flipped}");
}

#[test]
fn messages_of_any_wrong_length_are_refused_and_spoil_nothing() {
    for suite in Suite::ALL {
        let (mut initiator, mut responder) = pair(suite, 4);
        let genuine = write(&mut initiator, b"");
        for len in (0..genuine.len()).step_by(13) {
            let error = read(&mut responder, &genuine[..len]).unwrap_err();
            assert_eq!(error, HandshakeError::Length { len, min: genuine.len() });
        }
        let long = vec![0; 65_536];
        assert!(matches!(read(&mut responder, &long), Err(HandshakeError::Length { .. })));
        let reads_more = read(&mut responder, &[&genuine[..], b"more"].concat());
        // What follows the tokens of message 1 of XX is its payload, in the clear.
        let payload_is_clear = !suite.responder_is_known();
        assert_eq!(reads_more.is_ok(), payload_is_clear);
        if !payload_is_clear {
            read(&mut responder, &genuine).unwrap();
        }
    }
}

#[test]
fn a_message_of_another_session_or_suite_is_refused() {
    let (_, mut responder) = pair(Suite::IkHfsChaCha, 5);
    let (mut other, _) = pair(Suite::IkHfsAes, 5);
    let message = write(&mut other, b"");
    assert_eq!(read(&mut responder, &message), Err(HandshakeError::Tag));

    let (mut initiator, mut responder) = pair(Suite::IkHfsChaCha, 6);
    let (mut earlier, mut answering) = pair(Suite::IkHfsChaCha, 7);
    read(&mut answering, &write(&mut earlier, b"")).unwrap();
    let answer = write(&mut answering, b"");
    read(&mut responder, &write(&mut initiator, b"")).unwrap();
    assert_eq!(read(&mut initiator, &answer), Err(HandshakeError::Tag));
    read(&mut initiator, &write(&mut responder, b"")).unwrap();
}

/// What was read of a payload whose tag fails is not left for the caller to find.
#[test]
fn a_refused_payload_leaves_no_trace() {
    for suite in [Suite::IkHfsChaCha, Suite::IkHfsAes] {
        let (mut initiator, mut responder) = pair(suite, 8);
        let mut message = write(&mut initiator, &[0x55; 64]);
        *message.last_mut().unwrap() ^= 1;
        let mut payload = [0xee; 64];
        let error = responder.read(&message, &mut payload, &mut all).unwrap_err();
        assert_eq!((error, payload), (HandshakeError::Tag, [0; 64]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever bytes come, at whatever point, nothing panics, and the genuine message is read after.
    #[test]
    fn garbage_is_refused_at_every_point(
        suite in prop::sample::select(&Suite::ALL[..]),
        seed: u64,
        extra in 0_usize..70,
        room in 0_usize..70,
    ) {
        let (mut initiator, mut responder) = pair(suite, seed);
        for index in 0..suite.messages() {
            let (writer, reader) = if index % 2 == 0 {
                (&mut initiator, &mut responder)
            } else {
                (&mut responder, &mut initiator)
            };
            let genuine = write(writer, b"");
            if index > 0 || suite.responder_is_known() {
                let mut state = seed;
                let len = genuine.len() + extra;
                let garbage: Vec<u8> = (0..len).map(|_| next_byte(&mut state)).collect();
                prop_assert!(reader.read(&garbage, &mut vec![0; room], &mut all).is_err());
            }
            prop_assert!(read(reader, &genuine).is_ok());
        }
        prop_assert!(initiator.is_finished() && responder.is_finished());
    }
}
