//! Two schemas side by side. Names of types mean nothing here: shapes are compared, along the
//! messages, as programs meet them on the wire.

mod fields;

use std::collections::{BTreeMap, BTreeSet};

use crate::limits::SCHEMA_NESTED_MAX;
use crate::registry::Place;

use super::change::{Change, Verdict};
use super::naming::Written;
use super::shape::{
    Content, Definition, Lined, MessageShape, NamedType, Part, Schema, Shape, Variant,
};

use self::fields::{Member, fields_of};

const NEW_NAME: &str = "peers that are not built anew cannot read it; leave this message as it was \
                        and give the changed one a new name (PROTOCOL 5)";
const GONE: &str = "peers that still use it are refused; keep it until nobody sends it any more";
const VARIANT_ADDED: &str = "peers that do not have it refuse what it stands in; send it to those \
                             that have it, or give the enum a variant with `#[serde(other)]` first";
const UNCHECKED: &str = "what it is cannot be compared; make sure by hand that old and new read \
                         each other, and record it";

impl Schema {
    /// What is different in `new`, worst first: whether programs of this schema and programs of
    /// `new` understand each other, in both directions.
    //= docs/PROTOCOL.md#5
    #[must_use]
    pub fn changes_to(&self, new: &Schema) -> Vec<Change> {
        let mut found = BTreeMap::new();
        for (name, message) in &self.messages {
            let mut comparison = Comparison::new(self, new, name, message, &mut found);
            match new.messages.get(name) {
                None => comparison.say(Verdict::Incompatible, "it is gone".into(), GONE),
                Some(other) => comparison.messages(message, other),
            }
        }
        for (name, message) in &new.messages {
            if !self.messages.contains_key(name) {
                Comparison::new(self, new, name, message, &mut found).added(message);
            }
        }
        let mut changes: Vec<_> = found.into_values().collect();
        changes.sort_by(|one, two| {
            let key = |change: &Change| (change.old_line, change.new_line);
            two.verdict.cmp(&one.verdict).then_with(|| key(one).cmp(&key(two)))
        });
        changes
    }
}

/// Changes by where they are and what they are, so that one in a type of many messages is said once.
type Found = BTreeMap<(u32, u32, String), Change>;

/// Lines of the old and the new text.
#[derive(Debug, Clone, Copy)]
struct Lines {
    old: u32,
    new: u32,
}

/// What is compared at the moment: one message, and where in it.
struct Comparison<'a> {
    old: &'a Schema,
    new: &'a Schema,
    message: &'a str,
    place: Option<Place>,
    /// Pairs of types that were compared in this message, or are being compared: what is taken for
    /// equal until something else shows. The last is whether they travel as maps.
    seen: BTreeSet<(usize, usize, bool)>,
    /// How many types stand around the one at hand.
    depth: u32,
    lines: Lines,
    found: &'a mut Found,
}

impl<'a> Comparison<'a> {
    fn new(
        old: &'a Schema,
        new: &'a Schema,
        message: &'a str,
        shape: &MessageShape,
        found: &'a mut Found,
    ) -> Self {
        let place = shape.place.or_else(|| new.messages.get(message)?.place);
        let lines = Lines { old: shape.line, new: 0 };
        Self { old, new, message, place, seen: BTreeSet::new(), depth: 0, lines, found }
    }

    fn say(&mut self, verdict: Verdict, what: String, advice: &'static str) {
        let Lines { old, new } = self.lines;
        let change = self.found.entry((old, new, what.clone())).or_insert_with(|| Change {
            verdict,
            what,
            advice,
            messages: Vec::new(),
            old_line: old,
            new_line: new,
            place: self.place,
        });
        if change.messages.last().is_none_or(|last| last != self.message) {
            change.messages.push(self.message.to_owned());
        }
    }

    fn added(&mut self, message: &MessageShape) {
        self.lines = Lines { old: 0, new: message.line };
        let advice = "peers that do not have it answer UNIMPLEMENTED";
        self.say(Verdict::Compatible, format!("it is new, a {}", message.kind.word()), advice);
    }

