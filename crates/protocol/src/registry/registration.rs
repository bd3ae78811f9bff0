//! What `register_message!` leaves behind for each type.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::schema::Tracing;

use super::{MessageIndex, Place};

/// A registered type: its name on the wire, and where it was registered. One static for each type.
pub struct Registration {
    name: &'static str,
    hash: u64,
    hot: bool,
    /// What stands for it in protocols whose peers agree on numbers; 0 where it has none.
    id: u64,
    /// The same for what answers it; 0 where that has none of its own.
    answer_id: u64,
    place: Place,
    /// Finds out what the type looks like, for whoever asks for a schema.
    describe: Option<fn(&mut Tracing)>,
    /// The tid in the registry of the process, 0 as long as it has none there.
    tid_of_process: AtomicU32,
}

impl Registration {
    /// What [`register_message!`](crate::register_message) makes. `hot` types get the smallest
    /// numbers, which take the fewest bytes.
    ///
    /// # Panics
    /// The name is empty. As it is called for statics, that is an error of compilation.
    #[must_use]
    pub const fn new(name: &'static str, hot: bool, file: &'static str, line: u32) -> Self {
        assert!(!name.is_empty(), "a message needs a name");
        let mut registration = Self::with_hash(name, fnv1a64(name.as_bytes()), file, line);
        registration.hot = hot;
        registration
    }

    pub(super) const fn with_hash(
        name: &'static str,
        hash: u64,
        file: &'static str,
        line: u32,
    ) -> Self {
        let place = Place { file, line };
        Self {
            name,
            hash,
            hot: false,
            id: 0,
            answer_id: 0,
            place,
            describe: None,
            tid_of_process: AtomicU32::new(0),
        }
    }

    /// The same, with a number that all peers have agreed on, for protocols that know messages by
    /// such numbers and not by name.
    ///
    /// # Panics
    /// It is 0. As it is called for statics, that is an error of compilation.
    #[must_use]
    pub const fn with_id(mut self, id: u64) -> Self {
        assert!(id != 0, "0 is no message id: it stands for a message that has none");
        self.id = id;
        self
    }

    /// The same, with a number for what answers it. Where none is given an answer has the number of
    /// its request.
    ///
    /// # Panics
    /// It is 0. As it is called for statics, that is an error of compilation.
    #[must_use]
    pub const fn answered_as(mut self, id: u64) -> Self {
        assert!(id != 0, "0 is no message id: it stands for a message that has none");
        self.answer_id = id;
        self
    }

    /// The same, for a type that a schema can describe. Nothing is called before somebody asks for
    /// one.
    #[doc(hidden)]
    #[must_use]
    pub const fn described_by(mut self, describe: fn(&mut Tracing)) -> Self {
        self.describe = Some(describe);
        self
    }

    pub(crate) const fn describe(&self) -> Option<fn(&mut Tracing)> {
        self.describe
    }

    /// The last name of a path: what a type is called without its modules.
    ///
    /// # Panics
    /// The type has parameters. As it is called for statics, that is an error of compilation.
    #[doc(hidden)]
    #[must_use]
    pub const fn bare_name(path: &'static str) -> &'static str {
        let bytes = path.as_bytes();
        let mut start = 0;
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b':' | b' ' => start = at + 1,
                b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | 0x80.. => {}
                _ => panic!("a type with parameters needs a name: Type<..> as \"name\""),
            }
            at += 1;
        }
        path.split_at(start).1
    }

    /// The name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What stands for the name on the wire: its 64-bit FNV-1a.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// The number that all peers have agreed on, if it has one.
    #[must_use]
    pub const fn id(&self) -> Option<u64> {
        if self.id == 0 { None } else { Some(self.id) }
    }

    /// The number of what answers it: its own, unless another was given.
    #[must_use]
    pub const fn answer_id(&self) -> Option<u64> {
        if self.answer_id == 0 { self.id() } else { Some(self.answer_id) }
    }

    /// Whether it gets one of the smallest numbers.
    #[must_use]
    pub const fn hot(&self) -> bool {
        self.hot
    }

    /// The file it was registered in.
    #[must_use]
    pub const fn file(&self) -> &'static str {
        self.place.file
    }

    /// The line it was registered in.
    #[must_use]
    pub const fn line(&self) -> u32 {
        self.place.line
    }

    /// File and line.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }

    pub(super) fn remember(&self, index: MessageIndex) {
        // Whoever reads it needs the number alone, nothing that was written before.
        self.tid_of_process.store(index.tid(), Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn remembered(&self) -> Option<MessageIndex> {
        MessageIndex::from_tid(self.tid_of_process.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}", self.name, self.place)
    }
}

/// The hash of names on the wire: 64-bit FNV-1a.
#[must_use]
//= docs/PROTOCOL.md#4
pub(super) const fn fnv1a64(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_its_authors() {
        // Test vectors of the authors of FNV.
        assert_eq!(fnv1a64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a64(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a64(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_bare_name_has_no_modules() {
        assert_eq!(Registration::bare_name("Move"), "Move");
        assert_eq!(Registration::bare_name("game::board::Move_2"), "Move_2");
        assert_eq!(Registration::bare_name("game :: Zug_ä"), "Zug_ä");
    }

    #[test]
    fn an_answer_has_the_number_of_its_request_unless_it_has_its_own() {
        let plain = Registration::new("plain", false, "a.rs", 1);
        assert_eq!((plain.id(), plain.answer_id()), (None, None));
        let numbered = Registration::new("numbered", false, "a.rs", 1).with_id(112);
        assert_eq!((numbered.id(), numbered.answer_id()), (Some(112), Some(112)));
        let both = Registration::new("both", false, "a.rs", 1).with_id(112).answered_as(113);
        assert_eq!((both.id(), both.answer_id()), (Some(112), Some(113)));
    }

    #[test]
    #[should_panic(expected = "0 is no message id")]
    fn nothing_has_the_number_of_nothing() {
        let _ = Registration::new("none", false, "a.rs", 1).with_id(0);
    }

    #[test]
    #[should_panic(expected = "needs a name")]
    fn parameters_need_a_name_of_their_own() {
        let _ = Registration::bare_name("Wrapper<Inner>");
    }
}
