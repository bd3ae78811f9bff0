//! Once a second: what the pools have not needed for a while goes back to the system, and with the feature
//! `metrics` what was counted is told.

use std::sync::Weak;
use std::time::Instant;

use crate::limits::HOUSEKEEPING;
use crate::service::Inner;

/// Runs until the service is shut down or nobody has it any more.
pub(crate) async fn keep_house(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(HOUSEKEEPING).await;
        let Some(inner) = inner.upgrade() else { return };
        let now = Instant::now();
        inner.local.recv.trim_idle(now);
        inner.local.blocks.trim_idle(now);
        #[cfg(feature = "metrics")]
        inner.told.tell(&inner);
    }
}
