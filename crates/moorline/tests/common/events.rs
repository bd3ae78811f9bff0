//! What is told of sessions, and how they are found.

use std::future::poll_fn;
use std::io::IoSlice;

use moorline::transport::TransportRegistry;
use moorline::{
    AcceptFailed, CloseReason, ConnectFailed, Direction, Error, Farewell, NewSession,
    SessionClosed, SystemMessage, group, topic,
};

use crate::support::{Ask, Heard, Told, Wire, hear, within};

pub(crate) async fn sessions_are_told_from_first_to_last(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let (mut new, _) = Heard::<NewSession>::topic(&server, topic(wire.protocol, NewSession));
    let (mut closed, _) =
        Heard::<SessionClosed>::topic(&server, topic(wire.protocol, SessionClosed));
    let (mut dialed, _) = Heard::<NewSession>::topic(&client, topic(wire.protocol, NewSession));
    let (mut all, _) = Heard::<SystemMessage>::topic(&server, group(wire.protocol));
    let (mut none, _) = Heard::<SystemMessage>::topic(&server, group("another protocol"));
    let pair = wire.open(&server, &client).await;
    let (at_server, at_client) = (new.next().await, dialed.next().await);
    assert_eq!((at_server.id, at_server.direction), (pair.there.id(), Direction::Accepted));
    assert_eq!((at_client.id, at_client.direction), (pair.here.id(), Direction::Connected));
    pair.here.close();
    let closed = closed.next().await;
    assert_eq!(closed.id, pair.there.id());
    assert_eq!(closed.reason, CloseReason::ByPeer(Farewell::ordinary()));
    assert!(matches!(all.next().await, SystemMessage::NewSession(_)));
    let ready = all.next().await;
    assert!(matches!(ready, SystemMessage::SessionReady(ready) if ready.id == pair.there.id()));
    assert!(matches!(all.next().await, SystemMessage::SessionClosed(_)));
    assert!(none.so_far().is_empty());
    pair.end().await;
}

pub(crate) async fn what_does_not_become_a_session_is_told(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let (mut refused, _) =
        Heard::<AcceptFailed>::topic(&server, topic(wire.protocol, AcceptFailed));
    let (mut failed, _) =
        Heard::<ConnectFailed>::topic(&client, topic(wire.protocol, ConnectFailed));
    let acceptor = wire.accept(&server).await;
    let transports = TransportRegistry::default();
    let transport = transports.find(wire.scheme).unwrap();
    let mut stranger = transport.connect(acceptor.url().clone().without_key()).await.unwrap();
    stranger.writer.try_write(&[IoSlice::new(b"GET / HTTP/1.1\r\n\r\n")]).unwrap();
    let event = refused.next().await;
    assert_eq!(event.cause, "http");
    assert_eq!(
        &*event.reason,
        "handshake refused: this is an HTTP request, not a Moorline session"
    );
    let mut buffer = [0; 16];
    let read = within(poll_fn(|cx| stranger.reader.poll_read(cx, &mut buffer))).await;
    assert!(matches!(read, Ok(0) | Err(_)), "strangers are told nothing: {read:?}");

    let url = acceptor.url().to_string();
    within(server.shutdown()).await.unwrap();
    let error = client.connect(&url, wire.protocol).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    let event = failed.next().await;
    assert_eq!((&*event.address, &*event.reason), (&*url, &*error.to_string()));
    assert!(error.to_string().starts_with(&format!("cannot connect to {url}: ")), "{error}");
}

pub(crate) async fn an_id_finds_its_session_while_it_lives(wire: &Wire) {
    let (server, client) = (wire.service(), wire.service());
    let pair = wire.open(&server, &client).await;
    let id = pair.there.id();
    assert_eq!(server.acquire(id), Some(pair.there.clone()));
    assert_eq!(server.sessions(), vec![pair.there.clone()]);
    let (tell, mut ended) = hear();
    let (finder, there) = (server.clone(), pair.there.clone());
    pair.there.on_close(move |end| {
        assert!(!there.is_open());
        tell.send(finder.acquire(end.id)).unwrap();
    });
    pair.here.close();
    assert_eq!(ended.next().await, None, "whoever hears of the end does not find it any more");
    let again = wire.connect(&client, &pair.acceptor).await;
    assert_eq!(server.acquire(id), None, "its place may be taken, its id is not");
    again.close();
    pair.end().await;
}

pub(crate) async fn one_service_serves_two_protocols(wire: &Wire) {
    let both = moorline::Service::builder()
        .identity(moorline::Identity::generate().unwrap())
        .peers(moorline::Peers::anonymous())
        .build()
        .unwrap();
    both.handle_now(|cx, ask: Ask| {
        let plain = cx.session().protocol() == "msgpack-plain";
        assert_eq!(cx.peer().key.is_none(), plain);
        Ok(Told { number: ask.number + u64::from(plain) })
    });
    let sealed = both.accept(&wire.place(), "msgpack").await.unwrap();
    let plain = both.accept(&wire.place(), "msgpack-plain").await.unwrap();
    let client = wire.service();
    for (at, protocol, number) in [(&sealed, "msgpack", 1), (&plain, "msgpack-plain", 2)] {
        let url = at.url().to_string();
        let session = within(client.connect(&url, protocol)).await.unwrap();
        assert_eq!(within(session.request(Ask { number: 1 })).await.unwrap().number, number);
        assert_eq!(session.peer().key, at.url().key);
    }
    within(client.shutdown()).await.unwrap();
    within(both.shutdown()).await.unwrap();
}
