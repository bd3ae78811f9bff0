//! A child's stdin: the parent's first line, and then nothing until it is time to stop.
//!
//! It ends when the parent closes it, and also when the parent dies, however that comes about: no
//! child is left behind.

use std::io::BufRead;

use tokio::sync::{oneshot, watch};

/// Says when it is time to stop.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// For tests of what is said before it is time to stop.
    #[cfg(test)]
    pub(crate) fn never() -> Self {
        Self(watch::channel(false).1)
    }

    pub(crate) fn is_now(&self) -> bool {
        *self.0.borrow()
    }

    /// # Cancel safety
    /// It only waits.
    pub(crate) async fn wait(&mut self) {
        // An error means that the reader of stdin is gone, and with it everything that could be said.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// Reads stdin on a thread of its own, which the end of the process ends. The first line comes out
/// of the first channel, empty if there was none.
pub(crate) fn hold() -> (oneshot::Receiver<String>, Stop) {
    let (give_line, line) = oneshot::channel();
    let (give_stop, stop) = watch::channel(false);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut first = String::new();
        let _ = stdin.read_line(&mut first);
        let _ = give_line.send(first);
        let _ = std::io::copy(&mut stdin, &mut std::io::sink());
        let _ = give_stop.send(true);
    });
    (line, Stop(stop))
}
