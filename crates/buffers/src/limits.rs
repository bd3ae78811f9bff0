//! Every number this crate bounds memory with, and why it has that value.

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

/// Most free blocks of one receive class, whatever their size.
///
/// 256 slots of 24 bytes are 6 KiB of list for each class in use; more blocks than that are not
/// taken and returned in one turn of all the cores together.
pub const RECV_FREE_BLOCKS_PER_CLASS_MAX: usize = 256;

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

/// Most slots of one free list, however many a configuration asks for.
///
/// The list itself is allocated in one piece when its first block returns: 65,536 slots are
/// 1.5 MiB.
pub const FREE_LIST_SLOTS_MAX: usize = 1 << 16;
