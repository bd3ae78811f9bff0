//! Whether the peer is still there, and whether anybody needs it: looked at when something happens,
//! so that a session at rest needs no timer.

use std::time::{Duration, Instant};

use moorline_protocol::Settings;

/// Silence ends nothing by itself: it makes us ask, and only a question that stands unanswered while
/// nothing else is heard ends the session.
//= docs/PROTOCOL.md#7
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// Whether the protocol can ask at all.
    pings: bool,
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
    pub(crate) const fn new(pings: bool) -> Self {
        Self { pings, heard_at: None, asked: None, active_at: None }
    }

    /// The first turn starts the clocks.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.heard_at.get_or_insert(now);
        self.active_at.get_or_insert(now);
    }

    /// A frame has come, a message or another, or the way to the peer has moved.
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
    pub(crate) fn deadline(&self, settings: &Settings, watch: Watch) -> Option<Instant> {
        if !watch.speaks {
            return None;
        }
        let peer = self.dead_at(settings).or_else(|| self.ask_at(settings, watch));
        [peer, self.idle_at(settings, watch)].into_iter().flatten().min()
    }

    /// All that the peer had said at `read_at` has been taken. Nobody is called dead or idle for what
    /// waits to be read, because this process stood still.
    pub(crate) fn look(
        &self,
        now: Instant,
        read_at: Option<Instant>,
        settings: &Settings,
        watch: Watch,
    ) -> Due {
        let is_over =
            |time: Option<Instant>| time.zip(read_at).is_some_and(|(time, at)| time <= at);
        if !watch.speaks {
            return Due::Nothing;
        }
        if is_over(self.dead_at(settings)) {
            let heard_at = self.heard_at.unwrap_or(now);
            return Due::Dead(now.saturating_duration_since(heard_at));
        }
        if is_over(self.idle_at(settings, watch)) {
            return Due::Idle;
        }
        let is_time = |time: Instant| time <= now;
        if self.asked.is_none() && self.ask_at(settings, watch).is_some_and(is_time) {
            Due::Ask
        } else {
            Due::Nothing
        }
    }

    /// Whatever is heard shows that the peer is alive, be it that its PONG waits behind much else.
    fn dead_at(&self, settings: &Settings) -> Option<Instant> {
        let (_, asked_at) = self.asked?;
        asked_at.max(self.heard_at?).checked_add(settings.dead_after)
    }

    fn ask_at(&self, settings: &Settings, watch: Watch) -> Option<Instant> {
        let heartbeat = settings.heartbeat.filter(|_| watch.waits);
        let silence = [heartbeat, settings.keep_alive].into_iter().flatten().min();
        let silence = silence.filter(|_| self.pings)?;
        self.heard_at?.checked_add(silence)
    }

    fn idle_at(&self, settings: &Settings, watch: Watch) -> Option<Instant> {
        if watch.busy {
            return None;
        }
        self.active_at?.checked_add(settings.idle_timeout?)
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

    /// A heartbeat with settings of its own, and times in seconds since it began.
    struct Beat(Heartbeat, Settings, Instant);

    impl Beat {
        fn new(settings: Settings) -> Self {
            let (start, mut beat) = (Instant::now(), Heartbeat::new(true));
            assert_eq!(
                beat.deadline(&settings, WAITS),
                None,
                "no clock runs before the first turn"
            );
            beat.begin(start);
            Self(beat, settings, start)
        }

        fn at(&self, seconds: u64) -> Instant {
            self.2 + Duration::from_secs(seconds)
        }

        fn look(&self, seconds: u64, watch: Watch) -> Due {
            self.0.look(self.at(seconds), Some(self.at(seconds)), &self.1, watch)
        }

        fn deadline(&self, watch: Watch) -> Option<u64> {
            self.0.deadline(&self.1, watch).map(|deadline| (deadline - self.2).as_secs())
        }
    }

    #[test]
    fn silence_asks_and_only_an_unanswered_question_ends() {
        let mut beat = Beat::new(Settings::default());
        assert_eq!((beat.look(9, WAITS), beat.deadline(WAITS)), (Due::Nothing, Some(10)));
        assert_eq!(beat.look(10_000, RESTS), Due::Nothing, "nobody waits");
        assert_eq!(beat.look(10, WAITS), Due::Ask);
        beat.0.asked(1, beat.at(10));
        assert_eq!((beat.look(29, WAITS), beat.deadline(RESTS)), (Due::Nothing, Some(30)));
        // Something else is heard: it lives.
        beat.0.heard(beat.at(25));
        assert_eq!((beat.look(44, WAITS), beat.deadline(WAITS)), (Due::Nothing, Some(45)));
        assert_eq!(beat.look(45, RESTS), Due::Dead(Duration::from_secs(20)));
        let (late, before) = (beat.at(45), Some(beat.at(44)));
        let unread = beat.0.look(late, before, &beat.1, RESTS);
        assert_eq!(unread, Due::Nothing, "its pong may wait to be read");
        beat.0.answered(1);
        assert_eq!(beat.look(30, WAITS), Due::Nothing);
        assert_eq!(beat.deadline(RESTS), None, "a session at rest needs no timer");
    }

    #[test]
    fn who_keeps_alive_asks_without_need_and_who_never_asks_never_ends() {
        let beat = Beat::new(Settings { keep_alive: seconds(5), ..Settings::default() });
        assert_eq!((beat.deadline(RESTS), beat.look(5, RESTS)), (Some(5), Due::Ask));
        let never = Settings { heartbeat: None, ..Settings::default() };
        assert_eq!(Beat::new(never).deadline(WAITS), None);
        let endless = Settings { heartbeat: Some(Duration::MAX), ..Settings::default() };
        assert_eq!(Beat::new(endless).deadline(WAITS), None, "beyond what a clock can say");
        let mut mute = Beat::new(Settings::default());
        mute.0.pings = false;
        assert_eq!(mute.deadline(WAITS), None, "the protocol cannot ask");
    }

    #[test]
    fn who_is_needed_is_not_idle() {
        let settings = Settings { idle_timeout: seconds(60), ..Settings::default() };
        let mut beat = Beat::new(settings);
        assert_eq!((beat.look(60, WAITS), beat.look(60, RESTS)), (Due::Ask, Due::Idle));
        beat.0.heard(beat.at(50));
        assert_eq!(beat.look(60, RESTS), Due::Idle, "a pong is no message");
        beat.0.active(beat.at(50));
        assert_eq!((beat.look(60, RESTS), beat.deadline(RESTS)), (Due::Nothing, Some(110)));
        assert_eq!(beat.look(200, Watch::default()), Due::Nothing, "the farewell is said");
    }
}
