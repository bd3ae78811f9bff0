//! `moor key rotate`: a fresh key in the place of an old one, which is kept.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use moorline::{Identity, PublicKey};

use crate::exit::Exit;
use crate::key::{load, not_made};
use crate::output::{print, tell};
use crate::replace::{Successor, beside, failed, sync_folder};

pub(crate) fn run(file: &Path) -> Result<(), Exit> {
    let old = load(file)?.public();
    let (successor, new) =
        Successor::create(file, |path| Identity::create(path).map_err(|error| not_made(&error)))?;
    let place = successor.place().to_path_buf();
    let kept = keep(&place)?;
    successor.put_in_place()?;
    let new = new.public();
    print(&format!("old {}\nnew {}", old.to_line(), new.to_line()))?;
    tell(&next_steps(&place, &kept, &old, &new));
    Ok(())
}

/// A second name for the old key, so that there is no moment without it and no copy of a secret.
/// Naming never overwrites, and the mode stays.
fn keep(file: &Path) -> Result<PathBuf, Exit> {
    let kept = beside(file, ".old");
    fs::hard_link(file, &kept).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Exit::failed(format!("{} exists", kept.display()))
            .with_advice(
                "The key of an earlier rotation is never overwritten, and nothing was changed: \
                 delete it when nobody uses it any more, or give it another name.",
            ),
        _ => failed("keep the old key as", &kept, &error),
    })?;
    let sync = || {
        File::open(&kept)?.sync_all()?;
        sync_folder(&kept)
    };
    sync().map_err(|error| failed("sync", &kept, &error))?;
    Ok(kept)
}

/// Each step lets somebody in by the new key before the next one shuts out the old.
fn next_steps(file: &Path, kept: &Path, old: &PublicKey, new: &PublicKey) -> String {
    let (file, kept) = (file.display(), kept.display());
    format!(
        "{file} holds a new secret key, {kept} the old one. Fingerprint: {}\n\
         What runs has the old key until it is started again. So that nobody is locked out:\n\
         1. Until step 4, whatever has to be started again is started with --identity {kept}\n\
         2. Where this key calls: give every peer list that has it the new one as well:\n     \
         moor peers add LIST NAME {new} --role ..\n   \
         and then start what calls again, with {file}.\n\
         3. Where this key serves: start a second server with {file} at another address, beside\n   \
         the old one. Give clients the new address and key (URL: ..://{new}@..). In a file of\n   \
         known peers that address is asked about anew; at the old address the new key is refused\n   \
         as a changed one, until the line of that address is removed.\n\
         4. When nobody uses the old key any more: stop what has it, and take it off the lists:\n     \
         moor peers remove LIST {old}\n   \
         and delete {kept}\n\
         If the old key is known to somebody else: step 4 first, whoever that locks out.",
        new.fingerprint(),
    )
}
