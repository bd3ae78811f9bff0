//! What a message takes of memory that claims more than it is. An allocator that counts by thread
//! knows, so both sides run on this one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "hostile_peer/scene.rs"]
#[expect(dead_code, reason = "the scene has its own tests")]
mod scene;
mod support;

use moorline::ErrorCode;
use scene::{Scene, post, request};
use support::{Nest, Note, RawPeer, Said, Score};
use tokio::runtime::{Builder, Runtime};

const BOMB_LEN: usize = 5_000;

/// How much memory handling a bomb may take, in bytes for each of its own.
const SHARE_MAX: u64 = 64;

/// Bytes that were allocated at once, at most, while the peer said it and until it was answered.
fn peak_of(runtime: &Runtime, scene: &mut Scene, peer: &mut RawPeer, bomb: &[u8]) -> u64 {
    let round = async {
        // A type that follows it, one that skips it, and one that nobody handles.
        peer.say(&[request::<Nest>(1, bomb)]).await;
        assert!(matches!(peer.hear().await, Said::Error(1, ErrorCode::DECODE)));
        let skipped = [&[0x93, 0x01, 0xa1, b'x'][..], bomb].concat();
        peer.say(&[post::<Note>(&skipped)]).await;
        assert_eq!(scene.dropped.next().await.code, ErrorCode::DECODE);
        peer.say(&[post::<Score>(bomb)]).await;
        assert_eq!(scene.dropped.next().await.message, Some("e2e.Score"));
    };
    allocation_counter::measure(|| runtime.block_on(support::within(round))).bytes_max
}

/// `unit` again and again, up to the length of a bomb.
fn bomb(unit: &[u8]) -> Vec<u8> {
    unit.iter().copied().cycle().take(BOMB_LEN).collect()
}

#[test]
fn the_allocator_counts() {
    let held = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8; 100_000])));
    assert!(held.bytes_max >= 100_000);
}

#[test]
fn no_bomb_takes_more_than_64_times_its_bytes() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for protocol in ["msgpack", "msgpack-plain"] {
        let (mut scene, mut peer) = runtime.block_on(async {
            let scene = Scene::set(protocol).await;
            let peer = RawPeer::open(&scene.url).await;
            (scene, peer)
        });
        for unit in [
            &[0x91][..],                     // arrays of one array
            &[0x9f],                         // of fifteen
            &[0xdc, 0xff, 0xff],             // of 65,535 of which none is there
            &[0xdc, 0x03, 0xe8],             // of no more than bytes remain, at first
            &[0xdd, 0x00, 0x00, 0x03, 0xe8], // likewise, the long way
            &[0x81, 0x00],                   // maps
        ] {
            let bomb = bomb(unit);
            let peak = peak_of(&runtime, &mut scene, &mut peer, &bomb);
            assert!(peak > 0, "something was counted");
            assert!(peak < SHARE_MAX * BOMB_LEN as u64, "{unit:02x?} took {peak} bytes");
            println!("{protocol}, {unit:02x?}: {peak} bytes at once");
        }
        runtime.block_on(support::within(scene.peer_goes_on(&mut peer)));
    }
}
