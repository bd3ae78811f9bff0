//! When which alarm of a session rings. It reads no clock and runs nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::context::Context;
use crate::limits::{ALARM_TICK, ALARM_TIME_MAX, ALARMS_MAX};

/// What an alarm does: it says in what time it rings again.
pub(crate) type Ring = Box<dyn FnMut(&Context) -> Option<Duration> + Send>;

/// Which alarm; never another one, even if its place is taken anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AlarmKey {
    place: usize,
    number: u64,
}

/// All alarms of a session. An alarm that is set stands in `queue`, and in no other way.
#[derive(Default)]
pub(crate) struct Alarms {
    entries: Vec<Option<Entry>>,
    vacant: Vec<usize>,
    queue: BTreeSet<(Instant, usize)>,
    next: u64,
}

struct Entry {
    number: u64,
    due: Option<Instant>,
    /// Away while it rings.
    ring: Option<Ring>,
    /// It was set or stopped while it rang: what it says itself does not count.
    told: bool,
    /// Nobody has a handle: once it is not set any more it is over.
    left: bool,
}

impl Alarms {
    /// A new alarm, not set; given back where there are as many as a session may have.
    pub(crate) fn add(&mut self, ring: Ring) -> Result<AlarmKey, Ring> {
        if self.entries.len() - self.vacant.len() >= ALARMS_MAX {
            return Err(ring);
        }
        let number = self.next;
        self.next += 1;
        let entry = Entry { number, due: None, ring: Some(ring), told: false, left: false };
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        self.entries[place] = Some(entry);
        Ok(AlarmKey { place, number })
    }

    /// It rings so long after `now`, whatever it was set to before; `false` if it is no more.
    pub(crate) fn set(&mut self, key: AlarmKey, now: Instant, after: Duration) -> bool {
        let known = self.entry(key).map(|entry| entry.told = true).is_some();
        if known {
            self.move_to(key.place, due_at(now, after));
        }
        known
    }

    /// It does not ring; whether it would have.
    pub(crate) fn stop(&mut self, key: AlarmKey) -> bool {
        let Some(entry) = self.entry(key) else { return false };
        let rings = entry.due.is_some() || entry.ring.is_none() && !entry.told;
        entry.told = true;
        self.move_to(key.place, None);
        rings
    }

    /// It is no more. What it would have done is to be dropped outside the lock.
    #[must_use]
    pub(crate) fn free(&mut self, key: AlarmKey) -> Option<Ring> {
        self.entry(key)?;
        self.move_to(key.place, None);
        self.vacate(key.place)
    }

    /// From now on it is over when it is not set any more.
    #[must_use]
    pub(crate) fn leave(&mut self, key: AlarmKey) -> Option<Ring> {
        let entry = self.entry(key)?;
        entry.left = true;
        let over = entry.due.is_none() && entry.ring.is_some();
        if over { self.vacate(key.place) } else { None }
    }

    /// When the next one rings.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|(due, _)| *due)
    }

    /// Takes out one that is due, to ring.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(AlarmKey, Ring)> {
        let &(due, place) = self.queue.first().filter(|(due, _)| *due <= now)?;
        self.queue.remove(&(due, place));
        let entry = self.entries[place].as_mut().expect("what is queued is there");
        (entry.due, entry.told) = (None, false);
        let ring = entry.ring.take().expect("it does not ring while it is set");
        Some((AlarmKey { place, number: entry.number }, ring))
    }

    /// It has rung, and wants to ring again. Given back is what is to be dropped outside the lock.
    #[must_use]
    pub(crate) fn put_back(
        &mut self,
        key: AlarmKey,
        ring: Ring,
        now: Instant,
        again: Option<Duration>,
    ) -> Option<Ring> {
        let Some(entry) = self.entry(key) else { return Some(ring) };
        entry.ring = Some(ring);
        if let Some(after) = again.filter(|_| !entry.told) {
            self.move_to(key.place, due_at(now, after));
        }
        let entry = self.entry(key)?;
        let over = entry.left && entry.due.is_none();
        if over { self.vacate(key.place) } else { None }
    }

    fn entry(&mut self, key: AlarmKey) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(key.place)?.as_mut()?;
        (entry.number == key.number).then_some(entry)
    }

    fn move_to(&mut self, place: usize, due: Option<Instant>) {
        let Some(entry) = &mut self.entries[place] else { return };
        let before = std::mem::replace(&mut entry.due, due);
        if let Some(before) = before {
            self.queue.remove(&(before, place));
        }
        self.queue.extend(due.map(|due| (due, place)));
    }

    fn vacate(&mut self, place: usize) -> Option<Ring> {
        self.vacant.push(place);
        self.entries[place].take()?.ring
    }
}

