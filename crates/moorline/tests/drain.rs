//! Services that are told to stop while their peers do what peers do: whoever has not finished the
//! handshake, never reads, never answers, or blocks a thread. The deadline is kept all the same.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use moorline::{CloseReason, Error, ErrorCode, NewSession, SendError, Service, topic};
use moorline_protocol::Frame;
use support::{Ask, Late, Note, RawPeer, Said, Told, Wire, blob, hear, note, run, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

const DEADLINE: Duration = Duration::from_millis(100);

fn hurried(wire: &Wire) -> Service {
    wire.builder().drain_deadline(DEADLINE).build().unwrap()
}

/// What a shutdown had to cut short.
async fn cut(service: &Service) -> moorline::DrainReport {
    match within(service.shutdown()).await {
        Err(Error::NotDrained(report)) => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_is_shaking_hands_does_not_hold_up_a_shutdown() {
    run(async {
        let wire = Wire::usual();
        let server = hurried(&wire);
        let acceptor = wire.accept(&server).await;
        let url = acceptor.url().to_string();
        let mut silent = RawPeer::dial(&url).await;
        let mut halfway = RawPeer::dial(&url).await;
        let hello = halfway.take_out();
        halfway.stream.write_all(&hello).await.unwrap();
        halfway.shake().await;
        within(server.shutdown()).await.unwrap();
        for peer in [&mut silent, &mut halfway] {
            assert!(matches!(peer.hear().await, Said::End(_)));
        }
    });
}

#[test]
fn a_peer_that_never_reads_does_not_hold_up_a_shutdown() {
    run(async {
        let wire = Wire::usual();
        let server = hurried(&wire);
        let acceptor = wire.accept(&server).await;
        let peer = RawPeer::open(&acceptor.url().to_string()).await;
        let session = server.sessions().pop().unwrap();
        let mut queued = 0;
        let full = loop {
            match session.send(&blob(60_000)) {
                Ok(()) => queued += 60_000,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, SendError::Full { .. }), "{full}");
        let report = cut(&server).await;
        assert_eq!((report.sessions, report.stuck), (1, 0));
        // Some of it has left before: as much as the peer's window and the kernel took.
        assert!(report.left.bytes > queued / 2, "{report}");
        drop(peer);
    });
}

#[test]
fn what_was_not_done_is_told_by_kind() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (hurried(&wire), wire.service());
        let (tell, mut started) = hear();
        let tell_too = tell.clone();
        server.handle(move |_, _: Late| {
            tell.send(()).unwrap();
            std::future::pending()
        });
        client.handle(move |_, _: Ask| {
            tell_too.send(()).unwrap();
            std::future::pending()
        });
        let pair = wire.open(&server, &client).await;
        let (here, there) = (pair.here.clone(), pair.there.clone());
        let calls = [
            tokio::spawn(async move { here.request(Late { number: 1 }).await.is_err() }),
            tokio::spawn(async move { there.request(Ask { number: 1 }).await.is_err() }),
        ];
        started.next().await;
        started.next().await;
        let stream = pair.here.open_raw("nobody").unwrap();
        let report = cut(&server).await;
        let left = report.left;
        assert_eq!((report.sessions, left.handlers, left.calls, left.bytes), (1, 1, 1, 0));
        let text = report.to_string();
        assert!(text.contains("1 handlers running, 1 calls unanswered"), "{text}");
        for call in calls {
            assert!(within(call).await.unwrap());
        }
        drop(stream);
        within(client.shutdown()).await.unwrap();
    });
}

#[test]
fn a_handler_that_blocks_its_thread_is_reported_and_not_waited_for() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (hurried(&wire), wire.service());
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = std::sync::Mutex::new(blocked);
        let (tell, mut started) = hear();
        server.on(move |_, _: Note| {
            tell.send(()).unwrap();
            let _ = blocked.lock().unwrap().recv();
        });
        let pair = wire.open(&server, &client).await;
        pair.here.send(&note(0)).unwrap();
        started.next().await;
        let report = cut(&server).await;
        assert_eq!((report.sessions, report.stuck), (1, 1));
        assert!(report.to_string().contains("stuck in handlers that block"), "{report}");
        drop(release);
        within(client.shutdown()).await.unwrap();
    });
}

