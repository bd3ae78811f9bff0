//! Bodies nobody means well with: the reader and the walker agree on them, and neither runs out of
//! stack or memory.

#![forbid(unsafe_code)]

mod shapes;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::marker::PhantomData;

use moorline_protocol::Format;
use moorline_protocol::limits::DEPTH_MAX;
use proptest::prelude::*;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use shapes::{Everything, Shape, Untagged, everything};

/// Whatever stands there, read by the reader value by value.
#[derive(Debug)]
struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Taken;
        impl<'de> Visitor<'de> for Taken {
            type Value = Anything;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_unit<E>(self) -> Result<Anything, E> {
                Ok(Anything)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Anything, E> {
                Ok(Anything)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Anything, E> {
                Ok(Anything)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Anything, E> {
                Ok(Anything)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Anything, E> {
                Ok(Anything)
            }
            fn visit_borrowed_str<E>(self, _: &'de str) -> Result<Anything, E> {
                Ok(Anything)
            }
            fn visit_borrowed_bytes<E>(self, _: &'de [u8]) -> Result<Anything, E> {
                Ok(Anything)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Anything, A::Error> {
                while elements.next_element::<Anything>()?.is_some() {}
                Ok(Anything)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Anything, A::Error> {
                while entries.next_entry::<Anything, Anything>()?.is_some() {}
                Ok(Anything)
            }
        }
        deserializer.deserialize_any(Taken)
    }
}

/// Random bytes, with more of the markers that open something than chance would give.
fn marker_soup() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => any::<u8>(),
        3 => 0x80_u8..=0x9F,
        2 => 0xC0_u8..=0xDF,
        3 => 0_u8..8,
    ];
    proptest::collection::vec(byte, 0..120)
}

/// An honest body in which a few bytes were changed, cut out or put in.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    (everything(), proptest::collection::vec(change, 0..4), any::<bool>()).prop_map(
        |(value, changes, named)| {
            let mut bytes = Vec::new();
            if named {
                bytes = rmp_serde::to_vec_named(&value).expect("it can be encoded");
            } else {
                Format::MessagePack.encode(&value, &mut bytes).expect("it can be encoded");
            }
            for (place, byte, how) in changes {
                let place = place.index(bytes.len());
                match how {
                    0 => bytes[place] = byte,
                    1 => bytes[place] ^= 1 << (byte % 8),
                    2 => bytes.insert(place, byte),
                    _ => _ = bytes.remove(place),
                }
            }
            bytes
        },
    )
}

