//! The one task of a client: it dials, waits, and tells, as the machine wishes.

use std::sync::Arc;

use moorline_protocol::{CloseReason, ErrorCode, Farewell};
use moorline_session::SessionRef;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::back_off::BackOff;
use super::machine::{Input, Wish};
use super::shared::Shared;
use crate::connector;
use crate::error::{Error, Result};
use crate::service::{Inner, Way};

/// What a client runs on.
pub(super) struct Runner {
    pub(super) shared: Arc<Shared>,
    pub(super) inner: Arc<Inner>,
    pub(super) way: Way,
    pub(super) back_off: BackOff,
}

/// A dialing on its way: a task, because it may be on another thread. Dropped, it is stopped there.
struct Dialing {
    number: u64,
    task: JoinHandle<Result<SessionRef>>,
}

impl Drop for Dialing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dialing {
    /// Stops it, unless it was faster, and waits until nothing of it is left.
    async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Runner {
    /// Until the client is over.
    pub(super) async fn run(mut self) {
        let mut end = End::new(&self);
        let mut dialing: Option<Dialing> = None;
        loop {
            self.shared.tell();
            match self.shared.wish() {
                Wish::Dial(number) => self.see_to(number, &mut dialing).await,
                Wish::StopDialing => {
                    if let Some(dialing) = dialing.take() {
                        dialing.stop().await;
                    }
                    self.shared.apply(Input::DialStopped);
                }
                Wish::Decide(attempt, reason) => {
                    let wait = self.back_off.wait(attempt, &reason, self.dice());
                    self.shared.apply(Input::Decided(wait));
                }
                Wish::Sleep(until) => tokio::select! {
                    () = tokio::time::sleep_until(until.into()) => {
                        self.shared.apply(Input::TimeUp);
                    }
                    () = self.shared.work.notified() => {}
                },
                Wish::Nothing => self.shared.work.notified().await,
                Wish::Finish(reason) => {
                    // It may have come to that since they were told.
                    self.shared.tell();
                    end.reason = Some(reason);
                    return;
                }
            }
        }
    }

    /// Dials, until that comes to an end or something else is to be looked at.
    async fn see_to(&mut self, number: u64, dialing: &mut Option<Dialing>) {
        if let Some(old) = dialing.take_if(|dialing| dialing.number != number) {
            // It may have made a session meanwhile: then there is nothing to dial for.
            return old.stop().await;
        }
        let current = dialing.get_or_insert_with(|| self.dial(number));
        let result = tokio::select! {
            result = &mut current.task => result,
            () = self.shared.work.notified() => return,
        };
        *dialing = None;
        let error = match result {
            // A session has told of itself already.
            Ok(Ok(_session)) => return,
            Ok(Err(error)) => error,
            // It panicked, or its runtime is gone.
            Err(error) => Error::Io(std::io::Error::other(error)),
        };
        // Meanwhile it may be another that is wished for, of which this says nothing.
        if self.shared.wish() == Wish::Dial(number) {
            self.shared.dial_failed(error);
        }
    }

    /// Where the session will live.
    fn dial(&self, number: u64) -> Dialing {
        let (inner, shared) = (Arc::clone(&self.inner), Arc::clone(&self.shared));
        let place = inner.shards.least();
        let handle = place.as_ref().map_or_else(Handle::current, |place| place.handle.clone());
        let span = tracing::info_span!("client", id = %shared.lasting.id());
        let work = connector::connect_here(inner, self.way.clone(), Some(shared), place);
        Dialing { number, task: handle.spawn(work.instrument(span)) }
    }

    /// Any number. Without randomness all clients wait equally long, which is no reason to stop.
    fn dice(&self) -> u64 {
        let mut dice = [0; 8];
        let _ = self.inner.local.provider.rng.fill(&mut dice);
        u64::from_le_bytes(dice)
    }
}

/// However the task ends, it owes everybody an end: it may be torn down with its runtime.
struct End {
    shared: Arc<Shared>,
    inner: Arc<Inner>,
    reason: Option<CloseReason>,
}

impl End {
    fn new(runner: &Runner) -> Self {
        let Runner { shared, inner, .. } = runner;
        Self { shared: Arc::clone(shared), inner: Arc::clone(inner), reason: None }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let stopped = || Farewell::new(ErrorCode::INTERNAL, "the task of the client was stopped");
        let reason = self.reason.take().unwrap_or_else(|| CloseReason::ByUs(stopped()));
        self.inner.clients.forget(self.shared.lasting.id());
        let lost_bytes = self.shared.finish(&reason);
        if self.inner.is_stopped() {
            self.inner.left_behind().bytes += lost_bytes;
        }
    }
}
