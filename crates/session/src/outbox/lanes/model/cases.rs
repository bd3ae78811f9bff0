//! What chance finds too seldom.

use super::*;

/// Two streams of the normal lane whose OPENs have left.
fn two_streams() -> (Both, [u32; 2]) {
    let mut both = Both::new(1 << 50);
    both.open(Lane::Normal);
    both.open(Lane::Normal);
    while both.take() {}
    let ids: Vec<_> = both.streams().into_iter().map(|(_, id)| id).collect();
    (both, ids.try_into().unwrap())
}

#[test]
fn credit_said_again_and_again_for_what_waits_takes_no_memory() {
    let (mut both, [first, second]) = two_streams();
    both.fill(Lane::Normal, Name::Stream(first), &pieces(200_000), true, None);
    both.fill(Lane::Normal, Name::Stream(second), &pieces(200_000), true, None);
    while both.take() {}
    assert!(both.open_sum(false) > 0, "the first one is out of credit in the middle");
    for _ in 0..100 {
        both.more_for(second, Lane::Normal, 1);
        both.more_credit(1);
        assert!(!both.take());
        both.invariants();
    }
    assert_eq!(both.lanes.waiting.len(), 1);
    both.reset(second, Lane::Normal);
    assert_eq!(both.lanes.waiting.len(), 0);
    both.drain();
}

#[test]
fn who_has_many_long_messages_lets_the_one_of_another_through_and_posts_do_not_stop_it() {
    let (mut both, [first, second]) = two_streams();
    both.more_credit(1 << 30);
    both.more_for(first, Lane::Normal, 1 << 30);
    for _ in 0..100 {
        both.fill(Lane::Normal, Name::Stream(first), &pieces(20_000), true, None);
        (0..20).for_each(|_| both.fill(Lane::High, Name::Posts, &[BLOCK], false, None));
        (0..20).for_each(|_| both.fill(Lane::Normal, Name::Posts, &[BLOCK], false, None));
    }
    both.fill(Lane::Normal, Name::Stream(second), &pieces(20_000), true, None);
    while both.lines[&(Lane::Normal, Name::Stream(second))].open.is_none() {
        assert!(both.take());
        assert!(both.lines[&(Lane::Normal, Name::Posts)].pieces.len() > 100, "it starves");
    }
    both.drain();
}

#[test]
fn flows_of_a_lane_get_the_same_share_in_bytes_whatever_their_blocks_hold() {
    let (mut both, [first, second]) = two_streams();
    both.more_credit(1 << 30);
    [first, second].into_iter().for_each(|id| both.more_for(id, Lane::Normal, 1 << 30));
    let flows = [
        (Name::Posts, BLOCK),
        (Name::Requests, 700),
        (Name::Stream(first), 5_000),
        (Name::Stream(second), 40),
    ];
    for (name, len) in flows {
        (0..2_000_000 / len).for_each(|_| both.fill(Lane::Normal, name, &[len], false, None));
    }
    let before = flows.map(|(name, _)| waits(&both, name));
    while both.taken < 3_000_000 {
        assert!(both.take());
    }
    let sent = flows.map(|(name, _)| waits(&both, name));
    let sent: Vec<_> = before.iter().zip(sent).map(|(before, after)| before - after).collect();
    let spread = sent.iter().max().unwrap() - sent.iter().min().unwrap();
    assert!(spread <= FLOW_QUANTUM + BLOCK, "{sent:?}");
}

fn waits(both: &Both, name: Name) -> usize {
    both.lines[&(Lane::Normal, name)].pieces.iter().map(Piece::len).sum()
}
