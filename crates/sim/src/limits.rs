//! Every limit of this crate, with the reason for its number.

use std::time::Duration;

/// Bytes one direction of a link holds before its sender has to wait, unless set: what kernels keep
/// for a socket on both sides together, roughly.
pub const LINK_BUFFER_DEFAULT: usize = 256 * 1024;

/// What a lost piece of a byte stream costs beside the way it goes again: the shortest time after
/// which usual kernels send it once more.
pub const RETRANSMIT_AFTER: Duration = Duration::from_millis(200);

/// Sealed bytes that may wait for the link, as in the service.
pub const WIRE_HIGH_WATER: usize = 256 * 1024;

/// How long the other side's farewell, or the end of its bytes, is awaited, as in the service.
pub const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// How long a session that is cut short has to say goodbye, as in the service.
pub const CUT_WAIT: Duration = Duration::from_millis(500);

/// After so long without anything to do a session gives back what can be had again, as in the
/// service.
pub const IDLE_TICK: Duration = Duration::from_secs(1);

/// Sessions of one side: a test has two sides, and a few connections one after the other.
pub const SESSIONS_MAX: usize = 64;

/// Virtual time that a test waits for one future. Longer than any deadline that is set by default,
/// a hundred times over: what is not done by then never will be.
pub const RUN_MAX: Duration = Duration::from_secs(3_600);

/// Virtual time in which everything must have left after the last fault: two windows over the
/// slowest link that [`Link::any`](crate::Link::any) makes.
pub const DRAIN_MAX: Duration = Duration::from_secs(600);

/// Steps without any passing of time, after which two sides only keep each other busy.
pub const STEPS_AT_ONCE_MAX: u64 = 1_000_000;

/// Lines of the trace that are kept; its hash is over all of them.
pub const TRACE_LINES_MAX: usize = 200_000;

/// Lines of the trace that a failure shows.
pub const TRACE_LINES_SHOWN: usize = 60;
