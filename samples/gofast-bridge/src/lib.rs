//! A board of scores that peers of two worlds share: ours over `msgpack`, sealed, and gofast's in clear.
//! The handlers are written once and do not know which one calls.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use moorline::{Identity, Peers, Service, Stream, register_message};
use serde::{Deserialize, Serialize};

/// Somebody has scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scored {
    /// Who.
    pub player: String,
    /// How much.
    pub points: u64,
}

/// Asks for the score of a player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Whose.
    pub player: String,
}

/// A score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// 0 for who has never scored.
    pub points: u64,
}

/// Opens a stream of everybody's scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {}

// Peers of gofast know messages by numbers: they have to agree on these.
register_message!(Scored as "bridge.Scored", id = 111);
register_message!(Score as "bridge.Score", id = 112 => Total);
register_message!(stream Board as "bridge.Board", id = 113: () => Scored);

/// The service, with its handlers. Who comes over gofast has no key, so nobody needs one.
///
/// # Errors
/// None that a machine with memory and randomness has.
pub fn service() -> moorline::Result<Service> {
    let service =
        Service::builder().identity(Identity::generate()?).peers(Peers::anonymous()).build()?;
    let scores = Scores::default();
    let board = scores.clone();
    service.on(move |_cx, scored: Scored| board.add(scored));
    let board = scores.clone();
    service.handle_now(move |_cx, score: Score| Ok(Total { points: board.of(&score.player) }));
    service.handle_stream(move |_cx, _: Board, mut stream: Stream<Scored, ()>| {
        let all = scores.all();
        async move {
            for scored in all {
                if stream.send_wait(&scored).await.is_err() {
                    return;
                }
            }
            let _ = stream.finish();
            // A peer of ours ends its own way as well; one of gofast's has ended with ours.
            while let Ok(Some(())) = stream.recv().await {}
        }
    });
    Ok(service)
}

/// Points by player.
#[derive(Clone, Default)]
struct Scores(Arc<Mutex<BTreeMap<String, u64>>>);

impl Scores {
    fn add(&self, Scored { player, points }: Scored) {
        let mut scores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total = scores.entry(player).or_default();
        *total = total.saturating_add(points);
    }

    fn of(&self, player: &str) -> u64 {
        let scores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        scores.get(player).copied().unwrap_or(0)
    }

    fn all(&self) -> Vec<Scored> {
        let scores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let scored =
            |(player, points): (&String, &u64)| Scored { player: player.clone(), points: *points };
        scores.iter().map(scored).collect()
    }
}
