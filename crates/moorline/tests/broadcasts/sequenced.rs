//! Broadcasts in sequence: from several threads, to members that read when they please.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use moorline::{Broadcaster, Context, Service, SessionId, SessionRef, register_message};
use serde::{Deserialize, Serialize};

use crate::support::{Gate, Wire, run, within};

const MEMBERS: usize = 50;
const THREADS: u64 = 3;
const EACH: u64 = 400;

/// One message of one thread, long enough for outboxes to be full soon.
#[derive(Serialize, Deserialize)]
struct Tick {
    thread: u64,
    number: u64,
    padding: String,
}
register_message!(Tick as "e2e.broadcast.Tick");

fn tick(thread: u64, number: u64) -> Tick {
    let len = usize::try_from(200 + number * 37 % 700).unwrap();
    Tick { thread, number, padding: "x".repeat(len) }
}

/// What each session has heard, in the order it came.
type Heard = Arc<Mutex<BTreeMap<SessionId, Vec<(u64, u64)>>>>;

/// Members that dawdle now and then, each at other times.
fn listen(client: &Service) -> Heard {
    let heard = Heard::default();
    let hearing = Arc::clone(&heard);
    client.on(move |cx: &Context, tick: Tick| {
        let id = cx.session().id();
        let dawdles =
            (id.to_string().len() as u64 + tick.number * 7 + tick.thread).is_multiple_of(61);
        if dawdles {
            std::thread::sleep(std::time::Duration::from_micros(300));
        }
        hearing.lock().unwrap().entry(id).or_default().push((tick.thread, tick.number));
    });
    heard
}

/// Sessions of the client with their counterparts of the server.
async fn members(wire: &Wire, server: &Service, client: &Service) -> Vec<[SessionRef; 2]> {
    let pair = wire.open(server, client).await;
    let mut members = vec![[pair.here.clone(), pair.there.clone()]];
    while members.len() < MEMBERS {
        let here = wire.connect(client, &pair.acceptor).await;
        // The one that is not known yet.
        let there = loop {
            let known = |session: &SessionRef| members.iter().any(|[_, there]| there == session);
            match server.sessions().into_iter().find(|session| !known(session)) {
                Some(there) => break there,
                None => tokio::task::yield_now().await,
            }
        };
        members.push([here, there]);
    }
    members
}

/// Three threads send to fifty members; every fifth of these comes late, and every seventh goes early. What
/// each has heard is one piece of the one order.
async fn every_member_hears_the_same_order(wire: &Wire) {
    let server = wire.builder().outbox_bytes(16 * 1024).build().unwrap();
    let client = wire.service();
    let heard = listen(&client);
    let members = members(wire, &server, &client).await;
    let group = Broadcaster::with(THREADS * EACH, u64::MAX, |evicted| panic!("{evicted:?}"));
    let late = |at: usize| at.is_multiple_of(5);
    let early = |at: usize| at % 7 == 3;
    let not_late = members.iter().enumerate().filter(|(at, _)| !late(*at));
    not_late.for_each(|(_, [_, there])| assert!(group.join(there)));
    let (order, behind) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::new(AtomicUsize::new(0)));
    let half = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (group, order, behind) = (group.clone(), Arc::clone(&order), Arc::clone(&behind));
            let half = Arc::clone(&half);
            std::thread::spawn(move || {
                for number in 0..EACH {
                    let sent = group.send(&tick(thread, number)).unwrap();
                    behind.fetch_max(sent.behind, Ordering::Relaxed);
                    assert!(order.lock().unwrap().insert(sent.number, (thread, number)).is_none());
                    half.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    while half.load(Ordering::Relaxed) < THREADS * EACH / 2 {
        tokio::task::yield_now().await;
    }
    for (at, [_, there]) in members.iter().enumerate() {
        if late(at) {
            assert!(group.join(there));
        } else if early(at) {
            group.leave(there).unwrap();
        }
    }
    for thread in threads {
        within(tokio::task::spawn_blocking(move || thread.join().unwrap())).await.unwrap();
    }
    while !group.is_even() {
        tokio::task::yield_now().await;
    }
    assert!(behind.load(Ordering::Relaxed) > 0, "nobody was ever full: this tests nothing");
    let order: Vec<_> = order.lock().unwrap().values().copied().collect();
    for (at, [here, there]) in members.iter().enumerate() {
        within(there.barrier()).await.unwrap();
        let heard = heard.lock().unwrap().remove(&here.id()).unwrap_or_default();
        let from = if late(at) { order.len() - heard.len() } else { 0 };
        assert_eq!(heard, order[from..from + heard.len()], "member {at}");
        if !late(at) && !early(at) {
            assert_eq!(heard.len(), order.len(), "member {at} was there all the time");
        }
    }
    within(client.shutdown()).await.unwrap();
    within(server.shutdown()).await.unwrap();
}

#[test]
fn every_member_hears_the_same_order_over_tcp() {
    run(async { every_member_hears_the_same_order(&Wire::usual()).await });
}

#[test]
fn every_member_hears_the_same_order_over_mem() {
    run(async { every_member_hears_the_same_order(&Wire::new("mem", "msgpack-plain")).await });
}

/// It is told itself, at the end of what it got, and the others hear everything.
#[test]
fn who_does_not_read_is_evicted_and_hears_of_it() {
    run(async {
        let wire = Wire::usual();
        let server = wire.builder().outbox_bytes(16 * 1024).build().unwrap();
        let (client, slow) = (wire.service(), wire.service());
        let heard = listen(&client);
        let (gate, got) = (Gate::default(), Arc::new(Mutex::new(Vec::new())));
        let (passing, getting) = (gate.clone(), Arc::clone(&got));
        slow.on(move |_, tick: Tick| {
            // The others of this runtime go on meanwhile.
            tokio::task::block_in_place(|| passing.pass());
            getting.lock().unwrap().push(tick.number);
        });
        let pair = wire.open(&server, &client).await;
        let stuck = wire.connect(&slow, &pair.acceptor).await;
        let evicted = Arc::new(AtomicBool::new(false));
        let telling = Arc::clone(&evicted);
        let group = Broadcaster::with(100, 1 << 20, move |evicted| {
            assert!(!telling.swap(true, Ordering::Relaxed), "once");
            evicted.session.close_with(moorline::ErrorCode(7), "too slow");
        });
        server.sessions().iter().for_each(|session| assert!(group.join(session)));
        let mut number = 0;
        while !evicted.load(Ordering::Relaxed) {
            group.send(&tick(0, number)).unwrap();
            number += 1;
            if number.is_multiple_of(20) {
                // The other one keeps up.
                within(pair.there.barrier()).await.unwrap();
            }
        }
        assert_eq!(group.len(), 1);
        gate.open();
        let reason = loop {
            match stuck.status() {
                moorline::SessionStatus::Closed(reason) => break reason.to_string(),
                _ => tokio::task::yield_now().await,
            }
        };
        assert!(reason.contains("too slow"), "{reason}");
        let got = got.lock().unwrap().clone();
        assert!((got.len() as u64) < number && got.is_sorted(), "less than all");
        assert_eq!(got.last().map(|last| last + 1), Some(got.len() as u64), "no gap");
        while !group.is_even() {
            tokio::task::yield_now().await;
        }
        within(pair.there.barrier()).await.unwrap();
        assert_eq!(heard.lock().unwrap()[&pair.here.id()].len() as u64, number);
        within(slow.shutdown()).await.unwrap();
        pair.end().await;
    });
}
