//! Trust on first use: keys of peers that were dialed before, and the question about new ones.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use moorline_noise::{Fingerprint, Peer, PublicKey, Refusal};
use moorline_protocol::Admission;

use crate::address::Address;
use crate::error::KeyFileError;

/// A file of keys by address, for dialing addresses that have no key in them. Each line is an
/// address and the public key that was trusted for it.
///
/// An address that is not in it is asked about; the default answer is no. A key that is another
/// than the one in the file is an error, never a question.
#[derive(Clone)]
pub struct KnownPeers {
    path: Arc<Path>,
    ask: Arc<Ask>,
}

type Ask = dyn Fn(FirstContact) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync;

/// A peer that nobody here has dialed before. It has proved to have this key; whether the key is
/// that of whom you mean, only a comparison of fingerprints by another way can tell.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FirstContact {
    /// Where it answers.
    pub address: Address,
    /// The key that it has.
    pub key: PublicKey,
}

impl FirstContact {
    /// What to show to somebody, and to compare.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.key.fingerprint()
    }
}

impl KnownPeers {
    /// Keys in this file, which is made when the first one is trusted. Nobody new is, unless
    /// [`ask`](Self::ask) says so.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path: PathBuf = path.into();
        Self { path: path.into(), ask: Arc::new(|_| Box::pin(std::future::ready(false))) }
    }

    /// Who is asked about a peer that is not in the file: `true` trusts its key from now on.
    #[must_use]
    pub fn ask<F, Fut>(self, ask: F) -> Self
    where
        F: Fn(FirstContact) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        Self { ask: Arc::new(move |contact| Box::pin(ask(contact))), ..self }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The key that was trusted for this address.
    pub(crate) fn find(&self, address: &Address) -> Result<Option<PublicKey>, KeyFileError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(KeyFileError::io("read", &self.path, error)),
        };
        let wanted = address.clone().without_key().to_string();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let malformed =
                || KeyFileError::KnownPeers { path: self.path.to_path_buf(), line: number + 1 };
            let (known, key) = line.split_once(char::is_whitespace).ok_or_else(malformed)?;
            let key: PublicKey = key.trim().parse().map_err(|_| malformed())?;
            if known == wanted {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Asks, and writes down a yes before it counts.
    pub(crate) async fn trust(&self, contact: FirstContact) -> Result<bool, KeyFileError> {
        let line = format!("{} {}\n", contact.address.clone().without_key(), contact.key.to_line());
        if !(self.ask)(contact).await {
            return Ok(false);
        }
        let append = || -> io::Result<()> {
            let mut file = OpenOptions::new().append(true).create(true).open(&self.path)?;
            file.write_all(line.as_bytes())?;
            file.sync_all()
        };
        append().map_err(|error| KeyFileError::io("write", &self.path, error))?;
        Ok(true)
    }
}

impl fmt::Debug for KnownPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KnownPeers").field(&self.path).finish()
    }
}

/// Notes which key a peer has proved to have, and goes no further.
#[derive(Clone, Default)]
pub(crate) struct Learn(Arc<Mutex<Option<PublicKey>>>);

impl Learn {
    pub(crate) fn key(&self) -> Option<PublicKey> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission for Learn {
    fn admit(&self, key: Option<&PublicKey>) -> Result<Peer, Refusal> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = key.copied();
        Err(Refusal::NotListed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PublicKey {
        crate::keys::Identity::generate().unwrap().public()
    }

    #[tokio::test]
    async fn what_is_trusted_once_is_known_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownPeers::file(folder.path().join("known")).ask(|_| async { true });
        let address: Address = "tcp://example.org:4000".parse().unwrap();
        assert_eq!(known.find(&address).unwrap(), None);
        let key = key();
        assert!(known.trust(FirstContact { address: address.clone(), key }).await.unwrap());
        assert_eq!(known.find(&address).unwrap(), Some(key));
        assert_eq!(known.find(&address.with_authority("example.org:4001").unwrap()).unwrap(), None);
    }

    #[tokio::test]
    async fn the_default_answer_is_no_and_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known");
        let known = KnownPeers::file(&path);
        let address = "tcp://example.org:4000".parse().unwrap();
        assert!(!known.trust(FirstContact { address, key: key() }).await.unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known");
        fs::write(&path, "# comment\n\ntcp://a:1 not-a-key\n").unwrap();
        let error = KnownPeers::file(&path).find(&"tcp://b:1".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("line 3"), "{error}");
    }
}
