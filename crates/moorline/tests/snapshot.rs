//! The state of a service, as somebody who operates it sees it: that it is there, that it is true, and
//! that what one side has sent is what the other has received.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::{Duration, Instant};

use moorline::state::{Counters, Handled, Introspect, Sent, SessionPhase, Snapshot};
use moorline::{
    CallError, Direction, ErrorCode, Failure, Identity, Peers, Service, Stream, register_message,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use support::{Ask, Late, Note, Pair, Reject, Told, Wire, note, run_on_one_thread, within};

/// A stream of numbers that come back.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Echoes;
register_message!(stream Echoes as "e2e.SnapshotEchoes": u64 => u64);

fn handlers(service: &Service) {
    service.on(|_, _: Note| {});
    service.handle_now(|_, Ask { number }| {
        let why = || Failure::App(Reject { why: "it is odd".into() });
        if number % 2 == 0 { Ok(Told { number }) } else { Err(why()) }
    });
    service.handle(|_, Late { number }: Late| async move {
        tokio::task::yield_now().await;
        Ok(Told { number })
    });
    service.handle_stream(|_, _: Echoes, mut stream: Stream<u64, u64>| async move {
        while let Ok(Some(number)) = stream.recv().await {
            stream.send_wait(&number).await.unwrap();
        }
        let _ = stream.finish();
    });
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Post,
    Good,
    Bad,
    Late,
    Unknown,
    Stream(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Post),
        2 => Just(Step::Good),
        1 => Just(Step::Bad),
        1 => Just(Step::Late),
        1 => Just(Step::Unknown),
        1 => (0..5_u64).prop_map(Step::Stream),
    ]
}

async fn take(pair: &Pair, from_server: bool, step: Step) {
    let session = if from_server { &pair.there } else { &pair.here };
    match step {
        Step::Post => session.send(&note(1)).unwrap(),
        Step::Good => drop(within(session.request(Ask { number: 2 })).await.unwrap()),
        Step::Bad => drop(within(session.request(Ask { number: 3 })).await.unwrap_err()),
        Step::Late => drop(within(session.request(Late { number: 4 })).await.unwrap()),
        // A post that has no handler is counted as received, and as dropped.
        Step::Unknown => session.send(&support::Chat { from: "a", text: "b" }).unwrap(),
        Step::Stream(count) => {
            let mut stream = session.open(&Echoes).unwrap();
            for number in 0..count {
                stream.send_wait(&number).await.unwrap();
                assert_eq!(within(stream.recv()).await.unwrap(), Some(number));
            }
            stream.finish().unwrap();
            assert_eq!(within(stream.recv()).await.unwrap(), None);
        }
    }
}

/// What one side says it has received, in the words of who sent it.
fn received(counters: &Counters) -> Sent {
    let mut sent = Sent::default();
    sent.posts = counters.posts;
    sent.requests = counters.requests;
    sent.responses = counters.responses;
    sent.errors = counters.errors;
    sent.streams = counters.streams;
    sent.stream_messages = counters.stream_messages;
    sent.stream_ends = counters.stream_ends;
    sent.publications = counters.publications;
    sent
}

/// Without what the wire makes of it: that is looked at by itself.
fn said(counters: &Counters) -> Sent {
    let mut sent = counters.sent;
    (sent.bytes, sent.writes) = (0, 0);
    sent
}

