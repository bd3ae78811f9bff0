//! One peer of each kind.

use super::*;

fn opaque(place: u32) -> u64 {
    1100 + u64::from(place)
}

fn streams(ends: Ends) -> Streams {
    Streams::new(ends, true, 2)
}

#[test]
fn between_two_of_us_both_ends_make_an_end() {
    let mut all = streams(Ends::OneWayOfOurs);
    assert_eq!(all.begin_ours(2, 113, opaque), Some(1100));
    assert_eq!(all.say(2), Some((1100, 113)));
    let last = Last { opaque: 1100, message: 113, end: true, ask: false };
    assert_eq!(all.say_end(2), Some(last));
    assert_eq!((all.say(2), all.say_end(2)), (None, None));
    assert_eq!(all.find(At::Place(0)), Some((2, true)), "the other way is open");
    assert_eq!(all.hear_end(At::Place(0)), EndSaid::Told(2));
    assert_eq!(all.find(At::Place(0)), Some((2, false)), "ours has not left");
    all.end_left(At::Place(0));
    assert_eq!(all.find(At::Place(0)), None);
    assert_eq!(all.hear_end(At::Place(0)), EndSaid::Unknown);
}

#[test]
fn a_place_rests_as_long_as_it_can() {
    let mut all = streams(Ends::OneWayOfOurs);
    all.begin_ours(2, 113, opaque).unwrap();
    all.say_end(2).unwrap();
    all.end_left(At::Place(0));
    all.hear_end(At::Place(0));
    assert_eq!(all.begin_ours(4, 113, opaque), Some(1101));
    assert_eq!(all.begin_ours(6, 113, opaque), Some(1100));
    assert_eq!(all.begin_ours(8, 113, opaque), None, "all are taken");
    all.withdraw(6);
    assert_eq!(all.begin_ours(8, 113, opaque), Some(1100));
}

#[test]
fn a_real_peer_that_has_ended_its_way_hears_the_rest_and_our_end() {
    let mut all = streams(Ends::OneWay);
    assert_eq!(all.begin_of_peer(160_005, 113), Begun::New(3));
    assert_eq!(all.begin_of_peer(160_005, 113), Begun::InUse);
    assert_eq!(all.hear_end(At::Opaque(160_005)), EndSaid::Told(3));
    assert_eq!(all.hear_end(At::Opaque(160_005)), EndSaid::Known, "it may say so twice");
    assert_eq!(all.say(3), Some((160_005, 113)));
    let last = all.say_end(3).unwrap();
    assert!(last.end && !last.ask);
    assert_eq!(all.find(At::Opaque(160_005)), Some((3, false)), "ours has not left");
    all.end_left(At::Opaque(160_005));
    assert_eq!(all.find(At::Opaque(160_005)), None);
    assert_eq!(all.begin_of_peer(160_005, 113), Begun::New(5));
    // One of ours as well.
    all.begin_ours(2, 113, opaque).unwrap();
    assert_eq!(all.hear_end(At::Place(0)), EndSaid::Told(2));
    assert_eq!(all.say(2), Some((1100, 113)));
    let last = all.say_end(2).unwrap();
    assert!(last.end && !last.ask);
}

#[test]
fn a_start_on_an_opaque_whose_end_was_heard_ends_the_old_stream() {
    let mut all = streams(Ends::OneWay);
    assert_eq!(all.begin_of_peer(160_005, 113), Begun::New(3));
    all.hear_end(At::Opaque(160_005));
    assert_eq!(all.begin_of_peer(160_005, 113), Begun::New(5));
    assert_eq!(all.say(3), None);
    let last = all.say_end(3).unwrap();
    assert!(!last.end && !last.ask);
    assert_eq!(all.find(At::Opaque(160_005)), Some((5, true)));
    assert_eq!((all.live.len(), all.of_peer.len()), (1, 1));
    // With an end of ours that is queued: it is not that of the new one.
    all.hear_end(At::Opaque(160_005));
    all.say_end(5).unwrap();
    assert_eq!(all.begin_of_peer(160_005, 113), Begun::New(7));
    all.end_left(At::Opaque(160_005));
    assert_eq!(all.say(7), Some((160_005, 113)));
    let last = all.say_reset(7).unwrap();
    assert!(last.end);
}

