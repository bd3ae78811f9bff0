//! The map between two peers' numbers for message types (PROTOCOL 4).

mod bits;

use std::sync::Arc;

use self::bits::Bits;
use crate::closed::Violation;
use crate::code::ErrorCode;
use crate::frame::Kind;
use crate::limits::TYPES_MAX;
use crate::registry::{MessageIndex, MessageRegistry};

/// Which of its own message types a side handles. A value: made once for each change of handlers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandledTypes {
    bits: Bits,
    any: bool,
}

impl HandledTypes {
    /// Nothing is handled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This type is handled.
    pub fn insert(&mut self, index: MessageIndex) {
        self.bits.insert(index.position());
    }

    /// This type is not handled.
    pub fn remove(&mut self, index: MessageIndex) {
        self.bits.remove(index.position());
    }

    /// Whether there is a handler for whatever has no other: then the peer is told nothing, and
    /// refuses nothing on our behalf.
    #[must_use]
    pub fn with_any(mut self, any: bool) -> Self {
        self.any = any;
        self
    }

    /// Whether a message of this type finds a handler.
    #[must_use]
    pub fn contains(&self, index: MessageIndex) -> bool {
        self.any || self.bits.contains(index.position())
    }

    /// Whether there is a handler for whatever has no other.
    #[must_use]
    pub fn any(&self) -> bool {
        self.any
    }

    /// As SETUP and DICT tell it: bit tid - 1, low bit first, without zero bytes at the end.
    #[must_use]
    pub fn to_bitmap(&self) -> Vec<u8> {
        self.bits.to_bytes()
    }
}

/// What a peer has told of its message types: which of ours each of its numbers stands for, and
/// which of ours it handles. It never changes; a DICT makes another one.
#[derive(Debug, PartialEq, Eq)]
pub struct PeerTypes {
    numbers: Numbers,
    handled: Handled,
    /// How many types of ours there were when the peer's were looked up among them.
    ours: u32,
}

/// The peer's tid 1 stands first.
#[derive(Debug, PartialEq, Eq)]
enum Numbers {
    /// The peer numbers its first types as we do, so many.
    Same(u32),
    List(Box<[Told]>),
}

/// A type the peer has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    hash: u64,
    ours: Option<MessageIndex>,
}

/// What the peer handles, by our numbers.
#[derive(Debug, PartialEq, Eq)]
enum Handled {
    /// It does not say.
    Unsaid,
    /// All types it has told, and it numbers as we do.
    All,
    Some(Bits),
}

impl PeerTypes {
    /// The peer's digest over its first `types` types is that over ours: they are numbered alike.
    /// `handles` is what its SETUP says, if it does.
    #[must_use]
    pub fn same(registry: &MessageRegistry, types: u32, handles: Option<&[u8]>) -> Arc<Self> {
        Arc::new(Self::new(registry, Numbers::Same(types.min(registry.len())), handles))
    }

    /// The peer has told the hashes of its types, from tid 1 on.
    #[must_use]
    pub fn with_list(
        registry: &MessageRegistry,
        hashes: &[u64],
        handles: Option<&[u8]>,
    ) -> Arc<Self> {
        let told = registry.find_all(hashes).map(|(hash, ours)| Told { hash, ours }).collect();
        Arc::new(Self::new(registry, Numbers::List(told), handles))
    }

    /// The peer has told more: `hashes` from its tid `first` on, and anew what it handles. Bits of
    /// types that are still to be told are no error: a long list comes in several units.
    ///
    /// # Errors
    /// `first` does not follow the last tid told, or there are more than [`TYPES_MAX`] types.
    //= docs/PROTOCOL.md#4
    pub fn extended(
        &self,
        registry: &MessageRegistry,
        first: u32,
        hashes: &[u64],
        handles: Option<&[u8]>,
    ) -> Result<Arc<Self>, Violation> {
        if Some(first) != self.count().checked_add(1) {
            return Err(Violation::protocol(4, "DICT does not begin at the first tid not told"));
        }
        let count =
            u32::try_from(hashes.len()).ok().and_then(|more| more.checked_add(self.count()));
        let Some(count) = count.filter(|count| *count <= TYPES_MAX) else {
            let rule = "more than 4,096 message types";
            return Err(Violation::with_code(9, rule, ErrorCode::FLOW));
        };
        let numbers = match &self.numbers {
            Numbers::Same(told) if registry.hashes(*told).starts_with(hashes) => {
                Numbers::Same(count)
            }
            numbers => {
                let more = registry.find_all(hashes).map(|(hash, ours)| Told { hash, ours });
                Numbers::List(numbers.told(registry).into_iter().chain(more).collect())
            }
        };
        Ok(Arc::new(Self::new(registry, numbers, handles)))
    }

