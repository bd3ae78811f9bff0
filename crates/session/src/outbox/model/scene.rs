//! An outbox, who writes, and a driver that sleeps when there is nothing to do.

use std::task::Wake;
use std::time::Instant;

use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::sync::{Arc, Mutex};
use loom::thread::spawn;

use super::*;
use crate::booth::Booth;

pub(super) fn check(preemption_bound: usize, scene: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemption_bound);
    model.check(scene);
}

/// Counts how often the driver was woken.
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// What is sealed, and a kernel that takes so many bytes until it is asked for more.
pub(super) struct Wire {
    sealed: Vec<u8>,
    taken: Vec<u8>,
    room: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    All,
    Blocked,
    Busy,
}

pub(super) struct Scene {
    outbox: Mutex<Outbox>,
    booth: Booth<Wire>,
    bell: std::sync::Arc<Bell>,
    /// Nobody else looks at it.
    driver: std::sync::Mutex<Driver>,
}

/// What only the driver knows.
struct Driver {
    now: Instant,
    /// How far the end was when it last looked: is it closing, is the farewell said, is anything left.
    seen: (bool, bool, bool),
    /// It has seen that the farewell is with the kernel.
    shut_down: bool,
}

fn end_of(outbox: &Outbox) -> (bool, bool, bool) {
    let closing = matches!(outbox.phase(), Phase::Closing(_) | Phase::Farewell(_));
    (closing, !outbox.speaks(), outbox.queued() > 0)
}

impl Scene {
    pub(super) fn new(outbox: Outbox) -> Arc<Self> {
        Self::with_room(outbox, usize::MAX)
    }

    /// With a kernel that takes so many bytes at first.
    pub(super) fn with_room(outbox: Outbox, room: usize) -> Arc<Self> {
        Arc::new(Self {
            outbox: Mutex::new(outbox),
            booth: Booth::new(Wire { sealed: Vec::new(), taken: Vec::new(), room }),
            bell: std::sync::Arc::new(Bell(AtomicUsize::new(0))),
            driver: std::sync::Mutex::new(Driver {
                now: Instant::now(),
                seen: (false, false, false),
                shut_down: false,
            }),
        })
    }

    /// Both run beside a driver, which then goes on until it sleeps and nobody wakes it.
    pub(super) fn beside_a_driver<A: Send + 'static, B: Send + 'static>(
        this: &Arc<Self>,
        first: fn(&Scene) -> A,
        second: fn(&Scene) -> B,
    ) -> (A, B) {
        let (here, there) = (Arc::clone(this), Arc::clone(this));
        let (first, second) = (spawn(move || first(&here)), spawn(move || second(&there)));
        this.drive();
        let results = (first.join().unwrap(), second.join().unwrap());
        while this.bell.0.swap(0, SeqCst) > 0 {
            this.drive();
        }
        this.has_seen_the_end();
        results
    }

    /// A driver that sleeps knows how far the end is.
    fn has_seen_the_end(&self) {
        let outbox = self.outbox.lock().unwrap();
        if outbox.ends() {
            assert_eq!(self.driver.lock().unwrap().seen, end_of(&outbox));
        }
    }

    /// What the kernel has taken.
    pub(super) fn wire(&self) -> Vec<u8> {
        self.booth.step_in(|wire| wire.taken.clone()).expect("nobody writes").result
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.driver.lock().unwrap().shut_down
    }

    // ---- what senders do -------------------------------------------------------------------

    /// As `Shared::append` of a session: whoever sleeps is woken behind the lock.
    pub(super) fn append<R>(&self, work: impl FnOnce(&mut Outbox) -> R) -> R {
        let mut outbox = self.outbox.lock().unwrap();
        let result = work(&mut outbox);
        outbox.release_if_full();
        let driver = outbox.rouse();
        drop(outbox);
        driver.into_iter().for_each(Waker::wake);
        result
    }

    /// As `WireWriter::flush` of the service.
    pub(super) fn write(&self) {
        let stay = self.booth.knock(|wire| self.pump(wire));
        if stay.is_some_and(|stay| stay.knocked || stay.result != Written::All) {
            self.append(|outbox| outbox.signal(Signals { wire: true, ..Signals::default() }));
        }
    }

    fn pump(&self, wire: &mut Wire) -> Written {
        loop {
            while let Some(block) = self.take_block() {
                wire.sealed.extend_from_slice(block.bytes());
            }
            if wire.sealed.is_empty() {
                return Written::All;
            }
            let written = wire.sealed.len().min(wire.room);
            if written == 0 {
                return Written::Blocked;
            }
            wire.taken.extend(wire.sealed.drain(..written));
            wire.room -= written;
        }
    }

    /// As that of a `SessionWriter`.
    fn take_block(&self) -> Option<Block> {
        let mut outbox = self.outbox.lock().unwrap();
        let taken = outbox.take_block().unwrap();
        let driver = outbox.block_taken(taken.is_some());
        drop(outbox);
        driver.into_iter().for_each(Waker::wake);
        taken
    }

    // ---- what the driver does --------------------------------------------------------------

    /// Turns until it sleeps. It does not sleep longer than to when the gate opens.
    fn drive(&self) {
        let mut driver = self.driver.lock().unwrap();
        loop {
            let mut outbox = self.outbox.lock().unwrap();
            outbox.driver_is_awake();
            outbox.look_at_gate(driver.now);
            outbox.take_signals();
            drop(outbox);
            let written = self.knock();
            // As `Driver::look_at_the_end` of the service.
            driver.seen = end_of(&self.outbox.lock().unwrap());
            driver.shut_down |= driver.seen.1 && written == Written::All;
            if self.rests(written) {
                let deadline = self.outbox.lock().unwrap().gate_opens_at();
                let Some(opens_at) = deadline else { return };
                driver.now = driver.now.max(opens_at);
            }
        }
    }

    fn knock(&self) -> Written {
        self.booth.knock(|wire| self.pump(wire)).map_or(Written::Busy, |stay| stay.result)
    }

    /// As `Driver::wait` of the service.
    fn rests(&self, written: Written) -> bool {
        let rests = match written {
            Written::All => self.poll(Outbox::poll_work),
            Written::Blocked | Written::Busy => self.poll(Outbox::poll_signals),
        };
        match written {
            Written::All => rests,
            // The kernel has room again, and says so.
            Written::Blocked => {
                self.booth.step_in(|wire| wire.room += 1);
                false
            }
            Written::Busy => rests && self.knock() == Written::Busy,
        }
    }

    fn poll(&self, poll: fn(&mut Outbox, &mut Option<Waker>) -> Poll<()>) -> bool {
        let mut waker = Some(Waker::from(std::sync::Arc::clone(&self.bell)));
        poll(&mut self.outbox.lock().unwrap(), &mut waker).is_pending()
    }
}
