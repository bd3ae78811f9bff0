//! Fields side by side: of arrays by their place, of maps by their name.

use crate::limits::SCHEMA_TUPLE_MAX;

use super::super::change::Verdict;
use super::super::naming::Written;
use super::super::shape::{Definition, Field, Filled, Schema, Shape};
use super::{Comparison, Lines, is_option};

const NEEDS_DEFAULT: &str = "it is missing in what peers send that are not built anew; give it \
                             `#[serde(default)]`";
const NOT_LAST: &str = "fields travel in order; put it after all others, with `#[serde(default)]`";
const REMOVED: &str = "peers that are not built anew still expect it; keep the field, or give the \
                       message a new name (PROTOCOL 5)";
const REORDERED: &str = "fields travel in order; put it back where it was";
const DEFAULT_GONE: &str = "what was sent before the field existed can be read no longer; keep \
                            `#[serde(default)]`";
const DEFAULT_UNKNOWN: &str = "whether it has a default could not be found out; make sure that it \
                               has `#[serde(default)]`";
const RENAMED: &str = "names are not on the wire; it has to mean what it meant";

/// A field where it is compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'a> {
    /// Fields of tuples have none.
    name: Option<&'a str>,
    shape: &'a Shape,
    filled: Filled,
    line: u32,
}

impl<'a> Member<'a> {
    pub(super) fn of(field: &'a Field) -> Self {
        let name = Some(field.name.as_str()).filter(|name| name.parse::<usize>().is_err());
        Self { name, shape: &field.shape, filled: field.filled, line: field.line }
    }

    const fn unnamed(shape: &'a Shape) -> Self {
        Self { name: None, shape, filled: Filled::Never, line: 0 }
    }

    fn is_in(&self, members: &[Member<'_>]) -> Option<usize> {
        members.iter().position(|member| member.name == self.name)
    }

    /// How it is called in a sentence, `place` being its number from 0.
    fn called(&self, place: usize, of: &str) -> String {
        match self.name {
            Some(name) => format!("field {} of {of}", Written(name)),
            None => format!("field {} of {of}", place + 1),
        }
    }
}

/// The fields of something that travels as an array of them.
pub(super) struct Fields<'a> {
    pub(super) name: Option<&'a str>,
    line: u32,
    pub(super) members: Vec<Member<'a>>,
}

impl Fields<'_> {
    pub(super) fn line_or(&self, line: u32) -> u32 {
        if self.line == 0 { line } else { self.line }
    }
}

/// The fields of a struct or a tuple, which are alike on the wire.
pub(super) fn fields_of<'a>(schema: &'a Schema, shape: &'a Shape) -> Option<Fields<'a>> {
    let (name, line, members) = match shape {
        Shape::Type(index) => {
            let of = &schema.types[*index];
            let Definition::Struct(fields) = &of.definition else { return None };
            (Some(of.name.as_str()), of.line, fields.iter().map(Member::of).collect())
        }
        Shape::Tuple(elements) => (None, 0, elements.iter().map(Member::unnamed).collect()),
        Shape::Array(element, length) if *length <= SCHEMA_TUPLE_MAX => {
            (None, 0, vec![Member::unnamed(element); *length])
        }
        _ => return None,
    };
    Some(Fields { name, line, members })
}