async fn both_sides_agree(wire: &Wire, steps: Vec<(bool, Step)>) {
    let (server, client) = (wire.service(), wire.service());
    for service in [&server, &client] {
        handlers(service);
        // With it peers say nothing of what is handled, so that posts without a handler do come.
        service.default_handler(|_, _| None);
    }
    let pair = wire.open(&server, &client).await;
    for (from_server, step) in steps {
        take(&pair, from_server, step).await;
    }
    pair.end().await;
    let (here, there) = (client.snapshot().counters, server.snapshot().counters);
    assert_eq!(said(&here), received(&there));
    assert_eq!(said(&there), received(&here));
    for (out, into) in [(&here, &there), (&there, &here)] {
        // What is left of the record that ended the handshake is the session's.
        let bytes = out.sent.bytes..=out.sent.bytes + 64;
        assert!(bytes.contains(&into.bytes), "{bytes:?} {}", into.bytes);
    }
    // The same under gofast's names.
    let named = |counters: &Counters, from: usize| {
        counters.statistics()[from..].iter().map(|(_, count)| *count).collect::<Vec<_>>()
    };
    let (tx, rx) = (named(&here, 3), named(&there, 12));
    assert_eq!(tx[..6].iter().sum::<u64>(), here.sent.messages() - here.sent.publications);
    assert_eq!((here.statistics()[0].1, tx[1]), (there.statistics()[9].1, rx[0]));
    assert!(here.sent.bytes > 0 && here.sent.writes > 0 && here.reads > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_one_side_sends_the_other_receives(
        steps in prop::collection::vec((any::<bool>(), step()), 0..24),
        sealed: bool,
    ) {
        let protocol = if sealed { "msgpack" } else { "msgpack-plain" };
        run_on_one_thread(async {
            both_sides_agree(&Wire::new("mem", protocol), steps).await;
        });
    }
}

#[test]
fn a_snapshot_shows_what_is_there_and_survives_json() {
    run_on_one_thread(async {
        let wire = Wire::usual();
        let server = wire.builder().agent("state/1").shards(2).build().unwrap();
        let client = wire.service();
        handlers(&server);
        let pair = wire.open(&server, &client).await;
        take(&pair, false, Step::Good).await;
        let stream = pair.here.open(&Echoes).unwrap();
        take(&pair, false, Step::Good).await;

        let state = until(&server, |state| state.sessions[0].streams == 1).await;
        let session = &state.sessions[0];
        assert_eq!(session.id, pair.there.id().number());
        assert_eq!((session.direction, session.phase), (Direction::Accepted, SessionPhase::Open));
        assert_eq!(session.peer_key, client.public_key().map(|key| key.to_string()));
        assert_eq!((&*session.protocol, session.counters.requests), ("msgpack", 2));
        assert!(session.suite.contains("ChaChaPoly") || session.suite.contains("AESGCM"));
        assert!(session.send_credit.is_some_and(|bytes| bytes > 0));
        assert!(session.receive_credit.is_some_and(|bytes| bytes > 0));
        assert!(session.age_ms.is_some() && session.last_error.is_none());
        let service = &state.service;
        assert_eq!((&*service.agent, service.sessions_opened), ("state/1", 1));
        assert_eq!(service.listeners[0].url, pair.acceptor.url().to_string());
        assert_eq!(service.shard_loads.iter().sum::<usize>(), 1);
        assert_eq!(service.limits.message_max, 16 * 1024 * 1024);
        assert_eq!((service.limits.timeout_ms, service.limits.keep_alive_ms), (Some(30_000), None));
        let handled = |name| state.dictionary.iter().find(|t| t.name == name).unwrap().handled;
        assert_eq!(handled("e2e.Ask"), Handled::Request);
        assert_eq!(handled("e2e.Note"), Handled::Post);
        assert_eq!(handled("e2e.SnapshotEchoes"), Handled::Stream);
        assert_eq!(handled("e2e.Chat"), Handled::No);
        assert_eq!(state.pools.len(), 2);

        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), state);
        drop(stream);
        pair.acceptor.close();
        until(&server, |state| state.service.listeners.is_empty()).await;
        pair.end().await;
        let over = server.snapshot();
        assert!(over.sessions.is_empty() && over.service.stopped);
        assert_eq!(over.ended[0].id, state.sessions[0].id);
        assert_eq!(over.counters.requests, 2);
    });
}

