//! Partitions that last: who waits for a peer hears of it, who does not is left alone.

use std::time::Duration;

use moorline_protocol::{CloseReason, register_message};
use moorline_session::{CallError, Executed};
use moorline_sim::Pair;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Echo(u64);
register_message!(Echo as "silence.Echo" => Echo);

fn echoing(seed: u64) -> Pair {
    let mut pair = Pair::seeded(seed).plain();
    pair.b().handle_now(|_, echo: Echo| Ok(echo));
    pair
}

#[test]
fn a_partition_that_lasts_ends_what_waits_and_heals_for_what_does_not() {
    let mut pair = echoing(1);
    let session = pair.connect().unwrap();
    // At rest an hour goes by unnoticed.
    pair.partition();
    pair.run_for(Duration::from_secs(3_600));
    pair.heal();
    assert_eq!(pair.run_until(session.request(Echo(1))), Ok(Echo(1)));
    pair.partition();
    let before = pair.clock().passed();
    let error = pair.run_until(session.request(Echo(2)).no_timeout()).unwrap_err();
    assert_eq!(error.executed(), Executed::Maybe);
    let CallError::Closed { reason: CloseReason::Heartbeat { silence, limit }, .. } = error else {
        panic!("{error:?}");
    };
    let took = pair.clock().passed() - before;
    assert_eq!((limit, took <= silence), (Duration::from_secs(20), true), "{took:?}, {silence:?}");
    assert_eq!(took.as_secs(), 30);
}
