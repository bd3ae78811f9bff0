//! Every order in which threads can meet at an outbox, and at the lock of whoever writes. Run by
//! `RUSTFLAGS="--cfg loom" cargo test --release -p moorline-buffers -p moorline-session --lib model`.
//!
//! The outbox is the real one, behind a lock of loom's. The writer of `moorline-service` cannot run
//! here, because its runtime cannot: its loop is copied, [`Pump`], and has to be kept like it.

use std::task::Wake;

use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicBool, AtomicUsize};
use loom::sync::{Arc, Mutex};
use loom::thread::spawn;
use moorline_buffers::{Block, BlockPoolConfig};
use moorline_protocol::{
    Abilities, Format, Kind, MessageRegistry, Meta, PeerFacts, PeerLimits, Sealing,
};

use super::*;

/// One letter for each frame.
struct Letters;

impl Encoder for Letters {
    fn format(&self) -> Format {
        Format::MessagePack
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            credit: false,
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
            _ => b"?",
        };
        out.extend_from_slice(letter)?;
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
    let terms = OutboxTerms { bytes_max: 1 << 20, settings: Settings::default(), dialed: true };
    Outbox::new(&opened, &pool, HandledTypes::new(), &terms)
}

/// Counts how often it was woken.
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

type Shared = Arc<Mutex<Outbox>>;

/// As `Shared::append` of a session: whoever sleeps is woken behind the lock.
fn append<R>(shared: &Shared, work: impl FnOnce(&mut Outbox) -> R) -> R {
    let mut outbox = shared.lock().unwrap();
    let result = work(&mut outbox);
    let driver = outbox.rouse();
    drop(outbox);
    driver.into_iter().for_each(Waker::wake);
    result
}

fn post(outbox: &mut Outbox) -> Result<(), SendError> {
    let index = MessageIndex::new(0);
    outbox.takes_new()?;
    let frame = Frame::Post { kind: Kind::Known(index), meta: Meta::default(), body: Body::EMPTY };
    Ok(outbox.append_call(index, (Lane::Normal, false), &frame)?)
}

/// Turns of a driver until it sleeps.
fn drive(shared: &Shared, bell: &std::sync::Arc<Bell>, wire: &mut Vec<u8>) {
    loop {
        shared.lock().unwrap().driver_is_awake();
        loop {
            let block = shared.lock().unwrap().take_block().unwrap();
            let Some(block) = block else { break };
            wire.extend_from_slice(block.bytes());
        }
        let mut waker = Some(Waker::from(std::sync::Arc::clone(bell)));
        let polled = shared.lock().unwrap().poll_work(&mut waker);
        if polled.is_pending() {
            return;
        }
    }
}

/// What has reached the wire when `first` and `second` have run beside a driver, and it sleeps.
fn beside_a_driver<A: Send + 'static, B: Send + 'static>(
    first: fn(&Shared) -> A,
    second: fn(&Shared) -> B,
) -> (A, B, Vec<u8>) {
    let shared = Arc::new(Mutex::new(outbox()));
    let bell = std::sync::Arc::new(Bell(AtomicUsize::new(0)));
    let threads = {
        let (here, there) = (Arc::clone(&shared), Arc::clone(&shared));
        (spawn(move || first(&here)), spawn(move || second(&there)))
    };
    let mut wire = Vec::new();
    drive(&shared, &bell, &mut wire);
    let (first, second) = (threads.0.join().unwrap(), threads.1.join().unwrap());
    // A driver that sleeps does nothing by itself.
    if bell.0.load(SeqCst) > 0 {
        drive(&shared, &bell, &mut wire);
    }
    (first, second, wire)
}

#[test]
fn what_is_appended_is_never_left_to_a_driver_that_sleeps() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let send = |shared: &Shared| append(shared, post).unwrap();
        let ((), (), wire) = beside_a_driver(send, send);
        assert_eq!(wire, b"pp");
    });
}

#[test]
fn what_a_closing_session_has_accepted_leaves_before_its_farewell_and_nothing_after() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let send = |shared: &Shared| append(shared, post).is_ok();
        let close =
            |shared: &Shared| append(shared, |outbox| outbox.begin_close(Farewell::ordinary()));
        let (sent, closed, wire) = beside_a_driver(send, close);
        assert!(closed);
        assert_eq!(wire, if sent { &b"pC"[..] } else { b"C" });
    });
}

/// Who writes, as `WireWriter` of `moorline-service` says it: `pump_marked` there. The lock is what one
/// is made of, since loom does not try every outcome of `try_lock`.
#[derive(Default)]
struct Pump {
    queue: AtomicUsize,
    written: AtomicUsize,
    locked: AtomicBool,
    mark: AtomicBool,
}

impl Pump {
    fn try_lock(&self) -> bool {
        self.locked.compare_exchange(false, true, Acquire, Relaxed).is_ok()
    }

    fn pump(&self) {
        loop {
            if !self.try_lock() {
                self.mark.store(true, SeqCst);
                if !self.try_lock() {
                    return;
                }
            }
            self.written.fetch_add(self.queue.swap(0, AcqRel), AcqRel);
            self.locked.swap(false, Release);
            if !self.mark.swap(false, SeqCst) {
                return;
            }
        }
    }
}

#[test]
fn what_comes_to_a_locked_door_is_written_by_whoever_is_inside() {
    // Without a bound two threads can find each other at the door for ever.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(|| {
        let pump = Arc::new(Pump::default());
        let send = |pump: &Pump| {
            pump.queue.fetch_add(1, AcqRel);
            pump.pump();
        };
        let other = {
            let pump = Arc::clone(&pump);
            spawn(move || send(&pump))
        };
        send(&pump);
        other.join().unwrap();
        assert_eq!((pump.written.load(Acquire), pump.queue.load(Acquire)), (2, 0));
    });
}
