//! What is set from outside the program, where it came from, and what is in force.
//!
//! Reading files is the business of the crate `moorline-config`: here are the knobs, their values, and
//! the order in which sources count.

mod value;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use self::value::{Kind, Value};
use crate::builder::{KNOBS, ServiceBuilder};

/// Something that can be set: a method of the builder, by its name.
pub struct Knob {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) kind: Kind,
    /// Least and most: microseconds, bytes, or the number.
    pub(crate) bounds: (u64, u64),
    pub(crate) read: fn(&ServiceBuilder) -> Value,
    pub(crate) write: fn(&mut ServiceBuilder, &Value),
}

/// Where a value comes from. A later one counts for more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// The program.
    Builder,
    /// A file and the line in it.
    File {
        /// Its path.
        path: Arc<Path>,
        /// From 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: Box<str>,
    },
    /// The command line.
    CommandLine,
}

/// Values from outside the program, to be given to
/// [`ServiceBuilder::config`](crate::ServiceBuilder::config).
#[derive(Debug, Clone, Default)]
pub struct Config {
    set: Vec<(&'static Knob, Value, Source)>,
}

/// A value that cannot be: which, from where, and what it may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}`{knob}`{problem}")]
#[non_exhaustive]
pub struct ConfigError {
    /// Name of the knob, as it was written.
    pub knob: String,
    /// Where it was set.
    pub source_of: Source,
    /// As a beginning of a line: `moor.toml:3: `.
    place: String,
    problem: String,
}

/// A knob as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// Its name.
    pub knob: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What it is set to.
    pub value: Value,
    /// What it is unless somebody says otherwise.
    pub default: Value,
    /// Who said so.
    pub source: Source,
}

impl Knob {
    /// The knob of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        KNOBS.iter().find(|knob| knob.name == name)
    }

    /// All there are.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        KNOBS.iter()
    }

    /// Its name: that of the method of the builder.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it takes.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What it is unless somebody says otherwise.
    #[must_use]
    pub fn default_value(&self) -> Value {
        (self.read)(&ServiceBuilder::default())
    }

    /// The one that was probably meant: at most two letters away.
    fn near(name: &str) -> Option<&'static Self> {
        let far = |knob: &&Self| distance(name, knob.name);
        KNOBS.iter().min_by_key(far).filter(|knob| distance(name, knob.name) <= 2)
    }

    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        let (least, most) = self.bounds;
        let Some(measure) = value.measure().filter(|m| !(least..=most).contains(m)) else {
            return Ok(());
        };
        let bound = if measure < least {
            format!("at least {}", value.write_measure(least))
        } else {
            format!("at most {}", value.write_measure(most))
        };
        Err(format!(" is {}, it must be {bound}", value.write_measure(measure)))
    }
}

impl Config {
    /// Nothing is set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a knob to what somebody wrote.
    ///
    /// # Errors
    /// There is no such knob, its unit is wrong, or its value is out of bounds.
    pub fn set_text(&mut self, name: &str, text: &str, source: Source) -> Result<(), ConfigError> {
        let knob = Self::knob(name, &source)?;
        match knob.kind.parse(text) {
            Some(value) => self.put(knob, value, source),
            None => Err(mistaken(name, source, format!(" is {text:?}: {}", knob.kind.expected()))),
        }
    }

    /// Sets a knob to a number that has no unit.
    ///
    /// # Errors
    /// As [`set_text`](Self::set_text).
    pub fn set_number(
        &mut self,
        name: &str,
        number: u64,
        source: Source,
    ) -> Result<(), ConfigError> {
        let knob = Self::knob(name, &source)?;
        match knob.kind.number(number) {
            Some(value) => self.put(knob, value, source),
            None => Err(mistaken(name, source, format!(" is {number}: {}", knob.kind.expected()))),
        }
    }

    /// Something was written that is neither a text nor a number: what it is, in a word.
    #[must_use]
    pub fn refuse(name: &str, what: &str, source: Source) -> ConfigError {
        match Knob::find(name) {
            Some(knob) => mistaken(name, source, format!(" is {what}: {}", knob.kind.expected())),
            None => unknown(name, source),
        }
    }

