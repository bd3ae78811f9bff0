//! A broadcast in sequence: members that are full, come and go, and fall behind for good.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::{Arc, Mutex};

use moorline_protocol::{Format, Settings};
use moorline_session::{Broadcaster, SendError, SessionStatus};
use proptest::prelude::*;
use support::{Log, Note, Pair, log, note};

/// Queued for a member at most, half of it and one message.
const OUTBOX: usize = 8 * 1024;

/// A session with its peer, which notes what comes.
struct Member {
    pair: Pair,
    heard: Log<u64>,
    /// Numbers it should have heard, first and one behind the last.
    runs: Vec<[u64; 2]>,
}

impl Member {
    fn new() -> Self {
        let mut pair = Pair::with(Settings::default(), OUTBOX);
        let (tell, heard) = log();
        pair.a.on_post = Box::new(move |body| {
            let Note(number, _) = Format::MessagePack.decode(body).unwrap();
            tell.lock().unwrap().push(number);
        });
        pair.settle();
        Self { pair, heard, runs: Vec::new() }
    }

    fn expected(&self) -> Vec<u64> {
        self.runs.iter().flat_map(|[from, to]| *from..*to).collect()
    }
}

type Ends = Arc<Mutex<Vec<(moorline_session::SessionRef, u64, u64, SendError)>>>;

/// A group, and who was evicted from it: who, from where on, and how much it has not got.
fn group(behind_max: u64) -> (Broadcaster, Ends) {
    let ends = Ends::default();
    let telling = Arc::clone(&ends);
    let group = Broadcaster::with(behind_max, u64::MAX, move |evicted| {
        let end = (evicted.session.clone(), evicted.number, evicted.missed, evicted.reason.clone());
        telling.lock().unwrap().push(end);
    });
    (group, ends)
}

