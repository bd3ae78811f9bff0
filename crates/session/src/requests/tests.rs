use super::*;

fn noop() -> Option<Waker> {
    Some(Waker::noop().clone())
}

fn requests() -> Requests {
    Requests::new(2, 1_000, true)
}

#[test]
fn a_slot_is_free_only_when_answered_and_taken() {
    let mut requests = requests();
    let id = requests.open(None, Lane::Normal).unwrap();
    requests.appended(id, 0, 10);
    assert!(requests.poll(id, &mut noop(), Vec::new).is_pending());
    requests.respond(id, [10; 3], Body::Borrowed(b"x")).unwrap();
    assert_eq!(requests.slots.len(), 1);
    let Poll::Ready(Outcome::Response(reply)) = requests.poll(id, &mut noop(), Vec::new) else {
        panic!("the answer is there");
    };
    assert_eq!(reply.bytes(), b"x");
    assert_eq!(requests.slots.len(), 0);
}

#[test]
fn two_answers_are_a_violation_and_so_is_one_never_asked_for() {
    let mut requests = requests();
    assert!(requests.respond(0, [0; 3], Body::EMPTY).is_err());
    let id = requests.open(None, Lane::Normal).unwrap();
    assert!(requests.respond(id, [1_000; 3], Body::EMPTY).is_err(), "not appended yet");
    requests.appended(id, 7, 9);
    assert!(requests.respond(id, [7; 3], Body::EMPTY).is_err(), "not one byte of it has left");
    requests.respond(id, [8; 3], Body::EMPTY).unwrap();
    assert!(requests.respond(id, [9; 3], Body::EMPTY).is_err());
}

#[test]
fn the_peers_limit_holds() {
    let mut requests = requests();
    requests.open(None, Lane::Normal).unwrap();
    requests.open(None, Lane::Normal).unwrap();
    assert_eq!(requests.open(None, Lane::Normal), Err(SendError::InFlight { limit: 2 }));
}

#[test]
fn a_timeout_frees_the_caller_but_not_the_slot() {
    let start = Instant::now();
    let mut requests = requests();
    let id = requests.open(Some(Duration::from_secs(1)), Lane::Normal).unwrap();
    requests.appended(id, 0, 5);
    requests.stamp(start);
    assert_eq!(requests.deadline(), Some(start + Duration::from_secs(1)));
    let mut wakers = Vec::new();
    requests.expire(start + Duration::from_millis(999), &mut wakers);
    assert!(requests.poll(id, &mut noop(), Vec::new).is_pending());
    requests.expire(start + Duration::from_secs(1), &mut wakers);
    assert!(matches!(requests.poll(id, &mut noop(), Vec::new), Poll::Ready(Outcome::Timeout)));
    assert_eq!(requests.slots.len(), 1, "the peer has not answered");
    let mut sent = Vec::new();
    requests.cancels([5; 3], |word| sent.push(word));
    assert_eq!(sent, [Word::Cancel(id)]);
    requests.respond(id, [5; 3], Body::EMPTY).unwrap();
    assert_eq!((requests.slots.len(), requests.late_answers), (0, 1));
}

#[test]
fn a_cancel_waits_for_its_request_and_gives_way_to_an_answer() {
    let mut requests = requests();
    let id = requests.open(None, Lane::Normal).unwrap();
    requests.appended(id, 7, 100);
    drop(requests.abandon(id));
    requests.cancels([7; 3], |_| panic!("the request has not left"));
    assert!(!requests.has_cancels([7; 3]) && requests.has_cancels([100; 3]));
    requests.respond(id, [100; 3], Body::EMPTY).unwrap();
    assert!(!requests.has_cancels([100; 3]));
    requests.cancels([100; 3], |_| panic!("the answer is here"));
    assert_eq!(requests.slots.len(), 0);
}

#[test]
fn a_cancel_that_came_too_late_does_not_hit_the_next_call_in_the_slot() {
    let mut requests = requests();
    let id = requests.open(None, Lane::Normal).unwrap();
    requests.appended(id, 0, 10);
    drop(requests.abandon(id));
    requests.respond(id, [10; 3], Body::EMPTY).unwrap();
    assert_eq!(requests.open(None, Lane::Normal), Ok(id), "the slot is used again");
    requests.appended(id, 10, 20);
    requests.cancels([20; 3], |_| panic!("this call is wanted"));
    drop(requests.abandon(id));
    let mut sent = Vec::new();
    requests.cancels([20; 3], |word| sent.push(word));
    requests.cancels([20; 3], |word| sent.push(word));
    assert_eq!(sent, [Word::Cancel(id)], "one call, one CANCEL");
}

