//! Each side asks the other who it is, and answers.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use moorline_buffers::{RecvBuffer, SendBuffer};
use moorline_noise::Peer;
use moorline_protocol::{
    Admission, CloseReason, HandshakeRefusal, Opened, PeerFacts, PeerLimits, PeerTypes, printable,
};

use super::{Missed, Side};
use crate::compress::{Press, Unpress};
use crate::decoder::Decoder;
use crate::dialect::{Dialect, HEARTBEAT, WHOAMI};
use crate::encoder::GofastEncoder;
use crate::exchanges::{Asked, Ends, Exchanges, Owing, Requests, Streams};
use crate::limits::{
    FRAME_OVERHEAD_MAX, MEETING_HEARTBEATS_MAX, PEER_BUFFERSIZE_MIN, REQUESTS_MAX_DEFAULT,
    STREAMS_MAX_DEFAULT, WHOAMI_MAX,
};
use crate::message;
use crate::opaques::Meaning;
use crate::outlet::Outlet;
use crate::packet::{Inner, Kind, Packet, TooLongOrNoMemory};
use crate::shared::Shared;
use crate::sight::{Sight, broken, look};
use crate::stats::Counters;
use crate::whoami::{Ours, Whoami};

/// A connection on which nobody has said all of who it is.
pub(super) struct Meeting {
    side: Side,
    /// Who may come, for the side that listens.
    admission: Option<Box<dyn Admission>>,
    listed: Option<Peer>,
    counters: Arc<Counters>,
    whoami: Vec<u8>,
    /// What the peer has answered.
    peer: Option<Whoami>,
    /// The peer was answered.
    asked_by_peer: bool,
    heartbeats: u32,
}

impl Meeting {
    pub(super) fn new(side: Side, admission: Option<Box<dyn Admission>>) -> Self {
        let whoami = own_whoami(&side).encode(side.dialect);
        Self {
            side,
            admission,
            listed: None,
            counters: Arc::default(),
            whoami,
            peer: None,
            asked_by_peer: false,
            heartbeats: 0,
        }
    }

    /// Asks who is there.
    pub(super) fn ask(&self, out: &mut SendBuffer) -> Result<(), CloseReason> {
        Counters::add(&self.counters.n_txreq, 1);
        self.say(self.side.opaques.whoami(), out)
    }

    /// Question and answer are the same: who we are.
    fn say(&self, opaque: u64, out: &mut SendBuffer) -> Result<(), CloseReason> {
        let dialect = self.side.dialect;
        let inner = Inner::Message { id: dialect.id_of(WHOAMI), body: [&self.whoami, &[]] };
        let packet = Packet { dialect, kind: Kind::Request, opaque, inner };
        Counters::add(&self.counters.n_tx, 1);
        Counters::add(&self.counters.n_txbyte, packet.len() as u64);
        packet.append(&packet.lens(), None, out).map_err(|error| match error {
            TooLongOrNoMemory::NoMemory(exhausted) => exhausted.into(),
            TooLongOrNoMemory::TooLong { .. } => self.missed(Missed::Whoami),
        })
    }

    fn missed(&self, missed: Missed) -> CloseReason {
        missed.seen(self.side.dials)
    }

    /// Takes what has come. `true`: both sides know each other.
    pub(super) fn next(
        &mut self,
        now: Instant,
        input: &mut RecvBuffer,
        out: &mut SendBuffer,
    ) -> Result<bool, CloseReason> {
        while self.peer.is_none() || !self.asked_by_peer {
            let arrived = input.unopened().len();
            input.mark_opened(arrived);
            let max = WHOAMI_MAX as u64;
            let seen = match look(self.side.dialect, input.readable(), max) {
                Ok(Sight::Whole(seen)) => seen,
                Ok(Sight::Missing(missing)) => return Self::wait(input, missing),
                Ok(Sight::Partly(seen)) => return Self::wait(input, seen.len - arrived_of(input)),
                Err(_) => return Err(self.missed(Missed::Foreign)),
            };
            Counters::add(&self.counters.n_rx, 1);
            Counters::add(&self.counters.n_rxbyte, seen.len as u64);
            let frame = input.take(seen.len);
            let inner = &frame[seen.inner];
            let (id, body) = message::read(self.side.dialect, inner)
                .ok_or_else(|| self.missed(Missed::Misplaced))?;
            let is = |built_in| id == self.side.dialect.id_of(built_in);
            match seen.kind {
                Kind::Request if is(WHOAMI) => self.whoami(seen.opaque, &inner[body], out)?,
                // Somebody who is quick to say that it is there.
                Kind::Post if is(HEARTBEAT) && self.heartbeats < MEETING_HEARTBEATS_MAX => {
                    self.heartbeats += 1;
                    self.counters.heard(now);
                }
                _ => return Err(self.missed(Missed::Misplaced)),
            }
        }
        Ok(true)
    }

    fn wait(input: &mut RecvBuffer, missing: usize) -> Result<bool, CloseReason> {
        input.reserve(missing)?;
        Ok(false)
    }

