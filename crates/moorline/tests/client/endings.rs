//! How clients begin and end: mistakes, refusals, draining peers, and runtimes that are torn down.

use std::time::{Duration, Instant};

use moorline::{
    BackOff, ClientState, CloseReason, ConnectFailed, Error, Identity, Service, SessionClosed,
    topic,
};

use super::server::{Home, client_of, dialer, end, kill, until, up_again};
use crate::support::{Ask, Heard, Told, hear, run, within};

#[test]
fn what_is_wrong_from_the_beginning_is_said_at_once() {
    run(async {
        let service = dialer();
        let start = |url: &str, protocol: &str| service.client(url, protocol).start().unwrap_err();
        assert!(matches!(start("nonsense", "msgpack"), Error::Address(_)));
        assert!(matches!(start("ftp://x:1", "msgpack"), Error::UnknownScheme { .. }));
        assert!(matches!(start("mem://x", "morse"), Error::Setup(_)));
        let first = within(service.client("mem://x", "msgpack").connect()).await.unwrap_err();
        assert!(matches!(first, Error::Setup(_)), "no key to verify: {first}");

        let home = Home::new("tcp");
        let server = home.service();
        let acceptor = home.open(&server).await;
        let (key, address) = (acceptor.url().key.unwrap(), acceptor.url().to_string());
        end(&server).await;
        let nobody = within(service.client(&address, "msgpack").connect()).await.unwrap_err();
        assert!(matches!(nobody, Error::Connect { .. }), "{nobody}");
        let server = home.service();
        home.open(&server).await;
        let other = Identity::generate().unwrap().public().to_string();
        let wrong = address.replace(&key.to_string(), &other);
        let wrong = within(service.client(&wrong, "msgpack").connect()).await.unwrap_err();
        assert!(matches!(wrong, Error::Handshake { .. }), "{wrong}");
        assert!(service.clients().is_empty() && service.sessions().is_empty());
        within(service.shutdown()).await.unwrap();
        assert!(matches!(start(&address, "msgpack"), Error::ShutDown));
        end(&server).await;
    });
}

#[test]
fn a_limit_of_sessions_counts_clients_as_well() {
    run(async {
        let builder = Service::builder().identity(Identity::generate().unwrap()).sessions_max(1);
        let service = builder.build().unwrap();
        let home = Home::new("mem");
        let server = home.service();
        let acceptor = home.open(&server).await;
        let client = within(client_of(&service, &acceptor).0.connect()).await.unwrap();
        let second = client_of(&service, &acceptor).0.start().unwrap_err();
        assert!(second.to_string().contains("sessions_max"), "{second}");
        client.close();
        within(client.closed()).await;
        within(client_of(&service, &acceptor).0.connect()).await.unwrap();
        within(service.shutdown()).await.unwrap();
        end(&server).await;
    });
}

/// Whoever gives up waiting for the first connection has no client.
#[test]
fn a_connect_that_is_dropped_leaves_no_client() {
    run(async {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = dialer();
        let (mut ends, _) =
            Heard::<SessionClosed>::topic(&service, topic("msgpack", SessionClosed));
        let key = Identity::generate().unwrap().public();
        let url = format!("tcp://{key}@{}", silent.local_addr().unwrap());
        let mut connect = Box::pin(service.client(&url, "msgpack").connect());
        tokio::select! {
            _ = &mut connect => panic!("nobody answers"),
            accepted = silent.accept() => drop(accepted),
        }
        drop(connect);
        ends.next().await;
        until(|| service.clients().is_empty()).await;
        within(service.shutdown()).await.unwrap();
    });
}

/// A rule that gives up is down until it is reset, whatever it is told of the network.
#[test]
fn who_waits_for_a_reset_is_up_again_with_it() {
    run(async {
        let home = Home::new("tcp");
        let server = home.service();
        let acceptor = home.open(&server).await;
        let service = dialer();
        let (builder, mut states) = client_of(&service, &acceptor);
        let (tell, mut asked) = hear();
        let builder = builder.back_off(BackOff::custom(move |attempt, reason| {
            let _ = tell.send((attempt, reason.clone()));
            None
        }));
        let client = within(builder.connect()).await.unwrap();
        kill(&server);
        let (attempt, reason) = asked.next().await;
        assert_eq!(attempt, 1);
        assert!(
            matches!(&reason, CloseReason::ByPeer(said) if &*said.text == "killed"),
            "{reason:?}"
        );
        until(|| client.session().is_none()).await;
        loop {
            if let ClientState::BackOff { attempt: 1, until: None, reason: told } =
                states.next().await
            {
                break assert_eq!(told, reason);
            }
        }
        client.network_changed();
        assert!(matches!(client.state(), ClientState::BackOff { .. }));
        client.reset();
        up_again(&client, &mut states, 1).await;
        within(service.shutdown()).await.unwrap();
        end(&server).await;
    });
}

