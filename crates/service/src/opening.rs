//! From a fresh connection to an open session, or to the reason why there is none.

use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use moorline_buffers::SendBuffer;
use moorline_protocol::{CloseReason, Ending, Farewell, Frame, Lane, Opened, Step, Violation};

use crate::intake::Intake;
use crate::limits::SILENCE_TICK;
use crate::timer::Timer;
use crate::transport::Writer;
use crate::writer::write_once;

/// Drives the handshake. What is left in `out` belongs on the wire before anything else.
pub(crate) async fn open(
    intake: &mut Intake,
    writer: &Arc<dyn Writer>,
    out: &mut SendBuffer,
) -> Result<Box<Opened>, CloseReason> {
    let mut timer = Timer::default();
    intake.protocol.start(Instant::now(), out)?;
    let result = poll_fn(|cx| poll_open(intake, &**writer, out, &mut timer, cx)).await;
    if let Err(reason) = &result {
        say_why(reason, &**writer, out);
    }
    result
}

/// A peer that has proved who it is gets a CLOSE; nobody else gets anything.
fn say_why(reason: &CloseReason, writer: &dyn Writer, out: &mut SendBuffer) {
    if matches!(reason.ending(), Ending::Close(_)) {
        // What the kernel does not take at once is not worth waiting for.
        while !out.is_empty() && matches!(write_once(writer, out), Ok(true)) {}
        writer.shutdown();
    }
}

/// Says goodbye to a peer that has just been let in.
pub(crate) fn turn_away(
    opened: &mut Opened,
    farewell: &Farewell,
    writer: &dyn Writer,
    out: &mut SendBuffer,
) -> Result<(), CloseReason> {
    let mut said = SendBuffer::with_block_max(out.pool(), opened.block_max);
    let (code, message) = (farewell.code, Cow::Borrowed(&*farewell.text));
    let encoded = opened.encoder.encode(&Frame::Close { code, message }, Lane::High, &mut said);
    encoded.map_err(|_| CloseReason::ByUs(farewell.clone()))?;
    while let Some(block) = said.pop_block() {
        opened.sealing.seal(block, out)?;
    }
    // What the kernel does not take at once is not worth waiting for.
    while !out.is_empty() && matches!(write_once(writer, out), Ok(true)) {}
    writer.shutdown();
    Ok(())
}

fn poll_open(
    intake: &mut Intake,
    writer: &dyn Writer,
    out: &mut SendBuffer,
    timer: &mut Timer,
    cx: &mut Context<'_>,
) -> Poll<Result<Box<Opened>, CloseReason>> {
    loop {
        let (buffer, protocol) = intake.parts();
        match Intake::next(buffer, protocol, Instant::now(), out)? {
            Step::Opened(opened) => return Poll::Ready(Ok(opened)),
            Step::Frame(..) => {
                let rule = "a frame before the session is open";
                return Poll::Ready(Err(Violation::protocol(2, rule).into()));
            }
            Step::NeedBytes => {}
        }
        while !out.is_empty() {
            if write_once(writer, out)? {
                continue;
            }
            match writer.poll_writable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(CloseReason::Io(error.kind())));
                }
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(read) = intake.poll_read(cx) {
            read?;
            continue;
        }
        while timer.poll(cx, intake.protocol.deadline()).is_ready() {
            intake.protocol.handle_timeout(Instant::now())?;
        }
        return Poll::Pending;
    }
}

/// Waits for the next tick since `start`, so that the time until a connection is closed tells an
/// outsider nothing.
pub(crate) async fn silence(start: Instant) {
    let tick = SILENCE_TICK.as_nanos();
    let passed = start.elapsed().as_nanos() % tick;
    let rest = u64::try_from(tick - passed).expect("a tick is below 2^64 ns");
    tokio::time::sleep(std::time::Duration::from_nanos(rest)).await;
}
