//! What the network between the two sides is like.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::dice::Dice;
use crate::limits::LINK_BUFFER_DEFAULT;

/// The properties of a link: the same in both directions, for each connection over it.
///
/// The default takes 1 ms each way, hands bytes over in pieces of 1 to 1,460, is as fast as one
/// likes, loses nothing and holds 256 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    pub(crate) chunks: RangeInclusive<usize>,
    pub(crate) bytes_per_second: Option<u64>,
    pub(crate) buffer: usize,
    pub(crate) loss_percent: u8,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(1),
            jitter: Duration::ZERO,
            chunks: 1..=1_460,
            bytes_per_second: None,
            buffer: LINK_BUFFER_DEFAULT,
            loss_percent: 0,
        }
    }
}

impl Link {
    /// The default with pieces of these lengths: `Link::chunks(1..=3).delay_ms(40)`. Lengths start
    /// at 1.
    #[must_use]
    pub fn chunks(lengths: RangeInclusive<usize>) -> Self {
        let (start, end) = ((*lengths.start()).max(1), (*lengths.end()).max(1));
        Self { chunks: start.min(end)..=end, ..Self::default() }
    }

    /// Time for one way. Default 1 ms.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Milliseconds for one way. Default 1.
    #[must_use]
    pub fn delay_ms(self, delay: u64) -> Self {
        self.delay(Duration::from_millis(delay))
    }

    /// Each piece takes up to so much longer; none overtakes another. Default 0.
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Bytes per second in each direction. Default: no limit.
    #[must_use]
    pub fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        self.bytes_per_second = Some(bytes_per_second.max(1));
        self
    }

    /// Bytes on the way in each direction before the sender has to wait: what both kernels hold.
    /// Default 256 KiB.
    #[must_use]
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes.max(1);
        self
    }

    /// Of a hundred pieces so many are lost and sent again. Bytes keep their order, so everything
    /// behind one waits with it. Default 0.
    #[must_use]
    pub fn loss(mut self, percent: u8) -> Self {
        self.loss_percent = percent.min(99);
        self
    }

    /// A link of any kind, from a wire across a room to a bad one around the world.
    #[must_use]
    pub fn any(dice: &mut Dice) -> Self {
        let longest = *dice.pick(&[64, 1_460, 1_460, 16 * 1024, 256 * 1024]);
        let mut link = Self::chunks(1..=longest)
            .delay(Duration::from_micros(*dice.pick(&[20, 1_000, 40_000, 300_000])))
            .buffer(*dice.pick(&[4 * 1024, 64 * 1024, LINK_BUFFER_DEFAULT]));
        if dice.chance(50) {
            let jitter = link.delay / 2;
            link = link.jitter(jitter);
        }
        if dice.chance(30) {
            link = link.bandwidth(*dice.pick(&[20_000, 1_000_000, 100_000_000]));
        }
        if dice.chance(20) {
            link = link.loss(2);
        }
        link
    }

    pub(crate) fn chunk(&self, dice: &mut Dice) -> usize {
        let (start, end) = (*self.chunks.start(), *self.chunks.end());
        start + dice.below(end - start + 1)
    }

    /// How long a piece is on its way, from when the last byte of it was sent.
    pub(crate) fn way(&self, dice: &mut Dice) -> Duration {
        let mut way = self.delay;
        if !self.jitter.is_zero() {
            let most = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
            way += Duration::from_nanos(dice.between(0..=most));
        }
        while self.loss_percent > 0 && dice.chance(self.loss_percent) {
            way += self.delay + crate::limits::RETRANSMIT_AFTER;
        }
        way
    }

    /// How long it takes to send so many bytes.
    pub(crate) fn sending(&self, len: usize) -> Duration {
        match self.bytes_per_second {
            Some(rate) => {
                let nanos = (len as u64).saturating_mul(1_000_000_000) / rate;
                Duration::from_nanos(nanos)
            }
            None => Duration::ZERO,
        }
    }
}
