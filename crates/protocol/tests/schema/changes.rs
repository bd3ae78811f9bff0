//! Each kind of change, and what is said of it.

use moorline_protocol::schema::{Change, Schema, Verdict};

use Verdict::{Careful, Compatible, Incompatible};

fn schema(text: &str) -> Schema {
    let text = format!("moorline schema 1\n{text}");
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A post whose body is `of`, with the types that needs.
fn post(of: &str) -> Schema {
    schema(&format!("post game.Move\n  body Move\n{of}"))
}

fn structs(old: &str, new: &str) -> Vec<Change> {
    let of = |fields: &str| {
        let fields = fields.split_terminator("; ").map(|field| format!("  {}\n", field.trim()));
        post(&format!("struct Move\n{}", fields.collect::<String>()))
    };
    of(old).changes_to(&of(new))
}

fn said(changes: &[Change]) -> Vec<(Verdict, &str)> {
    changes.iter().map(|change| (change.verdict(), change.what())).collect()
}

#[test]
fn what_is_the_same_is_no_change() {
    let all = "a: u8; b: option<list<string>>; c: map<u8, (f32, bytes)>; d: [u16;4] = default";
    assert_eq!(structs(all, all), []);
    assert_eq!(structs("", ""), []);
}

#[test]
fn a_field_at_the_end_needs_a_default() {
    assert_eq!(
        said(&structs("a: u8", "a: u8; b: u8 = default; c: string = default")),
        [(Compatible, "field b of Move is new"), (Compatible, "field c of Move is new")]
    );
    let without = structs("a: u8", "a: u8; b: option<u8>");
    assert_eq!(said(&without), [(Incompatible, "field b of Move is new and has no default")]);
    assert!(without[0].advice().contains("#[serde(default)]"));
    assert_eq!(said(&structs("a: u8", "a: u8; b: u8 = unknown"))[0].0, Careful);
    let from_none = structs("", "a: u8 = default");
    assert_eq!(said(&from_none), [(Compatible, "field a of Move is new")]);
}

#[test]
fn a_field_that_is_not_the_last_breaks_readers() {
    let first = structs("a: u8; b: string", "c: u8 = default; a: u8; b: string");
    assert_eq!(said(&first), [(Incompatible, "field c of Move is new and not the last one")]);
    let middle = structs("a: u8; b: u8", "a: u8; c: u8 = default; b: u8");
    assert_eq!(said(&middle), [(Incompatible, "field c of Move is new and not the last one")]);
}

#[test]
fn a_removed_field_breaks_readers_wherever_it_stood() {
    for (new, field) in [("b: u8; c: u8", "a"), ("a: u8; c: u8", "b"), ("a: u8; b: u8", "c")] {
        let changes = structs("a: u8; b: u8; c: u8", new);
        let expected = format!("field {field} of Move is gone");
        assert_eq!(said(&changes), [(Incompatible, &*expected)], "{new}");
        assert!(changes[0].advice().contains("PROTOCOL 5"));
    }
    // Also where a default would help, as its place would be taken by another one day.
    assert_eq!(said(&structs("a: u8; b: u8 = default", "a: u8"))[0].0, Incompatible);
}

#[test]
fn fields_in_another_order_break_readers() {
    for new in ["b: u8; a: u8; c: u8", "a: u8; c: u8; b: u8", "c: u8; a: u8; b: u8"] {
        let changes = structs("a: u8; b: u8; c: u8", new);
        assert_eq!(
            said(&changes),
            [(Incompatible, "fields of Move are in another order")],
            "{new}"
        );
    }
}

#[test]
fn another_type_breaks_readers() {
    let types = [
        "u8",
        "u16",
        "i8",
        "f32",
        "f64",
        "string",
        "bytes",
        "unit",
        "bool",
        "char",
        "option<u8>",
        "list<u16>",
        "list<option<u8>>",
        "map<u8, u8>",
        "map<u8, u16>",
        "(u8, u16)",
        "[u8;2]",
        "[u8;3]",
        "(u8, u8, u8, u8)",
        "opaque(\"why\")",
    ];
    for (place, old) in types.iter().enumerate() {
        for (other, new) in types.iter().enumerate() {
            let changes = structs(&format!("a: {old}"), &format!("a: {new}"));
            let broken = changes.iter().any(|change| change.verdict() == Incompatible);
            assert_eq!(broken, place != other, "{old} to {new}: {changes:?}");
        }
    }
    let changes = structs("a: u8", "a: list<string>");
    assert_eq!(said(&changes), [(Incompatible, "field a of Move was u8 and is list<string>")]);
}

#[test]
fn names_are_for_people() {
    let renamed = structs("a: u8; b: string", "x: u8; b: string");
    assert_eq!(said(&renamed), [(Compatible, "field a of Move is called x now")]);
    let old = post("struct Move\n  a: Point\nstruct Point\n  x: u8\n");
    let new = post("struct Move\n  a: Place\nstruct Place\n  x: u8\n");
    assert_eq!(old.changes_to(&new), []);
    // A renamed field of another type is another field.
    assert_eq!(
        said(&structs("a: u8; b: u8", "x: string; b: u8")),
        [(Incompatible, "field a of Move was u8 and is string")]
    );
}

#[test]
fn newtypes_and_tuples_are_what_they_hold() {
    let plain = post("struct Move\n  a: u64\n  b: (u8, string)\n");
    let wrapped = post(
        "struct Move\n  a: Id\n  b: Pair\nnewtype Id\n  u64\nstruct Pair\n  0: u8\n  1: string\n",
    );
    assert_eq!(plain.changes_to(&wrapped), []);
    assert_eq!(wrapped.changes_to(&plain), []);
    let circle = post("newtype Move\n  Move\n");
    assert_eq!(circle.changes_to(&circle), []);
    assert!(!circle.changes_to(&plain).is_empty());
}

#[test]
fn a_default_may_come_and_not_go() {
    let comes = structs("a: u8", "a: u8 = default");
    assert_eq!(said(&comes), [(Compatible, "field a of Move has a default now")]);
    let goes = structs("a: u8 = default", "a: u8");
    assert_eq!(said(&goes), [(Incompatible, "field a of Move has no default now")]);
}

fn enums(old: &str, new: &str) -> Vec<Change> {
    let of = |variants: &str| {
        let variants = variants.split_terminator("; ").map(|one| format!("  {}\n", one.trim()));
        post(&format!("enum Move\n{}", variants.collect::<String>()))
    };
    of(old).changes_to(&of(new))
}

#[test]
fn variants_come_with_care_and_go_by_no_means() {
    assert_eq!(enums("A; B(u8)", "B(u8); A"), []);
    let came = enums("A; B(u8)", "A; C; B(u8)");
    assert_eq!(said(&came), [(Careful, "variant C of Move is new")]);
    assert!(came[0].advice().contains("#[serde(other)]"));
    assert_eq!(said(&enums("A; ..", "A; C; .."))[0].0, Compatible);
    assert_eq!(
        said(&enums("A; ..", "A")),
        [(Incompatible, "enum Move takes unknown variants no longer")]
    );
    assert_eq!(said(&enums("A; B", "A")), [(Incompatible, "variant B of Move is gone")]);
    let renamed = enums("A; B", "A; C");
    let expected =
        [(Incompatible, "variant B of Move is gone"), (Careful, "variant C of Move is new")];
    assert_eq!(said(&renamed), expected);
}

#[test]
fn what_variants_hold_changes_like_fields() {
    for (old, new) in [("A", "A(u8)"), ("A(u8)", "A"), ("A(u8)", "A { 0: u8 }"), ("A", "A {}")] {
        let expected = [(Incompatible, "variant A of Move has other content")];
        assert_eq!(said(&enums(old, new)), expected);
    }
    assert_eq!(enums("A { 0: u8, 1: string }", "A { a: u8, b: string }"), []);
    let grown = enums("A { a: u8 }", "A { a: u8, b: u8 = default }");
    assert_eq!(said(&grown), [(Compatible, "field b of variant A of Move is new")]);
    assert_eq!(said(&enums("A { a: u8 }", "A { a: u8, b: u8 }"))[0].0, Incompatible);
    assert_eq!(said(&enums("A(u8)", "A(u16)"))[0].0, Incompatible);
}

#[test]
fn fields_of_maps_go_by_their_names() {
    let of = |fields: &str| {
        let fields = fields.split_terminator("; ").map(|field| format!("  {}\n", field.trim()));
        post(&format!(
            "newtype Move\n  named<Filter>\nstruct Filter\n{}",
            fields.collect::<String>()
        ))
    };
    let change = |old: &str, new: &str| of(old).changes_to(&of(new));
    assert_eq!(change("a: u8; b: u16", "b: u16; a: u8"), []);
    assert_eq!(
        said(&change("a: u8", "b: option<u8>; a: u8; c: u8 = default")),
        [(Compatible, "field b of Filter is new"), (Compatible, "field c of Filter is new")]
    );
    assert_eq!(said(&change("a: u8; b: u8 = default", "a: u8"))[0].0, Compatible);
    assert_eq!(said(&change("a: u8; b: option<u8>", "a: u8"))[0].0, Compatible);
    assert_eq!(said(&change("a: u8; b: u8", "a: u8"))[0].0, Incompatible);
    assert_eq!(said(&change("a: u8", "a: u8; b: u8"))[0].0, Incompatible);
    let renamed = change("a: u8", "b: u8");
    assert!(renamed.iter().all(|change| change.verdict() == Incompatible), "{renamed:?}");
    let maybe = post("struct Move\n  a: named<option<Filter>>\nstruct Filter\n  a: u8\n  b: u8\n");
    let swapped =
        post("struct Move\n  a: named<option<Filter>>\nstruct Filter\n  b: u8\n  a: u8\n");
    assert_eq!(maybe.changes_to(&swapped), []);
    // The same struct as an array is something else.
    let array = post("newtype Move\n  Filter\nstruct Filter\n  a: u8\n");
    assert_eq!(of("a: u8").changes_to(&array)[0].verdict(), Incompatible);
}

#[test]
fn messages_come_and_neither_go_nor_change_their_kind() {
    let one = "post a.One\n  body u8\n";
    let two = format!("{one}request a.Two\n  body u8\n  answer u8\n");
    let came = schema(one).changes_to(&schema(&two));
    assert_eq!(said(&came), [(Compatible, "it is new, a request")]);
    assert_eq!(came[0].messages(), ["a.Two"]);
    assert_eq!(said(&schema(&two).changes_to(&schema(one))), [(Incompatible, "it is gone")]);
    let posted = schema(&two.replace("request", "post").replace("  answer u8\n", ""));
    let kind = schema(&two).changes_to(&posted);
    assert_eq!(said(&kind), [(Incompatible, "it was a request and is a post")]);
    let error = schema(&format!("{two}  error string\n"));
    assert_eq!(said(&schema(&two).changes_to(&error)), [(Incompatible, "its error is new")]);
    assert_eq!(said(&error.changes_to(&schema(&two))), [(Incompatible, "its error is gone")]);
    let answer = schema(&two.replace("answer u8", "answer u16"));
    let changes = schema(&two).changes_to(&answer);
    assert_eq!(said(&changes), [(Incompatible, "its answer was u8 and is u16")]);
}

#[test]
fn a_change_in_a_type_of_many_messages_is_told_once_and_names_them_all() {
    let of = |field: &str| {
        schema(&format!(
            "post b\n  body list<Point>\npost a\n  body Point\nstruct Point\n  x: {field}\n  next: option<Point>\n"
        ))
    };
    let changes = of("u8").changes_to(&of("u16"));
    assert_eq!(said(&changes), [(Incompatible, "field x of Point was u8 and is u16")]);
    assert_eq!(changes[0].messages(), ["a", "b"]);
    assert_eq!((changes[0].old_line(), changes[0].new_line()), (Some(7), Some(7)));
    assert!(changes[0].to_string().starts_with("a, b: field x of Point was u8 and is u16: "));
}

#[test]
fn the_worst_comes_first() {
    let changes = structs("a: u8; b: u8", "a: u16; c: u8; d: u8 = default");
    let verdicts: Vec<_> = changes.iter().map(Change::verdict).collect();
    assert_eq!(verdicts, [Incompatible, Compatible, Compatible]);
}

#[test]
fn types_without_end_end() {
    let chain = |length: u32| {
        let types = (0..length).map(|of| format!("struct T{of}\n  next: T{}\n", of + 1));
        schema(&format!("post a\n  body T0\n{}struct T{length}\n", types.collect::<String>()))
    };
    assert_eq!(chain(100).changes_to(&chain(100)), []);
    let long = chain(20_000);
    let said = long.changes_to(&long);
    assert!(said.len() == 1 && said[0].what().contains("deeper than 256"), "{said:?}");
}

#[test]
fn a_text_that_is_no_schema_is_refused_with_its_line() {
    for (text, line, part) in [
        ("", 1, "no schema"),
        ("moorline schema 2", 1, "no schema"),
        ("moorline schema 1\n  a: u8", 2, "belongs to no"),
        ("moorline schema 1\nclass A", 2, "`class`"),
        ("moorline schema 1\npost a\npost a", 3, "second time"),
        ("moorline schema 1\npost a\n  body u8\n  body u8", 4, "second time"),
        ("moorline schema 1\nstruct A\nstruct A", 3, "second time"),
        ("moorline schema 1\npost a\n  soul u8", 3, "`soul`"),
        ("moorline schema 1\npost a\n  body B", 3, "`B`"),
        ("moorline schema 1\npost a\n  body list<u8", 3, "`>`"),
        ("moorline schema 1\npost a\n  body [u8; 1]", 3, "length"),
        ("moorline schema 1\npost a\n  body u8 u8", 3, "too much"),
        ("moorline schema 1\npost \"a", 2, "quote"),
        ("moorline schema 1\npost \"\\q\"", 2, "escape"),
        ("moorline schema 1\nstruct A\n  a: u8 = 7", 3, "= 7"),
        ("moorline schema 1\nenum A\n  B { a: u8", 3, "`,`"),
    ] {
        let error = text.parse::<Schema>().unwrap_err();
        assert_eq!(error.line(), line, "{text}: {error}");
        assert!(error.what().contains(part), "{text}: {error}");
    }
    let deep =
        format!("moorline schema 1\npost a\n  body {}u8{}", "option<".repeat(99), ">".repeat(99));
    assert!(deep.parse::<Schema>().unwrap_err().what().contains("deeper"));
}
