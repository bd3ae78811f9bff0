//! Waiting for room in the outbox.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::outbox::{Need, Place};
use crate::session_ref::Shared;

/// Ready when a message may be sent again, or when waiting for it is no use. Dropped, it is no
/// longer on the list of those who wait.
pub(crate) struct Room<'a> {
    shared: &'a Shared,
    need: Need,
    place: Option<Place>,
}

impl<'a> Room<'a> {
    pub(crate) const fn new(shared: &'a Shared, need: Need) -> Self {
        Self { shared, need, place: None }
    }
}

impl Future for Room<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { shared, need, place } = &mut *self;
        let mut waker = Some(cx.waker().clone());
        let polled = shared.lock().poll_room(*need, place, &mut waker);
        drop(waker);
        polled
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            let waker = self.shared.lock().leave_waiters(place);
            drop(waker);
        }
    }
}