fn check_verdicts(bytes: &[u8]) -> Result<(), TestCaseError> {
    let walked = Format::MessagePack.walk(bytes);
    let read = Format::MessagePack.decode::<Anything>(bytes).map(|_| ());
    prop_assert_eq!(read, walked, "the reader, then the walker");
    let ignored = Format::MessagePack.decode::<IgnoredAny>(bytes).map(|_| ());
    prop_assert_eq!(ignored, walked, "ignoring, then the walker");
    if let Ok(value) = Format::MessagePack.decode::<Everything>(bytes) {
        prop_assert_eq!(walked, Ok(()), "what a type takes is well-formed");
        if let Ok(oracle) = rmp_serde::from_slice::<Everything>(bytes) {
            // By their bytes, because a changed float may be no number.
            prop_assert_eq!(rmp_serde::to_vec(&value).ok(), rmp_serde::to_vec(&oracle).ok());
        }
    }
    for accepted in [
        Format::MessagePack.decode::<Vec<Shape>>(bytes).is_ok(),
        Format::MessagePack.decode::<Untagged>(bytes).is_ok(),
        Format::MessagePack.decode::<(u8, String)>(bytes).is_ok(),
        Format::MessagePack.decode::<BTreeMap<u64, Option<IgnoredAny>>>(bytes).is_ok(),
    ] {
        prop_assert!(!accepted || walked.is_ok(), "what a type takes is well-formed");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    //= docs/PROTOCOL.md#5
    #[test]
    fn reader_and_walker_agree_on_random_bytes(bytes in marker_soup()) {
        check_verdicts(&bytes)?;
    }

    //= docs/PROTOCOL.md#5
    #[test]
    fn reader_and_walker_agree_on_damaged_bodies(bytes in mutated()) {
        check_verdicts(&bytes)?;
    }
}

const BOMB_LEN: usize = 5_000;

/// Five thousand bytes each, made to look like very much.
fn bombs() -> Vec<Vec<u8>> {
    let repeated = |unit: &[u8]| unit.iter().copied().cycle().take(BOMB_LEN).collect::<Vec<u8>>();
    let headed = |head: &[u8], unit: &[u8]| {
        head.iter().copied().chain(unit.iter().copied().cycle()).take(BOMB_LEN).collect::<Vec<u8>>()
    };
    vec![
        // One array in the other, with one element each, or as many as can be said.
        repeated(&[0x91]),
        repeated(&[0x9F]),
        repeated(&[0xDC, 0x00, 0x01]),
        repeated(&[0xDC, 0xFF, 0xFF]),
        repeated(&[0xDD, 0xFF, 0xFF, 0xFF, 0xFF]),
        repeated(&[0xDC, 0x00, 0x90]),
        // One map in the other, as a key or as a value.
        repeated(&[0x81]),
        repeated(&[0x81, 0x01]),
        repeated(&[0xDE, 0x00, 0x80]),
        repeated(&[0xDF, 0xFF, 0xFF, 0xFF, 0xFF]),
        repeated(&[0x81, 0xA4, b'N', b'o', b'd', b'e']),
        // As many elements as bytes, of the smallest kinds.
        headed(&[0xDC, 0x13, 0x85], &[0x90]),
        headed(&[0xDC, 0x13, 0x85], &[0xC0]),
        headed(&[0xDC, 0x13, 0x85], &[0x80]),
        headed(&[0xDC, 0x13, 0x85], &[0xA0]),
        headed(&[0xDE, 0x09, 0xC2], &[0x90]),
        headed(&[0xDC, 0x09, 0xC2], &[0x91, 0xC0]),
        // Nearly as many elements as bytes, in each of many levels.
        (0..BOMB_LEN / 3)
            .flat_map(|level| {
                let [.., high, low] = (BOMB_LEN - 3 * level - 3).to_be_bytes();
                [0xDC, high, low]
            })
            .collect(),
        // A binary that could be taken for an array.
        headed(&[0xC5, 0x13, 0x85], &[0x00]),
        headed(&[0xC6, 0xFF, 0xFF, 0xFF, 0xFF], &[0x00]),
    ]
}

#[derive(Debug, Serialize, Deserialize)]
struct Deep(Vec<Deep>);

#[derive(Debug, Deserialize)]
struct DeepMap(#[expect(dead_code, reason = "only read")] HashMap<u8, DeepMap>);

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only read")]
enum Tree {
    Node(Vec<Tree>),
    Leaf,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Endless(Option<Box<Endless>>);

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only read")]
struct List {
    #[serde(default)]
    next: Option<Box<List>>,
    #[serde(default)]
    bulk: [[u64; 8]; 8],
}

/// Reads `bytes` as many types, recursive ones among them.
fn decode_as_everything(bytes: &[u8]) {
    fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) {
        // What matters is that it comes back.
        let _ = Format::MessagePack.decode::<T>(bytes);
    }
    let _ = Format::MessagePack.walk(bytes);
    read::<Deep>(bytes);
    read::<DeepMap>(bytes);
    read::<Tree>(bytes);
    read::<Endless>(bytes);
    read::<List>(bytes);
    read::<Anything>(bytes);
    read::<IgnoredAny>(bytes);
    read::<Shape>(bytes);
    read::<Untagged>(bytes);
    read::<Everything>(bytes);
    read::<Vec<Vec<Vec<Vec<[u64; 16]>>>>>(bytes);
    read::<Vec<()>>(bytes);
    read::<Vec<PhantomData<u8>>>(bytes);
    read::<HashMap<u64, [u64; 16]>>(bytes);
    read::<Vec<&[u8]>>(bytes);
}

#[test]
fn no_bomb_overflows_a_stack_of_two_mebibytes() {
    let on_small_stack = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let exploded = on_small_stack
        .spawn(|| bombs().iter().for_each(|bomb| decode_as_everything(bomb)))
        .expect("a thread can be had")
        .join();
    assert!(exploded.is_ok());
}

#[test]
fn a_type_that_nests_without_end_in_no_bytes_is_refused() {
    let error = Format::MessagePack.decode::<Endless>(&[0x01]).unwrap_err();
    assert_eq!(format!("{:?}", error.fault()), "TooWrapped");
    assert!(Format::MessagePack.decode::<Endless>(&[0xC0]).is_ok());
}

/// Depth is that of arrays and maps; options, boxes and newtypes between them do not count.
//= docs/PROTOCOL.md#5
#[test]
fn the_deepest_honest_value_comes_back() {
    let depth_max = usize::try_from(DEPTH_MAX).unwrap();
    let mut bytes = vec![0x91; depth_max - 1];
    bytes.push(0x90);
    assert!(Format::MessagePack.decode::<Deep>(&bytes).is_ok());
    assert!(Format::MessagePack.decode::<List>(&bytes).is_ok());
    let mut deeper = vec![0x91; depth_max];
    deeper.push(0x90);
    for error in [
        Format::MessagePack.decode::<Deep>(&deeper).unwrap_err(),
        Format::MessagePack.decode::<List>(&deeper).unwrap_err(),
        Format::MessagePack.walk(&deeper).unwrap_err(),
    ] {
        assert_eq!((error.offset(), format!("{:?}", error.fault())), (32, "TooDeep".into()));
    }
}

thread_local! {
    /// Elements that containers were told to expect and that have not come yet: now, and at most.
    static AWAITED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Notes what it is told to expect, as a `Vec` would reserve it, and is as deep as its input.
#[derive(Debug)]
struct Expecting;

impl Expecting {
    fn expect(hint: Option<usize>) -> usize {
        let expected = hint.expect("the number is known");
        let (now, most) = AWAITED.get();
        AWAITED.set((now + expected, most.max(now + expected)));
        expected
    }

    fn take(expected: &mut usize) {
        if let Some(left) = expected.checked_sub(1) {
            *expected = left;
            let (now, most) = AWAITED.get();
            AWAITED.set((now - 1, most));
        }
    }
}

impl<'de> Deserialize<'de> for Expecting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Noted;
        impl<'de> Visitor<'de> for Noted {
            type Value = Expecting;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array or a map")
            }
            fn visit_unit<E>(self) -> Result<Expecting, E> {
                Ok(Expecting)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Expecting, A::Error> {
                let mut expected = Expecting::expect(elements.size_hint());
                while elements.next_element::<Expecting>()?.is_some() {
                    Expecting::take(&mut expected);
                }
                Ok(Expecting)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Expecting, A::Error> {
                let mut expected = Expecting::expect(entries.size_hint());
                while entries.next_entry::<Expecting, Expecting>()?.is_some() {
                    Expecting::take(&mut expected);
                }
                Ok(Expecting)
            }
        }
        deserializer.deserialize_any(Noted)
    }
}

/// The most elements that containers of `bytes` were told to expect at once before they came.
fn awaited_at_once(bytes: &[u8]) -> usize {
    AWAITED.set((0, 0));
    // A bomb is refused, and has been announced by then.
    let _ = Format::MessagePack.decode::<Expecting>(bytes);
    AWAITED.get().1
}

/// What containers reserve before their elements are there stays below 64 times the bomb, as long
/// as an element takes no more than 390 bytes.
#[test]
fn no_bomb_makes_containers_reserve_much() {
    let elements_max = 64 + BOMB_LEN / 8 + 4 * usize::try_from(DEPTH_MAX).unwrap();
    assert!(elements_max * 390 < BOMB_LEN * 64);
    for bomb in bombs() {
        let awaited = awaited_at_once(&bomb);
        assert!(awaited <= elements_max, "{awaited} of {:02x?}", &bomb[..12]);
    }
}

#[test]
fn small_containers_are_told_their_size_and_large_ones_a_part_of_it() {
    assert_eq!(awaited_at_once(&[0x93, 0xC0, 0xC0, 0xC0]), 3);
    assert_eq!(awaited_at_once(&[0x82, 0xC0, 0xC0, 0xC0, 0xC0]), 2);
    let mut bytes = vec![0xDC, 0x03, 0xE8];
    bytes.resize(1_003, 0xC0);
    assert_eq!(awaited_at_once(&bytes), 4 + 64 + 1_003 / 8);
}

/// As many elements as bytes is possible, more is not: elements that take no memory and whose type
/// reads no byte are counted all the same.
#[test]
fn a_loop_over_declared_elements_ends() {
    #[derive(Debug)]
    struct Nothing;
    impl<'de> Deserialize<'de> for Nothing {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Nothing)
        }
    }
    let huge = [0xDD, 0xFF, 0xFF, 0xFF, 0xFF, 0xC0, 0xC0];
    assert!(Format::MessagePack.decode::<Vec<()>>(&huge).is_err());
    assert!(Format::MessagePack.decode::<Vec<Nothing>>(&huge).is_err());
    let full = [0xDD, 0x00, 0x00, 0x00, 0x02, 0xC0, 0xC0];
    assert_eq!(Format::MessagePack.decode::<Vec<()>>(&full).unwrap().len(), 2);
    assert_eq!(Format::MessagePack.decode::<Vec<Nothing>>(&full).unwrap().len(), 2);
}
