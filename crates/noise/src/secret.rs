//! A 32-byte secret that leaves memory when it is dropped.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::limits::KEY_LEN;

/// Thirty-two secret bytes on the heap.
///
/// They are boxed so that moving whatever holds them moves a pointer and leaves no second copy on
/// the stack. There is neither `Clone` nor `PartialEq`: who needs a second copy says so with
/// [`Secret::fork`].
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Secret(Box<[u8; KEY_LEN]>);

impl Secret {
    /// Zero bytes, to be overwritten in place by whoever derives the secret.
    pub(crate) fn empty() -> Secret {
        Secret(Box::new([0; KEY_LEN]))
    }

    pub(crate) fn copied_from(bytes: &[u8; KEY_LEN]) -> Secret {
        let mut secret = Secret::empty();
        secret.0.copy_from_slice(bytes);
        secret
    }

    /// A second copy, wiped by itself. Only clone-then-commit needs it.
    pub(crate) fn fork(&self) -> Secret {
        Secret::copied_from(&self.0)
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; KEY_LEN] {
        &mut self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(32 bytes)")
    }
}
