//! Messages that come in pieces.

use moorline_buffers::{PoolExhausted, RecvBuffer, RecvPool};

use super::head::{Head, Window};
use crate::closed::Violation;
use crate::code::ErrorCode;
use crate::frame::Refused;
use crate::limits::FRAGMENTED_MAX;

//= docs/PROTOCOL.md#8
/// The first number for answers, which never wait behind credit.
const ANSWERS_FROM: u8 = 8;

/// How many messages of the largest size may be on their way at once in one group.
const TOTALS_MAX: u64 = 2;

/// The messages of one direction that are not whole yet: at most [`FRAGMENTED_MAX`] in each of the
/// two groups.
///
/// Memory grows with what arrived, never with what was announced.
#[derive(Debug)]
pub(super) struct Reassembly {
    pool: RecvPool,
    message_max: u64,
    open: Vec<Slot>,
}

/// One message on its way.
#[derive(Debug)]
struct Slot {
    fid: u8,
    window: Window,
    /// Bytes of its body that are still to come.
    missing: u64,
    /// Bytes of its body in all.
    total: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Gathered(Head, RecvBuffer),
    /// Nobody wants it; what the session hears when the last of it has gone by.
    Skipped(Option<Refused>),
}

/// What a fragment did.
#[derive(Debug)]
pub(super) enum Fragment {
    /// So many bytes are still to come.
    Partial(u64),
    Refused(Refused),
    Whole(Head, RecvBuffer),
}

impl Reassembly {
    pub(super) fn new(pool: RecvPool, message_max: u64) -> Self {
        Self { pool, message_max, open: Vec::new() }
    }

    pub(super) fn park(&mut self) {
        self.open.shrink_to_fit();
    }

    //= docs/PROTOCOL.md#6
    /// The number of a request is taken from its first fragment on, and only we know of that one
    /// before it is whole.
    pub(super) fn check_vacant(&self, id: u32) -> Result<(), Violation> {
        let taken = |slot: &Slot| matches!(&slot.content, Content::Gathered(Head::Request { id: open, .. }, _) if *open == id);
        if self.open.iter().any(taken) {
            return Err(Violation::protocol(6, "a request with a number that is in use"));
        }
        Ok(())
    }

    //= docs/PROTOCOL.md#8
    /// The first fragment of a message: `total` counts its head and its body, `body` is what came
    /// of the latter.
    pub(super) fn begin(
        &mut self,
        fid: u8,
        head: Head,
        total: u64,
        head_len: usize,
        body: &[u8],
    ) -> Result<Fragment, Violation> {
        let (answers, window) = (head.answers(), head.window());
        if (fid >= ANSWERS_FROM) != answers {
            return Err(Violation::protocol(8, "a fragment number of the other group"));
        }
        if self.open.iter().any(|slot| slot.fid == fid) {
            return Err(Violation::protocol(8, "a fragment number that is in use"));
        }
        let came = head_len as u64 + body.len() as u64;
        if came == 0 {
            return Err(EMPTY);
        }
        if came > total {
            return Err(BEYOND);
        }
        let total = total - head_len as u64;
        let (content, now) = self.content_for(head, total, body)?;
        let missing = total - body.len() as u64;
        let slot = Slot { fid, window, missing, total, content };
        if missing > 0 {
            debug_assert!(self.open.len() < 2 * FRAGMENTED_MAX, "sixteen numbers, each used once");
            self.open.push(slot);
            return Ok(now.map_or(Fragment::Partial(missing), Fragment::Refused));
        }
        Ok(now.map_or_else(|| slot.end(), Fragment::Refused))
    }

    /// Where the body goes, and what the session hears at once.
    fn content_for(
        &self,
        head: Head,
        total: u64,
        body: &[u8],
    ) -> Result<(Content, Option<Refused>), Violation> {
        let refused = |code| Refusal { code, size: total, limit: self.message_max }.of(&head);
        //= docs/PROTOCOL.md#9
        if total > self.message_max {
            return Ok(refused(ErrorCode::TOO_LARGE));
        }
        if self.gathering(head.answers()) + total > self.message_max.saturating_mul(TOTALS_MAX) {
            return Err(Violation::protocol(8, "too much is on its way in fragments"));
        }
        let Ok(mut buffer) = self.pool.acquire(body.len()) else {
            return Ok(refused(ErrorCode::OVERLOADED));
        };
        match gather(&mut buffer, body, total) {
            Ok(()) => Ok((Content::Gathered(head, buffer), None)),
            Err(_exhausted) => Ok(refused(ErrorCode::OVERLOADED)),
        }
    }