impl Comparison<'_> {
    /// Fields of `of`, which travels as an array.
    //= docs/PROTOCOL.md#5
    pub(super) fn fields_in_order(&mut self, of: &str, old: &[Member<'_>], new: &[Member<'_>]) {
        let have_names = old.iter().chain(new).all(|member| member.name.is_some());
        if !have_names || self.in_place(old, new) {
            return self.fields_by_place(of, old, new);
        }
        let lines = self.lines;
        let mut said = false;
        for (place, member) in old.iter().enumerate() {
            if member.is_in(new).is_none() && !self.renamed(place, old, new) {
                self.at(lines, member.line, 0);
                self.say(Verdict::Incompatible, member.called(place, of) + " is gone", REMOVED);
                said = true;
            }
        }
        for (place, member) in new.iter().enumerate() {
            if member.is_in(old).is_some() || self.renamed(place, old, new) {
                continue;
            }
            self.at(lines, 0, member.line);
            let at = member.called(place, of);
            if place < old.len() {
                let what = at + " is new and not the last one";
                self.say(Verdict::Incompatible, what, NOT_LAST);
                said = true;
            } else {
                self.new_field(at, member.filled);
            }
        }
        let places: Vec<_> = old.iter().filter_map(|member| member.is_in(new)).collect();
        if !said || !places.is_sorted() {
            self.lines = lines;
            self.say(
                Verdict::Incompatible,
                format!("fields of {of} are in another order"),
                REORDERED,
            );
        }
        self.lines = lines;
    }

    /// Whether each field of before is where it was, though perhaps under another name.
    fn in_place(&self, old: &[Member<'_>], new: &[Member<'_>]) -> bool {
        // What was last and is gone without a trace leaves the others in place.
        let both = old.len().min(new.len());
        let in_place = |place: usize| {
            old[place].name == new[place].name
                || self.renamed(place, old, new)
                || (old[place].is_in(new).is_none() && new[place].is_in(old).is_none())
        };
        (0..both).all(in_place) && old[both..].iter().all(|member| member.is_in(new).is_none())
    }

    /// Whether the field at `place` has another name and is otherwise what it was.
    fn renamed(&self, place: usize, old: &[Member<'_>], new: &[Member<'_>]) -> bool {
        let (Some(before), Some(after)) = (old.get(place), new.get(place)) else { return false };
        before.is_in(new).is_none()
            && after.is_in(old).is_none()
            && self.alike(before.shape, after.shape)
    }

    fn fields_by_place(&mut self, of: &str, old: &[Member<'_>], new: &[Member<'_>]) {
        let lines = self.lines;
        for place in 0..old.len().max(new.len()) {
            match (old.get(place), new.get(place)) {
                (Some(old), Some(new)) => {
                    self.at(lines, old.line, new.line);
                    self.same_field(&old.called(place, of), old, new);
                }
                (Some(old), None) => {
                    self.at(lines, old.line, 0);
                    self.say(Verdict::Incompatible, old.called(place, of) + " is gone", REMOVED);
                }
                (None, Some(new)) => {
                    self.at(lines, 0, new.line);
                    self.new_field(new.called(place, of), new.filled);
                }
                (None, None) => {}
            }
        }
        self.lines = lines;
    }

    /// Fields of `of`, which travels as a map of their names.
    pub(super) fn fields_by_name(&mut self, of: &str, old: &[Member<'_>], new: &[Member<'_>]) {
        let lines = self.lines;
        for (place, member) in old.iter().enumerate() {
            let at = member.called(place, of);
            if let Some(there) = member.is_in(new) {
                self.at(lines, member.line, new[there].line);
                self.same_field(&at, member, &new[there]);
                continue;
            }
            self.at(lines, member.line, 0);
            if member.filled == Filled::Default || is_option(self.old, member.shape) {
                self.say(Verdict::Compatible, at + " is gone", "readers do without it");
            } else {
                self.say(Verdict::Incompatible, at + " is gone", REMOVED);
            }
        }
        for (place, member) in new.iter().enumerate() {
            if member.is_in(old).is_none() {
                self.at(lines, 0, member.line);
                let may_be_missing = is_option(self.new, member.shape);
                let filled = if may_be_missing { Filled::Default } else { member.filled };
                self.new_field(member.called(place, of), filled);
            }
        }
        self.lines = lines;
    }

    fn same_field(&mut self, at: &str, old: &Member<'_>, new: &Member<'_>) {
        if let (Some(before), Some(now)) = (old.name, new.name)
            && before != now
            && self.alike(old.shape, new.shape)
        {
            let what = format!("{at} is called {} now", Written(now));
            self.say(Verdict::Compatible, what, RENAMED);
        }
        match (old.filled, new.filled) {
            (Filled::Default, Filled::Never) => {
                self.say(Verdict::Incompatible, format!("{at} has no default now"), DEFAULT_GONE);
            }
            (Filled::Default, Filled::Unknown) => {
                self.say(
                    Verdict::Careful,
                    format!("{at} may have no default now"),
                    DEFAULT_UNKNOWN,
                );
            }
            (Filled::Never, Filled::Default) => {
                self.say(Verdict::Compatible, format!("{at} has a default now"), "");
            }
            _ => {}
        }
        self.shapes(at, old.shape, new.shape);
    }

    fn new_field(&mut self, at: String, filled: Filled) {
        match filled {
            Filled::Default => {
                self.say(Verdict::Compatible, at + " is new", "peers without it skip it");
            }
            Filled::Never => {
                self.say(Verdict::Incompatible, at + " is new and has no default", NEEDS_DEFAULT);
            }
            Filled::Unknown => self.say(Verdict::Careful, at + " is new", DEFAULT_UNKNOWN),
        }
    }

    fn at(&mut self, around: Lines, old: u32, new: u32) {
        let or = |line, around| if line == 0 { around } else { line };
        self.lines = Lines { old: or(old, around.old), new: or(new, around.new) };
    }

    /// Whether nothing but what is compatible is different between the two.
    fn alike(&self, old: &Shape, new: &Shape) -> bool {
        let mut found = super::Found::new();
        let mut aside = Comparison { found: &mut found, seen: self.seen.clone(), ..*self };
        aside.shapes("", old, new);
        found.values().all(|change| change.verdict < Verdict::Incompatible)
    }
}
