//! Handlers that one session has for itself.

use std::sync::Arc;

use moorline::{
    ByteStream, CallError, Context, ErrorCode, Flush, NewSession, Owner, SendError, Service,
    SessionRef, Stream, register_message, topic,
};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;

use crate::support::{Ask, Late, Note, Reject, Score, Told, Wire, hear, note, run, within};

#[derive(Serialize, Deserialize)]
struct Count;
register_message!(stream Count as "e2e.owner.Count": () => u64);

/// Where the change is made from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum From {
    Inline,
    Async,
    Waiting,
    Task,
    Alarm,
    Thread,
}

/// What a login does: scores are taken from now on, and nobody asks again.
fn log_in(owner: &Owner) {
    let change = owner.handlers(|own| {
        own.handle_now(|cx: &Context, score: Score| {
            if score.points == 0 {
                cx.owner().handlers(|own| own.restore_all()).unwrap();
            }
            Ok(Told { number: score.points + 1 })
        });
        own.remove::<Ask>();
    });
    change.unwrap();
}

async fn log_in_from(from: From, cx: Context) {
    let (tell, mut heard) = hear();
    match from {
        From::Waiting => tokio::task::yield_now().await,
        From::Task => {
            let task = move |cx: &Context| {
                log_in(&cx.owner());
                tell.send(()).unwrap();
            };
            cx.owner().run(task).unwrap();
            return heard.next().await;
        }
        From::Alarm => {
            let ring = move |cx: &Context| {
                log_in(&cx.owner());
                tell.send(()).unwrap();
                None
            };
            cx.owner().alarm(std::time::Duration::ZERO, ring).unwrap().leave();
            return heard.next().await;
        }
        From::Thread => {
            let owner = cx.owner();
            return tokio::task::spawn_blocking(move || log_in(&owner)).await.unwrap();
        }
        From::Inline | From::Async => {}
    }
    log_in(&cx.owner());
}

fn is_refused_here<E>(error: CallError<E>) -> bool {
    matches!(error, CallError::NotSent(SendError::NotHandledByPeer(_)))
}

async fn scores(session: &SessionRef, points: u64) -> u64 {
    within(session.request(Score { points })).await.unwrap().number
}

/// The answer to the login comes after the peer was told: nothing has to be waited for.
async fn a_login_changes_what_is_handled(wire: &Wire, from: From) {
    let (server, client) = (wire.service(), wire.service());
    if from == From::Inline {
        server.handle_now(|cx: &Context, ask: Ask| {
            log_in(&cx.owner());
            Ok(Told { number: ask.number })
        });
    } else {
        server.handle(move |cx, ask: Ask| async move {
            log_in_from(from, cx).await;
            Ok(Told { number: ask.number })
        });
    }
    let pair = wire.open(&server, &client).await;
    let other = wire.connect(&client, &pair.acceptor).await;
    for round in 0..3 {
        let early = within(pair.here.request(Score { points: 1 })).await.unwrap_err();
        assert!(is_refused_here(early), "{from:?} {round}: before");
        within(pair.here.request(Ask { number: 7 })).await.unwrap();
        assert_eq!(scores(&pair.here, 4).await, 5, "{from:?}");
        let again = within(pair.here.request(Ask { number: 7 })).await.unwrap_err();
        assert!(is_refused_here(again), "{from:?}: removed");
        let stranger = within(other.request(Score { points: 1 })).await.unwrap_err();
        assert!(is_refused_here(stranger), "{from:?}: another session");
        assert_eq!(scores(&pair.here, 0).await, 1, "{from:?}: gives everything back");
    }
    pair.end().await;
}

#[test]
fn a_login_changes_what_is_handled_from_anywhere() {
    run(async {
        let from =
            [From::Inline, From::Async, From::Waiting, From::Task, From::Alarm, From::Thread];
        for wire in [Wire::usual(), Wire::new("mem", "msgpack"), Wire::new("tcp", "msgpack-plain")]
        {
            for from in from {
                a_login_changes_what_is_handled(&wire, from).await;
            }
        }
    });
}