    fn messages(&mut self, old: &MessageShape, new: &MessageShape) {
        self.lines = Lines { old: old.line, new: new.line };
        if old.kind != new.kind {
            let what = format!("it was a {} and is a {}", old.kind.word(), new.kind.word());
            return self.say(Verdict::Incompatible, what, NEW_NAME);
        }
        for part in Part::ALL {
            self.lines = Lines { old: old.line, new: new.line };
            match (old.parts.get(&part), new.parts.get(&part)) {
                (None, None) => {}
                (Some(old), Some(new)) => self.part(part, old, new),
                (before, _) => {
                    let change = if before.is_some() { "is gone" } else { "is new" };
                    let what = format!("its {} {change}", part.word());
                    self.say(Verdict::Incompatible, what, NEW_NAME);
                }
            }
        }
    }

    fn part(&mut self, part: Part, old: &Lined<Shape>, new: &Lined<Shape>) {
        self.lines = Lines { old: old.line, new: new.line };
        self.shapes(&format!("its {}", part.word()), &old.value, &new.value);
    }

    /// Compares what stands at `at`.
    fn shapes(&mut self, at: &str, old: &Shape, new: &Shape) {
        if self.depth == SCHEMA_NESTED_MAX {
            let what = format!("{at} is nested deeper than {SCHEMA_NESTED_MAX} types");
            return self.say(Verdict::Incompatible, what, UNCHECKED);
        }
        self.depth += 1;
        self.shapes_within(at, old, new);
        self.depth -= 1;
    }

    fn shapes_within(&mut self, at: &str, old: &Shape, new: &Shape) {
        let (old, new) = (bare(self.old, old), bare(self.new, new));
        match (old, new) {
            (Shape::Scalar(old), Shape::Scalar(new)) if old == new => {}
            (Shape::Opaque(_), Shape::Opaque(_)) => {}
            (Shape::Opaque(_), _) | (_, Shape::Opaque(_)) => self.retyped(at, old, new, UNCHECKED),
            (Shape::Option(old), Shape::Option(new)) => self.shapes(at, old, new),
            (Shape::List(old), Shape::List(new)) => self.shapes(at, old, new),
            (Shape::Map(old_key, old_value), Shape::Map(new_key, new_value)) => {
                self.shapes(at, old_key, new_key);
                self.shapes(at, old_value, new_value);
            }
            (Shape::Array(old, length), Shape::Array(new, now)) if length == now => {
                self.shapes(at, old, new);
            }
            (Shape::Named(old), Shape::Named(new)) => {
                self.named(at, bare(self.old, old), bare(self.new, new));
            }
            _ => self.types(at, old, new, false),
        }
    }

    /// Compares what travels as a map, if it is a struct.
    fn named(&mut self, at: &str, old: &Shape, new: &Shape) {
        match (old, new) {
            (Shape::Option(old), Shape::Option(new)) => {
                self.named(at, bare(self.old, old), bare(self.new, new));
            }
            (Shape::Type(_), Shape::Type(_)) => self.types(at, old, new, true),
            _ => self.shapes(at, old, new),
        }
    }

    /// Compares what may have fields or variants; `named` where they travel as maps.
    fn types(&mut self, at: &str, old: &Shape, new: &Shape, named: bool) {
        if let (Shape::Type(old), Shape::Type(new)) = (old, new)
            && !self.seen.insert((*old, *new, named))
        {
            return;
        }
        if let (Some(old), Some(new)) = (fields_of(self.old, old), fields_of(self.new, new)) {
            let lines = self.lines;
            self.lines = Lines { old: old.line_or(lines.old), new: new.line_or(lines.new) };
            let of = old.name.map_or_else(|| at.to_owned(), str::to_owned);
            if named {
                self.fields_by_name(&of, &old.members, &new.members);
            } else {
                self.fields_in_order(&of, &old.members, &new.members);
            }
            self.lines = lines;
            return;
        }
        if let (Some(old), Some(new)) = (definition(self.old, old), definition(self.new, new))
            && let (
                Definition::Enum { variants: before, other: took_any },
                Definition::Enum { variants: after, other: takes_any },
            ) = (&old.definition, &new.definition)
        {
            let lines = self.lines;
            self.lines = Lines { old: old.line, new: new.line };
            self.variants(&old.name, before, after, *took_any);
            if *took_any && !takes_any {
                let what = format!("enum {} takes unknown variants no longer", old.name);
                self.say(Verdict::Incompatible, what, NEW_NAME);
            }
            self.lines = lines;
            return;
        }
        self.retyped(at, old, new, NEW_NAME);
    }

