//! Counters for whatever recorder of the crate `metrics` the program has installed: once a second, by what
//! has been added since, so that several services of a process add up. A message knows nothing of it.

use std::sync::{Mutex, PoisonError};

use moorline_session::{Counters, STATISTICS};

use crate::service::Inner;

/// What was told so far.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<[u64; STATISTICS]>);

impl Told {
    /// Tells what has been added since it was last called.
    pub(crate) fn tell(&self, inner: &Inner) {
        for (name, more) in self.more(&inner.totals()) {
            metrics::counter!(format!("moorline_{name}")).increment(more);
        }
        let sessions = u32::try_from(inner.hub.sessions().len()).unwrap_or(u32::MAX);
        metrics::gauge!("moorline_sessions").set(f64::from(sessions));
        for pool in [inner.local.recv.stats(), inner.local.blocks.stats()] {
            // In KiB a pool of 4 TiB still fits.
            let used = u32::try_from(pool.in_use_bytes / 1024).unwrap_or(u32::MAX);
            metrics::gauge!("moorline_pool_in_use_kib", "pool" => pool.name).set(f64::from(used));
        }
    }

    /// A session that ends is for a moment neither among the open ones nor in the sum of the others: a
    /// total that falls is waited for, and nothing is told twice.
    fn more(&self, totals: &Counters) -> Vec<(&'static str, u64)> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = totals.statistics().into_iter().zip(told.iter_mut());
        let more = all.map(|((name, total), told)| {
            let more = total.saturating_sub(*told);
            *told += more;
            (name, more)
        });
        more.filter(|(_, more)| *more > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_added_is_told_and_what_falls_is_waited_for() {
        let (told, mut totals) = (Told::default(), Counters::default());
        assert_eq!(told.more(&totals), []);
        totals.sent.posts = 3;
        assert_eq!(told.more(&totals), [("n_tx", 3), ("n_txpost", 3)]);
        totals.sent.posts = 1;
        assert_eq!(told.more(&totals), []);
        totals.sent.posts = 4;
        assert_eq!(told.more(&totals), [("n_tx", 1), ("n_txpost", 1)]);
    }
}