#[test]
fn an_old_connection_is_drained_and_its_work_is_finished() {
    run(async {
        let wire = Wire::usual();
        let server = wire.builder().connection_age(Duration::from_millis(200)).build().unwrap();
        let client = wire.service();
        let gate = Arc::new(Semaphore::new(0));
        let handler_gate = Arc::clone(&gate);
        server.handle(move |_, late: Late| {
            let gate = Arc::clone(&handler_gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(Told { number: late.number })
            }
        });
        let pair = wire.open(&server, &client).await;
        let session = pair.here.clone();
        let call = tokio::spawn(async move { session.request(Late { number: 7 }).await });
        let (tell, mut ended) = hear();
        pair.here.on_close(move |end| tell.send(end.reason.clone().unwrap()).unwrap());
        // Nothing new is started once the peer has been asked, and what runs goes on.
        let refused = async {
            loop {
                match pair.here.send(&note(0)) {
                    Err(SendError::Draining) => return,
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        within(refused).await;
        assert!(!call.is_finished());
        gate.add_permits(1);
        assert_eq!(within(call).await.unwrap().unwrap().number, 7);
        let reason = ended.next().await;
        assert!(matches!(reason, CloseReason::ByPeer(_)) && reason.is_ordinary(), "{reason:?}");
        // The service itself goes on.
        let again = wire.connect(&client, &pair.acceptor).await;
        gate.add_permits(1);
        assert_eq!(within(again.request(Late { number: 8 })).await.unwrap().number, 8);
        pair.end().await;
    });
}

#[test]
fn an_old_connection_whose_work_does_not_end_is_cut() {
    run(async {
        let wire = Wire::usual();
        let builder = wire.builder().connection_age(DEADLINE).drain_deadline(DEADLINE);
        let (server, client) = (builder.build().unwrap(), wire.service());
        server.handle(move |_, _: Late| std::future::pending());
        let pair = wire.open(&server, &client).await;
        let begun = Instant::now();
        let error = within(pair.here.request(Late { number: 1 })).await.unwrap_err();
        assert!(begun.elapsed() >= DEADLINE.mul_f64(1.8), "{:?}", begun.elapsed());
        assert!(error.to_string().contains("too old"), "{error}");
        // It is no loss of the shutdown that comes later.
        pair.end().await;
    });
}

#[test]
fn a_shutdown_without_time_cuts_at_once() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        server.handle(move |_, _: Late| std::future::pending());
        server.on(|_, _: Note| {});
        let pair = wire.open(&server, &client).await;
        let session = pair.here.clone();
        let call = tokio::spawn(async move { session.request(Late { number: 1 }).await });
        within(pair.here.barrier()).await.unwrap();
        let error = within(server.shutdown_within(Duration::ZERO)).await.unwrap_err();
        assert!(matches!(error, Error::NotDrained(_)), "{error}");
        assert!(within(call).await.unwrap().is_err());
        within(client.shutdown()).await.unwrap();
    });
}

/// A peer that obeys and reads nothing more: what is sealed for it and not taken by the kernel is lost
/// as much as what still waits to be sealed.
#[test]
fn what_is_sealed_and_not_taken_is_told_as_lost() {
    run(async {
        let wire = Wire::usual();
        let server = wire.builder().close_wait(DEADLINE).build().unwrap();
        let acceptor = wire.accept(&server).await;
        let mut peer = RawPeer::open(&acceptor.url().to_string()).await;
        let session = server.sessions().pop().unwrap();
        let settle = || tokio::time::sleep(Duration::from_millis(20));
        // Until neither the kernel nor the chain in front of it takes more ...
        while session.queued_bytes() == 0 {
            session.send(&blob(10_000)).unwrap();
            settle().await;
        }
        // ... and then as much as brings all of it there.
        let mut waste = vec![0; 8 * 1024];
        while session.queued_bytes() > 0 {
            within(peer.stream.read_exact(&mut waste)).await.unwrap();
            settle().await;
        }
        let stopping = tokio::spawn({
            let server = server.clone();
            async move { server.shutdown().await }
        });
        // Said before it was asked it means nothing, and what it is asked it does not read.
        while !stopping.is_finished() {
            let obeys = Frame::GoAway { code: ErrorCode(0), message: "".into(), obeyed: true };
            let bytes = peer.seal(&[obeys]);
            let _ = peer.stream.write_all(&bytes).await;
            settle().await;
        }
        let error = within(stopping).await.unwrap().unwrap_err();
        let Error::NotDrained(report) = &error else { panic!("{error}") };
        assert!(report.left.bytes > 0 && report.sessions == 0, "{report}");
    });
}

#[test]
fn a_session_that_cannot_say_all_in_time_says_goodbye_in_its_own_words() {
    run(async {
        let wire = Wire::usual();
        let server = wire.builder().close_wait(DEADLINE).build().unwrap();
        let acceptor = wire.accept(&server).await;
        let mut peer = RawPeer::open(&acceptor.url().to_string()).await;
        let session = server.sessions().pop().unwrap();
        // More than the peer's window, and it never gives any credit.
        for _ in 0..40 {
            session.send(&blob(60_000)).unwrap();
        }
        session.close_with(ErrorCode(77), "enough of that");
        let farewell = loop {
            match peer.hear().await {
                Said::Close(code, text) => break (code, text),
                Said::End(reason) => panic!("{reason}"),
                _ => {}
            }
        };
        assert_eq!(farewell, (ErrorCode(77), "enough of that".into()));
        drop(peer);
        within(server.shutdown()).await.unwrap();
    });
}

#[test]
fn a_handler_may_hold_its_service() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let token = Arc::new(());
        let (held, itself) = (Arc::clone(&token), server.clone());
        server.on(move |_, _: Note| drop((Arc::clone(&held), itself.clone())));
        let (held, itself) = (Arc::clone(&token), server.clone());
        server.subscribe(topic(wire.protocol, NewSession), move |_| {
            drop((Arc::clone(&held), itself.clone()));
        });
        let pair = wire.open(&server, &client).await;
        drop(server);
        assert_eq!(Arc::strong_count(&token), 3);
        pair.end().await;
        assert_eq!(Arc::strong_count(&token), 1, "a service that was shut down lets go of them");
    });
}

#[test]
fn for_ever_is_no_time_that_overflows() {
    run(async {
        let wire = Wire::usual();
        let builder = wire.builder().connection_age(Duration::MAX).close_wait(Duration::MAX);
        let builder = builder.drain_deadline(Duration::MAX).connect_timeout(Duration::MAX);
        let (server, client) = (builder.build().unwrap(), wire.service());
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        let pair = wire.open(&server, &client).await;
        assert_eq!(within(pair.here.request(Ask { number: 3 })).await.unwrap().number, 3);
        pair.end().await;
    });
}
