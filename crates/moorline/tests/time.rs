//! Silence, deadlines and flushing between services: small intervals, and never an upper bound on how
//! long the machine takes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::{Duration, Instant};

use moorline::{CallError, CloseReason, ErrorCode, Executed, Flush, SessionClosed, topic};
use support::{
    Ask, Blob, Heard, Late, Note, RawPeer, Said, Told, Wire, blob, hear, note, run, within,
};

const SHORT: Duration = Duration::from_millis(20);

//= docs/PROTOCOL.md#7
#[test]
fn a_peer_that_is_asked_and_says_nothing_is_dead() {
    run(async {
        let wire = Wire::usual();
        let server = wire.builder().heartbeat(SHORT).dead_after(2 * SHORT).build().unwrap();
        let (mut closed, _subscription) =
            Heard::<SessionClosed>::topic(&server, topic("msgpack", SessionClosed));
        let acceptor = wire.accept(&server).await;
        // It has opened a session, and answers no ping.
        let mut peer = RawPeer::open(&acceptor.url().to_string()).await;
        let session = loop {
            match server.sessions().pop() {
                Some(session) => break session,
                None => tokio::task::yield_now().await,
            }
        };
        let begun = Instant::now();
        let error = within(session.request(Ask { number: 1 }).no_timeout()).await.unwrap_err();
        assert!(begun.elapsed() >= 2 * SHORT);
        let CallError::Closed { reason, sent: true } = &error else { panic!("{error:?}") };
        assert!(matches!(reason, CloseReason::Heartbeat { limit, .. } if *limit == 2 * SHORT));
        assert_eq!(error.executed(), Executed::Maybe);
        assert_eq!(closed.next().await.reason, *reason);
        let close = loop {
            match peer.hear().await {
                Said::Close(code, text) => break (code, text),
                Said::Other(_) => {}
                end => panic!("{end:?}"),
            }
        };
        assert_eq!(close.0, ErrorCode::HEARTBEAT);
        assert!(close.1.contains("the limit is 40 ms (knob: `dead_after`)"), "{}", close.1);
        drop(peer);
        within(server.shutdown()).await.unwrap();
    });
}

#[test]
fn who_answers_pings_may_take_its_time_and_rest() {
    run(async {
        let wire = Wire::usual();
        let build = || {
            // A live peer is never called dead here, however busy the machine is.
            let dead_after = Duration::from_secs(60);
            wire.builder()
                .heartbeat(SHORT)
                .keep_alive(SHORT)
                .dead_after(dead_after)
                .build()
                .unwrap()
        };
        let (server, client) = (build(), build());
        server.handle(|_, late: Late| async move {
            tokio::time::sleep(10 * SHORT).await;
            Ok(Told { number: late.number })
        });
        let pair = wire.open(&server, &client).await;
        for number in 0..3 {
            assert_eq!(within(pair.here.request(Late { number })).await.unwrap().number, number);
            tokio::time::sleep(5 * SHORT).await;
        }
        assert!(pair.here.is_open() && pair.there.is_open());
        pair.end().await;
    });
}

#[test]
fn a_session_that_nobody_needs_ends_where_that_is_asked_for() {
    run(async {
        let wire = Wire::usual();
        let server = wire.builder().idle_timeout(SHORT).build().unwrap();
        let client = wire.service();
        server.handle(|_, late: Late| async move {
            tokio::time::sleep(10 * SHORT).await;
            Ok(Told { number: late.number })
        });
        let acceptor = wire.accept(&server).await;
        let session = wire.connect(&client, &acceptor).await;
        let (tell, mut heard) = hear();
        let subscription = session.on_close(move |end| tell.send(end.reason.clone()).unwrap());
        // A call is a need, however long it takes.
        match within(session.request(Late { number: 1 })).await {
            Ok(told) => assert_eq!(told.number, 1),
            // The machine was too busy to send it in time.
            Err(error) => {
                assert!(matches!(error, CallError::Closed { .. } | CallError::NotSent(_)))
            }
        }
        assert!(heard.next().await.unwrap().is_ordinary());
        drop(subscription);
        within(client.shutdown()).await.unwrap();
        within(server.shutdown()).await.unwrap();
    });
}

