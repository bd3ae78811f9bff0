//! How types of all kinds are traced.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use moorline_protocol::schema::Schema;
use moorline_protocol::{Message, MessageRegistry, register_message};
use serde::{Deserialize, Deserializer, Serialize};

/// The schema of one message, without what stands at its top.
fn traced<M: Message>() -> String {
    let registry = MessageRegistry::empty();
    registry.register::<M>().expect("a registry takes a first type");
    let schema = Schema::of(&registry);
    let text = schema.to_string();
    // Whatever can be traced can be written and read, and nothing is different then.
    let again: Schema = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(again.to_string(), text);
    assert_eq!(schema.changes_to(&again), []);
    assert_eq!(again.changes_to(&schema), []);
    let rest = text.lines().skip(3).collect::<Vec<_>>().join("\n");
    rest.trim().to_owned() + "\n"
}

#[derive(Serialize, Deserialize)]
struct Plain {
    flag: bool,
    numbers: (u8, i16, u32, i64, u128, f32, f64),
    character: char,
    text: String,
    list: Vec<u16>,
    bytes: Vec<u8>,
    array: [u8; 32],
    maybe: Option<Option<String>>,
    unit: (),
    map: HashMap<String, BTreeSet<i8>>,
    #[serde(skip)]
    _skipped: u8,
    #[serde(default)]
    added: u8,
    #[serde(default, rename = "its name")]
    renamed: Option<u8>,
}
register_message!(Plain as "schema.Plain");

#[test]
fn fields_stand_in_order_with_their_types_and_defaults() {
    let expected = "\
post schema.Plain
  body Plain

struct Plain
  flag: bool
  numbers: (u8, i16, u32, i64, u128, f32, f64)
  character: char
  text: string
  list: list<u16>
  bytes: bytes
  array: [u8; 32]
  maybe: option<option<string>>
  unit: unit
  map: map<string, list<i8>>
  added: u8 = default
  \"its name\": option<u8> = default
";
    assert_eq!(traced::<Plain>(), expected);
}

