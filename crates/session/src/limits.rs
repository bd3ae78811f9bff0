//! Every limit of this crate, with the reason for its number.

use std::time::Duration;

/// Bytes a session queues for sending before `send` says `Full`, unless set: a whole message of the
/// default largest size, and one more behind it.
pub const OUTBOX_BYTES_DEFAULT: usize = 32 * 1024 * 1024;

/// Bodies above this are encoded into blocks of their own outside the lock and only linked: below
/// it a copy under the lock is cheaper than a second lock.
pub const LINK_ABOVE: usize = 4 * 1024;

/// Bytes of queued calls and answers from which the sender tries to write by itself, so that both
/// sides of a busy connection do not take turns.
pub const EARLY_FLUSH_CALLS: usize = 8 * 1024;

/// The same for posts: a full block.
pub const EARLY_FLUSH_POSTS: usize = 16 * 1024;

/// Requests and answers above this travel in the bulk lane unless a priority says otherwise: they
/// have no order to keep, and what is short is not to wait behind them.
pub const BULK_ABOVE: usize = 64 * 1024;

/// Bytes that each flow of a lane may send before the next has its turn: a block.
pub const FLOW_QUANTUM: usize = 16 * 1024;

/// Bytes of higher lanes that go by while a lower one waits, until it gets a block in between: a
/// sixteenth of what a busy connection sends.
pub const LANE_WAIT_BYTES: usize = 256 * 1024;

/// What a window grows to at most: a second of a gigabit over 130 ms.
pub const WINDOW_GROWN_MAX: u64 = 16 * 1024 * 1024;

/// How often a round trip is measured at most: a window that is too small doubles ten times within
/// a second, and a connection that is fast enough is not kept busy with pings.
pub const PROBE_EVERY: Duration = Duration::from_millis(100);

/// What the windows of all streams of a session grow to together.
pub const WINDOWS_GROWN_MAX: u64 = 64 * 1024 * 1024;

/// Bytes queued on one stream before `send` says `Full`: one message above it always fits.
pub const STREAM_QUEUE_BYTES: usize = 1024 * 1024;

/// What stands before the body of a unit, at most: header, numbers, all metadata there are.
pub const UNIT_HEAD_MAX: usize = 96;

/// An inbox that has grown above this is given back when the session is idle.
pub const INBOX_KEEP_MAX: usize = 16 * 1024;

/// Messages in pieces that came on streams and that nobody has read, over all streams of a session,
/// as a multiple of the largest message: what a busy application has not come to yet, and no more
/// than an application that reads none of its streams may lose. The next one resets its stream.
pub const UNREAD_MESSAGES: u64 = 8;

/// Answers the peer has not read yet, in bytes, beside one of the largest; beyond it its new requests
/// are refused.
pub const ANSWERS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Answers queued for callers, as a multiple of the largest message; likewise what running handlers
/// hold.
pub const HELD_MESSAGES: u64 = 2;

/// Spare reply buffers kept by one session: as many calls as usually end in one batch.
pub const SPARE_REPLIES_MAX: usize = 256;

/// Capacity of the smallest scratch or reply buffer: what most messages fit into, so that it does
/// not grow in steps.
pub const SCRATCH_CAPACITY_MIN: usize = 256;

/// A scratch or reply buffer that has grown above this is given back after use.
pub const SCRATCH_KEEP_MAX: usize = 64 * 1024;

/// Sessions of one table, unless set.
pub const SESSIONS_MAX_DEFAULT: usize = 1 << 20;

/// Each step of a session id: odd, so that all 2^32 values come once, and large, so that ids of
/// neighbours in time differ in many places.
pub const ID_STRIDE: u32 = 0x9E37_79B1;

/// Parts of the table of who hears of a session's end, each with its own lock: as many as there are
/// cores on a large machine.
pub const CLOSE_SHARDS: usize = 64;

/// Slots a table starts with.
pub const TABLE_SLOTS_MIN: usize = 64;

/// Longest interval of `Flush::Every`; a longer one counts as this. Who wants never wants `Manual`.
pub const FLUSH_INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Pings waiting for their answer.
pub const PINGS_MAX: usize = 1_024;

/// Cancels and errors for the peer's faults that may come at once ...
pub const CALM_BURST: u32 = 1_000;

/// ... and how many more each second allows; each call that ends well allows one as well.
pub const CALM_PER_SECOND: u32 = 33;

/// Topics that a peer may be subscribed to at once.
pub const SUBSCRIPTIONS_MAX: usize = 1_024;

/// What may wait for one subscription on the publisher's side, in bytes and 32 for each message: a
/// quarter of the window that it waits for.
pub const SUBSCRIPTION_QUEUE_BYTES: usize = 256 * 1024;

/// The same for all subscriptions of a peer together, or one that reads nothing could keep 256 MiB.
pub const SUBSCRIPTIONS_QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of posts in a lane from which on what is published waits in its queue, where some of it can
/// still be left out: a block.
pub const PUBLISH_AHEAD_BYTES: usize = 16 * 1024;

/// What may wait for the reader of one subscription of ours, unless set; in bytes, and 32 for each
/// message.
pub const INBOX_BYTES_DEFAULT: usize = 256 * 1024;

/// What each message that waits costs beside its bytes: about what it takes to keep it.
pub const WAITING_COST: usize = 32;

/// Buffers that one subscription keeps for the next messages ...
pub const SPARE_BODIES_MAX: usize = 16;

/// ... unless they have grown above this.
pub const SPARE_BODY_BYTES_MAX: usize = 4 * 1024;

/// Retained values of all topics together, in bytes: four of the default largest size.
pub const RETAINED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Messages that a member of a broadcast in sequence may be behind before it is evicted, unless set ...
pub const BROADCAST_BEHIND_MAX: u64 = 1_024;

/// ... and bytes: as many again as a topic keeps for a slow peer.
pub const BROADCAST_BEHIND_BYTES: u64 = 4 * 1024 * 1024;
