//! Message ids and the types they stand for, looked up without a lock for types that were registered
//! before the connection.

use moorline_protocol::{
    EncodeError, Kind, MessageIndex, MessageRegistry, Registration, SetupError,
};

use crate::dialect::Dialect;

/// A snapshot of a registry, and the registry for what is newer.
#[derive(Debug)]
pub(crate) struct Ids {
    dialect: Dialect,
    registry: MessageRegistry,
    /// By index: the id, and that of the answer; 0 for none.
    of_type: Box<[(u64, u64)]>,
    /// In order.
    by_id: Box<[(u64, MessageIndex)]>,
}

impl Ids {
    /// # Errors
    /// A type has an id that this dialect keeps for itself.
    //= docs/PROTOCOL.md#11
    pub(crate) fn new(dialect: Dialect, registry: &MessageRegistry) -> Result<Self, SetupError> {
        let registrations = registry.registrations();
        for registration in &registrations {
            let reserved = |id: &u64| dialect.reserved_ids().contains(id);
            if let Some(id) =
                [registration.id(), registration.answer_id()].into_iter().flatten().find(reserved)
            {
                let (protocol, message) = (dialect.protocol(), registration.name());
                return Err(SetupError::ReservedId { protocol, message, id });
            }
        }
        let of_type: Box<[_]> =
            registrations.iter().map(|registration| pair(registration)).collect();
        let indices = (0..).map(MessageIndex::new);
        let numbered = of_type.iter().zip(indices).filter(|((id, _), _)| *id > 0);
        let mut by_id: Box<[_]> = numbered.map(|((id, _), index)| (*id, index)).collect();
        by_id.sort_unstable();
        Ok(Self { dialect, registry: registry.clone(), of_type, by_id })
    }

    /// Whether these are the types of this registry.
    pub(crate) fn are_of(&self, registry: &MessageRegistry) -> bool {
        self.registry.is_same(registry)
    }

    /// The id of a type of ours.
    #[inline]
    pub(crate) fn of(&self, kind: &Kind) -> Result<u64, EncodeError> {
        let &Kind::Known(index) = kind else {
            return Err(EncodeError::Unsupported("a message of a type this process does not have"));
        };
        match self.of_type.get(index.position()) {
            Some(&(id, _)) if id > 0 => Ok(id),
            Some(_) => Err(NO_ID),
            None => self.of_newer(index),
        }
    }

    #[cold]
    fn of_newer(&self, index: MessageIndex) -> Result<u64, EncodeError> {
        let id = self.registry.registration_of(index).and_then(Registration::id).ok_or(NO_ID)?;
        if self.dialect.reserved_ids().contains(&id) {
            return Err(EncodeError::Unsupported(
                "a message with an id that gofast keeps for itself",
            ));
        }
        Ok(id)
    }

    /// The type that an id stands for, and the id of what answers it: that of the request where
    /// nobody here knows better.
    #[inline]
    pub(crate) fn kind(&self, id: u64) -> (Kind, u64) {
        match self.by_id.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(place) => {
                let index = self.by_id[place].1;
                (Kind::Known(index), self.of_type[index.position()].1)
            }
            Err(_) => self.newer_kind(id),
        }
    }

    #[cold]
    fn newer_kind(&self, id: u64) -> (Kind, u64) {
        let unknown = Kind::Unknown { tid: u32::try_from(id).unwrap_or(u32::MAX), hash: None };
        match self.registry.find_id(id) {
            Some(index) => {
                let registration = self.registry.registration_of(index);
                (Kind::Known(index), registration.and_then(Registration::answer_id).unwrap_or(id))
            }
            None => (unknown, id),
        }
    }
}

const NO_ID: EncodeError = EncodeError::Unsupported(
    "a message without a number: register it with `id = ..`, as in \
     `register_message!(Move as \"game.Move\", id = 111)`",
);

fn pair(registration: &Registration) -> (u64, u64) {
    (registration.id().unwrap_or(0), registration.answer_id().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    static MOVE: Registration = Registration::new("move", false, "a.rs", 1).with_id(111);
    static ASK: Registration = Registration::new("ask", false, "a.rs", 2).with_id(7).answered_as(9);
    static NONE: Registration = Registration::new("none", false, "a.rs", 3);
    static LATE: Registration = Registration::new("late", false, "a.rs", 4).with_id(500);
    static BEAT: Registration = Registration::new("beat", false, "a.rs", 5).with_id(0x1003);

    #[test]
    fn ids_and_types_are_found_both_ways_and_newer_ones_too() {
        let registry = MessageRegistry::empty();
        let indices = [&MOVE, &ASK, &NONE].map(|registration| registry.add(registration).unwrap());
        let ids = Ids::new(Dialect::Y2017, &registry).unwrap();
        let [first, ask, none] = indices.map(Kind::Known);
        assert_eq!((ids.of(&first), ids.of(&ask), ids.of(&none)), (Ok(111), Ok(7), Err(NO_ID)));
        assert_eq!((ids.kind(111), ids.kind(7)), ((first, 111), (ask, 9)));
        assert_eq!(ids.kind(500), (Kind::Unknown { tid: 500, hash: None }, 500));
        let late = Kind::Known(registry.add(&LATE).unwrap());
        assert_eq!((ids.of(&late), ids.kind(500)), (Ok(500), (late, 500)));
        let beat = Kind::Known(registry.add(&BEAT).unwrap());
        assert!(ids.of(&beat).unwrap_err().to_string().contains("keeps for itself"));
    }

    //= docs/PROTOCOL.md#11
    #[test]
    fn reserved_ids_are_refused_by_their_dialect_alone() {
        let registry = MessageRegistry::empty();
        registry.add(&ASK).unwrap();
        assert!(Ids::new(Dialect::Y2017, &registry).is_ok());
        let why = Ids::new(Dialect::Y2016, &registry).unwrap_err().to_string();
        assert!(why.contains("\"ask\" has the id 0x7") && why.contains("gofast-2016"), "{why}");
        let registry = MessageRegistry::empty();
        registry.add(&BEAT).unwrap();
        assert!(Ids::new(Dialect::Y2016, &registry).is_ok());
        assert!(Ids::new(Dialect::Y2017, &registry).is_err());
    }
}
