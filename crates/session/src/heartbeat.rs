//! Whether the peer is still there, and whether anybody needs it: looked at when something happens,
//! so that a session at rest needs no timer.

use std::time::{Duration, Instant};

use moorline_protocol::Settings;

/// Silence ends nothing by itself: it makes us ask, and only a question that stands unanswered while
/// nothing else is heard ends the session.
//= docs/PROTOCOL.md#7
#[derive(Debug)]
pub(crate) struct Heartbeat {
    heartbeat: Option<Duration>,
    keep_alive: Option<Duration>,
    dead_after: Duration,
    idle_timeout: Option<Duration>,
    /// When a frame of the peer's was last taken. `None` before the first turn.
    heard_at: Option<Instant>,
    /// The PING that stands unanswered, and since when.
    asked: Option<(u64, Instant)>,
    /// When a message last went either way.
    active_at: Option<Instant>,
}

/// What the outbox knows about it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watch {
    /// The farewell has not been said.
    pub(crate) speaks: bool,
    /// Calls, streams, posts or barriers: something of ours waits for the peer.
    pub(crate) waits: bool,
    /// Calls, streams or messages that have not left.
    pub(crate) busy: bool,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// Ask the peer whether it is there.
    Ask,
    /// It has not answered, and nothing was heard of it for so long.
    Dead(Duration),
    /// Nobody has needed the session for the time allowed.
    Idle,
}

impl Heartbeat {
    pub(crate) const fn new(settings: &Settings) -> Self {
        Self {
            heartbeat: settings.heartbeat,
            keep_alive: settings.keep_alive,
            dead_after: settings.dead_after,
            idle_timeout: settings.idle_timeout,
            heard_at: None,
            asked: None,
            active_at: None,
        }
    }

    /// The first turn starts the clocks.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.heard_at.get_or_insert(now);
        self.active_at.get_or_insert(now);
    }

    /// A frame has come, a message or another.
    pub(crate) const fn heard(&mut self, now: Instant) {
        self.heard_at = Some(now);
    }

    /// A message went one way or the other.
    pub(crate) const fn active(&mut self, now: Instant) {
        self.active_at = Some(now);
    }

    /// A PING with this number is on its way.
    pub(crate) const fn asked(&mut self, nonce: u64, now: Instant) {
        self.asked = Some((nonce, now));
    }

    /// All PINGs up to this one are answered.
    pub(crate) fn answered(&mut self, nonce: u64) {
        self.asked.take_if(|(asked, _)| *asked <= nonce);
    }

    /// When [`look`](Self::look) has something to say, if nothing happens until then.
    pub(crate) fn deadline(&self, watch: Watch) -> Option<Instant> {
        if !watch.speaks {
            return None;
        }
        let peer = self.dead_at().or_else(|| self.ask_at(watch));
        [peer, self.idle_at(watch)].into_iter().flatten().min()
    }

    pub(crate) fn look(&self, now: Instant, watch: Watch) -> Due {
        let is_over = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if !watch.speaks {
            return Due::Nothing;
        }
        if is_over(self.dead_at()) {
            let heard_at = self.heard_at.unwrap_or(now);
            return Due::Dead(now.saturating_duration_since(heard_at));
        }
        if is_over(self.idle_at(watch)) {
            return Due::Idle;
        }
        if self.asked.is_none() && is_over(self.ask_at(watch)) { Due::Ask } else { Due::Nothing }
    }

    /// Whatever is heard shows that the peer is alive, be it that its PONG waits behind much else.
    fn dead_at(&self) -> Option<Instant> {
        let (_, asked_at) = self.asked?;
        asked_at.max(self.heard_at?).checked_add(self.dead_after)
    }

    fn ask_at(&self, watch: Watch) -> Option<Instant> {
        let heartbeat = self.heartbeat.filter(|_| watch.waits);
        let silence = [heartbeat, self.keep_alive].into_iter().flatten().min()?;
        self.heard_at?.checked_add(silence)
    }

    fn idle_at(&self, watch: Watch) -> Option<Instant> {
        if watch.busy {
            return None;
        }
        self.active_at?.checked_add(self.idle_timeout?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: Watch = Watch { speaks: true, waits: true, busy: true };
    const RESTS: Watch = Watch { speaks: true, waits: false, busy: false };

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    fn heartbeat(settings: Settings, start: Instant) -> Heartbeat {
        let mut heartbeat = Heartbeat::new(&settings);
        assert_eq!(heartbeat.deadline(WAITS), None, "no clock runs before the first turn");
        heartbeat.begin(start);
        heartbeat
    }

    #[test]
    fn silence_asks_and_only_an_unanswered_question_ends() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut beat = heartbeat(Settings::default(), start);
        assert_eq!((beat.look(at(9), WAITS), beat.deadline(WAITS)), (Due::Nothing, Some(at(10))));
        assert_eq!(beat.look(at(10_000), RESTS), Due::Nothing, "nobody waits");
        assert_eq!(beat.look(at(10), WAITS), Due::Ask);
        beat.asked(1, at(10));
        assert_eq!((beat.look(at(29), WAITS), beat.deadline(RESTS)), (Due::Nothing, Some(at(30))));
        // Something else is heard: it lives.
        beat.heard(at(25));
        assert_eq!((beat.look(at(44), WAITS), beat.deadline(WAITS)), (Due::Nothing, Some(at(45))));
        assert_eq!(beat.look(at(45), RESTS), Due::Dead(Duration::from_secs(20)));
        beat.answered(1);
        assert_eq!(beat.look(at(30), WAITS), Due::Nothing);
        assert_eq!(beat.deadline(RESTS), None, "a session at rest needs no timer");
    }

    #[test]
    fn who_keeps_alive_asks_without_need_and_who_never_asks_never_ends() {
        let start = Instant::now();
        let keep_alive = Settings { keep_alive: seconds(5), ..Settings::default() };
        let beat = heartbeat(keep_alive, start);
        assert_eq!(beat.deadline(RESTS), Some(start + Duration::from_secs(5)));
        assert_eq!(beat.look(start + Duration::from_secs(5), RESTS), Due::Ask);
        let never = Settings { heartbeat: None, ..Settings::default() };
        assert_eq!(heartbeat(never, start).deadline(WAITS), None);
        let endless = Settings { heartbeat: Some(Duration::MAX), ..Settings::default() };
        assert_eq!(heartbeat(endless, start).deadline(WAITS), None, "beyond what a clock can say");
    }

    #[test]
    fn who_is_needed_is_not_idle() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let settings = Settings { idle_timeout: seconds(60), ..Settings::default() };
        let mut beat = heartbeat(settings, start);
        assert_eq!((beat.look(at(60), WAITS), beat.look(at(60), RESTS)), (Due::Ask, Due::Idle));
        beat.heard(at(50));
        assert_eq!(beat.look(at(60), RESTS), Due::Idle, "a pong is no message");
        beat.active(at(50));
        assert_eq!((beat.look(at(60), RESTS), beat.deadline(RESTS)), (Due::Nothing, Some(at(110))));
        assert_eq!(beat.look(at(200), Watch::default()), Due::Nothing, "the farewell is said");
    }
}
