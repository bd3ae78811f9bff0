//! Who gets in: a peer list that may change while it is used.

use std::fs;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use moorline_noise::{PeersError, PublicKey, Refusal};

use crate::error::KeyFileError;

/// Who gets a session. Nobody, unless said otherwise.
///
/// Clones are the same list: a change of one is a change of all, and takes effect on services that
/// listen with it within a second, on open sessions, too.
#[derive(Clone, Debug)]
pub struct Peers {
    list: Arc<RwLock<List>>,
    file: Option<Arc<Path>>,
}

#[derive(Debug)]
struct List {
    peers: Arc<moorline_noise::Peers>,
    /// The file could not be read when it changed: nobody new gets in until it can.
    broken: bool,
}

impl Peers {
    /// Reads a peer list: a line `name public-key role=.. [not_after=..] [addr=..] [services=..]`
    /// for each. Services that listen look at the file four times a second and follow its changes.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is wrong; nobody gets in by half a list.
    pub fn file(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let peers = Self::of(read(path)?);
        Ok(Self { file: Some(path.into()), ..peers })
    }

    /// Reads a peer list from text: what [`file`](Self::file) reads, without a file to follow.
    ///
    /// # Errors
    /// The first line that is wrong, and how.
    pub fn parse(text: &str) -> Result<Self, PeersError> {
        Ok(Self::of(moorline_noise::Peers::parse(text)?))
    }

    /// Nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Self::of(moorline_noise::Peers::nobody())
    }

    /// Whoever has a key, whichever it is.
    #[must_use]
    pub fn anyone() -> Self {
        Self::of(moorline_noise::Peers::anyone())
    }

    /// Whoever comes, with a key or without: what protocols without keys need.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::of(moorline_noise::Peers::anonymous())
    }

    /// A list with one peer more, by its key. It follows no file.
    #[must_use]
    pub fn with(self, name: &str, key: PublicKey) -> Self {
        Self::of(moorline_noise::Peers::clone(&self.now()).with(name, key))
    }

    /// Puts what `other` holds now in the place of this list, for programs that keep their peers
    /// elsewhere than in a file. Who is not on it any more loses its sessions within a second.
    pub fn replace(&self, other: &Peers) {
        let peers = other.now();
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = List { peers, broken: false };
    }

    /// How many keys are listed. A list that could not be read when it changed has none.
    #[must_use]
    pub fn len(&self) -> usize {
        self.now().len()
    }

    /// Whether no key is listed; somebody may get in all the same, see [`anyone`](Self::anyone).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.now().is_empty()
    }

    /// Whether `key` is listed and its `not_after` will have passed at this time.
    #[must_use]
    pub fn is_expired_at(&self, key: &PublicKey, time: SystemTime) -> bool {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.now().admit(Some(key), None, seconds) == Err(Refusal::Expired)
    }

    fn of(peers: moorline_noise::Peers) -> Self {
        let list = List { peers: Arc::new(peers), broken: false };
        Self { list: Arc::new(RwLock::new(list)), file: None }
    }

    /// The list as it is for who knocks now.
    pub(crate) fn now(&self) -> Arc<moorline_noise::Peers> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        if list.broken { Arc::default() } else { Arc::clone(&list.peers) }
    }

    /// The list as it is for who is inside: the last one that could be read.
    pub(crate) fn for_sessions(&self) -> Arc<moorline_noise::Peers> {
        Arc::clone(&self.list.read().unwrap_or_else(PoisonError::into_inner).peers)
    }

    /// Whether a change of one is a change of the other.
    pub(crate) fn is_same(&self, other: &Peers) -> bool {
        Arc::ptr_eq(&self.list, &other.list)
    }

    /// Whether anybody else has it.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.list) > 1
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the file again. What cannot be read lets nobody in, but throws nobody out: a list
    /// that is wrong for a moment must not end a fleet's sessions.
    pub(crate) fn reload(&self) -> Result<(), KeyFileError> {
        let Some(path) = self.path() else { return Ok(()) };
        let read = read(path);
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(peers) => *list = List { peers: Arc::new(peers), broken: false },
            Err(error) => {
                list.broken = true;
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Default for Peers {
    fn default() -> Self {
        Self::nobody()
    }
}

fn read(path: &Path) -> Result<moorline_noise::Peers, KeyFileError> {
    let text = fs::read_to_string(path).map_err(|error| KeyFileError::io("read", path, error))?;
    moorline_noise::Peers::parse(&text)
        .map_err(|error| KeyFileError::PeerList { path: path.into(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PublicKey {
        crate::keys::Identity::generate().unwrap().public()
    }

    #[test]
    fn a_list_that_breaks_lets_nobody_in_and_throws_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peers");
        let key = key();
        let line = format!("ada {} role=member\n", key.to_line());
        fs::write(&path, &line).unwrap();
        let peers = Peers::file(&path).unwrap();
        let other = peers.clone();
        assert!(other.now().admit(Some(&key), None, 0).is_ok());
        fs::write(&path, "ada and so on").unwrap();
        peers.reload().unwrap_err();
        assert!(other.now().admit(Some(&key), None, 0).is_err());
        assert!(other.for_sessions().admit(Some(&key), None, 0).is_ok());
        fs::write(&path, &line).unwrap();
        peers.reload().unwrap();
        assert!(other.now().admit(Some(&key), None, 0).is_ok());
    }

    #[test]
    fn a_list_can_be_replaced_while_it_is_used() {
        let (peers, key) = (Peers::nobody(), key());
        let used = peers.clone();
        peers.replace(&Peers::nobody().with("ada", key));
        assert!(used.now().admit(Some(&key), None, 0).is_ok());
        peers.replace(&Peers::nobody());
        assert!(used.now().admit(Some(&key), None, 0).is_err());
    }

    #[test]
    fn a_list_from_text_tells_how_many_are_on_it_and_who_has_expired() {
        let [ada, bob] = [(); 2].map(|()| key());
        let text = format!("ada {ada} role=member not_after=1970-01-02\nbob {bob} role=member\n");
        let peers = Peers::parse(&text).unwrap();
        assert_eq!((peers.len(), peers.is_empty(), Peers::nobody().is_empty()), (2, false, true));
        let day = |days: u64| UNIX_EPOCH + std::time::Duration::from_secs(days * 86_400);
        assert!(!peers.is_expired_at(&ada, day(1)));
        assert!(peers.is_expired_at(&ada, day(2)));
        assert!(!peers.is_expired_at(&bob, day(1_000_000)));
        assert_eq!(Peers::parse(&format!("{text}\ncarl")).unwrap_err().line, 4);
    }
}