/// How long is left can be seen, and it is never dialed before.
#[test]
fn a_wait_is_as_long_as_its_rule_says() {
    run(async {
        let home = Home::new("mem");
        let server = home.service();
        let acceptor = home.open(&server).await;
        let service = dialer();
        let (tell, mut heard) = hear();
        let wait = Duration::from_millis(150);
        let builder = service.client(&acceptor.url().to_string(), "msgpack");
        let builder = builder.back_off(BackOff::custom(move |_, _| Some(wait)));
        let builder = builder.on_change(move |_, state| {
            let _ = tell.send((Instant::now(), state.clone()));
        });
        within(builder.connect()).await.unwrap();
        for _ in 0..3 {
            until(|| server.sessions().len() == 1).await;
            let lost_at = Instant::now();
            kill(&server);
            let waits_until = loop {
                if let (_, ClientState::BackOff { until, .. }) = heard.next().await {
                    break until.unwrap();
                }
            };
            assert!(waits_until >= lost_at + wait);
            let (dialed_at, next) = heard.next().await;
            assert!(
                matches!(next, ClientState::Connecting { attempt: 1.. })
                    && dialed_at >= waits_until
            );
        }
        within(service.shutdown()).await.unwrap();
        end(&server).await;
    });
}

/// It would wait for an hour; the network is another, or somebody says so.
#[test]
fn a_changed_network_is_tried_at_once() {
    run(async {
        let home = Home::new("mem");
        let server = home.service();
        let acceptor = home.open(&server).await;
        let service = dialer();
        let hour = Duration::from_secs(3600);
        let (builder, mut states) = client_of(&service, &acceptor);
        let client =
            within(builder.back_off(BackOff::between(hour, hour)).connect()).await.unwrap();
        for epoch in 1..=3 {
            kill(&server);
            let far = Instant::now() + hour / 2;
            let waits = |state: &ClientState| matches!(state, ClientState::BackOff { until, .. } if until.is_some_and(|until| until > far));
            until(|| waits(&client.state())).await;
            if epoch % 2 == 0 {
                client.reset()
            } else {
                client.network_changed()
            }
            up_again(&client, &mut states, epoch).await;
        }
        within(service.shutdown()).await.unwrap();
        end(&server).await;
    });
}

/// A server that is shut down says so; what runs is answered, and the client is there for its successor.
#[test]
fn a_client_follows_a_server_that_drains_and_comes_back() {
    run(async {
        let home = Home::new("tcp");
        let serve = || {
            let server = home.service();
            server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
            server
        };
        let mut server = serve();
        let acceptor = home.open(&server).await;
        let service = dialer();
        let (mut failed, _) =
            Heard::<ConnectFailed>::topic(&service, topic("msgpack", ConnectFailed));
        let (builder, mut states) = client_of(&service, &acceptor);
        let client = within(builder.connect()).await.unwrap();
        for epoch in 1..=3 {
            within(server.shutdown()).await.unwrap();
            failed.next().await;
            let waits = tokio::spawn(client.request(Ask { number: epoch }).into_future());
            server = serve();
            home.open(&server).await;
            assert_eq!(within(waits).await.unwrap().unwrap().number, epoch);
            up_again(&client, &mut states, epoch).await;
        }
        let drained = states.so_far();
        assert!(drained.is_empty(), "{drained:?}");
        within(service.shutdown()).await.unwrap();
        within(server.shutdown()).await.unwrap();
        assert_eq!(states.next().await, ClientState::Draining);
        assert!(matches!(states.next().await, ClientState::Closed { .. }));
    });
}

#[test]
fn a_runtime_that_goes_away_takes_its_clients_to_their_end() {
    let (tell, heard) = std::sync::mpsc::channel();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let service = dialer();
    for up in [true, false] {
        let (home, tell) = (Home::new("mem"), tell.clone());
        runtime.block_on(async {
            let server = home.service();
            let acceptor = home.open(&server).await;
            let client = within(client_of(&service, &acceptor).0.connect()).await.unwrap();
            service.subscribe_close(client.id(), move |end| drop(tell.send(end.clone())));
            if !up {
                acceptor.close();
                kill(&server);
                until(|| client.session().is_none()).await;
            }
        });
    }
    drop(runtime);
    drop(service);
    drop(tell);
    assert_eq!(heard.iter().filter(|end| end.reason.is_some()).count(), 2);
}

/// The threads of the service outlive the runtime that the client was made in.
#[test]
fn a_session_on_another_thread_does_not_outlive_its_client() {
    let home = Home::new("tcp");
    let service = Service::builder().identity(Identity::generate().unwrap()).shards(1);
    let service = service.build().unwrap();
    let there = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let here = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = home.service();
    let acceptor = there.block_on(home.open(&server));
    let client =
        here.block_on(async { within(client_of(&service, &acceptor).0.connect()).await.unwrap() });
    drop(here);
    there.block_on(async {
        assert!(matches!(within(client.closed()).await, CloseReason::ByUs(_)));
        assert!(within(client.up()).await.is_err());
        until(|| service.sessions().is_empty() && server.sessions().is_empty()).await;
        within(service.shutdown()).await.unwrap();
        end(&server).await;
    });
}
