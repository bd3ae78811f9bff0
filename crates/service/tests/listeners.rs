//! Several listeners of one service, each with peers and limits of its own.

#![expect(clippy::unwrap_used, reason = "a failure here is the failure of the test that called")]

use std::sync::mpsc;
use std::time::Duration;

use moorline_protocol::{CloseReason, ErrorCode};
use moorline_service::transport::tcp::Tcp;
use moorline_service::{Acceptor, Error, Identity, Peers, Service, ServiceBuilder};
use moorline_session::{AcceptFailed, SessionRef, SessionStatus, Subscription, topic};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const ANY: &str = "tcp://127.0.0.1:0";

fn builder() -> ServiceBuilder {
    Service::builder().identity(Identity::generate().unwrap())
}

fn client() -> Service {
    builder().build().unwrap()
}

async fn dial(client: &Service, at: &Acceptor) -> Result<SessionRef, Error> {
    within(client.connect(&at.url().to_string(), "msgpack")).await
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("the test ends")
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking).await.expect(what);
}

/// What a service says of those it does not let in.
struct Refused {
    heard: mpsc::Receiver<AcceptFailed>,
    _subscription: Subscription,
}

impl Refused {
    fn of(service: &Service) -> Self {
        let (tell, heard) = mpsc::channel();
        let events = topic("msgpack", AcceptFailed);
        let hear = move |event: &AcceptFailed| drop(tell.send(event.clone()));
        Self { heard, _subscription: service.subscribe(events, hear) }
    }

    async fn next(&self) -> AcceptFailed {
        let mut event = None;
        until("somebody is refused", || {
            event = self.heard.try_recv().ok();
            event.is_some()
        })
        .await;
        event.unwrap()
    }
}

/// Who gets in and is then told that there is no room.
async fn has_no_room(client: &Service, at: &Acceptor) {
    let session = dial(client, at).await.unwrap();
    until("the session ends", || !session.is_open()).await;
    let SessionStatus::Closed(CloseReason::ByPeer(farewell)) = session.status() else {
        panic!("{:?}", session.status())
    };
    assert_eq!(farewell.code, ErrorCode::OVERLOADED);
    assert!(farewell.text.contains("no room"), "{}", farewell.text);
}

#[tokio::test]
async fn each_listener_has_its_own_peers() {
    let (ada, bob) = (Identity::generate().unwrap(), client());
    let team = Peers::nobody().with("ada", ada.public());
    let ada = Service::builder().identity(ada).build().unwrap();
    let server = builder().peers(Peers::anyone()).build().unwrap();
    let for_all = server.accept(ANY, "msgpack").await.unwrap();
    let for_team = server.listen(ANY, "msgpack").peers(team.clone()).await.unwrap();

    assert!(matches!(dial(&bob, &for_team).await, Err(Error::Handshake { .. })));
    let of_bob = dial(&bob, &for_all).await.unwrap();
    let of_ada = dial(&ada, &for_team).await.unwrap();
    until("both are there", || server.sessions().len() == 2).await;

    // The list of one listener is followed, and concerns nobody who came by another.
    team.replace(&Peers::nobody());
    until("who is not on it any more is out", || !of_ada.is_open()).await;
    assert!(of_bob.is_open());
    assert!(matches!(dial(&ada, &for_team).await, Err(Error::Handshake { .. })));
    dial(&ada, &for_all).await.unwrap();
}

#[tokio::test]
async fn a_file_of_peers_of_one_listener_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("peers");
    std::fs::write(&path, "").unwrap();
    let ada = Identity::generate().unwrap();
    let line = format!("ada {} role=member\n", ada.public());
    let ada = Service::builder().identity(ada).build().unwrap();
    let server = builder().build().unwrap();
    let peers = Peers::file(&path).unwrap();
    let at = server.listen(ANY, "msgpack").peers(peers.clone()).await.unwrap();
    assert!(dial(&ada, &at).await.is_err());
    std::fs::write(&path, line).unwrap();
    until("the list is read", || peers.len() == 1).await;
    let session = dial(&ada, &at).await.unwrap();
    std::fs::write(&path, "").unwrap();
    until("the session ends", || !session.is_open()).await;
}

#[tokio::test]
async fn each_listener_has_its_own_number_of_sessions() {
    let server = builder().peers(Peers::anyone()).build().unwrap();
    let refused = Refused::of(&server);
    let few = server.listen(ANY, "msgpack").sessions_max(2).await.unwrap();
    let many = server.accept(ANY, "msgpack").await.unwrap();
    let client = client();
    let [first, _second] = [dial(&client, &few).await.unwrap(), dial(&client, &few).await.unwrap()];
    until("both are there", || server.sessions().len() == 2).await;
    has_no_room(&client, &few).await;
    let event = refused.next().await;
    assert_eq!(event.cause, "listener_sessions_max");
    let reason = "2 sessions through this listener are open, its limit (knob: \
                  `Listen::sessions_max`)";
    assert_eq!(&*event.reason, reason);
    let _other = dial(&client, &many).await.unwrap();
    until("the other listener takes more", || server.sessions().len() == 3).await;

    first.close();
    until("there is room again", || server.sessions().len() == 2).await;
    // The place is free when the task of the session has ended, a moment later.
    let mut third = None;
    for _ in 0..200 {
        let session = dial(&client, &few).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        if session.is_open() {
            third = Some(session);
            break;
        }
    }
    assert!(third.is_some(), "the place was given back");
}

