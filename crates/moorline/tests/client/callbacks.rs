//! Everything may be done to a client from every callback, and there is one end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use moorline::{
    Client, ClientState, ConnectFailed, Identity, NewSession, Service, SessionClosed, SessionDown,
    SessionUp, topic,
};

use super::server::{Home, begun, client_of, dialer, end, kill, until};
use crate::support::{Ask, Heard, Note, Told, hear, note, run, within};

/// Where the client is closed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    NewSession,
    SessionUp,
    SessionDown,
    State(&'static str),
    Handler,
    ConnectFailed,
    AnotherCallback,
}

fn name(state: &ClientState) -> &'static str {
    match state {
        ClientState::Connecting { .. } => "connecting",
        ClientState::Up { .. } => "up",
        ClientState::BackOff { .. } => "back-off",
        ClientState::Draining => "draining",
        ClientState::Closed { .. } => "closed",
        _ => "unknown",
    }
}

/// One close, from this callback; `SessionClosed` and the close table each say so once.
async fn closed_from(from: From) {
    let home = Home::new("mem");
    let server = home.service();
    server.on(|cx, _: Note| cx.session().send(&note(1)).unwrap());
    let acceptor = home.open(&server).await;
    let service = dialer();
    let (mut ends, _) = Heard::<SessionClosed>::topic(&service, topic("msgpack", SessionClosed));
    let ours = service.clone();
    let close = move || ours.clients().iter().for_each(|client| _ = client.close());
    match from {
        From::NewSession => {
            service.subscribe(topic("msgpack", NewSession), move |_: &NewSession| close());
        }
        From::SessionUp => {
            service.subscribe(topic("msgpack", SessionUp), move |_: &SessionUp| close());
        }
        From::SessionDown => {
            service.subscribe(topic("msgpack", SessionDown), move |_: &SessionDown| close());
        }
        From::ConnectFailed => {
            service.subscribe(topic("msgpack", ConnectFailed), move |_: &ConnectFailed| close());
        }
        From::Handler => service.on(|cx, _: Note| assert!(cx.client().unwrap().close())),
        From::State(_) | From::AnotherCallback => {}
    }
    let builder = client_of(&service, &acceptor).0.on_change(move |client, state| {
        if let From::State(wanted) = from
            && name(state) == wanted
        {
            client.close();
        }
        if from == From::AnotherCallback && name(state) == "up" {
            // A callback that is added by a callback is one like any other.
            client.on_change(|client, state| assert!(name(state) == "closed" || client.close()));
            client.reset();
        }
    });
    if from == From::ConnectFailed {
        end(&server).await;
    }
    let client = builder.start().unwrap();
    let (tell, mut closes) = hear();
    service.subscribe_close(client.id(), move |end| drop(tell.send(end.clone())));
    match from {
        From::Handler => drop(within(client.up()).await.unwrap().send(&note(0))),
        From::SessionDown | From::State("back-off" | "draining") => {
            within(client.up()).await.unwrap();
            // In order, so that "draining" is passed on the way.
            let going = server.clone();
            tokio::spawn(async move { going.shutdown().await });
        }
        From::State("closed") => drop(client.close()),
        _ => {}
    }
    within(client.closed()).await;
    assert_eq!((ends.next().await.id, closes.next().await.id), (client.id(), client.id()));
    within(service.shutdown()).await.unwrap();
    end(&server).await;
    assert_eq!((ends.so_far().len(), closes.so_far().len()), (0, 0), "{from:?}");
    assert!(service.sessions().is_empty() && service.clients().is_empty());
}

#[test]
fn a_close_from_any_callback_leads_to_one_end() {
    run(async {
        for from in [
            From::NewSession,
            From::SessionUp,
            From::SessionDown,
            From::State("connecting"),
            From::State("up"),
            From::State("back-off"),
            From::State("draining"),
            From::State("closed"),
            From::Handler,
            From::ConnectFailed,
            From::AnotherCallback,
        ] {
            closed_from(from).await;
        }
    });
}

