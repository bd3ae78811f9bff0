//! Values of the application's that belong to the owner of a session.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One value of each type. Its lock is held for a look, and nobody but the owner asks for it.
#[derive(Default)]
pub(crate) struct State(Mutex<Vec<Place>>);

struct Place {
    of: TypeId,
    /// Away while somebody works with it.
    value: Option<Box<dyn Any + Send>>,
}

/// Puts a value back, however the work with it ends.
struct Lent<'a, T: Any + Send> {
    state: &'a State,
    value: Option<Box<T>>,
}

impl State {
    /// `None`: it is being worked with.
    pub(crate) fn with<T: Any + Send + Default, R>(
        &self,
        work: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let value = self.take::<T>()?;
        let mut lent = Lent { state: self, value: Some(value) };
        lent.value.as_deref_mut().map(work)
    }

    fn take<T: Any + Send + Default>(&self) -> Option<Box<T>> {
        let mut places = self.lock();
        let place = places.iter_mut().find(|place| place.of == TypeId::of::<T>());
        let value = match place {
            Some(place) => Some(place.value.take()?),
            None => {
                places.push(Place { of: TypeId::of::<T>(), value: None });
                None
            }
        };
        drop(places);
        let value = value.unwrap_or_else(|| Box::<T>::default());
        Some(value.downcast().expect("a place holds values of its type"))
    }

    fn put<T: Any + Send>(&self, value: Box<T>) {
        let mut places = self.lock();
        let place = places.iter_mut().find(|place| place.of == TypeId::of::<T>());
        place.expect("it was taken from there").value = Some(value);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Any + Send> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        self.value.take().into_iter().for_each(|value| self.state.put(value));
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State of {} types", self.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_one_value_which_is_lent_to_one() {
        let state = State::default();
        assert_eq!(state.with(|n: &mut u64| *n += 7), Some(()));
        assert_eq!(state.with(|text: &mut String| text.push('a')), Some(()));
        let inner = state.with(|n: &mut u64| {
            let other = state.with(|text: &mut String| text.len());
            (*n, other, state.with(|n: &mut u64| *n))
        });
        assert_eq!(inner, Some((7, Some(1), None)));
        assert_eq!(state.with(|n: &mut u64| *n), Some(7), "it is back");
    }

    #[test]
    fn what_panics_leaves_the_value_as_it_is() {
        let state = State::default();
        let work = std::panic::AssertUnwindSafe(|| {
            state.with(|n: &mut u64| {
                *n = 3;
                panic!("on purpose");
            })
        });
        assert!(std::panic::catch_unwind(work).is_err());
        assert_eq!(state.with(|n: &mut u64| *n), Some(3));
    }
}
