//! How long an accepted connection lives at most, where the service wants its peers to come back now
//! and then: to spread them over servers that were added since, or to look at their rights again.

use std::time::{Duration, Instant};

use moorline_session::SessionId;

/// The age at which a session is drained, and what follows if that takes too long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetime {
    drain_at: Instant,
    drain_time: Duration,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Young,
    Draining,
    Over,
}

/// What is to be done about it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aged {
    /// The peer is asked to start nothing new.
    Drain,
    /// What is not done by now is cut short.
    Cut,
}

impl Lifetime {
    /// A session that was opened `now`. Its age differs from `age` by a tenth at most, for each
    /// session by another part of it: sessions that began together must not end together.
    pub(crate) fn new(now: Instant, id: SessionId, age: Duration, drain_time: Duration) -> Self {
        // Ids walk with a stride of the golden ratio: neighbours in time lie evenly apart.
        let part = f64::from(id.number()) / f64::from(u32::MAX);
        let drain_at = now + age.mul_f64(0.9 + 0.2 * part);
        Self { drain_at, drain_time, stage: Stage::Young }
    }

    /// When to look again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Young => Some(self.drain_at),
            Stage::Draining => Some(self.drain_at + self.drain_time),
            Stage::Over => None,
        }
    }

    /// Each of them once.
    pub(crate) fn look(&mut self, now: Instant) -> Option<Aged> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        let (stage, aged) = match self.stage {
            Stage::Young => (Stage::Draining, Aged::Drain),
            Stage::Draining | Stage::Over => (Stage::Over, Aged::Cut),
        };
        self.stage = stage;
        Some(aged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(100);
    const DRAIN: Duration = Duration::from_secs(10);

    #[test]
    fn a_session_is_drained_once_and_then_cut_once() {
        let now = Instant::now();
        let mut life = Lifetime::new(now, SessionId::new(1 << 31).unwrap(), AGE, DRAIN);
        assert_eq!(life.look(now + AGE - Duration::from_secs(1)), None);
        let end = now + AGE + Duration::from_secs(1);
        assert_eq!(life.look(end), Some(Aged::Drain));
        assert_eq!(life.look(end), None);
        assert_eq!(life.look(end + DRAIN), Some(Aged::Cut));
        assert_eq!((life.look(end + DRAIN * 9), life.deadline()), (None, None));
    }

    #[test]
    fn sessions_that_began_together_end_apart() {
        let now = Instant::now();
        let mut number = 0_u32;
        let mut buckets = [0; 20];
        for _ in 0..2_000 {
            number = number.wrapping_add(0x9E37_79B1);
            let id = SessionId::new(number).unwrap();
            let age = Lifetime::new(now, id, AGE, DRAIN).deadline().unwrap() - now;
            assert!(age >= AGE.mul_f64(0.9) && age <= AGE.mul_f64(1.1), "{age:?}");
            let bucket = usize::try_from(age.as_secs()).unwrap() - 90;
            buckets[bucket.min(19)] += 1;
        }
        assert!(buckets.iter().all(|count| (95..=105).contains(count)), "{buckets:?}");
    }
}
