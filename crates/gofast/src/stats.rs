//! gofast's statistics, under gofast's names: of one connection, and of all there were.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The counters with their names, in gofast's order, and what else we count.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// What was sent and received. Names and meanings are gofast's, but for the last two.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Statistics {
            $($(#[$doc])* pub $name: u64,)+
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)+
            heard: Mutex<Option<Instant>>,
        }

        impl Statistics {
            /// Name and number of each.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }

            fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
            }
        }

        impl Counters {
            fn read(&self) -> Statistics {
                Statistics { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

counters! {
    /// Packets sent.
    n_tx,
    /// Blocks handed to the writer, each of as many packets as fitted.
    n_flushes,
    /// Bytes sent.
    n_txbyte,
    /// Posts sent.
    n_txpost,
    /// Requests sent.
    n_txreq,
    /// Answers sent.
    n_txresp,
    /// Streams begun by this side.
    n_txstart,
    /// Messages sent on streams.
    n_txstream,
    /// Ends of streams sent.
    n_txfin,
    /// Packets received.
    n_rx,
    /// Bytes received, of whole packets.
    n_rxbyte,
    /// Posts received, heartbeats too.
    n_rxpost,
    /// Requests received.
    n_rxreq,
    /// Answers received.
    n_rxresp,
    /// Streams begun by the peer.
    n_rxstart,
    /// Messages received on streams.
    n_rxstream,
    /// Ends of streams received.
    n_rxfin,
    /// Heartbeats received.
    n_rxbeats,
    /// Bytes received that are no packet.
    n_dropped,
    /// Messages for streams that are over, and ends of streams that are not there.
    n_mdrops,
    /// Errors that a peer asked for by its request and gofast has no way to tell.
    errors_unsaid,
    /// Messages without an id or without data, which reach no handler of their own.
    invalid,
}

/// What is counted for every frame, by who alone counts it: handed on when there is nothing more to
/// look at.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) posts: u64,
    pub(crate) messages: u64,
}

impl Received {
    pub(crate) fn hand_on(&mut self, counters: &Counters) {
        let Self { packets, bytes, posts, messages } = std::mem::take(self);
        if packets > 0 {
            Counters::add(&counters.n_rx, packets);
            Counters::add(&counters.n_rxbyte, bytes);
            Counters::add(&counters.n_rxpost, posts);
            Counters::add(&counters.n_rxstream, messages);
        }
    }
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        if count > 0 {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn heard(&self, now: Instant) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}

/// The counters of one connection; it may be over.
#[derive(Debug, Clone)]
pub struct ConnectionStats {
    peer: Arc<Peer>,
    counters: Arc<Counters>,
}

/// What a peer has said of itself.
#[derive(Debug)]
struct Peer {
    name: Box<str>,
    version: Option<u64>,
}

impl ConnectionStats {
    /// What the peer calls itself in its whoami; escaped.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.peer.name
    }

    /// Its version; `None` if it has one that only its application can read.
    #[must_use]
    pub fn peer_version(&self) -> Option<u64> {
        self.peer.version
    }

    /// The counters now.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.counters.read()
    }

    /// Time since the last heartbeat of the peer's; `None` if there was none.
    #[must_use]
    pub fn silent_since(&self, now: Instant) -> Option<Duration> {
        let heard = *self.counters.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.map(|heard| now.saturating_duration_since(heard))
    }
}

/// Counters of all connections that one factory has made: cheap to clone, and to keep.
#[derive(Debug, Clone, Default)]
pub struct GofastStats(Arc<Mutex<All>>);

#[derive(Debug, Default)]
struct All {
    open: Vec<(Arc<Peer>, Weak<Counters>)>,
    over: Statistics,
}

impl GofastStats {
    /// The sum over all connections, open ones and those that are over.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let all = self.lock();
        let mut sum = all.over;
        all.open.iter().filter_map(|(_, open)| open.upgrade()).for_each(|c| sum.add(&c.read()));
        sum
    }

    /// Connections that are open, in the order they were.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionStats> {
        let all = self.lock();
        let open = all.open.iter().filter_map(|(peer, open)| Some((peer, open.upgrade()?)));
        open.map(|(peer, counters)| ConnectionStats { peer: Arc::clone(peer), counters }).collect()
    }

    pub(crate) fn enter(
        &self,
        name: &str,
        version: Option<u64>,
        counters: &Arc<Counters>,
    ) -> Entered {
        let peer = Arc::new(Peer { name: name.into(), version });
        self.lock().open.push((peer, Arc::downgrade(counters)));
        Entered { all: self.clone(), counters: Arc::clone(counters) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection among the open ones. Dropped, what it has counted stays in the sum.
#[derive(Debug)]
pub(crate) struct Entered {
    all: GofastStats,
    counters: Arc<Counters>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        let ours = Arc::downgrade(&self.counters);
        all.open.retain(|(_, open)| !Weak::ptr_eq(open, &ours));
        all.over.add(&self.counters.read());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_stays_in_the_sum_and_leaves_the_list() {
        let stats = GofastStats::default();
        let counters = Arc::new(Counters::default());
        let entered = stats.enter("ada", Some(3), &counters);
        Counters::add(&counters.n_tx, 3);
        let [open] = &stats.connections()[..] else { panic!("one is open") };
        assert_eq!((open.peer(), open.peer_version()), ("ada", Some(3)));
        assert_eq!(open.statistics().n_tx, 3);
        assert_eq!(stats.statistics().n_tx, 3);
        drop(entered);
        assert!(stats.connections().is_empty());
        assert_eq!(stats.statistics().n_tx, 3);
    }

    #[test]
    fn silence_is_the_time_since_the_last_heartbeat() {
        let stats = GofastStats::default();
        let counters = Arc::new(Counters::default());
        let _entered = stats.enter("ada", Some(3), &counters);
        let now = Instant::now();
        let connection = &stats.connections()[0];
        assert_eq!(connection.silent_since(now), None);
        counters.heard(now);
        let later = now + Duration::from_secs(3);
        assert_eq!(connection.silent_since(later), Some(Duration::from_secs(3)));
    }

    #[test]
    fn there_are_gofasts_twenty_and_two_of_ours() {
        let names: Vec<_> = Statistics::default().iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 22);
        assert_eq!((names[0], names[19]), ("n_tx", "n_mdrops"));
    }
}
