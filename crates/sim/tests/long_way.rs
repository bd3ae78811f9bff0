//! A long way with much bandwidth: windows grow until they are not what holds a stream back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use moorline_sim::{Link, Pair};
use support::{Feed, Piece};

const ONE_WAY: Duration = Duration::from_millis(50);
const PIECE: usize = 16_000;

/// How long so many pieces take, from the opening of a stream to its end.
fn transfer(pieces: u64) -> Duration {
    let link = Link::chunks(1..=256 * 1024).delay(ONE_WAY).buffer(64 << 20);
    let mut pair = Pair::seeded(1).plain().link(link);
    pair.b().handle_stream(|_, feed: Feed, mut stream| async move {
        let mut count = 0;
        while let Ok(Some(Piece(number, _))) = stream.recv().await {
            assert_eq!(number, count);
            count += 1;
        }
        assert_eq!(count, feed.0);
        let _ = stream.finish();
    });
    let session = pair.connect().unwrap();
    let begun = pair.clock().passed();
    let all = async move {
        let mut stream = session.open(&Feed(pieces)).unwrap();
        for number in 0..pieces {
            stream.send_wait(&Piece(number, vec![7; PIECE])).await.unwrap();
        }
        stream.finish().unwrap();
        stream.recv().await
    };
    assert_eq!(pair.run_until(all), Ok(None));
    let took = pair.clock().passed() - begun;
    pair.finish();
    took
}

//= docs/PROTOCOL.md#8
#[test]
fn windows_grow_with_the_way() {
    let (pieces, first_window) = (4_000, 256 * 1024);
    let bytes = u32::try_from(pieces * PIECE as u64).unwrap();
    let by_the_first_window = 2 * ONE_WAY * (bytes / first_window);
    let took = transfer(pieces);
    assert!(took * 4 < by_the_first_window, "{took:?}, {by_the_first_window:?} had it not grown");
}
