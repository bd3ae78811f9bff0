//! Checks and skips values without a type: no recursion, no allocation, and the same verdicts as
//! the reader, because both stand on one [`Cursor`].

use crate::format::DecodeError;
use crate::limits::DEPTH_MAX;

use super::cursor::{Cursor, Level};
use super::head::Head;

/// `bytes` are one value within all limits.
//= docs/PROTOCOL.md#5
pub(in crate::format) fn walk(bytes: &[u8]) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new(bytes);
    skip(&mut cursor)?;
    cursor.finish()
}

/// Moves `cursor` over one value.
pub(super) fn skip(cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
    cursor.check_whole()?;
    let head = cursor.head()?;
    if head.is_container() { skip_container(cursor, &head) } else { Ok(()) }
}

/// `around[..open]` says for each container opened here where it stands; the cursor refuses to open
/// more than the array has room for.
fn skip_container(cursor: &mut Cursor<'_>, first: &Head<'_>) -> Result<(), DecodeError> {
    let mut around = [Level::OUTERMOST; DEPTH_MAX as usize];
    around[0] = cursor.open(first)?;
    let mut open = 1;
    while open > 0 {
        if !cursor.more()? {
            open -= 1;
            cursor.leave(around[open]);
            continue;
        }
        let head = cursor.head()?;
        if head.is_container() {
            around[open] = cursor.open(&head)?;
            open += 1;
        }
    }
    Ok(())
}