#[test]
fn a_peer_of_2016_ends_both_ways_and_its_opaque_serves_again_at_once() {
    let mut all = streams(Ends::BothWays);
    assert_eq!(all.begin_of_peer(30_005, 113), Begun::New(3));
    assert_eq!(all.begin_of_peer(30_005, 113), Begun::InUse);
    assert_eq!(all.hear_end(At::Opaque(30_005)), EndSaid::Told(3));
    assert_eq!(all.say(3), None, "it stands for nothing, or for something else");
    assert_eq!(all.begin_of_peer(30_005, 113), Begun::New(5));
    let last = all.say_end(3).unwrap();
    assert!(!last.end && !last.ask);
    assert_eq!(all.say(5), Some((30_005, 113)));
    assert_eq!(all.find(At::Opaque(30_005)), Some((5, true)));
}

#[test]
fn an_end_to_a_real_peer_is_over_with_its_echo() {
    for ends in [Ends::OneWay, Ends::BothWays] {
        let mut all = streams(ends);
        all.begin_ours(2, 113, opaque).unwrap();
        let last = all.say_end(2).unwrap();
        assert!(last.end && last.ask);
        all.end_left(At::Place(0));
        assert_eq!(all.find(At::Place(0)), Some((2, true)), "what it sent before is heard");
        assert!(all.hear_echo(2) && !all.hear_echo(2));
        assert_eq!(all.find(At::Place(0)), None);
        // Of the peer's: it may begin the next one before the echo.
        assert_eq!(all.begin_of_peer(160_005, 113), Begun::New(3));
        all.say_end(3).unwrap();
        assert_eq!(all.begin_of_peer(160_005, 113), Begun::Over(3));
        assert_eq!(all.begin_of_peer(160_005, 113), Begun::New(5));
        assert!(!all.hear_echo(3));
    }
}

#[test]
fn a_place_rests_for_a_late_end_while_others_are_free() {
    let mut all = streams(Ends::OneWay);
    let over_by_echo = |all: &mut Streams, number: u32, place: u32| {
        all.say_end(number).unwrap();
        all.end_left(At::Place(place));
        all.hear_echo(number);
    };
    all.begin_ours(2, 113, opaque).unwrap();
    over_by_echo(&mut all, 2, 0);
    for number in [4, 6, 8] {
        assert_eq!(all.begin_ours(number, 113, opaque), Some(1101), "the other one rests");
        all.hear_end(At::Place(1));
        all.say_end(number).unwrap();
        all.end_left(At::Place(1));
    }
    // What it rested for, which ends nothing else.
    assert_eq!(all.begin_ours(10, 113, opaque), Some(1101));
    assert_eq!(all.hear_end(At::Place(0)), EndSaid::Known);
    assert_eq!(all.hear_end(At::Place(0)), EndSaid::Unknown);
    assert_eq!(all.begin_ours(12, 113, opaque), Some(1100));
    // It never comes: that is no reason to refuse.
    over_by_echo(&mut all, 10, 1);
    over_by_echo(&mut all, 12, 0);
    assert_eq!(all.begin_ours(14, 113, opaque), Some(1101), "the one that rested longest");
    assert_eq!(all.begin_ours(16, 113, opaque), Some(1100));
    assert_eq!(all.begin_ours(18, 113, opaque), None);
}

#[test]
fn what_was_reset_is_not_heard_any_more_until_the_peer_knows() {
    for ends in [Ends::OneWayOfOurs, Ends::OneWay, Ends::BothWays] {
        let mut all = streams(ends);
        all.begin_ours(2, 113, opaque).unwrap();
        let last = all.say_reset(2).unwrap();
        assert!(last.end && last.ask);
        assert_eq!((all.say_reset(2), all.find(At::Place(0))), (None, Some((2, false))));
        all.end_left(At::Place(0));
        assert!(!all.hear_echo(2), "the session has forgotten it");
        assert_eq!(all.find(At::Place(0)), None);
    }
}

