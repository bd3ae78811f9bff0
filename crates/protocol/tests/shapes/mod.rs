//! A value of every kind serde knows, for the tests of bodies.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// All four kinds of variants, nested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Shape {
    Unit,
    Newtype(Box<Shape>),
    Tuple(i64, String, Vec<Shape>),
    Struct { maybe: Option<u16>, inner: BTreeMap<String, Shape> },
    Empty(),
    NoFields {},
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Key {
    #[default]
    First,
    Second,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct UnitStruct;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Newtype(pub(crate) u32);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TupleStruct(pub(crate) i16, pub(crate) Option<Newtype>);

/// A value that is buffered by serde before its variant is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Untagged {
    Number(i64),
    Text(String),
    List(Vec<Untagged>),
    Map(BTreeMap<String, Untagged>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub(crate) enum Tagged {
    One { value: u8 },
    Two { list: Vec<String> },
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Everything {
    pub(crate) unit: (),
    pub(crate) unit_struct: UnitStruct,
    pub(crate) flag: bool,
    pub(crate) unsigned: (u8, u16, u32, u64, u128),
    pub(crate) signed: (i8, i16, i32, i64, i128),
    pub(crate) floats: (f32, f64),
    pub(crate) character: char,
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) array: [u16; 3],
    pub(crate) newtype: Newtype,
    pub(crate) tuple: TupleStruct,
    pub(crate) maybe: Option<Vec<Option<i8>>>,
    pub(crate) map: BTreeMap<i32, String>,
    pub(crate) by_variant: BTreeMap<Key, bool>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) untagged: Vec<Untagged>,
    pub(crate) tagged: Option<Tagged>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![Just(Shape::Unit), Just(Shape::Empty()), Just(Shape::NoFields {})];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|shape| Shape::Newtype(Box::new(shape))),
            (any::<i64>(), ".{0,5}", vec(inner.clone(), 0..3))
                .prop_map(|(number, text, shapes)| Shape::Tuple(number, text, shapes)),
            (any::<Option<u16>>(), btree_map(".{0,3}", inner, 0..3))
                .prop_map(|(maybe, inner)| Shape::Struct { maybe, inner }),
        ]
    })
}

fn untagged() -> impl Strategy<Value = Untagged> {
    let leaf =
        prop_oneof![any::<i64>().prop_map(Untagged::Number), ".{0,5}".prop_map(Untagged::Text),];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Untagged::List),
            btree_map(".{0,3}", inner, 0..3).prop_map(Untagged::Map),
        ]
    })
}

fn tagged() -> impl Strategy<Value = Tagged> {
    prop_oneof![
        any::<u8>().prop_map(|value| Tagged::One { value }),
        vec(".{0,3}", 0..3).prop_map(|list| Tagged::Two { list }),
    ]
}

prop_compose! {
    pub(crate) fn everything()(
        scalars in (
            any::<bool>(),
            any::<(u8, u16, u32, u64, u128)>(),
            any::<(i8, i16, i32, i64, i128)>(),
            any::<(f32, f64)>(),
            any::<char>(),
            ".{0,40}",
        ),
        lists in (vec(any::<u8>(), 0..40), any::<[u16; 3]>(), any::<u32>(), any::<i16>()),
        maybe in proptest::option::of(vec(any::<Option<i8>>(), 0..20)),
        map in btree_map(any::<i32>(), ".{0,4}", 0..20),
        by_variant in btree_map(prop_oneof![Just(Key::First), Just(Key::Second)], any::<bool>(), 0..2),
        shapes in vec(shape(), 0..3),
        untagged in vec(untagged(), 0..3),
        tagged in proptest::option::of(tagged()),
    ) -> Everything {
        let (flag, unsigned, signed, floats, character, text) = scalars;
        let (bytes, array, newtype, number) = lists;
        Everything {
            unit: (), unit_struct: UnitStruct, flag, unsigned, signed, floats, character, text,
            bytes, array, newtype: Newtype(newtype),
            tuple: TupleStruct(number, Some(Newtype(newtype))),
            maybe, map, by_variant, shapes, untagged, tagged,
        }
    }
}
