//! The one task of an open connection.
//!
//! A received byte: [`Intake::poll_read`] into a pooled buffer; the protocol opens a record in place
//! and yields one frame; [`Core::handle_frame`] says which exchange it belongs to; [`dispatch`]
//! decodes it straight from the buffer and runs the handler inline; its answer goes to the driver's
//! own chain, without a lock.
//!
//! A sent message, from any thread: encoded and appended to the outbox by `moorline-session`, which
//! wakes this driver unless it is awake already; at the end of a turn [`WireWriter::pump`] takes
//! whole blocks by lane, seals each in place, and writes them with one system call; the blocks
//! return to their pool.

use std::future::{Future as _, poll_fn};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use moorline_buffers::SendBuffer;
use moorline_protocol::limits::KEY_AGE_MAX;
use moorline_protocol::{CloseReason, ErrorCode, Farewell, Step};
use moorline_session::{Core, EndPhase};
use tokio::task::JoinSet;

use crate::dispatch::dispatch;
use crate::ends::Ends;
use crate::handler_times::{HandlerTimes, LocalTimes};
use crate::intake::Intake;
use crate::lifetime::Aged;
use crate::limits::{EARLY_FLUSH_ANSWERS, IDLE_TICK, SLOW_READ, SLOW_READ_SAID_EVERY, TURNS_MAX};
use crate::owner::Workplace;
use crate::timer::Timer;
use crate::writer::{WireWriter, Written};

/// Owns the receiving half, the core of the session and the timer; shares the writer with senders.
pub(crate) struct Driver {
    intake: Intake,
    core: Core,
    writer: Arc<WireWriter>,
    work: Workplace,
    /// Handlers of the peer's streams: dropped with the driver, they are stopped.
    streams: Option<JoinSet<()>>,
    timer: Timer,
    /// Only a handshake writes here; an open protocol leaves it alone.
    unused: SendBuffer,
    /// The read that ended the handshake may have brought more than its end.
    left_over: bool,
    ends: Ends,
    requeue: bool,
    requeued: bool,
    /// When the sending key was new. Only turns look at it: an idle key need not change.
    key_from: Instant,
    slowness_said_at: Option<Instant>,
    busy_at: Option<Instant>,
    /// How long it looks at its socket without pause once it was busy.
    busy_poll: Option<Duration>,
    /// How long handlers take, where somebody wants to know.
    times: Option<LocalTimes>,
    parked: bool,
}

/// What a turn came to.
#[derive(PartialEq, Eq)]
enum Turn {
    /// There may be more at once.
    More,
    /// Everything that can wake the driver knows of it.
    Waiting,
}

impl Driver {
    pub(crate) fn new(
        mut intake: Intake,
        core: Core,
        writer: Arc<WireWriter>,
        work: Workplace,
        ends: Ends,
        unused: SendBuffer,
    ) -> Self {
        intake.begin_session();
        let flavor = tokio::runtime::Handle::current().runtime_flavor();
        Self {
            intake,
            core,
            writer,
            work,
            streams: None,
            timer: Timer::default(),
            unused,
            left_over: true,
            ends,
            // With several threads a woken task runs right behind its waker, after the first of
            // many messages; queued once more, it finds the whole batch.
            requeue: flavor != tokio::runtime::RuntimeFlavor::CurrentThread,
            requeued: false,
            key_from: Instant::now(),
            slowness_said_at: None,
            busy_at: None,
            busy_poll: None,
            times: None,
            parked: false,
        }
    }

    pub(crate) fn busy_polling(self, time: Option<Duration>) -> Self {
        Self { busy_poll: time, ..self }
    }

    pub(crate) fn measuring(self, times: Option<HandlerTimes>) -> Self {
        let times = times.map(|all| LocalTimes::new(all, Instant::now()));
        Self { times, ..self }
    }