/// Three posts in one read: the first one changes who takes the others.
#[test]
fn a_change_within_a_handler_counts_for_the_next_frame() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let (tell, mut heard) = hear();
        server.on(move |cx, note: Note| {
            tell.send(("service", note.number)).unwrap();
            let tell = tell.clone();
            let change = cx.owner().handlers(|own| {
                own.on(move |cx, note: Note| {
                    tell.send(("session", note.number)).unwrap();
                    if note.number == 3 {
                        cx.owner().handlers(|own| own.restore::<Note>()).unwrap();
                    }
                });
            });
            change.unwrap();
        });
        let pair = wire.open(&server, &client).await;
        pair.here.set_flush(Flush::Manual);
        (1..=5).for_each(|number| pair.here.send(&note(number)).unwrap());
        pair.here.flush();
        within(pair.here.barrier()).await.unwrap();
        let who = ["service", "session", "session", "service", "session"];
        let expected: Vec<_> = who.into_iter().zip(1..).collect();
        assert_eq!(heard.so_far(), expected);
        pair.end().await;
    });
}

/// A task that an inline handler leaves behind runs before the next frame, and what it changes counts
/// for that frame.
#[test]
fn a_change_by_a_task_counts_for_the_next_frame() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let (tell, mut heard) = hear();
        server.on(move |cx, note: Note| {
            let tell = tell.clone();
            let task = move |cx: &Context| {
                tell.send(note.number).unwrap();
                let change = cx.owner().handlers(|own| {
                    own.on(move |_, note: Note| tell.send(note.number * 10).unwrap());
                });
                change.unwrap();
            };
            cx.owner().run(task).unwrap();
        });
        let pair = wire.open(&server, &client).await;
        pair.here.set_flush(Flush::Manual);
        (1..=3).for_each(|number| pair.here.send(&note(number)).unwrap());
        pair.here.flush();
        within(pair.here.barrier()).await.unwrap();
        assert_eq!(heard.so_far(), [1, 20, 30]);
        pair.end().await;
    });
}

#[test]
fn what_runs_already_runs_on() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let gate = Arc::new(Notify::new());
        let (tell, mut heard) = hear();
        let passing = Arc::clone(&gate);
        server.handle(move |cx, late: Late| {
            let (gate, tell) = (Arc::clone(&passing), tell.clone());
            async move {
                tell.send(cx.owner()).unwrap();
                gate.notified().await;
                Ok(Told { number: late.number })
            }
        });
        let pair = wire.open(&server, &client).await;
        let session = pair.here.clone();
        let call = tokio::spawn(async move { session.request(Late { number: 9 }).await });
        let owner = heard.next().await;
        owner.handlers(|own| own.remove::<Late>()).unwrap();
        within(pair.there.barrier()).await.unwrap();
        let again = within(pair.here.request(Late { number: 1 })).await.unwrap_err();
        assert!(is_refused_here(again));
        gate.notify_one();
        assert_eq!(within(call).await.unwrap().unwrap().number, 9);
        pair.end().await;
    });
}

/// Streams, streams of bytes, and what has no handler.
#[test]
fn every_kind_of_handler_can_be_of_one_session() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let pair = wire.open(&server, &client).await;
        let owner = Owner::of(&pair.there);
        let change = owner.handlers(|own| {
            own.handle_stream(|_, _: Count, mut stream: Stream<u64, ()>| async move {
                stream.send(&42).unwrap();
                stream.finish().unwrap();
            });
            own.handle_raw("log", |_, mut stream: ByteStream| async move {
                tokio::io::AsyncWriteExt::write_all(&mut stream, b"mine").await.unwrap();
                tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
            });
        });
        change.unwrap();
        within(pair.there.barrier()).await.unwrap();
        let mut stream = pair.here.open(&Count).unwrap();
        assert_eq!(within(stream.recv()).await.unwrap(), Some(42));
        let mut bytes = Vec::new();
        let mut raw = ByteStream::from(pair.here.open_raw("log").unwrap());
        within(raw.read_to_end(&mut bytes)).await.unwrap();
        assert_eq!(bytes, b"mine");
        owner.handlers(|own| own.remove_raw("log")).unwrap();
        within(pair.there.barrier()).await.unwrap();
        let mut raw = ByteStream::from(pair.here.open_raw("log").unwrap());
        within(raw.read_to_end(&mut bytes)).await.unwrap_err();

        let unknown = within(pair.here.request(Ask { number: 1 })).await.unwrap_err();
        assert!(is_refused_here(unknown));
        owner.handlers(|own| own.default_handler(|_, _| None)).unwrap();
        within(pair.there.barrier()).await.unwrap();
        match within(pair.here.request(Ask { number: 1 })).await.unwrap_err() {
            CallError::<Reject>::Fault(code, _) => assert_eq!(code, ErrorCode::UNIMPLEMENTED),
            other => panic!("{other:?}"),
        }
        owner.handlers(|own| own.remove_default()).unwrap();
        within(pair.there.barrier()).await.unwrap();
        let unknown = within(pair.here.request(Ask { number: 1 })).await.unwrap_err();
        assert!(is_refused_here(unknown));
        pair.end().await;
    });
}

