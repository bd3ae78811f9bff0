//! Peers between their first message and their first record, and whoever sees those go by. One test
//! for each kind is in `state_table.rs`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "door/strangers.rs"]
#[expect(dead_code, reason = "the door has its own tests")]
mod strangers;
mod support;

use strangers::{Door, Knock};
use support::{RawPeer, run, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
