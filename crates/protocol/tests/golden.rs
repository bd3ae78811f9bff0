//! Messages that were encoded once and lie in `golden/` as hexadecimal text. Each is read by the
//! struct that wrote it and by what may have become of that struct since; and what may not become of
//! it is shown to fail, or to be found out by the schema where bytes alone do not tell.
//!
//! A file is never written again, as nobody calls back what was sent: a new one is made for a new
//! message, by `cargo test -p moorline-protocol --test golden -- --ignored`.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

use moorline_protocol::schema::{Schema, Verdict};
use moorline_protocol::{Format, Message, MessageRegistry, register_message};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Players of a game, as the first version had them.
mod first {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Player {
        pub(crate) id: u64,
        pub(crate) name: String,
        pub(crate) at: Point,
        pub(crate) team: Option<Team>,
        pub(crate) avatar: Vec<u8>,
        pub(crate) scores: BTreeMap<String, i32>,
        pub(crate) path: Vec<Point>,
    }
    register_message!(Player as "first.Player");

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Point {
        pub(crate) x: f32,
        pub(crate) y: f32,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Team {
        Red,
        Numbered(u16),
        Private { owner: u64, title: String },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Search(#[serde(with = "moorline_protocol::named")] pub(crate) Filter);
    register_message!(Search as "first.Search");

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Filter {
        pub(crate) name: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub(crate) tags: Vec<String>,
        pub(crate) limit: u32,
    }

    pub(crate) fn player() -> Player {
        Player {
            id: 1 << 40,
            name: "Ada".into(),
            at: Point { x: 1.5, y: -2.0 },
            team: Some(Team::Private { owner: 7, title: "Grün".into() }),
            avatar: vec![0, 1, 254, 255],
            scores: BTreeMap::from([("chess".into(), -3), ("go".into(), 1_000_000)]),
            path: vec![Point { x: 0.0, y: 0.25 }, Point { x: 3.0, y: 4.0 }],
        }
    }

    pub(crate) fn in_team(team: Option<Team>) -> Player {
        let (scores, path) = (BTreeMap::new(), Vec::new());
        Player { id: 0, name: "b".into(), team, avatar: Vec::new(), scores, path, ..player() }
    }

    pub(crate) fn search() -> Search {
        Search(Filter { name: Some("ada".into()), tags: Vec::new(), limit: 20 })
    }
}

/// What became of it: all that is allowed.
mod second {
    use super::*;

    /// Once `Player`: names are not on the wire, those of fields neither.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Figure {
        pub(crate) number: Number,
        pub(crate) title: String,
        pub(crate) place: Place,
        pub(crate) party: Option<Party>,
        pub(crate) picture: Vec<u8>,
        pub(crate) points: BTreeMap<String, i32>,
        pub(crate) trail: Vec<Place>,
        #[serde(default)]
        pub(crate) email: Option<String>,
        #[serde(default = "one")]
        pub(crate) level: u8,
    }
    register_message!(Figure as "second.Player");

    fn one() -> u8 {
        1
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Number(pub(crate) u64);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Place {
        pub(crate) x: f32,
        pub(crate) y: f32,
        #[serde(default)]
        pub(crate) z: f32,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Party {
        /// New, and first: variants go by their names.
        Blue,
        Private {
            owner: u64,
            title: String,
            #[serde(default)]
            open: bool,
        },
        Numbered(u16),
        Red,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Search(#[serde(with = "moorline_protocol::named")] pub(crate) Filter);
    register_message!(Search as "second.Search");

    /// One field more in front, one less, and the others changed places: this one goes by names.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Filter {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub(crate) country: Option<String>,
        pub(crate) limit: u32,
        pub(crate) name: Option<String>,
    }
}

const FILES: [&str; 5] =
    ["player", "player_red", "player_numbered", "player_without_team", "search"];

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.hex"))
}

/// The bytes of a golden file.
fn golden(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(file(name)).expect("golden files are committed");
    let digits: Vec<_> = text.split_whitespace().collect();
    let byte = |digits: &&str| u8::from_str_radix(digits, 16).expect("it is hexadecimal");
    digits.iter().map(byte).collect()
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    Format::MessagePack.encode(value, &mut out).expect("it can be encoded");
    out
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    Format::MessagePack.decode(bytes).expect("it is still read")
}

fn originals() -> Vec<Vec<u8>> {
    use first::{Team, in_team};
    vec![
        encode(&first::player()),
        encode(&in_team(Some(Team::Red))),
        encode(&in_team(Some(Team::Numbered(300)))),
        encode(&in_team(None)),
        encode(&first::search()),
    ]
}

#[test]
#[ignore = "makes the golden files of new messages; never touches one that is there"]
fn make_the_missing_files() {
    for (name, bytes) in FILES.iter().zip(originals()) {
        let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let lines: Vec<_> = digits.chunks(32).map(|line| line.join(" ")).collect();
        if !file(name).exists() {
            std::fs::write(file(name), lines.join("\n") + "\n").unwrap();
        }
    }
}

//= docs/PROTOCOL.md#5
#[test]
fn what_was_sent_is_still_sent_alike_and_read_by_the_same_structs() {
    for (name, bytes) in FILES.iter().zip(originals()) {
        assert_eq!(bytes, golden(name), "{name}");
    }
    assert_eq!(decode::<first::Player>(&golden("player")), first::player());
    assert_eq!(decode::<first::Search>(&golden("search")), first::search());
}

//= docs/PROTOCOL.md#5
#[test]
fn a_struct_that_was_renamed_and_grew_reads_what_was_sent_before() {
    use second::{Figure, Number, Party, Place};
    let figure: Figure = decode(&golden("player"));
    let expected = Figure {
        number: Number(1 << 40),
        title: "Ada".into(),
        place: Place { x: 1.5, y: -2.0, z: 0.0 },
        party: Some(Party::Private { owner: 7, title: "Grün".into(), open: false }),
        picture: vec![0, 1, 254, 255],
        points: BTreeMap::from([("chess".into(), -3), ("go".into(), 1_000_000)]),
        trail: vec![Place { x: 0.0, y: 0.25, z: 0.0 }, Place { x: 3.0, y: 4.0, z: 0.0 }],
        email: None,
        level: 1,
    };
    assert_eq!(figure, expected);
    for (name, party) in [
        ("player_red", Some(Party::Red)),
        ("player_numbered", Some(Party::Numbered(300))),
        ("player_without_team", None),
    ] {
        assert_eq!(decode::<Figure>(&golden(name)).party, party, "{name}");
    }
}

#[test]
fn a_struct_that_is_shorter_reads_the_beginning() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Short(u64, String);
    #[derive(Debug, PartialEq, Deserialize)]
    struct Shortest {}
    assert_eq!(decode::<Short>(&golden("player")), Short(1 << 40, "Ada".into()));
    assert_eq!(decode::<Shortest>(&golden("player")), Shortest {});
    // So do programs of before, with what those of now send.
    let mut figure: second::Figure = decode(&golden("player"));
    figure.email = Some("ada@example.org".into());
    figure.place.z = 9.0;
    assert_eq!(decode::<first::Player>(&encode(&figure)), first::player());
}

#[test]
fn named_fields_come_go_and_change_places() {
    let filter = decode::<second::Search>(&golden("search")).0;
    let expected = second::Filter { country: None, limit: 20, name: Some("ada".into()) };
    assert_eq!(filter, expected);
    let back: first::Search = decode(&encode(&second::Search(filter)));
    assert_eq!(back, first::search());
    let abroad = second::Filter { country: Some("is".into()), ..expected };
    let bytes = encode(&second::Search(abroad));
    assert_eq!(decode::<first::Search>(&bytes), first::search());
}

#[test]
fn the_schema_says_so_too() {
    let worst = worst_change::<first::Player, second::Figure>("Player");
    // A variant was added, which only who has it may be sent.
    assert_eq!(worst, Some(Verdict::Careful));
    let worst = worst_change::<first::Search, second::Search>("Search");
    assert_eq!(worst, Some(Verdict::Compatible));
}

/// What the schema says of a message that was an `Old` and is a `New`; both are registered under
/// `name` with a word before it.
fn worst_change<Old: Message, New: Message>(name: &str) -> Option<Verdict> {
    let schema_of = |registration: fn(&MessageRegistry)| {
        let registry = MessageRegistry::empty();
        registration(&registry);
        let text = Schema::of(&registry).to_string();
        let renamed = text.lines().map(|line| match line.strip_suffix(&format!(".{name}")) {
            Some(_) => format!("post {name}\n"),
            None => format!("{line}\n"),
        });
        renamed.collect::<String>().parse::<Schema>().expect("it is a schema")
    };
    fn register<M: Message>(registry: &MessageRegistry) {
        registry.register::<M>().expect("it is the only one");
    }
    let (old, new) = (schema_of(register::<Old>), schema_of(register::<New>));
    old.changes_to(&new).iter().map(|change| change.verdict()).max()
}

// ---- what must not become of a message -----------------------------------------------------

/// Declares what `first::Player` must not become, and whether the golden `$file` is refused then.
macro_rules! wrong {
    ($name:ident $wire:literal $file:literal { $($field:ident: $ty:ty,)+ }) => {{
        #[derive(Serialize, Deserialize)]
        struct $name {
            $($field: $ty,)+
        }
        register_message!($name as $wire);
        is_refused::<$name>($file)
    }};
}

/// Whether `file` is refused by a `T`, which the schema calls incompatible whatever the bytes.
fn is_refused<T: Message + DeserializeOwned>(file: &str) -> bool {
    assert_eq!(worst_change::<first::Player, T>("Player"), Some(Verdict::Incompatible));
    Format::MessagePack.decode::<T>(&golden(file)).is_err()
}

type Scores = BTreeMap<String, i32>;

//= docs/PROTOCOL.md#5
#[test]
fn what_breaks_readers_is_refused_and_the_schema_says_so_before() {
    use first::{Point, Team};
    assert!(wrong!(Removed "removed.Player" "player" {
        id: u64, at: Point, team: Option<Team>, avatar: Vec<u8>, scores: Scores, path: Vec<Point>,
    }));
    assert!(wrong!(Reordered "reordered.Player" "player" {
        name: String, id: u64, at: Point, team: Option<Team>, avatar: Vec<u8>, scores: Scores,
        path: Vec<Point>,
    }));
    assert!(wrong!(Retyped "retyped.Player" "player" {
        id: String, name: String, at: Point, team: Option<Team>, avatar: Vec<u8>, scores: Scores,
        path: Vec<Point>,
    }));
    assert!(wrong!(Narrowed "narrowed.Player" "player" {
        id: u32, name: String, at: Point, team: Option<Team>, avatar: Vec<u8>, scores: Scores,
        path: Vec<Point>,
    }));
    assert!(wrong!(NoDefault "no_default.Player" "player" {
        id: u64, name: String, at: Point, team: Option<Team>, avatar: Vec<u8>, scores: Scores,
        path: Vec<Point>, email: Option<String>,
    }));
    assert!(wrong!(NotOptional "not_optional.Player" "player_without_team" {
        id: u64, name: String, at: Point, team: Team, avatar: Vec<u8>, scores: Scores,
        path: Vec<Point>,
    }));
}

#[test]
fn a_variant_that_is_gone_is_refused() {
    #[derive(Serialize, Deserialize)]
    enum Team {
        Red,
        Numbered(u16),
    }
    assert!(wrong!(Without "without.Player" "player" {
        id: u64, name: String, at: first::Point, team: Option<Team>, avatar: Vec<u8>,
        scores: Scores, path: Vec<first::Point>,
    }));
}

/// Where types are alike bytes do not tell, and what is read is wrong. That is what the schema is
/// for.
#[test]
fn what_bytes_do_not_tell_the_schema_does() {
    use first::Team;
    #[derive(Serialize, Deserialize)]
    struct Swapped {
        y: f32,
        x: f32,
    }
    assert!(!wrong!(Inner "inner.Player" "player" {
        id: u64, name: String, at: Swapped, team: Option<Team>, avatar: Vec<u8>, scores: Scores,
        path: Vec<Swapped>,
    }));
    #[derive(Serialize, Deserialize)]
    struct Wider {
        x: f64,
        y: f64,
    }
    assert!(!wrong!(Widened "widened.Player" "player" {
        id: u64, name: String, at: Wider, team: Option<Team>, avatar: Vec<u8>, scores: Scores,
        path: Vec<Wider>,
    }));
    assert!(!wrong!(Shortened "shortened.Player" "player" {
        id: u64, name: String,
    }));
}
