//! Receive buffers of 2^N bytes and send chains of fixed blocks, from pools that give memory back.
#![forbid(unsafe_code)]

mod block;
mod block_pool;
mod class;
mod error;
mod free_list;
pub mod limits;
mod recv_buffer;
mod recv_pool;
mod send_buffer;
mod stats;

pub use block::{Block, Wrapped};
pub use block_pool::{BlockPool, BlockPoolConfig};
pub use error::{Knob, PoolExhausted};
pub use recv_buffer::RecvBuffer;
pub use recv_pool::{RecvPool, RecvPoolConfig};
pub use send_buffer::SendBuffer;
pub use stats::PoolStats;
