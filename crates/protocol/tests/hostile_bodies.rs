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

/// A format, and the bytes of it that these tests are made of.
#[derive(Debug, Clone, Copy)]
struct Wire {
    format: Format,
    nil: u8,
    one: u8,
    empty_array: u8,
    array_of_one: u8,
    array_of_three: u8,
    map_of_two: u8,
    /// In front of a count of 16 bits.
    array_16: u8,
    /// In front of a count of 32 bits.
    array_32: u8,
}

const WIRES: &[Wire] = &[
    Wire {
        format: Format::MessagePack,
        nil: 0xC0,
        one: 0x01,
        empty_array: 0x90,
        array_of_one: 0x91,
        array_of_three: 0x93,
        map_of_two: 0x82,
        array_16: 0xDC,
        array_32: 0xDD,
    },
    #[cfg(feature = "cbor")]
    Wire {
        format: Format::Cbor,
        nil: 0xF6,
        one: 0x01,
        empty_array: 0x80,
        array_of_one: 0x81,
        array_of_three: 0x83,
        map_of_two: 0xA2,
        array_16: 0x99,
        array_32: 0x9A,
    },
];

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
            fn visit_u128<E>(self, _: u128) -> Result<Anything, E> {
                Ok(Anything)
            }
            fn visit_i128<E>(self, _: i128) -> Result<Anything, E> {
                Ok(Anything)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Anything, E> {
                Ok(Anything)
            }
            fn visit_str<E>(self, _: &str) -> Result<Anything, E> {
                Ok(Anything)
            }
            fn visit_bytes<E>(self, _: &[u8]) -> Result<Anything, E> {
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

/// What of CBOR opens something, ends it, or has more behind it.
#[cfg(feature = "cbor")]
fn cbor_soup() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => any::<u8>(),
        3 => 0x80_u8..=0x84,
        3 => 0xA0_u8..=0xA3,
        2 => 0xC0_u8..=0xC4,
        2 => prop::sample::select(&[0x41, 0x5F, 0x61, 0x7F, 0x9F, 0xBF, 0xF6, 0xF9, 0xFA, 0xFB][..]),
        3 => Just(0xFF_u8),
        3 => 0_u8..8,
    ];
    proptest::collection::vec(byte, 0..120)
}

/// A few changes of a body.
fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..4)
}

/// An honest body in which a few bytes were changed, cut out or put in.
fn damage(bytes: &mut Vec<u8>, changes: Vec<(prop::sample::Index, u8, u8)>) {
    for (place, byte, how) in changes {
        let place = place.index(bytes.len());
        match how {
            0 => bytes[place] = byte,
            1 => bytes[place] ^= 1 << (byte % 8),
            2 => bytes.insert(place, byte),
            _ => _ = bytes.remove(place),
        }
    }
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    (everything(), changes(), any::<bool>()).prop_map(|(value, changes, named)| {
        let mut bytes = Vec::new();
        if named {
            bytes = rmp_serde::to_vec_named(&value).expect("it can be encoded");
        } else {
            Format::MessagePack.encode(&value, &mut bytes).expect("it can be encoded");
        }
        damage(&mut bytes, changes);
        bytes
    })
}

#[cfg(feature = "cbor")]
fn mutated_cbor() -> impl Strategy<Value = Vec<u8>> {
    (everything(), changes()).prop_map(|(value, changes)| {
        let mut bytes = Vec::new();
        Format::Cbor.encode(&value, &mut bytes).expect("it can be encoded");
        damage(&mut bytes, changes);
        bytes
    })
}

/// What the library behind the encoder reads, if it reads all of it.
fn oracle(format: Format, bytes: &[u8]) -> Option<Everything> {
    match format {
        Format::MessagePack => rmp_serde::from_slice(bytes).ok(),
        #[cfg(feature = "cbor")]
        Format::Cbor => {
            let mut reader = minicbor_serde::Deserializer::new(bytes);
            let value = Everything::deserialize(&mut reader).ok()?;
            (reader.decoder().position() == bytes.len()).then_some(value)
        }
        _ => None,
    }
}

