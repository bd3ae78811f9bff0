//! How long handlers take, by message type: counted by each driver for itself and put together about once
//! a second, so that a message costs two looks at the clock and no lock. Only where a service was built to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use moorline_protocol::{Kind, MessageIndex};

use crate::limits::HOUSEKEEPING;

/// Buckets of a histogram: four for each doubling of microseconds, up to 2^32 of them, more than an hour.
const BUCKETS: usize = 4 * 32;

/// Counts of times, each in the bucket that it falls into: what is read from it is at most a quarter too
/// large. 520 bytes.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    buckets: [u32; BUCKETS],
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], count: 0 }
    }
}

impl Histogram {
    fn record(&mut self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let bucket = &mut self.buckets[bucket_of(micros)];
        *bucket = bucket.saturating_add(1);
        self.count += 1;
    }

    fn add(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket = bucket.saturating_add(more);
        }
        self.count += other.count;
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// The time in microseconds within which so many of a hundred were done: the end of its bucket.
    pub(crate) fn percentile(&self, percent: u64) -> Option<u64> {
        let total: u64 = self.buckets.iter().map(|count| u64::from(*count)).sum();
        let wanted = (total * percent).div_ceil(100).max(1);
        let mut passed = 0;
        let mut buckets = self.buckets.iter().enumerate();
        let (at, _) = buckets.find(|(_, count)| {
            passed += u64::from(**count);
            passed >= wanted
        })?;
        Some(end_of(at))
    }
}

/// Below 4 each number has its own; above, the two bits behind the leading one tell them apart.
fn bucket_of(micros: u32) -> usize {
    let doublings = micros.checked_ilog2().unwrap_or(0);
    if doublings < 2 {
        return micros as usize;
    }
    let quarter = (micros >> (doublings - 2)) & 3;
    (4 * (doublings - 1) + quarter) as usize
}

/// The largest time of a bucket.
fn end_of(bucket: usize) -> u64 {
    if bucket < 4 {
        return bucket as u64;
    }
    let (doublings, quarter) = (bucket / 4 + 1, (bucket % 4) as u64);
    ((4 + quarter + 1) << (doublings - 2)) - 1
}

/// Histograms by message type.
type Table = Vec<Option<Box<Histogram>>>;

/// Those of a whole service.
#[derive(Debug, Clone, Default)]
pub(crate) struct HandlerTimes(Arc<Mutex<Table>>);

impl HandlerTimes {
    /// For a handler that ran in a task of its own.
    pub(crate) fn record(&self, kind: Kind, time: Duration) {
        if let Kind::Known(index) = kind {
            place(&mut self.lock(), index.position()).record(time);
        }
    }

    pub(crate) fn of(&self, index: MessageIndex) -> Option<Histogram> {
        self.lock().get(index.position())?.as_deref().cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those of one driver, until they are put together. Dropped, they are handed on.
pub(crate) struct LocalTimes {
    pub(crate) all: HandlerTimes,
    table: Table,
    since: Instant,
}

impl LocalTimes {
    pub(crate) fn new(all: HandlerTimes, now: Instant) -> Self {
        Self { all, table: Table::new(), since: now }
    }

    /// A handler that was called at `began` has run to its end.
    pub(crate) fn record(&mut self, kind: Kind, began: Instant, now: Instant) {
        if let Kind::Known(index) = kind {
            place(&mut self.table, index.position()).record(now.duration_since(began));
        }
        if now.duration_since(self.since) >= HOUSEKEEPING {
            self.since = now;
            self.hand_on();
        }
    }

    /// Idle, or at the end: nothing is kept back.
    pub(crate) fn hand_on(&mut self) {
        let mut all = self.all.lock();
        for (position, own) in self.table.drain(..).enumerate() {
            if let Some(own) = own {
                place(&mut all, position).add(&own);
            }
        }
    }
}

impl Drop for LocalTimes {
    fn drop(&mut self) {
        self.hand_on();
    }
}

fn place(table: &mut Table, position: usize) -> &mut Histogram {
    if table.len() <= position {
        table.resize_with(position + 1, || None);
    }
    table[position].get_or_insert_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_is_in_a_bucket_that_ends_a_quarter_behind_it_at_most(micros: u32) {
            let bucket = bucket_of(micros);
            let (end, micros) = (end_of(bucket), u64::from(micros));
            prop_assert!(bucket < BUCKETS && micros <= end && end - micros <= micros / 4);
            prop_assert!(bucket == 0 || end_of(bucket - 1) < micros);
        }

        #[test]
        fn the_order_of_times_makes_no_difference(times in prop::collection::vec(0..100_000_u64, 1..200)) {
            let (mut one, mut left, mut right) =
                (Histogram::default(), Histogram::default(), Histogram::default());
            for (at, time) in times.iter().enumerate() {
                let time = Duration::from_micros(*time);
                one.record(time);
                if at % 3 == 0 { left.record(time) } else { right.record(time) }
            }
            right.add(&left);
            let mut sorted = times.clone();
            sorted.sort_unstable();
            for percent in [50, 95, 99] {
                prop_assert_eq!(one.percentile(percent), right.percentile(percent));
                let exact = sorted[(sorted.len() * usize::try_from(percent).unwrap()).div_ceil(100) - 1];
                let told = one.percentile(percent).unwrap();
                prop_assert!(exact <= told && told <= exact + exact / 4);
            }
            prop_assert_eq!(one.count(), times.len() as u64);
        }
    }

    #[test]
    fn what_a_driver_counts_arrives_once_a_second_and_at_its_end() {
        let (all, start) = (HandlerTimes::default(), Instant::now());
        let index = MessageIndex::from_tid(1).unwrap();
        let mut local = LocalTimes::new(all.clone(), start);
        let ms = |ms| start + Duration::from_millis(ms);
        local.record(Kind::Known(index), ms(10), ms(20));
        assert!(all.of(index).is_none());
        local.record(Kind::Known(index), ms(1_990), ms(2_000));
        assert_eq!(all.of(index).unwrap().count(), 2);
        local.record(Kind::Known(index), ms(2_000), ms(2_000));
        drop(local);
        let histogram = all.of(index).unwrap();
        assert_eq!((histogram.count(), histogram.percentile(1)), (3, Some(0)));
        assert!((10_000..=12_500).contains(&histogram.percentile(99).unwrap()));
        assert_eq!(Histogram::default().percentile(50), None);
    }
}
