//! Counters for whatever recorder of the crate `metrics` the program has installed: once a second, by what
//! has been added since, so that several services of a process add up. A message knows nothing of it.

use std::sync::{Mutex, PoisonError};

use moorline_buffers::PoolStats;
use moorline_session::{Counters, STATISTICS, SessionRef};

use crate::service::Inner;

/// The names of [`Counters::statistics`], in its order, as recorders get them.
const NAMES: [&str; STATISTICS] = [
    "moorline_n_tx",
    "moorline_n_flushes",
    "moorline_n_txbyte",
    "moorline_n_txpost",
    "moorline_n_txreq",
    "moorline_n_txresp",
    "moorline_n_txstart",
    "moorline_n_txstream",
    "moorline_n_txfin",
    "moorline_n_rx",
    "moorline_n_rxbyte",
    "moorline_n_rxpost",
    "moorline_n_rxreq",
    "moorline_n_rxresp",
    "moorline_n_rxstart",
    "moorline_n_rxstream",
    "moorline_n_rxfin",
    "moorline_n_rxbeats",
    "moorline_n_dropped",
    "moorline_n_mdrops",
];

/// What was told so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    totals: Mutex<[u64; STATISTICS]>,
    /// Empty between two ticks, of which none allocates.
    open: Mutex<Vec<SessionRef>>,
}

impl Told {
    /// Tells what has been added since it was last called.
    pub(crate) fn tell(&self, inner: &Inner) {
        let totals = inner.totals(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for (name, more) in NAMES.into_iter().zip(self.more(&totals)) {
            metrics::counter!(name).increment(more);
        }
        let sessions = u32::try_from(inner.hub.sessions().len()).unwrap_or(u32::MAX);
        metrics::gauge!("moorline_sessions").set(f64::from(sessions));
        // In KiB a pool of 4 TiB still fits.
        let kib = |stats: PoolStats| u32::try_from(stats.in_use_bytes / 1024).unwrap_or(u32::MAX);
        metrics::gauge!("moorline_receive_kib").set(f64::from(kib(inner.local.recv.stats())));
        metrics::gauge!("moorline_send_kib").set(f64::from(kib(inner.local.blocks.stats())));
    }

    /// A session that ends is for a moment neither among the open ones nor in the sum of the others: a
    /// total that falls is waited for, and nothing is told twice.
    fn more(&self, totals: &Counters) -> [u64; STATISTICS] {
        let mut told = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = totals.statistics().map(|(_, total)| total);
        for (total, told) in all.iter_mut().zip(told.iter_mut()) {
            *total = total.saturating_sub(*told);
            *told += *total;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_added_is_told_and_what_falls_is_waited_for() {
        let (told, mut totals) = (Told::default(), Counters::default());
        for (posts, more) in [(0, 0), (3, 3), (1, 0), (4, 1)] {
            totals.sent.posts = posts;
            let all = told.more(&totals);
            assert_eq!((all[0], all[3], all.iter().sum::<u64>()), (more, more, 2 * more));
        }
    }

    #[test]
    fn the_names_are_those_of_the_statistics() {
        for (name, (statistic, _)) in NAMES.iter().zip(Counters::default().statistics()) {
            assert_eq!(name.strip_prefix("moorline_"), Some(statistic));
        }
    }
}