#[test]
fn the_service_can_still_change() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let pair = wire.open(&server, &client).await;
        let change = |server: &Service| {
            server.handle_now(|_, _: Score| Ok(Told { number: 100 }));
            server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        };
        let owner = Owner::of(&pair.there);
        owner
            .handlers(|own| {
                own.remove::<Ask>();
                own.handle_now(|_, score: Score| Ok(Told { number: score.points }));
            })
            .unwrap();
        change(&server);
        within(pair.there.barrier()).await.unwrap();
        assert_eq!(scores(&pair.here, 3).await, 3, "its own goes before the service's");
        let removed = within(pair.here.request(Ask { number: 1 })).await.unwrap_err();
        assert!(is_refused_here(removed));
        owner.handlers(|own| own.restore_all()).unwrap();
        within(pair.there.barrier()).await.unwrap();
        assert_eq!(scores(&pair.here, 3).await, 100);
        assert_eq!(within(pair.here.request(Ask { number: 1 })).await.unwrap().number, 1);
        pair.end().await;
    });
}

/// Whoever is last counts, here and in what the peer was told.
#[test]
fn many_threads_may_change_them() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let pair = wire.open(&server, &client).await;
        for round in 0..20 {
            let threads: Vec<_> = (0..4_u64)
                .map(|thread| {
                    let owner = Owner::of(&pair.there);
                    std::thread::spawn(move || {
                        for number in 0..10 {
                            let change = owner.handlers(|own| {
                                own.handle_now(move |_, _: Ask| Ok(Told { number: thread }));
                                if (number + thread).is_multiple_of(2) {
                                    own.remove::<Ask>();
                                }
                            });
                            change.unwrap();
                        }
                    })
                })
                .collect();
            for thread in threads {
                within(tokio::task::spawn_blocking(move || thread.join().unwrap())).await.unwrap();
            }
            let owner = Owner::of(&pair.there);
            // What the owner says next comes behind everything that was said before.
            let (tell, mut heard) = hear();
            owner.run(move |_| tell.send(()).unwrap()).unwrap();
            heard.next().await;
            if round % 2 == 0 {
                owner.handlers(|own| own.remove::<Ask>()).unwrap();
            } else {
                owner.handlers(|own| own.handle_now(|_, _: Ask| Ok(Told { number: 99 }))).unwrap();
            }
            within(pair.there.barrier()).await.unwrap();
            match within(pair.here.request(Ask { number: 1 })).await {
                Ok(told) => assert_eq!((told.number, round % 2), (99, 1)),
                Err(error) => assert!(is_refused_here(error) && round % 2 == 0),
            }
        }
        pair.end().await;
    });
}

/// Where a session is made its handlers are there before its first message.
#[test]
fn a_new_session_can_have_its_own_from_the_start() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        server.handle_now(|_, _: Ask| Ok(Told { number: 0 }));
        let service = server.clone();
        server.subscribe(topic(wire.protocol, NewSession), move |new: &NewSession| {
            let owner = Owner::of(&service.acquire(new.id).unwrap());
            let own = owner.handlers(|own| {
                own.handle_now(|_, ask: Ask| Ok(Told { number: ask.number + 1 }));
            });
            own.unwrap();
        });
        let pair = wire.open(&server, &client).await;
        assert_eq!(within(pair.here.request(Ask { number: 1 })).await.unwrap().number, 2);
        pair.end().await;
    });
}

#[test]
fn a_session_that_is_over_has_no_handlers() {
    run(async {
        let wire = Wire::usual();
        let (server, client) = (wire.service(), wire.service());
        let pair = wire.open(&server, &client).await;
        let owner = Owner::of(&pair.there);
        let held = Arc::new(());
        let holding = Arc::clone(&held);
        owner
            .handlers(|own| {
                own.on(move |_, _: Note| drop(Arc::clone(&holding)));
            })
            .unwrap();
        pair.end().await;
        let late = owner.handlers(|own| own.remove::<Note>());
        assert_eq!(late, Err(moorline::OwnerError::Over));
        assert_eq!(Arc::strong_count(&held), 1, "what its handlers held is gone");
    });
}