#[test]
fn nothing_piles_up_where_nothing_can_be_cancelled() {
    let mut requests = Requests::new(2, 1_000, false);
    for at in 0..100 {
        let id = requests.open(Some(Duration::ZERO), Lane::Normal).unwrap();
        requests.appended(id, at, at + 1);
        drop(requests.abandon(id));
        requests.respond(id, [at + 1; 3], Body::EMPTY).unwrap();
    }
    assert!(requests.cancels.is_empty());
    assert!(!requests.has_cancels([u64::MAX; 3]));
}

#[test]
fn the_end_of_the_session_says_which_calls_may_have_run() {
    let mut requests = requests();
    let left = requests.open(None, Lane::Normal).unwrap();
    let queued = requests.open(None, Lane::Normal).unwrap();
    requests.appended(left, 0, 10);
    requests.appended(queued, 10, 20);
    requests.close(&CloseReason::Truncated, [10; 3], &mut Vec::new());
    for (id, expected) in [(left, true), (queued, false)] {
        match requests.poll(id, &mut noop(), Vec::new) {
            Poll::Ready(Outcome::Closed { sent, .. }) => assert_eq!(sent, expected),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(requests.slots.len(), 0);
}

#[test]
fn a_call_that_timed_out_and_is_dropped_then_is_cancelled_once() {
    let start = Instant::now();
    let mut requests = requests();
    let id = requests.open(Some(Duration::ZERO), Lane::Normal).unwrap();
    requests.appended(id, 0, 5);
    requests.stamp(start);
    requests.expire(start, &mut Vec::new());
    let mut sent = Vec::new();
    requests.cancels([5; 3], |word| sent.push(word));
    drop(requests.abandon(id));
    requests.cancels([5; 3], |word| sent.push(word));
    assert_eq!(sent, [Word::Cancel(id)]);
}

//= docs/PROTOCOL.md#6
#[test]
fn of_a_request_that_is_given_up_in_the_middle_the_rest_is_cut() {
    let said = |requests: &mut Requests, left| {
        let mut said = Vec::new();
        requests.cancels([left; 3], |word| said.push(word));
        said
    };
    let mut requests = requests();
    let id = requests.open(None, Lane::Bulk).unwrap();
    requests.appended(id, 0, 100);
    drop(requests.abandon(id));
    assert_eq!(said(&mut requests, 50), [Word::Cut(Lane::Bulk, 100)]);
    assert_eq!(said(&mut requests, 100), [], "and no CANCEL after it");
    requests.fail(id, [100; 3], (ErrorCode::CANCELLED, "".into()), Body::EMPTY).unwrap();
    // Answered in the middle, before its caller gave up.
    let id = requests.open(None, Lane::Bulk).unwrap();
    requests.appended(id, 100, 200);
    requests.fail(id, [150; 3], (ErrorCode::TOO_LARGE, "".into()), Body::EMPTY).unwrap();
    assert!(requests.has_cancels([150; 3]));
    assert_eq!(said(&mut requests, 150), [Word::Cut(Lane::Bulk, 200)]);
    assert!(!requests.has_cancels([150; 3]));
}

#[test]
fn who_cannot_be_told_that_nobody_waits_is_not_waited_for_either() {
    let mut requests = Requests::new(4, 1 << 20, false);
    let now = Instant::now();
    for timeout in [Some(Duration::from_secs(1)), None] {
        let id = requests.open(timeout, Lane::Normal).unwrap();
        requests.appended(id, 0, 10);
    }
    requests.stamp(now);
    assert!(!requests.all_answered());
    requests.expire(now + Duration::from_secs(2), &mut Vec::new());
    assert!(!requests.all_answered(), "one is still waited for");
    let _ = requests.abandon(1);
    assert!(requests.all_answered());
    assert_eq!(requests.unanswered(), 2);
    // Looked at, dropped, and answered after all: each counts once.
    let _ = requests.abandon(0);
    requests.respond(0, [0, 10, 0], Body::Borrowed(b"late")).unwrap();
    assert!(requests.all_answered());
    requests.respond(1, [0, 10, 0], Body::Borrowed(b"late")).unwrap();
    assert_eq!((requests.unanswered(), requests.all_answered()), (0, true));
}