#[derive(Serialize, Deserialize)]
struct Borrowing<'a> {
    text: &'a str,
    bytes: &'a [u8],
    #[serde(borrow)]
    either: Cow<'a, str>,
}
register_message!(Borrowing<'_> as "schema.Borrowing" => Answer, Bad);

#[derive(Serialize, Deserialize)]
struct Answer(u8, #[serde(default)] u16);

#[derive(Debug, Serialize, Deserialize)]
enum Bad {
    Plain,
    Value(u32),
    Pair(u8, #[serde(default)] String),
    Fields {
        a: u8,
        #[serde(default)]
        b: Vec<Bad>,
    },
    Empty {},
    #[serde(other)]
    Other,
}

#[test]
fn requests_have_answers_and_errors_and_types_may_borrow() {
    let expected = "\
request schema.Borrowing
  body Borrowing
  answer Answer
  error Bad

struct Answer
  0: u8
  1: u16 = default

enum Bad
  Plain
  Value(u32)
  Pair { 0: u8, 1: string = default }
  Fields { a: u8, b: list<Bad> = default }
  Empty {}
  Other
  ..

struct Borrowing
  text: string
  bytes: bytes
  either: string
";
    assert_eq!(traced::<Borrowing<'_>>(), expected);
}

#[derive(Serialize, Deserialize)]
struct Opened;
register_message!(stream Opened as "schema.Opened": () => Tree);

#[derive(Serialize, Deserialize)]
enum Tree {
    // The first variant leads back here, so a value is found only with the second.
    Node(Box<Tree>, Box<Tree>),
    Leaf(Number),
}

#[derive(Serialize, Deserialize)]
struct Number(u64);

/// Three of itself in the first variant, and a field behind it whose default can be found out only
/// with a value for what stands before.
#[derive(Serialize, Deserialize)]
struct Formula {
    root: Term,
    #[serde(default)]
    comment: String,
}
register_message!(Formula as "schema.Formula");

#[derive(Serialize, Deserialize)]
enum Term {
    If(Box<Term>, Box<Term>, Box<Term>),
    List(Vec<Term>),
    Pair { left: Box<Term>, right: Box<Term> },
    Number(i64),
}

#[test]
fn a_value_is_found_for_types_that_hold_themselves_often() {
    let text = traced::<Formula>();
    assert!(text.contains("struct Formula\n  root: Term\n  comment: string = default\n"), "{text}");
    assert!(text.contains("enum Term\n  If { 0: Term, 1: Term, 2: Term }\n"), "{text}");
}

#[test]
fn streams_have_both_directions_and_types_may_hold_themselves() {
    let expected = "\
stream schema.Opened
  body Opened
  up unit
  down Tree

newtype Number
  u64

struct Opened

enum Tree
  Node { 0: Tree, 1: Tree }
  Leaf(Number)
";
    assert_eq!(traced::<Opened>(), expected);
}

/// Takes even numbers only.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "u32")]
struct Even(u32);

impl TryFrom<u32> for Even {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        if number.is_multiple_of(2) { Ok(Self(number)) } else { Err("odd") }
    }
}

/// Takes nothing that anybody would think of.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "String")]
struct Password(String);

impl TryFrom<String> for Password {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "open sesame" { Ok(Self(text)) } else { Err("no") }
    }
}

impl From<Password> for String {
    fn from(password: Password) -> Self {
        password.0
    }
}

#[derive(Serialize, Deserialize)]
struct Picky {
    even: Even,
    nonzero: NonZeroU32,
    address: IpAddr,
    #[serde(default)]
    late: Duration,
    password: Password,
    after: Option<SocketAddr>,
    #[serde(default)]
    last: u8,
}
register_message!(Picky as "schema.Picky");

#[test]
fn types_that_do_not_take_any_value_are_traced_and_what_stays_unknown_is_told() {
    let text = traced::<Picky>();
    let expected = "\
struct Picky
  even: u32
  nonzero: u32
  address: IpAddr
  late: Duration = default
  password: string
  after: option<SocketAddr> = unknown
  last: u8 = unknown
";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("struct Duration\n  secs: u64\n  nanos: u32\n"), "{text}");
    assert!(text.contains("enum IpAddr\n  V4([u8; 4])\n  V6([u8; 16])\n"), "{text}");
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Text(String),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    One { a: u8 },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", content = "content")]
enum Adjacent {
    One { a: u8 },
    Two(String),
}

#[derive(Serialize, Deserialize)]
struct Flattened {
    #[serde(flatten)]
    rest: BTreeMap<String, u8>,
}

/// Reads nothing and says nothing.
#[derive(Serialize)]
struct Blind;
impl<'de> Deserialize<'de> for Blind {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Blind)
    }
}

/// Does not expect that anything fails.
#[derive(Serialize)]
struct Panics;
impl<'de> Deserialize<'de> for Panics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text != "open sesame" {
            panic!("a panic of a type, which the test wants");
        }
        Ok(Panics)
    }
}

#[derive(Serialize, Deserialize)]
struct Opaque {
    untagged: Vec<Untagged>,
    tagged: Tagged,
    adjacent: Option<Adjacent>,
    flattened: Flattened,
    blind: Blind,
    panics: Panics,
    after: u8,
}
register_message!(Opaque as "schema.Opaque");

#[test]
fn what_cannot_be_traced_is_opaque_with_the_reason() {
    let text = traced::<Opaque>();
    let registry = MessageRegistry::empty();
    registry.register::<Opaque>().unwrap();
    let unchecked = Schema::of(&registry).unchecked();
    assert_eq!(unchecked.len(), 5, "{unchecked:#?}");
    for (field, why) in [
        ("untagged: list<opaque(", "untagged or tagged"),
        ("tagged: opaque(", "untagged or tagged"),
        ("adjacent: option<opaque(", "adjacently"),
        ("flattened: opaque(", "flatten"),
        ("blind: opaque(", "asks for nothing"),
        ("panics: string", ""),
        ("after: u8", "unknown"),
    ] {
        let line = text.lines().find(|line| line.trim().starts_with(field));
        assert!(line.is_some_and(|line| line.contains(why)), "{field} {why}\n{text}");
    }
}

