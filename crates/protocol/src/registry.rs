//! The message types of a process, and their numbers.

mod registration;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use sha2::{Digest, Sha256};

use crate::limits::TYPES_MAX;
use crate::message::Message;

pub use self::registration::Registration;

/// Number of a message type within one registry, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageIndex(u32);

impl MessageIndex {
    /// The type at this place of a registry.
    #[must_use]
    pub const fn new(position: u32) -> Self {
        Self(position)
    }

    /// The place, to index arrays with.
    #[must_use]
    pub const fn position(self) -> usize {
        self.0 as usize
    }

    /// The number it has on the wire, where 0 stands for none (PROTOCOL 4).
    #[must_use]
    pub const fn tid(self) -> u32 {
        self.0 + 1
    }

    /// The type a number of our own on the wire stands for.
    #[must_use]
    pub const fn from_tid(tid: u32) -> Option<Self> {
        match tid.checked_sub(1) {
            Some(position) => Some(Self(position)),
            None => None,
        }
    }
}

/// The message types of a process, numbered in the order of registration. Types are added, never
/// taken away or renumbered. A value: all clones are the same registry.
#[derive(Debug, Clone)]
pub struct MessageRegistry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Whether this is the registry whose numbers [`Registration`] remembers.
    of_process: bool,
    types: RwLock<Types>,
}

/// `by_hash` has each of `list` once, at its place; `by_id` has those with an id of their own.
#[derive(Debug, Default)]
struct Types {
    list: Vec<&'static Registration>,
    by_hash: HashMap<u64, MessageIndex>,
    by_id: HashMap<u64, MessageIndex>,
}

inventory::collect!(&'static Registration);

impl MessageRegistry {
    /// The registry of this process, with all types that
    /// [`register_message!`](crate::register_message) put in, from every linked crate: hot ones
    /// first, the rest by name.
    ///
    /// # Errors
    /// Two of one name or one hash, or too many; the same at every call.
    //= docs/PROTOCOL.md#4
    pub fn process() -> Result<Self, RegistryError> {
        static PROCESS: OnceLock<Result<MessageRegistry, RegistryError>> = OnceLock::new();
        PROCESS.get_or_init(Self::of_linked_crates).clone()
    }

    fn of_linked_crates() -> Result<Self, RegistryError> {
        let mut linked: Vec<_> = inventory::iter::<&'static Registration>().copied().collect();
        linked.sort_by_key(|registration| {
            (!registration.hot(), registration.name(), registration.place())
        });
        let registry = Self::with_inner(true);
        for registration in linked {
            registry.add(registration)?;
        }
        Ok(registry)
    }

    /// A registry without any type, e.g. for a test that has its own.
    #[must_use]
    pub fn empty() -> Self {
        Self::with_inner(false)
    }

    fn with_inner(of_process: bool) -> Self {
        Self(Arc::new(Inner { of_process, types: RwLock::default() }))
    }

    /// Whether both are clones of one registry.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Adds a type. One that is there already keeps its number.
    ///
    /// # Errors
    /// Its name or its hash is another type's, or there are [`TYPES_MAX`] types.
    pub fn add(&self, registration: &'static Registration) -> Result<MessageIndex, RegistryError> {
        let index =
            self.0.types.write().unwrap_or_else(PoisonError::into_inner).add(registration)?;
        if self.0.of_process {
            registration.remember(index);
        }
        Ok(index)
    }

    /// Adds `M`.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn register<M: Message>(&self) -> Result<MessageIndex, RegistryError> {
        self.add(M::registration())
    }

    /// The number of `M`, which is added if need be: linkers drop crates whose names never appear,
    /// and their registrations with them. In the registry of the process a known type costs one
    /// load.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    #[inline]
    pub fn index_of<M: Message>(&self) -> Result<MessageIndex, RegistryError> {
        let registration = M::registration();
        match registration.remembered() {
            Some(index) if self.0.of_process => Ok(index),
            _ => self.look_up_or_add(registration),
        }
    }

    fn look_up_or_add(
        &self,
        registration: &'static Registration,
    ) -> Result<MessageIndex, RegistryError> {
        let known = self.types().index_of(registration);
        match known {
            Some(index) => Ok(index),
            None => self.add(registration),
        }
    }

    /// How many types there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.types().len()
    }

    /// Whether there is no type at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of a type.
    #[must_use]
    pub fn name_of(&self, index: MessageIndex) -> Option<&'static str> {
        self.types().list.get(index.position()).map(|registration| registration.name())
    }

    /// The hash of a type's name.
    #[must_use]
    pub fn hash_of(&self, index: MessageIndex) -> Option<u64> {
        self.types().list.get(index.position()).map(|registration| registration.hash())
    }

    /// The type whose name has this hash.
    #[must_use]
    pub fn find(&self, hash: u64) -> Option<MessageIndex> {
        self.types().by_hash.get(&hash).copied()
    }

    /// The type that has this number among peers who have agreed on numbers.
    #[must_use]
    pub fn find_id(&self, id: u64) -> Option<MessageIndex> {
        self.types().by_id.get(&id).copied()
    }

    /// What was registered at this place.
    #[must_use]
    pub fn registration_of(&self, index: MessageIndex) -> Option<&'static Registration> {
        self.types().list.get(index.position()).copied()
    }

    /// The same for many, in their order.
    pub(crate) fn find_all<'a>(
        &self,
        hashes: &'a [u64],
    ) -> impl Iterator<Item = (u64, Option<MessageIndex>)> + use<'a, '_> {
        let types = self.types();
        hashes.iter().map(move |hash| (*hash, types.by_hash.get(hash).copied()))
    }

    /// The hashes of all types from the place `from` on, in order: what a DICT tells.
    #[must_use]
    pub fn hashes(&self, from: u32) -> Vec<u64> {
        let from = MessageIndex::new(from).position();
        self.types().list.iter().skip(from).map(|registration| registration.hash()).collect()
    }

    /// What two peers compare to see whether they number alike: the first 8 bytes of SHA-256 over
    /// the hashes of the first `types` types, 8 bytes each, in order. Of all types where there are
    /// fewer.
    #[must_use]
    //= docs/PROTOCOL.md#4
    pub fn digest(&self, types: u32) -> [u8; 8] {
        let mut sha = Sha256::new();
        let covered = MessageIndex::new(types).position();
        for registration in self.types().list.iter().take(covered) {
            sha.update(registration.hash().to_be_bytes());
        }
        *sha.finalize().first_chunk().expect("SHA-256 has 32 bytes")
    }

    /// All types, in the order of their numbers.
    #[must_use]
    pub fn registrations(&self) -> Vec<&'static Registration> {
        self.types().list.clone()
    }

    fn types(&self) -> RwLockReadGuard<'_, Types> {
        // Whoever panicked while it held the lock had changed nothing yet, or all of it.
        self.0.types.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Types {
    fn len(&self) -> u32 {
        u32::try_from(self.list.len()).expect("there are never more than TYPES_MAX")
    }

    fn index_of(&self, registration: &'static Registration) -> Option<MessageIndex> {
        let index = *self.by_hash.get(&registration.hash())?;
        std::ptr::eq(self.list[index.position()], registration).then_some(index)
    }

    fn add(&mut self, registration: &'static Registration) -> Result<MessageIndex, RegistryError> {
        if let Some(index) = self.by_hash.get(&registration.hash()) {
            let first = self.list[index.position()];
            return match first {
                _ if std::ptr::eq(first, registration) => Ok(*index),
                _ => Err(RegistryError::clash(first, registration)),
            };
        }
        if self.len() == TYPES_MAX {
            return Err(RegistryError::TooMany {
                name: registration.name(),
                place: registration.place(),
            });
        }
        let same_id = registration.id().and_then(|id| self.by_id.get(&id));
        if let Some(index) = same_id {
            return Err(RegistryError::same_id(self.list[index.position()], registration));
        }
        let index = MessageIndex::new(self.len());
        if let Some(id) = registration.id() {
            self.by_id.insert(id, index);
        }
        self.list.push(registration);
        self.by_hash.insert(registration.hash(), index);
        Ok(index)
    }
}

