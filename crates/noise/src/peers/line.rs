//! One line of a peer list.

use std::sync::Arc;

use thiserror::Error;

use super::network::Network;
use super::{Peer, date};
use crate::limits::{ATTRIBUTE_VALUES_MAX, NAME_LEN_MAX, PEER_LINE_LEN_MAX, PEERS_MAX};
use crate::public_key::{PublicKey, PublicKeyError};

/// What one line says about its key.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) peer: Peer,
    /// The last second of validity since 1970; `None` is for ever.
    pub(super) not_after: Option<u64>,
    /// Where the peer may come from; empty is anywhere.
    pub(super) networks: Vec<Network>,
}

impl Entry {
    pub(super) fn named(name: &str) -> Entry {
        Entry { peer: Peer::unlisted(name), not_after: None, networks: Vec::new() }
    }
}

/// The key and the entry of a line, or `None` for an empty line or a remark.
pub(super) fn parse(line: &str) -> Result<Option<(PublicKey, Entry)>, PeerLineError> {
    if line.len() > PEER_LINE_LEN_MAX {
        return Err(PeerLineError::TooLong(line.len()));
    }
    let line = line.trim_matches([' ', '\t']);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let name = words.next().filter(|name| is_name(name)).ok_or(PeerLineError::Name)?;
    let key = words.next().ok_or(PeerLineError::NoKey)?;
    let key = key.parse().map_err(PeerLineError::Key)?;
    let mut entry = Entry::named(name);
    let mut seen = Seen::default();
    for word in words {
        let (attribute, value) = word.split_once('=').ok_or(PeerLineError::Attribute)?;
        seen.first_time(attribute)?;
        entry.set(attribute, value)?;
    }
    if seen.role { Ok(Some((key, entry))) } else { Err(PeerLineError::NoRole) }
}

impl Entry {
    fn set(&mut self, attribute: &str, value: &str) -> Result<(), PeerLineError> {
        match attribute {
            "role" => self.peer.roles = names(value)?,
            "services" => self.peer.services = Some(names(value)?),
            "not_after" => {
                self.not_after = Some(date::last_second(value).ok_or(PeerLineError::Date)?);
            }
            _ => {
                self.networks = values(value)?
                    .map(|part| Network::parse(part).ok_or(PeerLineError::Address))
                    .collect::<Result<_, _>>()?;
            }
        }
        Ok(())
    }
}

/// Which attributes have stood on the line.
#[derive(Default)]
struct Seen {
    role: bool,
    not_after: bool,
    addr: bool,
    services: bool,
}

impl Seen {
    fn first_time(&mut self, attribute: &str) -> Result<(), PeerLineError> {
        let seen = match attribute {
            "role" => &mut self.role,
            "not_after" => &mut self.not_after,
            "addr" => &mut self.addr,
            "services" => &mut self.services,
            _ => return Err(PeerLineError::Attribute),
        };
        if std::mem::replace(seen, true) { Err(PeerLineError::Twice) } else { Ok(()) }
    }
}

fn names(value: &str) -> Result<Arc<[Box<str>]>, PeerLineError> {
    values(value)?
        .map(|part| is_name(part).then(|| Box::from(part)).ok_or(PeerLineError::Value))
        .collect()
}

/// The parts between commas; there is at least one, and the names and addresses refuse an empty one.
fn values(value: &str) -> Result<std::str::Split<'_, char>, PeerLineError> {
    if value.split(',').count() > ATTRIBUTE_VALUES_MAX {
        return Err(PeerLineError::TooManyValues);
    }
    Ok(value.split(','))
}

/// Names stand in logs and metrics: printable, short, nothing that needs quoting.
fn is_name(text: &str) -> bool {
    let symbol = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    !text.is_empty() && text.len() <= NAME_LEN_MAX && text.bytes().all(symbol)
}

/// What is wrong with a line of a peer list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerLineError {
    /// The line is longer than any line needs to be.
    #[error("{0} bytes are more than the {PEER_LINE_LEN_MAX} of a line; split it")]
    TooLong(usize),
    /// The name is missing or has characters that a name may not have.
    #[error("a name is 1 to {NAME_LEN_MAX} letters, digits and any of . _ - @")]
    Name,
    /// There is no key behind the name.
    #[error("a line is `name public-key role=..`, and the key is missing")]
    NoKey,
    /// The key is none.
    #[error("{0}")]
    Key(#[source] PublicKeyError),
    /// The same key stands on an earlier line.
    #[error("this key stands on an earlier line; keep one of the two")]
    Duplicate,
    /// There is no role.
    #[error("`role=` is missing; every peer has at least one role")]
    NoRole,
    /// An attribute nobody knows, or a word without `=`.
    #[error("attributes are role= not_after= addr= services=, without blanks around `=` and `,`")]
    Attribute,
    /// An attribute stands twice.
    #[error("an attribute stands twice; separate several values by commas")]
    Twice,
    /// A role or service that is not a name.
    #[error("a role or service is 1 to {NAME_LEN_MAX} letters, digits and any of . _ - @")]
    Value,
    /// More values than an attribute may have.
    #[error("an attribute has at most {ATTRIBUTE_VALUES_MAX} values")]
    TooManyValues,
    /// `not_after` is no date.
    #[error("not_after is a date such as 2030-12-31 or 2030-12-31T18:00:00Z")]
    Date,
    /// `addr` is no address or network.
    #[error("addr is addresses and networks such as 192.0.2.7 or 10.0.0.0/8 (host bits zero)")]
    Address,
    /// There are more keys than a list may have.
    #[error("a peer list has at most {PEERS_MAX} keys")]
    TooMany,
}
