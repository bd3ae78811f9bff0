//! Our reader of CBOR: what others write, and minicbor-serde does not.

#![forbid(unsafe_code)]
#![cfg(feature = "cbor")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;

use moorline_protocol::Format;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// The value, or what is wrong.
fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, String> {
    Format::Cbor.decode(bytes).map_err(|error| format!("{:?}", error.fault()))
}

/// What is wrong with `bytes` as a `T`.
fn fault<'de, T: Deserialize<'de> + Debug>(bytes: &'de [u8]) -> String {
    decode::<T>(bytes).expect_err("it is refused")
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Move {
    unit: u32,
    to: (i8, i8),
    name: String,
}

/// `{"unit": 7, "to": [1, -2], "name": "ada"}` in all its forms.
#[test]
fn a_struct_is_read_in_every_form() {
    let value = || Move { unit: 7, to: (1, -2), name: "ada".into() };
    let forms: [&[u8]; 6] = [
        b"\xa3\x64unit\x07\x62to\x82\x01\x21\x64name\x63ada",
        // Nothing has a count.
        b"\xbf\x64unit\x07\x62to\x9f\x01\x21\xff\x64name\x7f\x62ad\x60\x61a\xff\xff",
        // Another order, longer numbers, and more than the type has.
        b"\xb9\x00\x04\x63new\x9f\xa1\xf6\xf7\xff\x64name\x78\x03ada\x62to\x83\x18\x01\x39\x00\x01\x80\
          \x64unit\x1b\x00\x00\x00\x00\x00\x00\x00\x07",
        // The tag of all CBOR in front, and others inside.
        b"\xd9\xd9\xf7\xa3\x64unit\xc6\x07\xc7\x62to\xc8\x82\xc9\x01\xca\x21\x64name\xd8\x20\x63ada",
        // The names in pieces, one of them without any.
        b"\xa4\x7f\x62un\x62it\xff\x07\x7f\x62to\xff\x82\x01\x21\x7f\xff\x01\x7f\x64name\xff\x63ada",
        // As MessagePack has it.
        b"\x83\x07\x82\x01\x21\x63ada",
    ];
    for form in forms {
        assert_eq!(decode(form), Ok(value()), "{form:02x?}");
        assert_eq!(Format::Cbor.walk(form), Ok(()));
        for len in 0..form.len() {
            assert!(decode::<Move>(&form[..len]).is_err(), "{len} bytes of {form:02x?}");
            assert!(Format::Cbor.walk(&form[..len]).is_err(), "{len} bytes of {form:02x?}");
        }
    }
}

#[test]
fn numbers_are_read_in_every_width() {
    for (bytes, value) in [
        (&b"\xf9\x3e\x00"[..], 1.5),
        (b"\xfa\x3f\xc0\x00\x00", 1.5),
        (b"\xfb\x3f\xf8\x00\x00\x00\x00\x00\x00", 1.5),
        (b"\xf9\xfc\x00", f64::NEG_INFINITY),
        (b"\x03", 3.0),
        (b"\x22", -3.0),
    ] {
        assert_eq!(decode::<f64>(bytes), Ok(value));
        assert_eq!(decode::<f32>(bytes).map(f64::from), Ok(value));
    }
    assert_eq!(decode::<i64>(b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff"), Ok(i64::MIN));
    let below = b"\x3b\x80\x00\x00\x00\x00\x00\x00\x00";
    assert_eq!(decode::<i128>(below), Ok(i128::from(i64::MIN) - 1));
    assert_eq!(fault::<i64>(below), "WrongValue { found: \"integer\" }");
    assert_eq!(fault::<u8>(b"\x19\x01\x00"), "WrongValue { found: \"integer\" }");
    assert_eq!(fault::<u8>(b"\x20"), "WrongValue { found: \"integer\" }");
}

#[test]
fn bignums_are_integers_of_up_to_128_bits() {
    assert_eq!(decode::<u8>(b"\xc2\x41\x07"), Ok(7));
    assert_eq!(decode::<i8>(b"\xc3\x43\x00\x00\x07"), Ok(-8));
    assert_eq!(decode::<u64>(b"\xc2\x5f\x41\x01\x41\x00\xff"), Ok(256));
    let seventeen = [&b"\xc2\x51\x00"[..], &[0xff; 16]].concat();
    assert_eq!(decode::<u128>(&seventeen), Ok(u128::MAX));
    assert_eq!(fault::<u64>(&seventeen), "WrongValue { found: \"integer\" }");
    let mut too_big = seventeen;
    too_big[2] = 1;
    assert_eq!(fault::<u128>(&too_big), "BigNumber");
    assert_eq!(Format::Cbor.walk(&too_big).unwrap_err().offset(), 0);
    assert_eq!(fault::<i128>(&[&b"\xc3\x50"[..], &[0xff; 16]].concat()), "BigNumber");
    assert_eq!(fault::<u8>(b"\xc2\x07"), "Marker(7)");
    assert_eq!(fault::<Vec<u8>>(b"\xc2\xc1\x41\x07"), "Marker(193)");
}

#[test]
fn strings_are_borrowed_when_whole_and_collected_from_pieces() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let whole = b"\x63ada";
    assert_eq!(decode::<&str>(whole), Ok("ada"));
    assert_eq!(decode::<&[u8]>(b"\x42\x01\x02"), Ok(&[1, 2][..]));
    let pieces = b"\x7f\x61a\x62da\xff";
    assert_eq!(decode::<String>(pieces), Ok("ada".to_owned()));
    assert_eq!(decode::<Text<'_>>(pieces), Ok(Text("ada".into())));
    assert_eq!(fault::<&str>(pieces), "WrongType { found: \"string\" }");
    assert_eq!(decode::<Vec<u8>>(b"\x5f\x41\x01\x40\x42\x02\x03\xff"), Ok(vec![1, 2, 3]));
    assert_eq!(decode::<Vec<u8>>(b"\x43\x01\x02\x03"), Ok(vec![1, 2, 3]));
    assert_eq!(decode::<char>(pieces.get(1..3).unwrap()), Ok('a'));
    assert_eq!(decode::<char>(b"\x18\x61"), Ok('a'));
    assert_eq!(fault::<char>(b"\x19\xd8\x00"), "WrongValue { found: \"integer\" }");
    // A character may not be cut in two, and a piece neither be of another kind nor in pieces.
    assert_eq!(fault::<String>(b"\x7f\x61\xc3\x61\xa9\xff"), "Utf8");
    assert_eq!(fault::<String>(b"\x7f\x41a\xff"), "Marker(65)");
    assert_eq!(fault::<String>(b"\x7f\x7f\x61a\xff\xff"), "Marker(127)");
    assert_eq!(fault::<Vec<u8>>(b"\x5f\x01\xff"), "Marker(1)");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Content(u8),
    Fields {
        a: u8,
    },
    #[serde(other)]
    Other,
}

#[test]
fn variants_are_names_or_maps_of_one_entry() {
    for (bytes, kind) in [
        (&b"\x65Plain"[..], Kind::Plain),
        (b"\x7f\x62Pl\x63ain\xff", Kind::Plain),
        (b"\xa1\x65Plain\x83\x01\x02\x03", Kind::Plain),
        (b"\xbf\x67Content\x05\xff", Kind::Content(5)),
        (b"\xc1\xa1\xc1\x67Content\xc1\x05", Kind::Content(5)),
        (b"\xa1\x66Fields\xbf\x61a\x05\x61b\x06\xff", Kind::Fields { a: 5 }),
        (b"\xa1\x66Fields\x9f\x05\x06\xff", Kind::Fields { a: 5 }),
        (b"\x63New", Kind::Other),
        (b"\xbf\x63New\x9f\xa1\x01\x02\xff\xff", Kind::Other),
    ] {
        assert_eq!(decode(bytes), Ok(kind));
        let two = [&[0x9f][..], bytes, &[0x07, 0xff]].concat();
        assert_eq!(decode::<(Kind, u8)>(&two).map(|(_, after)| after), Ok(7), "{bytes:02x?}");
    }
    for (bytes, expected) in [
        (&b"\x67Content"[..], "WrongType { found: \"variant without content\" }"),
        (b"\x66Fields", "WrongType { found: \"variant without content\" }"),
        (b"\xa0", "VariantMap"),
        (b"\xbf\xff", "VariantMap"),
        (b"\xbf\x65Plain\x01\x65Plain\x01\xff", "VariantMap"),
        (b"\xa2\x65Plain\x01\x65Plain\x01", "VariantMap"),
        (b"\xbf\x65Plain\xff", "Marker(255)"),
        (b"\xa1\x67Content\x61x", "WrongType { found: \"string\" }"),
        (b"\x65Plain\x01", "TrailingBytes"),
    ] {
        assert_eq!(fault::<Kind>(bytes), expected, "{bytes:02x?}");
    }
}

/// A list of names is as flat as it looks, and a type that nests in no bytes ends.
#[test]
fn a_flat_body_is_no_deep_value() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    enum Expression {
        Leaf,
        Not(Box<Expression>),
        Both { left: Box<Expression>, right: Box<Expression> },
        Pair(Box<Expression>, Box<Expression>),
    }
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Endless(Option<Box<Endless>>);
    for name in [&b"\x63Not"[..], b"\x64Both", b"\x64Pair", b"\x7f\x63Not\xff"] {
        for head in [&b"\x9a\x00\x01\x86\xa0"[..], b"\x9f"] {
            let mut body = [head, &name.repeat(100_000)].concat();
            if head.len() == 1 {
                body.push(0xff);
            }
            assert_eq!(Format::Cbor.walk(&body), Ok(()));
            let content = "WrongType { found: \"variant without content\" }";
            assert_eq!(fault::<Vec<Expression>>(&body), content);
        }
    }
    assert_eq!(fault::<Endless>(&[0x01]), "TooWrapped");
    assert!(decode::<Endless>(&[0xf6]).is_ok());
    let tagged = [&[0xc1; 31][..], &[0x01]].concat();
    assert_eq!(fault::<Endless>(&tagged), "TooWrapped");
}

#[test]
fn what_is_not_well_formed_is_refused_by_reader_and_walker() {
    for (bytes, expected) in [
        (&b""[..], "Truncated"),
        (b"\x5f\x01\xff", "Marker(1)"),
        (b"\xbf\x01\xff", "Marker(255)"),
        (b"\xbf\x01\x02\x03\xff", "Marker(255)"),
        (b"\xa1\x01\xff", "Marker(255)"),
        (b"\xc1\xff", "Marker(255)"),
        (b"\xff", "Marker(255)"),
        (b"\x1c", "Marker(28)"),
        (b"\x1f", "Marker(31)"),
        (b"\xdf\x01", "Marker(223)"),
        (b"\xe0", "Marker(224)"),
        (b"\xf8\x10", "Marker(248)"),
        (b"\x61\xff", "Utf8"),
        (b"\x9f", "Truncated"),
        (b"\x82\x9f\x01\xff", "Truncated"),
        (b"\x81\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "TooMany"),
        (b"\xbb\x80\x00\x00\x00\x00\x00\x00\x01", "TooMany"),
        (b"\x01\x02", "TrailingBytes"),
    ] {
        let walked = Format::Cbor.walk(bytes).unwrap_err();
        assert_eq!(format!("{:?}", walked.fault()), expected, "{bytes:02x?}");
        assert_eq!(Format::Cbor.decode::<serde::de::IgnoredAny>(bytes).unwrap_err(), walked);
    }
}

/// A type that tries again after each error comes to an end, and the body is refused.
#[test]
fn a_list_that_goes_on_after_errors_ends() {
    #[derive(Debug, PartialEq)]
    struct Lenient(Vec<u8>);
    impl<'de> Deserialize<'de> for Lenient {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Taken;
            impl<'de> serde::de::Visitor<'de> for Taken {
                type Value = Lenient;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a list")
                }
                fn visit_seq<A: serde::de::SeqAccess<'de>>(
                    self,
                    mut list: A,
                ) -> Result<Lenient, A::Error> {
                    let mut good = Vec::new();
                    loop {
                        match list.next_element() {
                            Ok(Some(value)) => good.push(value),
                            Ok(None) => return Ok(Lenient(good)),
                            Err(_) => {}
                        }
                    }
                }
            }
            deserializer.deserialize_seq(Taken)
        }
    }
    let mixed = b"\x9f\x01\x61x\x19\x01\x00\xa1\x01\x02\x02\x9f\x03\xff\xff";
    assert_eq!(decode(mixed), Ok(Lenient(vec![1, 2])));
    assert_eq!(fault::<Lenient>(b"\x9f\x01\x1c\x02\xff"), "Marker(28)");
    assert_eq!(fault::<Lenient>(b"\x9f\x01\x61"), "Truncated");
    assert_eq!(fault::<Lenient>(b"\x9f\x01\xbf\x01\xff\xff"), "Marker(255)");
}

