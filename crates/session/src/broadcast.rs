//! One post to many sessions.

mod sequenced;

use moorline_protocol::{Format, Lane, Message};

pub use self::sequenced::{Broadcaster, Evicted, Sequenced};
use crate::errors::SendError;
use crate::hub::Hub;
use crate::id::SessionId;
use crate::scratch::with_scratch;

/// Who got a broadcast, and who did not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastReport {
    /// Sessions that it was queued for.
    pub sent: usize,
    /// The others, each with the reason, in the order they were named.
    pub failed: Vec<(SessionId, SendError)>,
}

impl BroadcastReport {
    /// Whether everybody got it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty()
    }
}

impl Hub {
    /// Queues a post for each of these sessions. It is encoded once, whatever their number, and
    /// copied into the blocks of each. Like `send` it never blocks and never drops in silence: the
    /// report says who did not get it, and why.
    pub fn broadcast<M: Message>(
        &self,
        ids: impl IntoIterator<Item = SessionId>,
        message: &M,
    ) -> BroadcastReport {
        let mut report = BroadcastReport::default();
        with_scratch(|body| {
            let mut encoded = None;
            for id in ids {
                match self.send_encoded(id, message, body, &mut encoded) {
                    Ok(()) => report.sent += 1,
                    Err(error) => report.failed.push((id, error)),
                }
            }
        });
        report
    }

    /// Sends `body`, which is encoded anew only where it is not in the format of this session.
    fn send_encoded<M: Message>(
        &self,
        id: SessionId,
        message: &M,
        body: &mut Vec<u8>,
        encoded: &mut Option<Format>,
    ) -> Result<(), SendError> {
        let session = self.acquire(id).ok_or(SendError::NoSession)?;
        let shared = &*session.shared;
        let index = shared.registry.index_of::<M>()?;
        let format = shared.encoder.format();
        if *encoded != Some(format) {
            *encoded = None;
            body.clear();
            format
                .encode(message, body)
                .map_err(|error| SendError::Encode(error.to_string().into()))?;
            *encoded = Some(format);
        }
        let (size, limit) = (body.len() as u64, shared.limits.message_max);
        if size > limit {
            return Err(SendError::TooLarge { size, limit });
        }
        shared.post(index, M::registration().name(), Lane::Normal, body)
    }
}