/// What remains is handed on from hop to hop, with what the caller says of itself.
#[test]
fn a_call_made_while_handling_another_has_no_more_time_than_that() {
    run(async {
        let wire = Wire::usual();
        let (first, middle, last) = (wire.service(), wire.service(), wire.service());
        let (tell, mut heard) = hear();
        last.handle(move |cx, ask: Ask| {
            let said = (cx.remaining().unwrap(), cx.trace(), cx.idempotency_key());
            tell.send(said).unwrap();
            async move { Ok(Told { number: ask.number + 1 }) }
        });
        let acceptor = wire.accept(&last).await;
        let next = wire.connect(&middle, &acceptor).await;
        middle.handle(move |cx, late: Late| {
            let next = next.clone();
            async move {
                let ask = Ask { number: late.number };
                // A longer time of its own does not help.
                let told = cx.request_to(&next, ask).timeout(Duration::from_secs(3_600)).await;
                Ok(Told { number: told.unwrap().number + 1 })
            }
        });
        let pair = wire.open(&middle, &first).await;
        let time = Duration::from_secs(20);
        let call = pair.here.request(Late { number: 1 }).timeout(time).trace([7; 25]);
        assert_eq!(within(call).await.unwrap().number, 3);
        let (remaining, trace, key) = heard.next().await;
        // Each hop rounds up to whole milliseconds; the default would be 30 s.
        assert!(remaining <= time + Duration::from_millis(2), "{remaining:?}");
        assert_eq!((trace, key), (Some([7; 25]), None));
        // The same without a time of its own: what remains is less than the default.
        assert_eq!(
            within(pair.here.request(Late { number: 1 }).timeout(time)).await.unwrap().number,
            3
        );
        let (remaining, trace, _) = heard.next().await;
        assert!(remaining <= time + Duration::from_millis(2) && trace.is_none(), "{remaining:?}");
        pair.end().await;
        within(last.shutdown()).await.unwrap();
    });
}

#[test]
fn a_handler_that_waits_for_another_ends_when_its_caller_gives_up() {
    run(async {
        let wire = Wire::usual();
        let (first, middle, last) = (wire.service(), wire.service(), wire.service());
        let (tell, mut heard) = hear();
        last.handle(move |_, _: Ask| {
            tell.send("started").unwrap();
            let tell = Dropped(tell.clone());
            async move {
                let _tell = tell;
                std::future::pending().await
            }
        });
        let acceptor = wire.accept(&last).await;
        let next = wire.connect(&middle, &acceptor).await;
        middle.handle(move |_, late: Late| {
            let next = next.clone();
            // Not even by `cx.request_to`: the handler is dropped, and its call with it.
            async move { Ok(next.request(Ask { number: late.number }).no_timeout().await.unwrap()) }
        });
        let pair = wire.open(&middle, &first).await;
        let call = pair.here.request(Late { number: 1 }).timeout(5 * SHORT);
        let error = within(call).await.unwrap_err();
        assert_eq!(error, CallError::Timeout { limit: 5 * SHORT });
        assert!(error.to_string().contains("within 100 ms (knob: `timeout`"), "{error}");
        assert_eq!((heard.next().await, heard.next().await), ("started", "dropped"));
        pair.end().await;
        within(last.shutdown()).await.unwrap();
    });
}

/// Tells when it is dropped.
struct Dropped(tokio::sync::mpsc::UnboundedSender<&'static str>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

#[test]
fn a_handler_with_a_time_of_its_own_is_dropped_when_that_is_over() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        server.handle_within(2 * SHORT, |cx, late: Late| async move {
            if late.number == 0 {
                std::future::pending::<()>().await;
            }
            Ok(Told { number: u64::from(cx.remaining().unwrap() <= 2 * SHORT) })
        });
        let pair = wire.open(&server, &client).await;
        let begun = Instant::now();
        for call in [
            pair.here.request(Late { number: 0 }),
            pair.here.request(Late { number: 0 }).no_timeout(),
        ] {
            let error = within(call).await.unwrap_err();
            let CallError::Fault(code, text) = &error else { panic!("{error:?}") };
            assert_eq!((*code, error.executed()), (ErrorCode::DEADLINE, Executed::Maybe));
            assert_eq!(&**text, "the handler has 40 ms (knob: `handle_within`)");
        }
        assert!(begun.elapsed() >= 4 * SHORT);
        // Who allows less is told in its own words.
        let call = pair.here.request(Late { number: 0 }).timeout(SHORT);
        assert_eq!(within(call).await.unwrap_err(), CallError::Timeout { limit: SHORT });
        assert_eq!(within(pair.here.request(Late { number: 1 })).await.unwrap().number, 1);
        pair.end().await;
    });
}