#[derive(Debug, Clone)]
enum Op {
    Send(usize),
    /// The kernel of this member takes nothing, or takes again.
    Block(usize, bool),
    Step(usize),
    Join(usize),
    Leave(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let member = 0_usize..4;
    prop_oneof![
        8 => (1_usize..3_000).prop_map(Op::Send),
        2 => (member.clone(), any::<bool>()).prop_map(|(at, on)| Op::Block(at, on)),
        4 => member.clone().prop_map(Op::Step),
        1 => member.clone().prop_map(Op::Join),
        1 => member.prop_map(Op::Leave),
    ]
}

/// Notes where those that were evicted meanwhile have ended.
fn note_ends(members: &mut [Member], ends: &Ends) {
    for (session, number, _, _) in ends.lock().unwrap().drain(..) {
        let member = members.iter_mut().find(|member| member.pair.b.session == session);
        member.unwrap().runs.last_mut().unwrap()[1] = number;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Each member hears exactly what was sent while it was one, in order, however full it was; who
    /// leaves or is evicted is told where it ends.
    #[test]
    fn every_member_hears_all_of_it_in_order(
        ops in prop::collection::vec(op(), 1..150),
        behind_max in 1_u64..20,
    ) {
        let mut members: Vec<_> = (0..4).map(|_| Member::new()).collect();
        let (group, ends) = group(behind_max);
        let mut sent = 0;
        for op in ops {
            match op {
                Op::Send(len) => {
                    prop_assert_eq!(group.send(&note(sent, len)).unwrap().number, sent);
                    sent += 1;
                }
                Op::Block(at, blocked) => {
                    members[at].pair.b.blocked = blocked;
                    members[at].pair.b.poke();
                }
                Op::Step(at) => {
                    members[at].pair.step();
                }
                Op::Join(at) => {
                    if group.join(&members[at].pair.b.session) {
                        members[at].runs.push([sent, u64::MAX]);
                    }
                }
                Op::Leave(at) => {
                    if let Some(missed) = group.leave(&members[at].pair.b.session) {
                        members[at].runs.last_mut().unwrap()[1] = sent - missed;
                    }
                }
            }
            note_ends(&mut members, &ends);
        }
        for member in &mut members {
            member.pair.b.blocked = false;
            member.pair.b.poke();
            member.pair.settle();
            member.runs.iter_mut().for_each(|run| run[1] = run[1].min(sent));
            prop_assert_eq!(&*member.heard.lock().unwrap(), &member.expected());
        }
        prop_assert!(group.is_even() && ends.lock().unwrap().is_empty());
    }
}

#[test]
fn who_is_full_gets_it_later_and_nobody_waits_for_it() {
    let mut members = [Member::new(), Member::new()];
    let (group, ends) = group(100);
    members.iter().for_each(|member| assert!(group.join(&member.pair.b.session)));
    assert!(!group.join(&members[0].pair.b.session), "it is a member already");
    members[1].pair.b.blocked = true;
    let mut behind = 0;
    for number in 0..50 {
        behind = group.send(&note(number, 1_000)).unwrap().behind;
        members[0].pair.settle();
        members[1].pair.settle();
    }
    assert_eq!(behind, 1);
    assert_eq!(members[0].heard.lock().unwrap().len(), 50);
    assert!(!group.is_even());
    members[1].pair.b.blocked = false;
    members[1].pair.b.poke();
    members[1].pair.settle();
    assert_eq!(*members[1].heard.lock().unwrap(), (0..50).collect::<Vec<_>>());
    assert!(group.is_even() && ends.lock().unwrap().is_empty());
}

#[test]
fn who_is_too_far_behind_is_told_and_gets_no_more() {
    let mut members = [Member::new(), Member::new()];
    let (group, ends) = group(10);
    members.iter().for_each(|member| assert!(group.join(&member.pair.b.session)));
    members[1].pair.b.blocked = true;
    for number in 0..100 {
        group.send(&note(number, 1_000)).unwrap();
        members[0].pair.settle();
    }
    let ends = std::mem::take(&mut *ends.lock().unwrap());
    let [(session, number, missed, reason)] = &ends[..] else { panic!("{ends:?}") };
    assert!(*session == members[1].pair.b.session && *missed == 11);
    assert!(matches!(reason, SendError::Full { .. }));
    assert_eq!(group.len(), 1);
    assert!(group.is_even(), "nothing is kept for it");
    members[1].pair.b.blocked = false;
    members[1].pair.b.poke();
    members[1].pair.settle();
    assert_eq!(*members[1].heard.lock().unwrap(), (0..*number).collect::<Vec<_>>(), "no gap");
    assert_eq!(members[0].heard.lock().unwrap().len(), 100);
}

/// Unless somebody says otherwise: what its peer does not get it hears of by the end of its session.
#[test]
fn who_is_evicted_loses_its_session() {
    let mut member = Member::new();
    let group = Broadcaster::new();
    assert!(group.join(&member.pair.b.session));
    member.pair.b.blocked = true;
    for number in 0..1_100 {
        group.send(&note(number, 1_000)).unwrap();
    }
    assert!(group.is_empty() && group.is_even());
    member.pair.b.blocked = false;
    member.pair.b.poke();
    member.pair.settle();
    let reason = member.pair.a.ended.as_ref().unwrap().to_string();
    assert!(reason.contains("too far behind a broadcast"), "{reason}");
    let heard = member.heard.lock().unwrap();
    assert_eq!(*heard, (0..heard.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_session_that_ends_is_no_member_any_more() {
    let mut members = [Member::new(), Member::new()];
    let (group, ends) = group(100);
    members.iter().for_each(|member| assert!(group.join(&member.pair.b.session)));
    // One ends while it waits for room, the other while it does not.
    members[1].pair.b.blocked = true;
    for number in 0..30 {
        group.send(&note(number, 1_000)).unwrap();
        members[0].pair.settle();
    }
    members[1].pair.b.end(moorline_protocol::CloseReason::Truncated);
    assert_eq!(group.len(), 1, "it was woken to hear of it");
    members[0].pair.b.session.close();
    members[0].pair.settle();
    assert!(matches!(members[0].pair.b.session.status(), SessionStatus::Closed(_)));
    assert_eq!(group.send(&note(30, 1)).unwrap().members, 1, "nobody has looked");
    assert!(group.is_empty());
    let reasons: Vec<_> = ends.lock().unwrap().iter().map(|end| end.3.clone()).collect();
    assert!(reasons.iter().all(|reason| matches!(reason, SendError::Closed(_))), "{reasons:?}");
    assert_eq!(reasons.len(), 2);
}
