//! Types that a side registers when it is connected already: what the peer told when it opened was
//! looked up before.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use moorline_protocol::MessageRegistry;
use moorline_sim::{Pair, Side};
use support::Echo;

/// The dialer knows `Echo` from the start, or the listener, and the other comes to know it later.
fn pair(knows: Side) -> Pair {
    let mut pair = Pair::seeded(1).plain();
    for side in Side::BOTH {
        let registry = MessageRegistry::empty();
        if side == knows {
            registry.register::<Echo>().unwrap();
        }
        pair = pair.registry(side, registry);
    }
    pair
}

#[test]
fn a_type_registered_after_connecting_can_be_sent() {
    let mut pair = pair(Side::B);
    pair.b().handle_now(|_, echo: Echo| Ok(echo));
    let session = pair.connect().unwrap();
    assert_eq!(pair.run_until(session.request(Echo(1, vec![]))), Ok(Echo(1, vec![])));
    pair.finish();
}

#[test]
fn a_type_registered_after_connecting_can_be_heard() {
    let mut pair = pair(Side::A);
    let session = pair.connect().unwrap();
    pair.b().handle_now(|_, echo: Echo| Ok(echo));
    pair.settle();
    assert_eq!(pair.run_until(session.request(Echo(1, vec![]))), Ok(Echo(1, vec![])));
    pair.finish();
}

#[test]
fn what_both_knew_when_they_connected_goes_both_ways() {
    for knows in Side::BOTH {
        let mut pair = pair(knows);
        pair.side(knows.other()).registry().register::<Echo>().unwrap();
        pair.b().handle_now(|_, echo: Echo| Ok(echo));
        let session = pair.connect().unwrap();
        assert_eq!(pair.run_until(session.request(Echo(1, vec![]))), Ok(Echo(1, vec![])));
        pair.finish();
    }
}