#[test]
fn what_waits_is_shown_where_it_waits() {
    run_on_one_thread(async {
        let wire = Wire::new("mem", "msgpack");
        let (server, client) = (wire.service(), wire.service());
        handlers(&server);
        let pair = wire.open(&server, &client).await;
        // Nothing runs between these two but this test.
        pair.here.send(&note(1)).unwrap();
        pair.here.send_with_priority(0, &note(2)).unwrap();
        let state = pair.here.snapshot(Instant::now());
        assert!(state.queued.normal > 0 && state.queued.bulk > 0, "{state:?}");
        assert_eq!((state.queued.high, state.counters.sent.posts), (0, 2));
        pair.end().await;
    });
}

#[test]
fn calls_and_their_times_are_told_by_type_where_a_service_measures() {
    run_on_one_thread(async {
        let wire = Wire::new("mem", "msgpack");
        let (server, client) =
            (wire.builder().handler_times(true).build().unwrap(), wire.service());
        server.on(|_, _: Note| {});
        server.handle_now(|_, Ask { number }| Ok(Told { number }));
        server.handle(|_, Late { number }: Late| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(Told { number })
        });
        let pair = wire.open(&server, &client).await;
        for _ in 0..3 {
            for step in [Step::Post, Step::Good, Step::Late] {
                take(&pair, false, step).await;
            }
        }
        pair.end().await;
        let state = server.snapshot();
        let of = |name| state.dictionary.iter().find(|t| t.name == name).unwrap();
        assert_eq!((of("e2e.Note").calls, of("e2e.Ask").calls, of("e2e.Late").calls), (3, 3, 3));
        assert_eq!((of("e2e.Chat").calls, of("e2e.Chat").p50_us), (0, None));
        assert!(of("e2e.Late").p50_us.unwrap() >= 20_000);
        assert!(of("e2e.Ask").p99_us.is_some());
        assert!(client.snapshot().dictionary.iter().all(|t| t.calls == 0));
    });
}

#[test]
fn a_peer_asks_for_the_state_if_it_has_the_right_and_the_service_offers_it() {
    run_on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("peers");
        let (ops, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let lines =
            format!("ops {} role=operator\nother {} role=player\n", ops.public(), other.public());
        std::fs::write(&list, lines).unwrap();
        let builder = || {
            let identity = Identity::generate().unwrap();
            Service::builder().identity(identity).peers(Peers::file(&list).unwrap())
        };
        let (open, closed) =
            (builder().introspect("operator").build().unwrap(), builder().build().unwrap());
        let wire = Wire::new("mem", "msgpack");
        let dial = async |server: &Service, identity: Identity| {
            let at = server.accept(&wire.place(), "msgpack").await.unwrap();
            let client = Service::builder().identity(identity).build().unwrap();
            let session = within(client.connect(&at.url().to_string(), "msgpack")).await.unwrap();
            (client, session, at)
        };
        let (client, session, _at) = dial(&open, ops).await;
        let state = within(session.request(Introspect::default())).await.unwrap();
        assert_eq!(state.sessions[0].peer_name.as_deref(), Some("ops"));
        assert_eq!(state.service.limits, open.snapshot().service.limits);
        assert!(state.dictionary.iter().any(|t| t.name == "moorline.Introspect"));
        let brief = within(session.request(Introspect::brief())).await.unwrap();
        assert!(brief.sessions.is_empty() && brief.counters.requests >= 1);
        within(client.shutdown()).await.unwrap();

        let (client, session, _at) = dial(&open, other.clone()).await;
        let refused = within(session.request(Introspect::default())).await.unwrap_err();
        let forbidden = matches!(&refused, CallError::Fault(ErrorCode::FORBIDDEN, _));
        assert!(forbidden, "{refused}");
        within(client.shutdown()).await.unwrap();

        let (client, session, _at) = dial(&closed, other).await;
        let refused = within(session.request(Introspect::default())).await.unwrap_err();
        assert!(refused.to_string().contains("moorline.Introspect"), "{refused}");
        within(client.shutdown()).await.unwrap();
        within(open.shutdown()).await.unwrap();
        within(closed.shutdown()).await.unwrap();
    });
}

async fn until(service: &Service, done: impl Fn(&Snapshot) -> bool) -> Snapshot {
    within(async {
        loop {
            let state = service.snapshot();
            if done(&state) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}
