//! A key file that was read leaves nothing of its text in memory. A test binary of its own with one
//! test, so that nothing else runs in the process that is searched.
#![cfg(target_os = "linux")]

#[path = "../../noise/tests/memory_scan/mod.rs"]
#[expect(dead_code, reason = "sessions are searched for elsewhere")]
mod memory_scan;

use std::fs::File;
use std::os::unix::fs::FileExt;

use memory_scan::{MASK, scan};
use moorline_service::Identity;
use zeroize::Zeroize;

#[test]
fn the_text_of_a_key_file_is_not_in_memory_after_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let created = Identity::create(&path).unwrap();
    // Thirty-two of the 43 characters that are the secret, in a place of their own, and then under a
    // mask.
    let mut text = Box::new([0; 32]);
    let at = "moorline-secret-1:".len();
    File::open(&path).unwrap().read_exact_at(&mut *text, at.try_into().unwrap()).unwrap();
    mask(&mut *text);
    let masked = *text;
    mask(&mut *text);
    assert!(!scan(&[masked]).is_empty(), "the scan itself does not work");
    text.zeroize();
    let loaded = Identity::load(&path).unwrap();
    assert_eq!(loaded.public(), created.public());
    assert_eq!(scan(&[masked]), [""; 0]);
}

fn mask(text: &mut [u8]) {
    text.iter_mut().for_each(|byte| *byte ^= MASK);
}
