//! What can be wrong with what was written.

use std::io;
use std::path::PathBuf;

use moorline_service::config::ConfigError;

/// What was written cannot be used. Each says where, and what to write instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// A file could not be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Its name says neither `.toml` nor `.json`.
    #[error("{}: a configuration file ends in .toml or .json", path.display())]
    Format {
        /// Which.
        path: PathBuf,
    },
    /// It is longer than [`FILE_BYTES_MAX`](crate::limits::FILE_BYTES_MAX).
    #[error("{}: {bytes} bytes, the limit of a configuration file is {limit}", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
        /// How long it is.
        bytes: u64,
        /// How long it may be.
        limit: u64,
    },
    /// It is not what its name says.
    #[error("{}:{line}: {text}", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What the reader of the format says.
        text: String,
    },
    /// An argument that is no assignment.
    #[error("command line: {0:?} is not KNOB=VALUE")]
    Assignment(String),
    /// A variable of the environment that is no text.
    #[error("environment {0}: its value is not a text")]
    Variable(String),
    /// A knob that is none, or a value that it does not take.
    #[error(transparent)]
    Knob(#[from] ConfigError),
}