#[test]
fn a_real_peers_stream_that_was_reset_is_forgotten_when_our_end_has_left() {
    for ends in [Ends::OneWay, Ends::BothWays] {
        let mut all = streams(ends);
        for nth in 0..10_000 {
            let Begun::New(number) = all.begin_of_peer(160_000 + nth, 113) else {
                panic!("stream {nth}")
            };
            let last = all.say_reset(number).unwrap();
            assert!(last.end && !last.ask, "nobody waits for its end");
            all.end_left(At::Opaque(160_000 + nth));
        }
        assert_eq!((all.live.len(), all.of_peer.len(), all.forgotten), (0, 0, 0));
    }
}

#[test]
fn streams_that_are_reset_and_never_ended_are_so_many_at_most() {
    // By us, with ends that leave or do not, and by the peer.
    for (ends, by_peer, leaves) in [
        (Ends::OneWayOfOurs, false, true),
        (Ends::OneWayOfOurs, true, true),
        (Ends::OneWay, false, false),
    ] {
        let mut all = streams(ends);
        let mut begun = Vec::new();
        let refused = (0..).find_map(|nth| match all.begin_of_peer(160_000 + nth, 113) {
            Begun::New(number) => {
                begun.push(At::Opaque(160_000 + nth));
                if by_peer {
                    all.hear_reset(begun[begun.len() - 1]).unwrap();
                } else {
                    all.say_reset(number).unwrap();
                }
                if leaves {
                    all.end_left(begun[begun.len() - 1]);
                }
                None
            }
            refused => Some(refused),
        });
        assert_eq!(refused, Some(Begun::TooManyForgotten));
        assert_eq!((all.live.len(), begun.len()), (FORGOTTEN_STREAMS_MAX, FORGOTTEN_STREAMS_MAX));
        all.hear_end(begun[7]);
        all.end_left(begun[7]);
        assert!(matches!(all.begin_of_peer(7, 113), Begun::New(_)), "one is over");
    }
}

#[test]
fn a_reset_behind_an_end_says_another_unless_that_has_left() {
    let real = [Ends::OneWay, Ends::BothWays];
    for (ends, left) in [Ends::OneWayOfOurs]
        .iter()
        .chain(&real)
        .flat_map(|ends| [false, true].map(|left| (*ends, left)))
    {
        let mut all = streams(ends);
        all.begin_ours(2, 113, opaque).unwrap();
        assert_eq!(all.say_end(2).unwrap().ask, ends != Ends::OneWayOfOurs);
        if left {
            all.end_left(At::Place(0));
        }
        let last = all.say_reset(2).unwrap();
        assert!(last.end != left && last.ask);
    }
    // One of the peer's, which has said its own end: ours is not there before it has left.
    let mut all = streams(Ends::OneWayOfOurs);
    assert_eq!(all.begin_of_peer(160_005, 113), Begun::New(3));
    all.hear_end(At::Opaque(160_005));
    all.say_end(3).unwrap();
    let last = all.say_reset(3).unwrap();
    assert!(last.end && !last.ask);
    all.end_left(At::Opaque(160_005));
    assert_eq!(all.find(At::Opaque(160_005)), None);
}

#[test]
fn a_reset_of_the_peers_ends_it_when_its_end_has_come() {
    let mut all = streams(Ends::OneWayOfOurs);
    all.begin_ours(2, 113, opaque).unwrap();
    assert_eq!(all.hear_reset(At::Place(0)), Some(2));
    assert_eq!((all.say(2), all.say_reset(2), all.say_end(2)), (None, None, None));
    assert_eq!(all.hear_end(At::Place(0)), EndSaid::Known);
    assert_eq!(all.find(At::Place(0)), None);
}
