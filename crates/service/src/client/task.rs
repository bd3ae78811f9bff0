//! The one task of a client: it dials, waits, and tells, as the machine wishes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use moorline_protocol::{CloseReason, ErrorCode, Farewell};
use moorline_session::SessionRef;
use tracing::Instrument;

use super::back_off::BackOff;
use super::machine::{Input, Wish};
use super::shared::Shared;
use crate::connector;
use crate::error::Result;
use crate::service::{Inner, Way};

/// What a client runs on.
pub(super) struct Runner {
    pub(super) shared: Arc<Shared>,
    pub(super) inner: Arc<Inner>,
    pub(super) way: Way,
    pub(super) back_off: BackOff,
}

/// A dialing on its way, and its number.
type Dialing = (u64, Pin<Box<dyn Future<Output = Result<SessionRef>> + Send>>);

impl Runner {
    /// Until the client is over.
    pub(super) async fn run(mut self) {
        let mut end =
            End { shared: Arc::clone(&self.shared), inner: Arc::clone(&self.inner), reason: None };
        let mut dialing: Option<Dialing> = None;
        loop {
            self.shared.tell();
            let wish = self.shared.wish();
            if !matches!(wish, Wish::Dial(_)) {
                dialing = None;
            }
            match wish {
                Wish::Dial(number) => {
                    dialing.take_if(|(current, _)| *current != number);
                    let (_, work) = dialing.get_or_insert_with(|| (number, self.dial()));
                    tokio::select! {
                        result = work => {
                            dialing = None;
                            // A session has told of itself already.
                            result.map_or_else(|error| self.shared.dial_failed(error), drop);
                        }
                        () = self.shared.work.notified() => {}
                    }
                }
                Wish::StopDialing => drop(self.shared.apply(Input::DialStopped)),
                Wish::Decide(attempt, reason) => {
                    let wait = self.back_off.wait(attempt, &reason, self.dice());
                    self.shared.apply(Input::Decided(wait));
                }
                Wish::Sleep(until) => tokio::select! {
                    () = tokio::time::sleep_until(until.into()) => drop(self.shared.apply(Input::TimeUp)),
                    () = self.shared.work.notified() => {}
                },
                Wish::Nothing => self.shared.work.notified().await,
                Wish::Finish(reason) => {
                    end.reason = Some(reason);
                    return;
                }
            }
        }
    }

    fn dial(&self) -> Pin<Box<dyn Future<Output = Result<SessionRef>> + Send>> {
        let (inner, way, shared) =
            (Arc::clone(&self.inner), self.way.clone(), Arc::clone(&self.shared));
        let span = tracing::info_span!("client", id = %self.shared.lasting.id());
        Box::pin(connector::connect(inner, way, Some(shared)).instrument(span))
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
