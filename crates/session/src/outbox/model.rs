//! Every order in which threads can meet at an outbox. Run by
//! `RUSTFLAGS="--cfg loom" cargo test --release -p moorline-buffers -p moorline-session --lib model`.
//!
//! The outbox is the real one, behind a lock of loom's, and so is the [`Booth`](crate::Booth) before
//! whoever writes. The driver of `moorline-service` cannot run here, because its runtime cannot:
//! [`Scene`] takes its turns.

mod gate;
mod scene;
mod writer;

use moorline_buffers::{Block, BlockPoolConfig};
use moorline_protocol::{
    Abilities, Format, Kind, MessageRegistry, Meta, PeerFacts, PeerLimits, Sealing,
};

use self::scene::{Scene, check};
use super::*;

/// One letter for each frame.
struct Letters;

impl Encoder for Letters {
    fn format(&self) -> Format {
        Format::MessagePack
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            credit: true,
            limits: true,
            cancel: true,
            pings: true,
            typed_errors: true,
            deadlines: true,
            dictionary: false,
            farewell: true,
            streams: true,
            topics: false,
        }
    }

    fn encode(
        &self,
        frame: &Frame<'_>,
        _lane: Lane,
        out: &mut SendBuffer,
    ) -> Result<u64, EncodeError> {
        let letter = match frame {
            Frame::Post { .. } => b"p",
            Frame::Close { .. } => b"C",
            Frame::Ping { .. } => b"!",
            _ => b"?",
        };
        out.extend_from_slice(letter)?;
        if letter == b"p" {
            out.add_weight(1);
        }
        Ok(0)
    }

    fn cost(&self, _body_len: usize) -> u64 {
        0
    }

    fn announce(
        &self,
        told: u32,
        _handled: &HandledTypes,
        _out: &mut SendBuffer,
    ) -> Result<u32, EncodeError> {
        Ok(told)
    }
}

struct Unsealed;

impl Sealing for Unsealed {
    fn seal(&mut self, block: Block, wire: &mut SendBuffer) -> Result<(), CloseReason> {
        wire.push_block(block);
        Ok(())
    }

    fn park(&mut self) {}
}

fn outbox() -> Outbox {
    let limits = PeerLimits {
        message_max: 1 << 20,
        initiation_window: 1 << 20,
        stream_window: 1 << 20,
        in_flight_max: 16,
        streams_max: 8,
        timeout: None,
    };
    let opened = Opened {
        sealing: Box::new(Unsealed),
        encoder: std::sync::Arc::new(Letters),
        peer: PeerFacts {
            key: None,
            listed: None,
            suite: "none",
            binding: [0; 32],
            agent: "".into(),
        },
        limits,
        types: PeerTypes::same(&MessageRegistry::empty(), 0, None),
        told: 1,
        block_max: 1_024,
    };
    let pool = BlockPool::new(BlockPoolConfig::messages());
    let terms = OutboxTerms {
        bytes_max: 1 << 20,
        settings: Settings::default(),
        dialed: true,
        unit_body_max: 16_000,
    };
    Outbox::new(&opened, &pool, HandledTypes::new(), &terms)
}

fn post(outbox: &mut Outbox) -> Result<(), SendError> {
    let index = MessageIndex::new(0);
    outbox.takes_new()?;
    let frame = Frame::Post { kind: Kind::Known(index), meta: Meta::default(), body: Body::EMPTY };
    Ok(outbox.append_call(index, (Lane::Normal, false), &frame)?)
}

#[test]
fn what_is_appended_is_never_left_to_a_driver_that_sleeps() {
    check(3, || {
        let scene = Scene::new(outbox());
        let send = |scene: &Scene| scene.append(post).unwrap();
        Scene::beside_a_driver(&scene, send, send);
        assert_eq!(scene.wire(), b"pp");
    });
}

#[test]
fn what_a_closing_session_has_accepted_leaves_before_its_farewell_and_nothing_after() {
    check(3, || {
        let scene = Scene::new(outbox());
        let send = |scene: &Scene| scene.append(post).is_ok();
        let close = |scene: &Scene| scene.append(|outbox| outbox.begin_close(Farewell::ordinary()));
        let (sent, closed) = Scene::beside_a_driver(&scene, send, close);
        assert!(closed);
        assert_eq!(scene.wire(), if sent { &b"pC"[..] } else { b"C" });
    });
}