    /// The peer asks, or answers: it depends on whose opaque it is.
    //= docs/PROTOCOL.md#11
    fn whoami(
        &mut self,
        opaque: u64,
        body: &[u8],
        out: &mut SendBuffer,
    ) -> Result<(), CloseReason> {
        let said = Whoami::decode(self.side.dialect, body);
        let said = said.filter(|said| said.buffersize >= PEER_BUFFERSIZE_MIN);
        let said = said.ok_or_else(|| self.missed(Missed::Whoami))?;
        match self.side.opaques.meaning(opaque) {
            Some(Meaning::Whoami) if self.peer.is_none() => {
                Counters::add(&self.counters.n_rxresp, 1);
                self.peer = Some(said);
                Ok(())
            }
            Some(_) => Err(broken(
                "who asks for our name does so on an opaque of ours: the ranges of opaques overlap \
                 (settings `opaque_start` and `opaque_end`)",
            )
            .into()),
            // Nobody has a reason to ask again, and each answer is memory for somebody unknown.
            None if self.asked_by_peer => Err(self.missed(Missed::Misplaced)),
            None => {
                Counters::add(&self.counters.n_rxreq, 1);
                self.admit()?;
                self.asked_by_peer = true;
                Counters::add(&self.counters.n_txresp, 1);
                self.say(opaque, out)
            }
        }
    }

    fn admit(&mut self) -> Result<(), CloseReason> {
        if let Some(admission) = self.admission.take() {
            let listed = admission.admit(None).map_err(|refusal| {
                CloseReason::HandshakeRefused(HandshakeRefusal::NotAdmitted { key: None, refusal })
            })?;
            self.listed = Some(listed);
        }
        Ok(())
    }

    /// Both sides know each other: what an open connection is made of.
    pub(super) fn finish(&mut self) -> (Decoder, Opened) {
        let peer = self.peer.take().expect("the peer has said who it is");
        let side = &self.side;
        let ours = peer.ours().filter(|_| side.settings.extension);
        let mut opaques = side.opaques;
        opaques.share(
            ours.map_or(REQUESTS_MAX_DEFAULT, |ours| ours.requests_max),
            ours.map_or(STREAMS_MAX_DEFAULT, |ours| ours.streams_max),
        );
        let name = printable(&String::from_utf8_lossy(&peer.name));
        let own = side.local.settings;
        let shared = Arc::new(Shared {
            dialect: side.dialect,
            format: side.settings.format,
            ids: Arc::clone(&side.ids),
            opaques,
            ours: ours.is_some(),
            frame_max: peer.buffersize,
            press: Press::new(peer.compressions(), side.settings.gzip_level, peer.buffersize),
            whoami: std::mem::take(&mut self.whoami),
            asks: own_whoami(side).asks(side.dialect),
            counters: Arc::clone(&self.counters),
            exchanges: Mutex::new(Exchanges {
                requests: Requests::new(own.in_flight_max),
                streams: Streams::new(
                    ends(side.dialect, ours.is_some()),
                    side.dials,
                    opaques.streams(),
                ),
                owed: Owing::default(),
                asked: Asked::default(),
            }),
            _entered: side.stats.enter(&name, peer.version, &self.counters),
        });
        let opened = self.opened(&shared, &peer, &name);
        let buffersize = side.settings.buffersize(own.message_max);
        let unpress = Unpress::new(side.settings.compressions(), buffersize);
        (Decoder::new(shared, side.local.recv.clone(), unpress, buffersize), opened)
    }

    fn opened(&self, shared: &Arc<Shared>, peer: &Whoami, name: &str) -> Opened {
        let local = &self.side.local;
        let agent = match peer.version {
            Some(version) => printable(&format!("{name}/{version}")),
            None => name.into(),
        };
        Opened {
            sealing: Box::new(Outlet::new(Arc::clone(shared))),
            encoder: Arc::new(GofastEncoder::new(Arc::clone(shared))),
            peer: PeerFacts {
                key: None,
                listed: self.listed.clone(),
                suite: "none",
                binding: [0; 32],
                agent,
            },
            limits: PeerLimits {
                message_max: peer.buffersize.saturating_sub(FRAME_OVERHEAD_MAX as u64),
                // Nobody counts.
                initiation_window: u64::MAX,
                stream_window: u64::MAX,
                in_flight_max: shared.opaques.requests(),
                streams_max: shared.opaques.streams(),
                timeout: None,
            },
            types: PeerTypes::same(&local.registry, 0, None),
            told: u32::MAX,
            block_max: local.blocks.payload_capacity(),
        }
    }
}

const fn ends(dialect: Dialect, ours: bool) -> Ends {
    match dialect {
        _ if ours => Ends::OneWayOfOurs,
        Dialect::Y2016 => Ends::BothWays,
        Dialect::Y2017 => Ends::OneWay,
    }
}

fn arrived_of(input: &RecvBuffer) -> usize {
    input.readable().len()
}

/// Who we are.
fn own_whoami(side: &Side) -> Whoami {
    let settings = &side.settings;
    let limits = side.local.settings;
    let ours = Ours { requests_max: limits.in_flight_max, streams_max: limits.streams_max };
    let mut tags: Vec<_> = crate::whoami::names(&settings.tags).map(str::to_owned).collect();
    if settings.extension {
        tags.push(ours.name());
    }
    Whoami {
        name: settings.name.as_ref().unwrap_or(&side.local.agent).clone().into_bytes(),
        version: Some(settings.version),
        buffersize: settings.buffersize(limits.message_max),
        tags: tags.join(","),
    }
}