#[derive(Serialize, Deserialize)]
struct Page<T> {
    items: Vec<T>,
}

#[derive(Serialize, Deserialize)]
struct Twice {
    one: Page<u32>,
    two: Page<String>,
    again: Page<u32>,
}
register_message!(Twice as "schema.Twice");

#[test]
fn types_of_one_name_are_told_apart_by_their_parameters() {
    let text = traced::<Twice>();
    let list = |of: &str| {
        let types = text.split("\n\n").filter(|part| part.starts_with("struct"));
        let mut found = types.filter(|part| part.contains(&format!("items: list<{of}>")));
        let name = found.next().unwrap().split_whitespace().nth(1).unwrap();
        assert!(found.next().is_none(), "{text}");
        name.to_owned()
    };
    let (numbers, texts) = (list("u32"), list("string"));
    assert!(
        text.contains(&format!("one: {numbers}\n  two: {texts}\n  again: {numbers}\n")),
        "{text}"
    );
}

#[derive(Serialize, Deserialize)]
struct Aliased {
    #[serde(alias = "a", alias = "zz")]
    first: u8,
    second: String,
    #[serde(alias = "c", default)]
    third: bool,
}
register_message!(Aliased as "schema.Aliased");

#[test]
fn other_names_of_a_field_are_no_fields() {
    let text = traced::<Aliased>();
    let expected = "struct Aliased\n  first: u8\n  second: string\n  third: bool = default\n";
    assert!(text.contains(expected), "{text}");
}

#[derive(Serialize, Deserialize)]
struct Filter {
    name: Option<String>,
    #[serde(default)]
    age: u8,
}

#[derive(Serialize, Deserialize)]
struct Search(#[serde(with = "moorline_protocol::named")] Filter);
register_message!(Search as "schema.Search" => ());

#[test]
fn what_travels_as_a_map_says_so() {
    let text = traced::<Search>();
    assert!(text.contains("newtype Search\n  named<Filter>\n"), "{text}");
    assert!(text.contains("request schema.Search\n  body Search\n  answer unit\n\n"), "{text}");
}

#[derive(Serialize, Deserialize)]
struct Skips<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    maybe: Option<u8>,
    last: u8,
}
register_message!(Skips<'_> as "schema.Skips");

/// The same by names, where it is fine.
#[derive(Serialize, Deserialize)]
struct SkipsNamed<'a>(#[serde(borrow, with = "moorline_protocol::named")] Skips<'a>);
register_message!(SkipsNamed<'_> as "schema.SkipsNamed");

#[test]
fn a_type_that_does_not_read_what_it_writes_is_told() {
    let registry = MessageRegistry::empty();
    registry.register::<SkipsNamed<'_>>().unwrap();
    registry.register::<Plain>().unwrap();
    registry.register::<Borrowing<'_>>().unwrap();
    registry.register::<Opaque>().unwrap();
    assert_eq!(Schema::of(&registry).faults(), [""; 0]);
    registry.register::<Skips<'_>>().unwrap();
    let schema = Schema::of(&registry);
    let faults = schema.faults();
    let [fault] = faults[..] else { panic!("{faults:?}") };
    let (file, rest) = fault.split_once(".rs:").unwrap();
    assert!(file.ends_with("shapes") && rest.contains("error: schema.Skips: its body"), "{fault}");
    assert_eq!(schema.clone().only(|name| name != "schema.Skips").faults(), [""; 0]);
}

#[test]
fn the_process_has_them_all_and_each_knows_its_place() {
    let schema = Schema::of_process().unwrap();
    let text = schema.to_string();
    let names: Vec<_> = text.lines().filter_map(|line| line.split_once(" schema.")).collect();
    assert_eq!(names.len(), 11, "{text}");
    assert!(names.is_sorted_by_key(|(_, name)| *name), "{text}");
    let without = Schema::of_process().unwrap().only(|name| name != "schema.Plain");
    let gone = schema.changes_to(&without);
    assert_eq!(gone.len(), 1, "{gone:#?}");
    assert!(gone[0].place().unwrap().file.ends_with("shapes.rs"));
}
