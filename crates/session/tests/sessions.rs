//! The sessions of a process: ids, the table, and who hears of what happens to them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use moorline_protocol::{CloseReason, Opened, Settings};
use moorline_session::{
    Core, Direction, Hub, Keeper, SessionClosed, SessionDown, SessionEnd, SessionId, SessionParts,
    SessionReady, SessionRef, SystemMessage, TableFull, group, topic,
};
use proptest::prelude::*;
use support::{Pair, log};

/// Opens sessions on one connection's facts, over and over: nothing is sent on them.
struct Door {
    opened: Box<Opened>,
    local: Arc<moorline_protocol::Local>,
    hub: Arc<Hub>,
}

impl Door {
    fn new(sessions_max: usize) -> Self {
        let [mut link, _] = support::links([Settings::default(); 2], Pair::new().now);
        let hub = Hub::new(sessions_max, None);
        Self { opened: link.opened.take().unwrap(), local: Arc::clone(&link.local), hub }
    }

    fn open(&self) -> Result<Core, TableFull> {
        Ok(Core::new(self.hub.open(self.parts())?, self.local.settings))
    }

    fn parts(&self) -> SessionParts<'_> {
        SessionParts {
            opened: &self.opened,
            protocol: "msgpack-plain",
            direction: Direction::Accepted,
            address: "".into(),
            registry: self.local.registry.clone(),
            blocks: self.local.blocks.clone(),
            handled: moorline_protocol::HandledTypes::new(),
            outbox_bytes: 1,
            settings: Settings::default(),
        }
    }
}

#[test]
fn a_stale_id_finds_nothing_however_often_its_slot_is_used_again() {
    let door = Door::new(64);
    let rounds = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    let first = door.open().unwrap();
    let stale = first.session().id();
    first.end(&CloseReason::Truncated);
    let mut before = stale;
    for _ in 0..rounds {
        let core = door.open().unwrap();
        let id = core.session().id();
        assert_eq!(door.hub.acquire(id).unwrap().id(), id);
        assert!(id != stale && door.hub.acquire(stale).is_none());
        core.end(&CloseReason::Truncated);
        assert!(id != before && door.hub.acquire(id).is_none());
        before = id;
    }
    assert!(door.hub.sessions().is_empty());
}

#[test]
fn a_table_that_grows_keeps_all_ids_and_says_when_it_is_full() {
    let door = Door::new(1_000);
    let cores: Vec<_> = (0..1_000).map(|_| door.open().unwrap()).collect();
    let Err(full) = door.open() else { panic!("there is no room for one more") };
    assert_eq!(full, TableFull { limit: 1_000 });
    for core in &cores {
        assert_eq!(door.hub.acquire(core.session().id()).as_ref(), Some(core.session()));
    }
    assert_eq!(door.hub.sessions().all().len(), 1_000);
    let mut cores = cores.into_iter();
    let gone = cores.next().unwrap();
    let id = gone.session().id();
    gone.end(&CloseReason::Truncated);
    assert!(door.hub.acquire(id).is_none());
    assert_ne!(door.open().unwrap().session().id(), id);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a map: whoever is open is found by its own id, whoever is not is not found.
    #[test]
    fn the_table_is_a_map_whose_keys_never_come_back(
        steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..400),
    ) {
        let door = Door::new(100);
        let mut live: BTreeMap<SessionId, Core> = BTreeMap::new();
        let mut seen = Vec::new();
        for (opens, which) in steps {
            if opens || live.is_empty() {
                match door.open() {
                    Ok(core) => {
                        let id = core.session().id();
                        prop_assert!(!seen.contains(&id));
                        seen.push(id);
                        live.insert(id, core);
                    }
                    Err(_) => prop_assert_eq!(live.len(), 100),
                }
            } else {
                let ids: Vec<_> = live.keys().copied().collect();
                live.remove(which.get(&ids)).expect("it is live").end(&CloseReason::Truncated);
            }
            prop_assert_eq!(door.hub.sessions().len(), live.len());
        }
        for id in seen {
            let found = door.hub.acquire(id);
            prop_assert_eq!(found.as_ref(), live.get(&id).map(Core::session));
        }
    }
}

#[test]
fn all_who_asked_hear_of_an_end_once_in_order_and_none_who_took_it_back() {
    let door = Door::new(8);
    let core = door.open().unwrap();
    let id = core.session().id();
    let (tell, heard) = log();
    let subscribe = |number: usize| {
        let tell = tell.clone();
        door.hub.subscribe_close(id, move |end: &SessionEnd| {
            tell.lock().unwrap().push((number, end.reason.clone()));
        })
    };
    let mut subscriptions: Vec<_> = (0..100).map(subscribe).collect();
    for number in (0..100).rev().step_by(3) {
        assert!(subscriptions.remove(number).cancel());
    }
    core.end(&CloseReason::Truncated);
    let expected: Vec<_> = (0..100)
        .filter(|number| (99 - number) % 3 != 0)
        .map(|number| (number, Some(CloseReason::Truncated)))
        .collect();
    assert_eq!(*heard.lock().unwrap(), expected);
    heard.lock().unwrap().clear();
    let late = subscribe(7);
    assert_eq!(*heard.lock().unwrap(), [(7, None)], "who comes too late hears at once");
    assert!(!late.cancel());
    assert!(subscriptions.into_iter().all(|subscription| !subscription.cancel()));
}

