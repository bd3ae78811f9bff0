//! Lines to stdout and stderr that do not bring the process down when nobody reads them.

use std::io::{self, Write};

use crate::exit::Exit;

/// Writes a result to stdout, whole and at once.
///
/// # Errors
/// It could not be written. A reader that has gone away (`moor call .. | head -0`) is none: who
/// does not want the rest does not get it.
pub(crate) fn print(text: &str) -> Result<(), Exit> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Exit::failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says something to a person, on stderr. If that is closed there is nobody to say it to.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says something to a person who is to answer on the same line.
pub(crate) fn prompt(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}
