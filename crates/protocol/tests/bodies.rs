//! Our reader against rmp-serde, which encodes the bodies and knows what they mean.

#![forbid(unsafe_code)]

mod shapes;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use moorline_protocol::Format;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use shapes::everything;

/// All formats that have arrays, maps and variants.
const FORMATS: &[Format] = &[
    Format::MessagePack,
    #[cfg(feature = "cbor")]
    Format::Cbor,
];

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    encode_as(Format::MessagePack, value)
}

fn encode_as<T: Serialize>(format: Format, value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    format.encode(value, &mut out).expect("it can be encoded");
    out
}

/// What is wrong with `bytes` as a `T`.
fn fault<'de, T: Deserialize<'de> + Debug>(bytes: &'de [u8]) -> String {
    let error = Format::MessagePack.decode::<T>(bytes).expect_err("it is refused");
    format!("{:?}", error.fault())
}

/// The value comes back from each way rmp-serde has to write it, and as rmp-serde itself reads it; and
/// from CBOR.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    #[cfg(feature = "cbor")]
    cbor_round_trip(value);
    let forms = [rmp_serde::to_vec(value), rmp_serde::to_vec_named(value), Ok(encode(value))];
    for form in forms {
        let bytes = form.expect("it can be encoded");
        assert_eq!(rmp_serde::from_slice::<T>(&bytes).as_ref().ok(), Some(value), "the oracle");
        assert_eq!(Format::MessagePack.decode::<T>(&bytes).as_ref(), Ok(value), "{bytes:02x?}");
        assert_eq!(Format::MessagePack.walk(&bytes), Ok(()));
    }
}

#[cfg(feature = "cbor")]
fn cbor_round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let mut bytes = Vec::new();
    Format::Cbor.encode(value, &mut bytes).expect("it can be encoded");
    assert_eq!(minicbor_serde::from_slice::<T>(&bytes).as_ref().ok(), Some(value), "the oracle");
    assert_eq!(Format::Cbor.decode::<T>(&bytes).as_ref(), Ok(value), "{bytes:02x?}");
    assert_eq!(Format::Cbor.walk(&bytes), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_encoded_comes_back(value in everything()) {
        round_trip(&value);
    }

    /// A reader that knows fewer fields skips the rest, whatever it holds.
    //= docs/PROTOCOL.md#5
    #[test]
    fn a_shorter_struct_skips_what_it_does_not_know(
        a in any::<u32>(), b in ".{0,9}", rest in everything(), after in any::<i64>(),
    ) {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Short(u32, String);
        // In an array, so that what follows shows whether exactly the rest was skipped.
        for format in FORMATS {
            let bytes = encode_as(*format, &((a, &b, &rest, rest.shapes.clone()), after));
            prop_assert_eq!(format.decode(&bytes), Ok((Short(a, b.clone()), after)));
        }
    }

    #[test]
    fn floats_come_back_bit_by_bit(single in any::<u32>(), double in any::<u64>()) {
        let value = (f32::from_bits(single), f64::from_bits(double));
        let back: (f32, f64) = Format::MessagePack.decode(&encode(&value)).unwrap();
        prop_assert_eq!((back.0.to_bits(), back.1.to_bits()), (single, double));
    }

    /// Every width an integer can be sent in is read by every type that has room for it.
    #[test]
    fn an_integer_of_any_width_is_read_by_any_type(value in any::<i64>(), shift in 0_u32..64) {
        let value = value >> shift;
        let mut forms = vec![[&[0xD3][..], &value.to_be_bytes()].concat()];
        if let Ok(value) = i8::try_from(value) { forms.push(vec![0xD0, value.to_be_bytes()[0]]); }
        if let Ok(value) = i16::try_from(value) {
            forms.push([&[0xD1][..], &value.to_be_bytes()].concat());
        }
        if let Ok(value) = i32::try_from(value) {
            forms.push([&[0xD2][..], &value.to_be_bytes()].concat());
        }
        if let Ok(value) = u8::try_from(value) { forms.push(vec![0xCC, value]); }
        if let Ok(value) = u16::try_from(value) {
            forms.push([&[0xCD][..], &value.to_be_bytes()].concat());
        }
        if let Ok(value) = u32::try_from(value) {
            forms.push([&[0xCE][..], &value.to_be_bytes()].concat());
        }
        if let Ok(value) = u64::try_from(value) {
            forms.push([&[0xCF][..], &value.to_be_bytes()].concat());
        }
        forms.push(rmp_serde::to_vec(&value).unwrap());
        for bytes in forms {
            prop_assert_eq!(Format::MessagePack.decode::<i64>(&bytes), Ok(value));
            prop_assert_eq!(Format::MessagePack.decode::<u64>(&bytes).ok(), value.try_into().ok());
            prop_assert_eq!(Format::MessagePack.decode::<i32>(&bytes).ok(), value.try_into().ok());
            prop_assert_eq!(Format::MessagePack.decode::<u32>(&bytes).ok(), value.try_into().ok());
            prop_assert_eq!(Format::MessagePack.decode::<i8>(&bytes).ok(), value.try_into().ok());
            prop_assert_eq!(Format::MessagePack.decode::<u8>(&bytes).ok(), value.try_into().ok());
            prop_assert_eq!(Format::MessagePack.decode::<i128>(&bytes).ok(), Some(value.into()));
            prop_assert_eq!(Format::MessagePack.decode::<u128>(&bytes).ok(), value.try_into().ok());
        }
    }
}

