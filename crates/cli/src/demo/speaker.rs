//! One session of the client: what is said on it, and whether the answers are right.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use moorline::{Request, SessionRef};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::lifeline::Stop;
use super::part::{Content, PART_BYTES_MAX, Part};
use super::transport_run::Counters;
use crate::bytes::Bytes;
use crate::messages::{Digest, Echo, Finish, Login, Note};
use crate::tally::Tallies;

/// Requests under way at the same time in one session.
const REQUESTS_MAX: usize = 32;

/// Bytes of requests under way in one session: the largest part, or many small ones. It stays below
/// the limit of the outbox, so that no request is refused for want of room.
const BYTES_MAX: u64 = PART_BYTES_MAX + 1024 * 1024;

/// What came back.
#[derive(Default)]
pub(super) struct Answers {
    latencies_us: Vec<f64>,
    /// What was not as it should be, in words.
    pub(super) wrong: Vec<String>,
}

impl Answers {
    pub(super) fn add(&mut self, more: Answers) {
        self.latencies_us.extend(more.latencies_us);
        self.wrong.extend(more.wrong);
    }

    /// The time within which this many of a hundred requests were answered, in microseconds; 0 if
    /// there was none.
    pub(super) fn percentile(&mut self, of_hundred: usize) -> f64 {
        self.latencies_us.sort_unstable_by(f64::total_cmp);
        let count = (self.latencies_us.len() * of_hundred).div_ceil(100);
        self.latencies_us.get(count.saturating_sub(1)).copied().unwrap_or(0.0)
    }

    fn check(&mut self, right: bool, what: impl FnOnce() -> String) {
        if !right {
            self.wrong.push(what());
        }
    }
}

pub(super) struct Speaker {
    name: String,
    session: SessionRef,
    tallies: Tallies,
    counters: Arc<Counters>,
    stop: Stop,
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

impl Speaker {
    pub(super) fn new(
        name: String,
        session: SessionRef,
        tallies: Tallies,
        counters: Arc<Counters>,
        stop: Stop,
    ) -> Self {
        let bytes = usize::try_from(BYTES_MAX).expect("a few MiB fit into memory");
        Self {
            name,
            session,
            tallies,
            counters,
            stop,
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            bytes: Arc::new(Semaphore::new(bytes)),
        }
    }

    pub(super) fn suite(&self) -> &'static str {
        self.session.peer().suite
    }

    pub(super) fn close(&self) {
        self.session.close();
    }

    /// Says who comes, and sees that the list knows us.
    pub(super) async fn login(&self) -> Result<(), String> {
        let welcome = self.ask(Login { name: self.name.clone() }).await?;
        if welcome.listed_as == "demo-client" && welcome.greeting.ends_with(&self.name) {
            return Ok(());
        }
        Err(format!("{}: the server takes us for {:?}", self.name, welcome.listed_as))
    }

    /// Posts a note of each part, and asks for its digest without waiting for the one before.
    ///
    /// # Errors
    /// A request was not answered. Answers that are wrong are among what is returned.
    pub(super) async fn speak(self: &Arc<Self>, parts: &[Arc<Part>]) -> Result<Answers, String> {
        let mut answers = Answers::default();
        let mut calls = JoinSet::new();
        for part in parts {
            if self.stop.is_now() {
                break;
            }
            let content = part.load().await?;
            let room = self.room_for(part.size).await;
            self.post(format!("{}: {} bytes follow", part.label, part.size)).await?;
            let (speaker, part) = (Arc::clone(self), Arc::clone(part));
            calls.spawn(async move { speaker.ask_about(&part, &content, room).await });
            while let Some(ended) = calls.try_join_next() {
                answers.add(ended.map_err(|error| error.to_string())??);
            }
        }
        while let Some(ended) = calls.join_next().await {
            answers.add(ended.map_err(|error| error.to_string())??);
        }
        Ok(answers)
    }

    /// Waits until another request of this size may be under way, which it is until the result is
    /// dropped.
    async fn room_for(&self, size: u64) -> (OwnedSemaphorePermit, OwnedSemaphorePermit) {
        let size = u32::try_from(size).expect("a part is below 4 GiB");
        let requests = Arc::clone(&self.requests).acquire_owned().await;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(size).await;
        let open = "the semaphores of a speaker are never closed";
        (requests.expect(open), bytes.expect(open))
    }

    /// A digest, and an echo of it.
    async fn ask_about(
        &self,
        part: &Part,
        content: &Content,
        _room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
    ) -> Result<Answers, String> {
        let mut answers = Answers::default();
        let (name, label) = (&self.name, &part.label);
        let asked = Instant::now();
        let digest = self.ask(Digest { data: Bytes(content.bytes.clone()) }).await?;
        answers.latencies_us.push(micros_since(asked));
        answers.check(digest.size == part.size, || {
            format!("{name}: {label} has {} bytes, the server has {}", part.size, digest.size)
        });
        answers.check(digest.sha256 == content.sha256, || {
            let (ours, theirs) = (&content.sha256, &digest.sha256);
            format!("{name}: {label} has SHA-256 {ours}, the server has {theirs}")
        });
        self.tallies.digest(self.session.id(), part.size);
        self.counters.bytes.fetch_add(part.size, Ordering::Relaxed);

        let id = self.counters.parts.fetch_add(1, Ordering::Relaxed);
        let data = content.sha256.as_bytes();
        let asked = Instant::now();
        let echo = self.ask(Echo { id, name: label.clone(), data: Bytes(data.to_vec()) }).await?;
        answers.latencies_us.push(micros_since(asked));
        answers.check(echo.id == id && echo.name == *label && echo.data.0 == data, || {
            format!("{name}: the echo of {label} is another")
        });
        Ok(answers)
    }

    /// Has both sides compare what they have counted; the server asks back meanwhile.
    pub(super) async fn finish(&self, answers: &mut Answers) -> Result<(), String> {
        let verdict = self.ask(Finish {}).await?;
        // The request of the server.
        self.counters.messages.fetch_add(1, Ordering::Relaxed);
        answers.check(verdict.difference.is_empty(), || {
            format!("{}: both sides counted differently: {}", self.name, verdict.difference)
        });
        Ok(())
    }

    async fn post(&self, text: String) -> Result<(), String> {
        self.tallies.note(self.session.id(), &text);
        self.counters.messages.fetch_add(1, Ordering::Relaxed);
        let sent = self.session.send_wait(&Note { text }).await;
        sent.map_err(|error| format!("{}: {error}", self.name))
    }

    async fn ask<Q: Request>(&self, request: Q) -> Result<Q::Response, String>
    where
        Q::Error: std::fmt::Display,
    {
        self.counters.messages.fetch_add(1, Ordering::Relaxed);
        self.session.request(request).await.map_err(|error| format!("{}: {error}", self.name))
    }
}

/// With one digit behind the point.
fn micros_since(instant: Instant) -> f64 {
    (instant.elapsed().as_secs_f64() * 1e7).round() / 10.0
}

#[cfg(test)]
mod tests;
