//! First messages of handshakes in progress, so that a copy of one is not answered.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of the initiator's ephemeral key, with which every first message begins.
const EPHEMERAL_LEN: usize = 32;

/// The first messages that a process is about to answer, or has answered without being confirmed
/// yet. Each stands for a handshake, so their number is limited where those are.
#[derive(Debug, Clone, Default)]
pub struct PendingHandshakes {
    ephemerals: Arc<Mutex<BTreeSet<[u8; EPHEMERAL_LEN]>>>,
}

impl PendingHandshakes {
    /// Notes a first message until the guard is dropped; `None` if it is there already.
    pub(crate) fn enter(&self, message: &[u8]) -> Option<Pending> {
        let ephemeral = *message.first_chunk()?;
        let mut ephemerals = self.ephemerals.lock().unwrap_or_else(PoisonError::into_inner);
        ephemerals.insert(ephemeral).then(|| Pending { all: self.clone(), ephemeral })
    }
}

/// A handshake in progress.
#[derive(Debug)]
pub(crate) struct Pending {
    all: PendingHandshakes,
    ephemeral: [u8; EPHEMERAL_LEN],
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut ephemerals = self.all.ephemerals.lock().unwrap_or_else(PoisonError::into_inner);
        ephemerals.remove(&self.ephemeral);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_known_until_the_original_is_over() {
        let pending = PendingHandshakes::default();
        let original = pending.enter(&[7; 80]).unwrap();
        assert!(pending.enter(&[7; 80]).is_none());
        assert!(pending.enter(&[8; 80]).is_some());
        drop(original);
        assert!(pending.enter(&[7; 80]).is_some());
    }
}
