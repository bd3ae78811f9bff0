//! How a command ends: with which code, and what is said on stderr.

use std::process::ExitCode;

use moorline::Error;

use crate::output;

/// An end without success. What it says goes to stderr, as one line or a few.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    message: Option<String>,
}

impl Exit {
    /// 1: what was asked for was tried, and failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: Some(message.into()) }
    }

    /// Another code than 0, where everything has been said already.
    pub(crate) fn as_told(code: u8) -> Self {
        Self { code, message: None }
    }

    /// 1, where everything has been said already.
    pub(crate) fn failed_as_told() -> Self {
        Self::as_told(1)
    }

    /// 2: the command line is wrong, or something it names cannot be used. Nothing was tried.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: Some(message.into()) }
    }

    /// 3: nobody is there, or who is there does not open a session with us or is not trusted.
    pub(crate) fn no_session(message: impl Into<String>) -> Self {
        Self { code: 3, message: Some(message.into()) }
    }

    /// 4: two schemas were compared, and peers of one do not understand those of the other.
    pub(crate) fn incompatible(message: impl Into<String>) -> Self {
        Self { code: 4, message: Some(message.into()) }
    }

    /// 130: somebody pressed ctrl-c; 128 and the number of the signal, as shells have it.
    pub(crate) fn interrupted() -> Self {
        Self { code: 130, message: None }
    }

    /// The code that says whose doing it was that the library could not do its work.
    pub(crate) fn of_library(error: &Error) -> Self {
        match error {
            Error::KeyFile(_)
            | Error::Address(_)
            | Error::UnknownScheme { .. }
            | Error::Setup(_)
            | Error::Config(_)
            | Error::NotAuthenticated(_) => Self::usage(error.to_string()),
            Error::Connect { .. }
            | Error::Handshake { .. }
            | Error::NotTrusted { .. }
            | Error::KeyChanged { .. } => Self::no_session(error.to_string()),
            _ => Self::failed(error.to_string()),
        }
    }

    /// The same end, with what to do about it on a line of its own.
    pub(crate) fn with_advice(mut self, advice: &str) -> Self {
        if let Some(message) = &mut self.message {
            message.push('\n');
            message.push_str(advice);
        }
        self
    }
}

/// Says what there is to be said, and gives the code to end with.
pub(crate) fn of(result: Result<(), Exit>) -> ExitCode {
    let Err(exit) = result else { return ExitCode::SUCCESS };
    if let Some(message) = exit.message {
        output::tell(&format!("moor: {message}"));
    }
    ExitCode::from(exit.code)
}

/// What clap has to say: help and version are a success, everything else is code 2. Nobody may be
/// there to read it.
pub(crate) fn of_usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
