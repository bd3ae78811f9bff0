//! Values from several sources, put together.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use moorline_service::config::{Config, Source};

use crate::error::LayerError;
use crate::limits::FILE_BYTES_MAX;
use crate::reader::{Entry, Table, Written};

/// Begins the name of a variable that sets a knob: `MOORLINE_MESSAGE_MAX`.
const PREFIX: &str = "MOORLINE_";

/// Variables of that prefix that are not for us: where the file is, and two of tests and of schemas.
const NOT_KNOBS: [&str; 3] = ["CONFIG", "SCHEMA", "SIM_SEED"];

/// What files, environment and command line say, each knob with its source. Of two sources the one that
/// is nearer to whoever started the program counts: command line, environment, file, program.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    config: Config,
}

impl Layers {
    /// Nothing is said.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a file that ends in `.toml` or `.json`. Of two files the one read last counts.
    ///
    /// # Errors
    /// It cannot be read, or something in it cannot be used: the error says which line.
    pub fn file(&mut self, path: impl AsRef<Path>) -> Result<(), LayerError> {
        let path = path.as_ref();
        let read = |error| LayerError::Read { path: path.to_owned(), error };
        let is = |format: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(format));
        if !is("toml") && !is("json") {
            return Err(LayerError::Format { path: path.to_owned() });
        }
        let file = std::fs::File::open(path).map_err(read)?;
        let bytes = file.metadata().map_err(read)?.len();
        if bytes > FILE_BYTES_MAX {
            let (path, limit) = (path.to_owned(), FILE_BYTES_MAX);
            return Err(LayerError::TooLong { path, bytes, limit });
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(read)?;
        if is("toml") { self.toml(path, &text) } else { self.json(path, &text) }
    }

    /// Reads the text of a file in TOML; `path` is for errors alone.
    ///
    /// # Errors
    /// Something in it cannot be used: the error says which line.
    pub fn toml(&mut self, path: impl AsRef<Path>, text: &str) -> Result<(), LayerError> {
        let path = path.as_ref();
        let table = toml::from_str::<Table>(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_at(text, span.start));
            let text = error.message().to_owned();
            LayerError::Syntax { path: path.to_owned(), line, text }
        })?;
        self.put(path, table, |name| line_of(text, |line| begins_toml(line, name)))
    }

    /// Reads the text of a file in JSON; `path` is for errors alone.
    ///
    /// # Errors
    /// Something in it cannot be used: the error says which line.
    pub fn json(&mut self, path: impl AsRef<Path>, text: &str) -> Result<(), LayerError> {
        let path = path.as_ref();
        let table = serde_json::from_str::<Table>(text).map_err(|error| {
            let (path, line) = (path.to_owned(), error.line().max(1));
            LayerError::Syntax { path, line, text: error.to_string() }
        })?;
        let mut names: Vec<&str> = table.0.iter().map(|entry| &*entry.name).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.windows(2).find(|two| two[0] == two[1]) {
            let line = line_of(text, |line| has_json(line, twice));
            let text = format!("`{}` is set twice", twice.escape_debug());
            return Err(LayerError::Syntax { path: path.to_owned(), line, text });
        }
        self.put(path, table, |name| line_of(text, |line| has_json(line, name)))
    }

    fn put(
        &mut self,
        path: &Path,
        table: Table,
        line_of: impl Fn(&str) -> usize,
    ) -> Result<(), LayerError> {
        let path: Arc<Path> = path.into();
        for Entry { name, value } in table.0 {
            let source = Source::File { path: Arc::clone(&path), line: line_of(&name) };
            match value {
                Written::Text(text) => self.config.set_text(&name, &text, source)?,
                Written::Number(number) => self.config.set_number(&name, number, source)?,
                Written::Other(what) => return Err(Config::refuse(&name, what, source).into()),
            }
        }
        Ok(())
    }

    /// Takes the variables that begin with `MOORLINE_`, all of which must be knobs in capitals:
    /// `layers.environment(std::env::vars_os())`.
    ///
    /// # Errors
    /// One of them is no knob, or its value cannot be used.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), LayerError> {
        for (variable, value) in variables {
            let Some(variable) = variable.to_str() else { continue };
            let Some(name) = variable.strip_prefix(PREFIX) else { continue };
            if NOT_KNOBS.contains(&name) {
                continue;
            }
            let value = value.to_str().ok_or_else(|| LayerError::Variable(variable.to_owned()))?;
            let source = Source::Environment { variable: variable.into() };
            self.config.set_text(&name.to_ascii_lowercase(), value, source)?;
        }
        Ok(())
    }

    /// Takes `knob=value`, as an argument of a command line.
    ///
    /// # Errors
    /// It is no such thing, no such knob, or a value that cannot be used.
    pub fn assign(&mut self, assignment: &str) -> Result<(), LayerError> {
        let (name, value) = assignment
            .split_once('=')
            .ok_or_else(|| LayerError::Assignment(assignment.to_owned()))?;
        Ok(self.config.set_text(name.trim(), value, Source::CommandLine)?)
    }

    /// All of it, for [`ServiceBuilder::config`](moorline_service::ServiceBuilder::config).
    #[must_use]
    pub fn into_config(self) -> Config {
        self.config
    }
}

/// The line of a place in a text, from 1.
fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// The last line that says so, from 1; the first one if none does.
fn line_of(text: &str, says: impl Fn(&str) -> bool) -> usize {
    let lines = text.lines().enumerate().filter(|(_, line)| says(line));
    lines.last().map_or(1, |(number, _)| number + 1)
}

fn begins_toml(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    let table = line.trim_start_matches('[').trim_start();
    if table.len() < line.len() {
        return table.strip_prefix(name).is_some_and(|rest| rest.starts_with([']', '.', ' ']));
    }
    let line = line.trim_start_matches(['"', '\'']);
    let rest = line.strip_prefix(name).map(|rest| rest.trim_start_matches(['"', '\'']));
    rest.is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
}

fn has_json(line: &str, name: &str) -> bool {
    let quoted = serde_json::Value::from(name).to_string();
    let mut rests = line.match_indices(&*quoted).map(|(at, found)| &line[at + found.len()..]);
    rests.any(|rest| rest.trim_start().starts_with(':'))
}