/// A line of source code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Path of the file, as the compiler was told it.
    pub file: &'static str,
    /// Its line, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Why a type cannot be registered. It says where to change what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Two types have one name.
    #[error(
        "two messages are named \"{name}\": at {first} and at {second}; give one of them another \
         name with `as`"
    )]
    DuplicateName {
        /// The name.
        name: &'static str,
        /// Where it was registered first.
        first: Place,
        /// Where it was registered again.
        second: Place,
    },
    /// Two names have one hash: a freak of chance.
    #[error(
        "messages \"{first_name}\" at {first} and \"{second_name}\" at {second} have the same \
         hash {hash:#018x}; give one of them another name with `as`"
    )]
    SameHash {
        /// What both names hash to.
        hash: u64,
        /// One name.
        first_name: &'static str,
        /// Where it was registered.
        first: Place,
        /// The other name.
        second_name: &'static str,
        /// Where that was registered.
        second: Place,
    },
    /// Two types have one id.
    #[error(
        "messages \"{first_name}\" at {first} and \"{second_name}\" at {second} have the same id \
         {id}; give one of them another `id = ..`"
    )]
    SameId {
        /// The id.
        id: u64,
        /// One name.
        first_name: &'static str,
        /// Where it was registered.
        first: Place,
        /// The other name.
        second_name: &'static str,
        /// Where that was registered.
        second: Place,
    },
    /// More than [`TYPES_MAX`] types.
    #[error(
        "message \"{name}\" at {place} is above the limit of {TYPES_MAX} message types of one \
         process; make several of them variants of one enum"
    )]
    TooMany {
        /// The name of the one too many.
        name: &'static str,
        /// Where it was registered.
        place: Place,
    },
}

impl RegistryError {
    fn clash(first: &Registration, second: &Registration) -> Self {
        if first.name() == second.name() {
            return Self::DuplicateName {
                name: first.name(),
                first: first.place(),
                second: second.place(),
            };
        }
        Self::SameHash {
            hash: first.hash(),
            first_name: first.name(),
            first: first.place(),
            second_name: second.name(),
            second: second.place(),
        }
    }