    fn new(registry: &MessageRegistry, numbers: Numbers, handles: Option<&[u8]>) -> Self {
        let handled = match handles {
            None => Handled::Unsaid,
            Some(handles) => numbers.handled(handles),
        };
        Self { numbers, handled, ours: registry.len() }
    }

    /// Which type a number of the peer's stands for. One the peer has not told is unknown, no
    /// error: what it gets depends on the unit.
    #[must_use]
    pub fn kind(&self, tid: u32) -> Kind {
        let position = MessageIndex::from_tid(tid);
        match (&self.numbers, position) {
            (Numbers::Same(count), Some(index)) if tid <= *count => Kind::Known(index),
            (Numbers::List(told), Some(index)) => match told.get(index.position()) {
                Some(Told { ours: Some(ours), .. }) => Kind::Known(*ours),
                Some(Told { hash, ours: None }) => Kind::Unknown { tid, hash: Some(*hash) },
                None => Kind::Unknown { tid, hash: None },
            },
            _ => Kind::Unknown { tid, hash: None },
        }
    }

    /// Whether the peer handles this type of ours. `None`: it does not say, or the type was
    /// registered here since; nothing is refused on its behalf then.
    #[must_use]
    pub fn handled(&self, index: MessageIndex) -> Option<bool> {
        if index.tid() > self.ours {
            return None;
        }
        match &self.handled {
            Handled::Unsaid => None,
            Handled::All => Some(index.tid() <= self.count()),
            Handled::Some(bits) => Some(bits.contains(index.position())),
        }
    }

    /// How many types the peer has told.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.numbers.count()
    }
}

impl Numbers {
    fn count(&self) -> u32 {
        match self {
            Numbers::Same(count) => *count,
            Numbers::List(told) => u32::try_from(told.len()).unwrap_or(u32::MAX),
        }
    }

    fn told(&self, registry: &MessageRegistry) -> Vec<Told> {
        match self {
            Numbers::List(told) => told.to_vec(),
            Numbers::Same(count) => {
                let hashes = registry.hashes(0).into_iter();
                let indices = (0..*count).map(MessageIndex::new);
                hashes.zip(indices).map(|(hash, ours)| Told { hash, ours: Some(ours) }).collect()
            }
        }
    }

