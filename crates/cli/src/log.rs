//! Where logs go: to stderr, filtered, as lines for people or as JSON for machines.

use std::io;

use clap::Args;
use tracing_subscriber::EnvFilter;

use crate::exit::Exit;

/// What of the log is written, and how.
#[derive(Args, Clone)]
pub(crate) struct LogOptions {
    /// What to log, as `info` or `warn,moorline_service=debug`. Default: `info` for `serve`, else
    /// little.
    #[arg(id = "log", long, value_name = "FILTER", env = "MOOR_LOG", global = true)]
    pub(crate) filter: Option<String>,
    /// Log one JSON object a line.
    #[arg(id = "log-json", long, global = true)]
    pub(crate) json: bool,
}

impl LogOptions {
    /// Starts to log, by `default` if nothing was asked for.
    ///
    /// # Errors
    /// The filter cannot be read.
    pub(crate) fn start(&self, default: &str) -> Result<(), Exit> {
        let filter = self.filter.as_deref().unwrap_or(default);
        let filter = EnvFilter::try_new(filter)
            .map_err(|error| Exit::usage(format!("--log {filter:?} is no filter: {error}")))?;
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            // A closed stderr would be complained of on stderr, and that panics.
            .log_internal_errors(false);
        if self.json {
            lines.json().flatten_event(true).init();
        } else {
            lines.init();
        }
        Ok(())
    }
}