    fn same_id(first: &Registration, second: &Registration) -> Self {
        Self::SameId {
            id: second.id().unwrap_or(0),
            first_name: first.name(),
            first: first.place(),
            second_name: second.name(),
            second: second.place(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::registration::fnv1a64;

    static ONE: Registration = Registration::new("one", false, "a.rs", 1);
    static TWO: Registration = Registration::new("two", true, "b.rs", 2);
    static ONE_AGAIN: Registration = Registration::new("one", false, "c.rs", 3);

    #[test]
    fn types_are_numbered_in_their_order_and_keep_their_numbers() {
        let registry = MessageRegistry::empty();
        assert!(registry.is_empty());
        let one = registry.add(&ONE).unwrap();
        let two = registry.clone().add(&TWO).unwrap();
        assert_eq!((one.tid(), two.tid()), (1, 2));
        assert_eq!(registry.add(&ONE), Ok(one));
        assert_eq!(registry.len(), 2);
        assert_eq!(registry.name_of(two), Some("two"));
        assert_eq!(registry.find(fnv1a64(b"two")), Some(two));
        assert_eq!(registry.find(1), None);
        assert_eq!(registry.name_of(MessageIndex::new(2)), None);
        assert_eq!(registry.hashes(0), [fnv1a64(b"one"), fnv1a64(b"two")]);
        assert_eq!(registry.hashes(1), [fnv1a64(b"two")]);
        assert!(registry.hashes(u32::MAX).is_empty());
    }

    //= docs/PROTOCOL.md#4
    #[test]
    fn a_name_that_stands_twice_is_refused_with_both_places() {
        let registry = MessageRegistry::empty();
        registry.add(&ONE).unwrap();
        let error = registry.add(&ONE_AGAIN).unwrap_err();
        assert_eq!(
            error.to_string(),
            "two messages are named \"one\": at a.rs:1 and at c.rs:3; give one of them another \
             name with `as`"
        );
        assert_eq!(registry.len(), 1, "the first one stays");
    }

    //= docs/PROTOCOL.md#4
    #[test]
    fn two_names_of_one_hash_are_refused_with_both_places() {
        static TWIN: Registration = Registration::with_hash("twin", fnv1a64(b"one"), "d.rs", 4);
        let registry = MessageRegistry::empty();
        registry.add(&ONE).unwrap();
        let text = registry.add(&TWIN).unwrap_err().to_string();
        for part in ["\"one\" at a.rs:1", "\"twin\" at d.rs:4", "same hash 0x"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn two_messages_of_one_id_are_refused_with_both_places() {
        static MOVE: Registration = Registration::new("move", false, "a.rs", 1).with_id(111);
        static TALK: Registration = Registration::new("talk", false, "b.rs", 2).with_id(111);
        let registry = MessageRegistry::empty();
        let index = registry.add(&MOVE).unwrap();
        assert_eq!((registry.find_id(111), registry.find_id(112)), (Some(index), None));
        let text = registry.add(&TALK).unwrap_err().to_string();
        assert_eq!(
            text,
            "messages \"move\" at a.rs:1 and \"talk\" at b.rs:2 have the same id 111; give one of \
             them another `id = ..`"
        );
        assert_eq!(registry.len(), 1);
    }

    #[test]
    fn there_is_room_for_the_announced_number_of_types_and_no_more() {
        let registry = MessageRegistry::empty();
        let named = |number: u32| -> &'static Registration {
            let name = Box::leak(format!("type {number}").into_boxed_str());
            Box::leak(Box::new(Registration::new(name, false, "e.rs", number)))
        };
        for number in 0..TYPES_MAX {
            assert_eq!(registry.add(named(number)), Ok(MessageIndex::new(number)));
        }
        let text = registry.add(named(TYPES_MAX)).unwrap_err().to_string();
        assert!(text.contains("\"type 4096\" at e.rs:4096") && text.contains("4096 message types"));
    }

    #[test]
    fn the_digest_covers_as_many_types_as_it_says_in_their_order() {
        let (forth, back) = (MessageRegistry::empty(), MessageRegistry::empty());
        forth.add(&ONE).unwrap();
        let one_alone = forth.digest(1);
        assert_eq!(forth.digest(0), [0xE3, 0xB0, 0xC4, 0x42, 0x98, 0xFC, 0x1C, 0x14]);
        forth.add(&TWO).unwrap();
        back.add(&TWO).unwrap();
        back.add(&ONE).unwrap();
        assert_eq!(forth.digest(1), one_alone);
        assert_ne!(forth.digest(2), one_alone);
        assert_ne!(forth.digest(2), back.digest(2));
        let sha = Sha256::digest([ONE.hash().to_be_bytes(), TWO.hash().to_be_bytes()].concat());
        assert_eq!(forth.digest(2), sha[..8]);
    }

    #[test]
    fn zero_is_no_tid() {
        assert_eq!(MessageIndex::from_tid(0), None);
        assert_eq!(MessageIndex::from_tid(1), Some(MessageIndex::new(0)));
        assert_eq!(MessageIndex::new(41).tid(), 42);
    }
}