    /// `handles` by our numbers. Bits of types that were not told mean nothing yet.
    fn handled(&self, handles: &[u8]) -> Handled {
        let bits = Bits::from_bytes(handles);
        let mut ours = Bits::default();
        match self {
            Numbers::Same(count) => {
                let told = 0..MessageIndex::new(*count).position();
                if told.clone().all(|position| bits.contains(position)) {
                    return Handled::All;
                }
                told.filter(|position| bits.contains(*position))
                    .for_each(|position| ours.insert(position));
            }
            Numbers::List(told) => {
                for (position, told) in told.iter().enumerate() {
                    if let (true, Some(index)) = (bits.contains(position), told.ours) {
                        ours.insert(index.position());
                    }
                }
            }
        }
        Handled::Some(ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registration;

    static NAMES: [Registration; 4] = [
        Registration::new("a", false, "a.rs", 1),
        Registration::new("b", false, "a.rs", 2),
        Registration::new("c", false, "a.rs", 3),
        Registration::new("d", false, "a.rs", 4),
    ];

    fn registry(of: usize) -> MessageRegistry {
        let registry = MessageRegistry::empty();
        NAMES[..of].iter().for_each(|name| _ = registry.add(name).unwrap());
        registry
    }

    fn hashes(names: &[&'static str]) -> Vec<u64> {
        names.iter().map(|name| hash(name)).collect()
    }

    fn hash(name: &'static str) -> u64 {
        Registration::new(name, false, "a.rs", 5).hash()
    }

    fn known(position: u32) -> Kind {
        Kind::Known(MessageIndex::new(position))
    }

    fn handled(types: &PeerTypes) -> Vec<Option<bool>> {
        (0..4).map(|position| types.handled(MessageIndex::new(position))).collect()
    }

    #[test]
    fn handled_types_become_a_bitmap_low_bit_first() {
        let mut handled = HandledTypes::new();
        assert!(handled.to_bitmap().is_empty());
        for position in [0, 9, 8] {
            handled.insert(MessageIndex::new(position));
        }
        assert_eq!(handled.to_bitmap(), [0b1, 0b11]);
        assert!(handled.contains(MessageIndex::new(9)) && !handled.contains(MessageIndex::new(1)));
        let any = handled.clone().with_any(true);
        assert!(any.contains(MessageIndex::new(1)) && any.any() && any != handled);
    }

    #[test]
    fn equal_digests_mean_equal_numbers() {
        let types = PeerTypes::same(&registry(4), 3, None);
        assert_eq!(types.kind(1), known(0));
        assert_eq!(types.kind(3), known(2));
        for tid in [0, 4, u32::MAX] {
            assert_eq!(types.kind(tid), Kind::Unknown { tid, hash: None });
        }
        assert_eq!(handled(&types), [None; 4]);
        assert_eq!(types.count(), 3);
    }

    #[test]
    fn what_the_peer_does_not_handle_is_known_before_it_is_sent() {
        let all = PeerTypes::same(&registry(4), 3, Some(&[0b111]));
        assert_eq!(handled(&all), [Some(true), Some(true), Some(true), Some(false)]);
        assert_eq!(all.handled, Handled::All, "the common case keeps no table");
        let some = PeerTypes::same(&registry(4), 3, Some(&[0b1101]));
        assert_eq!(handled(&some), [Some(true), Some(false), Some(true), Some(false)]);
        let none = PeerTypes::same(&registry(4), 3, Some(&[]));
        assert_eq!(handled(&none), [Some(false); 4]);
    }

    #[test]
    fn a_list_maps_the_peers_numbers_to_ours() {
        let told = hashes(&["c", "stranger", "a"]);
        let types = PeerTypes::with_list(&registry(4), &told, Some(&[0b110]));
        assert_eq!(types.kind(1), known(2));
        assert_eq!(types.kind(2), Kind::Unknown { tid: 2, hash: Some(hash("stranger")) });
        assert_eq!(types.kind(3), known(0));
        assert_eq!(types.kind(4), Kind::Unknown { tid: 4, hash: None });
        assert_eq!(handled(&types), [Some(true), Some(false), Some(false), Some(false)]);
    }

    #[test]
    fn more_types_follow_the_last_one_told() {
        let registry = registry(4);
        let same = PeerTypes::same(&registry, 1, None);
        let still_same = same.extended(&registry, 2, &hashes(&["b"]), Some(&[0b11])).unwrap();
        assert_eq!(still_same.numbers, Numbers::Same(2));
        assert_eq!(still_same.handled(MessageIndex::new(1)), Some(true));
        let list = still_same.extended(&registry, 3, &hashes(&["d", "x"]), None).unwrap();
        let kinds: Vec<_> = (1..=4).map(|tid| list.kind(tid)).collect();
        let unknown = Kind::Unknown { tid: 4, hash: Some(hash("x")) };
        assert_eq!(kinds, [known(0), known(1), known(3), unknown]);
        assert_eq!(list.handled(MessageIndex::new(0)), None, "each DICT says it anew");
        let longer = list.extended(&registry, 5, &hashes(&["c"]), Some(&[0b1_0000])).unwrap();
        assert_eq!(longer.kind(5), known(2));
        assert_eq!(handled(&longer), [Some(false), Some(false), Some(true), Some(false)]);
    }

    #[test]
    fn a_changed_bitmap_comes_alone() {
        let registry = registry(4);
        let types = PeerTypes::with_list(&registry, &hashes(&["b", "a"]), Some(&[0]));
        let changed = types.extended(&registry, 3, &[], Some(&[0b1])).unwrap();
        assert_eq!(handled(&changed), [Some(false), Some(true), Some(false), Some(false)]);
    }

    //= docs/PROTOCOL.md#4
    #[test]
    fn a_gap_a_repetition_and_too_many_are_violations() {
        let registry = registry(4);
        let types = PeerTypes::same(&registry, 2, None);
        for first in [0, 1, 2, 4, u32::MAX] {
            let error = types.extended(&registry, first, &[1], None).unwrap_err();
            assert_eq!((error.section, error.code), (4, ErrorCode::PROTOCOL));
        }
        let fits = vec![7; TYPES_MAX as usize - 2];
        let full = types.extended(&registry, 3, &fits, None).unwrap();
        assert_eq!(full.count(), TYPES_MAX);
        let error = full.extended(&registry, TYPES_MAX + 1, &[8], None).unwrap_err();
        assert_eq!(error.code, ErrorCode::FLOW);
    }

    #[test]
    fn a_peer_that_says_more_types_than_we_have_is_believed_up_to_ours() {
        let types = PeerTypes::same(&registry(2), u32::MAX, None);
        assert_eq!(types.count(), 2);
        assert_eq!(types.kind(3), Kind::Unknown { tid: 3, hash: None });
    }
}
