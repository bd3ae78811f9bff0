//! `moor schema`, as scripts and editors use it.

use std::fs;

use crate::programs::{Folder, ended, moor};

/// What is committed beside the messages of the demonstration.
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.txt");

#[test]
fn the_schema_of_moor_is_printed_or_written_and_is_the_committed_one() {
    let folder = Folder::new();
    let committed = fs::read_to_string(COMMITTED).unwrap();
    let printed = ended(&mut moor(["schema", "export"])).expect_code(0);
    assert_eq!(printed.stdout, committed);
    assert!(committed.contains("\nrequest demo.Login\n  body Login\n  answer Welcome\n"));
    let file = folder.path("schema.txt");
    let written = ended(moor(["schema", "export", "--out"]).arg(&file)).expect_code(0);
    assert_eq!(written.stdout, "");
    assert_eq!(fs::read_to_string(&file).unwrap(), committed);
    let nowhere = ended(&mut moor(["schema", "export", "--out", "/nonexistent/x"])).expect_code(1);
    assert!(nowhere.stderr.contains("/nonexistent/x"), "{}", nowhere.stderr);
}

#[test]
fn a_schema_is_checked_against_the_program_or_against_another() {
    let folder = Folder::new();
    let committed = fs::read_to_string(COMMITTED).unwrap();
    let same = ended(&mut moor(["schema", "check", COMMITTED])).expect_code(0);
    assert_eq!(same.stdout, "");

    // The program of before had a field that this one has no more.
    let file = folder.path("old.txt");
    let note = "struct Note\n  text: string\n";
    assert!(committed.contains(note));
    let more = committed.replace(note, &format!("{note}  color: u8\n"));
    fs::write(&file, &more).unwrap();
    let line = more.lines().position(|line| line == "  color: u8").unwrap() + 1;
    let broken = ended(moor(["schema", "check"]).arg(&file)).expect_code(4);
    let expected =
        format!("{}:{line}: error: demo.Note: field color of Note is gone: ", file.display());
    assert!(broken.stdout.starts_with(&expected), "{}", broken.stdout);
    assert!(broken.stderr.contains("incompatible, 1 of 1"), "{}", broken.stderr);

    // The other way round it is a field without default; with one it is nothing to worry about.
    let new = folder.path("new.txt");
    fs::write(&new, &more).unwrap();
    ended(moor(["schema", "check", COMMITTED]).arg(&new)).expect_code(4);
    fs::write(&new, more.replace("color: u8", "color: u8 = default")).unwrap();
    let added = ended(moor(["schema", "check", COMMITTED]).arg(&new)).expect_code(0);
    assert!(
        added.stdout.contains(": note: demo.Note: field color of Note is new"),
        "{}",
        added.stdout
    );

    // A message that is new has no line in the old file.
    fs::write(&new, format!("{committed}\npost demo.New\n  body u8\n")).unwrap();
    let added = ended(moor(["schema", "check", COMMITTED]).arg(&new)).expect_code(0);
    let line = committed.lines().count() + 2;
    let expected = format!("{}:{line}: note: demo.New: it is new, a post", new.display());
    assert!(added.stdout.starts_with(&expected), "{}", added.stdout);
}

#[test]
fn what_cannot_be_read_is_a_mistake_of_the_command_line() {
    let folder = Folder::new();
    let file = folder.path("schema.txt");
    fs::write(&file, "moorline schema 1\nstruct\n").unwrap();
    let wrong = ended(moor(["schema", "check"]).arg(&file)).expect_code(2);
    assert!(wrong.stderr.contains("schema.txt:2: error: "), "{}", wrong.stderr);
    let missing = ended(&mut moor(["schema", "check", "/nonexistent/x"])).expect_code(2);
    assert!(missing.stderr.contains("/nonexistent/x"), "{}", missing.stderr);
    let help = ended(&mut moor(["schema", "check", "--help"])).expect_code(0).stdout;
    assert!(help.contains("with 4 if"), "{help}");
}
