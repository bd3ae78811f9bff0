//! Every limit of this crate, with the reason for its number.

use std::time::Duration;

/// Tasks that a shard runs until it looks at its sockets again: large batches cost little each, and
/// the longest of them takes a few hundred microseconds.
pub const SHARD_EVENT_INTERVAL: u32 = 255;

/// Threads a service may have of its own: more than any machine has cores.
pub const SHARDS_MAX: usize = 1_024;

/// Handshakes of a service at once: each costs a few hundred microseconds of cryptography and one
/// 2 KiB buffer, so the rest of a second's worth waits in the listen queue.
pub const HANDSHAKES_MAX: usize = 512;

/// Handshakes at once from one /32 or /64, loopback excepted: a crowd behind one address, not a
/// flood from it.
pub const HANDSHAKES_PER_SOURCE_MAX: usize = 16;

/// Who is refused is closed at the next multiple of this, so that the time until then tells
/// nothing about the cause.
pub const SILENCE_TICK: Duration = Duration::from_millis(100);

/// How long the other side's farewell, or the end of its bytes, is awaited.
pub const CLOSE_WAIT_DEFAULT: Duration = Duration::from_secs(5);

/// How long `shutdown` lets running work finish.
pub const DRAIN_DEADLINE_DEFAULT: Duration = Duration::from_secs(10);

/// How long sessions that were cut short at the drain deadline have to say goodbye.
pub const CUT_WAIT: Duration = Duration::from_millis(500);

/// How long dialing may take, before the handshake begins.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Listening sockets among which the one is looked for that has a port: one for each port there is.
pub const OCCUPANT_SOCKETS_MAX: usize = 65_536;

/// Links to open files among which its process is looked for: those of a busy machine, in a fraction of
/// a second and on a thread that may block.
pub const OCCUPANT_LINKS_MAX: usize = 200_000;

/// Largest buffer of a socket that may be asked for; the system has limits of its own far below.
pub const SOCKET_BUFFER_BYTES_MAX: usize = 1 << 30;

/// Longest times of [`KeepAlive`](crate::transport::tcp::KeepAlive), and ...
pub const KEEP_ALIVE_TIME_MAX: Duration = Duration::from_secs(32_767);

/// ... most questions: what Linux takes.
pub const KEEP_ALIVE_COUNT_MAX: u32 = 127;

/// Longest `user_timeout`: the milliseconds that Linux counts in 31 bits.
pub const USER_TIMEOUT_MAX: Duration = Duration::from_millis(2_147_483_647);

/// Addresses of one name that are tried: more than any host has, and with a quarter of a second for each
/// all of them have had their turn in less than half of [`CONNECT_TIMEOUT_DEFAULT`].
pub const ADDRESSES_MAX: usize = 16;

/// How long an address may leave a dial without an answer until the next one is tried beside it: the
/// number of RFC 8305, section 5, longer than a way around the world takes.
pub const DIAL_NEXT_AFTER: Duration = Duration::from_millis(250);

/// DNS servers of one resolver: the system itself asks no more than three.
pub const DNS_SERVERS_MAX: usize = 16;

/// How long a DNS server has for one answer: an honest one asks its way through the world in less, and
/// two dead ones before it leave time to dial within [`CONNECT_TIMEOUT_DEFAULT`].
pub const DNS_TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);

/// How long who has the addresses of one family waits for those of the other: the number of RFC 8305,
/// section 3.
pub const DNS_FAMILY_DELAY_DEFAULT: Duration = Duration::from_millis(50);

/// How often all DNS servers are asked for a name: a packet may get lost.
pub const DNS_ATTEMPTS_DEFAULT: usize = 2;

/// Most often.
pub const DNS_ATTEMPTS_MAX: usize = 10;

/// How long a client waits at least before it dials again: a server that has just been started anew on
/// the same machine is there by then, and who is on the other side of the world is not hurried.
pub const BACK_OFF_MIN: Duration = Duration::from_millis(50);

/// How long it waits at most: a server that comes back has its clients within this time, and a
/// thousand clients ask for one that does not a hundred times a second.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(10);

/// A connection that lives shorter than this did not last: the next wait of its client is longer than
/// the one before and not the first anew, or a peer that takes sessions to drop them would be dialed
/// twenty times a second for ever.
pub const STEADY_AFTER: Duration = Duration::from_secs(10);

/// What a post that waits for a connection counts as, beside its body: its place in the queue, and what
/// stands in front of it on the wire.
pub const QUEUED_POST_COST: usize = 64;

/// Sealed bytes that may wait for the kernel: enough to keep it busy, and what is sealed cannot be
/// overtaken.
pub const WIRE_HIGH_WATER: usize = 256 * 1024;

/// What one stay at the writer writes at most, before a driver reads again and a sender goes on with
/// its own work: others could give it more for ever.
pub const WRITE_STAY_BYTES: usize = 1024 * 1024;

/// What may stand around a message in a receive buffer: its frame, and what was read behind it.
pub const AROUND_MESSAGE: usize = 1024 * 1024;

/// Slices handed to the kernel in one write.
pub const SLICES_MAX: usize = 64;

/// Turns of a driver before it lets others run.
pub const TURNS_MAX: u32 = 32;

/// A session that has done nothing for one to two of these gives back what can be had again.
pub const IDLE_TICK: Duration = Duration::from_secs(1);

/// The accept loop's pause when descriptors run out: first ...
pub const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);

/// ... and last, doubling in between.
pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Futures of one handler that are kept to be used again.
pub const RECYCLED_FUTURES_MAX: usize = 64;

/// When the messages of one read take longer than this to handle it is reported, once in a while:
/// everything else of their session waited.
pub const SLOW_READ: Duration = Duration::from_millis(100);

/// At most one such report a session in this time.
pub const SLOW_READ_SAID_EVERY: Duration = Duration::from_secs(10);

/// Answers of one turn from which they are written before its end.
pub const EARLY_FLUSH_ANSWERS: usize = 8 * 1024;

/// How often a service that listens looks whether its peer list has changed, and whether everybody
/// inside is still on it: a change is followed within three looks, less than a second.
pub const PEERS_LOOK: Duration = Duration::from_millis(250);

/// Longest time that a configuration may set: what is longer is meant as `never`, and written so. From a
/// builder a longer one counts as this.
pub const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Longest time that a configuration may let a session look at its socket without pause: a core that is
/// spent for longer than a second is not waiting for an answer any more.
pub const BUSY_POLL_MAX: Duration = Duration::from_secs(1);

/// Sessions that have ended and that a snapshot still tells of: what somebody who asks "why did they
/// go" reads on one page.
pub const ENDS_KEPT_MAX: usize = 16;

/// How often the pools are asked to give back what they have not needed for a while.
pub const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Tasks that wait for the owner of one session: what a busy one runs in a few milliseconds. A queue
/// that is longer only hides that it does not keep up.
pub const OWNER_TASKS_MAX: usize = 4_096;

/// Alarms of one session: one for each request that may be running, about 1 MiB of memory.
pub const ALARMS_MAX: usize = 4_096;

/// One tick of the runtime's timer wheel: an alarm rings up to so much late, and never early; nor does
/// it ring more often.
pub const ALARM_TICK: Duration = Duration::from_millis(1);

/// Longest time of an alarm; a longer one counts as this.
pub const ALARM_TIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
