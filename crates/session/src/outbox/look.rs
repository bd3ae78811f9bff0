//! What the outbox tells of a session to who looks at it.

use moorline_protocol::Lane;

use super::Outbox;
use crate::counters::Counters;
use crate::snapshot::QueuedBytes;

impl Outbox {
    /// What driver and senders have counted, but for bytes on the wire.
    pub(crate) fn counters(&self) -> Counters {
        let mut counters = self.look.counters;
        counters.sent.add(&self.sent);
        counters.late_answers = self.requests.late_answers;
        counters
    }

    /// Bytes that wait, by where they do.
    pub(crate) fn queued_by_lane(&self) -> QueuedBytes {
        QueuedBytes {
            control: self.control.len(),
            high: self.lanes.lane_len(Lane::High),
            normal: self.lanes.lane_len(Lane::Normal),
            bulk: self.lanes.lane_len(Lane::Bulk),
            streams: self.streams.queued(),
            published: self.published_len(),
        }
    }

    /// What may be sent before the peer grants more; `None` where nobody counts.
    pub(crate) fn send_credit(&self) -> Option<u64> {
        self.encoder.abilities().credit.then(|| self.credit.available())
    }
}
