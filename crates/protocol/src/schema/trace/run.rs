//! One run of a `Deserialize`: where it goes, and what it finds there.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Deserialize;

use crate::limits::{SCHEMA_RUNS_MAX, SCHEMA_STEPS_MAX};

use super::Visit;
use super::explorer::{Explorer, Mode};
use super::values::Choices;
use crate::schema::shape::{Filled, Scalar};

/// No enum has a variant of this name; one that takes it takes any.
pub(super) const NO_VARIANT: &str = "\0no variant\0";

/// Values are nested as deep as that before others are tried. Shallow ones come first, since there are
/// few of them; what a type needs that holds itself is soon found among them.
const VALUE_DEPTHS: [u32; 4] = [2, 4, 8, 24];

/// What tells one named type from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TypeKey {
    /// What serde calls it.
    pub(super) name: &'static str,
    /// What the compiler calls it, with modules and parameters.
    pub(super) path: &'static str,
    /// What reads it: the same type may be read in several ways.
    pub(super) reader: &'static str,
}

/// Names of fields, or how many there are where they have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    Of(&'static [&'static str]),
    None(usize),
}

impl Names {
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Of(names) => names.len(),
            Self::None(length) => length,
        }
    }
}

/// A part of a type, one level down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// What an option, a list, a newtype or a newtype variant holds.
    Inside,
    Key,
    Value,
    /// The field or the element at this place.
    At(usize),
    Variant(&'static str),
}

/// What a `Deserialize` asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    Scalar(Scalar),
    Option,
    List,
    Map,
    Named,
    Flattened,
    Tuple(usize),
    Newtype(TypeKey),
    Struct(TypeKey, Names),
    Enum(TypeKey, &'static [&'static str]),
    /// The first part of an adjacently tagged enum.
    Tag,
    Variant,
    VariantValue,
    VariantFields(Names),
    Unknown(&'static str),
}

/// What a run is for, once it is where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// Writes down what is asked for.
    Look,
    /// Gives as many fields and sees what comes of it.
    Give(usize),
    /// Gives the field of this name twice, to hear what it is called.
    Twice(&'static str),
}

/// What came of giving fields.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outcome {
    /// How many were asked for, those that were not there included.
    pub(super) asked: usize,
    /// It did with what it got.
    pub(super) enough: bool,
    /// One that it got could not be read: nothing is known then.
    pub(super) refused: bool,
    /// What the field that came twice is called.
    pub(super) twice: Option<&'static str>,
}

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) path: Vec<Step>,
    pub(super) goal: Goal,
    /// Goes to fields by their names, not past those before them.
    pub(super) by_name: bool,
    pub(super) choices: Choices,
    pub(super) value_depth_max: u32,
    pub(super) asked: Option<Asked>,
    pub(super) outcome: Option<Outcome>,
    /// Somebody was given what stands at the end of the path to read.
    reached: bool,
    steps: u32,
}

impl Run {
    fn new(path: &[Step], goal: Goal, by_name: bool, value_depth_max: u32) -> Self {
        Self {
            path: path.to_vec(),
            goal,
            by_name,
            choices: Choices::default(),
            value_depth_max,
            asked: None,
            outcome: None,
            reached: path.is_empty(),
            steps: 0,
        }
    }

    /// Whether it found what it is for.
    fn found(&self) -> bool {
        self.asked.is_some() || self.outcome.is_some_and(|outcome| !outcome.refused)
    }

    /// Makes ready to do the same with other values. `false` when there are none.
    fn again(&mut self) -> bool {
        (self.asked, self.outcome, self.steps) = (None, None, 0);
        self.choices.advance()
    }

    /// Somebody is given something to read.
    pub(super) fn pass(&mut self, mode: Mode) {
        self.reached |= mode == Mode::Follow(self.path.len());
    }

    /// Reads a `T` that is not there.
    pub(super) fn visit<T: Deserialize<'static>>(&mut self) {
        // What comes of it is in the run; the value is of no interest, nor is why there is none.
        let _ = T::deserialize(Explorer { mode: Mode::Follow(0), run: self });
    }

    /// Whether the run may go on; it ends when it has found what it is for.
    pub(super) fn goes_on(&mut self) -> bool {
        self.steps += 1;
        self.asked.is_none() && self.outcome.is_none() && self.steps < SCHEMA_STEPS_MAX
    }
}

