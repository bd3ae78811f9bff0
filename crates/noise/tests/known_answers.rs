//! The hybrid XX suite against published and independently computed figures.
//!
//! With base `b`, every byte of the initiator's static key is `b + 1`, of the responder's `b + 2`, of
//! the ephemeral keys `b + 3` and `b + 4`; the seed of the ML-KEM key is 64 times `b + 5`, the
//! randomness of the encapsulation 32 times `b + 6`. Prologue and payloads are empty. The lines of
//! `0x10` and `0x50` are vectors of the libp2p hybrid draft.

#![expect(clippy::unwrap_used, reason = "a failure here is the failure of the test that called")]

mod dialogue;

use data_encoding::HEXLOWER;
use dialogue::{Scripted, identity, seal, write};
use moorline_noise::provider::Cipher;
use moorline_noise::{Handshake, HandshakeConfig, Provider, Suite};
use sha2::{Digest, Sha256};

struct Answer {
    base: u8,
    hash: &'static str,
    forth: &'static str,
    back: &'static str,
    messages: &'static str,
}

#[rustfmt::skip]
const ANSWERS: [Answer; 5] = [
    Answer {
        base: 0x10,
        hash: "b5a3c9854777aa5dad0a633c769bcc6662713f20f14e0371e4bfd253e1869eef",
        forth: "0a825d67cbf14170dcccf6f5c54d50f46a9a23541122654f5bec41ef0a5657e5",
        back: "f8546817671a440fd8df45b26fd6b45ebbf39e4207455ca12bc6d56ac0b35ebc",
        messages: "e283c02e3ee8341f87bc2f274df2e9bffedacca41e132a6bee9b8865422b3160",
    },
    Answer {
        base: 0x20,
        hash: "50e755712c5868f17eff3cb04fce684b6401fc59fa491f16c18af1f8d69fdf5d",
        forth: "aa143be94bcfb2ebb59fd99e0f1c71cae2d4754ca3fe0e7b898e0a7ddda5ea6c",
        back: "fb1f9bc96bdba7cd9c437a573944abafbfcda24bc474a9495d23645db7db393d",
        messages: "40b109c9ab80467b5f7e1a7c1d30a7e791660f5702bc84f184f92890dbad173e",
    },
    Answer {
        base: 0x30,
        hash: "1c7ed2de225611fde19364a9185cba5b3a57253af0ae6200f289527b6c4484db",
        forth: "42922fb7bab1dde089f464e9bc525f99f272447f0e9a7948bcd8ba929d5cc4da",
        back: "3cacd98adce72d5fe65927e8df29d394c76c566b7619f696a038d0ad833b64cd",
        messages: "875a2eb56d914aa2be0b26e0fef5ab4918dd11169e68357f89bf22c31c8a50d1",
    },
    Answer {
        base: 0x40,
        hash: "770351da42cebf58ba52b9a49d7c991dd870c42130fe2e41ef499f8547237c26",
        forth: "4dc6ea657c1179d9cd83adfa2ad004e5b808682d531b72ee6b1548c4c584eb19",
        back: "2097e5211c3d8e0edaa9be75542691cb5681276ba2ef0995a9e85b7e23fff4bc",
        messages: "4694916187fc7bcce5a8b30a5599a88db316d3c90420da33bb908cc2271d5862",
    },
    Answer {
        base: 0x50,
        hash: "1a4caf599d82b7de6605d8f20745e05067fa4f0d6ee755bc1382775b6e3890e4",
        forth: "79552abe46606dbbd83160a07c7be1ef18416c0d232139d49e123ef421ebd2ac",
        back: "f87b71e7a2c37470959b6a4baa762c82458fa011446ea1ed50047ca8de58e883",
        messages: "07cd9bab7e5388ca29412a1be857938dc80a01057fc64f6514c57ffe1dede6f3",
    },
];

//= docs/PROTOCOL.md#2
#[test]
fn the_hybrid_xx_suite_gives_the_known_answers() {
    for answer in &ANSWERS {
        let base = answer.base;
        let (one, two) = (identity(base + 1), identity(base + 2));
        let config = |local, script: Vec<u8>| HandshakeConfig {
            suite: Suite::XxHfsChaCha,
            prologue: b"",
            local: Some(local),
            remote: None,
            provider: Scripted::written(script),
        };
        let ours = [vec![base + 3; 32], vec![base + 5; 64]].concat();
        let theirs = [vec![base + 4; 32], vec![base + 6; 32]].concat();
        let mut initiator = Handshake::initiator(config(&one, ours)).unwrap();
        let mut responder = Handshake::responder(config(&two, theirs)).unwrap();

        let mut messages = Sha256::new();
        let mut sizes = Vec::new();
        for turn in 0..3 {
            let (writer, reader) = if turn == 1 {
                (&mut responder, &mut initiator)
            } else {
                (&mut initiator, &mut responder)
            };
            let message = write(writer, b"");
            dialogue::read(reader, &message).unwrap();
            messages.update(&message);
            sizes.push(message.len());
        }
        assert_eq!(sizes, [1216, 1200, 64]);
        assert_eq!(HEXLOWER.encode(&messages.finalize()), answer.messages);

        let (mut initiator, mut responder) =
            (initiator.finish().unwrap(), responder.finish().unwrap());
        assert_eq!(HEXLOWER.encode(&initiator.binding), answer.hash);
        assert_eq!(HEXLOWER.encode(&responder.binding), answer.hash);
        assert_eq!(seal(&mut initiator, b"body"), sealed_under(answer.forth));
        assert_eq!(seal(&mut responder, b"body"), sealed_under(answer.back));
    }
}

/// What the first record with `body` in it is under this key. Keys themselves cannot be looked at.
fn sealed_under(key: &str) -> Vec<u8> {
    let key = HEXLOWER.decode(key.as_bytes()).unwrap().try_into().unwrap();
    let (mut body, mut tag) = (b"body".to_vec(), [0; 16]);
    let nonce = Cipher::ChaCha20Poly1305.nonce(0);
    let context = Provider::pure().aead.context(Cipher::ChaCha20Poly1305, &key);
    context.seal(&nonce, b"", &mut body, &mut tag).unwrap();
    [&body[..], &tag].concat()
}
