//! A connection from its first byte to its last: handshake, session, end. The same for both sides.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

use moorline_buffers::SendBuffer;
use moorline_protocol::{CloseReason, Farewell, HandledTypes, Opened, Protocol};
use moorline_session::{Core, Direction, Flusher, SessionParts, SessionRef, Signals, TableFull};
use tracing::Instrument;

use crate::client::{Client, Shared};
use crate::context::Context;
use crate::driver::Driver;
use crate::ends::Ends;
use crate::intake::Intake;
use crate::opening;
use crate::owner::{Desk, Workplace};
use crate::peers::Peers;
use crate::seats::Seat;
use crate::service::Inner;
use crate::shards::Place;
use crate::transport::{Connection, Writer};
use crate::writer::WireWriter;

/// Where a session stays, and as whose guest.
#[derive(Default)]
pub(crate) struct Stay {
    /// Its shard, where there are such.
    pub(crate) place: Option<Place>,
    /// One of those its listener has, where they are counted.
    pub(crate) seat: Option<Seat>,
    /// The list it got in by, which is followed while it lasts.
    pub(crate) peers: Option<Peers>,
}

type Taken = (Option<Place>, Option<Seat>);

/// A connection that is not a session yet.
pub(crate) struct Fresh {
    intake: Intake,
    writer: Arc<dyn Writer>,
    out: SendBuffer,
    peer: Box<str>,
    ip: Option<IpAddr>,
    protocol: &'static str,
    direction: Direction,
    handled: HandledTypes,
}

/// Why an open connection becomes no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStarted {
    #[error(transparent)]
    Full(#[from] TableFull),
    /// It was dialed for somebody who does not want it any more.
    #[error("the client is over")]
    Over,
}

impl Fresh {
    pub(crate) fn new(
        inner: &Inner,
        connection: Connection,
        protocol: Box<dyn Protocol>,
        name: &'static str,
        direction: Direction,
        handled: HandledTypes,
    ) -> Self {
        let Connection { reader, writer, peer, ip } = connection;
        Self {
            intake: Intake::new(reader, protocol, inner.local.recv.clone()),
            writer,
            out: SendBuffer::new(&inner.local.blocks),
            peer,
            ip,
            protocol: name,
            direction,
            handled,
        }
    }

    /// The handshake, and whether the peer handles what is required of it.
    pub(crate) async fn open(&mut self, inner: &Inner) -> Result<Box<Opened>, CloseReason> {
        let Self { intake, writer, out, .. } = self;
        let mut opened = opening::open(intake, writer, out).await?;
        let Some(farewell) = inner.required.unmet(&opened.types) else { return Ok(opened) };
        self.turn_away(inner, &mut opened, &farewell).await?;
        Err(CloseReason::ByUs(farewell))
    }

    /// Tells a peer that has proved who it is why there is no session with it.
    pub(crate) async fn turn_away(
        &mut self,
        inner: &Inner,
        opened: &mut Opened,
        farewell: &Farewell,
    ) -> Result<(), CloseReason> {
        let Self { intake, writer, out, .. } = self;
        opening::turn_away(opened, farewell, &**writer, out)?;
        // Closed with bytes unread, the connection would be reset before the peer has read why.
        let rest = poll_fn(|cx| intake.poll_discard(cx));
        let _ = tokio::time::timeout(inner.patience.close, rest).await;
        Ok(())
    }

    /// Makes a session of it, which its own task drives from now on.
    pub(crate) fn start(
        self,
        inner: &Arc<Inner>,
        opened: Opened,
        stay: Stay,
        client: Option<&Arc<Shared>>,
    ) -> Result<SessionRef, NotStarted> {
        let local = &inner.local;
        let format = opened.encoder.format();
        let parts = SessionParts {
            opened: &opened,
            protocol: self.protocol,
            direction: self.direction,
            address: self.peer,
            registry: local.registry.clone(),
            blocks: local.blocks.clone(),
            handled: self.handled,
            outbox_bytes: inner.outbox_bytes,
            settings: local.settings,
        };
        let desk = Arc::new(Desk::new(Arc::clone(&inner.handlers)));
        let prepare = |session: &SessionRef| {
            let vacant = session.attach_desk(Arc::clone(&desk)).is_ok();
            assert!(vacant, "a new session has no desk");
        };
        let session = match client {
            None => inner.hub.open_with(parts, prepare)?,
            Some(client) => client.open_with(parts, prepare).ok_or(NotStarted::Over)?,
        };
        inner.record.opened();
        if let Some(peers) = stay.peers {
            inner.guests.enter(session.id(), session.peer().key, self.ip, peers);
        }
        let core = Core::new(session.clone(), local.settings);
        let writer =
            Arc::new(WireWriter::new(self.writer, core.writer(), opened.sealing, self.out));
        let flusher: Arc<dyn Flusher> = writer.clone();
        let weak: Weak<dyn Flusher> = Arc::downgrade(&flusher);
        core.set_flusher(weak);
        let client = client.map(|shared| Client { shared: Arc::clone(shared) });
        let work = Workplace::new(desk, Context::of_owner(session.clone(), client, format));
        let unused = SendBuffer::new(&local.blocks);
        let ends = Ends::new(Instant::now(), &session, &inner.patience);
        let driver = Driver::new(self.intake, core, writer, work, ends, unused)
            .busy_polling(inner.busy_poll)
            .measuring(inner.handler_times.clone());
        let peer = &session.peer().key;
        let span = tracing::info_span!(
            "session",
            id = %session.id(),
            peer = peer.as_ref().map(tracing::field::display),
            protocol = session.protocol(),
        );
        let drive = drive(driver, Arc::clone(inner), session.clone(), (stay.place, stay.seat));
        inner.drivers.spawn(drive.instrument(span));
        // A shutdown that began meanwhile may have looked at the sessions before this one was there.
        if inner.is_stopped() {
            session.signal(Signals { drain: true, cut: true, ..Signals::default() });
        }
        Ok(session)
    }
}

/// What it takes up is counted until its end.
async fn drive(driver: Driver, inner: Arc<Inner>, session: SessionRef, _taken: Taken) {
    tracing::info!(address = session.address(), suite = session.peer().suite, "session opened");
    let (reason, ends) = driver.run().await;
    inner.guests.leave(session.id());
    inner.record.ended(&session, &reason);
    if !ends.left.is_nothing() {
        tracing::warn!("cut short, with {}", ends.left);
        if ends.of_shutdown {
            *inner.left_behind() += ends.left;
        }
    }
    tracing::info!(%reason, "session closed");
}
