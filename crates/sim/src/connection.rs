//! A connection: its two ends and what is on the way between them.

use crate::dice::Dice;
use crate::end::{End, Lines};
use crate::endpoint::Endpoint;
use crate::link::Link;
use crate::pipe::Pipe;
use crate::side::Side;
use crate::world::Dialing;

/// Gone when both ends are.
pub(crate) struct Connection {
    /// `None` once it is over, or its process is gone.
    pub(crate) ends: [Option<End>; 2],
    /// What each side sends.
    pub(crate) pipes: [Pipe; 2],
}

impl Connection {
    pub(crate) fn new(
        number: u32,
        endpoints: &[Endpoint; 2],
        dialing: Dialing,
        link: &Link,
        dice: &mut Dice,
    ) -> Self {
        let from = dialing.from;
        let mut dialing = Some(dialing);
        let ends = Side::BOTH.map(|side| {
            let dialing = if side == from { dialing.take() } else { None };
            let peer = endpoints[side.other().index()].identity();
            Some(End::new(&endpoints[side.index()], number, peer, dialing))
        });
        let pipes = [(); 2].map(|()| Pipe::new(link.clone(), dice.fork()));
        Self { ends, pipes }
    }

    /// Whether this side has a reason for a turn.
    pub(crate) fn is_due(&self, endpoint: &Endpoint) -> bool {
        let (at, from) = (endpoint.side.index(), endpoint.side.other().index());
        let end = self.ends[at].as_ref();
        end.is_some_and(|end| end.is_due(endpoint, &self.pipes[from], &self.pipes[at]))
    }

    pub(crate) fn turn(&mut self, endpoint: &mut Endpoint) {
        let at = endpoint.side.index();
        let (end, mut lines) = self.end_and_lines(endpoint.side);
        let Some(end) = end else { return };
        end.turn(endpoint, &mut lines);
        if end.is_over() {
            self.ends[at] = None;
        }
        if self.pipes.iter().any(Pipe::is_spent) {
            self.pipes.iter_mut().for_each(Pipe::cut);
        }
    }

    pub(crate) fn end_and_lines(&mut self, side: Side) -> (Option<&mut End>, Lines<'_>) {
        let [from_a, from_b] = &mut self.pipes;
        let (outgoing, incoming) = match side {
            Side::A => (from_a, from_b),
            Side::B => (from_b, from_a),
        };
        (self.ends[side.index()].as_mut(), Lines { incoming, outgoing })
    }

    pub(crate) fn crash(&mut self, side: Side) {
        if let Some(end) = self.ends[side.index()].take() {
            let (_, mut lines) = self.end_and_lines(side);
            end.crash(&mut lines);
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ends.iter().all(Option::is_none)
    }
}
