//! Threads of a service's own, each with a runtime of one thread. A session lives on one of them from
//! its handshake to its end: what it needs is where it was, and nothing of it moves between cores.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

use crate::limits::SHARD_EVENT_INTERVAL;

/// All of them; none where sessions run in the caller's runtime. Dropped with the service, their
/// threads end by themselves.
#[derive(Default)]
pub(crate) struct Shards {
    shards: Vec<Shard>,
    /// Where the next look for the least load begins: of equals each has its turn.
    next: AtomicUsize,
}

struct Shard {
    handle: Handle,
    load: Arc<AtomicUsize>,
    /// Its thread ends when this is dropped.
    _stop: oneshot::Sender<()>,
}

/// A place on a shard, counted as load until it is dropped.
pub(crate) struct Place {
    pub(crate) handle: Handle,
    load: Arc<AtomicUsize>,
}

impl Shards {
    /// Starts so many threads.
    ///
    /// # Errors
    /// The system has no more threads or descriptors.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let shards = (0..count).map(Shard::start).collect::<io::Result<_>>()?;
        Ok(Self { shards, next: AtomicUsize::new(0) })
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    /// A place where the fewest are.
    pub(crate) fn least(&self) -> Option<Place> {
        let count = self.shards.len();
        let from = self.next.fetch_add(1, Ordering::Relaxed);
        let all = (0..count).map(|step| &self.shards[from.wrapping_add(step) % count]);
        all.min_by_key(|shard| shard.load.load(Ordering::Relaxed)).map(Shard::place)
    }

    /// A place on this very shard.
    pub(crate) fn place(&self, number: usize) -> Option<Place> {
        self.shards.get(number).map(Shard::place)
    }

    /// Sessions and handshakes, by shard.
    pub(crate) fn loads(&self) -> Vec<usize> {
        self.shards.iter().map(|shard| shard.load.load(Ordering::Relaxed)).collect()
    }
}

impl Shard {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            // Sockets are looked at less often while there is work: the batches get larger.
            .event_interval(SHARD_EVENT_INTERVAL)
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new().name(format!("moorline-{number}")).spawn(move || {
            // Nobody sends: it ends when the other end is dropped.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { handle, load: Arc::default(), _stop: stop })
    }

    fn place(&self) -> Place {
        self.load.fetch_add(1, Ordering::Relaxed);
        Place { handle: self.handle.clone(), load: Arc::clone(&self.load) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs `work` there and waits for it. Dropped before, it is dropped there as well.
///
/// # Errors
/// The thread has ended.
///
/// # Panics
/// The work did.
pub(crate) async fn run_on<T: Send + 'static>(
    shard: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, JoinError> {
    struct Abort<T>(JoinHandle<T>);
    impl<T> Drop for Abort<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let mut task = Abort(shard.spawn(work));
    let done = (&mut task.0).await;
    done.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_goes_where_the_fewest_are() {
        let shards = Shards::start(3).unwrap();
        let mut places: Vec<_> = (0..9).map(|_| shards.least().unwrap()).collect();
        assert_eq!(shards.loads(), [3, 3, 3]);
        let here = places[4].handle.id();
        places.retain(|place| place.handle.id() != here);
        assert_eq!(shards.loads().iter().sum::<usize>(), 6);
        for _ in 0..3 {
            let place = shards.least().unwrap();
            assert_eq!(place.handle.id(), here);
            places.push(place);
        }
        assert_eq!(shards.loads(), [3, 3, 3]);
        assert!(Shards::default().least().is_none());
    }

    #[test]
    fn a_thread_runs_what_it_is_given_and_ends_with_its_shard() {
        let shards = Shards::start(1).unwrap();
        let (tell, heard) = std::sync::mpsc::channel();
        let told = tell.clone();
        let place = shards.least().unwrap();
        place.handle.spawn(async move { told.send(thread::current().name().map(String::from)) });
        assert_eq!(heard.recv().unwrap().as_deref(), Some("moorline-0"));
        // What still waits there is dropped with it.
        place.handle.spawn(async move {
            std::future::pending::<()>().await;
            drop(tell);
        });
        drop((place, shards));
        assert!(heard.recv().is_err());
    }
}
