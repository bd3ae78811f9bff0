//! Topics between services: over every transport, with many subscribers, and with slow ones.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use moorline::{
    CallError, ErrorCode, NewSession, Overflow, PublishError, RemoteSubscription, SendError,
    Service, SessionClosed, SessionReady, SubscriptionError, topic,
};
use support::{Ask, Note, Told, Wire, note, run, run_on_one_thread, within};

fn numbered(number: u64, len: usize) -> Note {
    Note { number, text: "x".repeat(len) }
}

/// Reads until the message of this number; what came and what was left out make all of them.
async fn read_up_to(subscription: &mut RemoteSubscription<Note>, last: u64) -> (u64, u64) {
    let (mut at, mut left_out) = (0, 0);
    while at <= last {
        match within(subscription.recv()).await {
            Ok(note) => {
                assert_eq!(note.number, at, "each comes in its place");
                at += 1;
            }
            Err(SubscriptionError::Lagged(count)) => {
                at += count;
                left_out += count;
            }
            Err(other) => panic!("{other}"),
        }
    }
    (at, left_out)
}

async fn topics_go_both_ways(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    server.topic("down").allow_all();
    client.topic("up").allow(|session| session.is_open());
    let pair = wire.open(&server, &client).await;
    let mut down = within(pair.here.subscribe::<Note>("down")).await.unwrap();
    let mut up = within(pair.there.subscribe::<Note>("up").priority(7)).await.unwrap();
    for number in 0..500 {
        assert_eq!(server.publish("down", &numbered(number, 20)).unwrap().subscriptions, 1);
        assert_eq!(client.publish("up", &numbered(number, 20)).unwrap().subscriptions, 1);
    }
    assert_eq!(read_up_to(&mut down, 499).await, (500, 0));
    assert_eq!(read_up_to(&mut up, 499).await, (500, 0));
    let refused = within(pair.there.subscribe::<Note>("down")).await.unwrap_err();
    assert!(
        matches!(&refused, CallError::Fault(ErrorCode::UNIMPLEMENTED, _)),
        "{refused}: the client does not offer it"
    );
    assert_eq!(client.publish("down", &numbered(0, 1)), Err(PublishError::NotOffered));
    pair.end().await;
    assert!(matches!(within(down.recv()).await, Err(SubscriptionError::Closed(_))));
}

async fn a_retained_value_comes_first_however_long_it_is(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    server.topic("state").allow_all();
    server.publish_retained("state", &numbered(0, 3_000_000)).unwrap();
    let pair = wire.open(&server, &client).await;
    let mut state = within(pair.here.subscribe::<Note>("state").retained()).await.unwrap();
    let first = within(state.recv_published()).await.unwrap();
    assert!(first.retained);
    assert_eq!(first.message, numbered(0, 3_000_000));
    server.publish_retained("state", &numbered(1, 1)).unwrap();
    let next = within(state.recv_published()).await.unwrap();
    assert_eq!((next.message.number, next.retained), (1, false));
    pair.end().await;
}

#[test]
fn over_every_transport_and_protocol() {
    for scheme in ["tcp", "mem", "uds"] {
        if cfg!(not(unix)) && scheme == "uds" {
            continue;
        }
        let wire = Wire::new(scheme, "msgpack");
        run(async move {
            topics_go_both_ways(&wire).await;
            a_retained_value_comes_first_however_long_it_is(&wire).await;
        });
        let wire = Wire::new(scheme, "msgpack-plain");
        run_on_one_thread(async move {
            topics_go_both_ways(&wire).await;
            a_retained_value_comes_first_however_long_it_is(&wire).await;
        });
    }
}

/// Sessions of one client with a server, and their ids at the server.
async fn crowd(wire: &Wire, server: &Service, client: &Service, len: usize) -> Vec<support::Pair> {
    let mut pairs = Vec::new();
    for _ in 0..len {
        pairs.push(wire.open(server, client).await);
    }
    pairs
}

#[test]
fn a_crowd_hears_all_of_it_and_a_broadcast_names_who_did_not() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let heard = Arc::new(Mutex::new(0));
        let count = Arc::clone(&heard);
        client.on(move |_cx, _: Note| *count.lock().unwrap() += 1);
        server.topic("news").allow_all();
        let pairs = crowd(&wire, &server, &client, 20).await;
        let mut subscriptions = Vec::new();
        for pair in &pairs {
            subscriptions.push(within(pair.here.subscribe::<Note>("news")).await.unwrap());
        }
        for number in 0..100 {
            let report = server.publish("news", &numbered(number, 100)).unwrap();
            assert_eq!(report.subscriptions, 20);
        }
        for subscription in &mut subscriptions {
            assert_eq!(read_up_to(subscription, 99).await, (100, 0));
        }
        let mut closed = server.subscribe_queue(topic(wire.protocol, SessionClosed), 10);
        let gone = pairs[3].there.id();
        pairs[3].here.close();
        assert_eq!(within(closed.recv()).await.unwrap().id, gone);
        let ids: Vec<_> = pairs.iter().map(|pair| pair.there.id()).collect();
        let report = server.broadcast(ids, &note(7));
        assert_eq!(report.sent, 19);
        assert_eq!(report.failed, [(gone, SendError::NoSession)]);
        for pair in pairs.iter().filter(|pair| pair.there.is_open()) {
            within(pair.there.barrier()).await.unwrap();
        }
        assert_eq!(*heard.lock().unwrap(), 19);
        within(client.shutdown()).await.unwrap();
        within(server.shutdown()).await.unwrap();
    });
}

