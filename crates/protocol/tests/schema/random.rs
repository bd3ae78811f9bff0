//! Structs of any shape: a field at the end is the one change that old and new get along with.

use moorline_protocol::schema::{Schema, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;

/// The types that may stand where `number` chooses; the second half of them uses types by name.
fn written(number: u8, inner: &str) -> String {
    match number % 8 {
        0 => format!("option<{inner}>"),
        1 => format!("list<{inner}>"),
        2 => format!("map<string, {inner}>"),
        3 => format!("({inner}, i8)"),
        4 => format!("[{inner}; 3]"),
        _ => inner.to_owned(),
    }
}

/// Without bytes: these are what a list of `u8` is.
fn shape() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["u8", "u32", "i64", "f64", "string", "bool", "unit"]);
    (leaf, vec(any::<u8>(), 0..3))
        .prop_map(|(leaf, around)| around.into_iter().fold(leaf.to_owned(), |s, n| written(n, &s)))
}

fn fields() -> impl Strategy<Value = Vec<String>> {
    vec(shape(), 1..6)
}

/// A schema whose messages hold a struct with these fields in each way a struct can be held.
fn schema(fields: &[(String, String)], held: u8) -> Schema {
    let mut text = format!(
        "moorline schema 1\nrequest a.Ask\n  body u8\n  answer {}\nstruct Inner\n",
        written(held, "Inner")
    );
    for (name, shape) in fields {
        text += &format!("  {name}: {shape}\n");
    }
    text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn named(fields: &[String]) -> Vec<(String, String)> {
    fields.iter().enumerate().map(|(place, shape)| (format!("f{place}"), shape.clone())).collect()
}

fn worst(old: &Schema, new: &Schema) -> Option<Verdict> {
    old.changes_to(new).iter().map(moorline_protocol::schema::Change::verdict).max()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_field_with_a_default_at_the_end_is_compatible(
        old in fields(), added in fields(), held in any::<u8>(),
    ) {
        let mut new = named(&old);
        new.extend(added.iter().enumerate().map(|(place, shape)| {
            (format!("g{place}"), format!("{shape} = default"))
        }));
        let (old, new) = (schema(&named(&old), held), schema(&new, held));
        prop_assert_eq!(worst(&old, &new), Some(Verdict::Compatible));
        // And back again it is not: the fields are gone.
        prop_assert_eq!(worst(&new, &old), Some(Verdict::Incompatible));
    }

    #[test]
    fn anything_else_is_not(
        old in fields(), shape in shape(), at in any::<prop::sample::Index>(), what in 0..4_u8, held in any::<u8>(),
    ) {
        let fields = named(&old);
        let at = at.index(fields.len());
        let mut new = fields.clone();
        match what {
            0 => drop(new.remove(at)),
            1 => new.insert(at, ("g".into(), format!("{shape} = default"))),
            2 => new.push(("g".into(), shape)),
            _ if fields[at].1 == shape => return Ok(()),
            _ => new[at].1 = shape,
        }
        let (old, new) = (schema(&fields, held), schema(&new, held));
        prop_assert_eq!(worst(&old, &new), Some(Verdict::Incompatible));
    }

    #[test]
    fn fields_in_another_order_are_not(old in fields(), one in any::<prop::sample::Index>(), two in any::<prop::sample::Index>()) {
        let fields = named(&old);
        let mut new = fields.clone();
        new.swap(one.index(fields.len()), two.index(fields.len()));
        let same = new == fields;
        let (old, new) = (schema(&fields, 7), schema(&new, 7));
        prop_assert_eq!(worst(&old, &new), (!same).then_some(Verdict::Incompatible));
    }

    #[test]
    fn the_text_of_a_schema_is_read_back(fields in fields(), held in any::<u8>()) {
        let schema = schema(&named(&fields), held);
        let text = schema.to_string();
        let again: Schema = text.parse().unwrap();
        prop_assert_eq!(again.to_string(), text);
        prop_assert_eq!(schema.changes_to(&again), []);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(post|struct|enum|newtype|  a: u8|  [a-z(<{\\[\"\\\\]{0,9}|[ -~]{0,20}|\n){0,20}") {
        let _ = format!("moorline schema 1\n{text}").parse::<Schema>();
        let _ = text.parse::<Schema>();
    }
}
