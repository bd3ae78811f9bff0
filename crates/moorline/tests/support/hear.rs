//! Waiting for things to happen, without sleeping.

use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex};

use moorline::{Service, Subscription, Topic};
use tokio::sync::mpsc;

use super::within;

/// What a handler or a subscriber has told, one after the other.
pub(crate) struct Heard<T>(mpsc::UnboundedReceiver<T>);

/// The two ends of an ear.
pub(crate) fn hear<T>() -> (mpsc::UnboundedSender<T>, Heard<T>) {
    let (tell, heard) = mpsc::unbounded_channel();
    (tell, Heard(heard))
}

impl<T: Debug> Heard<T> {
    /// All events of a topic of a service.
    pub(crate) fn topic<E>(service: &Service, topic: Topic<E>) -> (Heard<E>, Subscription)
    where
        E: moorline_session::SystemEvent + Clone + Send,
    {
        let (tell, heard) = hear();
        let subscription = service.subscribe(topic, move |event: &E| {
            let _ = tell.send(event.clone());
        });
        (heard, subscription)
    }

    /// The next one; it comes within the patience of a test.
    pub(crate) async fn next(&mut self) -> T {
        within(self.0.recv()).await.expect("whoever tells is still there")
    }

    /// Those that are there already.
    pub(crate) fn so_far(&mut self) -> Vec<T> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

/// Holds threads up until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }
}
