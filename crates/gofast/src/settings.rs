//! What an application sets, under gofast's names and with gofast's defaults where these make sense.

use std::time::Duration;

use moorline_protocol::Format;

use crate::compress::Compression;
use crate::dialect::Dialect;
use crate::limits::{BUFFERSIZE_MAX, BUFFERSIZE_MIN, FRAME_OVERHEAD_MAX, NAME_MAX};
use crate::opaques::Opaques;
use crate::whoami::names;

/// Settings of the connections one factory makes.
///
/// gofast's `batchsize` and its flush period are not here, because sessions have them:
/// `Flush::Manual` and `Flush::Every` say when what was sent leaves, by default at once and in as few
/// system calls as it comes. Its `chansize`, the depth of queues between its threads, has nothing to
/// size: there are no such threads. What a session queues is bounded in bytes by `outbox_bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GofastSettings {
    /// What we call ourselves. Default: what the service calls itself. At most 255 bytes.
    pub name: Option<String>,
    /// Our version, for the peer. Default 1.
    pub version: u64,
    /// Longest packet we take, in bytes, and the length to which we unpack a compressed message. The
    /// peer is told. From 256 to 4 GiB less one byte. Default: what the service's `message_max` needs,
    /// so that what fits other protocols fits this one; gofast's is 512.
    pub buffersize: Option<u64>,
    /// First opaque of this side. Default 200,000 for who listens and 160,000 for who dials; in the
    /// dialect of 2016 40,000 and 30,000. The ranges of both sides must not overlap.
    pub opaque_start: Option<u64>,
    /// Last opaque of this side. Default: 4,999 above the first. One is used for each request in
    /// flight and each open stream, up to what sessions allow.
    pub opaque_end: Option<u64>,
    /// Compressions we want what is sent to us to have, in this order: `gzip`, `lzw`, or both with a
    /// comma between them. Default: none.
    pub tags: String,
    /// How hard gzip tries, 1 to 9. Default 1, the fastest.
    pub gzip_level: u32,
    /// How bodies are encoded: both sides have agreed on that beforehand. Default CBOR.
    pub format: Format,
    /// How often a heartbeat is posted. Default: never.
    pub heartbeat: Option<Duration>,
    /// Whether we tell the peer, by a name among our tags that gofast does not know and passes over,
    /// that we are no real gofast peer: errors, cancelled calls, resets and farewells are said then.
    /// Default true.
    pub extension: bool,
}

impl Default for GofastSettings {
    fn default() -> Self {
        Self {
            name: None,
            version: 1,
            buffersize: None,
            opaque_start: None,
            opaque_end: None,
            tags: String::new(),
            gzip_level: 1,
            format: Format::Cbor,
            heartbeat: None,
            extension: true,
        }
    }
}

impl GofastSettings {
    /// Says what cannot be, before a peer would.
    ///
    /// # Errors
    /// Which setting, and what it may be.
    //= docs/PROTOCOL.md#11
    pub(crate) fn check(&self, dialect: Dialect) -> Result<(), String> {
        let bounds = BUFFERSIZE_MIN..=BUFFERSIZE_MAX;
        if let Some(size) = self.buffersize.filter(|size| !bounds.contains(size)) {
            return Err(format!(
                "`buffersize` is {size}, it must be from {BUFFERSIZE_MIN} to {BUFFERSIZE_MAX}"
            ));
        }
        if !(1..=9).contains(&self.gzip_level) {
            return Err(format!("`gzip_level` is {}, it must be from 1 to 9", self.gzip_level));
        }
        if let Some(unknown) = names(&self.tags).find(|name| Compression::named(name).is_none()) {
            return Err(format!("`tags` has {unknown:?}, there are \"gzip\" and \"lzw\""));
        }
        if self.name.as_ref().is_some_and(|name| name.len() > NAME_MAX) {
            return Err(format!("`name` is longer than {NAME_MAX} bytes"));
        }
        if self.heartbeat.is_some_and(|period| period.is_zero()) {
            return Err("`heartbeat` is a period of nothing; `None` is never".into());
        }
        if self.opaque_end.is_some() && self.opaque_start.is_none() {
            return Err("`opaque_end` says nothing without `opaque_start`".into());
        }
        for dials in [false, true] {
            self.opaques(dialect, dials)?;
        }
        Ok(())
    }

    /// The longest packet that a service takes whose messages have so many bytes at most.
    pub(crate) fn buffersize(&self, message_max: u64) -> u64 {
        let needed = message_max.saturating_add(FRAME_OVERHEAD_MAX as u64);
        self.buffersize.unwrap_or(needed.min(BUFFERSIZE_MAX))
    }

    /// The opaques of one side.
    pub(crate) fn opaques(&self, dialect: Dialect, dials: bool) -> Result<Opaques, String> {
        let (start, end) = dialect.default_range(dials);
        let first = self.opaque_start.unwrap_or(start);
        let last = self.opaque_end.unwrap_or(first.saturating_add(end - start));
        Opaques::new(dialect, (first, last), dials)
    }

    /// The compressions we want, in order.
    pub(crate) fn compressions(&self) -> Vec<Compression> {
        names(&self.tags).filter_map(Compression::named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_says_which_setting_and_what_it_may_be() {
        let good = GofastSettings::default();
        for dialect in [Dialect::Y2016, Dialect::Y2017] {
            assert_eq!(good.check(dialect), Ok(()));
        }
        for (bad, part) in [
            (GofastSettings { buffersize: Some(255), ..good.clone() }, "`buffersize` is 255"),
            (
                GofastSettings { buffersize: Some(1 << 32), ..good.clone() },
                "`buffersize` is 4294967296",
            ),
            (GofastSettings { gzip_level: 0, ..good.clone() }, "`gzip_level` is 0"),
            (GofastSettings { tags: "gzip,snappy".into(), ..good.clone() }, "\"snappy\""),
            (GofastSettings { name: Some("x".repeat(256)), ..good.clone() }, "`name`"),
            (GofastSettings { heartbeat: Some(Duration::ZERO), ..good.clone() }, "`heartbeat`"),
            (GofastSettings { opaque_start: Some(5), ..good.clone() }, "`opaque_start`"),
            (GofastSettings { opaque_end: Some(1010), ..good.clone() }, "without `opaque_start`"),
            (
                GofastSettings { opaque_start: Some(1000), opaque_end: Some(1010), ..good.clone() },
                "at least 16",
            ),
        ] {
            let why = bad.check(Dialect::Y2017).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        let tags = GofastSettings { tags: "lzw, gzip".into(), ..good };
        assert_eq!(tags.compressions(), [Compression::Lzw, Compression::Gzip]);
    }
}