    fn knob(name: &str, source: &Source) -> Result<&'static Knob, ConfigError> {
        Knob::find(name).ok_or_else(|| unknown(name, source.clone()))
    }

    fn put(
        &mut self,
        knob: &'static Knob,
        value: Value,
        source: Source,
    ) -> Result<(), ConfigError> {
        knob.check(&value).map_err(|text| mistaken(knob.name, source.clone(), text))?;
        self.set.push((knob, value, source));
        Ok(())
    }

    /// What counts of all that was said of a knob: the highest source, and of equals the last.
    fn winner(&self, knob: &Knob) -> Option<(&Value, &Source)> {
        let said = self.set.iter().filter(|(of, ..)| std::ptr::eq(*of, knob));
        said.max_by_key(|(_, _, source)| source.rank()).map(|(_, value, source)| (value, source))
    }

    pub(crate) fn apply(&self, builder: &mut ServiceBuilder) {
        for knob in KNOBS {
            if let Some((value, _)) = self.winner(knob) {
                (knob.write)(builder, value);
            }
        }
    }

    pub(crate) fn write_all(explained: &[Explained], builder: &mut ServiceBuilder) {
        for (knob, Explained { value, .. }) in KNOBS.iter().zip(explained) {
            (knob.write)(builder, value);
        }
    }

    pub(crate) fn explain(&self, builder: &ServiceBuilder) -> Vec<Explained> {
        let plain = ServiceBuilder::default();
        let explain = |knob: &'static Knob| {
            let (default, built) = ((knob.read)(&plain), (knob.read)(builder));
            let (value, source) = match self.winner(knob) {
                Some((value, source)) => (value.clone(), source.clone()),
                None if built == default => (built, Source::Default),
                None => (built, Source::Builder),
            };
            Explained { knob: knob.name, about: knob.about, value, default, source }
        };
        KNOBS.iter().map(explain).collect()
    }
}

/// Times of which the first must be shorter, and what would come of it otherwise.
const PAIRS: [(&str, &str, &str); 1] =
    [("keep_alive", "idle_timeout", "a session at rest would end before its peer is asked")];

/// Says which values cannot be together, before a session would show it.
///
/// # Errors
/// The first such pair, at the place of whichever was said last.
pub(crate) fn check_together(explained: &[Explained]) -> Result<(), ConfigError> {
    let find = |name| explained.iter().find(|one| one.knob == name).expect("it is a knob");
    for (shorter, longer, why) in PAIRS {
        let (short, long) = (find(shorter), find(longer));
        let (Some(a), Some(b)) = (short.value.measure(), long.value.measure()) else { continue };
        if a < b || short.source.max_rank(&long.source) < Source::FILE {
            continue;
        }
        let (at, other) = if short.source >= long.source { (short, long) } else { (long, short) };
        let text = format!(
            " is {} and `{}` is {}{}: `{shorter}` must be shorter than `{longer}`, {why}",
            at.value,
            other.knob,
            other.value,
            match &other.source {
                Source::Default => " by default".to_owned(),
                source => format!(" ({source})"),
            },
        );
        return Err(mistaken(at.knob, at.source.clone(), text));
    }
    Ok(())
}

fn unknown(name: &str, source: Source) -> ConfigError {
    let meant = match Knob::near(name) {
        Some(knob) => format!("did you mean `{}`?", knob.name),
        None => "`moor config explain` tells which there are".to_owned(),
    };
    mistaken(name, source, format!(" is no knob: {meant}"))
}

fn mistaken(knob: &str, source: Source, problem: String) -> ConfigError {
    // Whoever wrote it reads it; it may still be a program's output.
    let knob = knob.escape_debug().to_string();
    let place = match &source {
        Source::Default | Source::Builder => String::new(),
        source => format!("{source}: "),
    };
    ConfigError { knob, source_of: source, place, problem }
}

impl Source {
    /// The rank of a file, from which on somebody outside the program has spoken.
    const FILE: u8 = 2;

    fn max_rank(&self, other: &Self) -> u8 {
        self.rank().max(other.rank())
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::Builder => 1,
            Self::File { .. } => Self::FILE,
            Self::Environment { .. } => 3,
            Self::CommandLine => 4,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Builder => f.write_str("program"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

impl fmt::Debug for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Knob({})", self.name)
    }
}

/// In how many letters two names differ, as far as it matters.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests;