    fn gathering(&self, answers: bool) -> u64 {
        let of_group = self.open.iter().filter(|slot| (slot.fid >= ANSWERS_FROM) == answers);
        let gathered = of_group.filter(|slot| matches!(slot.content, Content::Gathered(..)));
        gathered.map(|slot| slot.total).sum()
    }

    //= docs/PROTOCOL.md#8
    /// A later fragment. Says also which window it takes of.
    pub(super) fn go_on(&mut self, fid: u8, chunk: &[u8]) -> Result<(Window, Fragment), Violation> {
        let at = self.find(fid)?;
        let slot = &mut self.open[at];
        if chunk.is_empty() {
            return Err(EMPTY);
        }
        slot.missing = slot.missing.checked_sub(chunk.len() as u64).ok_or(BEYOND)?;
        let mut now = None;
        if let Content::Gathered(head, buffer) = &mut slot.content {
            let missing = slot.missing + chunk.len() as u64;
            if gather(buffer, chunk, missing).is_err() {
                let code = ErrorCode::OVERLOADED;
                let refusal = Refusal { code, size: slot.total, limit: self.message_max };
                (slot.content, now) = refusal.of(head);
            }
        }
        let window = slot.window;
        let fragment = match now {
            Some(refused) => Fragment::Refused(refused),
            None if slot.missing > 0 => Fragment::Partial(slot.missing),
            None => return Ok((window, self.open.swap_remove(at).end())),
        };
        if self.open[at].missing == 0 {
            self.open.swap_remove(at);
        }
        Ok((window, fragment))
    }

    //= docs/PROTOCOL.md#6
    /// The peer takes a message back. A post never was, and of a response the peer sends an ERROR;
    /// the session hears of what it may have to do something about.
    pub(super) fn abort(&mut self, fid: u8) -> Result<Option<Refused>, Violation> {
        let at = self.find(fid)?;
        let slot = self.open.swap_remove(at);
        let (size, limit) = (slot.total, self.message_max);
        Ok(match slot.content {
            Content::Gathered(
                head @ (Head::Request { .. } | Head::Data { .. } | Head::Publish { .. }),
                _,
            ) => Some(Refused { what: head.refused(), code: ErrorCode::CANCELLED, size, limit }),
            _ => None,
        })
    }

    fn find(&self, fid: u8) -> Result<usize, Violation> {
        let at = self.open.iter().position(|slot| slot.fid == fid);
        at.ok_or(Violation::protocol(8, "a fragment of nothing that is open"))
    }
}

const EMPTY: Violation = Violation::protocol(8, "an empty fragment");
const BEYOND: Violation = Violation::protocol(8, "fragments are longer than their total");

impl Slot {
    /// The last of it is here.
    fn end(self) -> Fragment {
        match self.content {
            Content::Gathered(head, buffer) => Fragment::Whole(head, buffer),
            Content::Skipped(Some(refused)) => Fragment::Refused(refused),
            Content::Skipped(None) => Fragment::Partial(0),
        }
    }
}

/// Why a message is not taken.
struct Refusal {
    code: ErrorCode,
    size: u64,
    limit: u64,
}

impl Refusal {
    //= docs/PROTOCOL.md#6
    /// What a peer begins is refused at once. An answer is only over when it has come to its end:
    /// until then its number is in use.
    fn of(self, head: &Head) -> (Content, Option<Refused>) {
        let Refusal { code, size, limit } = self;
        let refused = Some(Refused { what: head.refused(), code, size, limit });
        if head.answers() {
            (Content::Skipped(refused), None)
        } else {
            (Content::Skipped(None), refused)
        }
    }
}

/// Appends what came. The buffer doubles, so that a long message is not copied at every step, but
/// never beyond what is `missing`.
fn gather(buffer: &mut RecvBuffer, chunk: &[u8], missing: u64) -> Result<(), PoolExhausted> {
    if buffer.spare_mut().len() < chunk.len() {
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        buffer.reserve(buffer.len().min(missing).max(chunk.len()))?;
    }
    buffer.extend_from_slice(chunk)?;
    buffer.mark_opened(chunk.len());
    Ok(())
}