#[test]
fn an_idempotent_call_has_a_key_that_tells_it_from_others() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let (tell, mut heard) = hear();
        server.handle_now(move |cx, ask: Ask| {
            tell.send((cx.idempotency_key(), cx.attempt(), cx.is_idempotent())).unwrap();
            Ok(Told { number: ask.number })
        });
        let pair = wire.open(&server, &client).await;
        let ask = || pair.here.request(Ask { number: 1 });
        within(ask()).await.unwrap();
        assert_eq!(heard.next().await, (None, 0, false));
        let mut keys = Vec::new();
        for _ in 0..3 {
            within(ask().idempotent()).await.unwrap();
            let (key, attempt, idempotent) = heard.next().await;
            assert_eq!((attempt, idempotent), (0, true));
            keys.push(key.unwrap());
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 3, "each call has its own");
        within(ask().idempotent_as(keys[0], 2)).await.unwrap();
        assert_eq!(heard.next().await, (Some(keys[0]), 2, true));
        pair.end().await;
    });
}

#[test]
fn what_is_held_back_leaves_when_told_to() {
    run(async {
        let wire = Wire::usual();
        let (server, client) =
            (wire.service(), wire.builder().flush(Flush::Manual).build().unwrap());
        let (tell, mut heard) = hear();
        server.on(move |_, note: Note| tell.send(note.number).unwrap());
        server.handle(|_, blob: Blob| async move { Ok(blob) });
        client.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        let pair = wire.open(&server, &client).await;
        for number in 0..3_000 {
            pair.here.send(&note(number)).unwrap();
        }
        // Answers are not held back; that this one came shows that the posts were.
        assert_eq!(within(pair.there.request(Ask { number: 7 })).await.unwrap().number, 7);
        assert_eq!(heard.so_far(), [0; 0]);
        within(pair.here.flush_wait()).await.unwrap();
        assert_eq!(pair.here.queued_bytes(), 0);
        for number in 0..3_000 {
            assert_eq!(heard.next().await, number);
        }
        // A large call goes when it is let go, and all of it.
        let session = pair.here.clone();
        let large = tokio::spawn(async move { session.request(blob(5_000_000)).await });
        while pair.here.queued_bytes() == 0 {
            tokio::task::yield_now().await;
        }
        pair.here.flush();
        assert_eq!(within(large).await.unwrap().unwrap(), blob(5_000_000));
        // What is held back when the session ends leaves before the farewell.
        pair.here.send(&note(9)).unwrap();
        pair.here.close();
        assert_eq!(heard.next().await, 9);
        pair.end().await;
    });
}

#[test]
fn at_intervals_everything_leaves_by_itself() {
    run(async {
        let wire = Wire::usual();
        let flush = Flush::Every(2 * SHORT);
        let (server, client) = (wire.service(), wire.builder().flush(flush).build().unwrap());
        let (tell, mut heard) = hear();
        server.on(move |_, note: Note| tell.send(note.number).unwrap());
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        let pair = wire.open(&server, &client).await;
        let begun = Instant::now();
        for number in 0..5 {
            pair.here.send(&note(number)).unwrap();
            assert_eq!(within(pair.here.request(Ask { number })).await.unwrap().number, number);
            assert_eq!(heard.next().await, number);
        }
        // Each call had to wait for its turn but the first.
        assert!(begun.elapsed() >= 4 * 2 * SHORT, "{:?}", begun.elapsed());
        pair.end().await;
    });
}
