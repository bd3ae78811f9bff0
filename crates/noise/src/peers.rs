//! Who is let in: a list of public keys with what each may do. Nobody, unless spelled out.

mod date;
mod line;
mod network;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;

use crate::limits::PEERS_MAX;
use crate::public_key::PublicKey;
use line::Entry;
pub use line::PeerLineError;
use network::Network;

/// The rule by which peers are admitted.
///
/// Default: nobody. A list is text of one line per key (see [`Peers::parse`]), or made by
/// [`Peers::with`]. A listed key is held to its line even where anybody else gets in.
#[derive(Clone, Default)]
pub struct Peers {
    listed: HashMap<PublicKey, Entry>,
    unlisted: bool,
    keyless: bool,
}

impl Peers {
    /// Lets nobody in.
    #[must_use]
    pub fn nobody() -> Peers {
        Peers::default()
    }

    /// Lets in whoever has a key, whatever key it is. Who has none stays outside.
    #[must_use]
    pub fn anyone() -> Peers {
        Peers { unlisted: true, ..Peers::default() }
    }

    /// Lets in everybody: any key, and also who has no key at all (NK suites and `msgpack-plain`).
    #[must_use]
    pub fn anonymous() -> Peers {
        Peers::anyone().and_anonymous()
    }

    /// Lets in who has no key as well; keys are held to the rule as it was.
    #[must_use]
    pub fn and_anonymous(mut self) -> Peers {
        self.keyless = true;
        self
    }

    /// Lets in `key` as well, under `name`, for all services and without roles. A key that was
    /// there before loses its old line.
    #[must_use]
    pub fn with(mut self, name: &str, key: PublicKey) -> Peers {
        self.listed.insert(key, Entry::named(name));
        self
    }

    /// Reads a peer list. Each line is
    ///
    /// ```text
    /// name public-key role=a,b [not_after=2030-12-31] [addr=10.0.0.0/8,::1] [services=a,b]
    /// ```
    ///
    /// separated by blanks. Empty lines and lines that begin with `#` are skipped. A date is valid to
    /// its end in UTC, or to the second as in `2030-12-31T18:00:00Z`. Without `addr` the key may come
    /// from anywhere, without `services` it may use all. A name may stand twice (a key and its
    /// successor), a key may not. An empty list lets nobody in.
    ///
    /// # Errors
    /// The first line that is wrong, and how. Nothing of a list with a mistake is used.
    pub fn parse(text: &str) -> Result<Peers, PeersError> {
        let mut peers = Peers::nobody();
        for (index, text) in text.lines().enumerate() {
            let at = |error| PeersError { line: index + 1, error };
            let Some((key, entry)) = line::parse(text).map_err(at)? else { continue };
            if peers.listed.len() >= PEERS_MAX {
                return Err(at(PeerLineError::TooMany));
            }
            if peers.listed.insert(key, entry).is_some() {
                return Err(at(PeerLineError::Duplicate));
            }
        }
        Ok(peers)
    }

    /// Whether the owner of `key` (`None`: a peer without one) may come in from this address
    /// (`None`: a carrier without addresses) at this time, in seconds since 1970.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(
        &self,
        key: Option<&PublicKey>,
        from: Option<IpAddr>,
        now_unix: u64,
    ) -> Result<Peer, Refusal> {
        let entry = self.entry(key, from, now_unix)?;
        Ok(match (entry, key) {
            (Some(entry), _) => entry.peer.clone(),
            (None, Some(key)) => Peer::unlisted(&key.fingerprint().to_string()),
            (None, None) => Peer::unlisted("anonymous"),
        })
    }

    /// The same question about somebody who is inside already. Nothing is allocated for it.
    ///
    /// # Errors
    /// Why not any more.
    pub fn check(
        &self,
        key: Option<&PublicKey>,
        from: Option<IpAddr>,
        now_unix: u64,
    ) -> Result<(), Refusal> {
        self.entry(key, from, now_unix).map(drop)
    }

    /// The line that lets this key in, or `None` for who is let in without one.
    fn entry(
        &self,
        key: Option<&PublicKey>,
        from: Option<IpAddr>,
        now_unix: u64,
    ) -> Result<Option<&Entry>, Refusal> {
        let Some(key) = key else {
            return if self.keyless { Ok(None) } else { Err(Refusal::NoKey) };
        };
        match self.listed.get(key) {
            Some(entry) => entry.check(from, now_unix).map(|()| Some(entry)),
            None if self.unlisted => Ok(None),
            None => Err(Refusal::NotListed),
        }
    }

    /// How many keys are listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// Whether no key is listed; somebody may get in all the same, see [`Peers::anyone`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}

impl Entry {
    fn check(&self, from: Option<IpAddr>, now_unix: u64) -> Result<(), Refusal> {
        if self.not_after.is_some_and(|last| now_unix > last) {
            return Err(Refusal::Expired);
        }
        let allowed = |network: &Network| from.is_some_and(|address| network.contains(address));
        if !self.networks.is_empty() && !self.networks.iter().any(allowed) {
            return Err(Refusal::Address);
        }
        Ok(())
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers")
            .field("listed", &self.listed.len())
            .field("anyone", &self.unlisted)
            .field("anonymous", &self.keyless)
            .finish()
    }
}

/// Somebody who was let in. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The name of the list; the fingerprint of a key that is on none, `anonymous` without a key.
    pub name: Arc<str>,
    /// What the list says it is.
    pub roles: Arc<[Box<str>]>,
    /// The services it is listed for; `None` is all of them. Like the roles this informs: what a
    /// peer may do is for the application to decide, see [`may_use`](Self::may_use).
    pub services: Option<Arc<[Box<str>]>>,
}

impl Peer {
    /// Whether the list gives it this role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| **own == *role)
    }

    /// Whether it may use this service.
    #[must_use]
    pub fn may_use(&self, service: &str) -> bool {
        self.services.as_ref().is_none_or(|all| all.iter().any(|own| **own == *service))
    }

    fn unlisted(name: &str) -> Peer {
        Peer { name: Arc::from(name), roles: Arc::default(), services: None }
    }
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The key is on no line.
    #[error("the key is not on the peer list; add it to let it in")]
    NotListed,
    /// The line's `not_after` has passed.
    #[error("the key has expired; give its line a later `not_after`")]
    Expired,
    /// The line's `addr` does not contain where the peer comes from.
    #[error("the key may not come from this address; widen `addr` of its line")]
    Address,
    /// The peer has no key.
    #[error("the peer has no key; only `Peers::anonymous()` lets it in")]
    NoKey,
}

/// A peer list with a mistake in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("line {line} of the peer list: {error}")]
pub struct PeersError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    #[source]
    pub error: PeerLineError,
}

#[cfg(test)]
mod tests;
