//! `moor key rotate`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::programs::{Ended, Folder, ended, moor};

fn rotate(file: &Path) -> Ended {
    ended(moor(["key", "rotate"]).arg(file))
}

fn show(file: &Path) -> String {
    ended(moor(["key", "show"]).arg(file)).expect_code(0).stdout
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_fresh_key_takes_the_place_of_the_old_one_which_is_kept() {
    let folder = Folder::new();
    let [file, kept] = ["mine.key", "mine.key.old"].map(|name| folder.path(name));
    let old = folder.new_key("mine.key");
    let secret = fs::read_to_string(&file).unwrap();
    let rotated = rotate(&file).expect_code(0);
    let new = show(&file);
    assert_eq!(rotated.stdout, format!("old {old}\nnew {new}"));
    assert_ne!(format!("{old}\n"), new);
    assert_eq!(fs::read_to_string(&kept).unwrap(), secret);
    assert_eq!((mode(&file), mode(&kept)), (0o600, 0o600));
    assert!(!folder.path("mine.key.new").exists());
    let add = rotated.stderr.find("moor peers add").unwrap();
    assert!(add < rotated.stderr.find("moor peers remove").unwrap(), "{}", rotated.stderr);
    let secrets = [secret, fs::read_to_string(&file).unwrap()];
    for secret in secrets.map(|line| line.split(':').nth(1).unwrap().to_owned()) {
        assert!(!rotated.stdout.contains(&secret) && !rotated.stderr.contains(&secret));
    }
}

#[test]
fn a_kept_key_is_never_overwritten_and_then_nothing_changes() {
    let folder = Folder::new();
    let [file, kept] = ["mine.key", "mine.key.old"].map(|name| folder.path(name));
    folder.new_key("mine.key");
    rotate(&file).expect_code(0);
    let before = [&file, &kept].map(|path| fs::read(path).unwrap());
    let refused = rotate(&file).expect_code(1);
    assert!(refused.stderr.contains("mine.key.old exists"), "{}", refused.stderr);
    assert_eq!([&file, &kept].map(|path| fs::read(path).unwrap()), before);
    assert!(!folder.path("mine.key.new").exists());
}

#[test]
fn a_file_in_the_way_is_left_alone() {
    let folder = Folder::new();
    folder.new_key("mine.key");
    fs::write(folder.path("mine.key.new"), "somebody's").unwrap();
    let refused = rotate(&folder.path("mine.key")).expect_code(1);
    assert!(refused.stderr.contains("in the way"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(folder.path("mine.key.new")).unwrap(), "somebody's");
    assert!(!folder.path("mine.key.old").exists());
}

#[test]
fn what_a_link_leads_to_is_replaced_and_the_link_stays() {
    let folder = Folder::new();
    let link = folder.path("link.key");
    let old = folder.new_key("mine.key");
    std::os::unix::fs::symlink("mine.key", &link).unwrap();
    rotate(&link).expect_code(0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(show(&folder.path("mine.key")), show(&link));
    assert_eq!(show(&folder.path("mine.key.old")), format!("{old}\n"));
}

#[test]
fn what_is_no_key_is_not_rotated() {
    let folder = Folder::new();
    rotate(&folder.path("none")).expect_code(1);
    rotate(&folder.path("peers")).expect_code(1);
    assert!(!folder.path("peers.new").exists() && !folder.path("peers.old").exists());
}