    fn retyped(&mut self, at: &str, old: &Shape, new: &Shape, advice: &'static str) {
        let (old, new) = (self.described(self.old, old), self.described(self.new, new));
        self.say(Verdict::Incompatible, format!("{at} was {old} and is {new}"), advice);
    }

    /// `shape` as its schema has it. A name alone says little, as it may be the same on both sides.
    fn described(&self, schema: &Schema, shape: &Shape) -> String {
        let word = match definition(schema, shape).map(|of| &of.definition) {
            Some(Definition::Enum { .. }) => "enum ",
            Some(Definition::Struct(_)) => "struct ",
            _ => "",
        };
        format!("{word}{}", schema.written(shape))
    }

    fn variants(&mut self, of: &str, old: &[Variant], new: &[Variant], other: bool) {
        let lines = self.lines;
        for variant in old {
            let name = Written(&variant.name);
            self.lines = Lines { old: variant.line, ..lines };
            match new.iter().find(|candidate| candidate.name == variant.name) {
                None => {
                    let what = format!("variant {name} of {of} is gone");
                    self.say(Verdict::Incompatible, what, NEW_NAME);
                }
                Some(now) => {
                    self.lines.new = now.line;
                    self.content(
                        &format!("variant {name} of {of}"),
                        &variant.content,
                        &now.content,
                    );
                }
            }
        }
        for variant in new {
            if old.iter().all(|known| known.name != variant.name) {
                self.lines = Lines { new: variant.line, ..lines };
                let what = format!("variant {} of {of} is new", Written(&variant.name));
                if other {
                    self.say(Verdict::Compatible, what, "peers without it read it as the other");
                } else {
                    self.say(Verdict::Careful, what, VARIANT_ADDED);
                }
            }
        }
        self.lines = lines;
    }

    fn content(&mut self, at: &str, old: &Content, new: &Content) {
        match (old, new) {
            (Content::Nothing, Content::Nothing) => {}
            (Content::Value(old), Content::Value(new)) => self.shapes(at, old, new),
            (Content::Fields(old), Content::Fields(new)) => {
                let old: Vec<_> = old.iter().map(Member::of).collect();
                let new: Vec<_> = new.iter().map(Member::of).collect();
                self.fields_in_order(at, &old, &new);
            }
            _ => {
                let what = format!("{at} has other content");
                self.say(Verdict::Incompatible, what, NEW_NAME);
            }
        }
    }
}

/// A shape without newtypes around it, which are not on the wire.
fn bare<'a>(schema: &'a Schema, mut shape: &'a Shape) -> &'a Shape {
    // No chain of newtypes is longer than there are types; one that is turns in a circle.
    for _ in 0..schema.types.len() {
        match shape {
            Shape::Type(index) => match &schema.types[*index].definition {
                Definition::Alias(inside) => shape = inside,
                _ => return shape,
            },
            _ => return shape,
        }
    }
    match shape {
        Shape::Type(index) if matches!(schema.types[*index].definition, Definition::Alias(_)) => {
            &NOTHING
        }
        _ => shape,
    }
}

/// What newtypes hold that hold each other and nothing else.
static NOTHING: Shape = Shape::Opaque(String::new());

fn definition<'a>(schema: &'a Schema, shape: &Shape) -> Option<&'a NamedType> {
    match shape {
        Shape::Type(index) => schema.types.get(*index),
        _ => None,
    }
}

/// Whether this may be left out of a map: serde reads an option that is missing as none.
fn is_option(schema: &Schema, shape: &Shape) -> bool {
    matches!(bare(schema, shape), Shape::Option(_))
}
