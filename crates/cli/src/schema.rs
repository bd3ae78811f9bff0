//! `moor schema`: what messages look like, and whether a change breaks peers.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use moorline::schema::{Schema, Verdict};

use crate::exit::Exit;
use crate::output::{print, tell};

/// For editors and scripts: see [`Exit`].
const CODES: &str = "Ends with 0 if old and new understand each other, with 4 if they do not, and \
                     with 2 if a file cannot be read or is no schema.";

#[derive(Subcommand)]
pub(crate) enum SchemaCommand {
    /// Print what the messages of this program look like, one line for each field.
    Export {
        /// Write it to FILE instead, whatever stands there.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Say what is different between two schemas, and whether programs of before and after
    /// understand each other. Prints a line for each change, `OLD:7: error: ..`: an error breaks
    /// peers, a warning asks for care, a note is for information.
    #[command(after_help = CODES)]
    Check {
        /// The schema of before.
        old: PathBuf,
        /// The schema of after; without it, the messages of this program.
        new: Option<PathBuf>,
    },
}

pub(crate) fn run(command: &SchemaCommand) -> Result<(), Exit> {
    match command {
        SchemaCommand::Export { out } => export(out.as_deref()),
        SchemaCommand::Check { old, new } => check(old, new.as_deref()),
    }
}

fn export(out: Option<&Path>) -> Result<(), Exit> {
    let schema = linked()?;
    for fault in schema.faults() {
        tell(fault);
    }
    for part in schema.unchecked() {
        tell(&format!("moor: warning: changes go unnoticed in {part}"));
    }
    match out {
        None => print(schema.to_string().trim_end()),
        Some(file) => fs::write(file, schema.to_string())
            .map_err(|error| Exit::failed(format!("{}: {error}", file.display()))),
    }
}

fn check(old: &Path, new: Option<&Path>) -> Result<(), Exit> {
    let before = read(old)?;
    let after = new.map_or_else(linked, read)?;
    let (old, new) = (old.display().to_string(), new.map(|file| file.display().to_string()));
    let changes = before.changes_to(&after);
    for change in &changes {
        print(&change.located(&old, new.as_deref()))?;
    }
    let broken = changes.iter().filter(|change| change.verdict() == Verdict::Incompatible).count();
    if broken == 0 {
        tell(&format!("moor: compatible, {} changes", changes.len()));
        return Ok(());
    }
    Err(Exit::incompatible(format!(
        "incompatible, {broken} of {} changes break peers",
        changes.len()
    )))
}

fn read(file: &Path) -> Result<Schema, Exit> {
    let shown = file.display();
    let text =
        fs::read_to_string(file).map_err(|error| Exit::usage(format!("{shown}: {error}")))?;
    text.parse().map_err(|error: moorline::schema::ParseError| {
        tell(&format!("{shown}:{}: error: {}", error.line(), error.what()));
        Exit::as_told(2)
    })
}

fn linked() -> Result<Schema, Exit> {
    Schema::of_process().map_err(|error| Exit::failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    //= docs/PROTOCOL.md#5
    #[test]
    fn the_messages_of_the_demonstration_are_what_they_were() {
        moorline::schema::assert_compatible("schema.txt");
    }
}
