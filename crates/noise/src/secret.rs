//! A 32-byte secret that leaves memory when it is dropped.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::limits::KEY_LEN;

/// Thirty-two secret bytes on the heap.
///
/// They are boxed so that moving whatever holds them moves a pointer and leaves no second copy on
/// the stack. There is no `Clone`, `Debug` or `PartialEq`: who needs a second copy says so with
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wipes_on_drop<T: ZeroizeOnDrop>(_secret: &T) {}

    #[test]
    fn wiping_reaches_the_bytes_and_a_fork_is_another_copy() {
        let mut secret = Secret::copied_from(&[7; KEY_LEN]);
        wipes_on_drop(&secret);
        let fork = secret.fork();
        secret.zeroize();
        assert_eq!((secret.bytes(), fork.bytes()), (&[0; KEY_LEN], &[7; KEY_LEN]));
    }
}