    /// Until the connection is over. Returns why, and what had not been done by then.
    pub(crate) async fn run(mut self) -> (CloseReason, Ends) {
        let reason = poll_fn(|cx| self.poll(cx)).await;
        self.take_down(reason).await
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<CloseReason> {
        if self.requeue && !self.requeued && self.core.take_roused() {
            self.requeued = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.requeued = false;
        for _ in 0..TURNS_MAX {
            match self.turn(cx) {
                Ok(Turn::More) => {}
                Ok(Turn::Waiting) => return Poll::Pending,
                Err(reason) => return Poll::Ready(reason),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The law of the seam: pull frames until there is none, write, then wait.
    fn turn(&mut self, cx: &mut TaskContext<'_>) -> Result<Turn, CloseReason> {
        let now = Instant::now();
        self.core.begin_turn(now)?;
        self.look_around(now)?;
        let received = self.receive(cx, now)?;
        self.core.end_turn();
        self.renew_old_key(now)?;
        let written = self.writer.pump()?;
        self.look_at_the_end(now, &written)?;
        if received {
            self.busy_at = Some(now);
            self.parked = false;
            return Ok(Turn::More);
        }
        self.wait(cx, now, &written)
    }

    //= docs/PROTOCOL.md#3
    /// Whatever its age, a key is not changed behind a farewell: nothing follows that.
    fn renew_old_key(&mut self, now: Instant) -> Result<(), CloseReason> {
        let is_old = now.duration_since(self.key_from) >= KEY_AGE_MAX;
        if is_old && self.core.end_phase() != EndPhase::Farewell && self.writer.renew_key()? {
            self.key_from = now;
        }
        Ok(())
    }

    /// What others asked for, and alarms.
    fn look_around(&mut self, now: Instant) -> Result<(), CloseReason> {
        let signals = self.core.take_signals();
        if signals.quit {
            return Err(CloseReason::ByUs(self.core.quits_with()));
        }
        if signals.revoke {
            self.cut(now, ErrorCode::REVOKED, "your key is no longer on the list")?;
        }
        if signals.cut {
            self.cut(now, ErrorCode::DRAINING, "the time for finishing is over")?;
        }
        if signals.drain {
            self.ends.shuts_down();
        }
        let aged = self.ends.aged(now);
        if aged == Some(Aged::Cut) {
            self.cut(now, ErrorCode::DRAINING, "the connection is too old")?;
        }
        if (signals.drain || aged == Some(Aged::Drain)) && !self.ends.draining {
            self.ends.draining = true;
            self.core.drain()?;
        }
        self.work.ring(now);
        self.work.look();
        Ok(())
    }

    /// Says goodbye before everything that is queued.
    fn cut(&mut self, now: Instant, code: ErrorCode, text: &str) -> Result<(), CloseReason> {
        self.ends.cut(now, self.core.unfinished());
        self.ends.left.bytes += self.core.cut_short(Farewell::new(code, text))?;
        Ok(())
    }

    /// One read, and every frame of it.
    fn receive(&mut self, cx: &mut TaskContext<'_>, now: Instant) -> Result<bool, CloseReason> {
        if !std::mem::take(&mut self.left_over) {
            match self.intake.poll_read(cx) {
                Poll::Ready(read) => read?,
                Poll::Pending if !self.is_polling(now) => return Ok(false),
                Poll::Pending => match self.intake.try_read() {
                    Poll::Ready(read) => read?,
                    Poll::Pending => return Ok(false),
                },
            }
        }
        let read = self.intake.take_read();
        if read > 0 {
            self.core.count_read(read);
        }
        let (buffer, protocol) = self.intake.parts();
        while let Step::Frame(frame, cost) = Intake::next(buffer, protocol, now, &mut self.unused)?
        {
            self.work.look();
            let delivery = self.core.handle_frame(now, frame, cost)?;
            let Self { core, work, streams, times, .. } = self;
            dispatch(core, work, streams, times, now, delivery)?;
            if self.core.answers_len() >= EARLY_FLUSH_ANSWERS {
                self.core.end_turn();
                self.writer.pump()?;
            }
        }
        self.report_slowness(now);
        Ok(true)
    }

    /// Whether it was busy so short a time ago that it does not sleep yet.
    fn is_polling(&self, now: Instant) -> bool {
        let passed = self.busy_at.map(|busy| now.duration_since(busy));
        passed.zip(self.busy_poll).is_some_and(|(passed, time)| passed < time)
    }

    fn report_slowness(&mut self, read_at: Instant) {
        let now = Instant::now();
        let took = now.duration_since(read_at);
        let said = |at| now.duration_since(at) < SLOW_READ_SAID_EVERY;
        if took > SLOW_READ && !self.slowness_said_at.is_some_and(said) {
            self.slowness_said_at = Some(now);
            tracing::warn!(
                ?took,
                limit = ?SLOW_READ,
                "handling what one read brought held up its session: handlers that compute long or \
                 block belong into spawn_blocking, inline ones that wait into `handle`"
            );
        }
    }

    /// How far closing has come, if it has begun.
    fn look_at_the_end(&mut self, now: Instant, written: &Written) -> Result<(), CloseReason> {
        if self.ends.draining && self.core.is_drained() {
            self.core.session().close();
        }
        let phase = self.core.end_phase();
        if phase == EndPhase::No {
            return Ok(());
        }
        let close_by = self.ends.closes(now);
        if phase == EndPhase::Farewell && *written == Written::All && !self.ends.shut_down {
            self.ends.shut_down = true;
            self.writer.shutdown();
        }
        if now < close_by {
            return Ok(());
        }
        self.ends.late = true;
        if let Some(farewell) = self.core.closing_with() {
            self.ends.left.bytes += self.core.cut_short(farewell)?;
            // Where it was the peer's credit that held it up, the farewell still gets through.
            self.writer.pump()?;
        }
        Err(CloseReason::Truncated)
    }

    /// Tells everything that can wake the driver to do so.
    fn wait(
        &mut self,
        cx: &mut TaskContext<'_>,
        now: Instant,
        written: &Written,
    ) -> Result<Turn, CloseReason> {
        let ready = match written {
            Written::All => self.core.poll_work(cx).is_ready(),
            Written::More => true,
            Written::Blocked => {
                self.core.poll_signals(cx).is_ready()
                    || match self.writer.poll_writable(cx) {
                        Poll::Ready(result) => {
                            result?;
                            // The kernel has got rid of something: the other one took it.
                            self.core.way_moves(now);
                            true
                        }
                        Poll::Pending => false,
                    }
            }
            // Once our waker is in, a second look: either the booth is free now, or who is inside
            // hears us knock, does another round and wakes us.
            Written::Busy => {
                self.core.poll_signals(cx).is_ready() || self.writer.pump()? != Written::Busy
            }
        };
        if ready {
            self.busy_at = Some(now);
            self.parked = false;
        }
        if ready || self.poll_times(cx, now)? {
            return Ok(Turn::More);
        }
        if self.is_polling(now) {
            // Others have their turn, also what a runtime's `block_on` runs, and then it looks again: a
            // waker that is called at once would keep a runtime of one thread to itself.
            let _ = std::pin::pin!(tokio::task::yield_now()).poll(cx);
        }
        Ok(Turn::Waiting)
    }

    /// Deadlines of calls and handlers, of closing, and the idle tick.
    fn poll_times(&mut self, cx: &mut TaskContext<'_>, now: Instant) -> Result<bool, CloseReason> {
        let idle_tick =
            (!self.parked).then(|| now + IDLE_TICK).filter(|at| !self.timer.rings_by(*at));
        let deadlines = [
            self.core.deadline(),
            self.intake.protocol.deadline(),
            self.ends.deadline(),
            self.work.alarm_at(),
            idle_tick,
        ];
        let deadline = deadlines.into_iter().flatten().min();
        if self.timer.poll(cx, deadline).is_pending() {
            return Ok(false);
        }
        let now = Instant::now();
        self.core.handle_timeout(now)?;
        if self.intake.protocol.deadline().is_some_and(|deadline| deadline <= now) {
            self.intake.protocol.handle_timeout(now)?;
            while let Some(frame) = self.intake.protocol.owed() {
                self.core.say(&frame)?;
            }
        }
        let idle = self.busy_at.is_none_or(|busy| now.duration_since(busy) >= IDLE_TICK);
        if idle && !self.parked {
            self.parked = true;
            self.intake.protocol.park();
            self.core.park();
            self.writer.park();
            self.timer.park();
            self.work.park();
            self.times.iter_mut().for_each(LocalTimes::hand_on);
            self.streams.take_if(|streams| {
                while streams.try_join_next().is_some() {}
                streams.is_empty()
            });
        }
        Ok(true)
    }

    /// Says goodbye where there is somebody to say it to, ends the session, and reads the rest.
    async fn take_down(mut self, reason: CloseReason) -> (CloseReason, Ends) {
        let reason = self.core.final_reason(reason);
        let said = self.core.end_phase() == EndPhase::Farewell;
        let farewell = match reason.ending() {
            moorline_protocol::Ending::Close(code) if !said => Some(code),
            _ => None,
        };
        let mut lingers = said && !self.ends.late;
        if let Some(code) = farewell {
            let text = match &reason {
                CloseReason::Violation(violation) => violation.rule.into(),
                CloseReason::Heartbeat { .. } => reason.to_string(),
                CloseReason::ByUs(farewell) => farewell.text.to_string(),
                _ => String::new(),
            };
            let lost = self.core.cut_short(Farewell::new(code, &text)).unwrap_or(0);
            self.ends.left.bytes += lost;
            // The farewell must be sealed before the session ends and takes back what is queued.
            lingers = seal_rest(&self.writer).await.is_ok() && self.writer.pump().is_ok();
        }
        self.work.close();
        self.core.end(&reason);
        if lingers {
            let rest = linger(&mut self.intake, &self.writer, self.ends.shut_down);
            let _ = tokio::time::timeout(self.ends.close_wait, rest).await;
        }
        if self.ends.late {
            self.ends.left.bytes += self.writer.unwritten();
        }
        (reason, self.ends)
    }
}

/// Who writes just now is done before long: nothing more is queued, and a kernel that takes no more is
/// not waited for.
async fn seal_rest(writer: &WireWriter) -> Result<(), CloseReason> {
    loop {
        match writer.seal_rest() {
            Some(sealed) => return sealed,
            None => tokio::task::yield_now().await,
        }
    }
}

/// Writes what is sealed, then reads to the end: a connection closed with unread bytes is reset,
/// and the reset would overtake the farewell.
async fn linger(intake: &mut Intake, writer: &WireWriter, shut_down: bool) {
    if !shut_down {
        let written = poll_fn(|cx| {
            loop {
                match writer.pump() {
                    Ok(Written::Blocked) => {}
                    Ok(Written::More) => continue,
                    // A sender may still be inside with the farewell, and leave it to us.
                    Ok(Written::Busy) => {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    _ => return Poll::Ready(()),
                }
                match writer.poll_writable(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        written.await;
        writer.shutdown();
    }
    poll_fn(|cx| intake.poll_discard(cx)).await;
}
