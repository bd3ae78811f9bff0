//! A turn: pull frames until there is none, then write, then say what to wait for.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Waker};

use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{CloseReason, ErrorCode, Farewell, Opened, ProtocolFactory, Step};
use moorline_session::{Core, Direction, EndPhase, SessionParts};

use super::{End, Lines, Phase, Session, Streams};
use crate::context::Context;
use crate::endpoint::Endpoint;
use crate::limits::{CLOSE_WAIT, CUT_WAIT, IDLE_TICK, WIRE_HIGH_WATER};
use crate::pipe::Read;
use crate::script::told;

/// Below this much room a read is not worth its system call; as in the service.
const ROOM_MIN: usize = 8 * 1024;

impl End {
    /// Does what there is to do.
    pub(crate) fn turn(&mut self, endpoint: &mut Endpoint, lines: &mut Lines<'_>) {
        self.due = false;
        self.bell.0.store(false, Ordering::SeqCst);
        let result = match &self.phase {
            Phase::Opening => self.open(endpoint, lines),
            Phase::Open(_) => self.drive(endpoint, lines),
            Phase::Script(_) => self.listen(endpoint, lines),
            Phase::Lingering { .. } => {
                self.linger(lines);
                Ok(())
            }
            Phase::Over => Ok(()),
        };
        if let Err(reason) = result {
            self.end(reason, endpoint, lines);
        }
    }

    // ---- opening ---------------------------------------------------------------------------

    fn open(&mut self, endpoint: &mut Endpoint, lines: &mut Lines<'_>) -> Result<(), CloseReason> {
        let now = self.world.clock.now();
        if self.protocol.deadline().is_some_and(|deadline| deadline <= now) {
            self.protocol.handle_timeout(now)?;
        }
        let read = self.read(lines)?;
        if let Some(input) = &mut self.input {
            match self.protocol.next(now, input, &mut self.wire)? {
                Step::Opened(opened) => {
                    self.write(lines);
                    self.due = true;
                    return self.opened(endpoint, opened);
                }
                Step::Frame(frame, _) => panic!("{frame:?} before the session is open"),
                Step::NeedBytes => {}
            }
        }
        self.write(lines);
        self.due |= read;
        Ok(())
    }

    fn opened(&mut self, endpoint: &mut Endpoint, opened: Box<Opened>) -> Result<(), CloseReason> {
        let (number, side) = (self.number, self.side);
        if endpoint.scripted {
            self.world.say(side, format_args!("#{number} opens, scripted"));
            self.phase = Phase::Script(opened);
            return Ok(());
        }
        let process = endpoint.process.as_mut().expect("its connections go with a process");
        let factory = if endpoint.sealed { Msgpack::sealed() } else { Msgpack::plain() };
        let parts = SessionParts {
            opened: &opened,
            protocol: factory.name(),
            direction: if self.dials { Direction::Connected } else { Direction::Accepted },
            // As the trace names it: both sides know it by the same number.
            address: format!("{} #{number}", side.other().name()).into(),
            registry: endpoint.registry.clone(),
            blocks: process.local.blocks.clone(),
            handled: endpoint.handlers.handled.clone(),
            outbox_bytes: endpoint.outbox_bytes,
            settings: endpoint.settings,
        };
        let session = process.hub.open(parts).map_err(|_| {
            CloseReason::ByUs(Farewell::new(ErrorCode::OVERLOADED, "too many sessions"))
        })?;
        self.world.say(side, format_args!("#{number} opens as session {}", session.id()));
        process.sessions.push(session.clone());
        let core = Core::new(session.clone(), endpoint.settings);
        let cx = Context {
            session: session.clone(),
            side,
            format: opened.encoder.format(),
            due: None,
            world: self.world.clone(),
        };
        self.phase = Phase::Open(Box::new(Session {
            writer: core.writer(),
            core,
            sealing: opened.sealing,
            cx,
            handlers_seen: endpoint.handlers.version,
            draining: false,
            close_by: None,
            running: Rc::new(RefCell::default()),
            streams: Streams::default(),
        }));
        if let Some(dialing) = self.dialing.take() {
            dialing.answer(Ok(session));
        }
        Ok(())
    }

    // ---- an open session -------------------------------------------------------------------

    fn drive(&mut self, endpoint: &mut Endpoint, lines: &mut Lines<'_>) -> Result<(), CloseReason> {
        let now = self.world.clock.now();
        self.session().core.begin_turn(now)?;
        self.look_around(endpoint)?;
        let read = self.read(lines)?;
        self.receive(endpoint)?;
        self.session().core.end_turn();
        self.pump(lines)?;
        self.look_at_the_end(lines)?;
        self.wait();
        if read || self.due {
            self.idle_at = Some(now + IDLE_TICK);
        } else if self.idle_at.is_some_and(|at| at <= now) {
            self.park();
        }
        Ok(())
    }

    fn session(&mut self) -> &mut Session {
        let Phase::Open(session) = &mut self.phase else { unreachable!("the session is open") };
        session
    }

    /// What others asked for, and whether handlers have changed.
    fn look_around(&mut self, endpoint: &Endpoint) -> Result<(), CloseReason> {
        let now = self.world.clock.now();
        let session = self.session();
        let signals = session.core.take_signals();
        if signals.cut {
            let farewell = Farewell::new(ErrorCode::DRAINING, "the time for finishing is over");
            session.core.cut_short(farewell)?;
            session.close_by = Some(now + CUT_WAIT);
        }
        if signals.drain && !std::mem::replace(&mut session.draining, true) {
            session.core.drain()?;
        }
        if session.handlers_seen != endpoint.handlers.version {
            session.handlers_seen = endpoint.handlers.version;
            session.core.set_handled(endpoint.handlers.handled.clone())?;
        }
        Ok(())
    }

