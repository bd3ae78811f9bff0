//! Peers whose first message is good, and what follows is not.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "door/strangers.rs"]
#[expect(dead_code, reason = "the door has its own tests")]
mod strangers;
mod support;

use std::time::Instant;

use moorline_protocol::{ErrorCode, Frame};
use strangers::{Door, HANDSHAKE_TIMEOUT, Knock, hello};
use support::{RawPeer, Said, run, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The answer to a first message: a NOISE unit with message 2 of IKhfs.
const ANSWER_LEN: usize = 4 + 1_184;

#[test]
fn a_first_message_alone_is_answered_and_never_confirmed() {
    run(async {
        let door = Door::open().await;
        let hello = hello(&door.url).await;
        let begun = Instant::now();
        let (heard, closed, cause) = door.answers(Knock::saying(&hello)).await;
        assert_eq!((heard.len(), cause), (ANSWER_LEN, "timeout"));
        assert!(closed >= begun + HANDSHAKE_TIMEOUT);
        let (heard, _, cause) = door.answers(Knock::saying(&hello).and_leaving()).await;
        assert_eq!((heard.len(), cause), (ANSWER_LEN, "eof"));
        door.close().await;
    });
}

#[test]
fn a_replayed_first_message_displaces_nobody() {
    run(async {
        // The original stays pending until the test goes on with it.
        let door = Door::with(10 * HANDSHAKE_TIMEOUT).await;
        let mut original = RawPeer::dial(&door.url).await;
        let hello = original.take_out();
        original.stream.write_all(&hello).await.unwrap();
        original.shake().await;
        // While it is pending a copy hears nothing, and is not even kept until its time is over.
        for _ in 0..3 {
            let begun = Instant::now();
            let closed = door.refuses(Knock::saying(&hello), "replayed").await;
            assert!(closed < begun + 5 * HANDSHAKE_TIMEOUT);
        }
        // Neither does one that was changed behind the ephemeral key, nor is the original harmed.
        let mut forged = hello.clone();
        forged[1_000] ^= 1;
        door.refuses_one_of(Knock::saying(&forged), &["crypto"]).await;
        let mut original = original.opened().await;
        // Once it has its session a copy is answered, which nobody but the original could use.
        for _ in 0..2 {
            let (heard, _, cause) = door.answers(Knock::saying(&hello).and_leaving()).await;
            assert_eq!((heard.len(), cause), (ANSWER_LEN, "eof"));
        }
        original.say(&[Frame::Ping { nonce: 1 }]).await;
        assert!(matches!(original.hear().await, Said::Other(text) if text.starts_with("Pong")));
        original.say(&[Frame::Close { code: ErrorCode(0), message: "".into() }]).await;
        assert!(matches!(original.hear().await, Said::Close(..)));
        drop(original);
        door.close().await;
    });
}

/// Whoever sees a first message can send another one with the same ephemeral key ahead of it.
#[test]
fn a_forged_first_message_does_not_keep_the_genuine_one_out() {
    run(async {
        let door = Door::open().await;
        for _ in 0..5 {
            let mut genuine = RawPeer::dial(&door.url).await;
            let hello = genuine.take_out();
            let mut forged = hello.clone();
            *forged.last_mut().unwrap() ^= 1;
            let forgeries = (0..16).map(|_| door.refuses(Knock::saying(&forged), "crypto"));
            let shaken = async {
                genuine.stream.write_all(&hello).await.unwrap();
                genuine.shake().await;
            };
            tokio::join!(strangers::at_once(forgeries), shaken);
            drop(genuine);
            door.next_cause().await;
        }
        door.close().await;
    });
}

#[test]
fn what_follows_the_handshake_must_be_a_setup_that_verifies() {
    run(async {
        let door = Door::open().await;
        for (bytes, cause) in [
            // Above 2,048 bytes, shorter than a tag, not a record, a record that nobody sealed.
            ([&[0xc8, 0x08, 0x01, 0x1f][..], &[7; 100]].concat(), "first_record"),
            (vec![0xc8, 0x00, 0x10, 0x1f], "first_record"),
            ([&[0xc8, 0x00, 0x20, 0x1d][..], &[7; 32]].concat(), "misplaced"),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "misplaced"),
            ([&[0xc8, 0x00, 0x20, 0x1f][..], &[7; 32]].concat(), "crypto"),
        ] {
            let mut peer = RawPeer::dial(&door.url).await;
            let hello = peer.take_out();
            peer.stream.write_all(&hello).await.unwrap();
            peer.shake().await;
            peer.stream.write_all(&bytes).await.unwrap();
            let mut heard = Vec::new();
            let _ = within(peer.stream.read_to_end(&mut heard)).await;
            assert!(heard.is_empty(), "nothing is sent ({cause})");
            assert_eq!(door.next_cause().await, cause);
        }
        door.close().await;
    });
}

#[test]
fn a_flipped_bit_in_the_setup_is_refused() {
    run(async {
        let door = Door::open().await;
        for bit in [0, 3, 7] {
            for from_end in [1, 16, 17, 30] {
                let mut peer = RawPeer::dial(&door.url).await;
                let hello = peer.take_out();
                peer.stream.write_all(&hello).await.unwrap();
                peer.shake().await;
                let mut setup = peer.take_out();
                let at = setup.len() - from_end;
                setup[at] ^= 1 << bit;
                peer.stream.write_all(&setup).await.unwrap();
                let mut heard = Vec::new();
                let _ = within(peer.stream.read_to_end(&mut heard)).await;
                assert!(heard.is_empty());
                assert_eq!(door.next_cause().await, "crypto");
            }
        }
        door.close().await;
    });
}
