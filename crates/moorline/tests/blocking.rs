//! Handlers that block: they run beside their session, not on it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::{Mutex, mpsc};

use moorline::{CallError, ErrorCode};
use support::{Ask, Late, Reject, Told, Wire, hear, run_on_one_thread, within};

/// One thread runs both services: a handler that held it up would hold up everything.
#[test]
fn a_handler_that_blocks_holds_up_nobody() {
    run_on_one_thread(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let (release, blocked) = mpsc::channel::<u64>();
        let blocked = Mutex::new(blocked);
        let (tell, mut started) = hear();
        server.handle_blocking(move |cx, late: Late| {
            tell.send(cx.session().id()).unwrap();
            let more = blocked.lock().unwrap().recv().unwrap();
            Ok(Told { number: late.number + more })
        });
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        let pair = wire.open(&server, &client).await;
        let session = pair.here.clone();
        let late = tokio::spawn(async move { session.request(Late { number: 40 }).await });
        assert_eq!(started.next().await, pair.there.id());
        assert_eq!(within(pair.here.request(Ask { number: 1 })).await.unwrap().number, 1);
        assert!(!late.is_finished());
        release.send(2).unwrap();
        assert_eq!(within(late).await.unwrap().unwrap().number, 42);
        pair.end().await;
    });
}

#[test]
fn what_it_fails_with_reaches_its_caller() {
    run_on_one_thread(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        server.handle_blocking(|_, ask: Ask| match ask.number {
            0 => Err(Reject { why: "zero".into() }.into()),
            _ => panic!("on purpose"),
        });
        let pair = wire.open(&server, &client).await;
        let error = within(pair.here.request(Ask { number: 0 })).await.unwrap_err();
        assert_eq!(error, CallError::App(Reject { why: "zero".into() }));
        let error = within(pair.here.request(Ask { number: 1 })).await.unwrap_err();
        assert!(matches!(error, CallError::Fault(ErrorCode::INTERNAL, _)), "{error:?}");
        pair.end().await;
    });
}
