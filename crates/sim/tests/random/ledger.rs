//! What was promised, by whom, and whether it was kept.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use moorline_session::{CallError, Executed, SessionRef};
use moorline_sim::Side;

use crate::support::{Echo, Sorry};
use crate::topics::Publications;

/// A session as one side sees it: its process, and the number of its connection, which is the same
/// on both sides.
pub(crate) type Key = (u8, u32, String);

/// The whole model; handlers, tasks and operations write to it.
#[derive(Default)]
pub(crate) struct Ledger {
    sessions: BTreeMap<Key, Session>,
    requests: Vec<Request>,
    /// How often each watched session has told its end.
    ends: Arc<Mutex<BTreeMap<Key, u32>>>,
    pub(crate) boots: [u32; 2],
    /// Tasks that wait for room, for a flush, or behind a barrier.
    waiting: usize,
    /// Streams that came to their end with nothing missing.
    streams: u64,
    /// Waits for a flush that have ended well.
    flushes: u64,
    pub(crate) topics: Publications,
}

pub(crate) type Shared = Rc<RefCell<Ledger>>;

#[derive(Default)]
struct Session {
    /// Posts that were accepted, and those that reached the other side's handler.
    accepted: u64,
    heard: u64,
    /// The other side was told to close: what this one has queued then is lost.
    cut_off: bool,
}

#[derive(Default)]
struct Request {
    ran: bool,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Answered,
    Failed(Executed),
    /// Its caller gave up, or crashed.
    Dropped,
}

impl Ledger {
    pub(crate) fn key(&self, side: Side, session: &SessionRef) -> Key {
        let at = usize::from(side == Side::B);
        let connection = session.address().split_once('#').expect("so it is named").1;
        (u8::from(side == Side::B), self.boots[at], connection.to_owned())
    }

    // ---- sessions --------------------------------------------------------------------------

    /// The number the next post of this session will have.
    pub(crate) fn next_post(&mut self, key: &Key) -> u64 {
        self.sessions.entry(key.clone()).or_default().accepted
    }

    pub(crate) fn accepted(&mut self, key: &Key) {
        let told = self.ends.lock().unwrap().get(key).copied().unwrap_or_default();
        assert_eq!(told, 0, "{key:?} accepts a post after its end");
        self.sessions.entry(key.clone()).or_default().accepted += 1;
    }

    /// A post of this session has reached the handler at the other side.
    pub(crate) fn heard(&mut self, key: &Key, number: u64) {
        let session = self.sessions.get_mut(key).expect("it was sent by a session");
        assert_eq!(number, session.heard, "{key:?}: posts come in order, each of them once");
        assert!(number < session.accepted, "{key:?}: a post that was never accepted");
        session.heard += 1;
    }

    /// The peer has dispatched everything that was accepted before.
    pub(crate) fn passed_barrier(&self, key: &Key, accepted: u64) {
        let heard = self.sessions.get(key).map_or(0, |session| session.heard);
        assert!(heard >= accepted, "{key:?}: a barrier passed {heard} of {accepted} posts");
    }

    /// A handler is called for a session, which has not told its end and will tell it once.
    pub(crate) fn watch(&mut self, key: Key, session: &SessionRef) {
        let mut ends = self.ends.lock().unwrap();
        if let Some(told) = ends.get(&key) {
            assert_eq!(*told, 0, "{key:?}: a handler is called after its end");
            return;
        }
        ends.insert(key.clone(), 0);
        drop(ends);
        let ends = Arc::clone(&self.ends);
        session.on_close(move |_| *ends.lock().unwrap().entry(key).or_default() += 1);
    }

    /// Each session that was watched has told its end, once.
    pub(crate) fn check_all_closed(&self) {
        for (key, told) in &*self.ends.lock().unwrap() {
            assert_eq!(*told, 1, "{key:?} tells its end {told} times");
        }
    }

    /// Closes the other end of this session's connection: in calm weather, where nobody crashes.
    pub(crate) fn closes(&mut self, key: &Key) {
        let other = (1 - key.0, key.1, key.2.clone());
        self.sessions.entry(other).or_default().cut_off = true;
    }

