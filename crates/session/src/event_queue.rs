//! Events of sessions in a queue, for whoever cannot take them inline.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use moorline_protocol::Overflow;

use crate::backlog::{Backlog, Next};
use crate::hub::Hub;
use crate::requests::keep_waker;
use crate::topic::{Subscription, SystemEvent, Topic};

/// So many events were left out here, because nobody read them in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} events were left out (knob: `capacity` of the queue)")]
pub struct Lagged(pub u64);

/// Events of a topic, read by whoever holds it. Dropping it unsubscribes.
pub struct EventQueue<E> {
    queue: Arc<Mutex<Queue<E>>>,
    subscription: Option<Subscription>,
}

struct Queue<E> {
    backlog: Backlog<E>,
    waker: Option<Waker>,
}

impl Hub {
    /// Keeps events of a topic until they are read, at most `capacity` of them: one more, and the
    /// oldest is left out and counted.
    pub fn subscribe_queue<E: SystemEvent + Clone + Send>(
        &self,
        topic: Topic<E>,
        capacity: usize,
    ) -> EventQueue<E> {
        let backlog = Backlog::new(Overflow::DropOldest);
        let queue = Arc::new(Mutex::new(Queue { backlog, waker: None }));
        let filled = Arc::clone(&queue);
        let hear = move |event: &E| {
            let event = event.clone();
            let mut queue = lock(&filled);
            queue.backlog.put(event, 1, capacity, drop);
            let waker = queue.waker.take();
            drop(queue);
            waker.into_iter().for_each(Waker::wake);
        };
        let subscription = Some(self.subscribe(topic, |_| true, hear));
        EventQueue { queue, subscription }
    }
}

impl<E> EventQueue<E> {
    /// The next event.
    ///
    /// # Errors
    /// [`Lagged`]: so many were left out here. The next call goes on behind them.
    ///
    /// # Cancel safety
    /// No event is lost.
    pub async fn recv(&mut self) -> Result<E, Lagged> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for whoever writes a future by hand.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<E, Lagged>> {
        let mut waker = Some(cx.waker().clone());
        let mut queue = lock(&self.queue);
        let next = queue.backlog.next();
        if next.is_none() {
            keep_waker(&mut queue.waker, &mut waker);
        }
        drop(queue);
        drop(waker);
        match next {
            None => Poll::Pending,
            Some(Next::Item(event)) => Poll::Ready(Ok(event)),
            Some(Next::Missed(count)) => Poll::Ready(Err(Lagged(count))),
        }
    }

    /// How many have been left out in all.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        lock(&self.queue).backlog.left_out()
    }
}

impl<E> Drop for EventQueue<E> {
    fn drop(&mut self) {
        self.subscription.take().into_iter().for_each(Subscription::unsubscribe);
    }
}

impl<E> fmt::Debug for EventQueue<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue").field("left_out", &self.left_out()).finish_non_exhaustive()
    }
}

fn lock<E>(queue: &Mutex<Queue<E>>) -> MutexGuard<'_, Queue<E>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