/// A field that swallows its own errors neither loses its place in the body nor lets broken bytes
/// through.
#[test]
fn a_field_that_swallows_errors_does_no_harm() {
    fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
    where
        D: serde::Deserializer<'de>,
        T: Deserialize<'de> + Default,
    {
        Ok(T::deserialize(deserializer).unwrap_or_default())
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Lenient {
        #[serde(deserialize_with = "or_default")]
        number: u8,
        after: u8,
    }
    let lenient = || Ok(Lenient { number: 0, after: 5 });
    assert_eq!(decode(b"\x82\x62no\x05"), lenient(), "a text");
    assert_eq!(decode(b"\x9f\xc1\x7f\x62no\xff\x05\xff"), lenient(), "a text in pieces");
    assert_eq!(decode(b"\x82\x19\x01\x00\x05"), lenient(), "out of range");
    assert_eq!(decode(b"\x9f\x9f\x01\xbf\x02\x03\xff\xff\x05\xff"), lenient(), "an array");
    assert_eq!(decode(b"\xbf\x66number\xa1\x01\x82\x02\x03\x65after\x05\xff"), lenient(), "a map");
    assert_eq!(fault::<Lenient>(b"\x82\x61\xff\x05"), "Utf8");
    assert_eq!(fault::<Lenient>(b"\x9f\xbf\x01\xff\x05\xff"), "Marker(255)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn floats_come_back_bit_by_bit(single in any::<u32>(), double in any::<u64>()) {
        let value = (f32::from_bits(single), f64::from_bits(double));
        let mut bytes = Vec::new();
        Format::Cbor.encode(&value, &mut bytes).unwrap();
        let back: (f32, f64) = Format::Cbor.decode(&bytes).unwrap();
        prop_assert_eq!((back.0.to_bits(), back.1.to_bits()), (single, double));
    }

    #[test]
    fn an_integer_of_any_width_is_read_by_any_type(value in any::<i128>(), shift in 0_u32..128) {
        let value = value >> shift;
        let mut bytes = Vec::new();
        Format::Cbor.encode(&value, &mut bytes).unwrap();
        prop_assert_eq!(decode::<i128>(&bytes), Ok(value));
        prop_assert_eq!(decode::<u128>(&bytes).ok(), value.try_into().ok());
        prop_assert_eq!(decode::<i64>(&bytes).ok(), value.try_into().ok());
        prop_assert_eq!(decode::<u64>(&bytes).ok(), value.try_into().ok());
        prop_assert_eq!(decode::<u8>(&bytes).ok(), value.try_into().ok());
    }

    #[test]
    fn maps_with_and_without_a_count_are_the_same(
        map in proptest::collection::btree_map(any::<u16>(), ".{0,5}", 0..30)
    ) {
        let mut bytes = vec![0xbf];
        for (key, value) in &map {
            Format::Cbor.encode(key, &mut bytes).unwrap();
            Format::Cbor.encode(value, &mut bytes).unwrap();
        }
        bytes.push(0xff);
        prop_assert_eq!(decode::<BTreeMap<u16, String>>(&bytes), Ok(map));
    }
}
