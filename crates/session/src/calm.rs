//! Patience with a peer that cancels and errs: a bucket that fills with time and with calls that
//! end well.

use std::time::{Duration, Instant};

use moorline_protocol::{CloseReason, ErrorCode, Violation};

use crate::limits::{CALM_BURST, CALM_PER_SECOND};

#[derive(Debug)]
pub(crate) struct Calm {
    left: u32,
    filled_at: Option<Instant>,
}

impl Calm {
    pub(crate) const fn new() -> Self {
        Self { left: CALM_BURST, filled_at: None }
    }

    pub(crate) fn pass_time(&mut self, now: Instant) {
        let then = *self.filled_at.get_or_insert(now);
        if self.left == CALM_BURST {
            self.filled_at = Some(now);
            return;
        }
        // What is left of a second counts for the next one.
        let seconds = now.saturating_duration_since(then).as_secs();
        if seconds > 0 {
            let drops = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(CALM_PER_SECOND);
            self.left = self.left.saturating_add(drops).min(CALM_BURST);
            self.filled_at = then.checked_add(Duration::from_secs(seconds)).or(Some(now));
        }
    }

    pub(crate) fn ended_well(&mut self) {
        self.left = (self.left + 1).min(CALM_BURST);
    }

    //= docs/PROTOCOL.md#9
    pub(crate) fn strain(&mut self) -> Result<(), CloseReason> {
        self.left = self.left.checked_sub(1).ok_or(Violation::with_code(
            9,
            "too many cancels and errors",
            ErrorCode::CALM,
        ))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_forgiven_and_time_heals() {
        let start = Instant::now();
        let mut calm = Calm::new();
        calm.pass_time(start);
        for _ in 0..CALM_BURST {
            calm.strain().unwrap();
        }
        assert!(calm.strain().is_err());
        calm.pass_time(start + Duration::from_secs(2));
        for _ in 0..2 * CALM_PER_SECOND {
            calm.strain().unwrap();
        }
        assert!(calm.strain().is_err());
        calm.ended_well();
        calm.strain().unwrap();
    }
}
