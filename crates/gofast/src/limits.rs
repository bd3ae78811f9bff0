//! Every limit of this crate, with the reason for its number. What an application can change stands
//! in [`GofastSettings`](crate::GofastSettings).

/// Shortest frame of either dialect, in bytes: the end of a stream of 2016. So many are looked at
/// together, and tell how many follow but for lengths above 65,535.
pub const FRAME_MIN: usize = 9;

/// Least that can be set: our own whoami must fit, with a name and a few tags.
pub const BUFFERSIZE_MIN: u64 = 256;

/// Most that can be set: gofast's packets end at 4 GiB. A packet is read into one receive buffer, and a
/// service has those above 1 GiB where its `message_max` is as long.
pub const BUFFERSIZE_MAX: u64 = (1 << 32) - 1;

/// What a frame adds to its body at most, in bytes: prefix 3, kind 1, length 9, opaque 5, length 9,
/// tag and start of the map 3, two keys 4, id 9, length 9, break 1.
pub const FRAME_OVERHEAD_MAX: usize = 53;

/// Bytes of a whoami that are looked at before a peer has said who it is.
pub const WHOAMI_MAX: usize = 2_048;

/// Heartbeats before a peer has said who it is: one that posts them that fast would wait for nobody.
pub const MEETING_HEARTBEATS_MAX: u32 = 64;

/// Longest name a whoami carries: its length is one byte.
pub const NAME_MAX: usize = 255;

/// Compressions around one message at most: each of the two once, and room for mistakes.
pub const NESTED_MAX: usize = 4;

/// Largest message that is compressed with gzip, in bytes: what gofast's reader takes from a stream in
/// its one look is 32 KiB, and the rest would be cut off.
pub const GZIP_PLAIN_MAX: usize = 32 * 1024;

/// Bytes of answers to pings and whoamis that wait to be written. A peer that asks for more without
/// reading has lost its patience or its mind.
pub const OWED_BYTES_MAX: usize = 256 * 1024;

/// What such an answer takes beside its text: bookkeeping, and the frame around it.
pub const OWED_COST: usize = 64;

/// Questions to a real peer that wait for their answers: one for each stream that ends, and pings. More
/// than a busy line holds, and a mebibyte here.
pub const ASKED_MAX: usize = 65_536;

/// Bytes of our name in such a question: it must fit the smallest buffer of a peer's.
pub const ASKED_NAME_MAX: usize = 16;

/// Fewest opaques a side can do with: one each for posts, pings and whoami, the rest is shared by
/// requests and streams.
pub const OPAQUES_MIN: u64 = 16;

/// Most requests of ours in flight, whatever the range: what a session of ours lets a peer have,
/// unless the peer says another number.
pub const REQUESTS_MAX_DEFAULT: u32 = moorline_protocol::limits::IN_FLIGHT_MAX_DEFAULT;

/// The same for streams.
pub const STREAMS_MAX_DEFAULT: u32 = moorline_protocol::limits::STREAMS_MAX_DEFAULT;

/// Scratch buffers that are kept for compressing, one for each thread that does so at once.
pub const SCRATCHES_KEPT_MAX: usize = 4;

/// Bytes that each of their buffers may have to be kept: the messages that are compressed are short, and
/// a connection that had one of 16 MiB should not hold that for its life.
pub const SCRATCH_BYTES_KEPT_MAX: usize = 64 * 1024;

/// Smallest buffer of a peer's that a ping and an end of a stream fit in, with opaques of any size.
pub const PEER_BUFFERSIZE_MIN: u64 = 128;

/// Streams of the peer's that were reset and that it has not ended yet: an honest peer has few more of
/// them than streams, and each takes about a hundred bytes here.
pub const FORGOTTEN_STREAMS_MAX: usize = 4_096;
