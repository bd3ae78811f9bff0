//! Follows the peer list while sessions are open: who is not on it any more loses them.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use moorline_noise::PublicKey;
use moorline_session::{SessionId, Signals};

use crate::doorway::unix_now;
use crate::limits::PEERS_LOOK;
use crate::service::Inner;

/// Who came in by the door, and from where: what the list is asked about again and again.
#[derive(Default)]
pub(crate) struct Guests {
    inside: Mutex<BTreeMap<SessionId, Guest>>,
}

#[derive(Clone, Copy)]
struct Guest {
    key: Option<PublicKey>,
    ip: Option<IpAddr>,
}

impl Guests {
    pub(crate) fn enter(&self, id: SessionId, key: Option<PublicKey>, ip: Option<IpAddr>) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.insert(id, Guest { key, ip });
    }

    pub(crate) fn leave(&self, id: SessionId) {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Those for whom `stays` says no.
    fn unwelcome(
        &self,
        stays: impl Fn(Option<&PublicKey>, Option<IpAddr>) -> bool,
    ) -> Vec<SessionId> {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let unwelcome = inside.iter().filter(|(_, guest)| !stays(guest.key.as_ref(), guest.ip));
        unwelcome.map(|(id, _)| *id).collect()
    }
}

/// What of a file tells whether it is another one. Looking at it is cheap, works on every file
/// system, and sees a list that is swapped by a link, which notifications about a file do not.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Looks {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

impl Looks {
    /// `None` if it cannot be seen.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            len: metadata.len(),
            inode: inode(&metadata),
        })
    }
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_metadata: &fs::Metadata) -> u64 {
    0
}

/// One task for a service that listens.
pub(crate) async fn follow(inner: Arc<Inner>) {
    let looks = |inner: &Inner| inner.peers.path().map(Looks::of);
    // The file may have changed between the program's reading it and now.
    let mut read = None;
    let mut last = looks(&inner);
    loop {
        tokio::time::sleep(PEERS_LOOK).await;
        let now = looks(&inner);
        // A file that is being written is read when it has been left alone for one look.
        if now != read && now == last {
            read = now;
            reload(&inner);
        }
        last = now;
        revoke(&inner);
    }
}

fn reload(inner: &Inner) {
    match inner.peers.reload() {
        Ok(()) => tracing::info!(keys = inner.peers.now().len(), "the peer list was read again"),
        Err(error) => tracing::error!(%error, "nobody new gets in until the peer list is mended"),
    }
}

/// Ends the sessions of who would not get in now: removed, expired, or from elsewhere than allowed.
fn revoke(inner: &Inner) {
    let (list, now) = (inner.peers.for_sessions(), unix_now());
    for id in inner.guests.unwelcome(|key, ip| list.check(key, ip, now).is_ok()) {
        if let Some(session) = inner.hub.acquire(id) {
            tracing::warn!(%id, "the peer is no longer on the list: its session ends");
            session.signal(Signals { revoke: true, ..Signals::default() });
        }
        inner.guests.leave(id);
    }
}