    /// Everything that was accepted has been heard, unless the other side did not want it.
    pub(crate) fn check_all_heard(&self) {
        for (key, session) in self.sessions.iter().filter(|(_, session)| !session.cut_off) {
            assert_eq!(session.heard, session.accepted, "{key:?}: posts were lost in calm weather");
        }
        let cut_off = |key: &Key| self.sessions.get(key).is_some_and(|session| session.cut_off);
        self.topics.check_all_rounds(cut_off);
    }

    pub(crate) fn flushed(&mut self) {
        self.flushes += 1;
    }

    pub(crate) fn stream_done(&mut self) {
        self.streams += 1;
    }

    // ---- requests --------------------------------------------------------------------------

    pub(crate) fn ask(&mut self) -> u64 {
        self.requests.push(Request::default());
        self.requests.len() as u64 - 1
    }

    pub(crate) fn runs(&mut self, number: u64) {
        let request = self.request(number);
        assert!(!request.ran, "request {number} runs twice");
        let promised = request.end == Some(End::Failed(Executed::No));
        assert!(!promised, "request {number} runs, and its caller was told that it does not");
        request.ran = true;
    }

    pub(crate) fn ends(&mut self, number: u64, result: &Result<Echo, CallError<Sorry>>) {
        let request = self.request(number);
        assert_eq!(request.end, None, "request {number} ends twice");
        let end = match result {
            Ok(echo) => {
                assert_eq!(echo.0, number, "the answer of another request");
                End::Answered
            }
            Err(error) => End::Failed(error.executed()),
        };
        let fits = match end {
            End::Answered | End::Failed(Executed::Yes) => request.ran,
            End::Failed(Executed::No) => !request.ran,
            _ => true,
        };
        assert!(fits, "request {number} ran: {}, and its caller hears {result:?}", request.ran);
        request.end = Some(end);
    }

    pub(crate) fn drops(&mut self, number: u64) {
        self.request(number).end.get_or_insert(End::Dropped);
    }

    pub(crate) fn check_all_ended(&self) {
        for (number, request) in self.requests.iter().enumerate() {
            assert!(request.end.is_some(), "request {number} never ends");
        }
        assert_eq!(self.waiting, 0, "somebody waits for ever for room, a flush or a barrier");
    }

    /// That a simulation did something at all.
    pub(crate) fn totals(&self) -> Totals {
        let ends = |end: fn(End) -> bool| {
            self.requests.iter().filter(|request| request.end.is_some_and(end)).count() as u64
        };
        Totals([
            self.sessions.values().map(|session| session.accepted).sum(),
            self.sessions.values().map(|session| session.heard).sum(),
            ends(|end| end == End::Answered),
            ends(|end| end == End::Failed(Executed::No)),
            ends(|end| end == End::Failed(Executed::Maybe)),
            ends(|end| end == End::Failed(Executed::Yes)),
            ends(|end| end == End::Dropped),
            self.streams,
            self.flushes,
            self.topics.heard,
            self.topics.left_out,
            self.topics.rounds_heard,
        ])
    }

    fn request(&mut self, number: u64) -> &mut Request {
        let at = usize::try_from(number).expect("a number of ours");
        self.requests.get_mut(at).expect("a number of ours")
    }
}

/// How often what happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals([u64; 12]);

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }

    /// Whether everything has happened that can.
    pub(crate) fn is_everything(&self) -> bool {
        self.0.iter().all(|count| *count > 0)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [accepted, heard, answered, no, maybe, yes, dropped, rest @ ..] = self.0;
        let [streams, flushes, news, left_out, rounds] = rest;
        write!(
            f,
            "{heard} of {accepted} posts heard; requests: {answered} answered, {no} certainly not \
             run, {maybe} perhaps, {yes} failed, {dropped} dropped; {streams} streams to the end; \
             {flushes} flushes; topics: {news} heard, {left_out} left out; {rounds} broadcasts heard"
        )
    }
}

/// A task that waits, until it is done or gone.
pub(crate) struct Waiting(pub(crate) Shared);

impl Waiting {
    pub(crate) fn begin(ledger: &Shared) -> Self {
        ledger.borrow_mut().waiting += 1;
        Self(Rc::clone(ledger))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.borrow_mut().waiting -= 1;
    }
}

/// A request whose future has been dropped is not waited for.
pub(crate) struct Asked(pub(crate) Shared, pub(crate) u64);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.borrow_mut().drops(self.1);
    }
}
