//! What one side requires of the other is looked at while they connect.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use moorline::{AcceptFailed, CloseReason, ErrorCode, Peers, Service, SessionStatus, topic};
use support::{Ask, Heard, Note, Score, Told, Wire, run, within};

fn listener(wire: &Wire) -> Service {
    let server = wire.builder().build().unwrap();
    server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    server
}

#[test]
fn a_dialer_names_what_the_listener_lacks() {
    run(async {
        let wire = Wire::usual();
        let server = listener(&wire);
        let at = wire.accept(&server).await;
        let client =
            wire.builder().require::<Ask>().require::<Score>().require::<Note>().build().unwrap();
        let error = within(client.connect(&at.url().to_string(), wire.protocol)).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("\"e2e.Score\", \"e2e.Note\""), "{text}");
        assert!(!text.contains("e2e.Ask"), "{text}");
        assert!(client.sessions().is_empty());
        // With what is there it gets on.
        let modest = wire.builder().require::<Ask>().build().unwrap();
        let session = wire.connect(&modest, &at).await;
        within(session.request(Ask { number: 1 })).await.unwrap();
        for service in [client, modest, server] {
            within(service.shutdown()).await.unwrap();
        }
    });
}

#[test]
fn a_listener_tells_a_dialer_what_it_lacks() {
    run(async {
        let wire = Wire::usual();
        let server = wire.builder().require::<Score>().build().unwrap();
        let (mut failed, _) =
            Heard::<AcceptFailed>::topic(&server, topic(wire.protocol, AcceptFailed));
        let at = wire.accept(&server).await;
        let client = wire.service();
        let url = at.url().to_string();
        // The dialer has its session when the listener has said who it is; then it hears why not.
        let reason = match within(client.connect(&url, wire.protocol)).await {
            Ok(session) => {
                let (tell, mut ended) = support::hear();
                session.on_close(move |_| tell.send(()).unwrap());
                ended.next().await;
                session.status()
            }
            Err(error) => panic!("{error}"),
        };
        let SessionStatus::Closed(CloseReason::ByPeer(farewell)) = reason else {
            panic!("{reason:?}")
        };
        assert_eq!(farewell.code, ErrorCode::SCHEMA);
        assert!(farewell.text.contains("e2e.Score"), "{}", farewell.text);
        assert!(failed.next().await.reason.contains("e2e.Score"));
        within(client.shutdown()).await.unwrap();
        within(server.shutdown()).await.unwrap();
    });
}

#[test]
fn who_takes_anything_is_believed() {
    run(async {
        let wire = Wire::usual();
        let server = wire.builder().peers(Peers::anyone()).build().unwrap();
        server.default_handler(|_, _| None);
        let at = wire.accept(&server).await;
        let client = wire.builder().require::<Score>().build().unwrap();
        let session = wire.connect(&client, &at).await;
        assert!(session.is_open());
        within(client.shutdown()).await.unwrap();
        within(server.shutdown()).await.unwrap();
    });
}