fn check_verdicts(format: Format, bytes: &[u8]) -> Result<(), TestCaseError> {
    let walked = format.walk(bytes);
    let read = format.decode::<Anything>(bytes).map(|_| ());
    prop_assert_eq!(read, walked, "the reader, then the walker");
    let ignored = format.decode::<IgnoredAny>(bytes).map(|_| ());
    prop_assert_eq!(ignored, walked, "ignoring, then the walker");
    if let Ok(value) = format.decode::<Everything>(bytes) {
        prop_assert_eq!(walked, Ok(()), "what a type takes is well-formed");
        if let Some(oracle) = oracle(format, bytes) {
            // By their bytes, because a changed float may be no number.
            prop_assert_eq!(rmp_serde::to_vec(&value).ok(), rmp_serde::to_vec(&oracle).ok());
        }
    }
    for accepted in [
        format.decode::<Vec<Shape>>(bytes).is_ok(),
        format.decode::<Untagged>(bytes).is_ok(),
        format.decode::<(u8, String)>(bytes).is_ok(),
        format.decode::<BTreeMap<u64, Option<IgnoredAny>>>(bytes).is_ok(),
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
        check_verdicts(Format::MessagePack, &bytes)?;
    }

    //= docs/PROTOCOL.md#5
    #[test]
    fn reader_and_walker_agree_on_damaged_bodies(bytes in mutated()) {
        check_verdicts(Format::MessagePack, &bytes)?;
    }
}

#[cfg(feature = "cbor")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn reader_and_walker_agree_on_random_bytes_of_cbor(bytes in cbor_soup()) {
        check_verdicts(Format::Cbor, &bytes)?;
    }

    #[test]
    fn reader_and_walker_agree_on_damaged_bodies_of_cbor(bytes in mutated_cbor()) {
        check_verdicts(Format::Cbor, &bytes)?;
    }
}

const BOMB_LEN: usize = 5_000;

fn repeated(unit: &[u8]) -> Vec<u8> {
    headed(&[], unit)
}

fn headed(head: &[u8], unit: &[u8]) -> Vec<u8> {
    head.iter().copied().chain(unit.iter().copied().cycle()).take(BOMB_LEN).collect()
}

/// Five thousand bytes each, made to look like very much.
fn bombs(format: Format) -> Vec<Vec<u8>> {
    match format {
        #[cfg(feature = "cbor")]
        Format::Cbor => cbor_bombs(),
        _ => msgpack_bombs(),
    }
}

