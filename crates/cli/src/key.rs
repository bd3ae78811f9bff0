//! `moor key`: makes key files, and shows what of a key others may know.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use moorline::{Identity, KeyFileError};

use crate::exit::Exit;
use crate::output::{print, tell};
use crate::rotate;

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a new key and write it to FILE, readable to you alone. Never overwrites.
    New {
        /// The key file to be made.
        file: PathBuf,
    },
    /// Print the public key of FILE, as it stands in a peer list.
    Show {
        /// A key file.
        file: PathBuf,
    },
    /// Print the fingerprint of FILE, for people to compare.
    Fingerprint {
        /// A key file.
        file: PathBuf,
    },
    /// Put a new key in the place of FILE and keep the old one as FILE.old, which must not exist.
    /// Prints the old and the new public key; says in which order to go on, so that nobody is
    /// locked out.
    Rotate {
        /// A key file.
        file: PathBuf,
    },
}

pub(crate) fn run(command: &KeyCommand) -> Result<(), Exit> {
    match command {
        KeyCommand::New { file } => new(file),
        KeyCommand::Show { file } => {
            let public = load(file)?.public();
            print(&public.to_line())?;
            tell(&next_steps(&public.to_line()));
            Ok(())
        }
        KeyCommand::Fingerprint { file } => print(&load(file)?.public().fingerprint().to_string()),
        KeyCommand::Rotate { file } => rotate::run(file),
    }
}

/// Stdout gets the public key alone, so that a script can take it; stderr says what it is for.
fn new(file: &Path) -> Result<(), Exit> {
    let public = Identity::create(file).map_err(|error| not_made(&error))?.public();
    print(&public.to_line())?;
    tell(&format!(
        "{} holds a new secret key; only you can read it, keep it so.\n\
         Fingerprint: {}\n{}",
        file.display(),
        public.fingerprint(),
        next_steps(&public.to_line()),
    ));
    Ok(())
}

fn next_steps(public: &str) -> String {
    format!(
        "To let it in where you serve, give your peer list the line:\n  NAME {public} role=member\n\
         To serve or call with it: moor serve|call .. --identity FILE"
    )
}

pub(crate) fn not_made(error: &KeyFileError) -> Exit {
    let exit = Exit::failed(error.to_string());
    match error {
        KeyFileError::Io { error, .. } if error.kind() == std::io::ErrorKind::AlreadyExists => exit
            .with_advice(
                "A key file is never overwritten: choose another name, or look at this one with \
                 `moor key show`.",
            ),
        _ => exit,
    }
}

pub(crate) fn load(file: &Path) -> Result<Identity, Exit> {
    Identity::load(file).map_err(|error| Exit::failed(error.to_string()))
}