#[test]
fn extremes_come_back() {
    round_trip(&(u64::MAX, i64::MIN, i64::MAX, u128::MAX, i128::MIN, i128::MAX));
    round_trip(&(f32::MIN, f32::MAX, f64::MIN_POSITIVE, f64::INFINITY, f32::NEG_INFINITY));
    round_trip(&(char::MAX, '\0', 'é', String::new(), "x".repeat(70_000)));
    round_trip(&(vec![0_u8; 70_000], vec![u16::MAX; 70_000], Vec::<u8>::new()));
    round_trip(
        &(0..70_000_u32).map(|number| (number, number % 7 == 0)).collect::<BTreeMap<_, _>>(),
    );
    round_trip(&(0..300_u32).map(|number| (number, ())).collect::<HashMap<_, _>>());
    round_trip(&vec![(); 300]);
    round_trip(&(Some(Some(3_u8)), None::<u8>, [[1_u16, 2], [3, 4]], Box::new((1_u8,))));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Borrowing<'a> {
    text: &'a str,
    bytes: &'a [u8],
    #[serde(borrow)]
    either: Cow<'a, str>,
    maybe: Option<&'a str>,
    many: Vec<&'a str>,
}

#[test]
fn what_can_be_borrowed_is_borrowed() {
    let value = Borrowing {
        text: "text",
        bytes: &[0, 1, 0xFF],
        either: Cow::Borrowed("either"),
        maybe: Some("maybe"),
        many: vec!["one", "two"],
    };
    let bytes = encode(&value);
    let back: Borrowing<'_> = Format::MessagePack.decode(&bytes).unwrap();
    assert_eq!(back, value);
    let body = bytes.as_ptr_range();
    assert!(matches!(back.either, Cow::Borrowed(_)));
    for borrowed in [back.text, &back.either, back.many[1]] {
        assert!(body.contains(&borrowed.as_ptr()), "{borrowed}");
    }
    assert!(body.contains(&back.bytes.as_ptr()));
}

#[test]
fn bytes_are_taken_as_binary_as_array_and_as_text() {
    let as_bin = [0xC4, 3, b'a', b'b', b'c'];
    let as_array = [0x93, b'a', b'b', b'c'];
    let as_text = [0xA3, b'a', b'b', b'c'];
    assert_eq!(encode(&b"abc".to_vec()), as_bin);
    assert_eq!(Format::MessagePack.decode::<Vec<u8>>(&as_bin).unwrap(), b"abc");
    assert_eq!(Format::MessagePack.decode::<Vec<u8>>(&as_array).unwrap(), b"abc");
    assert_eq!(Format::MessagePack.decode::<[u8; 3]>(&as_bin).unwrap(), *b"abc");
    assert_eq!(Format::MessagePack.decode::<&[u8]>(&as_bin).unwrap(), b"abc");
    assert_eq!(Format::MessagePack.decode::<&[u8]>(&as_text).unwrap(), b"abc");
    assert_eq!(Format::MessagePack.decode::<&str>(&as_text).unwrap(), "abc");
    assert_eq!(Format::MessagePack.decode::<String>(&as_bin).unwrap(), "abc");
    assert_eq!(fault::<&[u8]>(&as_array), "WrongType { found: \"array\" }");
}

/// Nobody sees of an empty list what its elements would be, so it is sent as an array.
#[test]
fn no_bytes_are_read_by_all_that_read_bytes() {
    let bytes = encode::<&[u8]>(&&[][..]);
    assert_eq!(bytes, [0x90]);
    assert_eq!(Format::MessagePack.decode::<&[u8]>(&bytes).unwrap(), b"");
    assert_eq!(Format::MessagePack.decode::<Vec<u8>>(&bytes).unwrap(), b"");
    assert_eq!(Format::MessagePack.decode::<&[u8]>(&[0xC4, 0]).unwrap(), b"");
    let two = encode(&(&[][..] as &[u8], 7_u8));
    assert_eq!(Format::MessagePack.decode::<(&[u8], u8)>(&two), Ok((&b""[..], 7)));
}

