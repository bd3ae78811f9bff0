//! One end of a connection: what a driver of the service is, on virtual time and without sockets.
//!
//! An end takes a turn only when something has woken it: bytes, room in the link, time, its own
//! unfinished work, or its waker. So a wake-up that is lost shows.

mod deliver;
mod finish;
mod turn;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::time::{Duration, Instant};

use moorline_buffers::{RecvBuffer, RecvPool, SendBuffer};
use moorline_noise::{Peer, Peers, PublicKey, Refusal};
use moorline_protocol::msgpack::Msgpack;
use moorline_protocol::{
    Admission, CloseReason, Frame, Lane, Opened, Protocol, ProtocolFactory, Sealing,
};
use moorline_session::{Core, SessionWriter};

use crate::context::Context;
use crate::endpoint::Endpoint;
use crate::pipe::Pipe;
use crate::side::Side;
use crate::tasks::TaskBell;
use crate::world::{Dialing, World};

/// Protocol, session and their memory, at one side.
pub(crate) struct End {
    /// Number of the connection, for the trace.
    number: u32,
    pub(crate) side: Side,
    dials: bool,
    protocol: Box<dyn Protocol>,
    /// Held only while there is something in it.
    input: Option<RecvBuffer>,
    wire: SendBuffer,
    pool: RecvPool,
    phase: Phase,
    bell: Arc<Bell>,
    /// It has work of its own.
    due: bool,
    /// The link takes nothing, and something is to be written.
    blocked: bool,
    eof: bool,
    shut_down: bool,
    /// When it gives back what can be had again, if it has not.
    idle_at: Option<Instant>,
    dialing: Option<Dialing>,
    world: World,
}

enum Phase {
    Opening,
    Open(Box<Session>),
    Script(Box<Opened>),
    /// The session is over; what was sealed is written and the rest is read.
    Lingering {
        until: Instant,
    },
    Over,
}

/// An open session.
struct Session {
    core: Core,
    writer: SessionWriter,
    sealing: Box<dyn Sealing>,
    cx: Context,
    handlers_seen: u64,
    draining: bool,
    close_by: Option<Instant>,
    /// Requests of the peer that are not answered, by number.
    running: Rc<RefCell<BTreeSet<u32>>>,
    streams: Streams,
}

/// Tasks of the peer's streams: they end with the session at the latest.
#[derive(Default)]
struct Streams(Vec<Arc<TaskBell>>);

impl Drop for Streams {
    fn drop(&mut self) {
        self.0.iter().for_each(|bell| bell.stop());
    }
}

/// The two directions, as one end sees them.
pub(crate) struct Lines<'p> {
    pub(crate) incoming: &'p mut Pipe,
    pub(crate) outgoing: &'p mut Pipe,
}

/// What the sessions of this end let themselves be seen of, for the checks after each step.
pub(crate) struct Look<'e> {
    pub(crate) core: &'e Core,
    pub(crate) wire: usize,
}

#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A listener of the simulation lets in whoever has a key, or nobody needs one.
struct Anybody {
    sealed: bool,
}

impl Admission for Anybody {
    fn admit(&self, key: Option<&PublicKey>) -> Result<Peer, Refusal> {
        let peers = if self.sealed { Peers::anyone() } else { Peers::anonymous() };
        peers.admit(key, None, 0)
    }
}

