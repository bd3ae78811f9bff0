//! What both sides must agree on before the first message.

use sha2::{Digest, Sha256};

//= docs/PROTOCOL.md#2
/// The prologue of a handshake: the preamble as it was sent, the realm, and what the carrier below
/// is bound to, if it gives such a value (the exporter of TLS under QUIC).
///
/// Peers with different prologues never come to a session; that is how a key that serves two realms
/// keeps them apart.
#[must_use]
pub fn prologue(preamble: &[u8; 16], realm: &str, binding: Option<&[u8; 32]>) -> Vec<u8> {
    let realm = Sha256::new().chain_update(b"moorline realm\0").chain_update(realm).finalize();
    let mut prologue = Vec::with_capacity(21 + 16 + 32 + 1 + 32);
    prologue.extend_from_slice(b"moorline handshake 1\0");
    prologue.extend_from_slice(preamble);
    prologue.extend_from_slice(&realm);
    match binding {
        None => prologue.push(0),
        Some(bound) => {
            prologue.push(32);
            prologue.extend_from_slice(bound);
        }
    }
    prologue
}

#[cfg(test)]
mod tests {
    use super::*;

    //= docs/PROTOCOL.md#2
    #[test]
    fn parts_stand_where_the_protocol_puts_them() {
        let plain = prologue(&[7; 16], "home", None);
        assert_eq!(plain.len(), 21 + 16 + 32 + 1);
        assert_eq!(&plain[..21], b"moorline handshake 1\0");
        assert_eq!(plain[21..37], [7; 16]);
        assert_eq!(plain[37..69], *Sha256::digest(b"moorline realm\0home"));
        assert_eq!(plain[69], 0);
        let bound = prologue(&[7; 16], "home", Some(&[9; 32]));
        assert_eq!(bound[..69], plain[..69]);
        assert_eq!(bound[69], 0x20);
        assert_eq!(bound[70..], [9; 32]);
    }
}