/// Each connection is reset from the callback that hears of it.
#[test]
fn a_client_may_be_reset_by_whoever_hears_that_it_is_up() {
    run(async {
        let home = Home::new("tcp");
        let server = home.service();
        server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
        let acceptor = home.open(&server).await;
        let service = dialer();
        let ours = service.clone();
        let ups = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ups);
        service.subscribe(topic("msgpack", SessionUp), move |up: &SessionUp| {
            count.fetch_add(1, Ordering::Relaxed);
            let client = ours.client_of(up.id).unwrap();
            assert_eq!(client.state(), ClientState::Up { epoch: up.epoch });
            assert!(client.session().is_some());
            if up.epoch <= 20 {
                client.reset();
            }
        });
        let (builder, mut states) = client_of(&service, &acceptor);
        let client = builder.start().unwrap();
        until(|| client.state() == ClientState::Up { epoch: 21 }).await;
        assert_eq!(within(client.request(Ask { number: 5 })).await.unwrap().number, 5);
        assert_eq!(ups.load(Ordering::Relaxed), 21);
        let waits = states.so_far().iter().filter(|state| name(state) == "back-off").count();
        assert_eq!(waits, 0, "who is reset does not wait");
        within(service.shutdown()).await.unwrap();
        end(&server).await;
    });
}

/// What is called in which state of a real client, and what that gives. The machine's own table is more
/// complete; this one has sockets under it.
#[test]
fn every_call_in_every_state_gives_what_it_should() {
    run(async {
        for state in ["connecting", "up", "back-off", "draining", "closed"] {
            for call in ["send", "request", "open", "reset", "network_changed", "close", "shutdown"]
            {
                called_in(state, call).await;
            }
        }
    });
}

async fn called_in(state: &'static str, call: &str) {
    let home = Home::new("mem");
    let server = home.service();
    server.handle(|_, late: crate::support::Late| async move {
        std::future::pending::<()>().await;
        Ok(Told { number: late.number })
    });
    server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
    let acceptor = home.open(&server).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let builder = Service::builder().drain_deadline(std::time::Duration::from_millis(100));
    let service = builder.identity(Identity::generate().unwrap()).build().unwrap();
    // Somebody who takes the connection and says nothing.
    let key = acceptor.url().key.unwrap();
    let nobody = format!("tcp://{key}@{}", silent.local_addr().unwrap());
    let url = if state == "connecting" { nobody } else { acceptor.url().to_string() };
    let (tell, mut states) = hear();
    let client = service
        .client(&url, "msgpack")
        .back_off(moorline::BackOff::custom(|_, _| None))
        .on_change(move |_, state| drop(tell.send(state.clone())))
        .start()
        .unwrap();
    if state != "connecting" {
        within(client.up()).await.unwrap();
    }
    bring_to(state, &client, &server, &mut states).await;
    assert_eq!(name(&client.state()), state);
    do_it(state, call, &client, &service).await;
    client.close();
    within(client.closed()).await;
    let _ = within(service.shutdown()).await;
    end(&server).await;
}

async fn bring_to(state: &str, client: &Client, server: &Service, states: &mut Heard<ClientState>) {
    match state {
        "back-off" => kill(server),
        "draining" => {
            // Something that runs keeps the session while its peer drains.
            let call = begun(client.request(crate::support::Late { number: 1 }).into_future());
            tokio::spawn(call);
            within(client.session().unwrap().barrier()).await.unwrap();
            let going = server.clone();
            tokio::spawn(async move { going.shutdown().await });
        }
        "closed" => {
            client.close();
            within(client.closed()).await;
        }
        _ => {}
    }
    // As it is told: by then it has been decided how long it waits.
    while name(&states.next().await) != state {}
}

async fn do_it(state: &str, call: &str, client: &Client, service: &moorline::Service) {
    let (up, closed) = (state == "up", state == "closed");
    match call {
        "send" => {
            let result = client.send(&note(1));
            assert_eq!(matches!(result, Err(moorline::SendError::Closed(_))), closed, "{state}");
            // Nobody handles it there, which the peer has said.
            assert!(result.is_err());
        }
        "request" => {
            let time = std::time::Duration::from_millis(if up { 20_000 } else { 5 });
            let answer = within(client.request(Ask { number: 1 }).timeout(time)).await;
            assert_eq!(answer.is_ok(), up, "{state}: {answer:?}");
        }
        "open" => assert_eq!(client.open_raw("log").is_ok(), up, "{state}"),
        "reset" => {
            client.reset();
            assert_eq!(name(&client.state()) == "closed", closed, "{state}");
        }
        "network_changed" => {
            client.network_changed();
            assert_eq!(name(&client.state()), state, "who was told to wait for a reset does");
        }
        "close" => {
            assert_eq!(client.close(), !closed, "{state}");
            assert!(!client.close());
        }
        _ => {
            let _ = within(service.shutdown()).await;
            assert_eq!(name(&client.state()), "closed", "{state}");
            assert!(service.client(client.url(), "msgpack").start().is_err());
        }
    }
}
