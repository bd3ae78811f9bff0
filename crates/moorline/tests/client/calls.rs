//! Requests of clients, and connections that are lost under them.

use std::sync::Mutex;
use std::time::Duration;

use moorline::{CallError, Executed, SendError};

use super::server::{Home, Shared, begun, client_of, dialer, end, kill, until};
use crate::support::{Ask, Late, Told, hear, run, within};

const SOON: Duration = Duration::from_millis(50);

#[test]
fn a_request_waits_for_a_connection_within_its_time() {
    run(async {
        let home = Home::new("tcp");
        let server = home.service();
        let acceptor = home.open(&server).await;
        let url = acceptor.url().to_string();
        end(&server).await;

        let service = dialer();
        let client = client_of(&service, &acceptor).0.start().unwrap();
        assert_eq!(client.url(), url);
        let call = client.request(Ask { number: 1 }).timeout(SOON);
        let error = within(call).await.unwrap_err();
        assert_eq!(error, CallError::NotSent(SendError::Down { waited: SOON }));
        assert!(error.executed() == Executed::No && error.retryable());

        let waits = tokio::spawn(client.request(Ask { number: 2 }).into_future());
        let server = home.service();
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        home.open(&server).await;
        assert_eq!(within(waits).await.unwrap().unwrap().number, 2);

        end(&server).await;
        let waits = tokio::spawn(client.request(Ask { number: 3 }).into_future());
        tokio::task::yield_now().await;
        client.close();
        let error = within(waits).await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::NotSent(SendError::Closed(_))), "{error:?}");
        within(service.shutdown()).await.unwrap();
    });
}

/// The connection dies while the handler runs: an ordinary call ends and may have run, an idempotent
/// one is sent again under the same key.
#[test]
fn only_what_is_idempotent_is_sent_again() {
    run(async {
        let home = Home::new("tcp");
        let (tell, mut heard) = hear();
        let serve = |stays: bool| {
            let (server, tell) = (home.service(), tell.clone());
            server.handle(move |cx, late: Late| {
                let _ = tell.send((late.number, cx.idempotency_key(), cx.attempt()));
                async move {
                    if !stays {
                        std::future::pending::<()>().await;
                    }
                    Ok(Told { number: late.number })
                }
            });
            server
        };
        let server = serve(false);
        let acceptor = home.open(&server).await;
        let service = dialer();
        let client = within(client_of(&service, &acceptor).0.connect()).await.unwrap();
        let plain = tokio::spawn(client.request(Late { number: 1 }).into_future());
        assert_eq!(heard.next().await, (1, None, 0));
        let again = tokio::spawn(client.request(Late { number: 2 }).idempotent().into_future());
        let (number, key, attempt) = heard.next().await;
        assert!((number, attempt) == (2, 0) && key.is_some());
        let own = client.request(Late { number: 3 }).idempotent_as([7; 16], 4);
        let own = tokio::spawn(own.into_future());
        assert_eq!(heard.next().await, (3, Some([7; 16]), 4));

        acceptor.close();
        kill(&server);
        let error = within(plain).await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Closed { sent: true, .. }), "{error:?}");
        assert_eq!(error.executed(), Executed::Maybe);
        end(&server).await;

        let server = serve(true);
        home.open(&server).await;
        assert_eq!(within(again).await.unwrap().unwrap().number, 2);
        assert_eq!(within(own).await.unwrap().unwrap().number, 3);
        let mut seen = [heard.next().await, heard.next().await];
        seen.sort_unstable();
        assert_eq!(seen, [(2, key, 1), (3, Some([7; 16]), 5)]);
        assert!(heard.so_far().is_empty(), "what may have run is not run again");
        within(service.shutdown()).await.unwrap();
        end(&server).await;
    });
}

/// What the second attempt says of itself does not hold for the first.
#[test]
fn a_call_that_is_refused_the_second_time_may_have_run_all_the_same() {
    run(async {
        let home = Home::new("tcp");
        let (tell, mut heard) = hear();
        let server = home.service();
        server.handle(move |_, _: Late| {
            tell.send(()).unwrap();
            std::future::pending()
        });
        let acceptor = home.open(&server).await;
        let service = dialer();
        let client = within(client_of(&service, &acceptor).0.connect()).await.unwrap();
        let call = tokio::spawn(client.request(Late { number: 1 }).idempotent().into_future());
        heard.next().await;
        acceptor.close();
        kill(&server);
        end(&server).await;
        // Its successor handles no such thing.
        let server = home.service();
        home.open(&server).await;
        let error = within(call).await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Closed { sent: true, .. }), "{error:?}");
        assert_eq!(error.executed(), Executed::Maybe);
        let fresh = within(client.request(Late { number: 1 })).await.unwrap_err();
        assert_eq!(fresh.executed(), Executed::No);
        within(service.shutdown()).await.unwrap();
        end(&server).await;
    });
}

/// What was sent and then had no connection in time may have run, and says so.
#[test]
fn the_time_of_a_call_is_one_over_all_attempts() {
    run(async {
        let home = Home::new("mem");
        let server = home.service();
        let (tell, mut heard) = hear();
        server.handle(move |cx, _: Late| {
            let _ = tell.send(cx.remaining());
            std::future::pending()
        });
        let acceptor = home.open(&server).await;
        let service = dialer();
        let client = within(client_of(&service, &acceptor).0.connect()).await.unwrap();
        let limit = Duration::from_millis(600);
        let call = client.request(Late { number: 1 }).idempotent().timeout(limit);
        let call = tokio::spawn(call.into_future());
        let first = heard.next().await.unwrap();
        tokio::time::sleep(SOON).await;
        kill(&server);
        let second = heard.next().await.unwrap();
        assert!(second <= first - SOON, "{second:?} are left of {first:?}");
        acceptor.close();
        kill(&server);
        let error = within(call).await.unwrap().unwrap_err();
        assert_eq!(error, CallError::Timeout { limit });
        assert_eq!(error.executed(), Executed::Maybe);
        within(service.shutdown()).await.unwrap();
        end(&server).await;
    });
}

/// A call that had not left is as good as one that waits.
#[test]
fn what_has_not_left_leaves_with_the_next_connection() {
    run(async {
        let home = Home::new("tcp");
        let server = home.service();
        let seen: Shared<Vec<u64>> = std::sync::Arc::new(Mutex::default());
        let mine = seen.clone();
        server.handle_now(move |_, ask: Ask| {
            mine.lock().unwrap().push(ask.number);
            Ok(Told { number: ask.number })
        });
        let acceptor = home.open(&server).await;
        let service = dialer();
        let client = within(client_of(&service, &acceptor).0.connect()).await.unwrap();
        let session = client.session().unwrap();
        session.set_flush(moorline::Flush::Manual);
        // Queued behind a shut gate, and lost there.
        let call = begun(client.request(Ask { number: 1 }).into_future());
        kill(&service);
        assert_eq!(within(call).await.unwrap().number, 1);
        until(|| session.status() != moorline::SessionStatus::Open).await;
        assert_eq!(*seen.lock().unwrap(), [1]);
        end(&service).await;
        end(&server).await;
    });
}
