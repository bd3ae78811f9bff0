use std::{fmt, io};

/// A pool refused, because what was asked for would have passed one of its limits.
///
/// The caller is out of room, not broken: it stops reading or writing until something was given
/// back, and asks again. Nothing was changed by the call that returned this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pool `{pool}` refused {asked} {unit}: {in_use} in use, `{knob}` is {limit}; {advice}",
    unit = .knob.unit(), advice = .knob.advice())]
#[non_exhaustive]
pub struct PoolExhausted {
    /// Name of the pool, as configured.
    pub pool: &'static str,
    /// What was asked for, in the unit of `knob`.
    pub asked: usize,
    /// What was in use when it was asked, in the unit of `knob`.
    pub in_use: usize,
    /// The limit that would have been passed, in the unit of `knob`.
    pub limit: usize,
    /// Which setting the limit comes from.
    pub knob: Knob,
}

/// The setting that refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Knob {
    /// [`RecvPoolConfig::in_use_bytes_max`](crate::RecvPoolConfig::in_use_bytes_max), in bytes.
    InUseBytesMax,
    /// [`RecvPoolConfig::buffer_bytes_max`](crate::RecvPoolConfig::buffer_bytes_max), in bytes.
    BufferBytesMax,
    /// [`BlockPoolConfig::blocks_max`](crate::BlockPoolConfig::blocks_max), in blocks.
    BlocksMax,
    /// [`SendBuffer::block_max`](crate::SendBuffer::block_max), in bytes.
    BlockMax,
}

impl Knob {
    fn unit(self) -> &'static str {
        match self {
            Self::BlocksMax => "block(s)",
            Self::InUseBytesMax | Self::BufferBytesMax | Self::BlockMax => "bytes",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::InUseBytesMax | Self::BlocksMax => {
                "try again when some were returned, or raise it"
            }
            Self::BufferBytesMax | Self::BlockMax => "ask for less, or raise it",
        }
    }
}

impl fmt::Display for Knob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::InUseBytesMax => "in_use_bytes_max",
            Self::BufferBytesMax => "buffer_bytes_max",
            Self::BlocksMax => "blocks_max",
            Self::BlockMax => "block_max",
        })
    }
}

impl From<PoolExhausted> for io::Error {
    fn from(exhausted: PoolExhausted) -> Self {
        Self::new(io::ErrorKind::OutOfMemory, exhausted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_says_number_limit_knob_and_what_to_do() {
        let exhausted = PoolExhausted {
            pool: "recv",
            asked: 65_536,
            in_use: 1_000,
            limit: 2_000,
            knob: Knob::InUseBytesMax,
        };
        assert_eq!(
            exhausted.to_string(),
            "pool `recv` refused 65536 bytes: 1000 in use, `in_use_bytes_max` is 2000; \
             try again when some were returned, or raise it"
        );
    }
}
