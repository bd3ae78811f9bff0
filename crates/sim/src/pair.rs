//! Two sides, the network between them, and what a test does with them.

mod check;
mod faults;
mod run;

use std::fmt;

use moorline_protocol::{CloseReason, MessageRegistry, Settings};
use moorline_session::SessionRef;

use crate::clock::Clock;
use crate::connection::Connection;
use crate::dice::Dice;
use crate::endpoint::Endpoint;
use crate::link::Link;
use crate::side::Side;
use crate::tasks::Task;
use crate::world::{Dialer, World};

pub use self::check::Summary;

/// Two endpoints over a simulated link, on a virtual clock: everything that happens follows from
/// the seed and from what the test does.
///
/// After each step it is [checked](Summary) whether both sides keep what they promise; whatever is
/// broken panics with the seed and the last lines of the trace.
pub struct Pair {
    seed: u64,
    world: World,
    endpoints: [Endpoint; 2],
    connections: Vec<Connection>,
    made: u32,
    link: Link,
    /// Each side's bytes do not arrive; likewise new connections'.
    parted: [bool; 2],
    stalled: [bool; 2],
    /// Who comes next, of those who could.
    order: Dice,
    network: Dice,
    choices: Dice,
    steps: u64,
    steps_at_once: u64,
    rules: Vec<(String, Rule)>,
}

/// What must hold after each step, of a test's own.
type Rule = Box<dyn FnMut(&[Endpoint; 2]) -> Result<(), String>>;

impl Pair {
    // ---- what it is made of ----------------------------------------------------------------

    /// Two sides that speak `msgpack`, sealed, over [`Link::default`]. Nothing is connected yet.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut dice = Dice::seeded(seed);
        let world = World::new();
        let endpoints = Side::BOTH.map(|side| Endpoint::new(side, world.clone(), dice.fork()));
        Self {
            seed,
            world,
            endpoints,
            connections: Vec::new(),
            made: 0,
            link: Link::default(),
            parted: [false; 2],
            stalled: [false; 2],
            order: dice.fork(),
            network: dice.fork(),
            choices: dice.fork(),
            steps: 0,
            steps_at_once: 0,
            rules: Vec::new(),
        }
    }

    /// They speak `msgpack-plain`: the same units in clear, and a much faster simulation.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.endpoints.iter_mut().for_each(|endpoint| endpoint.sealed = false);
        self.reboot();
        self
    }

    /// What the network is like for connections from now on.
    #[must_use]
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// What a side tells its peers that it takes.
    ///
    /// # Panics
    /// If a value is out of its bounds.
    #[must_use]
    pub fn settings(mut self, side: Side, settings: Settings) -> Self {
        settings.check().expect("settings of a test are within their bounds");
        self.endpoints[side.index()].settings = settings;
        self.reboot();
        self
    }

    /// The message types of a side, where it is to know others than this process, or to number them
    /// differently. Register all that it sends and handles: `registry.register::<Hello>()`.
    #[must_use]
    pub fn registry(mut self, side: Side, registry: MessageRegistry) -> Self {
        self.endpoints[side.index()].registry = registry;
        self.reboot();
        self
    }

    /// Bytes a session of this side queues before `send` says `Full`.
    #[must_use]
    pub fn outbox_bytes(mut self, side: Side, bytes: usize) -> Self {
        self.endpoints[side.index()].outbox_bytes = bytes;
        self
    }

    /// Instead of a session this side has a script: what [`say`](Self::say) says, and
    /// [`heard`](Self::heard) hears.
    #[must_use]
    pub fn scripted(mut self, side: Side) -> Self {
        self.endpoints[side.index()].scripted = true;
        self.endpoints[side.other().index()].strangers = true;
        self
    }

    /// What sets a side up, now and whenever it [starts anew](Self::restart): handlers with fresh
    /// state, tasks that dial. Without a program, handlers and what they captured outlive a crash.
    pub fn program(&mut self, side: Side, program: impl FnMut(&mut Endpoint) + 'static) {
        let endpoint = &mut self.endpoints[side.index()];
        endpoint.program = Some(Box::new(program));
        endpoint.run_program();
    }

    /// Something of the test's own that must hold after each step. The error says what is wrong.
    pub fn rule(
        &mut self,
        name: &str,
        rule: impl FnMut(&[Endpoint; 2]) -> Result<(), String> + 'static,
    ) {
        self.rules.push((name.to_owned(), Box::new(rule)));
    }

    /// Nothing has happened yet: the processes start anew with other settings.
    fn reboot(&mut self) {
        self.endpoints.iter_mut().for_each(Endpoint::boot);
    }

    // ---- the two sides ---------------------------------------------------------------------

    /// The side that dials.
    pub fn a(&mut self) -> &mut Endpoint {
        self.side(Side::A)
    }

    /// The side that listens.
    pub fn b(&mut self) -> &mut Endpoint {
        self.side(Side::B)
    }

    /// Either of them.
    pub fn side(&mut self, side: Side) -> &mut Endpoint {
        &mut self.endpoints[side.index()]
    }

    /// Makes a connection from `A` to `B`, waits until it is open on both sides, and returns the
    /// session of `A`.
    ///
    /// # Errors
    /// Nobody listens there, or the handshake came to nothing.
    pub fn connect(&mut self) -> Result<SessionRef, CloseReason> {
        let dialing = self.dialer(Side::A).connect();
        let opened = self.run_until(dialing);
        self.settle();
        opened
    }

    /// Makes connections from inside tasks, and while the simulation goes on.
    #[must_use]
    pub fn dialer(&self, from: Side) -> Dialer {
        self.endpoints[from.index()].dialer()
    }

    /// Starts a task of a side's process: it is gone when the side crashes.
    pub fn spawn<T: 'static>(
        &mut self,
        side: Side,
        work: impl Future<Output = T> + 'static,
    ) -> Task<T> {
        self.endpoints[side.index()].spawn(work)
    }

    /// The virtual clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.world.clock.clone()
    }

    /// For the test's own choices: they follow from the seed too.
    pub fn dice(&mut self) -> &mut Dice {
        &mut self.choices
    }

    // ---- what happened ---------------------------------------------------------------------

    /// The seed of this simulation.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What happened, one line for each event: virtual seconds, the side (`-` for what was done to
    /// both), the event. The last 200,000 lines are kept.
    #[must_use]
    pub fn trace(&self) -> String {
        self.world.trace.text()
    }

    /// A hash over all lines of the trace, which have checksums of all bytes: two simulations with
    /// the same hash went the same way.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.world.trace.hash()
    }

    /// Adds a line of the test's to the trace.
    pub fn note(&self, what: &str) {
        self.say_line(format_args!("notes {what}"));
    }

    fn say_line(&self, what: fmt::Arguments<'_>) {
        self.world.trace.say(self.world.clock.passed(), "-", what);
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("seed", &self.seed)
            .field("time", &self.world.clock.passed())
            .field("steps", &self.steps)
            .field("connections", &self.connections.len())
            .finish_non_exhaustive()
    }
}

/// Whatever made a test fail, it tells how to see it again.
impl Drop for Pair {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the last of what happened:\n{}", self.world.trace.tail());
            eprintln!(
                "seed {} after {} steps, {:?} of virtual time: the same seed does it again",
                self.seed,
                self.steps,
                self.world.clock.passed()
            );
        }
    }
}
