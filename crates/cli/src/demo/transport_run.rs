//! One transport: sessions are opened, everything is sent until the time is over, and measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moorline::Service;
use tokio::task::JoinSet;

use super::PROTOCOL;
use super::event::{Event, Run};
use super::lifeline::Stop;
use super::part::Part;
use super::speaker::{Answers, Speaker};
use crate::tally::Tallies;

/// Sessions open at the same time.
const SESSIONS: usize = 4;

/// How long a transport is used at least: enough messages for the figures to mean something, and a
/// demonstration of a few seconds.
const TIME_MIN: Duration = Duration::from_secs(1);

/// How often the parent hears of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Wrong answers that are told one by one.
const TOLD_MAX: usize = 10;

/// Why a run is not finished.
pub(super) enum Halt {
    /// It was told to stop; what was begun is answered.
    Interrupted,
    /// In words.
    Failed(String),
}

impl From<String> for Halt {
    fn from(reason: String) -> Self {
        Halt::Failed(reason)
    }
}

/// What is sent so far, for whoever watches.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) parts: AtomicU64,
    pub(super) messages: AtomicU64,
    pub(super) bytes: AtomicU64,
}

pub(super) struct TransportRun<'a> {
    pub(super) service: &'a Service,
    pub(super) url: &'a str,
    pub(super) parts: &'a [Arc<Part>],
    pub(super) tallies: &'a Tallies,
    pub(super) stop: Stop,
}

impl TransportRun<'_> {
    /// Tells the parent of progress, of wrong answers, and of the result.
    pub(super) async fn play(self) -> Result<(), Halt> {
        let counters = Arc::new(Counters::default());
        let (speakers, handshake_ms) = self.open(&counters).await?;
        let suite = speakers[0].suite().to_owned();
        let started = Instant::now();
        let mut ticker = JoinSet::new();
        ticker.spawn(tick(self.transport(), Arc::clone(&counters), self.parts.len(), started));
        let (passes, mut answers) = self.speak(&speakers, started).await?;
        for speaker in &speakers {
            speaker.finish(&mut answers).await?;
        }
        let seconds = started.elapsed().as_secs_f64();
        drop(ticker);
        for reason in answers.wrong.iter().take(TOLD_MAX).cloned() {
            Event::Failed { reason }.tell();
        }
        for speaker in &speakers {
            speaker.close();
        }
        if self.stop.is_now() {
            return Err(Halt::Interrupted);
        }
        let messages = counters.messages.load(Ordering::Relaxed);
        let bytes = counters.bytes.load(Ordering::Relaxed);
        Event::Run(Run {
            transport: self.transport(),
            suite,
            handshake_ms: rounded(handshake_ms),
            sessions: speakers.len(),
            passes,
            messages,
            bytes,
            seconds: rounded(seconds),
            messages_per_s: rounded(as_f64(messages) / seconds),
            mb_per_s: rounded(as_f64(bytes) / 1e6 / seconds),
            p50_us: answers.percentile(50),
            p99_us: answers.percentile(99),
            verified: answers.wrong.is_empty(),
        })
        .tell();
        Ok(())
    }

    fn transport(&self) -> String {
        self.url.split("://").next().unwrap_or_default().to_owned()
    }

    /// Opens all sessions, one after the other, and logs in. Returns the median time of a handshake
    /// in milliseconds.
    async fn open(&self, counters: &Arc<Counters>) -> Result<(Vec<Arc<Speaker>>, f64), Halt> {
        let mut speakers = Vec::new();
        let mut times = Vec::new();
        for number in 0..SESSIONS {
            let dialed = Instant::now();
            let session = self
                .service
                .connect(self.url, PROTOCOL)
                .await
                .map_err(|error| Halt::Failed(error.to_string()))?;
            times.push(dialed.elapsed());
            let (tallies, counters) = (self.tallies.clone(), Arc::clone(counters));
            let name = format!("{} session {}", self.transport(), number + 1);
            let speaker = Speaker::new(name, session, tallies, counters, self.stop.clone());
            speaker.login().await?;
            speakers.push(Arc::new(speaker));
        }
        times.sort_unstable();
        Ok((speakers, times[times.len() / 2].as_secs_f64() * 1e3))
    }

    /// Sends every part once, dealt out to the sessions, and again while there is time.
    async fn speak(
        &self,
        speakers: &[Arc<Speaker>],
        started: Instant,
    ) -> Result<(u64, Answers), Halt> {
        let mut answers = Answers::default();
        let mut passes = 0;
        while (passes == 0 || started.elapsed() < TIME_MIN) && !self.stop.is_now() {
            let mut speaking = JoinSet::new();
            for (number, speaker) in speakers.iter().enumerate() {
                let parts = self.parts.iter().skip(number).step_by(speakers.len());
                let parts: Vec<Arc<Part>> = parts.cloned().collect();
                let speaker = Arc::clone(speaker);
                speaking.spawn(async move { speaker.speak(&parts).await });
            }
            while let Some(spoken) = speaking.join_next().await {
                answers.add(spoken.map_err(|error| error.to_string())??);
            }
            passes += 1;
        }
        Ok((passes, answers))
    }
}

/// Tells the parent how far it is: whatever takes longer, the first pass or the time.
async fn tick(transport: String, counters: Arc<Counters>, parts: usize, started: Instant) {
    let parts = as_f64(u64::try_from(parts).unwrap_or(u64::MAX)).max(1.0);
    loop {
        let sent = as_f64(counters.parts.load(Ordering::Relaxed)) / parts;
        let time = started.elapsed().as_secs_f64() / TIME_MIN.as_secs_f64();
        Event::Progress {
            transport: transport.clone(),
            fraction: sent.min(time).min(1.0),
            messages: counters.messages.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
        }
        .tell();
        tokio::time::sleep(PROGRESS_EVERY).await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people need no 53 bits")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

/// Three digits behind the point.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
