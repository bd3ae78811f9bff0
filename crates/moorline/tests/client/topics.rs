//! Subscriptions of clients.

use std::time::Duration;

use moorline::{CallError, ClientState, ErrorCode, SendError, SubscriptionError};

use super::server::{Home, client_of, dialer, end, kill, until};
use crate::support::{Note, note, run, within};

#[test]
fn a_subscription_goes_on_with_the_next_connection_and_tells_of_the_gap() {
    run(async {
        let home = Home::new("tcp");
        let server = home.service();
        server.topic("notes").allow_all();
        let acceptor = home.open(&server).await;
        let service = dialer();
        let client = client_of(&service, &acceptor).0.start().unwrap();
        let mut notes = within(client.subscribe::<Note>("notes").retained()).await.unwrap();
        server.publish("notes", &note(1)).unwrap();
        server.publish_retained("notes", &note(2)).unwrap();
        for number in [1, 2] {
            assert_eq!(within(notes.recv()).await.unwrap().number, number);
        }
        for epoch in 1..=3 {
            kill(&server);
            let lost = within(notes.recv()).await.unwrap_err();
            assert_eq!(lost, SubscriptionError::Interrupted { epoch });
            assert!(!lost.is_over());
            let now = within(notes.recv_published()).await.unwrap();
            assert!(now.retained && now.message == note(2), "a gap ends with what is true now");
        }
        server.publish("notes", &note(3)).unwrap();
        assert_eq!(within(notes.recv()).await.unwrap().number, 3);
        client.close();
        let over = within(notes.recv()).await.unwrap_err();
        assert!(matches!(over, SubscriptionError::Closed(_)) && over.is_over());
        assert_eq!(within(notes.recv()).await, Err(over));
        within(service.shutdown()).await.unwrap();
        end(&server).await;
    });
}

/// It is asked for when there is a connection, and not when somebody reads.
#[test]
fn nobody_has_to_read_for_a_subscription_to_go_on() {
    run(async {
        let home = Home::new("mem");
        let server = home.service();
        server.topic("notes").allow_all();
        let acceptor = home.open(&server).await;
        let service = dialer();
        let client = within(client_of(&service, &acceptor).0.connect()).await.unwrap();
        let mut notes = within(client.subscribe::<Note>("notes")).await.unwrap();
        for number in 1..=2 {
            kill(&server);
            until(|| client.state() == ClientState::Up { epoch: number + 1 }).await;
            until(|| server.publish("notes", &note(number)).unwrap().subscriptions == 1).await;
        }
        assert!(matches!(notes.recv().await, Err(SubscriptionError::Interrupted { epoch: 1 })));
        assert_eq!(within(notes.recv()).await.unwrap().number, 2, "the newest connection");
        drop(notes);
        until(|| server.publish("notes", &note(9)).unwrap().subscriptions == 0).await;
        kill(&server);
        until(|| client.state() == ClientState::Up { epoch: 4 }).await;
        within(client.session().unwrap().barrier()).await.unwrap();
        assert_eq!(
            server.publish("notes", &note(9)).unwrap().subscriptions,
            0,
            "what is dropped stays so"
        );
        within(service.shutdown()).await.unwrap();
        end(&server).await;
    });
}

#[test]
fn a_topic_that_is_refused_says_so_each_time() {
    run(async {
        let home = Home::new("mem");
        let server = home.service();
        let acceptor = home.open(&server).await;
        let service = dialer();
        let client = within(client_of(&service, &acceptor).0.connect()).await.unwrap();
        let refused = within(client.subscribe::<Note>("notes")).await.unwrap_err();
        let CallError::Fault(code, _) = refused else { panic!("{refused}") };
        server.topic("notes").allow_all();
        let mut notes = within(client.subscribe::<Note>("notes")).await.unwrap();
        server.topic("notes").allow(|_| false);
        kill(&server);
        assert!(matches!(within(notes.recv()).await, Err(SubscriptionError::Interrupted { .. })));
        let refused = within(notes.recv()).await.unwrap_err();
        assert!(matches!(refused, SubscriptionError::Refused(ErrorCode::FORBIDDEN)), "{refused}");
        assert!(!refused.is_over() && code.name().is_some());
        server.topic("notes").allow_all();
        kill(&server);
        until(|| server.publish("notes", &note(1)).unwrap().subscriptions == 1).await;
        assert_eq!(within(notes.recv()).await.unwrap().number, 1);

        end(&server).await;
        let soon = Duration::from_millis(30);
        let late = within(client.subscribe::<Note>("notes").timeout(soon)).await.unwrap_err();
        assert_eq!(late, CallError::NotSent(SendError::Down { waited: soon }));
        within(service.shutdown()).await.unwrap();
    });
}
