//! Sessions with each cipher suite that exists for two sides who know each other, and listeners
//! that do not take the one they are offered.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use moorline::{AcceptFailed, CloseReason, Error, Service, SessionRef, Suite, Suites, topic};
use moorline_protocol::HandshakeFailure;
use support::{Ask, Heard, Note, Told, Wire, blob, hear, note, run, within};

/// A service that answers, and takes these suites alone.
fn service(wire: &Wire, suites: &[Suite]) -> Service {
    answering(wire.builder().suites(Suites::only(suites)).build().unwrap())
}

fn answering(service: Service) -> Service {
    service.handle_now(|_, ask: Ask| Ok(Told { number: ask.number + 1 }));
    service
}

async fn answers(session: &SessionRef) {
    assert_eq!(within(session.request(Ask { number: 1 })).await.unwrap().number, 2);
}

//= docs/PROTOCOL.md#2
#[test]
fn a_session_works_with_each_suite_and_both_sides_name_it() {
    run(async {
        for scheme in ["tcp", "mem"] {
            for suite in [Suite::IkHfsChaCha, Suite::IkHfsAes, Suite::Ik] {
                let wire = Wire::new(scheme, "msgpack");
                let (server, client) = (service(&wire, &[suite]), service(&wire, &[suite]));
                let (tell, mut notes) = hear();
                server.on(move |_, note: Note| tell.send(note.number).unwrap());
                server.handle_now(|_, blob: support::Blob| Ok(blob));
                let pair = wire.open(&server, &client).await;
                for session in [&pair.here, &pair.there] {
                    assert_eq!(session.peer().suite, suite.name());
                    answers(session).await;
                }
                pair.here.send(&note(5)).unwrap();
                assert_eq!(notes.next().await, 5);
                // Many records, and fragments.
                let large = blob(1 << 20);
                assert_eq!(within(pair.here.request(large.clone())).await.unwrap(), large);
                pair.end().await;
            }
        }
    });
}

/// A dialer with its suite is not let in, once and without a second try; another one is.
async fn refuses(server: Service, suite: Suite, welcome: Suite) {
    let wire = Wire::usual();
    let (mut refused, _) = Heard::<AcceptFailed>::topic(&server, topic("msgpack", AcceptFailed));
    let acceptor = wire.accept(&server).await;
    let url = acceptor.url().to_string();
    let friend = service(&wire, &[welcome]);
    let session = wire.connect(&friend, &acceptor).await;

    let stranger = service(&wire, &[suite]);
    let error = within(stranger.connect(&url, "msgpack")).await.unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Handshake {
                reason: CloseReason::HandshakeFailed(HandshakeFailure::NotLetIn),
                ..
            }
        ),
        "{error:?}"
    );
    let event = refused.next().await;
    assert_eq!(event.cause, "suite", "{}", event.reason);
    assert!(refused.so_far().is_empty(), "an attempt has one suite");
    assert!(stranger.sessions().is_empty());
    answers(&session).await;
    within(friend.shutdown()).await.unwrap();
    within(server.shutdown()).await.unwrap();
}

//= docs/PROTOCOL.md#2
#[test]
fn who_does_not_say_otherwise_refuses_what_is_not_hybrid() {
    run(async {
        for welcome in [Suite::IkHfsChaCha, Suite::IkHfsAes] {
            let server = answering(Wire::usual().service());
            refuses(server, Suite::Ik, welcome).await;
        }
    });
}

#[test]
fn a_listener_for_one_suite_refuses_all_others() {
    run(async {
        let all = [Suite::IkHfsChaCha, Suite::IkHfsAes, Suite::Ik];
        for welcome in all {
            for suite in all.into_iter().filter(|suite| *suite != welcome) {
                refuses(service(&Wire::usual(), &[welcome]), suite, welcome).await;
            }
        }
    });
}
