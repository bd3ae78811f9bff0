//! Every limit of this crate, with the reason for its number.

/// Longest file that is read, in bytes: a hundred times all knobs with a comment each. What is longer is
/// something else, given by mistake.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
