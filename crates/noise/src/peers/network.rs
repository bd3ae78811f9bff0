//! Addresses and networks, for the rule where a peer may come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network, or one address: a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    V4 { base: u32, mask: u32 },
    V6 { base: u128, mask: u128 },
}

impl Network {
    /// `10.0.0.0/8`, `192.0.2.7`, `2001:db8::/32` or `::1`. Bits behind the prefix must be zero: a
    /// network with some set is more likely a mistake than meant.
    pub(super) fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(parse_prefix(prefix)?)),
            None => (text, None),
        };
        let network = match address.parse().ok()? {
            IpAddr::V4(address) => {
                Network::V4 { base: address.to_bits(), mask: mask_v4(prefix.unwrap_or(32))? }
            }
            IpAddr::V6(address) => {
                Network::V6 { base: address.to_bits(), mask: mask_v6(prefix.unwrap_or(128))? }
            }
        };
        network.is_clean().then_some(network)
    }

    /// Whether `address` lies in it. An IPv4 address in IPv6 clothes, as a socket for both families
    /// shows it, counts as what it is.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        match (self, address.to_canonical()) {
            (Network::V4 { base, mask }, IpAddr::V4(address)) => address.to_bits() & mask == base,
            (Network::V6 { base, mask }, IpAddr::V6(address)) => address.to_bits() & mask == base,
            _ => false,
        }
    }

    fn is_clean(self) -> bool {
        match self {
            Network::V4 { base, mask } => base & !mask == 0,
            // A mapped IPv4 address never arrives as such, see `contains`: the rule would be dead.
            Network::V6 { base, mask } => {
                base & !mask == 0 && Ipv6Addr::from_bits(base).to_ipv4_mapped().is_none()
            }
        }
    }
}

/// Digits only: `parse` alone would take a plus sign.
fn parse_prefix(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    text.parse().ok()
}

fn mask_v4(prefix: u32) -> Option<u32> {
    let hosts = Ipv4Addr::BITS.checked_sub(prefix)?;
    Some(u32::MAX.checked_shl(hosts).unwrap_or(0))
}

fn mask_v6(prefix: u32) -> Option<u128> {
    let hosts = Ipv6Addr::BITS.checked_sub(prefix)?;
    Some(u128::MAX.checked_shl(hosts).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        Network::parse(network).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn networks_end_where_their_prefix_says() {
        assert!(contains("10.0.0.0/8", "10.255.255.255"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("0.0.0.0/0", "203.0.113.9") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7", "192.0.2.6"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!contains("2001:db8::/32", "2001:db9::") && contains("::/0", "::1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3") && !contains("::/0", "::ffff:10.1.2.3"));
    }

    #[test]
    fn nonsense_is_no_network() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.1/8",
            "2001:db8::1/32",
            "10.0.0/8",
            "10.0.0.0/+8",
            "localhost",
            "::ffff:10.0.0.1",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