#[test]
fn closing_and_subscribing_at_the_same_time_loses_nobody() {
    let door = Door::new(8);
    for _ in 0..200 {
        let core = door.open().unwrap();
        let id = core.session().id();
        let count = Arc::new(AtomicUsize::new(0));
        let (hub, told) = (Arc::clone(&door.hub), Arc::clone(&count));
        let subscriber = std::thread::spawn(move || {
            for _ in 0..20 {
                let told = Arc::clone(&told);
                hub.subscribe_close(id, move |_| {
                    told.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        core.end(&CloseReason::Truncated);
        subscriber.join().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 20);
    }
}

#[test]
fn one_who_panics_keeps_nobody_else_from_hearing() {
    let door = Door::new(8);
    let core = door.open().unwrap();
    let (tell, heard) = log();
    core.session().on_close(|_| std::panic::resume_unwind(Box::new("on purpose")));
    core.session().on_close(move |_| tell.lock().unwrap().push(()));
    core.end(&CloseReason::Truncated);
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[test]
fn topics_tell_of_opening_and_closing_and_subscribers_may_use_the_session() {
    let door = Door::new(8);
    let (tell, told) = log();
    let (kinds, all) = log();
    let hub = Arc::clone(&door.hub);
    door.hub.subscribe(
        topic("msgpack-plain", moorline_session::NewSession),
        |event| event.direction == Direction::Accepted,
        move |event| {
            let session = hub.acquire(event.id).expect("it is open");
            session.send(&support::note(1, 1)).unwrap();
            tell.lock().unwrap().push(event.id);
        },
    );
    let everything = door.hub.subscribe(
        group("msgpack-plain"),
        |_| true,
        move |event| kinds.lock().unwrap().push(format!("{event:?}").starts_with("NewSession")),
    );
    door.hub.subscribe(
        topic("another", moorline_session::SessionClosed),
        |_| true,
        |_: &SessionClosed| panic!("nobody speaks this protocol"),
    );
    let mut core = door.open().unwrap();
    let id = core.session().id();
    assert!(core.session().queued_bytes() > 0, "the subscriber's post");
    let mut ready = door.hub.subscribe_queue(topic("msgpack-plain", SessionReady), 4);
    for _ in 0..2 {
        core.begin_turn(Instant::now()).unwrap();
        core.end_turn();
    }
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(matches!(ready.poll_recv(cx), Poll::Ready(Ok(event)) if event.id == id));
    assert!(ready.poll_recv(cx).is_pending(), "it is told once");
    core.end(&CloseReason::Truncated);
    assert_eq!(*told.lock().unwrap(), [id]);
    assert_eq!(*all.lock().unwrap(), [true, false, false]);
    everything.unsubscribe();
    door.open().unwrap();
    assert_eq!(all.lock().unwrap().len(), 3);
}

/// Writes down what it is called with.
#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Diary {
    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Keeper for Diary {
    fn up(&self, session: &SessionRef, epoch: u64) -> u64 {
        self.note(format!("up {epoch}, open: {}", session.is_open()));
        7
    }

    fn down(&self, down: &SessionDown) {
        self.note(format!("down {}", down.epoch));
    }

    fn told(&self) {
        self.note("told".into());
    }
}

#[test]
fn an_id_that_lasts_has_one_session_after_the_other_and_one_end() {
    let door = Door::new(1);
    let lasting = door.hub.reserve("msgpack-plain").unwrap();
    assert!(door.open().is_err(), "it counts, connected or not");
    let (id, diary) = (lasting.id(), Arc::new(Diary::default()));
    let (events, ends) = (Arc::clone(&diary), Arc::clone(&diary));
    door.hub.subscribe(
        group("msgpack-plain"),
        |_| true,
        move |event: &SystemMessage| {
            let event = match event {
                SystemMessage::SessionUp(up) => format!("SessionUp {} {}", up.epoch, up.dropped),
                SystemMessage::SessionDown(down) => format!("SessionDown {}", down.epoch),
                other => format!("{other:?}").split('(').next().unwrap().into(),
            };
            events.note(event);
        },
    );
    door.hub.subscribe_close(id, move |end| ends.note(format!("end {:?}", end.reason)));
    let open = || lasting.open_with(Arc::<Diary>::clone(&diary), door.parts(), |_| {});
    let turn = |session: SessionRef| {
        let mut core = Core::new(session, door.local.settings);
        core.begin_turn(Instant::now()).unwrap();
        core
    };
    let core = turn(open().unwrap());
    assert_eq!(core.session().id(), id);
    assert!(open().is_none(), "it has one");
    let first = ["up 1, open: true", "NewSession", "SessionUp 1 7", "SessionReady"];
    assert_eq!(diary.take(), first);
    core.end(&CloseReason::Truncated);
    assert!(door.hub.acquire(id).is_none() && door.hub.sessions().is_empty());
    assert_eq!(diary.take(), ["down 1", "SessionDown 1", "told"]);
    drop(turn(open().unwrap()));
    let second = ["up 2, open: true", "SessionUp 2 7", "down 2", "SessionDown 2", "told"];
    assert_eq!(diary.take(), second);
    lasting.end(&CloseReason::Truncated);
    assert!(open().is_none(), "it is over");
    drop(lasting);
    assert_eq!(diary.take(), ["end Some(Truncated)", "SessionClosed"]);
    assert!(door.open().is_ok(), "its place is free");
}
