//! Receive buffers of 2^N bytes and send chains of fixed blocks, from pools that give memory back.
//!
//! ```text
//!  socket --read--> RecvBuffer: unopened --mark_opened--> readable --take--> your parser
//!  socket <--write-- SendBuffer: wire chain <--wrap-- Block <--pop-- outbox <--write-- your encoder
//! ```
//!
//! # What it is
//!
//! The memory of a connection, in two halves. A [`RecvPool`] lends a [`RecvBuffer`]: one contiguous
//! block of 2^8 to 2^22 bytes (larger ones come straight from the allocator) with three cursors, so
//! that what was read is decrypted where it lies and parsed without a copy. A [`BlockPool`] lends
//! [`Block`]s of one size with room for a header in front and a tag behind; a [`SendBuffer`] chains
//! them, takes bytes as an [`io::Write`](std::io::Write), lets whole blocks be sealed in place and
//! moved to another chain, and shows itself as I/O slices for one vectored write.
//!
//! Pools have names, limits and [counters](PoolStats). A limit that is met is an error
//! ([`PoolExhausted`]) and never a wait. Every buffer and block finds its own way back when it is
//! dropped, from any thread, and memory nobody needs goes back to the operating system.
//!
//! # What it must never know
//!
//! What the bytes mean; sockets, time and tasks; any other crate of the project. Whoever wants
//! memory given back after a while has the clock, and calls [`RecvPool::trim_idle`],
//! [`BlockPool::trim_idle`] and [`SendBuffer::park`].
//!
//! # Where to start
//!
//! [`RecvPool::acquire`] when there is something to read, [`RecvBuffer::reserve`] before each read,
//! and drop the buffer when it is empty: an idle connection holds none. On the other side
//! [`SendBuffer::new`], then [`SendBuffer::reserve`] and [`SendBuffer::commit`] for an encoder,
//! [`SendBuffer::pop_block`] and [`Block::wrap`] for whoever seals, [`SendBuffer::io_slices`] and
//! [`SendBuffer::advance`] for whoever writes. All numbers stand in [`limits`].
//!
//! # The loop
//!
//! ```
//! use std::io::{IoSlice, Read, Write};
//! use moorline_buffers::{BlockPool, BlockPoolConfig, RecvPool, SendBuffer};
//!
//! # fn main() -> std::io::Result<()> {
//! let (recv_pool, block_pool) =
//!     (RecvPool::default(), BlockPool::new(BlockPoolConfig::messages()));
//!
//! // Sending: messages collect in a chain; its blocks are sealed and written together.
//! let mut outbox = SendBuffer::new(&block_pool);
//! outbox.write_all(b"hello, ")?;
//! let room = outbox.reserve(16)?; // contiguous, for an encoder that does not check each byte
//! room[..5].copy_from_slice(b"world");
//! outbox.commit(5);
//!
//! let mut wire = SendBuffer::new(&block_pool);
//! while let Some(mut block) = outbox.pop_block() {
//!     let record = block.wrap(4, 16); // header and tag, out of the block's own rooms
//!     record.head.copy_from_slice(&u32::try_from(record.body.len()).unwrap().to_be_bytes());
//!     record.body.iter_mut().for_each(|byte| *byte ^= 0x2A); // what stands for sealing here
//!     record.tail.fill(0xAA);
//!     wire.push_block(block);
//! }
//!
//! let mut socket = Vec::new();
//! while !wire.is_empty() {
//!     let mut slices = [IoSlice::new(&[]); 16];
//!     let filled = wire.io_slices(&mut slices);
//!     let written = socket.write_vectored(&slices[..filled])?;
//!     wire.advance(written); // any number, over any block's edge
//! }
//!
//! // Receiving: read, look at what is not opened yet, open it in place, consume it.
//! let mut socket = &socket[..];
//! let mut buffer = recv_pool.acquire(64 << 10)?;
//! loop {
//!     buffer.reserve(4 << 10)?;
//!     let read = socket.read(buffer.spare_mut())?;
//!     buffer.commit(read);
//!     while let Some((head, rest)) = buffer.unopened().split_first_chunk::<4>() {
//!         let len = u32::from_be_bytes(*head) as usize;
//!         if rest.len() < len + 16 {
//!             break; // more of it is on its way
//!         }
//!         buffer.skip_unopened(4);
//!         buffer.unopened_mut()[..len].iter_mut().for_each(|byte| *byte ^= 0x2A);
//!         buffer.mark_opened(len);
//!         assert_eq!(buffer.take(len), b"hello, world");
//!         buffer.skip_unopened(16);
//!     }
//!     if read == 0 {
//!         break;
//!     }
//! }
//!
//! drop(buffer);
//! assert_eq!(recv_pool.stats().in_use, 0);
//! assert_eq!(block_pool.stats().in_use, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Design decisions
//!
//! * **No `unsafe`.** Memory is zeroed once, when it comes from the allocator, and stays
//!   initialised; a read needs no `MaybeUninit` and the zeros of large blocks are the operating
//!   system's.
//! * **Receiving is contiguous, sending is a chain.** A record is opened and a message parsed in one
//!   piece, so a receive buffer grows by moving; what is written is never looked at as a whole, so
//!   a chain grows by a block and nothing moves.
//! * **Rooms instead of copies.** Header and tag are written around a body that is complete, into
//!   room that was left for them.
//! * **Each thread keeps a few blocks of a pool for itself**, so that acquire and release are an
//!   exchange with itself. What is shared is plain data behind a short lock, visited for half a
//!   cache at a time; there limits are exact, and what a period did not need is given back.
//! * **A block moves as one pointer** to its memory, its cursors and its home.
//! * **Large receive blocks are mappings of their own**, because an allocator keeps what it gets.
//! * **Refusing is the only answer to a limit.** A pool that waited could wait for its own caller.
//!   An operation that is refused has changed nothing.
//! * **One inequality, checked after each mutation**: `consumed <= opened <= filled <= capacity` for
//!   a buffer, its likes for blocks and chains. The feature `shipping` compiles these checks out;
//!   what catches a caller's mistake (a commit beyond the room) stays on.
//! * **In debug builds a returned block is filled with `0xDD`.** In release builds its old contents
//!   stay in the spare room until they are overwritten: call [`RecvBuffer::wipe`] on secrets.
#![forbid(unsafe_code)]

mod block;
mod block_pool;
mod cache;
mod class;
mod depot;
mod error;
pub mod limits;
mod memory;
#[cfg(loom)]
#[cfg(test)]
mod model;
mod recv_buffer;
mod recv_pool;
mod send_buffer;
mod stats;
mod stock;
mod sync;

pub use block::{Block, Wrapped};
pub use block_pool::{BlockPool, BlockPoolConfig};
pub use error::{Knob, PoolExhausted};
pub use recv_buffer::RecvBuffer;
pub use recv_pool::{RecvPool, RecvPoolConfig};
pub use send_buffer::SendBuffer;
pub use stats::PoolStats;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
