//! The lock of whoever writes: nobody waits for it. Who finds it taken leaves a knock, and whoever is
//! inside does the work once more before it leaves.

use std::sync::TryLockError;

use self::shared::{AcqRel, AtomicU8, Mutex, MutexGuard, Relaxed, Release};

/// Something that one thread at a time works on, while others go on at once.
///
/// It is for work that is the same whoever does it, such as writing all that is queued: a thread that
/// comes while another is inside leaves its share to that one.
///
/// A knock is never lost: what its thread did before it is seen by a round of work that begins after
/// it, in whatever order threads meet.
///
/// ```
/// use moorline_session::Booth;
///
/// let booth = Booth::new(Vec::new());
/// let stay = booth.knock(|written| written.push("all there is")).expect("nobody else is inside");
/// assert!(!stay.knocked);
/// ```
#[derive(Debug)]
pub struct Booth<T> {
    state: AtomicU8,
    /// Only who has taken `state` away from [`FREE`] comes here, so that it is never waited for.
    inside: Mutex<T>,
}

const FREE: u8 = 0;
/// Somebody is inside, and everything that was asked for is being done.
const TAKEN: u8 = 1;
/// Somebody is inside, and another round is asked for.
const KNOCKED: u8 = 2;

/// What came of being inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay<R> {
    /// What the work, or the last round of it, said.
    pub result: R,
    /// Somebody else came meanwhile and went away again. [`Booth::knock`] has done the work for them,
    /// and may have to tell them how it went; after [`Booth::step_in`] it is still to be done.
    pub knocked: bool,
}

impl<T> Booth<T> {
    /// With nobody inside.
    pub fn new(inside: T) -> Self {
        Self { state: AtomicU8::new(FREE), inside: Mutex::new(inside) }
    }

    /// Works until nobody has knocked since the last round began. `None` if somebody else is inside:
    /// they do another round of theirs.
    pub fn knock<R>(&self, mut work: impl FnMut(&mut T) -> R) -> Option<Stay<R>> {
        // A knock is said even where somebody has knocked before: what this thread did comes with it.
        let arrive = |state| Some(if state == FREE { TAKEN } else { KNOCKED });
        if self.state.fetch_update(AcqRel, Relaxed, arrive) != Ok(FREE) {
            return None;
        }
        let visit = Visit { state: &self.state };
        let mut knocked = false;
        loop {
            let result = work(&mut self.inside());
            if self.state.compare_exchange(TAKEN, FREE, Release, Relaxed).is_ok() {
                std::mem::forget(visit);
                return Some(Stay { result, knocked });
            }
            knocked = true;
            // The next round sees what those did who have knocked so far; who knocks from now on gets
            // another one.
            self.state.swap(TAKEN, AcqRel);
        }
    }

    /// Does something else than the work that is knocked for. `None` if somebody is inside, who
    /// hears nothing of it.
    pub fn step_in<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<Stay<R>> {
        self.state.compare_exchange(FREE, TAKEN, AcqRel, Relaxed).ok()?;
        let visit = Visit { state: &self.state };
        let result = work(&mut self.inside());
        std::mem::forget(visit);
        let knocked = self.state.swap(FREE, AcqRel) == KNOCKED;
        Some(Stay { result, knocked })
    }

    fn inside(&self) -> MutexGuard<'_, T> {
        match self.inside.try_lock() {
            Ok(inside) => inside,
            // Who panicked in here before is gone.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => unreachable!("one at a time finds the booth free"),
        }
    }
}

/// Who leaves by a panic leaves it free. What was knocked for is done by who comes next.
struct Visit<'a> {
    state: &'a AtomicU8,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.state.store(FREE, Release);
    }
}

#[cfg(not(all(loom, test)))]
mod shared {
    pub(super) use std::sync::atomic::AtomicU8;
    pub(super) use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
    pub(super) use std::sync::{Mutex, MutexGuard};
}

/// In the model of threads.
#[cfg(all(loom, test))]
mod shared {
    pub(super) use loom::sync::atomic::AtomicU8;
    pub(super) use loom::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
    pub(super) use loom::sync::{Mutex, MutexGuard};
}

#[cfg(loom)]
#[cfg(test)]
mod model;

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn who_knocks_while_somebody_is_inside_gets_another_round_and_does_not_wait() {
        let booth = Booth::new(0);
        let mut rounds = 0;
        let stay = booth.knock(|sum| {
            *sum += 1;
            rounds += 1;
            if rounds < 3 {
                assert_eq!(booth.knock(|_| unreachable!("somebody is inside")), None::<Stay<()>>);
            }
            *sum
        });
        assert_eq!(stay, Some(Stay { result: 3, knocked: true }));
        assert_eq!(booth.knock(|sum| *sum), Some(Stay { result: 3, knocked: false }));
    }

    #[test]
    fn who_steps_in_hears_of_a_knock_and_is_not_waited_for() {
        let booth = Booth::new(());
        let stay = booth.step_in(|()| {
            assert_eq!(booth.step_in(|()| ()), None);
            booth.knock(|()| ()).is_some()
        });
        assert_eq!(stay, Some(Stay { result: false, knocked: true }));
        assert_eq!(booth.step_in(|()| 7), Some(Stay { result: 7, knocked: false }));
    }

    #[test]
    fn who_panics_inside_leaves_the_door_open() {
        let booth = Booth::new(5);
        for _ in 0..2 {
            let panics = || booth.knock(|_| -> () { panic!("on purpose") });
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        }
        let panics = || booth.step_in(|_| -> () { panic!("on purpose") });
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert_eq!(booth.knock(|value| *value), Some(Stay { result: 5, knocked: false }));
    }

    #[test]
    fn threads_that_meet_at_a_door_lose_nothing() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let queued = AtomicU32::new(0);
        let booth = Booth::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        queued.fetch_add(1, Ordering::Relaxed);
                        booth.knock(|done| *done += queued.swap(0, Ordering::Relaxed));
                    }
                });
            }
        });
        assert_eq!(booth.step_in(|done| *done).unwrap().result, 20_000);
    }
}
