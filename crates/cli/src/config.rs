//! `moor config`: what a service is set to, by whom, and whether that can be.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use moorline::Service;
use moorline::config::{Config, Explained, LayerError, Layers, Source};

use crate::exit::Exit;
use crate::output::print;

/// For editors and scripts: see [`Exit`].
const CODES: &str = "Ends with 0 if everything can be used, and with 2 if a file cannot be read, or a \
                     knob, unit or value is wrong: the message begins with FILE:LINE.";

/// Where values come from. A file, MOORLINE_KNOB=VALUE in the environment, and --set, which counts most.
#[derive(Args, Clone, Default)]
pub(crate) struct ConfigArgs {
    /// A file of knobs, in TOML or JSON by its ending. May be given several times: the last one counts.
    #[arg(long = "config", value_name = "FILE", env = "MOORLINE_CONFIG")]
    files: Vec<PathBuf>,
    /// A knob and its value: `--set message_max=1MiB`. `moor config explain` tells which there are.
    #[arg(long = "set", value_name = "KNOB=VALUE")]
    assignments: Vec<String>,
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print each knob with its value, who set it, its default, and what it is for.
    #[command(after_help = CODES)]
    Explain {
        #[command(flatten)]
        config: ConfigArgs,
        /// Only what differs from its default.
        #[arg(long)]
        changed: bool,
    },
    /// Say whether files, environment and --set can be used. Prints nothing if they can.
    #[command(after_help = CODES)]
    Check {
        #[command(flatten)]
        config: ConfigArgs,
    },
}

pub(crate) fn run(command: &ConfigCommand) -> Result<(), Exit> {
    match command {
        ConfigCommand::Explain { config, changed } => explain(config, *changed),
        ConfigCommand::Check { config } => config.read().and_then(check),
    }
}

impl ConfigArgs {
    /// All sources together.
    ///
    /// # Errors
    /// What was written where cannot be used.
    pub(crate) fn read(&self) -> Result<Config, Exit> {
        self.layers().map(Layers::into_config).map_err(|error| Exit::usage(error.to_string()))
    }

    fn layers(&self) -> Result<Layers, LayerError> {
        let mut layers = Layers::new();
        self.files.iter().try_for_each(|file| layers.file(file))?;
        layers.environment(std::env::vars_os())?;
        self.assignments.iter().try_for_each(|assignment| layers.assign(assignment))?;
        Ok(layers)
    }
}

/// Each value can be by itself; this is about all of them together.
fn check(config: Config) -> Result<(), Exit> {
    let checked = Service::builder().config(config).check();
    checked.map_err(|error| Exit::usage(error.to_string()))
}

fn explain(config: &ConfigArgs, changed: bool) -> Result<(), Exit> {
    let config = config.read()?;
    let knobs = Service::builder().config(config.clone()).explain();
    let shown = knobs.iter().filter(|knob| !changed || knob.source != Source::Default);
    let rows: Vec<[String; 5]> = shown.map(row).collect();
    print(&table(&rows))?;
    check(config)
}

fn row(knob: &Explained) -> [String; 5] {
    [
        knob.knob.to_owned(),
        knob.value.to_string(),
        knob.source.to_string(),
        knob.default.to_string(),
        knob.about.to_owned(),
    ]
}

/// Columns as wide as their widest cell; the last one ends where it ends.
fn table(rows: &[[String; 5]]) -> String {
    let head = ["knob", "value", "source", "default", "what it is"].map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3, 4].map(width);
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).collect::<Vec<_>>().join("\n")
}
