//! Messages with exactly one answer.

use moorline::{CallError, ErrorCode, Executed, Failure, SendError};
use std::sync::Arc;
use tokio::sync::Semaphore;

use crate::support::{Ask, Late, Reject, Score, Told, Wire, hear, registry_of, within};

pub(crate) async fn requests_go_both_ways(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    server.handle(|_, ask: Ask| async move { Ok(Told { number: ask.number + 1 }) });
    client.handle_now(|_, ask: Ask| Ok(Told { number: ask.number + 2 }));
    let pair = wire.open(&server, &client).await;
    for number in 0..10 {
        let there = within(pair.here.request(Ask { number })).await.unwrap();
        let here = within(pair.there.request(Ask { number })).await.unwrap();
        assert_eq!((there.number, here.number), (number + 1, number + 2));
    }
    pair.end().await;
}

pub(crate) async fn answers_come_in_any_order(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let gate = Arc::new(Semaphore::new(0));
    let handler_gate = Arc::clone(&gate);
    let (tell, mut started) = hear();
    server.handle(move |_, late: Late| {
        let gate = Arc::clone(&handler_gate);
        tell.send(late.number).unwrap();
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(Told { number: late.number })
        }
    });
    server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    let pair = wire.open(&server, &client).await;
    let session = pair.here.clone();
    let slow = tokio::spawn(async move { session.request(Late { number: 1 }).await });
    assert_eq!(started.next().await, 1);
    for number in 2..5 {
        let fast = within(pair.here.request(Ask { number })).await.unwrap();
        assert_eq!(fast.number, number);
    }
    assert!(!slow.is_finished());
    gate.add_permits(1);
    assert_eq!(within(slow).await.unwrap().unwrap().number, 1);
    pair.end().await;
}

pub(crate) async fn five_hundred_calls_at_once_get_their_own_answers(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    server.handle(|_, late: Late| async move {
        for _ in 0..late.number % 5 {
            tokio::task::yield_now().await;
        }
        Ok(Told { number: late.number * 3 })
    });
    let pair = wire.open(&server, &client).await;
    let calls: Vec<_> = (0..500)
        .map(|number| {
            let session = pair.here.clone();
            tokio::spawn(async move { session.request(Late { number }).await })
        })
        .collect();
    for (number, call) in (0..).zip(calls) {
        assert_eq!(within(call).await.unwrap().unwrap().number, number * 3);
    }
    pair.end().await;
}

pub(crate) async fn an_application_error_keeps_its_type(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    server.handle(|_, ask: Ask| async move {
        match ask.number {
            1 => Err(Reject { why: "one is none".into() }.into()),
            2 => Err(Failure::fault(ErrorCode(42), "two is company")),
            number => Ok(Told { number }),
        }
    });
    let pair = wire.open(&server, &client).await;
    let error = within(pair.here.request(Ask { number: 1 })).await.unwrap_err();
    assert_eq!(error, CallError::App(Reject { why: "one is none".into() }));
    assert_eq!(error.executed(), Executed::Yes);
    let error = within(pair.here.request(Ask { number: 2 })).await.unwrap_err();
    assert_eq!(error, CallError::Fault(ErrorCode(42), "two is company".into()));
    assert_eq!(within(pair.here.request(Ask { number: 3 })).await.unwrap().number, 3);
    pair.end().await;
}

pub(crate) async fn a_handler_that_panics_costs_one_call(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    server.handle_now(|_, ask: Ask| {
        assert!(ask.number != 1, "this panic is part of a test");
        Ok(Told { number: ask.number })
    });
    server.handle(|_, late: Late| async move {
        assert!(late.number != 1, "this panic is part of a test, before it waits");
        tokio::task::yield_now().await;
        assert!(late.number != 2, "this panic is part of a test, after it has waited");
        Ok(Told { number: late.number })
    });
    let pair = wire.open(&server, &client).await;
    let internal = |code, text: &str| {
        assert_eq!((code, text), (ErrorCode::INTERNAL, "the handler panicked"));
    };
    match within(pair.here.request(Ask { number: 1 })).await.unwrap_err() {
        CallError::Fault(code, text) => internal(code, &text),
        other => panic!("{other:?}"),
    }
    for number in 1..3 {
        match within(pair.here.request(Late { number })).await.unwrap_err() {
            CallError::Fault(code, text) => internal(code, &text),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(within(pair.here.request(Ask { number: 3 })).await.unwrap().number, 3);
    assert_eq!(within(pair.here.request(Late { number: 3 })).await.unwrap().number, 3);
    pair.end().await;
}

pub(crate) async fn a_handler_may_call_back_while_it_is_called(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    server.handle(|cx: moorline::Context, late: Late| async move {
        let back = cx.session().request(Ask { number: late.number }).await;
        Ok(Told { number: back.map_or(0, |told| told.number) })
    });
    client.handle_now(|_, ask: Ask| Ok(Told { number: ask.number * 2 }));
    let pair = wire.open(&server, &client).await;
    assert_eq!(within(pair.here.request(Late { number: 21 })).await.unwrap().number, 42);
    pair.end().await;
}

pub(crate) async fn a_call_that_nobody_handles_says_so(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    // A post handler is no request handler, and the peer is told of types only.
    server.on(|_, _: Score| {});
    let pair = wire.open(&server, &client).await;
    let error = within(pair.here.request(Ask { number: 1 })).await.unwrap_err();
    assert_eq!(error, CallError::NotSent(SendError::NotHandledByPeer("e2e.Ask")));
    assert_eq!(error.executed(), Executed::No);
    let error = within(pair.here.request(Score { points: 1 })).await.unwrap_err();
    assert!(matches!(error, CallError::Fault(ErrorCode::UNIMPLEMENTED, _)), "{error:?}");
    assert_eq!(error.executed(), Executed::No);
    pair.end().await;
}

pub(crate) async fn a_default_handler_answers_calls(wire: &Wire) {
    let known_there = registry_of(&[<Ask as moorline::Message>::registration()]);
    let server = wire.builder().registry(known_there).build().unwrap();
    let client = wire.service();
    // An array of one number is the encoded form of `Told`.
    server.default_handler(|_, message| (message.body != [0x91, 0x02]).then(|| vec![0x91, 9]));
    let pair = wire.open(&server, &client).await;
    assert_eq!(within(pair.here.request(Score { points: 1 })).await.unwrap().number, 9);
    let error = within(pair.here.request(Score { points: 2 })).await.unwrap_err();
    assert!(matches!(error, CallError::Fault(ErrorCode::UNIMPLEMENTED, _)), "{error:?}");
    pair.end().await;
}