/// What begins like a list of bytes and goes on with something else is sent as an array.
#[test]
fn a_mixed_list_is_no_binary() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Mixed {
        Byte(u8),
        Text(String),
    }
    let mixed = (vec![Mixed::Byte(1), Mixed::Text("two".into())], vec![7_u8, 200]);
    let bytes = encode(&mixed);
    assert_eq!(bytes, rmp_serde::to_vec(&mixed).unwrap());
    assert_eq!(Format::MessagePack.decode(&bytes), Ok(mixed));
    let bytes_alone = vec![Mixed::Byte(1), Mixed::Byte(2)];
    assert_eq!(Format::MessagePack.decode(&encode(&bytes_alone)), Ok(bytes_alone));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Version1 {
    id: u32,
    name: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Version2 {
    id: u32,
    name: String,
    #[serde(default)]
    score: Option<u64>,
    #[serde(default = "seven")]
    level: u8,
}

fn seven() -> u8 {
    7
}

//= docs/PROTOCOL.md#5
#[test]
fn an_older_and_a_newer_version_of_a_struct_read_each_other() {
    let old = Version1 { id: 3, name: "ada".into() };
    let new = Version2 { id: 3, name: "ada".into(), score: Some(9), level: 2 };
    let of_old = Version2 { id: 3, name: "ada".into(), score: None, level: 7 };
    let named = (rmp_serde::to_vec_named(&old).unwrap(), rmp_serde::to_vec_named(&new).unwrap());
    let encoded =
        FORMATS.iter().map(|format| (*format, encode_as(*format, &old), encode_as(*format, &new)));
    for (format, from_old, from_new) in encoded.chain([(Format::MessagePack, named.0, named.1)]) {
        assert_eq!(format.decode::<Version1>(&from_new).as_ref(), Ok(&old));
        assert_eq!(format.decode::<Version2>(&from_old).as_ref(), Ok(&of_old));
    }
    assert_eq!(fault::<Version2>(&encode(&(3,))), "TooShort(1)");
    let nameless = rmp_serde::to_vec_named(&BTreeMap::from([("id", 3)])).unwrap();
    assert_eq!(fault::<Version2>(&nameless), "MissingField(\"name\")");
}

#[test]
fn a_variant_of_a_newer_peer_can_be_taken_as_other() {
    #[derive(Serialize)]
    enum New {
        Known(u8),
        Plain,
        Content { _a: u8, _b: Vec<u16> },
    }
    #[derive(Debug, PartialEq, Deserialize)]
    enum Old {
        Known(u8),
        #[serde(other)]
        Other,
    }
    let sent = [New::Known(1), New::Plain, New::Content { _a: 1, _b: vec![2, 3] }, New::Known(2)];
    for format in FORMATS {
        let read: Vec<Old> = format.decode(&encode_as(*format, &sent)).unwrap();
        assert_eq!(read, [Old::Known(1), Old::Other, Old::Other, Old::Known(2)]);
    }
}

#[test]
fn variants_that_do_not_fit_say_so() {
    #[derive(Debug, Deserialize)]
    enum Kind {
        Plain,
        #[expect(dead_code, reason = "only its shape is of interest")]
        Content(u8),
    }
    for (bytes, expected) in [
        (&b"\xa4What"[..], "UnknownVariant([\"Plain\", \"Content\"])"),
        (b"\x80", "VariantMap"),
        (b"\x82\xa5Plain\xc0\xa5Plain\xc0", "VariantMap"),
        (b"\xa7Content", "WrongType { found: \"variant without content\" }"),
        (b"\x81\xa7Content\xa1x", "WrongType { found: \"string\" }"),
        (b"\x91\xa5Plain", "WrongType { found: \"array\" }"),
    ] {
        assert_eq!(fault::<Kind>(bytes), expected);
    }
    let by_number = Format::MessagePack.decode::<Kind>(&[0]).unwrap();
    assert!(matches!(by_number, Kind::Plain));
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
    let decode = |bytes: &[u8]| Format::MessagePack.decode::<Lenient>(bytes);
    let lenient = Ok(Lenient { number: 0, after: 5 });
    assert_eq!(decode(&[0x92, 0xA2, b'n', b'o', 5]), lenient, "a text");
    assert_eq!(decode(&[0x92, 0xCD, 1, 0, 5]), lenient, "out of range");
    assert_eq!(decode(&[0x92, 0x92, 1, 0x81, 2, 3, 5]), lenient, "an array");
    assert_eq!(decode(&[0x92, 0x81, 1, 0x92, 2, 3, 5]), lenient, "a map");
    let not_text = [0x92, 0xA1, 0xFF, 5];
    assert_eq!(fault::<Lenient>(&not_text), "Utf8");
    assert_eq!(decode(&not_text).unwrap_err().offset(), 1);
}

#[test]
fn a_type_that_reads_nothing_of_its_value_does_not_shift_the_rest() {
    #[derive(Debug, PartialEq)]
    struct Blind;
    impl<'de> Deserialize<'de> for Blind {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Blind)
        }
    }
    for format in FORMATS {
        let bytes = encode_as(*format, &(1, "unread", BTreeMap::from([(2, vec![3, 4])]), 5));
        let read = format.decode::<(u8, Blind, Blind, u8)>(&bytes);
        assert_eq!(read, Ok((1, Blind, Blind, 5)));
        let bytes = encode_as(*format, &BTreeMap::from([(2, "x")]));
        assert_eq!(format.decode(&bytes), Ok(BTreeMap::from([(2, Blind)])));
    }
}
