//! How many strangers may stand at the door at once, and who gets in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use moorline_noise::{Peer, PublicKey, Refusal};
use moorline_protocol::Admission;

use crate::limits::{HANDSHAKES_MAX, HANDSHAKES_PER_SOURCE_MAX};
use crate::peers::Peers;
use crate::seats::{Seat, Seats};

/// Counts handshakes in progress, in all and by where they come from.
#[derive(Default)]
pub(crate) struct Doorway {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    total: usize,
    by_source: HashMap<Source, usize>,
}

/// A /32 of the old or a /64 of the new internet: what one customer usually has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    V4(u32),
    V6(u64),
}

impl Source {
    /// `None` for loopback and for transports without addresses: the limit is not for them.
    fn of(ip: Option<IpAddr>) -> Option<Self> {
        let ip = ip?.to_canonical();
        if ip.is_loopback() {
            return None;
        }
        Some(match ip {
            IpAddr::V4(ip) => Source::V4(ip.into()),
            IpAddr::V6(ip) => Source::V6(u64::try_from(u128::from(ip) >> 64).unwrap_or(0)),
        })
    }
}

/// Why nobody more gets to the handshake: a limit that has been reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Crowded {
    #[error("{HANDSHAKES_MAX} handshakes are under way, and a service has no more at once")]
    Service,
    #[error(
        "{HANDSHAKES_PER_SOURCE_MAX} handshakes from its network are under way, and one network has \
         no more at once"
    )]
    Source,
    #[error(
        "{0} handshakes are under way at this listener, its limit (knob: `Listen::handshakes_max`)"
    )]
    Listener(usize),
}

impl Crowded {
    /// Its short name.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Self::Service => "handshakes_max",
            Self::Source => "handshakes_per_source_max",
            Self::Listener(_) => "listener_handshakes_max",
        }
    }
}

impl Doorway {
    /// A place for one handshake, also of those that the listener has.
    pub(crate) fn enter(
        self: &Arc<Self>,
        ip: Option<IpAddr>,
        listener: Option<&Arc<Seats>>,
    ) -> Result<Pass, Crowded> {
        let source = Source::of(ip);
        let seat =
            listener.map(|seats| seats.take().ok_or(Crowded::Listener(seats.max()))).transpose()?;
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.total >= HANDSHAKES_MAX {
            return Err(Crowded::Service);
        }
        if let Some(source) = source {
            let count = inside.by_source.entry(source).or_default();
            if *count >= HANDSHAKES_PER_SOURCE_MAX {
                return Err(Crowded::Source);
            }
            *count += 1;
        }
        inside.total += 1;
        Ok(Pass { doorway: Arc::clone(self), source, _seat: seat })
    }
}

/// A place at the door; dropped when the handshake is over, either way.
pub(crate) struct Pass {
    doorway: Arc<Doorway>,
    source: Option<Source>,
    _seat: Option<Seat>,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.doorway.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.total -= 1;
        let Some(source) = self.source else { return };
        if let Some(count) = inside.by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                inside.by_source.remove(&source);
            }
        }
    }
}

/// The peer list as one connection meets it: with its address, and the time of day.
pub(crate) struct AtTheDoor {
    pub(crate) peers: Peers,
    pub(crate) ip: Option<IpAddr>,
}

impl Admission for AtTheDoor {
    fn admit(&self, key: Option<&PublicKey>) -> Result<Peer, Refusal> {
        self.peers.now().admit(key, self.ip, unix_now())
    }
}

/// The time of day, in seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_gets_its_share_and_no_more() {
        let doorway = Arc::new(Doorway::default());
        let ip = Some("192.0.2.1".parse().unwrap());
        let mut passes: Vec<_> =
            (0..HANDSHAKES_PER_SOURCE_MAX).map(|_| doorway.enter(ip, None).unwrap()).collect();
        assert_eq!(doorway.enter(ip, None).err(), Some(Crowded::Source));
        assert!(doorway.enter(Some("192.0.2.2".parse().unwrap()), None).is_ok());
        passes.pop();
        assert!(doorway.enter(ip, None).is_ok());
    }

    #[test]
    fn a_64_counts_as_one_source_and_loopback_not_at_all() {
        let of = |text: &str| Source::of(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!((of("127.0.0.1"), of("::1")), (None, None));
    }

    #[test]
    fn the_door_is_only_so_wide() {
        let doorway = Arc::new(Doorway::default());
        let passes: Vec<_> =
            (0..HANDSHAKES_MAX).map(|_| doorway.enter(None, None).unwrap()).collect();
        assert_eq!(doorway.enter(None, None).err(), Some(Crowded::Service));
        drop(passes);
        assert!(doorway.enter(None, None).is_ok());
    }

    #[test]
    fn a_listener_may_have_a_narrower_door_of_its_own() {
        let (doorway, seats) = (Arc::new(Doorway::default()), Seats::new(1));
        let pass = doorway.enter(None, Some(&seats)).unwrap();
        assert_eq!(doorway.enter(None, Some(&seats)).err(), Some(Crowded::Listener(1)));
        assert!(doorway.enter(None, None).is_ok(), "the others are not concerned");
        drop(pass);
        assert!(doorway.enter(None, Some(&seats)).is_ok());
    }
}
