use super::*;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[test]
fn it_grows_from_the_lowest_to_the_highest_and_stays_between_them() {
    let mut dice = Dice(1);
    for _ in 0..100 {
        let mut back_off = BackOff::default();
        let mut last = BACK_OFF_MIN;
        for attempt in 1..=20 {
            let wait = back_off.wait(attempt, &CloseReason::Truncated, dice.roll()).unwrap();
            let low = last.min(BACK_OFF_MAX / 2);
            assert!(wait >= low && wait <= last * 2 && wait <= BACK_OFF_MAX, "{last:?}, {wait:?}");
            last = wait;
        }
        assert!(last >= BACK_OFF_MAX / 2);
        let again = back_off.wait(1, &CloseReason::Truncated, dice.roll()).unwrap();
        assert!(again <= BACK_OFF_MIN * 2, "a connection that lasted begins anew");
    }
}

#[test]
fn the_ends_of_the_draw_are_the_ends_of_what_may_be_waited() {
    let (low, high) = (Duration::from_millis(50), Duration::from_millis(100));
    assert_eq!(between(low, high, 0), low);
    assert_eq!(between(low, high, u64::MAX), high);
    let mut odd = BackOff::between(high, low);
    assert_eq!(odd.wait(1, &CloseReason::Truncated, u64::MAX), Some(high));
    let mut none = BackOff::between(Duration::ZERO, Duration::ZERO);
    assert_eq!(none.wait(9, &CloseReason::Truncated, u64::MAX), Some(Duration::from_millis(1)));
    let mut endless = BackOff::between(Duration::MAX, Duration::MAX);
    assert_eq!(endless.wait(9, &CloseReason::Truncated, 7), Some(Duration::MAX));
}

#[test]
fn what_does_not_mend_itself_is_tried_slowly_from_the_first_time_on() {
    let revoked = CloseReason::ByPeer(Farewell::new(ErrorCode::REVOKED, ""));
    let wrong_key = CloseReason::HandshakeFailed(HandshakeFailure::PeerUnverified);
    for reason in [revoked, wrong_key] {
        assert!(BackOff::default().wait(1, &reason, 0).unwrap() >= BACK_OFF_MAX / 2);
    }
    let silent = CloseReason::HandshakeFailed(HandshakeFailure::NotLetIn);
    let draining = CloseReason::ByPeer(Farewell::new(ErrorCode::DRAINING, ""));
    for reason in [silent, draining, CloseReason::Truncated] {
        assert!(BackOff::default().wait(1, &reason, 0).unwrap() <= BACK_OFF_MIN * 2);
    }
}

#[test]
fn a_rule_of_ones_own_decides_alone_and_may_fail() {
    let mut own = BackOff::custom(|attempt, _| match attempt {
        1 => Some(Duration::from_secs(1)),
        2 => None,
        _ => panic!("this one is not prepared for so many"),
    });
    let mut wait = |attempt| own.wait(attempt, &CloseReason::Truncated, 0);
    assert_eq!(wait(1), Some(Duration::from_secs(1)));
    assert_eq!(wait(2), None);
    assert_eq!(wait(3), Some(BACK_OFF_MAX));
}

/// 2,000 clients lose their server at once, and it comes back after a while: in no bucket, of 100 ms or
/// of a second, do more than three times the mean come back.
#[test]
fn no_crowd_comes_back_at_once() {
    const CLIENTS: usize = 2_000;
    let mut dice = Dice(7);
    for away_ms in [50, 100, 200, 500, 1_000, 2_000, 3_000, 5_000, 7_000, 15_000, 60_000] {
        let away = Duration::from_millis(away_ms);
        let mut back: Vec<Duration> = (0..CLIENTS)
            .map(|_| {
                let (mut back_off, mut at) = (BackOff::default(), Duration::ZERO);
                for attempt in 1.. {
                    at += back_off.wait(attempt, &CloseReason::Truncated, dice.roll()).unwrap();
                    if at >= away {
                        break;
                    }
                }
                at - away
            })
            .collect();
        back.sort_unstable();
        for bucket_ms in [100, 1_000] {
            let buckets = back[CLIENTS - 1].as_millis() / bucket_ms + 1;
            let fullest =
                back.chunk_by(|a, b| a.as_millis() / bucket_ms == b.as_millis() / bucket_ms);
            let fullest = fullest.map(<[Duration]>::len).max().unwrap();
            let mean = CLIENTS / usize::try_from(buckets).unwrap();
            assert!(
                fullest <= 3 * mean,
                "away {away_ms} ms: {fullest} in {bucket_ms} ms of {buckets}, mean {mean}"
            );
        }
    }
}
