//! The schema of a program in a file that is committed: the test that a change of a message makes
//! red, and what to do then.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use moorline_protocol::schema::{Change, Schema, Verdict};

/// The environment variable that has the file written anew.
const KNOB: &str = "MOORLINE_SCHEMA";

/// For a test: the messages of this process are still what `file` says they are (PROTOCOL 5).
///
/// ```no_run
/// // tests/schema.rs
/// // #[test]
/// fn messages_are_what_they_were() {
///     moorline_service::schema::assert_compatible("schema.txt");
/// }
/// ```
///
/// A test runs in the folder of its package, so that is where `schema.txt` is. All messages count
/// that are linked into the test; `moorline::link!` names a crate that is nothing but messages.
///
/// The file is written by running the test with `MOORLINE_SCHEMA=update`: for the first time, and
/// whenever messages or fields were added. What breaks peers is not recorded that way, but by
/// `MOORLINE_SCHEMA=break`, for who knows that there are none.
///
/// # Panics
/// Something is different from what the file says; or there is no file, or it is no schema; or a message
/// does not read what it writes itself. The text says where, and what to do.
#[track_caller]
pub fn assert_compatible(file: impl AsRef<Path>) {
    match Schema::of_process() {
        Ok(schema) => assert_schema_compatible(file, &schema),
        Err(error) => panic!("{error}"),
    }
}

/// The same for a schema that is at hand, such as
/// `Schema::of_process()?.only(|name| name.starts_with("game."))`.
///
/// # Panics
/// As [`assert_compatible`].
#[track_caller]
pub fn assert_schema_compatible(file: impl AsRef<Path>, schema: &Schema) {
    let knob = std::env::var(KNOB).unwrap_or_default();
    if let Err(text) = settle(file.as_ref(), schema, &knob) {
        panic!("{text}");
    }
}

/// Compares, or writes what `knob` allows to be written.
fn settle(file: &Path, schema: &Schema, knob: &str) -> Result<(), String> {
    let (writes, breaks) = match knob {
        "" => (false, false),
        "update" => (true, false),
        "break" => (true, true),
        other => return Err(format!("{KNOB}={other} is neither `update` nor `break`")),
    };
    let faults = schema.faults();
    if !faults.is_empty() {
        return Err(faults.join("\n"));
    }
    let shown = file.display().to_string();
    if !breaks {
        let changes = match fs::read_to_string(file) {
            Ok(text) => changes(&text, schema, &shown)?,
            Err(error) if writes && error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                return Err(format!("{shown}: {error}\nto make it: {KNOB}=update cargo test"));
            }
        };
        judge(&changes, writes, &shown)?;
    }
    if writes {
        fs::write(file, schema.to_string()).map_err(|error| format!("{shown}: {error}"))?;
    }
    Ok(())
}

fn changes(text: &str, schema: &Schema, shown: &str) -> Result<Vec<Change>, String> {
    let old: Schema = text.parse().map_err(|error: moorline_protocol::schema::ParseError| {
        format!("{shown}:{}: error: {}", error.line(), error.what())
    })?;
    Ok(old.changes_to(schema))
}

fn judge(changes: &[Change], writes: bool, shown: &str) -> Result<(), String> {
    let broken = changes.iter().any(|change| change.verdict() == Verdict::Incompatible);
    if changes.is_empty() || (writes && !broken) {
        return Ok(());
    }
    let mut text = format!("messages are not what {shown} says they are\n");
    for change in changes {
        let _ = writeln!(text, "{}", change.located(shown, None));
    }
    let _ = if broken {
        write!(
            text,
            "peers that are not built anew break: undo it, or give the message a new name. Only \
             where there are no such peers, record it: {KNOB}=break cargo test"
        )
    } else {
        write!(text, "nothing breaks; record it: {KNOB}=update cargo test")
    };
    Err(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: &str) -> Schema {
        let text = format!("moorline schema 1\npost a.A\n  body A\nstruct A\n{fields}");
        text.parse().unwrap()
    }

    #[test]
    fn a_file_is_made_kept_to_updated_and_broken_by_will_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("schema.txt");
        let [one, more, other] =
            ["  a: u8\n", "  a: u8\n  b: u8 = default\n", "  a: u16\n"].map(schema);
        let missing = settle(&file, &one, "").unwrap_err();
        assert!(missing.contains("MOORLINE_SCHEMA=update"), "{missing}");
        settle(&file, &one, "update").unwrap();
        settle(&file, &one, "").unwrap();

        let stale = settle(&file, &more, "").unwrap_err();
        assert!(stale.contains("field b of A is new") && stale.contains("=update"), "{stale}");
        settle(&file, &more, "update").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), more.to_string());

        for knob in ["", "update"] {
            let broken = settle(&file, &other, knob).unwrap_err();
            assert!(broken.contains("schema.txt:9: error: a.A: field a of A was u8"), "{broken}");
            assert!(broken.contains("=break"), "{broken}");
            assert_eq!(fs::read_to_string(&file).unwrap(), more.to_string());
        }
        settle(&file, &other, "break").unwrap();
        settle(&file, &other, "").unwrap();
    }

    #[test]
    fn what_is_no_schema_and_what_is_no_knob_is_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("schema.txt");
        fs::write(&file, "moorline schema 1\nnonsense\n").unwrap();
        let error = settle(&file, &schema(""), "").unwrap_err();
        assert!(error.contains("schema.txt:2: error: "), "{error}");
        assert!(settle(&file, &schema(""), "udpate").unwrap_err().contains("neither"));
    }
}