/// Later than `now` in any case, so that what is due at one moment comes to an end.
fn due_at(now: Instant, after: Duration) -> Option<Instant> {
    now.checked_add(after.clamp(ALARM_TICK, ALARM_TIME_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const MS: Duration = Duration::from_millis(1);

    fn silent() -> Ring {
        Box::new(|_| None)
    }

    fn add(alarms: &mut Alarms) -> AlarmKey {
        alarms.add(silent()).ok().expect("there is a place")
    }

    #[test]
    fn they_ring_in_the_order_of_their_times_and_once() {
        let (mut alarms, start) = (Alarms::default(), Instant::now());
        let keys: Vec<_> = (0..100).map(|_| add(&mut alarms)).collect();
        for (at, key) in keys.iter().enumerate() {
            alarms.set(*key, start, MS * u32::try_from(at * 37 % 100 + 1).unwrap());
        }
        for ms in 1..=100 {
            let now = start + MS * ms;
            assert_eq!(alarms.next_due(), Some(now));
            let (key, ring) = alarms.take_due(now).unwrap();
            assert!(alarms.take_due(now).is_none(), "one a millisecond");
            assert_eq!(keys[key.place], key);
            assert!(alarms.put_back(key, ring, now, None).is_none());
        }
        assert_eq!(alarms.next_due(), None);
    }

    /// Each of what may be done to an alarm while it rings, and what it wants itself.
    #[test]
    fn what_is_said_while_it_rings_stands() {
        enum Meanwhile {
            Nothing,
            Stop,
            Set,
            Free,
            Leave,
        }
        use Meanwhile::{Free, Leave, Nothing, Set, Stop};
        let table = [
            (Nothing, None, None, true),
            (Nothing, Some(5), Some(5), true),
            (Stop, Some(5), None, true),
            (Set, Some(5), Some(9), true),
            (Set, None, Some(9), true),
            (Free, Some(5), None, false),
            (Leave, Some(5), Some(5), true),
            (Leave, None, None, false),
        ];
        for (row, (meanwhile, again, due, lives)) in table.into_iter().enumerate() {
            let (mut alarms, start) = (Alarms::default(), Instant::now());
            let key = add(&mut alarms);
            alarms.set(key, start, MS);
            let (ringing, ring) = alarms.take_due(start + MS).unwrap();
            assert_eq!(ringing, key);
            let early = match meanwhile {
                Nothing => None,
                Stop => {
                    assert!(alarms.stop(key) && !alarms.stop(key), "row {row}");
                    None
                }
                Set => {
                    assert!(alarms.set(key, start, 9 * MS));
                    None
                }
                Free => alarms.free(key),
                Leave => alarms.leave(key),
            };
            assert!(early.is_none(), "row {row}: it is away, ringing");
            let waste = alarms.put_back(key, ring, start, again.map(|ms| ms * MS));
            assert_eq!(alarms.next_due(), due.map(|ms| start + ms * MS), "row {row}");
            assert_eq!(waste.is_none(), lives, "row {row}");
            assert_eq!(alarms.set(key, start, MS), lives, "row {row}");
        }
    }

    #[test]
    fn there_is_a_last_place_and_a_place_is_used_again() {
        let mut alarms = Alarms::default();
        let keys: Vec<_> = (0..ALARMS_MAX).map(|_| add(&mut alarms)).collect();
        assert!(alarms.add(silent()).is_err());
        assert!(alarms.free(keys[7]).is_some());
        let again = add(&mut alarms);
        assert_eq!(again.place, keys[7].place);
        assert!(!alarms.set(keys[7], Instant::now(), MS), "the old key finds nothing");
        assert!(!alarms.stop(keys[7]) && alarms.free(keys[7]).is_none());
        assert_eq!(alarms.next_due(), None);
    }

    #[test]
    fn times_are_kept_within_what_can_be_told() {
        let (mut alarms, start) = (Alarms::default(), Instant::now());
        let key = add(&mut alarms);
        alarms.set(key, start, Duration::ZERO);
        assert_eq!(alarms.next_due(), Some(start + ALARM_TICK), "never at once");
        alarms.set(key, start, Duration::MAX);
        assert_eq!(alarms.next_due(), Some(start + ALARM_TIME_MAX));
    }

    proptest::proptest! {
        /// Against a list that is searched from end to end.
        #[test]
        fn it_is_what_a_plain_list_is(
            steps in proptest::collection::vec((0_u8..6, 0_usize..6, 0_u32..40), 1..200),
        ) {
            let (mut alarms, start) = (Alarms::default(), Instant::now());
            let mut now = start;
            let mut keys: Vec<AlarmKey> = Vec::new();
            let mut model: BTreeMap<usize, Option<Instant>> = BTreeMap::new();
            for (step, which, ms) in steps {
                let at = which.min(keys.len().saturating_sub(1));
                match (step, keys.get(at).copied()) {
                    (0, _) | (_, None) => {
                        keys.push(add(&mut alarms));
                        model.insert(keys.len() - 1, None);
                    }
                    (1, Some(key)) => {
                        let due = now + MS * ms.max(1);
                        let known = model.get_mut(&at).map(|place| *place = Some(due)).is_some();
                        proptest::prop_assert_eq!(alarms.set(key, now, MS * ms), known);
                    }
                    (2, Some(key)) => {
                        let was = model.get_mut(&at).and_then(Option::take).is_some();
                        proptest::prop_assert_eq!(alarms.stop(key), was);
                    }
                    (3, Some(key)) => {
                        let known = model.remove(&at).is_some();
                        proptest::prop_assert_eq!(alarms.free(key).is_some(), known);
                    }
                    _ => {
                        now += MS * ms;
                        while let Some((key, ring)) = alarms.take_due(now) {
                            let at = keys.iter().position(|known| *known == key).unwrap();
                            let due = model.insert(at, None).flatten();
                            proptest::prop_assert!(due.is_some_and(|due| due <= now));
                            proptest::prop_assert!(alarms.put_back(key, ring, now, None).is_none());
                        }
                    }
                }
                let first = model.values().flatten().min().copied();
                proptest::prop_assert_eq!(alarms.next_due(), first);
                proptest::prop_assert!(step < 4 || first.is_none_or(|due| due > now));
            }
        }
    }
}
