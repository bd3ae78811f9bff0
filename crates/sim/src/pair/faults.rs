//! What goes wrong in networks and with processes, and a scripted peer.

use moorline_protocol::Frame;

use super::Pair;
use crate::connection::Connection;
use crate::link::Link;
use crate::pipe::Pipe;
use crate::side::Side;

impl Pair {
    /// Nothing arrives any more in either direction, and nobody is told: not even what was on its
    /// way. Nothing is lost, it comes after [`heal`](Self::heal).
    pub fn partition(&mut self) {
        self.say_line(format_args!("partition"));
        self.set_parted([true; 2]);
    }

    /// The same for what one side sends: it still hears the other.
    pub fn partition_from(&mut self, side: Side) {
        self.world.say(side, format_args!("partition of what it sends"));
        let mut parted = self.parted;
        parted[side.index()] = true;
        self.set_parted(parted);
    }

    /// All partitions are over.
    pub fn heal(&mut self) {
        self.say_line(format_args!("heal"));
        self.set_parted([false; 2]);
    }

    fn set_parted(&mut self, parted: [bool; 2]) {
        self.parted = parted;
        for connection in &mut self.connections {
            for (pipe, parted) in connection.pipes.iter_mut().zip(parted) {
                pipe.parted = parted;
            }
        }
    }

    /// This side's kernel takes nothing to be sent any more, as if its buffer were full ...
    pub fn stall(&mut self, side: Side) {
        self.set_stalled(side, true);
    }

    /// ... and takes it again.
    pub fn unstall(&mut self, side: Side) {
        self.set_stalled(side, false);
    }

    fn set_stalled(&mut self, side: Side, stalled: bool) {
        self.world.say(side, format_args!("{}", if stalled { "stalls" } else { "goes on" }));
        self.stalled[side.index()] = stalled;
        for connection in &mut self.connections {
            connection.pipes[side.index()].stalled = stalled;
        }
    }

    /// All connections are cut: both sides find that the bytes end, without a farewell. What was on
    /// its way is lost.
    pub fn cut(&mut self) {
        self.say_line(format_args!("cut"));
        self.pipes().for_each(Pipe::cut);
    }

    /// As [`cut`](Self::cut), but both sides' kernels report a reset.
    pub fn reset(&mut self) {
        self.say_line(format_args!("reset"));
        self.pipes().for_each(Pipe::reset);
    }

    /// The connections of now are cut when so many bytes more of this side have arrived.
    pub fn cut_after(&mut self, side: Side, bytes: u64) {
        self.world.say(side, format_args!("cut after {bytes} B"));
        if bytes == 0 {
            return self.cut();
        }
        for connection in &mut self.connections {
            connection.pipes[side.index()].cut_after = Some(bytes);
        }
    }

    /// What the network is like for connections from now on.
    pub fn set_link(&mut self, link: Link) {
        self.link = link;
    }

    fn pipes(&mut self) -> impl Iterator<Item = &mut Pipe> {
        self.connections.iter_mut().flat_map(|connection| &mut connection.pipes)
    }

    /// The process of a side is gone at once, without a farewell: its tasks are dropped, its
    /// sessions with them, its memory. The other side finds that the bytes end.
    ///
    /// One thing is kinder than in life: who subscribed there to the ends of sessions hears of
    /// them.
    pub fn crash(&mut self, side: Side) {
        self.world.say(side, format_args!("crashes"));
        self.world.tasks.drop_all(side);
        self.connections.iter_mut().for_each(|connection| connection.crash(side));
        self.connections.retain(|connection| !connection.is_over());
        let endpoint = &mut self.endpoints[side.index()];
        if endpoint.program.is_some() {
            endpoint.handlers.clear();
        }
        endpoint.process = None;
    }

    /// A crashed side starts anew, with the identity it had, and its program runs.
    ///
    /// # Panics
    /// If it runs.
    pub fn restart(&mut self, side: Side) {
        let endpoint = &mut self.endpoints[side.index()];
        assert!(!endpoint.is_up(), "a side that runs is to be crashed before it can start anew");
        self.world.say(side, format_args!("starts anew"));
        endpoint.boot();
        endpoint.run_program();
    }

    // ---- a scripted peer -------------------------------------------------------------------

    /// A scripted side says exactly this, on its youngest connection.
    ///
    /// # Panics
    /// If it has no open connection.
    pub fn say(&mut self, side: Side, frames: &[Frame<'_>]) {
        let said = self.script(side).is_some_and(|(at, connections)| {
            let end = connections[at].ends[side.index()].as_mut();
            end.is_some_and(|end| end.say(frames))
        });
        assert!(said, "side {} has no open scripted connection", side.name());
    }

    /// A scripted side sends these bytes as they are.
    ///
    /// # Panics
    /// If it has no open connection.
    pub fn say_bytes(&mut self, side: Side, bytes: &[u8]) {
        let said = self.script(side).is_some_and(|(at, connections)| {
            let end = connections[at].ends[side.index()].as_mut();
            end.is_some_and(|end| end.say_bytes(bytes))
        });
        assert!(said, "side {} has no open scripted connection", side.name());
    }

    /// A scripted side closes its connection without a word.
    ///
    /// # Panics
    /// If it has no open connection.
    pub fn hang_up(&mut self, side: Side) {
        let gone = self.script(side).is_some_and(|(at, connections)| {
            let (end, mut lines) = connections[at].end_and_lines(side);
            let gone = end.is_some_and(|end| end.hang_up(&mut lines));
            connections[at].ends[side.index()] = None;
            gone
        });
        assert!(gone, "side {} has no open scripted connection", side.name());
    }

    /// What a scripted side has heard since it was last asked, one line for each frame, and for the
    /// end of the connection.
    pub fn heard(&mut self, side: Side) -> Vec<String> {
        self.settle();
        std::mem::take(&mut self.endpoints[side.index()].heard)
    }

    fn script(&mut self, side: Side) -> Option<(usize, &mut Vec<Connection>)> {
        let at = self.connections.iter().rposition(|c| c.ends[side.index()].is_some())?;
        Some((at, &mut self.connections))
    }
}
