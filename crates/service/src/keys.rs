//! Identities from files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moorline_noise::{Provider, PublicKey};
use zeroize::Zeroizing;

use crate::error::KeyFileError;

/// Who this process is: a secret key, shared by all its services.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) inner: Arc<moorline_noise::Identity>,
}

/// Largest key file that is read: one line of about 80 bytes, with room for an editor's whims.
const KEY_FILE_MAX: usize = 1_024;

impl Identity {
    /// A fresh key that lives in memory only.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn generate() -> Result<Self, KeyFileError> {
        let identity = moorline_noise::Identity::generate(&Provider::pure())?;
        Ok(Self { inner: Arc::new(identity) })
    }

    /// Reads a key file. It must belong to its owner alone (mode 0600).
    ///
    /// # Errors
    /// The file cannot be read, is open to others, or is no key file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| KeyFileError::io("read", path, error))?;
        check_mode(path, &file)?;
        let bytes = read(&file).map_err(|error| KeyFileError::io("read", path, error))?;
        let line = std::str::from_utf8(&bytes).map_err(|error| {
            KeyFileError::io("read", path, io::Error::new(io::ErrorKind::InvalidData, error))
        })?;
        let identity = moorline_noise::Identity::parse(line.trim_end())
            .map_err(|error| KeyFileError::Malformed { path: path.into(), error })?;
        Ok(Self { inner: Arc::new(identity) })
    }

    /// Makes a new key and its file, which must not exist yet.
    ///
    /// # Errors
    /// The file exists, or cannot be written.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let identity = Self::generate()?;
        write_new(path, identity.inner.to_line().as_bytes())
            .map_err(|error| KeyFileError::io("create", path, error))?;
        Ok(identity)
    }

    /// Reads a key file, or makes one where there is none.
    ///
    /// # Errors
    /// As [`load`](Self::load) and [`create`](Self::create).
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        match Self::load(path) {
            Err(KeyFileError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                Self::create(path)
            }
            result => result,
        }
    }

    /// What others may know.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.inner.public()
    }
}

/// Reads into a place that has its full size from the beginning and wipes itself: one that grows
/// would leave copies of the secret behind.
fn read(mut file: &File) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; KEY_FILE_MAX]);
    let mut len = 0;
    loop {
        match file.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// A secret that others can read is no secret.
#[cfg(unix)]
fn check_mode(path: &Path, file: &File) -> Result<(), KeyFileError> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata().map_err(|error| KeyFileError::io("read", path, error))?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::OpenToOthers { path: path.into(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_path: &Path, _file: &File) -> Result<(), KeyFileError> {
    Ok(())
}

/// Never over an existing file, readable to its owner alone from the first moment, on the disk
/// when this returns.
fn write_new(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(line)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

impl KeyFileError {
    pub(crate) fn io(what: &'static str, path: &Path, error: io::Error) -> Self {
        KeyFileError::Io { what, path: PathBuf::from(path), error }
    }
}