/// Any value of a type, if one is found that it takes. Options are none and lists empty in it, where
/// they may be.
pub(super) fn any_value<T: Deserialize<'static>>() -> Option<T> {
    VALUE_DEPTHS.into_iter().find_map(|value_depth_max| {
        let mut run = Run::new(&[], Goal::Look, false, value_depth_max);
        for _ in 0..SCHEMA_RUNS_MAX {
            let explorer = Explorer { mode: Mode::Produce(0), run: &mut run };
            let value = catch_unwind(AssertUnwindSafe(|| T::deserialize(explorer)));
            if let Ok(Ok(value)) = value {
                return Some(value);
            }
            if !run.again() {
                break;
            }
        }
        None
    })
}

/// What is asked for at the end of `path`.
pub(super) fn look(visit: Visit<'_>, path: &[Step]) -> Asked {
    match go(visit, path, Goal::Look) {
        Ok(run) => run.asked.unwrap_or(Asked::Unknown("nothing was asked for")),
        Err(why) => Asked::Unknown(why),
    }
}

/// The fields of the struct or variant at the end of `path`: their names, and whether they have to
/// be there.
pub(super) fn probe_fields(visit: Visit<'_>, path: &[Step], names: Names) -> Vec<(String, Filled)> {
    let mut filled = Vec::new();
    let mut length = names.len();
    while let Some(outcome) = give(visit, path, filled.len()) {
        // What was asked for and not there has a default, but for the last if it was not enough.
        let asked = outcome.asked.min(names.len());
        if outcome.enough {
            length = asked.max(filled.len());
            filled.resize(length, Filled::Default);
            break;
        }
        if asked <= filled.len() {
            break;
        }
        filled.resize(asked - 1, Filled::Default);
        filled.push(Filled::Never);
    }
    filled.resize(length, Filled::Unknown);
    let names = names_of(visit, path, names, length);
    names.into_iter().zip(filled).collect()
}

fn give(visit: Visit<'_>, path: &[Step], fields: usize) -> Option<Outcome> {
    let run = go(visit, path, Goal::Give(fields)).ok()?;
    run.outcome
}

/// The names serde tells are those that are read, and a field may have several.
fn names_of(visit: Visit<'_>, path: &[Step], names: Names, length: usize) -> Vec<String> {
    let numbers = || (0..length).map(|place| place.to_string()).collect();
    let Names::Of(told) = names else { return numbers() };
    if told.len() == length {
        return told.iter().map(|name| (*name).to_owned()).collect();
    }
    let mut first: Vec<String> = Vec::new();
    for name in told {
        let run = go(visit, path, Goal::Twice(name)).ok();
        let Some(name) = run.and_then(|run| run.outcome?.twice) else { return numbers() };
        if first.last().is_none_or(|last| last != name) {
            first.push(name.to_owned());
        }
    }
    if first.len() == length { first } else { numbers() }
}

/// Runs until something is found, with one set of values after the other for what is on the way.
fn go(visit: Visit<'_>, path: &[Step], goal: Goal) -> Result<Run, &'static str> {
    let (mut reached, mut panicked) = (false, false);
    for by_name in [false, true] {
        for value_depth_max in VALUE_DEPTHS {
            let mut run = Run::new(path, goal, by_name, value_depth_max);
            for _ in 0..SCHEMA_RUNS_MAX {
                let quiet = catch_unwind(AssertUnwindSafe(|| visit(&mut run))).is_ok();
                if run.found() {
                    return Ok(run);
                }
                panicked |= !quiet;
                if !run.again() {
                    break;
                }
            }
            reached |= run.reached;
        }
    }
    Err(match (panicked, reached) {
        (true, _) => "its `Deserialize` panics when it is given values that were made up",
        (false, true) => "its `Deserialize` asks for nothing",
        (false, false) => "what stands before it refuses each value that was tried",
    })
}
