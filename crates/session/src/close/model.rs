//! The close table against one that is told everything: whoever subscribes hears exactly once, with
//! the reason if it came in time, and never after it has cancelled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;

/// Some share a shard.
const IDS: &[u32] = &[1, 2, 3, 4, 65, 66, 129];

#[derive(Debug, Clone)]
enum Do {
    Open(u32),
    Close(u32),
    Subscribe(u32),
    /// The subscription of this number, if it is still held.
    Cancel(usize),
}

fn any_do() -> impl Strategy<Value = Do> {
    let id = || proptest::sample::select(IDS);
    prop_oneof![
        2 => id().prop_map(Do::Open),
        2 => id().prop_map(Do::Close),
        4 => id().prop_map(Do::Subscribe),
        2 => (0_usize..20).prop_map(Do::Cancel),
    ]
}

#[derive(Default)]
struct Model {
    /// Who waits for the end of which open session.
    open: BTreeMap<u32, Vec<usize>>,
    ever_open: BTreeSet<u32>,
    /// Who is to have heard what, in order.
    heard: Vec<(usize, bool)>,
    subscribed: usize,
}

#[derive(Default)]
struct Scene {
    table: CloseTable,
    held: Vec<Option<CloseSubscription>>,
    heard: Arc<Mutex<Vec<(usize, bool)>>>,
    model: Model,
}

impl Scene {
    fn act(&mut self, what: &Do) {
        match *what {
            Do::Open(id) => self.open(id),
            Do::Close(id) => {
                self.table.close(SessionId::new(id).unwrap(), CloseReason::Truncated);
                let waiting = self.model.open.remove(&id).unwrap_or_default();
                self.model.heard.extend(waiting.into_iter().map(|who| (who, true)));
            }
            Do::Subscribe(id) => self.subscribe(id),
            Do::Cancel(who) => self.cancel(who),
        }
        assert_eq!(*self.heard.lock().unwrap(), self.model.heard);
    }

    /// An id is not used again.
    fn open(&mut self, id: u32) {
        if self.model.ever_open.insert(id) {
            self.model.open.insert(id, Vec::new());
            self.table.open(SessionId::new(id).unwrap());
        }
    }

    fn subscribe(&mut self, id: u32) {
        let who = self.model.subscribed;
        self.model.subscribed += 1;
        let heard = Arc::clone(&self.heard);
        let hear = move |end: &SessionEnd| heard.lock().unwrap().push((who, end.reason.is_some()));
        self.held.push(Some(self.table.subscribe(SessionId::new(id).unwrap(), hear)));
        match self.model.open.get_mut(&id) {
            Some(waiting) => waiting.push(who),
            None => self.model.heard.push((who, false)),
        }
    }

    fn cancel(&mut self, who: usize) {
        let Some(subscription) = self.held.get_mut(who).and_then(Option::take) else { return };
        let mut waited = false;
        for waiting in self.model.open.values_mut() {
            waited |= waiting.contains(&who);
            waiting.retain(|&other| other != who);
        }
        assert_eq!(subscription.cancel(), waited);
    }
}

proptest! {
    #[test]
    fn everybody_hears_once_and_in_order(steps in proptest::collection::vec(any_do(), 0..80)) {
        let mut scene = Scene::default();
        steps.iter().for_each(|step| scene.act(step));
        for &id in IDS {
            scene.act(&Do::Close(id));
        }
        for who in 0..scene.model.subscribed {
            let times = scene.model.heard.iter().filter(|(heard, _)| *heard == who).count();
            prop_assert!(times <= 1);
        }
    }
}

/// However the end and a subscription meet, it fires exactly once.
#[test]
fn a_subscription_that_races_with_the_end_fires_once() {
    for round in 1..200 {
        let table = Arc::new(CloseTable::default());
        let id = SessionId::new(round).unwrap();
        table.open(id);
        let fired = Arc::new(Mutex::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| table.close(id, CloseReason::Truncated));
            for _ in 0..2 {
                let fired = Arc::clone(&fired);
                scope.spawn(|| table.subscribe(id, move |_| *fired.lock().unwrap() += 1));
            }
        });
        assert_eq!(*fired.lock().unwrap(), 2);
    }
}
