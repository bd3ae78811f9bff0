//! Puts a new file in the place of an old one, at once and for good: whoever reads finds one or the
//! other, also after the power has failed.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::exit::Exit;

/// The file that will be in the place of another. It stands beside it as `FILE.new`, and while it
/// does nobody else can begin to replace the same file. Given up, it goes away.
pub(crate) struct Successor {
    path: PathBuf,
    place: PathBuf,
    old: Metadata,
    is_in_place: bool,
}

impl Successor {
    /// Lets `create` make the successor of `place`, which must be there, at the path it is given.
    /// It must not overwrite.
    pub(crate) fn create<T>(
        place: &Path,
        create: impl FnOnce(&Path) -> Result<T, Exit>,
    ) -> Result<(Self, T), Exit> {
        let old = |error| failed("read", place, &error);
        // A link stays a link, and what it leads to is replaced.
        let real = fs::canonicalize(place).map_err(old)?;
        let metadata = fs::metadata(&real).map_err(old)?;
        if !metadata.is_file() {
            return Err(Exit::failed(format!("{} is no file", place.display())));
        }
        let path = beside(&real, ".new");
        if path.exists() {
            return Err(in_the_way(&path));
        }
        let made = create(&path)?;
        Ok((Self { path, place: real, old: metadata, is_in_place: false }, made))
    }

    /// An empty successor of `place`, readable to its owner alone for the time being.
    pub(crate) fn empty(place: &Path) -> Result<(Self, File), Exit> {
        Self::create(place, |path| {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(path).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => in_the_way(path),
                _ => failed("create", path, &error),
            })
        })
    }

    /// Where it will be, with all links followed.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// Writes all of its content, with the mode of the old file, and puts it in place.
    pub(crate) fn put_text_in_place(self, mut file: File, text: &str) -> Result<(), Exit> {
        let mut write = || {
            file.write_all(text.as_bytes())?;
            file.set_permissions(self.old.permissions())
        };
        write().map_err(|error| failed("write", &self.path, &error))?;
        self.put_in_place()
    }

    /// Gives it the owner of the old file, and the place.
    pub(crate) fn put_in_place(mut self) -> Result<(), Exit> {
        let put = || {
            keep_owner(&self.path, &self.old)?;
            File::open(&self.path)?.sync_all()?;
            fs::rename(&self.path, &self.place)
        };
        put().map_err(|error| failed("replace", &self.place, &error))?;
        self.is_in_place = true;
        sync_folder(&self.place).map_err(|error| failed("sync the folder of", &self.place, &error))
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.is_in_place {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// `FILE` with something behind its name.
pub(crate) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What was renamed or linked is on the disk when the folder is.
pub(crate) fn sync_folder(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// The superuser replaces files for services that run as somebody else, and must still be able to
/// read them.
#[cfg(unix)]
fn keep_owner(path: &Path, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let new = fs::metadata(path)?;
    if (new.uid(), new.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    chown(path, Some(old.uid()), Some(old.gid()))
}

#[cfg(not(unix))]
fn keep_owner(_path: &Path, _old: &Metadata) -> io::Result<()> {
    Ok(())
}

pub(crate) fn failed(what: &str, path: &Path, error: &io::Error) -> Exit {
    Exit::failed(format!("cannot {what} {}: {error}", path.display()))
}

fn in_the_way(path: &Path) -> Exit {
    Exit::failed(format!("{} is in the way", path.display())).with_advice(
        "Another moor is writing it, or one was interrupted: remove it if none runs, and try again.",
    )
}