#[test]
fn a_slow_subscriber_misses_some_and_holds_nobody_up() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        server.topic("news").allow_all();
        client.handle_now(|_cx, ask: Ask| Ok(Told { number: ask.number }));
        let pair = wire.open(&server, &client).await;
        let how = pair.here.subscribe::<Note>("news").inbox_bytes(10_000);
        let mut slow = within(how).await.unwrap();
        let how = pair.here.subscribe::<Note>("news").inbox_bytes(10_000);
        let mut strict = within(how.overflow(Overflow::Close)).await.unwrap();
        for number in 0..20_000 {
            server.publish("news", &numbered(number, 1_000)).unwrap();
        }
        // Calls go by, and the last message is the one that says where the topic stands.
        assert_eq!(within(pair.there.request(Ask { number: 3 })).await.unwrap().number, 3);
        let (all, left_out) = read_up_to(&mut slow, 19_999).await;
        assert_eq!(all, 20_000);
        assert_eq!(left_out, slow.left_out());
        assert!(left_out > 0);
        let mut heard = 0;
        let end = loop {
            match within(strict.recv()).await {
                Ok(note) => {
                    assert_eq!(note.number, heard);
                    heard += 1;
                }
                Err(end) => break end,
            }
        };
        assert_eq!(end, SubscriptionError::Overflowed);
        pair.end().await;
    });
}

#[test]
fn a_session_is_new_then_ready_and_then_hears_its_peer() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let order = Arc::new(Mutex::new(Vec::new()));
        let [new, ready, first] = [(); 3].map(|()| Arc::clone(&order));
        server.subscribe(topic(wire.protocol, NewSession), move |_| {
            new.lock().unwrap().push("new");
        });
        server.subscribe(topic(wire.protocol, SessionReady), move |_| {
            ready.lock().unwrap().push("ready");
        });
        server.handle_now(move |_cx, ask: Ask| {
            first.lock().unwrap().push("asked");
            Ok(Told { number: ask.number })
        });
        let acceptor = wire.accept(&server).await;
        let ready_here = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&ready_here);
        client.subscribe(topic(wire.protocol, SessionReady), move |_| {
            tell.store(true, Ordering::SeqCst);
        });
        let session = wire.connect(&client, &acceptor).await;
        within(session.request(Ask { number: 1 })).await.unwrap();
        assert!(ready_here.load(Ordering::SeqCst));
        assert_eq!(*order.lock().unwrap(), ["new", "ready", "asked"]);
        within(client.shutdown()).await.unwrap();
        within(server.shutdown()).await.unwrap();
    });
}

/// Subscriptions come, are read and go while everybody publishes; each number is accounted for.
#[test]
fn subscribers_that_come_and_go_are_never_lied_to() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        server.topic("news").allow_all();
        let pair = wire.open(&server, &client).await;
        let stop = Arc::new(AtomicBool::new(false));
        let publisher = {
            let (server, stop) = (server.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut number = 0;
                while !stop.load(Ordering::SeqCst) {
                    server.publish("news", &numbered(number, 50)).unwrap();
                    number += 1;
                    tokio::task::yield_now().await;
                }
            })
        };
        for round in 0..30_u64 {
            let how = pair.here.subscribe::<Note>("news").inbox_bytes(2_000);
            let mut subscription = within(how).await.unwrap();
            let mut expected = None;
            for _ in 0..round {
                match within(subscription.recv()).await {
                    Ok(note) => {
                        assert_eq!(note.number, expected.unwrap_or(note.number));
                        expected = Some(note.number + 1);
                    }
                    Err(SubscriptionError::Lagged(count)) => {
                        expected = expected.map(|number| number + count);
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        }
        stop.store(true, Ordering::SeqCst);
        within(publisher).await.unwrap();
        within(pair.here.barrier()).await.unwrap();
        assert_eq!(server.publish("news", &numbered(0, 1)).unwrap().subscriptions, 0);
        pair.end().await;
    });
}