impl End {
    /// The end that dials where `dialing` says so, else the one that listens.
    pub(crate) fn new(
        endpoint: &Endpoint,
        number: u32,
        peer: Option<PublicKey>,
        dialing: Option<Dialing>,
    ) -> Self {
        let process = endpoint.process.as_ref().expect("a side that is down has no connections");
        let (local, handled) = (Arc::clone(&process.local), endpoint.handlers.handled.clone());
        let factory = if endpoint.sealed { Msgpack::sealed() } else { Msgpack::plain() };
        let (wire, pool) = (SendBuffer::new(&local.blocks), local.recv.clone());
        let protocol = if dialing.is_some() {
            factory.initiator(local, handled, peer.into())
        } else {
            let admission = Box::new(Anybody { sealed: endpoint.sealed });
            factory.responder(local, handled, admission)
        };
        let mut end = Self {
            number,
            side: endpoint.side,
            dials: dialing.is_some(),
            protocol: protocol.expect("the simulation brings what the protocol needs"),
            input: None,
            wire,
            pool,
            phase: Phase::Opening,
            bell: Arc::default(),
            due: true,
            blocked: false,
            eof: false,
            shut_down: false,
            idle_at: None,
            dialing,
            world: endpoint.world.clone(),
        };
        let now = end.world.clock.now();
        end.protocol.start(now, &mut end.wire).expect("a fresh process has memory");
        end
    }

    /// Whether there is a reason for a turn.
    pub(crate) fn is_due(&self, endpoint: &Endpoint, incoming: &Pipe, outgoing: &Pipe) -> bool {
        let clock = &self.world.clock;
        self.due
            || self.bell.0.load(Ordering::SeqCst)
            || !self.eof && incoming.readable(clock.passed())
            || self.blocked && outgoing.has_room()
            || self.handlers_seen().is_some_and(|seen| seen != endpoint.handlers.version)
            || self.deadline().is_some_and(|deadline| deadline <= clock.now())
    }

    fn handlers_seen(&self) -> Option<u64> {
        match &self.phase {
            Phase::Open(session) => Some(session.handlers_seen),
            _ => None,
        }
    }

    /// When something is to be done without anybody else's doing.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let of_phase = match &self.phase {
            Phase::Opening => self.protocol.deadline(),
            Phase::Open(session) => {
                let deadlines =
                    [session.core.deadline(), session.close_by, self.protocol.deadline()];
                deadlines.into_iter().flatten().min()
            }
            Phase::Lingering { until } => Some(*until),
            Phase::Script(_) | Phase::Over => None,
        };
        [of_phase, self.idle_at].into_iter().flatten().min()
    }

    /// When bytes will be there for it, if it still reads.
    pub(crate) fn next_bytes(&self, incoming: &Pipe) -> Option<Duration> {
        if self.eof { None } else { incoming.next_at() }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    pub(crate) fn look(&self) -> Option<Look<'_>> {
        match &self.phase {
            Phase::Open(session) => Some(Look { core: &session.core, wire: self.wire.len() }),
            _ => None,
        }
    }

    /// A scripted end says this. `false` if it is no scripted end, or none any more.
    pub(crate) fn say(&mut self, frames: &[Frame<'_>]) -> bool {
        let Phase::Script(opened) = &mut self.phase else { return false };
        let mut chain = SendBuffer::with_block_max(self.wire.pool(), opened.block_max);
        for frame in frames {
            opened.encoder.encode(frame, Lane::Normal, &mut chain).expect("a script has memory");
        }
        while let Some(block) = chain.pop_block() {
            opened.sealing.seal(block, &mut self.wire).expect("a script has memory");
        }
        self.due = true;
        true
    }

    /// A scripted end sends these bytes as they are.
    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) -> bool {
        let scripted = matches!(self.phase, Phase::Script(_));
        if scripted {
            self.wire.extend_from_slice(bytes).expect("a script has memory");
            self.due = true;
        }
        scripted
    }

    /// A scripted end goes away.
    pub(crate) fn hang_up(&mut self, lines: &mut Lines<'_>) -> bool {
        let scripted = matches!(self.phase, Phase::Script(_));
        if scripted {
            self.leave(lines);
        }
        scripted
    }

    /// Nothing is left of the end but what the network has.
    fn leave(&mut self, lines: &mut Lines<'_>) {
        self.phase = Phase::Over;
        lines.outgoing.close(self.world.clock.passed());
        lines.incoming.abandon();
        self.input = None;
        self.wire.clear();
        self.wire.park();
    }

    fn refuse_dialing(&mut self, reason: &CloseReason) {
        if let Some(dialing) = self.dialing.take() {
            dialing.answer(Err(reason.clone()));
        }
    }
}
