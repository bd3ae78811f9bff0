//! `moor key`.

use std::os::unix::fs::PermissionsExt;

use crate::programs::{Folder, ended, moor};

#[test]
fn a_new_key_is_readable_to_its_owner_alone_and_is_never_overwritten() {
    let folder = Folder::new();
    let path = folder.path("mine.key");
    let made = ended(moor(["key", "new"]).arg(&path)).expect_code(0);
    let public = made.stdout.trim();
    assert!(public.starts_with("moorline-public-1:"), "{public}");
    assert!(made.stderr.contains(&format!("NAME {public} role=")), "{}", made.stderr);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = std::fs::read_to_string(&path).unwrap();

    let again = ended(moor(["key", "new"]).arg(&path)).expect_code(1);
    assert!(again.stderr.contains("never overwritten"), "{}", again.stderr);
    assert_eq!(again.stdout, "");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), secret);
}

#[test]
fn show_and_fingerprint_tell_what_others_may_know() {
    let folder = Folder::new();
    let public = folder.new_key("mine.key");
    let shown = ended(moor(["key", "show"]).arg(folder.path("mine.key"))).expect_code(0);
    assert_eq!(shown.stdout, format!("{public}\n"));
    let print = ended(moor(["key", "fingerprint"]).arg(folder.path("mine.key"))).expect_code(0);
    let groups: Vec<&str> = print.stdout.trim().split('-').collect();
    assert_eq!(groups.len(), 4, "{}", print.stdout);
    assert!(groups.iter().all(|group| group.len() == 5));
    let secret = std::fs::read_to_string(folder.path("mine.key")).unwrap();
    let secret = secret.split(':').nth(1).unwrap();
    for said in [shown.stdout, shown.stderr, print.stdout, print.stderr] {
        assert!(!said.contains(secret));
    }
}

#[test]
fn what_is_no_key_file_is_refused_with_the_reason() {
    let folder = Folder::new();
    std::fs::write(folder.path("text"), "hello\n").unwrap();
    std::fs::set_permissions(folder.path("text"), PermissionsExt::from_mode(0o600)).unwrap();
    let shown = ended(moor(["key", "show"]).arg(folder.path("text"))).expect_code(1);
    assert!(shown.stderr.contains("no key file"), "{}", shown.stderr);
    let missing = ended(moor(["key", "fingerprint"]).arg(folder.path("none"))).expect_code(1);
    assert!(missing.stderr.contains("cannot read"), "{}", missing.stderr);
}