    /// Every frame that is there.
    fn receive(&mut self, endpoint: &mut Endpoint) -> Result<(), CloseReason> {
        let now = self.world.clock.now();
        let Self { protocol, input, wire, phase, world, number, side, .. } = self;
        let Phase::Open(session) = phase else { unreachable!("the session is open") };
        while let Some(buffer) = input {
            let Step::Frame(frame, cost) = protocol.next(now, buffer, wire)? else { break };
            let what = told(&frame, &endpoint.registry);
            world.say(*side, format_args!("#{number} hears {what}"));
            session.take(now, frame, cost, &mut endpoint.handlers)?;
        }
        if input.as_ref().is_some_and(|buffer| buffer.is_empty()) {
            *input = None;
        }
        Ok(())
    }

    /// Seals and writes what there is, as far as the link takes it.
    pub(super) fn pump(&mut self, lines: &mut Lines<'_>) -> Result<(), CloseReason> {
        loop {
            self.seal(WIRE_HIGH_WATER)?;
            self.write(lines);
            if self.wire.is_empty() {
                let Phase::Open(session) = &self.phase else { return Ok(()) };
                session.writer.written();
                return Ok(());
            }
            if self.blocked {
                return Ok(());
            }
        }
    }

    pub(super) fn seal(&mut self, wire_max: usize) -> Result<(), CloseReason> {
        let Phase::Open(session) = &mut self.phase else { return Ok(()) };
        while self.wire.len() < wire_max {
            let Some(block) = session.writer.take_block()? else { break };
            session.sealing.seal(block, &mut self.wire)?;
        }
        Ok(())
    }

    /// How far closing has come, if it has begun.
    fn look_at_the_end(&mut self, lines: &mut Lines<'_>) -> Result<(), CloseReason> {
        let now = self.world.clock.now();
        let written = !self.blocked && self.wire.is_empty();
        let session = self.session();
        if session.draining && session.core.is_drained() {
            session.core.session().close();
        }
        let phase = session.core.end_phase();
        if phase == EndPhase::No {
            return Ok(());
        }
        let close_by = *session.close_by.get_or_insert(now + CLOSE_WAIT);
        if now >= close_by {
            if phase == EndPhase::Closing {
                session.core.cut_short(Farewell::ordinary())?;
            }
            return Err(CloseReason::Truncated);
        }
        if phase == EndPhase::Farewell && written && !std::mem::replace(&mut self.shut_down, true) {
            lines.outgoing.close(self.world.clock.passed());
        }
        Ok(())
    }

    /// Tells everything that can wake this end to do so.
    fn wait(&mut self) {
        let waker = Waker::from(Arc::clone(&self.bell));
        let cx = &mut TaskContext::from_waker(&waker);
        let blocked = self.blocked;
        let core = &mut self.session().core;
        let work = if blocked { core.poll_signals(cx) } else { core.poll_work(cx) };
        self.due |= work.is_ready();
    }

    fn park(&mut self) {
        self.idle_at = None;
        self.protocol.park();
        let session = self.session();
        session.core.park();
        session.sealing.park();
        self.wire.park();
    }

    // ---- a script --------------------------------------------------------------------------

    fn listen(
        &mut self,
        endpoint: &mut Endpoint,
        lines: &mut Lines<'_>,
    ) -> Result<(), CloseReason> {
        self.write(lines);
        let read = self.read(lines)?;
        let now = self.world.clock.now();
        while let Some(buffer) = &mut self.input {
            let step = self.protocol.next(now, buffer, &mut self.wire)?;
            let Step::Frame(frame, _) = step else { break };
            let what = told(&frame, &endpoint.registry);
            self.world.say(self.side, format_args!("#{} hears {what}", self.number));
            endpoint.heard.push(what);
        }
        self.due |= read;
        Ok(())
    }

    // ---- the link --------------------------------------------------------------------------

    /// One read, if there is something; whether there was.
    pub(super) fn read(&mut self, lines: &mut Lines<'_>) -> Result<bool, CloseReason> {
        let passed = self.world.clock.passed();
        if self.eof || !lines.incoming.readable(passed) {
            return Ok(false);
        }
        let capacity = self.protocol.read_capacity();
        let pool = &self.pool;
        let buffer = match &mut self.input {
            Some(buffer) => buffer,
            vacant => vacant.insert(pool.acquire(capacity)?),
        };
        let wanted = capacity.saturating_sub(buffer.len()).max(1);
        if buffer.is_empty() || buffer.spare_mut().len() < wanted.min(ROOM_MIN) {
            buffer.reserve(wanted)?;
        }
        let spare = buffer.spare_mut();
        let read = lines.incoming.read(passed, spare);
        let Read::Bytes(len) = read else {
            self.eof = true;
            self.world.say(self.side, format_args!("#{} reads {read:?}", self.number));
            return Err(match read {
                Read::Reset => CloseReason::Io(std::io::ErrorKind::ConnectionReset),
                _ => self.protocol.handle_eof(),
            });
        };
        let sum = crc32fast::hash(&spare[..len]);
        buffer.commit(len);
        self.world.say(self.side, format_args!("#{} reads {len} B {sum:08x}", self.number));
        Ok(true)
    }

    /// What is sealed, as far as the link takes it.
    pub(super) fn write(&mut self, lines: &mut Lines<'_>) {
        let passed = self.world.clock.passed();
        let mut written = 0;
        self.blocked = false;
        while let Some(block) = self.wire.front() {
            let taken = lines.outgoing.write(passed, block.bytes());
            if taken == 0 {
                self.blocked = true;
                break;
            }
            self.wire.advance(taken);
            written += taken;
        }
        if written > 0 {
            self.world.say(self.side, format_args!("#{} writes {written} B", self.number));
        }
    }
}
