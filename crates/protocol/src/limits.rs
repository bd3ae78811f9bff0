//! Every limit of this crate, with the reason for its number. What a user can change stands in
//! [`Settings`](crate::Settings); these are its defaults, and the bounds nobody can change.

use std::time::Duration;

/// Longest text in an ERROR, RESET, GOAWAY or CLOSE that is sent or kept, in bytes: a sentence or two.
pub const TEXT_MAX: usize = 512;

/// Largest message in bytes, both ways, unless set: sixteen times what most systems allow, and
/// still a bound on what one peer can make us hold.
pub const MESSAGE_MAX_DEFAULT: u64 = 16 * 1024 * 1024;

/// Largest value `message_max` can be set to: lengths of fragments are 32 bits.
pub const MESSAGE_MAX_MAX: u64 = 4 * 1024 * 1024 * 1024 - 1;

/// Credit for posts and requests at first, in bytes: a few round trips of a fast local network.
pub const INITIATION_WINDOW_DEFAULT: u64 = 1024 * 1024;

/// Credit for a stream at first, in bytes.
pub const STREAM_WINDOW_DEFAULT: u64 = 256 * 1024;

/// No SETUP goes below this, so that a peer may begin before it has seen ours: four blocks.
pub const WINDOW_MIN: u64 = 64 * 1024;

/// A credit window above this is a mistake or an attack.
pub const WINDOW_MAX: u64 = 1 << 31;

/// A block of messages is closed when its units cost this much: half of [`WINDOW_MIN`], so that
/// with half-window credit updates a whole block always fits sooner or later.
pub const BLOCK_COST_MAX: u32 = 32 * 1024;

/// What a unit costs beside its length: bookkeeping of the receiver. It bounds the number of tiny
/// units in a window.
pub const UNIT_COST: u64 = 32;

/// Requests of the peer in flight, unless set.
pub const IN_FLIGHT_MAX_DEFAULT: u32 = 4_096;

/// No SETUP goes below this.
pub const IN_FLIGHT_MIN: u32 = 16;

/// Streams of the peer, unless set.
pub const STREAMS_MAX_DEFAULT: u32 = 128;

/// No SETUP goes below this.
pub const STREAMS_MIN: u32 = 8;

/// Message types of one process or peer. A bitmap of them, 512 bytes, fits into SETUP.
pub const TYPES_MAX: u32 = 4_096;

/// Time for a request that names none.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Silence after which a peer that something waits for is asked whether it is there: often enough
/// that with [`DEAD_AFTER_DEFAULT`] its death is known when a call of the default time gives up, and
/// seldom enough to cost nothing.
pub const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(10);

/// How long a PING may stand unanswered while nothing else comes either: TCP has sent it again after
/// 1, 2, 4 and 8 seconds by then, and the pauses of a live process are shorter.
pub const DEAD_AFTER_DEFAULT: Duration = Duration::from_secs(20);

/// From the first byte to a confirmed session, in all.
pub const HANDSHAKE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Largest first record, and the buffer a connection gets before it is confirmed.
pub const FIRST_RECORD_MAX: usize = 2_048;

/// Largest SETUP.
pub const SETUP_MAX: usize = 1_024;

/// Plaintext of the largest record: with 4 bytes of header and 16 of tag it fills 64 KiB.
pub const RECORD_CAPACITY_MAX: usize = 64 * 1024 - 4 - 16;

/// Longest name of a peer's software in SETUP, in bytes.
pub const AGENT_MAX: usize = 64;

/// What we read at once when a connection is open: a whole record of the largest size.
pub const READ_CAPACITY: usize = 64 * 1024;

/// Messages longer than this go out in fragments: the payload of one message block.
pub const UNIT_MAX: usize = 16 * 1024;

/// Deepest nesting of a body. Enough for any document, far below what a stack holds.
pub const DEPTH_MAX: u32 = 32;

/// Longest name of a raw stream or of a topic, in bytes: it is looked up and logged, and carries no
/// content, so that a unit with one is always short.
pub const NAME_MAX: usize = 256;

/// Fragmented messages open at once in one direction and group (PROTOCOL 8: fids 0-7 and 8-15).
pub const FRAGMENTED_MAX: usize = 8;

/// Records under one key before the sender changes it.
pub const KEY_RECORDS_MAX: u64 = 1 << 24;

/// Bytes under one key before the sender changes it.
pub const KEY_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;

/// Traffic under one key before the sender changes it, in time.
pub const KEY_AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// Records under one key the receiver puts up with.
pub const KEY_RECORDS_TOLERATED: u64 = 1 << 26;

/// Changes of keys a minute the receiver puts up with.
pub const KEY_UPDATES_PER_MINUTE_MAX: u32 = 64;

/// Deepest nesting of a type in a schema. Types that bodies can hold are nested less deep.
pub const SCHEMA_DEPTH_MAX: u32 = 64;

/// Deepest nesting that two schemas are compared to, types within types: more than a type has that was
/// traced, and little enough for any stack.
pub const SCHEMA_NESTED_MAX: u32 = 256;

/// Longest array in the text of a schema, in elements: none of a message has more.
pub const SCHEMA_ARRAY_MAX: usize = 1 << 32;

/// Longest tuple whose elements a schema tells one by one; serde has none that is longer, and beyond
/// it all elements are taken to be of one type.
pub const SCHEMA_TUPLE_MAX: usize = 32;

/// How often a type is run to find out one thing about it, each time with other values.
pub const SCHEMA_RUNS_MAX: u32 = 500;

/// Values a type may ask for in one such run.
pub const SCHEMA_STEPS_MAX: u32 = 20_000;
