//! Streams: pieces go up, the number of each comes down, and an end is an end only if nothing is
//! missing before it.

use moorline_session::{SessionRef, Stream};

use crate::ledger::{Shared, Waiting};
use crate::support::{Feed, Piece};

/// What a stream is to carry.
pub(crate) struct Plan {
    pub(crate) pieces: u64,
    pub(crate) len: usize,
    pub(crate) priority: u8,
    /// Each piece waits until the other side has taken the one before.
    pub(crate) acked: bool,
}

/// The side that opens the stream.
pub(crate) async fn feed(session: SessionRef, plan: Plan, waiting: Waiting) {
    let Plan { pieces, len, priority, acked } = plan;
    let Ok(mut stream) = session.open_with_priority(priority, &Feed(pieces)) else { return };
    for number in 0..pieces {
        let piece = Piece(number, vec![3; len]);
        let sent =
            if acked { stream.send_acked(&piece).await } else { stream.send_wait(&piece).await };
        if sent.is_err() {
            return;
        }
    }
    if stream.finish().is_err() {
        return;
    }
    let mut next = 0;
    while let Ok(number) = stream.recv().await {
        let Some(number) = number else {
            assert_eq!(next, pieces, "a stream ends before everything was answered");
            waiting.0.borrow_mut().stream_done();
            return;
        };
        assert_eq!(number, next, "answers on a stream come in order");
        next += 1;
    }
}

/// The side that takes it.
pub(crate) async fn answer(feed: Feed, mut stream: Stream<u64, Piece>, ledger: Shared) {
    let _waiting = Waiting::begin(&ledger);
    let mut next = 0;
    while let Ok(piece) = stream.recv().await {
        let Some(piece) = piece else {
            assert_eq!(next, feed.0, "a stream ends before everything has come");
            let _ = stream.finish();
            return;
        };
        assert_eq!(piece.0, next, "pieces of a stream come in order, each of them once");
        assert!(piece.1.iter().all(|byte| *byte == 3), "a piece is what was sent");
        next += 1;
        if stream.send_wait(&piece.0).await.is_err() {
            return;
        }
    }
}
