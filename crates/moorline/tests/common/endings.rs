//! How sessions and services end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moorline::{
    CallError, CloseReason, Error, ErrorCode, Executed, Farewell, SendError, SessionStatus,
};
use tokio::sync::Semaphore;

use crate::support::{Late, Note, Told, Wire, hear, note, within};

pub(crate) async fn a_farewell_carries_code_and_text(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let pair = wire.open(&server, &client).await;
    let (tell, mut heard) = hear();
    let other = tell.clone();
    pair.here.on_close(move |end| tell.send(("here", end.clone())).unwrap());
    pair.there.on_close(move |end| other.send(("there", end.clone())).unwrap());
    assert!(pair.here.close_with(ErrorCode(7), "so long\n"));
    assert!(!pair.here.close_with(ErrorCode(8), "again"), "it is closing already");
    let error = pair.here.send(&note(1)).unwrap_err();
    assert!(matches!(error, SendError::Closed(CloseReason::ByUs(_))), "{error:?}");
    let mut ends = [heard.next().await, heard.next().await];
    ends.sort_by_key(|(side, _)| *side);
    let farewell = Farewell::new(ErrorCode(7), "so long\n");
    assert_eq!(ends[0].1.id, pair.here.id());
    assert_eq!(ends[0].1.reason, Some(CloseReason::ByUs(farewell.clone())));
    assert_eq!(ends[1].1.id, pair.there.id());
    // Escaped once: a peer's text cannot forge a line of a log.
    assert_eq!(ends[1].1.reason, Some(CloseReason::ByPeer(farewell.clone())));
    assert_eq!(pair.there.status(), SessionStatus::Closed(CloseReason::ByPeer(farewell)));
    pair.end().await;
}

pub(crate) async fn what_was_sent_before_close_arrives(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let (tell, mut heard) = hear();
    server.on(move |_, note: Note| tell.send(note.number).unwrap());
    let pair = wire.open(&server, &client).await;
    let (tell, mut ended) = hear();
    pair.there.on_close(move |end| tell.send(end.reason.clone()).unwrap());
    for number in 0..2_000 {
        pair.here.send(&note(number)).unwrap();
    }
    pair.here.close();
    assert_eq!(ended.next().await, Some(CloseReason::ByPeer(Farewell::ordinary())));
    assert_eq!(heard.so_far(), (0..2_000).collect::<Vec<_>>());
    pair.end().await;
}

pub(crate) async fn a_close_is_told_once_to_each_subscriber(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let pair = wire.open(&server, &client).await;
    let id = pair.there.id();
    let (tell, mut heard) = hear();
    let mut subscriptions: Vec<_> = (0..3)
        .map(|number| {
            let tell = tell.clone();
            server.subscribe_close(id, move |end| tell.send((number, end.clone())).unwrap())
        })
        .collect();
    assert!(subscriptions.remove(1).cancel());
    pair.here.close();
    let (first, second) = (heard.next().await, heard.next().await);
    assert_eq!((first.0, second.0), (0, 2));
    assert_eq!(first.1, second.1);
    assert_eq!((first.1.id, first.1.reason.is_some()), (id, true));
    // Too late is not too late: it is told at once that there is none.
    server.subscribe_close(id, move |end| tell.send((9, end.clone())).unwrap());
    let late = heard.so_far();
    assert_eq!((late.len(), late[0].0, &late[0].1.reason), (1, 9, &None));
    assert!(!subscriptions.remove(0).cancel());
    pair.end().await;
}

pub(crate) async fn a_call_in_flight_ends_with_its_session(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let (tell, mut started) = hear();
    server.handle(move |_, _: Late| {
        tell.send(()).unwrap();
        std::future::pending()
    });
    let pair = wire.open(&server, &client).await;
    let session = pair.here.clone();
    let call = tokio::spawn(async move { session.request(Late { number: 1 }).await });
    started.next().await;
    pair.there.close_with(ErrorCode(3), "enough");
    let error = within(call).await.unwrap().unwrap_err();
    let CallError::Closed { reason: CloseReason::ByPeer(farewell), sent: true } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((farewell.code, &*farewell.text), (ErrorCode(3), "enough"));
    assert_eq!(error.executed(), Executed::Maybe);
    pair.end().await;
}

pub(crate) async fn a_shutdown_answers_what_is_in_flight(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let gate = Arc::new(Semaphore::new(0));
    let handler_gate = Arc::clone(&gate);
    let (tell, mut started) = hear();
    server.handle(move |_, late: Late| {
        let gate = Arc::clone(&handler_gate);
        tell.send(()).unwrap();
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(Told { number: late.number })
        }
    });
    let pair = wire.open(&server, &client).await;
    let session = pair.here.clone();
    let call = tokio::spawn(async move { session.request(Late { number: 5 }).await });
    started.next().await;
    let (tell, mut ended) = hear();
    pair.here.on_close(move |end| tell.send(end.reason.clone().unwrap()).unwrap());
    let stopping = tokio::spawn({
        let server = server.clone();
        async move { server.shutdown().await }
    });
    // The peer is asked to start nothing new, and does not.
    let draining = async {
        while pair.here.status() == SessionStatus::Open {
            tokio::task::yield_now().await;
        }
    };
    within(draining).await;
    let error = within(pair.here.request(Late { number: 6 })).await.unwrap_err();
    assert_eq!(error, CallError::NotSent(SendError::Draining));
    assert!(!stopping.is_finished() && !call.is_finished());
    gate.add_permits(1);
    assert_eq!(within(call).await.unwrap().unwrap().number, 5);
    within(stopping).await.unwrap().unwrap();
    let reason = ended.next().await;
    assert!(matches!(reason, CloseReason::ByPeer(_)) && reason.is_ordinary(), "{reason:?}");
    pair.end().await;
}

pub(crate) async fn a_shutdown_keeps_its_deadline(wire: &Wire) {
    let deadline = Duration::from_millis(100);
    let server = wire.builder().drain_deadline(deadline).build().unwrap();
    let client = wire.service();
    let (tell, mut started) = hear();
    server.handle(move |_, _: Late| {
        tell.send(()).unwrap();
        std::future::pending()
    });
    let pair = wire.open(&server, &client).await;
    let session = pair.here.clone();
    let call = tokio::spawn(async move { session.request(Late { number: 5 }).await });
    started.next().await;
    let begun = Instant::now();
    let error = within(server.shutdown()).await.unwrap_err();
    let took = begun.elapsed();
    assert!(took >= deadline && took < Duration::from_secs(3), "{took:?}");
    let Error::NotDrained(report) = &error else { panic!("{error:?}") };
    assert_eq!((report.sessions, report.stuck, report.left.handlers), (1, 0, 1), "{report}");
    assert!(error.to_string().contains("`drain_deadline`"), "{error}");
    let error = within(call).await.unwrap().unwrap_err();
    assert_eq!(error.executed(), Executed::Maybe, "{error:?}");
    pair.end().await;
}

pub(crate) async fn who_is_shut_down_starts_nothing(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let acceptor = wire.accept(&server).await;
    within(client.shutdown()).await.unwrap();
    let url = acceptor.url().to_string();
    let error = client.connect(&url, wire.protocol).await.unwrap_err();
    assert_eq!(error.to_string(), "the service has been shut down");
    within(server.shutdown()).await.unwrap();
    assert!(server.accept(&wire.place(), wire.protocol).await.is_err());
    // Nobody listens any more.
    let error = wire.service().connect(&url, wire.protocol).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
}
