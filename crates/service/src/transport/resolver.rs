//! Names of hosts: who knows their addresses, and in which order those are tried.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::lookup_host;

use super::Pending;
use crate::limits::ADDRESSES_MAX;

/// Turns the name of a host into addresses. Given to a transport, as
/// [`Tcp::resolver`](super::tcp::Tcp::resolver).
///
/// The futures may be dropped at any time. They need keep no time: whoever dials has one.
pub trait Resolver: fmt::Debug + Send + Sync {
    /// The addresses of `host`, the best one first, each with `port`. Those that `family` excludes may
    /// be left out, which spares asking for them; nothing is wrong where they are not.
    ///
    /// # Errors
    /// They name the host, who was asked, and what to do.
    fn resolve(&self, host: &str, port: u16, family: Family) -> Pending<Vec<SocketAddr>>;
}

/// The operating system, with all it knows: its hosts file, its DNS servers, its local network.
///
/// It answers on a thread of the runtime's that may block; who is not waited for any longer keeps that
/// thread until the system gives up.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Resolver for System {
    fn resolve(&self, host: &str, port: u16, _family: Family) -> Pending<Vec<SocketAddr>> {
        let host = host.to_owned();
        Box::pin(async move {
            let found = lookup_host((&*host, port)).await.map_err(|error| {
                io::Error::new(error.kind(), format!("the system cannot resolve {host}: {error}"))
            })?;
            Ok(found.collect())
        })
    }
}

/// Which addresses of a name are used, and in which order. An address that is written as a number is
/// always used as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// Both, by turns, beginning with the one the resolver puts first (RFC 8305, section 4): the system
    /// sorts by what this host can reach.
    #[default]
    Auto,
    /// IPv4 alone.
    V4Only,
    /// IPv6 alone.
    V6Only,
    /// Both, by turns, beginning with IPv4.
    PreferV4,
    /// Both, by turns, beginning with IPv6.
    PreferV6,
}

impl Family {
    /// The addresses to try, in order and each once, at most [`ADDRESSES_MAX`]. Those of one family
    /// stay in the order they have.
    #[must_use]
    pub fn arrange(self, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
        let of = |v4: bool| {
            let mut kept = Vec::new();
            for address in addresses {
                let new = address.is_ipv4() == v4 && self.takes(v4) && !kept.contains(address);
                if new && kept.len() < ADDRESSES_MAX {
                    kept.push(*address);
                }
            }
            kept.into_iter()
        };
        let v4_first = match self {
            Self::Auto => addresses.first().is_some_and(SocketAddr::is_ipv4),
            Self::V4Only | Self::PreferV4 => true,
            Self::V6Only | Self::PreferV6 => false,
        };
        let (mut first, mut second) = (of(v4_first), of(!v4_first));
        let turns = (0..ADDRESSES_MAX).flat_map(|_| [first.next(), second.next()]);
        turns.flatten().take(ADDRESSES_MAX).collect()
    }

    /// Whether addresses of IPv4, or else of IPv6, are used.
    #[must_use]
    pub fn takes(self, v4: bool) -> bool {
        match self {
            Self::Auto | Self::PreferV4 | Self::PreferV6 => true,
            Self::V4Only => v4,
            Self::V6Only => !v4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<SocketAddr> {
        let all = text.split_whitespace().map(|one| match one {
            v4 if v4.starts_with('a') => format!("192.0.2.{}:1", &v4[1..]),
            v6 => format!("[2001:db8::{}]:1", &v6[1..]),
        });
        all.map(|one| one.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_the_preferred_one_begins() {
        for (family, given, tried) in [
            (Family::Auto, "b1 b2 b3 a1 a2", "b1 a1 b2 a2 b3"),
            (Family::Auto, "a1 b1 b2", "a1 b1 b2"),
            (Family::Auto, "a2 a1", "a2 a1"),
            (Family::PreferV4, "b1 b2 a1 a2", "a1 b1 a2 b2"),
            (Family::PreferV4, "b1 b2", "b1 b2"),
            (Family::PreferV6, "a1 a2 a3 b1", "b1 a1 a2 a3"),
            (Family::V4Only, "b1 a1 b2 a2", "a1 a2"),
            (Family::V6Only, "b1 a1 b2 a2", "b1 b2"),
            (Family::V6Only, "a1", ""),
            (Family::Auto, "", ""),
            (Family::Auto, "a1 b1 a1 b1 a2", "a1 b1 a2"),
        ] {
            assert_eq!(family.arrange(&addresses(given)), addresses(tried), "{family:?}: {given}");
        }
    }

    #[test]
    fn of_many_addresses_some_of_each_family_are_tried() {
        let many: Vec<_> = (1..100).map(|n| format!("a{n}")).collect();
        let given = addresses(&format!("{} b1 b2", many.join(" ")));
        let tried = Family::Auto.arrange(&given);
        assert_eq!(tried.len(), ADDRESSES_MAX);
        assert_eq!(tried[..5], addresses("a1 b1 a2 b2 a3"));
    }
}
