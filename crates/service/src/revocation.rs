//! Follows the peer lists while sessions are open: who is not on it any more loses them.

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
use crate::peers::Peers;
use crate::service::Inner;

/// Who came in by the door, and from where: what the list is asked about again and again.
#[derive(Default)]
pub(crate) struct Guests {
    inside: Mutex<BTreeMap<SessionId, Guest>>,
    /// Every list that a listener goes by, or a guest got in by.
    lists: Mutex<Vec<Followed>>,
}

struct Guest {
    key: Option<PublicKey>,
    ip: Option<IpAddr>,
    peers: Peers,
}

/// A list, and how its file looked when it was read and when it was looked at last. The file may have
/// changed between the program's reading it and its first look.
struct Followed {
    peers: Peers,
    read: Option<Option<Looks>>,
    last: Option<Option<Looks>>,
}

impl Guests {
    pub(crate) fn enter(
        &self,
        id: SessionId,
        key: Option<PublicKey>,
        ip: Option<IpAddr>,
        peers: Peers,
    ) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.insert(id, Guest { key, ip, peers });
    }

    /// Follows the changes of this list for as long as somebody goes by it.
    pub(crate) fn follow(&self, peers: &Peers) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if !lists.iter().any(|followed| followed.peers.is_same(peers)) {
            let last = peers.path().map(Looks::of);
            lists.push(Followed { peers: peers.clone(), read: None, last });
        }
    }

    pub(crate) fn leave(&self, id: SessionId) {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Those who would not get in now by the list they got in by.
    fn unwelcome(&self, now: u64) -> Vec<SessionId> {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        // Most came in by the same list: it is asked for once and not by each.
        let mut at_hand: Option<(&Peers, _)> = None;
        let unwelcome = inside.iter().filter(|(_, guest)| {
            let list = match &at_hand {
                Some((peers, list)) if peers.is_same(&guest.peers) => list,
                _ => &at_hand.insert((&guest.peers, guest.peers.for_sessions())).1,
            };
            list.check(guest.key.as_ref(), guest.ip, now).is_err()
        });
        unwelcome.map(|(id, _)| *id).collect()
    }

    /// Looks at every list that somebody goes by.
    fn look(&self) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.retain(|followed| followed.peers.is_shared());
        lists.iter_mut().for_each(Followed::look);
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
    loop {
        tokio::time::sleep(PEERS_LOOK).await;
        inner.guests.look();
        revoke(&inner);
    }
}

impl Followed {
    fn look(&mut self) {
        let now = self.peers.path().map(Looks::of);
        // A file that is being written is read when it has been left alone for one look.
        if now != self.read && now == self.last {
            self.read = now;
            reload(&self.peers);
        }
        self.last = now;
    }
}

fn reload(peers: &Peers) {
    match peers.reload() {
        Ok(()) => tracing::info!(keys = peers.now().len(), "the peer list was read again"),
        Err(error) => tracing::error!(%error, "nobody new gets in until the peer list is mended"),
    }
}

/// Ends the sessions of who would not get in now: removed, expired, or from elsewhere than allowed.
fn revoke(inner: &Inner) {
    for id in inner.guests.unwelcome(unix_now()) {
        if let Some(session) = inner.hub.acquire(id) {
            tracing::warn!(%id, "the peer is no longer on the list: its session ends");
            session.signal(Signals { revoke: true, ..Signals::default() });
        }
        inner.guests.leave(id);
    }
}