#[cfg(feature = "cbor")]
fn cbor_bombs() -> Vec<Vec<u8>> {
    vec![
        // One array in the other, with one element each, without a count, or with as many as can be.
        repeated(&[0x81]),
        repeated(&[0x9F]),
        repeated(&[0x98, 0xFF]),
        repeated(&[0x99, 0x13, 0x00]),
        repeated(&[0x9B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        // One map in the other, as a key or as a value.
        repeated(&[0xA1]),
        repeated(&[0xBF]),
        repeated(&[0xA1, 0x01]),
        repeated(&[0xBF, 0x01]),
        repeated(&[0xBB, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        repeated(&[0xA1, 0x64, b'N', b'o', b'd', b'e']),
        repeated(&[0xBF, 0x64, b'N', b'o', b'd', b'e']),
        // One tag in the other, and tags between arrays.
        repeated(&[0xC1]),
        repeated(&[0xC2]),
        repeated(&[0xD9, 0xD9, 0xF7]),
        repeated(&[0xC1, 0x9F]),
        // Names that could be taken for one another's content.
        headed(&[0x9F], &[0x64, b'N', b'o', b'd', b'e']),
        headed(&[0x9F], &[0x67, b'N', b'e', b'w', b't', b'y', b'p', b'e']),
        // As many elements as bytes, of the smallest kinds.
        headed(&[0x99, 0x13, 0x85], &[0x80]),
        headed(&[0x99, 0x13, 0x85], &[0xF6]),
        headed(&[0x9F], &[0xF6]),
        headed(&[0xB9, 0x09, 0xC2], &[0x80]),
        headed(&[0xBF], &[0x80]),
        headed(&[0x99, 0x09, 0xC2], &[0x81, 0xF6]),
        headed(&[0x9F], &[0x9F, 0xFF]),
        // Nearly as many elements as bytes, in each of many levels.
        (0..BOMB_LEN / 3)
            .flat_map(|level| {
                let [.., high, low] = (BOMB_LEN - 3 * level - 3).to_be_bytes();
                [0x99, high, low]
            })
            .collect(),
        // Bytes that could be taken for an array, whole and in pieces.
        headed(&[0x59, 0x13, 0x85], &[0x00]),
        headed(&[0x5F], &[0x40]),
        headed(&[0x5F], &[0x41, 0x00]),
        headed(&[0x9F], &[0x7F, 0x60, 0xFF]),
    ]
}

fn msgpack_bombs() -> Vec<Vec<u8>> {
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
fn decode_as_everything(format: Format, bytes: &[u8]) {
    fn read<'de, T: Deserialize<'de>>(format: Format, bytes: &'de [u8]) {
        // What matters is that it comes back.
        let _ = format.decode::<T>(bytes);
    }
    let _ = format.walk(bytes);
    read::<Deep>(format, bytes);
    read::<DeepMap>(format, bytes);
    read::<Tree>(format, bytes);
    read::<Endless>(format, bytes);
    read::<List>(format, bytes);
    read::<Anything>(format, bytes);
    read::<IgnoredAny>(format, bytes);
    read::<Shape>(format, bytes);
    read::<Untagged>(format, bytes);
    read::<Everything>(format, bytes);
    read::<Vec<Vec<Vec<Vec<[u64; 16]>>>>>(format, bytes);
    read::<Vec<()>>(format, bytes);
    read::<Vec<PhantomData<u8>>>(format, bytes);
    read::<HashMap<u64, [u64; 16]>>(format, bytes);
    read::<Vec<&[u8]>>(format, bytes);
}

#[test]
fn no_bomb_overflows_a_stack_of_two_mebibytes() {
    let on_small_stack = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let exploded = on_small_stack
        .spawn(|| {
            for wire in WIRES {
                let bombs = bombs(wire.format);
                bombs.iter().for_each(|bomb| decode_as_everything(wire.format, bomb));
            }
        })
        .expect("a thread can be had")
        .join();
    assert!(exploded.is_ok());
}

#[test]
fn a_type_that_nests_without_end_in_no_bytes_is_refused() {
    for wire in WIRES {
        let error = wire.format.decode::<Endless>(&[wire.one]).unwrap_err();
        assert_eq!(format!("{:?}", error.fault()), "TooWrapped");
        assert!(wire.format.decode::<Endless>(&[wire.nil]).is_ok());
    }
}

/// Depth is that of arrays and maps; options, boxes and newtypes between them do not count.
//= docs/PROTOCOL.md#5
#[test]
fn the_deepest_honest_value_comes_back() {
    let depth_max = usize::try_from(DEPTH_MAX).unwrap();
    for wire in WIRES {
        let mut bytes = vec![wire.array_of_one; depth_max - 1];
        bytes.push(wire.empty_array);
        assert!(wire.format.decode::<Deep>(&bytes).is_ok());
        assert!(wire.format.decode::<List>(&bytes).is_ok());
        bytes.insert(0, wire.array_of_one);
        for error in [
            wire.format.decode::<Deep>(&bytes).unwrap_err(),
            wire.format.decode::<List>(&bytes).unwrap_err(),
            wire.format.walk(&bytes).unwrap_err(),
        ] {
            assert_eq!((error.offset(), format!("{:?}", error.fault())), (32, "TooDeep".into()));
        }
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
        // Only what ends at a break has none, and nothing is reserved then.
        let expected = hint.unwrap_or(0);
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
fn awaited_at_once(format: Format, bytes: &[u8]) -> usize {
    AWAITED.set((0, 0));
    // A bomb is refused, and has been announced by then.
    let _ = format.decode::<Expecting>(bytes);
    AWAITED.get().1
}

/// What containers reserve before their elements are there stays below 64 times the bomb, as long
/// as an element takes no more than 390 bytes.
#[test]
fn no_bomb_makes_containers_reserve_much() {
    let elements_max = 64 + BOMB_LEN / 8 + 4 * usize::try_from(DEPTH_MAX).unwrap();
    assert!(elements_max * 390 < BOMB_LEN * 64);
    for wire in WIRES {
        for bomb in bombs(wire.format) {
            let awaited = awaited_at_once(wire.format, &bomb);
            assert!(awaited <= elements_max, "{awaited} of {:02x?}", &bomb[..12]);
        }
    }
}

#[test]
fn small_containers_are_told_their_size_and_large_ones_a_part_of_it() {
    for Wire { format, nil, array_of_three, map_of_two, array_16, .. } in WIRES {
        assert_eq!(awaited_at_once(*format, &[*array_of_three, *nil, *nil, *nil]), 3);
        assert_eq!(awaited_at_once(*format, &[*map_of_two, *nil, *nil, *nil, *nil]), 2);
        let mut bytes = vec![*array_16, 0x03, 0xE8];
        bytes.resize(1_003, *nil);
        assert_eq!(awaited_at_once(*format, &bytes), 4 + 64 + 1_003 / 8);
    }
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
    for Wire { format, nil, array_32, .. } in WIRES {
        let huge = [*array_32, 0xFF, 0xFF, 0xFF, 0xFF, *nil, *nil];
        assert!(format.decode::<Vec<()>>(&huge).is_err());
        assert!(format.decode::<Vec<Nothing>>(&huge).is_err());
        let full = [*array_32, 0x00, 0x00, 0x00, 0x02, *nil, *nil];
        assert_eq!(format.decode::<Vec<()>>(&full).unwrap().len(), 2);
        assert_eq!(format.decode::<Vec<Nothing>>(&full).unwrap().len(), 2);
    }
    #[cfg(feature = "cbor")]
    {
        let until_break = [0x9F, 0xF6, 0x80, 0x18, 0xFF, 0xFF];
        assert_eq!(Format::Cbor.decode::<Vec<Nothing>>(&until_break).unwrap().len(), 3);
    }
}
