//! What becomes of a client over its life.

use moorline::{
    ClientState, CloseReason, Identity, NewSession, Service, SessionClosed, SessionDown,
    SessionReady, SessionUp, topic,
};

use super::server::{Home, client_of, dialer, end, kill, up_again};
use crate::support::{Ask, Heard, Told, hear, run, within};

/// Three connections that break and one that the server closes, on each transport: one id, one object,
/// and one end.
fn outlives(scheme: &'static str, dialer: Service) {
    run(async {
        let home = Home::new(scheme);
        let server = home.service();
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number + 1 }));
        let acceptor = home.open(&server).await;
        let service = dialer;
        let (mut news, _) = Heard::<NewSession>::topic(&service, topic("msgpack", NewSession));
        let (mut ready, _) = Heard::<SessionReady>::topic(&service, topic("msgpack", SessionReady));
        let (mut ups, _) = Heard::<SessionUp>::topic(&service, topic("msgpack", SessionUp));
        let (mut downs, _) = Heard::<SessionDown>::topic(&service, topic("msgpack", SessionDown));
        let (mut ends, _) =
            Heard::<SessionClosed>::topic(&service, topic("msgpack", SessionClosed));
        let (builder, mut states) = client_of(&service, &acceptor);
        let client = within(builder.connect()).await.unwrap();
        let (tell, mut closes) = hear();
        service.subscribe_close(client.id(), move |end| drop(tell.send(end.clone())));
        let first = client.session().unwrap();
        for epoch in 1..=4_u64 {
            let session = if epoch == 1 {
                first.clone()
            } else {
                up_again(&client, &mut states, epoch - 1).await
            };
            assert_eq!(session.id(), client.id());
            assert_eq!(service.acquire(client.id()).as_ref(), Some(&session));
            assert_eq!(ups.next().await.epoch, epoch);
            assert_eq!(
                within(client.request(Ask { number: epoch })).await.unwrap().number,
                epoch + 1
            );
            if epoch < 4 {
                kill(&server);
            } else {
                assert!(server.sessions().iter().all(moorline::SessionRef::close));
            }
            let down = downs.next().await;
            assert_eq!((down.id, down.epoch), (client.id(), epoch));
            assert!(
                session.send(&crate::support::note(1)).is_err(),
                "a handle of it stays harmless"
            );
        }
        up_again(&client, &mut states, 4).await;
        assert_eq!(ups.next().await.epoch, 5);
        assert!(client.close() && !client.close());
        assert!(matches!(within(client.closed()).await, CloseReason::ByUs(_)));
        assert_eq!(downs.next().await.epoch, 5);
        assert_eq!(closes.next().await.id, client.id());
        assert_eq!(ends.next().await.id, client.id());
        assert!(matches!(client.state(), ClientState::Closed { .. }));
        assert_eq!(news.next().await.id, client.id());
        assert_eq!(ready.next().await.id, client.id());
        assert!(service.acquire(client.id()).is_none() && service.clients().is_empty());
        within(service.shutdown()).await.unwrap();
        end(&server).await;
        let more = (news.so_far().len(), ready.so_far().len(), ends.so_far().len());
        assert_eq!((more, closes.so_far().len()), ((0, 0, 0), 0), "each came once");
        assert!(server.sessions().is_empty(), "the server's side ends with its connection");
    });
}

#[test]
fn a_client_outlives_its_connections_on_tcp() {
    outlives("tcp", dialer());
}

#[test]
fn a_client_outlives_its_connections_in_memory() {
    outlives("mem", dialer());
}

#[cfg(unix)]
#[test]
fn a_client_outlives_its_connections_on_a_socket_file() {
    outlives("uds", dialer());
}

/// Each connection is dialed, and lives, on a thread of the service's own.
#[test]
fn a_client_outlives_its_connections_on_threads_of_its_service() {
    let builder = Service::builder().identity(Identity::generate().unwrap());
    outlives("tcp", builder.shards(2).build().unwrap());
}
