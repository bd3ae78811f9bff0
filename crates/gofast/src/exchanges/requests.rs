//! Requests both ways, and what gofast's own requests are owed.

use std::collections::{HashMap, VecDeque};

use crate::limits::{OWED_BYTES_MAX, OWED_COST};

/// Requests of ours by their slots, and the peer's, to which slots are given.
#[derive(Debug)]
pub(crate) struct Requests {
    /// Which slots of ours wait for an answer; as many as were needed at once.
    ours: Vec<bool>,
    /// Those of the peer's that have a slot; it is given to another when the session has done with it.
    of_peer: Vec<OfPeer>,
    free: Vec<u32>,
    by_opaque: HashMap<u64, u32>,
    of_peer_max: u32,
}

#[derive(Debug, Clone, Copy)]
struct OfPeer {
    opaque: u64,
    /// The id that an answer has.
    answer_id: u64,
    /// No answer was written yet.
    waits: bool,
}

/// Why a request of the peer's has no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// Its opaque stands for one that is not answered yet.
    InUse,
    /// There are as many as we put up with.
    TooMany,
}

impl Requests {
    pub(crate) fn new(of_peer_max: u32) -> Self {
        Self {
            ours: Vec::new(),
            of_peer: Vec::new(),
            free: Vec::new(),
            by_opaque: HashMap::new(),
            of_peer_max,
        }
    }

    /// A request of ours was written.
    pub(crate) fn asked(&mut self, id: u32) {
        let place = id as usize;
        if place >= self.ours.len() {
            self.ours.resize(place + 1, false);
        }
        self.ours[place] = true;
    }

    /// An answer to one came; whether anybody waits for it.
    pub(crate) fn answered(&mut self, id: u32) -> bool {
        self.ours.get_mut(id as usize).is_some_and(std::mem::take)
    }

    /// Gives a slot to a request of the peer's.
    pub(crate) fn begin(&mut self, opaque: u64, answer_id: u64) -> Result<u32, NoSlot> {
        if self.by_opaque.contains_key(&opaque) {
            return Err(NoSlot::InUse);
        }
        let request = OfPeer { opaque, answer_id, waits: true };
        let id = match self.free.pop() {
            Some(id) => {
                self.of_peer[id as usize] = request;
                id
            }
            None => {
                let id = u32::try_from(self.of_peer.len()).unwrap_or(u32::MAX);
                if id >= self.of_peer_max {
                    return Err(NoSlot::TooMany);
                }
                self.of_peer.push(request);
                id
            }
        };
        self.by_opaque.insert(opaque, id);
        Ok(id)
    }

    /// Opaque and id of the answer to a request of the peer's that has none yet.
    pub(crate) fn owed(&self, id: u32) -> Option<(u64, u64)> {
        let request = self.of_peer.get(id as usize).filter(|request| request.waits)?;
        Some((request.opaque, request.answer_id))
    }

    /// Its answer was written, or never will be: the peer may use the opaque again.
    pub(crate) fn answer_written(&mut self, id: u32) {
        let request = self.of_peer.get_mut(id as usize).filter(|request| request.waits);
        if let Some(request) = request {
            request.waits = false;
            self.by_opaque.remove(&request.opaque);
        }
    }

    /// The session has done with the slot.
    pub(crate) fn finished(&mut self, id: u32) {
        if (id as usize) < self.of_peer.len() {
            self.answer_written(id);
            self.free.push(id);
        }
    }

    /// The slot of a request of the peer's that is not answered yet.
    pub(crate) fn slot_of(&self, opaque: u64) -> Option<u32> {
        self.by_opaque.get(&opaque).copied()
    }
}

/// What is to be answered to a request of gofast's own, once the session says so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// What a ping has said.
    Ping(Vec<u8>),
    /// Who we are.
    Whoami,
}

/// Answers owed to pings and whoamis, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Owing {
    waiting: VecDeque<(u64, u64, Owed)>,
    bytes: usize,
    last: u64,
}

impl Owing {
    /// Notes one; its number. `None`: too many wait.
    pub(crate) fn note(&mut self, opaque: u64, owed: Owed) -> Option<u64> {
        let cost = Self::cost(&owed);
        if self.bytes + cost > OWED_BYTES_MAX {
            return None;
        }
        self.bytes += cost;
        self.last += 1;
        self.waiting.push_back((self.last, opaque, owed));
        Some(self.last)
    }

    /// The next one up to this number, with its opaque.
    pub(crate) fn next(&mut self, number: u64) -> Option<(u64, Owed)> {
        let (_, opaque, owed) = self.waiting.pop_front_if(|(first, ..)| *first <= number)?;
        self.bytes -= Self::cost(&owed);
        Some((opaque, owed))
    }

    pub(crate) fn park(&mut self) {
        self.waiting.shrink_to_fit();
    }

    fn cost(owed: &Owed) -> usize {
        OWED_COST + if let Owed::Ping(said) = owed { said.len() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_given_again_only_when_the_session_has_done_with_it() {
        let mut requests = Requests::new(2);
        assert_eq!(requests.begin(160_004, 112), Ok(0));
        assert_eq!(requests.begin(160_004, 112), Err(NoSlot::InUse));
        assert_eq!((requests.owed(0), requests.slot_of(160_004)), (Some((160_004, 112)), Some(0)));
        requests.answer_written(0);
        assert_eq!((requests.owed(0), requests.slot_of(160_004)), (None, None));
        // The opaque serves again at once, the slot does not.
        assert_eq!(requests.begin(160_004, 112), Ok(1));
        assert_eq!(requests.begin(160_005, 112), Err(NoSlot::TooMany));
        requests.finished(0);
        assert_eq!(requests.begin(160_005, 112), Ok(0));
        requests.finished(1);
        assert_eq!(requests.slot_of(160_004), None, "what was never answered is over as well");
    }

    #[test]
    fn an_answer_of_ours_is_waited_for_once() {
        let mut requests = Requests::new(2);
        assert!(!requests.answered(3));
        requests.asked(3);
        assert!(requests.answered(3) && !requests.answered(3) && !requests.answered(4));
    }

    #[test]
    fn what_is_owed_is_told_in_order_and_bounded() {
        let mut owing = Owing::default();
        assert_eq!(owing.note(1, Owed::Ping(b"one".to_vec())), Some(1));
        assert_eq!(owing.note(2, Owed::Whoami), Some(2));
        assert_eq!(owing.next(1), Some((1, Owed::Ping(b"one".to_vec()))));
        assert_eq!(owing.next(1), None);
        assert_eq!(owing.next(9), Some((2, Owed::Whoami)));
        let taken = (0..1_000_000).take_while(|_| owing.note(3, Owed::Whoami).is_some()).count();
        assert_eq!(taken, OWED_BYTES_MAX / OWED_COST);
    }
}
