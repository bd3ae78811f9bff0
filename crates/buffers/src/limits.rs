//! Every number this crate bounds memory with, and why it has that value.

use std::time::Duration;

/// Smallest receive class, in bytes: 2^8.
///
/// A shorter block would cost more in free lists and counters than it saves.
pub const RECV_CLASS_BYTES_MIN: usize = 1 << 8;

/// Largest receive class kept in a free list, in bytes: 2^22.
///
/// Larger buffers are rare, and one idle block of that size is worth more to the operating system
/// than to us: they come straight from the allocator and go straight back.
pub const RECV_CLASS_BYTES_MAX: usize = 1 << 22;

/// Number of receive classes: every power of two from the smallest to the largest.
pub const RECV_CLASSES: usize =
    (RECV_CLASS_BYTES_MAX.ilog2() - RECV_CLASS_BYTES_MIN.ilog2() + 1) as usize;

/// Default of [`RecvPoolConfig::buffer_bytes_max`](crate::RecvPoolConfig::buffer_bytes_max).
///
/// No single buffer above 1 GiB: a length that slipped through unchecked becomes an error here and
/// not an abort of the allocator.
pub const RECV_BUFFER_BYTES_MAX: usize = 1 << 30;

/// Default of [`RecvPoolConfig::free_bytes_max`](crate::RecvPoolConfig::free_bytes_max).
///
/// 16 MiB: the 64 KiB buffers of 256 connections that were busy a moment ago.
pub const RECV_FREE_BYTES_MAX: usize = 16 << 20;

/// Default of [`RecvPoolConfig::class_free_bytes_max`](crate::RecvPoolConfig::class_free_bytes_max).
///
/// 8 MiB: half of all, so that one size that was popular once leaves room for the others.
pub const RECV_CLASS_FREE_BYTES_MAX: usize = 8 << 20;

/// Most free blocks of one receive class, whatever their size.
///
/// 256 blocks of the smallest class are 64 KiB; more than that are not taken and returned in one
/// turn of all the cores together.
pub const RECV_FREE_BLOCKS_PER_CLASS_MAX: usize = 256;

/// From this size on a block is a mapping of its own, and ending it always shrinks the process.
///
/// A mapping costs two system calls and a fault for each page: 64 pages make that worth it, and
/// smaller blocks are what the allocator is good at.
pub const MAPPED_BYTES_MIN: usize = 1 << 18;

/// Most bytes that one thread keeps of one pool in its cache.
///
/// 320 KiB: the sixteen blocks of a full wire chain with their rooms, and a few that are being
/// filled; or five reads of 64 KiB. A pool keeps less in caches where its own limits are small: see
/// [`CACHE_SHARE`].
pub const CACHE_BYTES_MAX: usize = 320 << 10;

/// A cache holds at most this part of what its pool may lend, and of what it may keep: with 48
/// threads the limits of the pool still mean what they say.
pub const CACHE_SHARE: usize = 48;

/// Below so many bytes a pool has no caches: they would serve nobody, and its limits are exact.
pub const CACHE_BYTES_MIN: usize = 16 << 10;

/// Most blocks of one class in the cache of a thread, whatever their size. Half of a cache moves at
/// once to or from the pool, so that one lock serves many blocks.
pub const CACHE_BLOCKS_MAX: usize = 32;

/// Most pools a thread has caches for; the oldest cache makes room. Two are in use in a driver.
pub const CACHED_POOLS_MAX: usize = 8;

/// Visits to the shared part of a pool after which half of the free blocks that none of them needed
/// go back to the system.
///
/// Many against a burst (a visit is up to eight blocks), few against the life of a process.
pub const TRIM_VISITS: u32 = 1 << 12;

/// Most blocks given back in one call of `trim_idle`: a turn of a driver pays for a few system calls
/// and not for a thousand.
pub const TRIM_BLOCKS_PER_CALL_MAX: usize = 64;

/// Default of `idle_time` in the configurations of both pools: what nobody needed for so long goes
/// back. Ten seconds are long against a burst and short against a night.
pub const IDLE_TIME: Duration = Duration::from_secs(10);

/// Most slices of one vectored write: `IOV_MAX` of Linux and the BSDs, beyond which a write is an
/// error.
pub const IO_SLICES_MAX: usize = 1024;

/// Reads in a row that fill less than a quarter of a buffer, after which it is changed for a smaller
/// one: one short read may be the end of a message, two are a habit.
pub const SHORT_READS_MAX: u8 = 2;

/// A buffer of this size is never too large: 64 KiB is what a driver reads at once, and to change
/// that for less at each short message would save nothing.
pub const SHRINK_BYTES_MIN: usize = 64 << 10;

/// Payload of a block for messages: 16 KiB.
///
/// Large enough that the fixed price of sealing a record disappears, small enough that the first
/// byte of a batch does not wait for the last.
pub const MESSAGE_BLOCK_PAYLOAD: usize = 16 << 10;

/// Payload of a block for bulk data: with its head and tail room it is 64 KiB in all.
pub const BULK_BLOCK_PAYLOAD: usize = (64 << 10) - BLOCK_HEAD_ROOM - BLOCK_TAIL_ROOM;

/// Default room in front of the payload: a record header of four bytes.
pub const BLOCK_HEAD_ROOM: usize = 4;

/// Default room behind the payload: an authentication tag of sixteen bytes.
pub const BLOCK_TAIL_ROOM: usize = 16;

/// Where the payload of a block begins: with a cache line, so that copies into it and sealing in it
/// do not straddle lines. It costs up to 63 bytes a block that are counted nowhere.
pub const PAYLOAD_ALIGNMENT: usize = 64;

/// Default of [`BlockPoolConfig::blocks_max`](crate::BlockPoolConfig::blocks_max) for messages.
///
/// 65,536 blocks are 1 GiB: four blocks for each of 16,384 sessions that all have something to say.
pub const MESSAGE_BLOCKS_MAX: usize = 1 << 16;

/// Default of [`BlockPoolConfig::blocks_max`](crate::BlockPoolConfig::blocks_max) for bulk data.
///
/// 16,384 blocks are 1 GiB: full wire chains (256 KiB) of 4,096 sessions.
pub const BULK_BLOCKS_MAX: usize = 1 << 14;

/// Default of [`BlockPoolConfig::free_blocks_max`](crate::BlockPoolConfig::free_blocks_max) for
/// messages: 16 MiB of blocks wait for their next use.
pub const MESSAGE_FREE_BLOCKS_MAX: usize = 1 << 10;

/// Default of [`BlockPoolConfig::free_blocks_max`](crate::BlockPoolConfig::free_blocks_max) for
/// bulk data: 16 MiB of blocks wait for their next use.
pub const BULK_FREE_BLOCKS_MAX: usize = 1 << 8;