#[tokio::test]
async fn a_service_that_is_full_says_so_to_who_comes() {
    let server = builder().peers(Peers::anyone()).sessions_max(1).build().unwrap();
    let refused = Refused::of(&server);
    let at = server.accept(ANY, "msgpack").await.unwrap();
    let client = client();
    let _first = dial(&client, &at).await.unwrap();
    until("the first is there", || server.sessions().len() == 1).await;
    has_no_room(&client, &at).await;
    let event = refused.next().await;
    assert_eq!(event.cause, "sessions_max");
    assert_eq!(&*event.reason, "1 sessions are open, the limit is 1 (knob: `sessions_max`)");
}

#[tokio::test]
async fn each_listener_has_its_own_number_of_handshakes() {
    let server = builder().peers(Peers::anyone()).handshake_timeout(Duration::from_secs(60));
    let server = server.build().unwrap();
    let refused = Refused::of(&server);
    let narrow = server.listen(ANY, "msgpack").handshakes_max(1).await.unwrap();
    let wide = server.accept(ANY, "msgpack").await.unwrap();
    let silent = TcpStream::connect(narrow.url().authority()).await.unwrap();
    let mut second = TcpStream::connect(narrow.url().authority()).await.unwrap();
    // Closed without a word; a reset is as good as an end.
    assert!(!matches!(within(second.read(&mut [0; 16])).await, Ok(1..)));
    let event = refused.next().await;
    assert_eq!(event.cause, "listener_handshakes_max");
    let reason = "1 handshakes are under way at this listener, its limit (knob: \
                  `Listen::handshakes_max`)";
    assert_eq!(&*event.reason, reason);
    let client = client();
    dial(&client, &wide).await.unwrap();

    drop(silent);
    refused.next().await;
    dial(&client, &narrow).await.unwrap();
}

#[tokio::test]
#[cfg(unix)]
async fn a_refusal_of_the_transport_is_told_like_any_other() {
    for shards in [0, 1] {
        let mut uds = moorline_service::transport::uds::Uds::default();
        uds.peers_of = Some(Vec::new());
        let server = builder().peers(Peers::anyone()).shards(shards);
        let server = server.transport(std::sync::Arc::new(uds)).build().unwrap();
        let refused = Refused::of(&server);
        let folder = tempfile::tempdir().unwrap();
        let url = format!("uds://{}/socket", folder.path().display());
        let at = server.accept(&url, "msgpack").await.unwrap();
        assert!(matches!(dial(&client(), &at).await, Err(Error::Handshake { .. })));
        let event = refused.next().await;
        assert_eq!(event.cause, "peers_of");
        assert!(event.address.starts_with(&format!("{url} (")), "{}", event.address);
        assert!(event.reason.ends_with("may not connect here (knob: `Uds::peers_of`)"));
        within(server.shutdown()).await.unwrap();
    }
}

#[tokio::test]
async fn a_limit_of_nothing_is_a_mistake() {
    let said = builder().sessions_max(0).build().err().unwrap().to_string();
    assert!(said.starts_with("`sessions_max` is 0, it must be from 1 to "), "{said}");
    let server = builder().peers(Peers::anyone()).build().unwrap();
    let said = server.listen(ANY, "msgpack").sessions_max(0).await.err().unwrap().to_string();
    assert!(said.starts_with("`sessions_max` is 0, it must be from 1 to "), "{said}");
    for wrong in [0, 513] {
        let listen = server.listen(ANY, "msgpack").handshakes_max(wrong);
        let said = listen.await.err().unwrap().to_string();
        assert_eq!(said, format!("`handshakes_max` is {wrong}, it must be from 1 to 512"));
    }
}

#[tokio::test]
async fn who_cannot_be_reached_is_named_once() {
    let server = builder().peers(Peers::anyone()).build().unwrap();
    let at = server.accept(ANY, "msgpack").await.unwrap();
    let url = at.url().to_string();
    within(server.shutdown()).await.unwrap();
    drop(server);
    let said = dial(&client(), &at).await.unwrap_err().to_string();
    let rest = said.strip_prefix(&format!("cannot connect to {url}: ")).unwrap();
    assert!(!rest.contains("cannot connect") && !rest.contains("127.0.0.1"), "{said}");

    let mut tcp = Tcp::default();
    tcp.family = moorline_service::transport::resolver::Family::V6Only;
    let client = builder().transport(std::sync::Arc::new(tcp)).build().unwrap();
    let key = at.url().key.unwrap();
    let nowhere = format!("tcp://{key}@nowhere.invalid:1");
    let said = client.connect(&nowhere, "msgpack").await.unwrap_err().to_string();
    assert!(said.contains("the system cannot resolve nowhere.invalid: "), "{said}");
}
